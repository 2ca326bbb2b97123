"""The net that a `Recipe` describes, and what can be measured in a trained one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.data.loader import DataLoader
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.kernels.launch import Array

__all__ = ["dead_units", "make_net", "near_zero", "roughness", "weights_of"]

_CHANNELS, _SIDE, _CLASSES = 1, 28, 10  # of both data sets and of their stand-in


def make_net(recipe: Recipe) -> nn.Sequential:
    """Convolutions, hidden layers, logits: (N, 1, 28, 28) -> (N, 10). Its weights come from `tg.manual_seed`."""
    layers: list[nn.Module] = []
    channels, side = _CHANNELS, _SIDE
    for place, width in enumerate(recipe.conv, start=1):
        layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
        layers += _after(recipe, nn.BatchNorm2d(width))
        if recipe.pool == "each" or (recipe.pool == "last" and place == len(recipe.conv)):
            layers.append(nn.MaxPool2d(2))
            side //= 2
        if recipe.conv_dropout:
            layers.append(nn.Dropout2d(recipe.conv_dropout))
        channels = width
    layers.append(nn.Flatten())
    inputs = channels * side * side
    for width in recipe.hidden:
        layers += [nn.Linear(inputs, width), *_after(recipe, nn.BatchNorm1d(width))]
        if recipe.dropout:
            layers.append(nn.Dropout(recipe.dropout))
        inputs = width
    layers.append(nn.Linear(inputs, _CLASSES))
    if recipe.output_softmax:
        layers.append(nn.Softmax(dim=1))
    net = nn.Sequential(*layers)
    if recipe.init is not None:
        for layer in net:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.initializer(recipe.init)(layer.weight)
                assert layer.bias is not None  # no layer above is made without
                nn.init.zeros_(layer.bias)
    return net


def _after(recipe: Recipe, norm: nn.Module) -> list[nn.Module]:
    """What follows a convolution or a hidden layer: the activation, with batch norm on its side of it."""
    settings = {} if recipe.negative_slope is None else {"negative_slope": recipe.negative_slope}
    activation = nn.activation(recipe.activation, **settings)
    return {None: [activation], "before": [norm, activation], "after": [activation, norm]}[recipe.batch_norm]


def weights_of(net: nn.Module) -> Iterator[Array]:
    """The weights that a penalty pulls at: parameters with two or more dimensions."""
    return (parameter.array for parameter in net.parameters() if parameter.ndim >= 2)


def near_zero(net: nn.Module, most: float) -> float:
    """Share of the weights w (biases apart) with abs(w) <= most.

    A step of λ·sign(w) never lands on 0 itself, but goes to and fro across it, in steps of lr·λ.
    """
    weights = list(weights_of(net))
    return sum(int(np.sum(np.abs(weight) <= most)) for weight in weights) / sum(weight.size for weight in weights)


def roughness(net: nn.Module) -> float:
    """How much the first layer's weights differ from those of the next pixel: mean difference over mean size.

    About 1.41 for independent weights of a normal distribution, less the smoother the pictures that they make. NaN for
    a net that does not begin with a layer on all pixels.
    """
    weight = next(weights_of(net))
    if weight.ndim != 2 or weight.shape[1] != _CHANNELS * _SIDE * _SIDE:
        return float("nan")
    pictures = weight.reshape(-1, _SIDE, _SIDE).astype(np.float64)
    across, down = np.abs(np.diff(pictures, axis=2)), np.abs(np.diff(pictures, axis=1))
    return float((across.mean() + down.mean()) / 2 / max(np.abs(pictures).mean(), np.finfo(np.float64).tiny))


def dead_units(net: nn.Sequential, dataset: ImageDataset) -> float:
    """Share of the ReLU units (of convolutions: channels) that are 0 for every image of a data set. NaN without ReLU.

    The net has to be in eval mode.
    """
    alive: dict[int, Array] = {}  # place of a ReLU in the net -> which of its units were seen above 0
    with no_grad():
        for x, _ in DataLoader(dataset, 1000):
            for place, layer in enumerate(net):
                x = layer(x)
                if isinstance(layer, nn.ReLU):
                    other = (0, *range(2, x.ndim))  # all dimensions but that of units or channels
                    seen = (x.array > 0).any(axis=other)
                    alive[place] = alive[place] | seen if place in alive else seen
    units = sum(seen.size for seen in alive.values())
    return 1 - sum(int(seen.sum()) for seen in alive.values()) / units if units else float("nan")
