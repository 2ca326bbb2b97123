"""What pools by windows of 2 x 2 do to one vector of channels, written as LLVM code.

Their loops over the channels of a pixel are short: the compiler's vector code for one of 32 spends more on getting
into the loop, and out of it, than in it.
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

from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.simd import INDEX, Lanes
from tinygrad_mlp.kernels.tile import address_of

__all__ = ["CUT", "keep_pair", "keep_vector", "lanes_of", "largest_normalized", "largest_of_four"]

CUT = 4  # a tap of no pixel: the maximum is not above 0, and gets no gradient


class _PoolWriter(Lanes):
    """Vectors of numbers beside vectors of taps, which are small integers."""

    def __init__(self, context: Any, builder: Any, numbers: Any, taps: Any) -> None:
        super().__init__(builder, context.get_data_type(numbers.dtype))
        self._tap = context.get_data_type(taps.dtype)
        self._taps: Any = ir.VectorType(self._tap, self.count)

    def largest(self, values: list[Any]) -> tuple[Any, Any]:
        """The largest of some vectors, and the number of which it was. Of equal ones the first stays, NaN wins."""
        builder = self.builder
        best, tap = values[0], self.tap(0)
        for number, value in enumerate(values[1:], 1):
            is_nan = builder.fcmp_unordered("uno", value, value)
            is_better = builder.or_(builder.fcmp_ordered(">", value, best), is_nan)
            best = builder.select(is_better, value, best)
            tap = builder.select(is_better, self.tap(number), tap)
        return best, tap

    def tap(self, number: int) -> Any:
        """A vector of one tap."""
        return ir.Constant(self._taps, [number] * self.count)

    def _tap_pointer(self, address: Any) -> Any:
        return self.builder.bitcast(address, self._taps.as_pointer())

    def load_taps(self, address: Any) -> Any:
        """The vector of taps at `address`."""
        loaded = self.builder.load(self._tap_pointer(address))
        loaded.align = 1
        return loaded

    def store_taps(self, taps: Any, address: Any) -> None:
        """Write a vector of taps to `address`."""
        self.builder.store(taps, self._tap_pointer(address)).align = 1


@intrinsic
def _lanes_of(_typing: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        return INDEX(Lanes(builder, context.get_data_type(x.dtype)).count)

    return types.intp(x), generate


@intrinsic
def _largest_of_four(
    _typing: Any, x: Any, first: Any, second: Any, third: Any, fourth: Any, out: Any, taps: Any, target: Any
) -> Any:
    if x.dtype != out.dtype:
        return None  # Numba then reports the types as it does for any function
    n = types.intp
    signature = types.void(x, n, n, n, n, out, taps, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        x_, *offsets, out_, taps_, target_ = args
        writer = _PoolWriter(context, builder, out, taps)
        values = [writer.load(address_of(context, builder, x, x_, offset)) for offset in offsets]
        best, tap = writer.largest(values)
        writer.store(best, address_of(context, builder, out, out_, target_))
        writer.store_taps(tap, address_of(context, builder, taps, taps_, target_))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _largest_normalized(
    _typing: Any,
    x: Any,
    first: Any,
    second: Any,
    third: Any,
    fourth: Any,
    center: Any,
    scale: Any,
    shift: Any,
    channel: Any,
    out: Any,
    taps: Any,
    target: Any,
) -> Any:
    if not x.dtype == center.dtype == scale.dtype == shift.dtype == out.dtype:
        return None
    n = types.intp
    signature = types.void(x, n, n, n, n, center, scale, shift, n, out, taps, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        x_, *offsets, center_, scale_, shift_, channel_, out_, taps_, target_ = args
        writer = _PoolWriter(context, builder, out, taps)

        def read(kind: Any, array: Any, offset: Any) -> Any:
            return writer.load(address_of(context, builder, kind, array, offset))

        middle, factor, term = (
            read(center, center_, channel_),
            read(scale, scale_, channel_),
            read(shift, shift_, channel_),
        )
        values: list[Any] = []
        for offset in offsets:
            y = writer.multiply_add(builder.fsub(read(x, x_, offset), middle), factor, term)
            values.append(writer.at_least(writer.zero, y))
        best, tap = writer.largest(values)
        tap = builder.select(builder.fcmp_ordered("<=", best, writer.zero), writer.tap(CUT), tap)
        writer.store(best, address_of(context, builder, out, out_, target_))
        writer.store_taps(tap, address_of(context, builder, taps, taps_, target_))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _keep_vector(_typing: Any, grad: Any, taps: Any, source: Any, tap: Any, out: Any, target: Any) -> Any:
    if grad.dtype != out.dtype or tap != taps.dtype:
        return None
    signature = types.void(grad, taps, types.intp, tap, out, types.intp)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        grad_, taps_, source_, tap_, out_, target_ = args
        writer = _PoolWriter(context, builder, grad, taps)
        value = writer.load(address_of(context, builder, grad, grad_, source_))
        found = writer.load_taps(address_of(context, builder, taps, taps_, source_))
        is_kept = builder.icmp_unsigned("==", found, writer.broadcast(tap_))
        writer.store(builder.select(is_kept, value, writer.zero), address_of(context, builder, out, out_, target_))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _keep_pair(_typing: Any, grad: Any, taps: Any, source: Any, tap: Any, out: Any, left: Any, right: Any) -> Any:
    if grad.dtype != out.dtype or tap != taps.dtype:
        return None
    signature = types.void(grad, taps, types.intp, tap, out, types.intp, types.intp)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        grad_, taps_, source_, tap_, out_, left_, right_ = args
        writer = _PoolWriter(context, builder, grad, taps)
        value = writer.load(address_of(context, builder, grad, grad_, source_))
        found = writer.load_taps(address_of(context, builder, taps, taps_, source_))
        for number, target in ((tap_, left_), (builder.add(tap_, tap_.type(1)), right_)):
            is_kept = builder.icmp_unsigned("==", found, writer.broadcast(number))
            writer.store(builder.select(is_kept, value, writer.zero), address_of(context, builder, out, out_, target))
        return context.get_dummy_value()

    return signature, generate


# How many numbers of an array's dtype a vector holds. (The size of its elements is known at run time only.)
lanes_of: Callable[[Array], int] = cast(Any, _lanes_of)
# x, first, second, third, fourth, out, taps, target: the largest of four vectors at those places of x, and which it
# was. Of equal numbers the first stays, NaN wins.
largest_of_four: Callable[..., None] = cast(Any, _largest_of_four)
# The same of relu((x - center) * scale + shift), these three from `channel` on; CUT where the largest is not above 0.
largest_normalized: Callable[..., None] = cast(Any, _largest_normalized)
# grad, taps, source, tap, out, target: the gradients whose tap is this one, 0 for the others. `tap` has taps' dtype.
keep_vector: Callable[..., None] = cast(Any, _keep_vector)
# The same for this tap and the next, to two places.
keep_pair: Callable[..., None] = cast(Any, _keep_pair)
