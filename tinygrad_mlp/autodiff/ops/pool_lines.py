"""Pooling of sequences (N, C, L), or (C, L) for one: that of images of height 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_mlp.autodiff.ops.checks import check_floats, check_sizes
from tinygrad_mlp.autodiff.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError

__all__ = ["adaptive_avg_pool1d", "avg_pool1d", "max_pool1d"]

Size = int | Sequence[int]


def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum of each window of a sequence: (N, C, L) -> (N, C, OL), and as int64 where it was, if asked for.

    OL = (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1. All else, errors too, is as in `max_pool2d`.
    """
    size, step, margin, apart = _window("max_pool1d", input, kernel_size, stride, padding, dilation)
    out: Any = max_pool2d(input.unsqueeze(-2), (1, size), (1, step), (0, margin), (1, apart), ceil_mode, return_indices)
    return (out[0].squeeze(-2), out[1].squeeze(-2)) if return_indices else out.squeeze(-2)


def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean of each window of a sequence: (N, C, L) -> (N, C, OL); see `max_pool1d` and `avg_pool2d`."""
    size, step, margin, _ = _window("avg_pool1d", input, kernel_size, stride, padding, 1)
    pooled = avg_pool2d(input.unsqueeze(-2), (1, size), (1, step), (0, margin), ceil_mode, count_include_pad)
    return pooled.squeeze(-2)


def adaptive_avg_pool1d(input: Tensor, output_size: Size | None) -> Tensor:
    """Means of windows that share a sequence evenly: (N, C, L) -> (N, C, output_size); see `adaptive_avg_pool2d`."""
    _check_input("adaptive_avg_pool1d", input)
    wanted = input.shape[-1] if output_size is None else output_size
    (size,) = check_sizes("adaptive_avg_pool1d", "output_size", wanted, 0, 1)
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, size)).squeeze(-2)


def _window(
    name: str, input: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size
) -> tuple[int, int, int, int]:
    """Its numbers, once they are known to fit the input."""
    _check_input(name, input)
    (size,) = check_sizes(name, "kernel_size", kernel_size, 1, 1)
    (step,) = (size,) if stride is None else check_sizes(name, "stride", stride, 1, 1)
    (margin,) = check_sizes(name, "padding", padding, 0, 1)
    (apart,) = check_sizes(name, "dilation", dilation, 1, 1)
    extent = apart * (size - 1) + 1
    if margin > extent // 2:
        raise ArgumentError(f"{name}: padding {margin} is more than half of the window of {extent}")
    if extent > input.shape[-1] + 2 * margin:
        raise ShapeError(
            f"{name}: a window of {extent} is larger than the padded sequence of {input.shape[-1] + 2 * margin}: input "
            f"has shape {input.shape}, padding is {margin}"
        )
    return size, step, margin, apart


def _check_input(name: str, input: Tensor) -> None:
    check_floats(name, input=input)
    if input.ndim not in (2, 3) or input.shape[-1] == 0:
        raise ShapeError(f"{name}: input has shape {input.shape}, expected (N, C, L) or (C, L) with L of at least 1")
