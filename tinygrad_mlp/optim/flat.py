"""One flat buffer for many parameters, so that an optimizer step is one kernel and a checkpoint one array.

A parameter keeps its logical shape: its `.array` becomes a view into the buffer, with the same order of memory as before
(a weight stored (in, out) beneath a logical (out, in) stays so).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels.copy import copy, memory_order
from tinygrad_mlp.kernels.launch import Array, launch

__all__ = ["FlatBuffer", "aligned_zeros"]

_ALIGNMENT = 64  # bytes: one cache line, one AVX-512 vector


def aligned_zeros(size: int, dtype: np.dtype[np.generic]) -> Array:
    """A 1-d array of zeros that starts on a cache line."""
    room = np.zeros(size * dtype.itemsize + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size * dtype.itemsize].view(dtype)


class FlatBuffer:
    """Parameters of one dtype laid end to end, and their gradients in a second buffer of the same layout."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        dtype = self.parameters[0].dtype
        sizes = [parameter.numel() for parameter in self.parameters]
        self.offsets = [0, *np.cumsum(sizes, dtype=int).tolist()]
        self.values = aligned_zeros(self.offsets[-1], dtype)
        self.grads = aligned_zeros(self.offsets[-1], dtype)
        self.axes = [memory_order(parameter.array) for parameter in self.parameters]
        self.value_views = list(self.views(self.values))
        self.grad_views = list(self.views(self.grads))
        self._pack()

    def _pack(self) -> None:
        for parameter, view in zip(self.parameters, self.value_views, strict=True):
            launch(copy, parameter.array, view)
            parameter.array = view

    def repack(self) -> None:
        """Take back parameters whose array was replaced since (`p.data = ...`, another optimizer)."""
        for parameter, view in zip(self.parameters, self.value_views, strict=True):
            if parameter.array is not view:
                launch(copy, parameter.array, view)
                parameter.array = view

    def views(self, buffer: Array) -> Iterator[Array]:
        """Each parameter's part of a buffer of this layout, in its logical shape."""
        for position, (parameter, axes) in enumerate(zip(self.parameters, self.axes, strict=True)):
            part = buffer[self.offsets[position] : self.offsets[position + 1]]
            stored_shape = [parameter.shape[axis] for axis in axes]
            yield part.reshape(stored_shape).transpose(np.argsort(axes))

    def gather_gradients(self) -> tuple[bool, ...]:
        """Copy every `.grad` into the gradient buffer; say which parameters have one."""
        for parameter, view in zip(self.parameters, self.grad_views, strict=True):
            if parameter.grad is not None:
                launch(copy, parameter.grad.array, view)
        return tuple([parameter.grad is not None for parameter in self.parameters])
