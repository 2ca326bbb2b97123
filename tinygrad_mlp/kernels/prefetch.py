"""Ask for memory before it is needed: the processor fetches it while it works on something else."""
# Numba and llvmlite ship no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["CACHE_LINE", "prefetch"]

CACHE_LINE = 64  # bytes

_READ, _KEEP, _DATA = 0, 3, 1  # llvm.prefetch: for reading, into the nearest cache, data and not code


@intrinsic
def _prefetch(_typing: Any, array: Any, position: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(function, [address, number(_READ), number(_KEEP), number(_DATA)])
        return context.get_dummy_value()

    return types.void(array, position), generate


# prefetch(array, position): fetch the cache line of array[position], 1-d. A position outside the array does no harm.
prefetch: Callable[[Any, int], None] = cast(Any, _prefetch)
