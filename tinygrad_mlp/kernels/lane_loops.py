"""Loops over the lines of a block with one number in each lane held in a register, written as LLVM code.

The compiler's own vector code for such a loop (see `lanes`) reads what belongs to the lanes, their sums and means, from
memory again in each line, and uses half of AVX-512's width. Here a loop takes a few vectors of lanes at a time down all
lines of the block. Each lane's sum is still one chain over the lines in rising order, so the bits are the same.

A loop has streams, read at each line, and outputs, written there; constants, one number for each lane; and sums, one
number for each lane, which go on from what they were. What it does to them is one of the functions below, on vectors.
"""
# Numba and llvmlite ship no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from numba import types
from numba.extending import intrinsic

from tinygrad_mlp.kernels.simd import INDEX, Lanes
from tinygrad_mlp.kernels.tile import address_of

__all__ = [
    "add_gradients",
    "add_gradients_relu",
    "add_lines",
    "add_squares",
    "scale_gradients",
    "scale_gradients_relu",
    "scale_lines",
    "scale_lines_relu",
]

# Vectors of lanes that go down the lines together. More of them read memory in longer pieces; what they hold must fit
# the registers, but for a step without sums, whose constants may as well come from the cache.
_GROUP, _WIDE_GROUP = 8, 16

Vectors: TypeAlias = list[Any]
# (lanes, streams, constants, sums) -> (sums, outputs), each a list of vectors
Step: TypeAlias = Callable[[Lanes, Vectors, Vectors, Vectors], tuple[Vectors, Vectors]]


class _LoopWriter:
    """Writes the loops of one step over `lines` lines of `width` lanes, which lie `stride` numbers apart."""

    def __init__(self, builder: Any, element: Any, step: Step, group: int, lines: Any, width: Any, stride: Any) -> None:
        self.builder = builder
        self.lanes = Lanes(builder, element)
        self.step = step
        self.group = group
        self.lines, self.width, self.stride = lines, width, stride

    def write(self, streams: Vectors, constants: Vectors, sums: Vectors, outputs: Vectors) -> None:
        """Groups of vectors first, then vectors, of which the last may be a part: arguments are addresses."""
        arrays = streams, constants, sums, outputs
        group = INDEX(self.group * self.lanes.count)
        in_groups = self.builder.sub(self.width, self.builder.srem(self.width, group))
        self._columns(INDEX(0), in_groups, self.group, arrays)
        self._columns(in_groups, self.width, 0, arrays)

    def _columns(self, start: Any, stop: Any, group: int, arrays: tuple[Vectors, ...]) -> None:
        """A loop over columns: groups of `group` whole vectors, or single ones of which the last may be a part."""
        builder = self.builder
        before = builder.block
        head, body, after = (builder.append_basic_block(name) for name in ("lanes_head", "lanes_body", "lanes_after"))
        builder.branch(head)

        builder.position_at_end(head)
        column = builder.phi(INDEX)
        column.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<", column, stop), body, after)

        builder.position_at_end(body)
        present = None if group else builder.sub(stop, column)
        self._down(column, max(group, 1), present, *arrays)
        column.add_incoming(builder.add(column, INDEX(max(group, 1) * self.lanes.count)), builder.block)
        builder.branch(head)

        builder.position_at_end(after)

    def _down(
        self,
        column: Any,
        group: int,
        present: Any,
        streams: Vectors,
        constants: Vectors,
        sums: Vectors,
        outputs: Vectors,
    ) -> None:
        """One group of vectors down all lines; `present` lanes of it, or all."""
        builder, count = self.builder, self.lanes.count
        offsets = [builder.add(column, INDEX(v * count)) for v in range(group)]
        fixed = [[self._load(array, offset, present) for array in constants] for offset in offsets]
        started = [[self._load(array, offset, present) for array in sums] for offset in offsets]
        before = builder.block
        head, body, after = (builder.append_basic_block(name) for name in ("lines_head", "lines_body", "lines_after"))
        builder.branch(head)

        builder.position_at_end(head)
        line, at = builder.phi(INDEX), builder.phi(INDEX)
        running = [[builder.phi(self.lanes.vector) for _ in sums] for _ in offsets]
        builder.cbranch(builder.icmp_signed("<", line, self.lines), body, after)

        builder.position_at_end(body)
        changed: list[Vectors] = []
        for v, offset in enumerate(offsets):
            place = builder.add(at, offset)
            read = [self._load(array, place, present) for array in streams]
            new, written = self.step(self.lanes, read, fixed[v], running[v])
            changed.append(new)
            for array, value in zip(outputs, written, strict=True):
                self._store(value, array, place, present)
        line.add_incoming(INDEX(0), before)
        line.add_incoming(builder.add(line, INDEX(1)), builder.block)
        at.add_incoming(INDEX(0), before)
        at.add_incoming(builder.add(at, self.stride), builder.block)
        for v in range(group):
            for phi, first, new in zip(running[v], started[v], changed[v], strict=True):
                phi.add_incoming(first, before)
                phi.add_incoming(new, builder.block)
        builder.branch(head)

        builder.position_at_end(after)
        for v, offset in enumerate(offsets):
            for array, value in zip(sums, running[v], strict=True):
                self._store(value, array, offset, present)

    def _load(self, array: Any, offset: Any, present: Any) -> Any:
        address = self.builder.gep(array, [offset])
        return self.lanes.load(address) if present is None else self.lanes.load_first(address, present)

    def _store(self, value: Any, array: Any, offset: Any, present: Any) -> None:
        address = self.builder.gep(array, [offset])
        if present is None:
            self.lanes.store(value, address)
        else:
            self.lanes.store_first(value, address, present)


def _loop(step: Step, streams: int, constants: int, sums: int, outputs: int, arguments: tuple[Any, ...]) -> Any:
    """Signature and code of the intrinsic for a step, from the types of its arguments.

    They are: lines, width, stride; each stream, then each output, with the offset of its first line; constants; sums.
    """
    moving = streams + outputs
    arrays = [*arguments[3 : 3 + 2 * moving : 2], *arguments[3 + 2 * moving :]]
    if len({array.dtype for array in arrays}) != 1:
        return None  # Numba then reports the types as it does for any function
    number, group = types.intp, _GROUP if streams + sums > 1 else _WIDE_GROUP
    moved = [kind for array in arrays[:moving] for kind in (array, number)]
    signature = types.void(number, number, number, *moved, *arrays[moving:])

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        lines, width, stride, *rest = args
        offsets = [*rest[1 : 2 * moving : 2], *[INDEX(0)] * (constants + sums)]
        values = [*rest[0 : 2 * moving : 2], *rest[2 * moving :]]
        at = [
            address_of(context, builder, kind, value, offset)
            for kind, value, offset in zip(arrays, values, offsets, strict=True)
        ]
        element = context.get_data_type(arrays[0].dtype)
        writer = _LoopWriter(builder, element, step, group, lines, width, stride)
        fixed = moving + constants
        writer.write(at[:streams], at[moving:fixed], at[fixed:], at[streams:moving])
        return context.get_dummy_value()

    return signature, generate


def _sum_step(lanes: Lanes, streams: Vectors, _: Vectors, sums: Vectors) -> tuple[Vectors, Vectors]:
    return [lanes.builder.fadd(sums[0], streams[0])], []


def _square_step(lanes: Lanes, streams: Vectors, constants: Vectors, sums: Vectors) -> tuple[Vectors, Vectors]:
    difference = lanes.builder.fsub(streams[0], constants[0])
    return [lanes.builder.fadd(sums[0], difference), lanes.multiply_add(difference, difference, sums[1])], []


def _scaled(lanes: Lanes, x: Any, constants: Vectors) -> Any:
    """(x - center) * scale + shift."""
    center, scale, shift = constants
    return lanes.multiply_add(lanes.builder.fsub(x, center), scale, shift)


def _scale_step(lanes: Lanes, streams: Vectors, constants: Vectors, _: Vectors) -> tuple[Vectors, Vectors]:
    return [], [_scaled(lanes, streams[0], constants)]


def _scale_relu_step(lanes: Lanes, streams: Vectors, constants: Vectors, _: Vectors) -> tuple[Vectors, Vectors]:
    return [], [lanes.at_least(lanes.zero, _scaled(lanes, streams[0], constants))]


def _cut(lanes: Lanes, grad: Any, x: Any, constants: Vectors) -> Any:
    """The gradient where relu has not cut; it passes where x is NaN."""
    is_cut = lanes.builder.fcmp_ordered("<=", _scaled(lanes, x, constants), lanes.zero)
    return lanes.builder.select(is_cut, lanes.zero, grad)


def _added(lanes: Lanes, grad: Any, x: Any, center: Any, sums: Vectors) -> Vectors:
    difference = lanes.builder.fsub(x, center)
    return [lanes.builder.fadd(sums[0], grad), lanes.multiply_add(grad, difference, sums[1])]


def _gradient_step(lanes: Lanes, streams: Vectors, constants: Vectors, sums: Vectors) -> tuple[Vectors, Vectors]:
    grad, x = streams
    return _added(lanes, grad, x, constants[0], sums), []


def _gradient_relu_step(lanes: Lanes, streams: Vectors, constants: Vectors, sums: Vectors) -> tuple[Vectors, Vectors]:
    grad, x = streams
    return _added(lanes, _cut(lanes, grad, x, constants), x, constants[0], sums), []


def _input_gradient(lanes: Lanes, grad: Any, x: Any, constants: Vectors) -> Any:
    """Scale * (grad - offset) - slope * (x - center)."""
    center, scale, offset, slope = constants
    builder = lanes.builder
    less = builder.fneg(builder.fmul(slope, builder.fsub(x, center)))
    return lanes.multiply_add(scale, builder.fsub(grad, offset), less)


def _input_step(lanes: Lanes, streams: Vectors, constants: Vectors, _: Vectors) -> tuple[Vectors, Vectors]:
    grad, x = streams
    return [], [_input_gradient(lanes, grad, x, constants)]


def _input_relu_step(lanes: Lanes, streams: Vectors, constants: Vectors, _: Vectors) -> tuple[Vectors, Vectors]:
    grad, x = streams
    center, scale, shift, offset, slope = constants
    return [], [_input_gradient(lanes, _cut(lanes, grad, x, [center, scale, shift]), x, [center, scale, offset, slope])]


# Each takes the number of lines, of lanes, and from line to line; then streams and outputs, each with the offset of its
# first line; then constants and sums. All arrays are 1-d and C-contiguous.


@intrinsic
def _add_lines(_typing: Any, lines: Any, width: Any, stride: Any, x: Any, x_at: Any, sums: Any) -> Any:
    return _loop(_sum_step, 1, 0, 1, 0, (lines, width, stride, x, x_at, sums))


@intrinsic
def _add_squares(
    _typing: Any, lines: Any, width: Any, stride: Any, x: Any, x_at: Any, means: Any, rests: Any, squares: Any
) -> Any:
    return _loop(_square_step, 1, 1, 2, 0, (lines, width, stride, x, x_at, means, rests, squares))


@intrinsic
def _scale_lines(
    _typing: Any,
    lines: Any,
    width: Any,
    stride: Any,
    x: Any,
    x_at: Any,
    out: Any,
    out_at: Any,
    center: Any,
    scale: Any,
    shift: Any,
) -> Any:
    return _loop(_scale_step, 1, 3, 0, 1, (lines, width, stride, x, x_at, out, out_at, center, scale, shift))


@intrinsic
def _scale_lines_relu(
    _typing: Any,
    lines: Any,
    width: Any,
    stride: Any,
    x: Any,
    x_at: Any,
    out: Any,
    out_at: Any,
    center: Any,
    scale: Any,
    shift: Any,
) -> Any:
    return _loop(_scale_relu_step, 1, 3, 0, 1, (lines, width, stride, x, x_at, out, out_at, center, scale, shift))


@intrinsic
def _add_gradients(
    _typing: Any,
    lines: Any,
    width: Any,
    stride: Any,
    grad: Any,
    grad_at: Any,
    x: Any,
    x_at: Any,
    center: Any,
    sums: Any,
    products: Any,
) -> Any:
    return _loop(_gradient_step, 2, 1, 2, 0, (lines, width, stride, grad, grad_at, x, x_at, center, sums, products))


@intrinsic
def _add_gradients_relu(
    _typing: Any,
    lines: Any,
    width: Any,
    stride: Any,
    grad: Any,
    grad_at: Any,
    x: Any,
    x_at: Any,
    center: Any,
    scale: Any,
    shift: Any,
    sums: Any,
    products: Any,
) -> Any:
    return _loop(
        _gradient_relu_step,
        2,
        3,
        2,
        0,
        (lines, width, stride, grad, grad_at, x, x_at, center, scale, shift, sums, products),
    )


@intrinsic
def _scale_gradients(
    _typing: Any,
    lines: Any,
    width: Any,
    stride: Any,
    grad: Any,
    grad_at: Any,
    x: Any,
    x_at: Any,
    out: Any,
    out_at: Any,
    center: Any,
    scale: Any,
    offset: Any,
    slope: Any,
) -> Any:
    return _loop(
        _input_step,
        2,
        4,
        0,
        1,
        (lines, width, stride, grad, grad_at, x, x_at, out, out_at, center, scale, offset, slope),
    )


@intrinsic
def _scale_gradients_relu(
    _typing: Any,
    lines: Any,
    width: Any,
    stride: Any,
    grad: Any,
    grad_at: Any,
    x: Any,
    x_at: Any,
    out: Any,
    out_at: Any,
    center: Any,
    scale: Any,
    shift: Any,
    offset: Any,
    slope: Any,
) -> Any:
    return _loop(
        _input_relu_step,
        2,
        5,
        0,
        1,
        (lines, width, stride, grad, grad_at, x, x_at, out, out_at, center, scale, shift, offset, slope),
    )


# The names for callers, with types.
add_lines: Callable[..., None] = cast(Any, _add_lines)
add_squares: Callable[..., None] = cast(Any, _add_squares)
scale_lines: Callable[..., None] = cast(Any, _scale_lines)
scale_lines_relu: Callable[..., None] = cast(Any, _scale_lines_relu)
add_gradients: Callable[..., None] = cast(Any, _add_gradients)
add_gradients_relu: Callable[..., None] = cast(Any, _add_gradients_relu)
scale_gradients: Callable[..., None] = cast(Any, _scale_gradients)
scale_gradients_relu: Callable[..., None] = cast(Any, _scale_gradients_relu)
