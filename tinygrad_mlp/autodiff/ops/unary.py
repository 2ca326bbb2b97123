"""What the ops of one operand share: a floating-point operand, an output that lies in memory as it does, no slope."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.errors import DtypeError
from tinygrad_mlp.kernels.copy import converted
from tinygrad_mlp.kernels.elementwise import fill
from tinygrad_mlp.kernels.launch import Array, Kernel, apply_ufunc, launch
from tinygrad_mlp.kernels.memory import empty_like
from tinygrad_mlp.kernels.transpose import in_order_of

__all__ = ["apply_flat", "array_of", "float_ufunc", "floating", "zero_gradient"]


def array_of(name: str, x: Any) -> Array:
    """The array of a Tensor. Raises `DtypeError` for anything else."""
    if isinstance(x, Tensor):
        return x.array
    raise DtypeError(f"{name}: expected a Tensor, got {type(x).__name__}; tg.tensor(...) makes one")


def floating(name: str, x: Tensor) -> Array:
    """The array of a Tensor, integers and bools converted to float32."""
    array = array_of(name, x)
    return array if array.dtype.kind == "f" else converted(array, np.float32)


def float_ufunc(name: str, ufunc: np.ufunc, x: Tensor) -> Array:
    """A NumPy function of one floating-point operand."""
    return apply_ufunc(ufunc, floating(name, x))


def apply_flat(kernel: Kernel, x: Tensor, *arguments: Tensor | float) -> Array:
    """Launch an elementwise kernel into a new array; `arguments` follow x in its call.

    The result lies in memory as the last of the tensors: a gradient as what it is the gradient of, in whatever order
    it arrives.
    """
    array = like = floating(kernel.name, x)
    others: list[Any] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            argument = like = argument.array
        others.append(argument)
    out = empty_like(like)
    if array.strides != out.strides and array.shape == out.shape:
        array = in_order_of(out, array)
    launch(kernel, array, *others, out, work=out.size // 2)
    return out


def zero_gradient(x: Tensor) -> Tensor:
    """The gradient of a step function by x: 0 everywhere, as in PyTorch."""
    out = empty_like(x.array)
    launch(fill, out, 0.0)
    return wrap(out)
