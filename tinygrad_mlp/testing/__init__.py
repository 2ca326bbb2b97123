"""Test your own ops as this package tests its own: one declaration, checked over many shapes and memory layouts.

>>> @tg.op
... def cube(x):
...     def backward(grad, out):
...         return grad * 3.0 * x * x
...     return x.array**3, backward
>>> def test_cube():
...     check_case(OpCase("cube", cube, reference=lambda x: x**3, inputs=arrays(low=-2, high=2)))

`shapes`, `broadcastable_shapes`, `arrays` and `arrays_of` are hypothesis strategies, of use in any test. This module
needs hypothesis, which comes with `pip install 'tinygrad_mlp[test]'`.
"""

from __future__ import annotations

try:
    from tinygrad_mlp.testing.cases import Arguments, Constant, OpCase, arguments, check_case, check_example
    from tinygrad_mlp.testing.strategies import arrays, arrays_of, broadcastable_shapes, relaid, shapes
except ModuleNotFoundError as error:
    if error.name != "hypothesis":
        raise
    raise ImportError("tinygrad_mlp.testing needs hypothesis: pip install 'tinygrad_mlp[test]'") from error

__all__ = [
    "Arguments",
    "Constant",
    "OpCase",
    "arguments",
    "arrays",
    "arrays_of",
    "broadcastable_shapes",
    "check_case",
    "check_example",
    "relaid",
    "shapes",
]
