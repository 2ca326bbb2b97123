"""The loops that `peak` times: multiply-adds in registers, copy, and triad, instruction by instruction.

They stand in a file of their own since cached kernels name the module that they are in, and `peak` may run as a script.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygrad_mlp.kernels.launch import Array, kernel
from tinygrad_mlp.kernels.simd import INDEX, TARGET, Lanes

__all__ = ["CHAINS", "UNROLL", "run_chains", "run_copy", "run_triad"]

# Zen and Intel cores finish a multiply-add after 4 or 5 cycles and start two in each: 8 to 10 chains keep them busy.
CHAINS = 24 if TARGET.registers == 32 else 12
UNROLL = 4  # vectors that a stream moves at a time


@intrinsic(prefer_literal=True)
def _multiply_add_chains(_typing: Any, chains: Any, repeats: Any, factors: Any, sums: Any) -> Any:
    """Sums ← factors[0] · sums + factors[1], `repeats` times, on `chains` vectors that stay in registers."""
    n = types.intp
    signature = types.void(chains, n, factors, sums)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, repeats_, factors_, sums_ = args
        lanes = Lanes(builder, context.get_data_type(sums.dtype))
        given = context.make_array(factors)(context, builder, factors_).data
        factor, term = (lanes.broadcast(builder.load(builder.gep(given, [INDEX(i)]))) for i in range(2))
        first = context.make_array(sums)(context, builder, sums_).data
        addresses = [builder.gep(first, [INDEX(c * lanes.count)]) for c in range(chains.literal_value)]
        # LLVM turns these variables into registers. Each starts from a number of its own, or all would become one.
        slots = [cgutils.alloca_once(builder, lanes.vector) for _ in addresses]
        for address, slot in zip(addresses, slots, strict=True):
            builder.store(lanes.load(address), slot)
        with cgutils.for_range(builder, repeats_):
            for slot in slots:
                builder.store(lanes.multiply_add(builder.load(slot), factor, term), slot)
        for address, slot in zip(addresses, slots, strict=True):
            lanes.store(builder.load(slot), address)
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def _stream(_typing: Any, inputs: Any, repeats: Any, x: Any, y: Any, factor: Any, out: Any) -> Any:
    """Out ← x for one input, x + factor · y for two, `repeats` times over all elements."""
    n = types.intp
    signature = types.void(inputs, n, x, y, factor, out)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, repeats_, x_, y_, factor_, out_ = args
        lanes = Lanes(builder, context.get_data_type(out.dtype))
        pairs = ((x, x_), (y, y_), (out, out_))
        starts = [context.make_array(kind)(context, builder, array).data for kind, array in pairs]
        size = context.make_array(out)(context, builder, out_).nitems
        factors = lanes.broadcast(factor_)
        step = INDEX(UNROLL * lanes.count)
        with (
            cgutils.for_range(builder, repeats_),
            cgutils.for_range_slice(builder, INDEX(0), size, step, INDEX) as (position, _),
        ):
            offsets = [builder.add(position, INDEX(u * lanes.count)) for u in range(UNROLL)]
            x_at, y_at, out_at = ([builder.gep(start, [offset]) for offset in offsets] for start in starts)
            values = [lanes.load(address) for address in x_at]
            if inputs.literal_value == 2:
                others = [lanes.load(address) for address in y_at]
                values = [lanes.multiply_add(factors, b, a) for a, b in zip(values, others, strict=True)]
            for value, address in zip(values, out_at, strict=True):
                lanes.store(value, address)
        return context.get_dummy_value()

    return signature, generate


multiply_add_chains: Callable[..., None] = cast(Any, _multiply_add_chains)
stream: Callable[..., None] = cast(Any, _stream)


@kernel(writes=("sums",))
def run_chains(repeats: int, factors: Array, sums: Array) -> None:
    """Multiply-adds in registers; factors (2,), sums (chains · lanes,)."""
    multiply_add_chains(CHAINS, repeats, factors, sums)


@kernel(writes=("out",))
def run_copy(repeats: int, x: Array, out: Array) -> None:
    """Out = x, again and again; a whole number of `UNROLL` vectors."""
    stream(1, repeats, x, x, x.dtype.type(0), out)


@kernel(writes=("out",))
def run_triad(repeats: int, x: Array, y: Array, factor: Array, out: Array) -> None:
    """Out = x + factor · y, again and again; a whole number of `UNROLL` vectors, factor (1,)."""
    stream(2, repeats, x, y, factor[0], out)
