"""Squares of a matrix transposed in registers: to copy them, and for products with few columns.

Two columns of a product would fill two lanes of a vector. Where the rows of `a` are contiguous, they are computed the
other way round: a square of `a` is transposed, so that a vector holds one term of as many rows as it has lanes, and is
multiplied by one number of b for each column::

    sums[c, r] += a[r, k] * b[k, c]                            # a vector of r at a time

The sums are those of the other tiles, bit for bit: one chain of fused multiply-adds over k in rising order.
"""
# Numba and llvmlite ship no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import types
from numba.extending import intrinsic

from tinygrad_mlp.kernels.launch import Array, subroutine
from tinygrad_mlp.kernels.simd import INDEX, Lanes
from tinygrad_mlp.kernels.tile import VECTOR_BYTES, add_products, address_of

__all__ = ["MAX_TURNED", "add_products_turned", "transpose_square"]

MAX_TURNED = 4  # columns that `add_products_turned` takes


def _places(builder: Any, stride: Any, count: int, present: Any) -> list[Any]:
    """Offsets of `count` rows that are `stride` elements apart; rows beyond the last present one repeat it."""
    last = builder.sub(present, INDEX(1))
    numbers = [builder.select(builder.icmp_signed("<", INDEX(r), last), INDEX(r), last) for r in range(count)]
    return [builder.mul(number, stride) for number in numbers]


def _row_starts(builder: Any, address: Any, stride: Any, count: int, present: Any) -> list[Any]:
    """Addresses of such rows."""
    return [builder.gep(address, [place]) for place in _places(builder, stride, count, present)]


@intrinsic
def _transpose_square(
    _typing: Any,
    source: Any,
    source_at: Any,
    source_row: Any,
    target: Any,
    target_at: Any,
    target_row: Any,
    present: Any,
    columns: Any,
) -> Any:
    n = types.intp
    signature = types.void(source, n, n, target, n, n, n, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        source_, source_at, source_row, target_, target_at, target_row, present, columns = args
        lanes = Lanes(builder, context.get_data_type(source.dtype))
        first = address_of(context, builder, source, source_, source_at)
        starts = _row_starts(builder, first, source_row, lanes.count, present)
        rows = [lanes.load_first(start, columns) for start in starts]
        first = address_of(context, builder, target, target_, target_at)
        for number, row in enumerate(lanes.transposed(rows)):
            lanes.store(row, builder.gep(first, [builder.mul(INDEX(number), target_row)]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def _multiply_add_turned(
    _typing: Any,
    size: Any,
    squares: Any,
    a: Any,
    a_at: Any,
    a_row: Any,
    b: Any,
    b_at: Any,
    b_step: Any,
    out: Any,
    out_at: Any,
    out_row: Any,
    continued: Any,
    present: Any,
    columns: Any,
) -> Any:
    if not isinstance(size, types.IntegerLiteral) or not a.dtype == b.dtype == out.dtype:
        return None  # Numba then reports the types as it does for any function
    n = types.intp
    signature = types.void(size, n, a, n, n, b, n, n, out, n, n, types.boolean, n, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, squares, a_, a_at, a_row, b_, b_at, b_step, out_, out_at, out_row, continued, *sizes = args
        present, columns = sizes
        lanes = Lanes(builder, context.get_data_type(out.dtype))
        side, count = lanes.count, size.literal_value
        a_start, b_start = address_of(context, builder, a, a_, a_at), address_of(context, builder, b, b_, b_at)
        out_start = address_of(context, builder, out, out_, out_at)
        a_rows = _row_starts(builder, a_start, a_row, side, present)
        out_rows = _row_starts(builder, out_start, out_row, count, columns)
        b_columns = [builder.gep(b_start, [place]) for place in _places(builder, INDEX(1), count, columns)]
        start = [builder.select(continued, lanes.load_first(row, present), lanes.zero) for row in out_rows]

        before = builder.block
        head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
        builder.branch(head)

        builder.position_at_end(head)
        square, b_now = builder.phi(INDEX), builder.phi(INDEX)
        sums = [builder.phi(lanes.vector) for _ in range(count)]
        builder.cbranch(builder.icmp_signed("<", square, squares), body, after)

        builder.position_at_end(body)
        k = builder.mul(square, INDEX(side))
        terms = lanes.transposed([lanes.load(builder.gep(row, [k])) for row in a_rows])
        added, b_at = list(sums), b_now
        for term in terms:
            for c in range(count):
                factor = lanes.broadcast(builder.load(builder.gep(b_columns[c], [b_at])))
                added[c] = lanes.multiply_add(term, factor, added[c])
            b_at = builder.add(b_at, b_step)
        for counter, following in ((square, builder.add(square, INDEX(1))), (b_now, b_at)):
            counter.add_incoming(INDEX(0), before)
            counter.add_incoming(following, builder.block)
        for c in range(count):
            sums[c].add_incoming(start[c], before)
            sums[c].add_incoming(added[c], builder.block)
        builder.branch(head)

        builder.position_at_end(after)
        for row, value in zip(out_rows, sums, strict=True):
            lanes.store_first(value, row, present)
        return context.get_dummy_value()

    return signature, generate


multiply_add_turned: Callable[..., None] = cast(Any, _multiply_add_turned)
"""Rows of a, up to a vector of them: out = [out +] (a @ b).T, all arguments by position.

size:
    For how many columns there is room: a literal.
squares:
    How many terms a sum has, in vectors.
a, a_at, a_row:
    Array, offset of its first element, and stride from row to row in elements; the terms of a row are neighbours.
b, b_at, b_step:
    Array, offset, and stride from term to term; columns are neighbours.
out, out_at, out_row, continued:
    What is written, rows of it being columns of b; if continued, the sums go on from what stands there.
present, columns:
    How many rows of a there are, 1 to those of a square, and how many columns of b, 1 to `size`.
"""

transpose_square: Callable[..., None] = cast(Any, _transpose_square)
"""Write the transpose of a square of one vector of rows to `target`, all arguments by position.

source, source_at, source_row, target, target_at, target_row:
    Arrays, offsets of the first elements, and strides from row to row, in elements.
present, columns:
    How many rows and columns of the source there are: 1 to those of a square. The rest of the square is written with
    repeated rows and zeros.
"""


@subroutine
def add_products_turned(
    columns: int,
    k_size: int,
    a: Array,
    a_at: int,
    a_row: int,
    b: Array,
    b_at: int,
    b_step: int,
    out: Array,
    rows: int,
    continued: bool,
) -> None:
    """Out (columns, rows) = [out +] (a (rows, k_size) @ b (k_size, columns)).T, for 1 to MAX_TURNED columns.

    The terms of a row of `a` are neighbours in memory, and so are the columns of b; out is contiguous.
    """
    side = VECTOR_BYTES // out.itemsize
    squares = k_size // side
    whole = squares * side
    for r in range(0, rows, side):
        here, present = a_at + r * a_row, min(side, rows - r)
        # fmt: off
        if columns <= 2:
            multiply_add_turned(2, squares, a, here, a_row, b, b_at, b_step, out, r, rows, continued, present, columns)
        else:
            multiply_add_turned(4, squares, a, here, a_row, b, b_at, b_step, out, r, rows, continued, present, columns)
        # fmt: on
    if whole < k_size:  # what is left fills no square: transposed into memory, with zeros around it
        width = (rows + side - 1) // side * side
        turned = np.empty(side * width, out.dtype)
        for r in range(0, rows, side):
            here, present = a_at + r * a_row + whole, min(side, rows - r)
            transpose_square(a, here, a_row, turned, r, width, present, k_size - whole)
        add_products(
            columns,
            k_size - whole,
            b,
            b_at + whole * b_step,
            1,
            b_step,
            turned,
            0,
            width,
            out,
            0,
            rows,
            continued or squares > 0,
        )
