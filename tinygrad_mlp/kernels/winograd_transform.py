"""The transforms of Winograd's convolution F(2×2, 3×3), as vector code: L X Lᵀ for small matrices X of vectors.

Lavin & Gray 2016, "Fast algorithms for convolutional neural networks" (arXiv:1509.09308), equation 8: an output tile of
2 × 2 pixels is Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A, for a kernel g of 3 × 3 taps and an input tile d of 4 × 4 pixels. The
gradients need the transposes: A dY Aᵀ of an output tile's gradient, and Gᵀ U G back to the 3 × 3 taps.
"""
# Numba and llvmlite ship no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tinygrad_mlp.kernels.simd import INDEX, Lanes
from tinygrad_mlp.kernels.tile import address_of

__all__ = ["GRADIENT", "INPUT", "WEIGHT", "WEIGHT_GRADIENT", "transform", "transform_output"]

Matrix = tuple[tuple[float, ...], ...]

_B_TRANSPOSED: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_A_TRANSPOSED: Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))
_G: Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))


def _transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


INPUT, WEIGHT, GRADIENT, WEIGHT_GRADIENT = 0, 1, 2, 3
_MATRICES: dict[int, Matrix] = {
    INPUT: _B_TRANSPOSED,
    WEIGHT: _G,
    GRADIENT: _transposed(_A_TRANSPOSED),
    WEIGHT_GRADIENT: _transposed(_G),
}


class _TransformWriter:
    """Writes the instructions of one transform at the place where `builder` stands."""

    def __init__(self, builder: Any, element: Any, matrix: Matrix) -> None:
        self.builder = builder
        self.element = element
        self.lanes = Lanes(builder, element)
        self.matrix = matrix

    def transformed(self, start: Any, row: Any, column: Any) -> list[list[Any]]:
        """L X Lᵀ of the vectors X that lie `row` and `column` elements apart."""
        size = range(len(self.matrix[0]))
        rows = [[self.lanes.load(self.place(start, r, row, s, column)) for s in size] for r in size]
        columns = [[self._combined(weights, [rows[r][s] for r in size]) for s in size] for weights in self.matrix]
        return [[self._combined(weights, line) for weights in self.matrix] for line in columns]

    def place(self, start: Any, r: int, row: Any, s: int, column: Any) -> Any:
        """Address of element (r, s) of a matrix of vectors."""
        offset = self.builder.add(self.builder.mul(INDEX(r), row), self.builder.mul(INDEX(s), column))
        return self.builder.gep(start, [offset])

    def _combined(self, weights: tuple[float, ...], vectors: list[Any]) -> Any:
        """The sum of vectors by weights; nothing is written for weights of 0 and 1."""
        total = None
        for weight, vector in zip(weights, vectors, strict=True):
            if weight == 0:
                continue
            is_plain = abs(weight) == 1
            factor = abs(weight) if total is not None else weight
            term = vector if is_plain and factor == 1 else self.builder.fmul(self._constant(factor), vector)
            if total is None:
                total = term
            else:
                total = self.builder.fsub(total, term) if weight < 0 else self.builder.fadd(total, term)
        return total

    def _constant(self, value: float) -> Any:
        return ir.Constant(self.lanes.vector, [ir.Constant(self.element, value)] * self.lanes.count)


@intrinsic(prefer_literal=True)
def _transform(
    _typing: Any,
    kind: Any,
    source: Any,
    source_at: Any,
    source_row: Any,
    source_column: Any,
    target: Any,
    target_at: Any,
    target_row: Any,
    target_column: Any,
) -> Any:
    if not isinstance(kind, types.IntegerLiteral) or source.dtype != target.dtype:
        return None  # Numba then reports the types as it does for any function
    n = types.intp
    signature = types.void(kind, source, n, n, n, target, n, n, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, source_, source_at, source_row, source_column, target_, target_at, target_row, target_column = args
        writer = _TransformWriter(builder, context.get_data_type(source.dtype), _MATRICES[kind.literal_value])
        start = address_of(context, builder, source, source_, source_at)
        results = writer.transformed(start, source_row, source_column)
        end = address_of(context, builder, target, target_, target_at)
        for r, line in enumerate(results):
            for s, vector in enumerate(line):
                writer.lanes.store(vector, writer.place(end, r, target_row, s, target_column))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _transform_output(
    _typing: Any,
    source: Any,
    source_at: Any,
    source_row: Any,
    source_column: Any,
    bias: Any,
    bias_at: Any,
    has_bias: Any,
    floor: Any,
    target: Any,
    target_at: Any,
    target_row: Any,
    target_column: Any,
    rows: Any,
    columns: Any,
) -> Any:
    if not source.dtype == bias.dtype == floor == target.dtype:
        return None
    n = types.intp
    signature = types.void(source, n, n, n, bias, n, types.boolean, floor, target, n, n, n, n, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        source_, source_at, source_row, source_column, bias_, bias_at, has_bias, floor_, *rest = args
        target_, target_at, target_row, target_column, rows, columns = rest
        writer = _TransformWriter(builder, context.get_data_type(source.dtype), _A_TRANSPOSED)
        lanes = writer.lanes
        start = address_of(context, builder, source, source_, source_at)
        results = writer.transformed(start, source_row, source_column)
        before = builder.block
        with builder.if_then(has_bias):
            added = lanes.load(address_of(context, builder, bias, bias_, bias_at))
            adding = builder.block
        shift = builder.phi(lanes.vector)
        shift.add_incoming(lanes.zero, before)
        shift.add_incoming(added, adding)
        floors = lanes.broadcast(floor_)
        end = address_of(context, builder, target, target_, target_at)
        for r, line in enumerate(results):
            for s, vector in enumerate(line):
                value = lanes.at_least(floors, builder.fadd(vector, shift))
                inside = builder.and_(
                    builder.icmp_signed("<", INDEX(r), rows), builder.icmp_signed("<", INDEX(s), columns)
                )
                with builder.if_then(inside, likely=True):
                    lanes.store(value, writer.place(end, r, target_row, s, target_column))
        return context.get_dummy_value()

    return signature, generate


transform: Callable[..., None] = cast(Any, _transform)
"""One transform of one vector of channels, all arguments by position.

kind:
    A literal: INPUT (4 × 4 -> 4 × 4), WEIGHT (3 × 3 -> 4 × 4), GRADIENT (2 × 2 -> 4 × 4) or WEIGHT_GRADIENT
    (4 × 4 -> 3 × 3).
source, source_at, source_row, source_column, target, target_at, target_row, target_column:
    Arrays, offsets of the first elements, and strides from row to row and column to column, in elements. A whole vector
    is read and written at each place.
"""

transform_output: Callable[..., None] = cast(Any, _transform_output)
"""An output tile of one vector of channels, (4 × 4 -> 2 × 2), plus bias, at least `floor`; arguments by position.

source … source_column, target … target_column:
    As in `transform`.
bias, bias_at, has_bias, floor:
    Added if has_bias; a scalar of the dtype: 0 for ReLU, minus infinity for no bound.
rows, columns:
    How many of the two rows and columns are in the output: 1 or 2.
"""
