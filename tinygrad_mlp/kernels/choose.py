"""Choose between two values, element by element.

NumPy's own choosers take a branch for every element, which is slow where the condition is irregular; floats have
compiled kernels without branches.
"""

import numpy as np

from tinygrad_mlp.kernels.launch import Array, kernel, select

__all__ = ["choose", "choose_floats", "put_number"]


@kernel(writes=("out",), compiled=False)
def choose(condition: Array, x: Array | float, y: Array | float, out: Array) -> None:
    """`x` where the condition holds, else `y`; any dtypes, all three broadcast to the shape of `out`."""
    np.copyto(out, y)
    np.copyto(out, x, where=condition)


@kernel(writes=("out",), flat=True)
def choose_floats(condition: Array, x: Array, y: Array, out: Array) -> None:
    """`x` where the condition holds, else `y`; arrays of one shape, x and y of one floating-point dtype."""
    for i in range(out.size):
        out[i] = select(condition[i], x[i], y[i])


@kernel(writes=("out",), flat=True)
def put_number(condition: Array, when: bool, value: float, x: Array, out: Array) -> None:
    """`value` where the condition is equal to `when`, else `x`; condition and x of one shape, x floating-point."""
    number = x.dtype.type(value)
    for i in range(out.size):
        out[i] = select(condition[i] == when, number, x[i])
