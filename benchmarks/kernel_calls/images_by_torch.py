"""The calls of the kernel table on images by PyTorch (its convolutions are oneDNN's), in a memory format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.kernel_calls import operands
from benchmarks.kernel_calls.sweep import Builder, Call

__all__ = ["image_builders"]


def _forward(layer: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> Call:
    def make() -> torch.Tensor:
        with torch.no_grad():
            return layer(*inputs)

    return Call(make, lambda: [make().numpy()])


def _backward(layer: Callable[..., torch.Tensor], wanted: Sequence[torch.Tensor], *inputs: torch.Tensor) -> Call:
    """The gradients of `wanted` from one of the output that is given."""
    for tensor in wanted:
        tensor.requires_grad_()
    out = layer(*inputs)
    format = torch.channels_last if out.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    grad = torch.from_numpy(operands.image_numbers(out.shape, 2)).contiguous(memory_format=format)
    make = partial(torch.autograd.grad, out, wanted, grad, retain_graph=True)
    return Call(make, lambda: [tensor.numpy() for tensor in make()])


def image_builders(format: torch.memory_format) -> dict[str, Builder]:
    """Builders of the kinds in `image_cases`."""

    def tensor(array: operands.Array) -> torch.Tensor:
        return torch.from_numpy(array).clone(memory_format=format)

    def conv(which: str, batch: int, size: int, inputs: int, outputs: int, kernel: int, stride: int) -> Call:
        x = tensor(operands.image_numbers((batch, inputs, size, size), 1))
        weight = tensor(operands.kernel_numbers(outputs, inputs, kernel))
        layer = partial(F.conv2d, stride=stride, padding=kernel // 2)
        if which == "forward":
            return _forward(layer, x, weight)
        wanted = [value for name, value in (("dx", x), ("dw", weight)) if name in which]
        return _backward(layer, wanted, x, weight)

    def of_layer(layer: nn.Module, which: str, shape: Sequence[int]) -> Call:
        x = tensor(operands.image_numbers(shape, 1))
        if which == "forward":
            return _forward(layer, x)
        return _backward(layer, [x, *layer.parameters()], x)

    def batch_norm(which: str, shape: Sequence[int]) -> Call:
        return of_layer(nn.BatchNorm2d(shape[1]), which, shape)

    def batch_norm_relu(which: str, shape: Sequence[int]) -> Call:
        return of_layer(nn.Sequential(nn.BatchNorm2d(shape[1]), nn.ReLU()), which, shape)

    return {
        "conv": conv,
        "batch_norm": batch_norm,
        "batch_norm_relu": batch_norm_relu,
        "max_pool": partial(of_layer, nn.MaxPool2d(2)),
        "average_pool": partial(of_layer, nn.AdaptiveAvgPool2d(1)),
    }
