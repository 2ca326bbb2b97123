"""One flat buffer for many parameters, so that an optimizer step is one kernel and a checkpoint one array.

A parameter keeps its logical shape: its `.array` becomes a view into the buffer, with the same order of memory as
before (a weight stored (in, out) beneath a logical (out, in) stays so). Each begins on a cache line, with zeros in the
gaps: a kernel whose arrays all begin on one takes less than half the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_mlp.autodiff.grad_memory import GradMemory
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import DtypeError, ShapeError
from tinygrad_mlp.kernels.copy import copy, memory_order
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.optim.groups import check_memory_apart

__all__ = ["FlatBuffer", "aligned_zeros"]

_LARGE = 65536  # elements from which a copy of a gradient costs more than the bookkeeping that saves it
_ALIGNMENT = 64  # bytes: one cache line, one AVX-512 vector


def aligned_zeros(size: int, dtype: np.dtype[np.generic]) -> Array:
    """A 1-d array of zeros that begins on a cache line."""
    room = np.zeros(size * dtype.itemsize + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size * dtype.itemsize].view(dtype)


class FlatBuffer:
    """Parameters of one dtype laid end to end, and their gradients in a second buffer of the same layout.

    `names` are theirs, for errors. Parameter i lies at `starts[i]` to `stops[i]`.
    """

    def __init__(self, parameters: Sequence[Tensor], names: Sequence[str]) -> None:
        self.parameters = list(parameters)
        self.names = list(names)
        self.dtype = self.parameters[0].dtype
        lanes = _ALIGNMENT // self.dtype.itemsize
        self.starts: list[int] = []
        self.stops: list[int] = []
        end = 0
        for parameter in self.parameters:
            self.starts.append(end)
            self.stops.append(end + parameter.numel())
            end += -(-parameter.numel() // lanes) * lanes
        self.size = end
        self._axes = [memory_order(parameter.array) for parameter in self.parameters]
        self._shapes = [parameter.shape for parameter in self.parameters]
        self.values = self.zeros()
        self.value_views = self.views(self.values)
        self._lay_out_gradients()
        self._take_in(range(len(self.parameters)))

    def zeros(self) -> Array:
        """A buffer of this layout."""
        return aligned_zeros(self.size, self.dtype)

    def views(self, buffer: Array) -> list[Array]:
        """Each parameter's part of a buffer of this layout, in its logical shape."""
        views: list[Array] = []
        for start, stop, shape, axes in zip(self.starts, self.stops, self._shapes, self._axes, strict=True):
            stored = buffer[start:stop].reshape([shape[axis] for axis in axes])
            views.append(stored.transpose([axes.index(axis) for axis in range(len(axes))]))
        return views

    def _lay_out_gradients(self) -> None:
        """Make the gradient buffer, and have backward passes write into it."""
        self.grads = self.zeros()
        self.grad_views = self.views(self.grads)
        self._memories: dict[int, GradMemory] = {}
        for place, (parameter, view) in enumerate(zip(self.parameters, self.grad_views, strict=True)):
            if view.size >= _LARGE:
                stored = self.grads[self.starts[place] : self.stops[place]]
                self._memories[place] = parameter.grad_memory = GradMemory(stored, view, self._axes[place])

    def pack(self) -> None:
        """Take in again every parameter whose array was replaced (`p.data = ...`, another optimizer).

        Its values are written over those that are here. Raises, with nothing written, `DtypeError` or `ShapeError` for
        one that changed its kind, `ArgumentError` for one that looks into the memory of another.
        """
        for parameter, view in zip(self.parameters, self.value_views, strict=True):
            if parameter.array is not view:
                self._take_in_again()
                return

    def _take_in_again(self) -> None:
        moved = [place for place, view in enumerate(self.value_views) if self.parameters[place].array is not view]
        for place in moved:
            array = self.parameters[place].array
            self._check_like(place, "it", array)
            for other, parameter in enumerate(self.parameters):
                if other != place:
                    check_memory_apart("optimizer", (self.names[place], self.names[other]), array, parameter.array)
        self._take_in(moved)

    def _take_in(self, places: Sequence[int]) -> None:
        """Copy the arrays of these parameters into the buffer, and make the views of it theirs."""
        arrays = [self.parameters[place].array for place in places]
        for number, array in enumerate(arrays):
            if np.may_share_memory(array, self.values):  # two were swapped, or one transposed: read all, then write
                arrays[number] = np.empty_like(array)
                launch(copy, array, arrays[number])
        for place, array in zip(places, arrays, strict=True):
            launch(copy, array, self.value_views[place])
            self.parameters[place].array = self.value_views[place]

    def gather_gradients(self) -> tuple[bool, ...]:
        """Have every `.grad` in the gradient buffer, copying those elsewhere; say which parameters have one.

        The buffer is a new one if somebody keeps an earlier gradient that lies in the old. Raises `DtypeError` or
        `ShapeError` for a gradient that is not like its parameter.
        """
        gradients = [None if parameter.grad is None else parameter.grad.array for parameter in self.parameters]
        for place, memory in self._memories.items():
            array = gradients[place]
            if array is not None and memory.is_lent() and not memory.holds(array):
                self._lay_out_gradients()
                break
        for place, (array, view) in enumerate(zip(gradients, self.grad_views, strict=True)):
            if array is None:
                continue
            if array.shape != view.shape or array.dtype != view.dtype:
                self._check_like(place, "its gradient", array)
            memory = self._memories.get(place)
            if memory is None or not memory.holds(array):
                launch(copy, array, view)
        return tuple([array is not None for array in gradients])

    def _check_like(self, place: int, what: str, array: Array) -> None:
        message = (
            f"optimizer: {self.names[place]} was given as {self._shapes[place]} {self.dtype}, now {what} is "
            f"{array.shape} {array.dtype}; make the optimizer after changing the net (.double(), .float())"
        )
        if array.shape != self._shapes[place]:
            raise ShapeError(message)
        if array.dtype != self.dtype:
            raise DtypeError(message)
