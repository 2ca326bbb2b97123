"""The multiply-add tile: a block of a matrix product that stays in registers from its first term to its last.

A tile of R rows and V vectors holds R · V sums. For each k it loads V vectors from row k of b, and multiplies them by
one number from each of R rows of a::

    sums[r, v] += a[r, k] * b[k, v]

so that R · V multiply-adds stand against R + V loads. The multiply-add units are kept busy by eight or more sums, since
each addition to a sum waits for the one before (4 cycles, two units); more sums than registers would go to memory.

Each sum is one chain of fused multiply-adds over k in rising order, started at zero: its bits do not depend on which
tile it is in, nor where. A long chain may be cut: a tile can start from the sums that an earlier one wrote.
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

from tinygrad_mlp.kernels.launch import Array, device, subroutine
from tinygrad_mlp.kernels.simd import INDEX, TARGET, Lanes

__all__ = [
    "FEW_ROWS",
    "MAX_VECTORS",
    "ROWS_1",
    "ROWS_2",
    "ROWS_3",
    "VECTOR_BYTES",
    "WIDE_VECTORS",
    "TileWriter",
    "add_products",
    "address_of",
    "multiply_add_rows",
    "multiply_add_tile",
]

VECTOR_BYTES = TARGET.vector_bytes
MAX_VECTORS = 3
# A single row has wider tiles: it needs as many sums to keep the units busy, and b is read in longer pieces.
WIDE_VECTORS = 8
# Rows of the tiles of 1, 2 and 3 vectors: their sums, a row of b and one number of a fit the registers.
ROWS_1, ROWS_2, ROWS_3 = (8, 8, 8) if TARGET.registers == 32 else (8, 6, 4)
FEW_ROWS = 4  # of the tiles for what is left over below


class TileWriter:
    """Writes the instructions of a tile, of which rows and columns may lie outside the product.

    Rows beyond the last present one repeat it: they read, compute and write what it does. The last vector is moved
    back to end with the last column, and shares lanes with the one before. So there is no branch, and nothing outside
    is touched. Lanes are masked only in a product of less than one vector. (A wide tile moves back whatever vectors
    lie beyond.)
    """

    def __init__(self, builder: Any, element: Any, rows: int, vectors: int, present: Any, columns: Any) -> None:
        self.builder = builder
        self.lanes = Lanes(builder, element)
        self.rows = range(rows)
        self.vectors = range(vectors)
        last_row = builder.sub(present, INDEX(1))
        self.row_numbers = [self._smaller(INDEX(r), last_row) for r in self.rows]
        self.last_lanes = self._smaller(columns, INDEX(self.lanes.count))
        self.last_column = builder.sub(columns, self.last_lanes)

    def _smaller(self, x: Any, y: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

    def row_starts(self, address: Any, stride: Any) -> list[Any]:
        """Addresses of rows that are `stride` elements apart."""
        return [self.builder.gep(address, [self.builder.mul(number, stride)]) for number in self.row_numbers]

    def _columns(self, row: Any, vector: int) -> Any:
        """Address of one vector of a row."""
        column = INDEX(vector * self.lanes.count)
        if vector == self.vectors[-1]:
            column = self.last_column
        elif vector >= MAX_VECTORS:
            column = self._smaller(column, self.last_column)
        return self.builder.gep(row, [column])

    def _load_row(self, row: Any) -> list[Any]:
        *others, last = (self._columns(row, vector) for vector in self.vectors)
        return [*map(self.lanes.load, others), self.lanes.load_first(last, self.last_lanes)]

    def _where(self, condition: Any, change: Callable[[], list[list[Any]]], sums: list[list[Any]]) -> list[list[Any]]:
        """What `change` makes of the sums where the condition holds, else the sums as they are."""
        builder = self.builder
        before, changing, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(condition, changing, after)

        builder.position_at_end(changing)
        changed = change()
        changing = builder.block
        builder.branch(after)

        builder.position_at_end(after)
        results = [[builder.phi(self.lanes.vector) for _ in self.vectors] for _ in self.rows]
        for r in self.rows:
            for v in self.vectors:
                results[r][v].add_incoming(sums[r][v], before)
                results[r][v].add_incoming(changed[r][v], changing)
        return results

    def start(self, continued: Any, out_rows: list[Any]) -> list[list[Any]]:
        """The sums to start from: zero, or what stands in `out`."""
        zero = [[self.lanes.zero for _ in self.vectors] for _ in self.rows]
        return self._where(continued, lambda: [self._load_row(row) for row in out_rows], zero)

    def multiply(
        self,
        start: list[list[Any]],
        k_size: Any,
        a_rows: list[Any],
        a_at: Any,
        a_step: Any,
        b: Any,
        b_at: Any,
        b_step: Any,
    ) -> list[list[Any]]:
        """`start` plus the sums of a[r, k] * b[k, v] over k: as a loop that adds one k at a time.

        a_rows are addresses; a_at and b_at are where k = 0 stands behind them.
        """
        builder, lanes = self.builder, self.lanes
        before = builder.block
        head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
        builder.branch(head)

        builder.position_at_end(head)
        counters = [(builder.phi(INDEX), step) for step in (INDEX(1), a_step, b_step)]
        (k, _), (a_now, _), (b_now, _) = counters
        sums = [[builder.phi(lanes.vector) for _ in self.vectors] for _ in self.rows]
        builder.cbranch(builder.icmp_signed("<", k, k_size), body, after)

        builder.position_at_end(body)
        b_row = self._load_row(builder.gep(b, [b_now]))
        added: list[list[Any]] = []
        for r in self.rows:
            factor = lanes.broadcast(builder.load(builder.gep(a_rows[r], [a_now])))
            added.append([lanes.multiply_add(factor, b_row[v], sums[r][v]) for v in self.vectors])
        following = [(counter, builder.add(counter, step)) for counter, step in counters]
        for (counter, value), first in zip(following, (INDEX(0), a_at, b_at), strict=True):
            counter.add_incoming(first, before)
            counter.add_incoming(value, builder.block)
        for r in self.rows:
            for v in self.vectors:
                sums[r][v].add_incoming(start[r][v], before)
                sums[r][v].add_incoming(added[r][v], builder.block)
        self.keep_rolled(builder.branch(head))

        builder.position_at_end(after)
        return sums

    def keep_rolled(self, jump: Any) -> None:
        """Keep the compiler from unrolling the loop that ends with `jump`.

        It would load ahead, and put sums into memory to make room.
        """
        module = self.builder.module
        loop = module.add_metadata([module.add_metadata(["llvm.loop.unroll.disable"])])
        loop.operands = (loop, *loop.operands)  # a loop is named by a node that refers to itself
        jump.set_metadata("llvm.loop", loop)

    def add_bias(self, sums: list[list[Any]], has_bias: Any, bias: Any) -> list[list[Any]]:
        """The sums plus the bias of their columns, if there is one."""

        def added() -> list[list[Any]]:
            bias_row = self._load_row(bias)
            return [[self.builder.fadd(sums[r][v], bias_row[v]) for v in self.vectors] for r in self.rows]

        return self._where(has_bias, added, sums)

    def store(self, sums: list[list[Any]], floor: Any, out_rows: list[Any]) -> None:
        """Write the sums, or `floor` where that is greater."""
        floors = self.lanes.broadcast(floor)
        for r, row in enumerate(out_rows):
            for v in self.vectors:
                value = self.lanes.at_least(floors, sums[r][v])
                if v == self.vectors[-1]:
                    self.lanes.store_first(value, self._columns(row, v), self.last_lanes)
                else:
                    self.lanes.store(value, self._columns(row, v))


def address_of(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Pointer to an element of an array; from its data pointer, as LLVM loses track of one made from an integer."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


@intrinsic(prefer_literal=True)
def _multiply_add_tile(
    _typing: Any,
    rows: Any,
    vectors: Any,
    k_size: Any,
    a: Any,
    a_at: Any,
    a_row: Any,
    a_step: Any,
    b: Any,
    b_at: Any,
    b_step: Any,
    bias: Any,
    bias_at: Any,
    has_bias: Any,
    floor: Any,
    out: Any,
    out_at: Any,
    out_row: Any,
    continued: Any,
    present: Any,
    columns: Any,
) -> Any:
    is_shaped = isinstance(rows, types.IntegerLiteral) and isinstance(vectors, types.IntegerLiteral)
    if not is_shaped or not a.dtype == b.dtype == bias.dtype == floor == out.dtype:
        return None  # Numba then reports the types as it does for any function
    n, flag = types.intp, types.boolean
    signature = types.void(rows, vectors, n, a, n, n, n, b, n, n, bias, n, flag, floor, out, n, n, flag, n, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, _, k_size, a_, a_at, a_row, a_step, b_, b_at, b_step, bias_, bias_at, *rest = args
        has_bias, floor, out_, out_at, out_row, continued, *size = rest
        a_start = address_of(context, builder, a, a_, a_at)
        b_start = address_of(context, builder, b, b_, b_at)
        bias_start = address_of(context, builder, bias, bias_, bias_at)
        out_start = address_of(context, builder, out, out_, out_at)
        element = context.get_data_type(out.dtype)
        writer = TileWriter(builder, element, rows.literal_value, vectors.literal_value, *size)
        sums = writer.start(continued, writer.row_starts(out_start, out_row))
        a_rows = writer.row_starts(a_start, a_row)
        sums = writer.multiply(sums, k_size, a_rows, INDEX(0), a_step, b_start, INDEX(0), b_step)
        sums = writer.add_bias(sums, has_bias, bias_start)
        writer.store(sums, floor, writer.row_starts(out_start, out_row))
        return context.get_dummy_value()

    return signature, generate


multiply_add_tile: Callable[..., None] = cast(Any, _multiply_add_tile)
"""One tile: out = max([out +] a @ b [+ bias], floor), all arguments by position.

rows, vectors:
    Size of the tile: literals.
k_size:
    How many terms a sum has; 0 is allowed.
a, a_at, a_row, a_step:
    Array, offset of its first element, and strides from row to row and from k to k, all in elements.
b, b_at, b_step:
    The same; columns of b, of bias and of out are neighbours in memory.
bias, bias_at, has_bias:
    Added to each row if has_bias.
floor:
    A scalar of the dtype: 0 for ReLU, minus infinity for no bound.
out, out_at, out_row, continued:
    What is written; if continued, the sums go on from what stands there.
present, columns:
    How many rows there are, at least 1, and how many columns: more than fill vectors - 1 (or MAX_VECTORS, in a wider
    tile), at most as many as fill vectors.
"""


@device
def multiply_add_rows(
    vectors: int,
    rows: int,
    k_size: int,
    a: Array,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Array,
    b_at: int,
    b_step: int,
    bias: Array,
    bias_at: int,
    has_bias: bool,
    floor: float,
    out: Array,
    out_at: int,
    out_row: int,
    continued: bool,
    columns: int,
) -> None:
    """Any number of rows of 1 to 3 vectors, tile by tile; the arguments are those of `multiply_add_tile`.

    A single row may have up to WIDE_VECTORS.
    """
    tall = ROWS_1 if vectors == 1 else ROWS_2 if vectors == 2 else ROWS_3
    for row in range(0, rows, tall):
        a_from, out_from, present = a_at + row * a_row, out_at + row * out_row, min(tall, rows - row)
        # fmt: off
        if present == 1:
            if vectors == 1:
                multiply_add_tile(1, 1, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                                  has_bias, floor, out, out_from, out_row, continued, present, columns)
            elif vectors == 2:
                multiply_add_tile(1, 2, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                                  has_bias, floor, out, out_from, out_row, continued, present, columns)
            elif vectors == 3:
                multiply_add_tile(1, 3, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                                  has_bias, floor, out, out_from, out_row, continued, present, columns)
            else:
                multiply_add_tile(1, WIDE_VECTORS, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                                  has_bias, floor, out, out_from, out_row, continued, present, columns)
        elif present <= FEW_ROWS < tall:
            if vectors == 1:
                multiply_add_tile(FEW_ROWS, 1, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                                  has_bias, floor, out, out_from, out_row, continued, present, columns)
            elif vectors == 2:
                multiply_add_tile(FEW_ROWS, 2, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                                  has_bias, floor, out, out_from, out_row, continued, present, columns)
            else:
                multiply_add_tile(FEW_ROWS, 3, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                                  has_bias, floor, out, out_from, out_row, continued, present, columns)
        elif vectors == 1:
            multiply_add_tile(ROWS_1, 1, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                              has_bias, floor, out, out_from, out_row, continued, present, columns)
        elif vectors == 2:
            multiply_add_tile(ROWS_2, 2, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                              has_bias, floor, out, out_from, out_row, continued, present, columns)
        else:
            multiply_add_tile(ROWS_3, 3, k_size, a, a_from, a_row, a_step, b, b_at, b_step, bias, bias_at,
                              has_bias, floor, out, out_from, out_row, continued, present, columns)
        # fmt: on


@subroutine
def add_products(
    rows: int,
    k_size: int,
    a: Array,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Array,
    b_at: int,
    b_step: int,
    out: Array,
    out_at: int,
    columns: int,
    continued: bool,
) -> None:
    """Out (rows, columns) = [out +] a (rows, k_size) @ b (k_size, columns), in panels of up to 3 vectors.

    `a` has any strides, b rows that are b_step apart; out is contiguous from its offset on.
    """
    side = VECTOR_BYTES // out.itemsize
    vectors = (columns + side - 1) // side
    panels = (vectors + MAX_VECTORS - 1) // MAX_VECTORS
    floor = out.dtype.type(-np.inf)
    for panel in range(panels):
        first, last = panel * vectors // panels, (panel + 1) * vectors // panels
        column = first * side
        width, b_from, out_from = min(last * side, columns) - column, b_at + column, out_at + column
        # fmt: off
        if rows == last - first == 2:  # a tile of FEW_ROWS would do the work of each row twice
            multiply_add_tile(2, 2, k_size, a, a_at, a_row, a_step, b, b_from, b_step,
                              out, 0, False, floor, out, out_from, columns, continued, rows, width)
        else:
            multiply_add_rows(last - first, rows, k_size, a, a_at, a_row, a_step, b, b_from, b_step,
                              out, 0, False, floor, out, out_from, columns, continued, width)
        # fmt: on
