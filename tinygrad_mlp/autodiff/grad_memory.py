"""Where the gradient of a parameter is to lie: an optimizer lends its flat buffer, so that no step has to copy."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_mlp.kernels.launch import Array

if TYPE_CHECKING:
    from tinygrad_mlp.autodiff.tensor import Tensor

__all__ = ["GradMemory", "gradient_array"]


def gradient_array(parameter: Tensor) -> Array:
    """Memory for a gradient, in the parameter's order: the optimizer's, if there is one and nobody keeps the last."""
    memory = parameter.grad_memory
    lent = None if memory is None or memory.is_under(parameter.grad) else memory.lend(parameter.array)
    return np.empty_like(parameter.array) if lent is None else lent


class GradMemory:
    """Memory for the gradient of one parameter, lent to one array at a time.

    A gradient that somebody keeps is never written over: the memory is free only when the array that it was lent to,
    and every view of that array, is gone.

    Parameters
    ----------
    stored:
        The memory, 1-d and contiguous.
    view:
        The same memory in the parameter's shape.
    axes:
        The parameter's axes, from the slowest to the fastest in memory.
    """

    __slots__ = ("_address", "_axes", "_dtype", "_lent", "_shape", "_stored", "_stored_shape", "_strides")

    def __init__(self, stored: Array, view: Array, axes: Sequence[int]) -> None:
        self._stored = stored.data
        self._address = stored.__array_interface__["data"][0]
        self._dtype = stored.dtype
        self._shape = view.shape
        self._strides = view.strides
        self._stored_shape = [view.shape[axis] for axis in axes]
        self._axes = [axes.index(axis) for axis in range(len(axes))]
        self._lent: weakref.ref[Array] | None = None

    def lend(self, like: Array) -> Array | None:
        """An array of the shape and dtype of `like`, not initialised; None if it is of another kind, or lent out."""
        if self._keeper() is not None or like.shape != self._shape or like.dtype != self._dtype:
            return None
        # The base of this array is no array, so NumPy makes it, and not the whole buffer, the base of all views of it.
        keeper = np.frombuffer(self._stored, self._dtype)
        self._lent = weakref.ref(keeper)
        return keeper.reshape(self._stored_shape).transpose(self._axes)

    def is_under(self, gradient: Tensor | None) -> bool:
        """Whether a gradient lies in this memory without having borrowed it, as a replayed step leaves it."""
        return gradient is not None and self._address == gradient.array.__array_interface__["data"][0]

    def _keeper(self) -> Array | None:
        return None if self._lent is None else self._lent()

    def holds(self, array: Array) -> bool:
        """Whether the array is what was lent out."""
        keeper = self._keeper()
        return (
            keeper is not None
            and array.base is keeper
            and array.shape == self._shape
            and array.strides == self._strides
            and array.dtype == self._dtype
        )

    def is_lent(self) -> bool:
        """Whether somebody has it."""
        return self._keeper() is not None
