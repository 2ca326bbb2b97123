"""What a net's first convolution has learned: its filters, and what they make of images."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_mlp import plot
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn.activation import ACTIVATIONS
from tinygrad_mlp.nn.conv import Conv2d
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.norm import BatchNorm2d
from tinygrad_mlp.train.evaluation import outputs

if TYPE_CHECKING:
    from tinygrad_mlp.train.run_folder import RunFolder

__all__ = ["draw_first_convolution", "first_feature_maps"]

_KEEP_MAPS = (BatchNorm2d, *ACTIVATIONS.values())


def draw_first_convolution(folder: RunFolder, net: Module, val: ImageDataset, words: str) -> None:
    """Draw filters.png and features.png, the second of the first validation image of each class; nothing for an MLP."""
    labels, chosen = np.unique(val.labels, return_index=True)
    found = first_feature_maps(net, val.part(chosen))
    if found is None:
        return
    convolution, maps = found
    weight = convolution.weight.array
    names = [val.classes[int(label)] for label in labels]
    folder.draw("filters", plot.filters(weight, data=val.name))
    folder.draw("features", plot.feature_maps(val.images[chosen], maps, weight, names, data=words))


def first_feature_maps(net: Module, dataset: ImageDataset) -> tuple[Conv2d, Array] | None:
    """The convolution that a net calls first, and what its images become in it: (N, out_channels, H, W).

    These are its outputs after the norm and the activation that are called next. None where there is no convolution.
    """
    calls: list[tuple[Module, Array]] = []

    def note(module: Module, _: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            calls.append((module, output.array))

    with ExitStack() as stack:
        for module in net.modules():
            if not list(module.children()):
                stack.callback(module.register_forward_hook(note).remove)
        outputs(net, dataset, batch_size=len(dataset))
    kinds = [module for module, _ in calls]
    convolution = next((module for module in kinds if isinstance(module, Conv2d)), None)
    if convolution is None:
        return None
    position = kinds.index(convolution)
    while position + 1 < len(kinds) and isinstance(kinds[position + 1], _KEEP_MAPS):
        position += 1
    return convolution, calls[position][1]
