"""The multiply-add tile of convolutions: rows and terms stand at offsets that tables list.

In a matrix product the rows of `a` and the terms of a sum are evenly apart. In a convolution they are not: an output
pixel's window is several pieces of rows of the image, and the pixels of one tile may lie in different rows. So here a
tile's rows stand at `a_rows[r]`, and its sums go over runs of neighbouring terms, which start at `a_runs[i]` in `a` and
`b_runs[i]` in `b`::

    out[out_rows[r] + v] = sum over i, k of a[a_rows[r] + a_runs[i] + k * a_step] * b[b_runs[i] + k * b_step + v]

Each sum is one chain of fused multiply-adds, over the runs and their terms in order.
"""
# Numba and llvmlite ship no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import types
from numba.extending import intrinsic

from tinygrad_mlp.kernels.launch import Array, subroutine
from tinygrad_mlp.kernels.simd import INDEX
from tinygrad_mlp.kernels.tile import FEW_ROWS, ROWS_1, ROWS_2, ROWS_3, TileWriter, address_of

__all__ = ["multiply_add_runs"]


class _OffsetTileWriter(TileWriter):
    """Writes the instructions of a tile whose rows and terms tables list."""

    def listed_rows(self, start: Any, table: Any) -> list[Any]:
        """Addresses of rows whose offsets from `start` stand in a table."""
        offsets = [self.builder.load(self.builder.gep(table, [number])) for number in self.row_numbers]
        return [self.builder.gep(start, [offset]) for offset in offsets]

    def multiply_runs(
        self,
        start: list[list[Any]],
        runs: Any,
        length: Any,
        a_rows: list[Any],
        a_runs: Any,
        a_step: Any,
        b: Any,
        b_runs: Any,
        b_step: Any,
    ) -> list[list[Any]]:
        """`start` plus the sums over all runs: a loop around the one over k."""
        builder = self.builder
        before = builder.block
        head, body, after = (builder.append_basic_block(name) for name in ("run_head", "run_body", "run_after"))
        builder.branch(head)

        builder.position_at_end(head)
        run = builder.phi(INDEX)
        sums = [[builder.phi(self.lanes.vector) for _ in self.vectors] for _ in self.rows]
        builder.cbranch(builder.icmp_signed("<", run, runs), body, after)

        builder.position_at_end(body)
        a_at, b_at = (builder.load(builder.gep(table, [run])) for table in (a_runs, b_runs))
        added = self.multiply(sums, length, a_rows, a_at, a_step, b, b_at, b_step)
        run.add_incoming(INDEX(0), before)
        run.add_incoming(builder.add(run, INDEX(1)), builder.block)
        for r in self.rows:
            for v in self.vectors:
                sums[r][v].add_incoming(start[r][v], before)
                sums[r][v].add_incoming(added[r][v], builder.block)
        self.keep_rolled(builder.branch(head))

        builder.position_at_end(after)
        return sums


@intrinsic(prefer_literal=True)
def _offset_tile(
    _typing: Any,
    rows: Any,
    vectors: Any,
    runs: Any,
    length: Any,
    a: Any,
    a_at: Any,
    a_rows: Any,
    a_rows_at: Any,
    a_runs: Any,
    runs_at: Any,
    a_step: Any,
    b: Any,
    b_at: Any,
    b_runs: Any,
    b_step: Any,
    bias: Any,
    bias_at: Any,
    has_bias: Any,
    floor: Any,
    out: Any,
    out_at: Any,
    out_rows: Any,
    continued: Any,
    present: Any,
    columns: Any,
) -> Any:
    is_shaped = isinstance(rows, types.IntegerLiteral) and isinstance(vectors, types.IntegerLiteral)
    if not is_shaped or not a.dtype == b.dtype == bias.dtype == floor == out.dtype:
        return None  # Numba then reports the types as it does for any function
    n, flag = types.intp, types.boolean
    # fmt: off
    signature = types.void(rows, vectors, n, n, a, n, a_rows, n, a_runs, n, n, b, n, b_runs, n, bias, n, flag, floor,
                           out, n, out_rows, flag, n, n)
    # fmt: on

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, _, runs_, length_, a_, a_at_, a_rows_, rows_at_, a_runs_, runs_at_, a_step_, b_, b_at_, b_runs_, *rest = args
        b_step_, bias_, bias_at_, has_bias_, floor_, out_, out_at_, out_rows_, continued_, *size = rest

        def address(kind: Any, array: Any, offset: Any) -> Any:
            return address_of(context, builder, kind, array, offset)

        element = context.get_data_type(out.dtype)
        writer = _OffsetTileWriter(builder, element, rows.literal_value, vectors.literal_value, *size)
        out_start, out_table = address(out, out_, out_at_), address(out_rows, out_rows_, rows_at_)
        sums = writer.start(continued_, writer.listed_rows(out_start, out_table))
        sums = writer.multiply_runs(
            sums,
            runs_,
            length_,
            writer.listed_rows(address(a, a_, a_at_), address(a_rows, a_rows_, rows_at_)),
            address(a_runs, a_runs_, runs_at_),
            a_step_,
            address(b, b_, b_at_),
            address(b_runs, b_runs_, runs_at_),
            b_step_,
        )
        sums = writer.add_bias(sums, has_bias_, address(bias, bias_, bias_at_))
        writer.store(sums, floor_, writer.listed_rows(out_start, out_table))
        return context.get_dummy_value()

    return signature, generate


_multiply_add_offset_tile: Callable[..., None] = cast(Any, _offset_tile)


@subroutine
def multiply_add_runs(
    vectors: int,
    first_row: int,
    last_row: int,
    first_run: int,
    last_run: int,
    length: int,
    a: Array,
    a_at: int,
    a_rows: Array,
    a_runs: Array,
    a_step: int,
    b: Array,
    b_at: int,
    b_runs: Array,
    b_step: int,
    bias: Array,
    bias_at: int,
    has_bias: bool,
    floor: float,
    out: Array,
    out_at: int,
    out_rows: Array,
    continued: bool,
    columns: int,
) -> None:
    """Any number of rows of 1 to 3 vectors, tile by tile: out = max([out +] sums [+ bias], floor).

    vectors, columns:
        How many vectors a row has, and how many columns: more than fill vectors - 1.
    first_row, last_row, a_rows, out_rows:
        Part of the two tables of rows, int64: offsets in `a` and in `out`.
    first_run, last_run, length, a_runs, b_runs:
        Part of the two tables of runs, int64, each of `length` terms; there may be none.
    a, a_at, a_step, b, b_at, b_step, bias, bias_at, out, out_at:
        Arrays, offsets to which those of the tables are added, and strides from term to term, in elements.
    has_bias, floor, continued:
        As in `multiply_add_tile`.
    """
    tall = ROWS_1 if vectors == 1 else ROWS_2 if vectors == 2 else ROWS_3
    runs = last_run - first_run
    for row in range(first_row, last_row, tall):
        present = min(tall, last_row - row)
        # fmt: off
        if present <= FEW_ROWS < tall:
            if vectors == 1:
                _multiply_add_offset_tile(FEW_ROWS, 1, runs, length, a, a_at, a_rows, row, a_runs, first_run, a_step,
                                          b, b_at, b_runs, b_step, bias, bias_at, has_bias, floor,
                                          out, out_at, out_rows, continued, present, columns)
            elif vectors == 2:
                _multiply_add_offset_tile(FEW_ROWS, 2, runs, length, a, a_at, a_rows, row, a_runs, first_run, a_step,
                                          b, b_at, b_runs, b_step, bias, bias_at, has_bias, floor,
                                          out, out_at, out_rows, continued, present, columns)
            else:
                _multiply_add_offset_tile(FEW_ROWS, 3, runs, length, a, a_at, a_rows, row, a_runs, first_run, a_step,
                                          b, b_at, b_runs, b_step, bias, bias_at, has_bias, floor,
                                          out, out_at, out_rows, continued, present, columns)
        elif vectors == 1:
            _multiply_add_offset_tile(ROWS_1, 1, runs, length, a, a_at, a_rows, row, a_runs, first_run, a_step,
                                      b, b_at, b_runs, b_step, bias, bias_at, has_bias, floor,
                                      out, out_at, out_rows, continued, present, columns)
        elif vectors == 2:
            _multiply_add_offset_tile(ROWS_2, 2, runs, length, a, a_at, a_rows, row, a_runs, first_run, a_step,
                                      b, b_at, b_runs, b_step, bias, bias_at, has_bias, floor,
                                      out, out_at, out_rows, continued, present, columns)
        else:
            _multiply_add_offset_tile(ROWS_3, 3, runs, length, a, a_at, a_rows, row, a_runs, first_run, a_step,
                                      b, b_at, b_runs, b_step, bias, bias_at, has_bias, floor,
                                      out, out_at, out_rows, continued, present, columns)
        # fmt: on
