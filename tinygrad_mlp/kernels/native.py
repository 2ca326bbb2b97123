"""Calls of compiled kernels, and plain copies, one after the other, as one function of machine code.

A call from Python takes about a microsecond, since each array is taken apart; a step of a small net makes twenty. When
the arguments are always the same they can stand in the code, as numbers. That code is a list of calls, and copies of
what differs from round to round, in one loop without arithmetic. So it is compiled in milliseconds, without
optimisation.

Numba compiles a kernel to a function that gets pointers for its result and for an exception, then each argument taken
apart: of an array two pointers to its owner, which may be null, its size, the size of an element, the address, shape
and strides.
"""
# Numba and llvmlite ship no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import binding

from tinygrad_mlp.kernels.launch import Array, is_array, memory_order
from tinygrad_mlp.kernels.observe import Launch

__all__ = ["NativeCalls", "is_native"]

_names = itertools.count()
_VALUE, _NONE = 0, -2  # what a function of Numba's returns when all is well


def is_native(launch: Launch) -> bool:
    """Whether it is a compiled kernel whose arguments are arrays, numbers and tuples of integers, or a plain copy."""
    if _is_plain_copy(launch):
        return True
    return _compiled(launch) is not None and all(_plain(arg) is not None for arg in launch.args)


def _is_plain_copy(launch: Launch) -> bool:
    """Whether it copies byte by byte: between arrays of one dtype and one order of axes, both without gaps."""
    if launch.name != "copy":
        return False
    source, target = launch.args
    if source.dtype != target.dtype or source.shape != target.shape or np.may_share_memory(source, target):
        return False
    order = memory_order(target)
    return source.transpose(order).flags.c_contiguous and target.transpose(order).flags.c_contiguous


def _compiled(launch: Launch) -> Any:
    """Numba's compilation for the types of these arguments; None for Python functions."""
    overloads = getattr(launch.code, "overloads", None)
    return None if overloads is None else overloads.get(tuple([numba.typeof(arg) for arg in launch.args]))


class NativeCalls:
    """Kernels with their arguments, compiled to one function, which runs them once or round after round.

    Parameters
    ----------
    launches, status:
        What to run, and the status word of the launches that have one. The arrays must stay alive, and where they are.
    kept:
        (target, source): each round begins with these copies, of arrays of one size.
    given, taken:
        Arrays that a round gets anew before its first launch, and those that are taken after its last one: `run_many`
        is handed a table for each, with a row for each round.
    helpers:
        The address of a count of threads that help, and how many there should be: a round after the first begins only
        while there are. Else `run_many` comes back, so that they can be woken.

    All arrays of which copies are made are C-contiguous.
    """

    def __init__(
        self,
        launches: Sequence[Launch],
        status: Array,
        kept: Sequence[tuple[Array, Array]] = (),
        given: Sequence[Array] = (),
        taken: Sequence[Array] = (),
        helpers: tuple[int, int] | None = None,
    ) -> None:
        name = f"calls_{next(_names)}"
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        module = binding.parse_assembly("\n".join(_code(name, launches, status, kept, given, taken, helpers)))
        machine = binding.Target.from_default_triple().create_target_machine(opt=0)
        self._engine = binding.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
        self._run: Callable[[int, int | None, int], int] = prototype(self._engine.get_function_address(name))
        self.threads = max([launch.threads for launch in launches], default=1)
        self._finished: Array = np.zeros(1, np.int64)
        self._finished_at: int = self._finished.ctypes.data
        self._launches = list(launches)  # which keep the arrays and the kernels' code alive
        self._copied = [*kept, *given, *taken]
        self._tables = (ctypes.c_void_p * (len(given) + len(taken)))()

    @property
    def finished(self) -> int:
        """How many rounds the last call has run to their end."""
        return int(self._finished[0])

    def run(self) -> int:
        """Run all once; returns how many were run before one that set the status word, or all."""
        return self._checked(self._run(1, None, self._finished_at))

    def run_many(self, rounds: int, tables: Sequence[Array]) -> int:
        """Run so many rounds, or up to a launch that sets the status word: its number is returned, or that of all.

        There may be fewer: see `helpers`, and `finished`.

        Tables are C-contiguous, of `given` and then of `taken`.
        """
        self._tables[:] = [table.ctypes.data for table in tables]
        return self._checked(self._run(rounds, ctypes.addressof(self._tables), self._finished_at))

    def _checked(self, ended: int) -> int:
        if ended < 0:
            launch = self._launches[-ended - 1]
            raise MemoryError(f"{launch.name}: the kernel could not get the memory that it works in")
        return ended


def _code(
    name: str,
    launches: Sequence[Launch],
    status: Array,
    kept: Sequence[tuple[Array, Array]],
    given: Sequence[Array],
    taken: Sequence[Array],
    helpers: tuple[int, int] | None,
) -> list[str]:
    """LLVM's text for the function: rounds of copies, calls and copies, and a way out where a call fails."""
    return [
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        f"define i32 @{name}(i64 %rounds, ptr %tables, ptr %finished) {{",
        "start:",
        "%result = alloca [64 x i8]",
        "%exception = alloca ptr",
        "br label %head",
        "head:",
        "%round = phi i64 [0, %start], [%next, %tail]",
        "store i64 %round, ptr %finished",
        "%more = icmp slt i64 %round, %rounds",
        "br i1 %more, label %ready, label %end",
        "ready:",
        *([] if helpers is None else _while_awake(*helpers)),
        "br label %body",
        "body:",
        *itertools.chain(*(_copy(_argument(to.ctypes.data), _argument(of.ctypes.data), to) for to, of in kept)),
        *itertools.chain(*(_row(i, array, is_given=True) for i, array in enumerate(given))),
        *itertools.chain(*(_call(number, launch, status) for number, launch in enumerate(launches))),
        *itertools.chain(*(_row(i, array, is_given=False) for i, array in enumerate(taken, len(given)))),
        "br label %tail",
        "tail:",
        "%next = add i64 %round, 1",
        "br label %head",
        "end:",
        f"ret i32 {len(launches)}",
        "}",
    ]


def _while_awake(address: int, helpers: int) -> list[str]:
    """A way out after a round, where fewer threads are awake than should help."""
    return [
        f"%awake = load atomic i64, {_argument(address)} monotonic, align 8",
        f"%enough = icmp sge i64 %awake, {helpers}",
        "%first = icmp eq i64 %round, 0",
        "%go = or i1 %enough, %first",
        "br i1 %go, label %on, label %end",
        "on:",
    ]


def _copy(to: str, of: str, like: Array) -> list[str]:
    return [f"call void @llvm.memcpy.p0.p0.i64({to}, {of}, i64 {like.nbytes}, i1 false)"]


def _row(table: int, array: Array, is_given: bool) -> list[str]:
    """A copy from, or to, this round's row of a table."""
    row, memory = f"ptr %row{table}", _argument(array.ctypes.data)
    return [
        f"%place{table} = getelementptr ptr, ptr %tables, i64 {table}",
        f"%table{table} = load ptr, ptr %place{table}",
        f"%offset{table} = mul i64 %round, {array.nbytes}",
        f"%row{table} = getelementptr i8, ptr %table{table}, i64 %offset{table}",
        *(_copy(memory, row, array) if is_given else _copy(row, memory, array)),
    ]


def _call(number: int, launch: Launch, status: Array) -> list[str]:
    """A call, and a way out where it fails or sets the status word; or a copy."""
    if _is_plain_copy(launch):
        source, target = launch.args
        return _copy(_argument(target.ctypes.data), _argument(source.ctypes.data), target)
    compiled = _compiled(launch)
    symbol = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    arguments = ", ".join(["ptr %result", "ptr %exception", *itertools.chain(*map(_plain_or_raise, launch.args))])
    lines = [
        f"%code{number} = call i32 {_pointer(symbol)}({arguments})",
        f"%is_value{number} = icmp eq i32 %code{number}, {_VALUE}",
        f"%is_none{number} = icmp eq i32 %code{number}, {_NONE}",
        f"%good{number} = or i1 %is_value{number}, %is_none{number}",
        f"br i1 %good{number}, label %went{number}, label %failed{number}",
        f"failed{number}:",
        f"ret i32 {-number - 1}",
        f"went{number}:",
    ]
    if launch.checked:
        lines += [
            f"%word{number} = load i64, {_argument(status.ctypes.data)}",
            f"%clear{number} = icmp eq i64 %word{number}, 0",
            f"br i1 %clear{number}, label %next{number}, label %stopped{number}",
            f"stopped{number}:",
            f"ret i32 {number}",
            f"next{number}:",
        ]
    return lines


def _pointer(address: int) -> str:
    return f"inttoptr (i64 {address} to ptr)"


def _argument(address: int) -> str:
    return f"ptr {_pointer(address)}"


def _plain_or_raise(value: Any) -> list[str]:
    plain = _plain(value)
    assert plain is not None  # `is_native` has been asked
    return plain


def _plain(value: Any) -> list[str] | None:
    """An argument as Numba's functions get it; None for what is not known here."""
    if is_array(value):
        numbers = [value.size, value.itemsize]
        shape = [*value.shape, *value.strides]
        sizes, extents = [f"i64 {number}" for number in numbers], [f"i64 {number}" for number in shape]
        return ["ptr null", "ptr null", *sizes, _argument(value.ctypes.data), *extents]
    if isinstance(value, bool):
        return [f"i8 {int(value)}"]
    if isinstance(value, int):
        return [f"i64 {value}"] if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return [f"double 0x{_bits(value):016X}"]
    if isinstance(value, tuple):
        parts = [_plain(part) for part in value]
        if all(isinstance(part, int) for part in value) and all(part is not None for part in parts):
            return [word for part in parts if part is not None for word in part]
    return None


def _bits(value: float) -> int:
    return ctypes.c_uint64.from_buffer_copy(ctypes.c_double(value)).value
