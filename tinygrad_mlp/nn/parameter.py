"""`Parameter`: a Tensor that a Module trains."""

from __future__ import annotations

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels.launch import Array

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A leaf Tensor that requires grad and, as an attribute of a `Module`, is found by `parameters()`.

    Parameters
    ----------
    data:
        The values, float32 or float64: a Tensor (without its history) or an ndarray. The memory is shared, not copied.
    requires_grad:
        False freezes it: no gradient, but still part of the state dict.

    Raises
    ------
    DtypeError
        `data` is neither, or holds no floating-point numbers although `requires_grad`.
    """

    __slots__ = ()

    def __init__(self, data: Tensor | Array, requires_grad: bool = True) -> None:
        if isinstance(data, Tensor):
            super().__init__(data.array, requires_grad)
            self.counter = data.counter  # one memory, one count of writes
        else:
            super().__init__(data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
