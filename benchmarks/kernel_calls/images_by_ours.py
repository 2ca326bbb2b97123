"""The calls of the kernel table on images by this package, as its users write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from benchmarks.kernel_calls import operands
from benchmarks.kernel_calls.sweep import Builder, Call
from tinygrad_mlp import nn

__all__ = ["IMAGE_BUILDERS"]


def _forward(layer: Callable[..., tg.Tensor], *inputs: tg.Tensor) -> Call:
    def make() -> tg.Tensor:
        with tg.no_grad():
            return layer(*inputs)

    return Call(make, lambda: [make().numpy()])


def _backward(layer: Callable[..., tg.Tensor], wanted: Sequence[tg.Tensor], *inputs: tg.Tensor) -> Call:
    """The gradients of `wanted` from one of the output that is given."""
    for tensor in wanted:
        tensor.requires_grad_()
    out = layer(*inputs)
    grad = tg.from_numpy(operands.image_numbers(out.shape, 2))

    def make() -> tuple[tg.Tensor | None, ...]:
        return tg.grad(out, wanted, grad, retain_graph=True)

    return Call(make, lambda: [tensor.numpy() for tensor in make() if tensor is not None])


def _conv(which: str, batch: int, size: int, inputs: int, outputs: int, kernel: int, stride: int) -> Call:
    x = tg.from_numpy(operands.image_numbers((batch, inputs, size, size), 1))
    weight = tg.from_numpy(operands.kernel_numbers(outputs, inputs, kernel))
    layer = partial(F.conv2d, stride=stride, padding=kernel // 2)
    if which == "forward":
        return _forward(layer, x, weight)
    wanted = [value for name, value in (("dx", x), ("dw", weight)) if name in which]
    return _backward(layer, wanted, x, weight)


def _of_layer(layer: nn.Module, which: str, shape: Sequence[int]) -> Call:
    x = tg.from_numpy(operands.image_numbers(shape, 1))
    if which == "forward":
        return _forward(layer, x)
    return _backward(layer, [x, *layer.parameters()], x)


def _batch_norm(which: str, shape: Sequence[int]) -> Call:
    return _of_layer(nn.BatchNorm2d(shape[1]), which, shape)


def _batch_norm_relu(which: str, shape: Sequence[int]) -> Call:
    return _of_layer(nn.Sequential(nn.BatchNorm2d(shape[1]), nn.ReLU()), which, shape)


IMAGE_BUILDERS: dict[str, Builder] = {
    "conv": _conv,
    "batch_norm": _batch_norm,
    "batch_norm_relu": _batch_norm_relu,
    "max_pool": partial(_of_layer, nn.MaxPool2d(2)),
    "average_pool": partial(_of_layer, nn.AdaptiveAvgPool2d(1)),
}
