"""softmax, log_softmax and logsumexp over any dimension.

Their kernels work on rows, so the dimension is moved to the end: a look from another side where memory lies that way
(the channels of channels-last images), a copy elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.methods import Dim
from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.checks import reshaped
from tinygrad_mlp.autodiff.ops.dims import one_dim, several_dims
from tinygrad_mlp.autodiff.ops.shape import converts_input
from tinygrad_mlp.autodiff.ops.unary import floating
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels import softmax as kernels
from tinygrad_mlp.kernels.launch import Array, Kernel, launch

__all__ = [
    "METHODS",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "softmax",
    "softmax_backward",
]


def _given_dim(name: str, dim: int | None, shape: tuple[int, ...]) -> int:
    if dim is None:
        guess = 0 if len(shape) in (0, 1, 3) else 1
        raise ArgumentError(
            f"{name}: got no dim; PyTorch's implicit one is deprecated, and is {guess} for shape {shape}: write "
            f"dim={guess}, or dim=-1 for classes that stand last"
        )
    return one_dim(name, dim, shape)


@converts_input
@op
def softmax(input: Tensor, dim: int | None = None, *, dtype: DtypeLike | None = None) -> tuple[Array, Backward]:
    """exp(input) divided by its sum along `dim`; with a `dtype` of the input converted to it.

    Raises `ShapeError` for a dim out of range, `ArgumentError` without one.
    """
    axis = _given_dim("softmax", dim, input.shape)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return softmax_backward(grad, out, axis)

    return _apply_rows(kernels.softmax, axis, floating("softmax", input)), backward


@op
def softmax_backward(grad: Tensor, y: Tensor, dim: int) -> tuple[Array, Backward]:
    """y * (grad - sum of grad * y along dim): the derivative of softmax where its result is y."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = softmax_backward(outer, y, dim) if needs_grad(grad) else None
        by_y = None
        if needs_grad(y):  # the sum over i of outer_i y_i (grad_i - sum_j grad_j y_j), by y_k
            mean_grad = (grad * y).sum(dim, keepdim=True)
            mean_outer = (outer * y).sum(dim, keepdim=True)
            by_y = outer * (grad - mean_grad) - mean_outer * grad
        return by_grad, by_y

    return _apply_rows(kernels.softmax_backward, dim, grad.array, y.array), backward


@converts_input
@op
def log_softmax(input: Tensor, dim: int | None = None, *, dtype: DtypeLike | None = None) -> tuple[Array, Backward]:
    """log(softmax(input)) along `dim`, without its loss of accuracy; with a `dtype` of the input converted to it.

    Raises `ShapeError` for a dim out of range, `ArgumentError` without one.
    """
    axis = _given_dim("log_softmax", dim, input.shape)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return log_softmax_backward(grad, out, axis)

    return _apply_rows(kernels.log_softmax, axis, floating("log_softmax", input)), backward


@op
def log_softmax_backward(grad: Tensor, y: Tensor, dim: int) -> tuple[Array, Backward]:
    """grad - exp(y) * (sum of grad along dim): the derivative of log_softmax where its result is y."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = by_y = None
        weighted = outer * y.exp()
        if needs_grad(grad):
            by_grad = outer - weighted.sum(dim, keepdim=True)
        if needs_grad(y):
            by_y = -weighted * grad.sum(dim, keepdim=True)
        return by_grad, by_y

    return _apply_rows(kernels.log_softmax_backward, dim, grad.array, y.array), backward


@op
def logsumexp(input: Tensor, dim: Dim = None, keepdim: bool = False) -> tuple[Array, Backward]:
    """log(sum of exp(input)) over the named dimensions (all for None), without overflow.

    Its derivative is the softmax. Raises `ShapeError` for a dim out of range, `ArgumentError` for one named twice.
    """
    dims = several_dims("logsumexp", dim, input.shape)
    kept = tuple([1 if axis in dims else size for axis, size in enumerate(input.shape)])

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad.reshape(kept) * (input - out.reshape(kept)).exp()

    rows = _rows(floating("logsumexp", input), dims)
    out = np.empty(rows.shape[0], rows.dtype)
    launch(kernels.logsumexp, rows, out)
    shape = kept if keepdim else tuple([size for axis, size in enumerate(input.shape) if axis not in dims])
    return out.reshape(shape), backward


def _apply_rows(kernel: Kernel, axis: int, *arrays: Array) -> Array:
    """Run a kernel of (rows, n) arrays along one axis; the result lies in memory with that axis last."""
    shape = arrays[0].shape
    rows = [_rows(array, (axis,) if shape else ()) for array in arrays]
    out = np.empty(rows[0].shape, rows[0].dtype)
    launch(kernel, *rows, out)
    if not shape:
        return out.reshape(())
    moved = (*shape[:axis], *shape[axis + 1 :], shape[axis])
    return np.moveaxis(out.reshape(moved), -1, axis)


def _rows(array: Array, axes: tuple[int, ...]) -> Array:
    """(rows, n): the elements along `axes` as one row each."""
    others = [axis for axis in range(array.ndim) if axis not in axes]
    rows = math.prod([array.shape[axis] for axis in others])
    columns = math.prod([array.shape[axis] for axis in axes])
    return reshaped(array.transpose(*others, *axes), (rows, columns))


METHODS: dict[str, Callable[..., Tensor]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
}
