"""The training steps that are timed. Standard library only: workers import this in other Python environments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias

__all__ = ["IMAGES", "LOSS_TOLERANCE", "WORKLOADS", "Layer", "ParameterSpec", "Workload", "parameters_of"]

IMAGES = 48_000
"""Training images held in memory, 28 x 28."""

LOSS_TOLERANCE = 1e-4
"""How far a float32 loss may be from the one computed in float64, as a part of it."""

Layer: TypeAlias = "tuple[str | int, ...]"
"""Its kind and sizes: ("linear", 784, 50) or ("tanh",). The kinds of nets for images, and what PyTorch calls them:

- ("conv", in, out, kernel): `Conv2d` with padding kernel // 2, and a bias.
- ("batch_norm", channels), ("max_pool", size), ("flatten",): `BatchNorm2d`, `MaxPool2d`, `Flatten`.
- ("residual", in, out, stride): relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)), where convolutions are 3 × 3, pad
  by 1 and have no bias, and the first has the stride; the shortcut is x itself, or where sizes change a convolution
  1 × 1 of this stride and a norm (He et al. 2016, fig. 2 and shortcuts of kind B).
- ("average_pool",): the mean over all pixels, (N, C, H, W) -> (N, C).
"""


class ParameterSpec(NamedTuple):
    """A parameter as PyTorch shapes it; it begins uniform in `center` ± `bound`."""

    shape: tuple[int, ...]
    center: float = 0.0
    bound: float = 0.0


def _weight_and_bias(*shape: int) -> list[ParameterSpec]:
    bound = 1 / math.sqrt(math.prod(shape[1:]))  # of the number of inputs, as PyTorch begins
    return [ParameterSpec(shape, bound=bound), ParameterSpec(shape[:1], bound=bound)]


def parameters_of(layer: Layer) -> list[ParameterSpec]:
    """In the order of PyTorch's `parameters()`."""
    kind, *rest = layer
    sizes = [int(size) for size in rest]
    if kind == "linear":
        return _weight_and_bias(sizes[1], sizes[0])
    if kind == "conv":
        inputs, outputs, kernel = sizes
        return _weight_and_bias(outputs, inputs, kernel, kernel)
    if kind == "batch_norm":
        return [ParameterSpec((sizes[0],), center=1.0), ParameterSpec((sizes[0],))]
    if kind == "residual":
        inputs, outputs, stride = sizes
        convolutions = [(inputs, 3), (outputs, 3)]
        if inputs != outputs or stride != 1:
            convolutions.append((inputs, 1))  # the shortcut
        return [
            spec
            for channels, kernel in convolutions
            for spec in (
                _weight_and_bias(outputs, channels, kernel, kernel)[0],
                *parameters_of(("batch_norm", outputs)),
            )
        ]
    return []


def _products(layers: tuple[Layer, ...]) -> Iterator[int]:
    """The multiply-adds of one image in each product or convolution, in their order."""
    side = 28
    for kind, *rest in layers:
        sizes = [int(size) for size in rest]
        if kind == "linear":
            yield sizes[0] * sizes[1]
        elif kind == "conv":
            yield side**2 * sizes[0] * sizes[1] * sizes[2] ** 2
        elif kind == "max_pool":
            side //= sizes[0]
        elif kind == "residual":
            inputs, outputs, stride = sizes
            side = -(-side // stride)
            yield side**2 * inputs * outputs * 9
            yield side**2 * outputs * outputs * 9
            if inputs != outputs or stride != 1:
                yield side**2 * inputs * outputs  # the shortcut


@dataclass(frozen=True)
class Workload:
    """A net and how it is trained, with cross-entropy, in float32; each step on images drawn at random."""

    name: str
    title: str
    layers: tuple[Layer, ...]
    batch: int
    optimizer: str
    """"sgd" or "adam", as PyTorch defines them."""
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    """λ of the L2 penalty: λw joins the gradient of every parameter, as in PyTorch."""
    eps: float = 1e-8
    """Of Adam."""
    target: float | None = None
    """How many times as fast as its fastest peer the package wants to be."""
    check_steps: int = 20
    """So many steps on given batches must give every contender the same losses before any is timed."""

    def for_check(self) -> Workload:
        """With a penalty so large that a contender that forgets it is noticed within `check_steps`.

        And with a large epsilon: Adam's first steps are as long as the learning rate however small the gradient, so
        that whatever rounding decides, the sign of a gradient or on which side of zero a ReLU lies, grows in later
        steps, up to 0.005 of the loss. With this epsilon such losses agree within 0.00005, while a learning rate that
        is wrong by 1 % shows as 0.0007 or more.
        """
        return replace(self, weight_decay=self.weight_decay * 100, eps=1e-2)

    @property
    def linear_shapes(self) -> list[tuple[int, int]]:
        """(in, out) of each linear layer."""
        return [(int(layer[1]), int(layer[2])) for layer in self.layers if layer[0] == "linear"]

    @property
    def parameters(self) -> list[ParameterSpec]:
        """Of all layers, in the order of PyTorch's `parameters()`."""
        return [spec for layer in self.layers for spec in parameters_of(layer)]

    @property
    def multiply_adds(self) -> int:
        """Of a step: forward, for the gradients of weights, and for those of inputs but of the images."""
        first, *others = _products(self.layers)
        return self.batch * (2 * first + 3 * sum(others))

    @property
    def is_convolutional(self) -> bool:
        """Whether it takes images (batch, 1, 28, 28), not (batch, 784)."""
        return self.layers[0][0] == "conv"


def _mlp(widths: tuple[int, ...], activation: str) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for inputs, outputs in pairwise(widths):
        layers += [("linear", inputs, outputs), (activation,)]
    return tuple(layers[:-1])


_W1 = Workload(
    "W1",
    "784-50-50-10 tanh, batch 64, SGD momentum 0.9, L2",
    _mlp((784, 50, 50, 10), "tanh"),
    batch=64,
    optimizer="sgd",
    lr=0.01,
    momentum=0.9,
    weight_decay=1e-4,
    target=4.0,
)
_W2 = Workload(
    "W2",
    "784-128-64-10 ReLU, batch 64, Adam",
    _mlp((784, 128, 64, 10), "relu"),
    batch=64,
    optimizer="adam",
    lr=1e-3,
    target=3.5,
)
_W3 = Workload(
    "W3",
    "784-512-128-64-10 ReLU, batch 64, Adam",
    _mlp((784, 512, 128, 64, 10), "relu"),
    batch=64,
    optimizer="adam",
    lr=1e-3,
    target=2.0,
)
_W4 = Workload(
    "W4",
    "784-128-10 ReLU, batch 512, SGD",
    _mlp((784, 128, 10), "relu"),
    batch=512,
    optimizer="sgd",
    lr=0.01,
    target=2.5,
)
_W7 = replace(
    _W1,
    name="W7",
    title="784-100-10 sigmoid, batch 64, SGD momentum 0.9, L2",
    layers=_mlp((784, 100, 10), "sigmoid"),
)
_W5 = Workload(
    "W5",
    "conv32-conv32-128-64-10 ReLU, batch 64, Adam",
    (
        *(("conv", 1, 32, 3), ("relu",)),
        *(("conv", 32, 32, 3), ("relu",)),
        ("flatten",),
        *_mlp((28 * 28 * 32, 128, 64, 10), "relu"),
    ),
    batch=64,
    optimizer="adam",
    lr=1e-3,
    target=2.0,
    check_steps=8,
)
_W6 = Workload(
    "W6",
    "conv32-BN-pool-conv64-BN-pool-128-10 ReLU, batch 128, Adam",
    (
        *(("conv", 1, 32, 3), ("batch_norm", 32), ("relu",), ("max_pool", 2)),
        *(("conv", 32, 64, 3), ("batch_norm", 64), ("relu",), ("max_pool", 2)),
        ("flatten",),
        *_mlp((7 * 7 * 64, 128, 10), "relu"),
    ),
    batch=128,
    optimizer="adam",
    lr=1e-3,
    target=3.0,
    check_steps=5,
)
_W8 = Workload(
    "W8",
    "conv32-BN-pool-residual32-residual64-10, batch 128, SGD momentum 0.9, L2",
    (
        *(("conv", 1, 32, 3), ("batch_norm", 32), ("relu",), ("max_pool", 2)),
        ("residual", 32, 32, 1),
        ("residual", 32, 64, 2),
        ("average_pool",),
        ("linear", 64, 10),
    ),
    batch=128,
    optimizer="sgd",
    lr=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    check_steps=5,
)

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (_W1, _W2, _W3, _W4, _W7, _W5, _W6, _W8)}
