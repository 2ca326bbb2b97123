"""Calls of compiled kernels, one after the other, as one function of machine code.

A call from Python takes about a microsecond, since each array is taken apart; a step of a small net makes twenty. When
the arguments are always the same they can stand in the code, as numbers. That code is a list of calls without loops or
arithmetic, so that it is compiled in milliseconds, without optimisation.

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
from llvmlite import binding

from tinygrad_mlp.kernels.launch import Array, is_array
from tinygrad_mlp.kernels.observe import Launch

__all__ = ["NativeCalls", "is_native"]

_names = itertools.count()
_VALUE, _NONE = 0, -2  # what a function of Numba's returns when all is well


def is_native(launch: Launch) -> bool:
    """Whether it is a compiled kernel whose arguments are arrays, numbers and tuples of integers."""
    return _compiled(launch) is not None and all(_plain(arg) is not None for arg in launch.args)


def _compiled(launch: Launch) -> Any:
    """Numba's compilation for the types of these arguments; None for Python functions."""
    overloads = getattr(launch.code, "overloads", None)
    return None if overloads is None else overloads.get(tuple([numba.typeof(arg) for arg in launch.args]))


class NativeCalls:
    """Kernels with their arguments, compiled to one function. The arrays must stay alive, and where they are.

    `status` is the status word of the launches that have one.
    """

    def __init__(self, launches: Sequence[Launch], status: Array) -> None:
        name = f"calls_{next(_names)}"
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        module = binding.parse_assembly("\n".join(_code(name, launches, status)))
        machine = binding.Target.from_default_triple().create_target_machine(opt=0)
        self._engine = binding.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32)
        self._run: Callable[[], int] = prototype(self._engine.get_function_address(name))
        self.threads = max([launch.threads for launch in launches])
        self._launches = list(launches)  # which keep the arrays and the kernels' code alive

    def run(self) -> int:
        """Run all; returns how many were run before one that set the status word, or all."""
        ended = self._run()
        if ended < 0:
            launch = self._launches[-ended - 1]
            raise MemoryError(f"{launch.name}: the kernel could not get the memory that it works in")
        return ended


def _code(name: str, launches: Sequence[Launch], status: Array) -> list[str]:
    """LLVM's text for the function: each call, and a way out where one fails or sets the status word."""
    lines = [f"define i32 @{name}() {{", "%result = alloca [64 x i8]", "%exception = alloca ptr"]
    for number, launch in enumerate(launches):
        compiled = _compiled(launch)
        symbol = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        arguments = ", ".join(["ptr %result", "ptr %exception", *itertools.chain(*map(_plain_or_raise, launch.args))])
        lines += [
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
    return [*lines, f"ret i32 {len(launches)}", "}"]


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
