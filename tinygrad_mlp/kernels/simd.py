"""Vectors for kernels: how wide they are on this CPU, and the instructions on them, written as LLVM code.

Loops that the compiler turns into vector code by itself keep their sums in memory, and use half of what AVX-512 offers.
So the inner loop of the matrix product is written down instruction by instruction (see `tile`), with the class `Lanes`.

Width and number of registers are those of the target that Numba compiles for, which need not be the CPU that runs this:
NUMBA_CPU_NAME and NUMBA_CPU_FEATURES choose another. The cache of compiled kernels keeps targets apart.
"""
# Numba and llvmlite ship no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target

__all__ = ["INDEX", "TARGET", "Lanes", "Target", "target_of"]

INDEX = ir.IntType(64)
_LANE = ir.IntType(32)


class Target(NamedTuple):
    """What a CPU offers: bytes in a vector, vector registers, and whether it loads and stores parts of a vector."""

    vector_bytes: int
    registers: int
    masks: bool


def target_of(triple: str, features: str) -> Target:
    """The vectors of a CPU, from LLVM's names for it: `x86_64-…` and `…,+avx2,-avx512f,…`."""
    present = features.split(",")
    if "+avx512f" in present:
        return Target(64, 32, masks=True)
    if "+avx2" in present:
        return Target(32, 16, masks=True)
    # Every x86-64 and every 64-bit ARM has vectors of 16 bytes; elsewhere LLVM makes do with what there is.
    return Target(16, 32 if triple.startswith(("aarch64", "arm64")) else 16, masks=False)


_compiler: Any = cpu_target.target_context
_triple, _, _features = _compiler.codegen().magic_tuple()
TARGET = target_of(_triple, _features)


class Lanes:
    """Writes instructions on vectors of one dtype at the place where `builder` stands.

    An address is a pointer to one element, aligned as an element is.
    """

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder = builder
        self.bytes = 4 if isinstance(element, ir.FloatType) else 8
        self.count = TARGET.vector_bytes // self.bytes
        self.vector: Any = ir.VectorType(element, self.count)
        self.zero: Any = ir.Constant(self.vector, [0.0] * self.count)
        self._suffix = f"v{self.count}f{8 * self.bytes}"

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        function_type = ir.FunctionType(result, [argument.type for argument in arguments])
        # Numba's declare_intrinsic takes no vectors.
        function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
        return self.builder.call(function, arguments)

    def _pointer(self, address: Any) -> Any:
        return self.builder.bitcast(address, self.vector.as_pointer())

    def load(self, address: Any) -> Any:
        """The vector at `address`."""
        loaded = self.builder.load(self._pointer(address))
        loaded.align = self.bytes
        return loaded

    def store(self, value: Any, address: Any) -> None:
        """Write a vector to `address`."""
        self.builder.store(value, self._pointer(address)).align = self.bytes

    def first(self, count: Any) -> Any:
        """The mask of the first `count` lanes."""
        numbers = ir.Constant(ir.VectorType(_LANE, self.count), list(range(self.count)))
        return self.builder.icmp_signed("<", numbers, self.broadcast(self.builder.trunc(count, _LANE)))

    def load_first(self, address: Any, count: Any) -> Any:
        """The first `count` lanes from `address`; the others are zero, and nothing is read for them."""
        if TARGET.masks:
            return self._load_masked(address, count)
        with self.builder.if_else(self._is_all(count)) as (whole, part):  # lane by lane only where it must be
            with whole:
                all_lanes, all_block = self.load(address), self.builder.block
            with part:
                some_lanes, some_block = self._load_masked(address, count), self.builder.block
        loaded = self.builder.phi(self.vector)
        loaded.add_incoming(all_lanes, all_block)
        loaded.add_incoming(some_lanes, some_block)
        return loaded

    def store_first(self, value: Any, address: Any, count: Any) -> None:
        """Write the first `count` lanes to `address`, and nothing else."""
        if TARGET.masks:
            self._store_masked(value, address, count)
            return
        with self.builder.if_else(self._is_all(count)) as (whole, part):
            with whole:
                self.store(value, address)
            with part:
                self._store_masked(value, address, count)

    def _is_all(self, count: Any) -> Any:
        return self.builder.icmp_signed("==", count, INDEX(self.count))

    def _load_masked(self, address: Any, count: Any) -> Any:
        name = f"llvm.masked.load.{self._suffix}.p0"
        return self._call(name, self.vector, self._pointer(address), self.first(count), self.zero)

    def _store_masked(self, value: Any, address: Any, count: Any) -> None:
        name = f"llvm.masked.store.{self._suffix}.p0"
        self._call(name, ir.VoidType(), value, self._pointer(address), self.first(count))

    def broadcast(self, scalar: Any) -> Any:
        """A vector with `scalar` in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.count), ir.Undefined)
        one_lane = self.builder.insert_element(undefined, scalar, _LANE(0))
        return self._shuffle(one_lane, undefined, [0] * self.count)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z, rounded once where the CPU can (`llvm.fma` would call a function per lane where it cannot)."""
        return self._call(f"llvm.fmuladd.{self._suffix}", self.vector, x, y, z)

    def at_least(self, floor: Any, x: Any) -> Any:
        """The greater of both in each lane; a NaN in x stays."""
        return self.builder.select(self.builder.fcmp_ordered(">", floor, x), floor, x)

    def transposed(self, rows: list[Any]) -> list[Any]:
        """A square of vectors transposed: first its off-diagonal halves change places, then their halves, and so on."""
        rows = list(rows)
        distance = self.count // 2
        while distance:
            # Lanes of two rows, numbered through both, that make the new upper and the new lower row.
            upper = [lane + self.count - distance if lane & distance else lane for lane in range(self.count)]
            lower = [lane + self.count if lane & distance else lane + distance for lane in range(self.count)]
            for i in range(self.count):
                if not i & distance:
                    x, y = rows[i], rows[i + distance]
                    rows[i], rows[i + distance] = self._shuffle(x, y, upper), self._shuffle(x, y, lower)
            distance //= 2
        return rows

    def _shuffle(self, x: Any, y: Any, lanes: list[int]) -> Any:
        return self.builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_LANE, self.count), lanes))
