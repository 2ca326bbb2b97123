"""Red zones: every array that a compiled kernel gets, and all memory it asks for, between pages that nobody may touch.

A kernel runs twice on copies of its arguments: once with each array ending at such a page, and once with each beginning
behind one. So the first byte that is read or written outside an array, on either side, ends the process with a
segmentation fault, however little it would have changed; `faulthandler` then says which public call it was, and the
file of `Guard` which kernel, with which shapes. What the kernel allocates itself is placed alike, and filled with other
bytes each time: both runs must give the same bits, so nothing is read before it is written.
"""

from __future__ import annotations

import ctypes
import inspect
import mmap
import os
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python, rtsys

from tinygrad_mlp.kernels.launch import Kernel

_ROOM = 1 << 26  # bytes that an array may have
_ZONE = 1 << 28  # untouchable bytes on either side; an index may be far off
_ARRAYS, _SCRATCH = 24, 16
SIZES = {"rows", "columns", "k_size"}  # parameters of kernels that see 1-d memory as matrices
_RELEASE, _DATA = 8, 24  # where Numba's record of allocated memory holds what to call at its end, and the address

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _rooms(count: int) -> list[Any]:
    """Stretches of memory, (_ROOM,) uint8, with red zones before and after each."""
    total = count * (_ZONE + _ROOM) + _ZONE
    start = _libc.mmap(None, total, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0), -1, 0)
    if start == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap: no address space for the red zones")
    rooms: list[Any] = []
    for number in range(count):
        address = start + _ZONE + number * (_ZONE + _ROOM)
        if _libc.mprotect(address, _ROOM, mmap.PROT_READ | mmap.PROT_WRITE):
            raise OSError(ctypes.get_errno(), "mprotect")
        rooms.append(np.frombuffer((ctypes.c_uint8 * _ROOM).from_address(address), np.uint8))
    return rooms


def _extent(array: Any) -> tuple[int, int]:
    """Addresses of the first byte of an array, and behind the last."""
    start = array.__array_interface__["data"][0]
    return start, start + array.nbytes


def _owner(array: Any) -> Any:
    """The array whose memory a view looks into."""
    while getattr(array, "base", None) is not None and hasattr(array.base, "__array_interface__"):
        array = array.base
    return array


class Guard:
    """Runs kernels between red zones, notes what is running in `file`, and which sizes of its arrays it has seen."""

    def __init__(self, file: int | None = None) -> None:
        self.file = file
        self.seen: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        self.threaded: set[str] = set()  # names of kernels that ran on several threads
        self.launches = 0
        self._rooms = _rooms(_ARRAYS)
        self._free = _rooms(_SCRATCH)
        self._used: dict[int, Any] = {}
        self._at_end = True
        self._running = False
        self._install_allocator()

    def install(self) -> None:
        """From now on, in this process, every compiled kernel is run between red zones."""
        for name in ("serial_code", "threaded_code"):
            setattr(Kernel, name, self._guarded(name))

    def _guarded(self, name: str) -> property:
        """An attribute of kernels that holds compiled code, and gives it with red zones around."""

        def code(kernel: Kernel) -> Any:
            compiled = vars(kernel)[name]
            if compiled is None or not kernel.compiled:
                return compiled
            if name == "threaded_code":
                self.threaded.add(kernel.name)
            return lambda *args: self.run(kernel, compiled, args)

        def set_code(kernel: Kernel, compiled: Any) -> None:
            vars(kernel)[name] = compiled

        return property(code, set_code)

    def run(self, kernel: Kernel, compiled: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Run a kernel at both ends of the rooms, and give what it wrote to the arguments if both agree."""
        self.launches += 1
        self._note(kernel, args)
        self._check(kernel, args)
        writes = {*kernel.writes, *([len(args) - 1] if kernel.has_status else [])}
        results: list[list[bytes]] = []
        guarded: list[Any] = []
        for self._at_end in (True, False):
            guarded = self._placed(args)
            self._running = True
            compiled(*guarded)
            self._running = False
            results.append([guarded[position].tobytes() for position in sorted(writes)])
        for position, (before, after) in enumerate(zip(args, guarded, strict=True)):
            if isinstance(before, np.ndarray) and position not in writes:
                assert before.tobytes() == after.tobytes(), f"{kernel.name} wrote to argument {position}, undeclared"
        assert len(self._free) == _SCRATCH, f"{kernel.name} kept memory, or asked for more at once than there is here"
        assert results[0] == results[1], (
            f"{kernel.name}: what lies around its arrays, or was there before, changed bits"
        )
        for position in writes:
            args[position][...] = guarded[position]

    def _note(self, kernel: Kernel, args: tuple[Any, ...]) -> None:
        dtypes = {arg.dtype.name for arg in args if isinstance(arg, np.ndarray)}
        dtype = next((dtype for dtype in ("float32", "float64") if dtype in dtypes), "any dtype")
        sizes = self.seen[f"{kernel.name}, {dtype}"]
        for name, arg in zip(inspect.signature(kernel.function).parameters, args, strict=True):
            if isinstance(arg, np.ndarray):
                for axis, size in enumerate(arg.shape):
                    sizes[f"{name}, dimension {axis}"].add(size)
            elif name in SIZES:
                sizes[name].add(arg)
        if self.file is not None:
            text = f"{kernel.name}{[arg.shape if isinstance(arg, np.ndarray) else arg for arg in args]}"
            os.pwrite(self.file, text[:500].ljust(500).encode(), 0)

    def _check(self, kernel: Kernel, args: tuple[Any, ...]) -> None:
        """Arrays lie within the memory of their owners, and what is written is apart from all else, or the same."""
        arrays = {position: arg for position, arg in enumerate(args) if isinstance(arg, np.ndarray)}
        extents = {position: _extent(arg) for position, arg in arrays.items()}
        for position, arg in arrays.items():
            assert arg.flags.c_contiguous, f"{kernel.name}: argument {position} has gaps, which this guard cannot place"
            low, high = np.lib.array_utils.byte_bounds(_owner(arg))
            start, end = extents[position]
            assert start == end or low <= start <= end <= high, f"{kernel.name}: argument {position} leaves its owner"
        for position in kernel.writes:
            start, end = extents[position]
            for other, (begin, stop) in extents.items():
                apart = end <= begin or stop <= start or (begin, stop) == (start, end)
                assert apart, f"{kernel.name}: arguments {position} and {other} overlap"

    def _placed(self, args: tuple[Any, ...]) -> list[Any]:
        """Copies of the arrays at the ends or beginnings of rooms; one copy where two are the same memory."""
        copies: dict[tuple[Any, ...], Any] = {}
        placed: list[Any] = []
        for arg in args:
            if isinstance(arg, np.ndarray):
                key = (_extent(arg), arg.dtype) if arg.size else (len(copies),)
                if key not in copies:
                    room = self._rooms[len(copies)]
                    copies[key] = self._place(room, arg.nbytes).view(arg.dtype).reshape(arg.shape)
                    copies[key][...] = arg
                placed.append(copies[key].reshape(arg.shape))
            else:
                placed.append(arg)
        return placed

    def _place(self, room: Any, size: int) -> Any:
        assert size <= _ROOM, f"{size} bytes are too many for these red zones"
        return room[_ROOM - size :] if self._at_end else room[:size]

    def _install_allocator(self) -> None:
        """Give kernels memory between red zones when they ask for some."""
        rtsys.initialize(cpu_target.target_context)
        allocation = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
        original = allocation(_nrt_python.c_helpers["MemInfo_alloc_aligned"])

        def allocate(size: int, align: int) -> int:
            record = original(size, align)
            if self._running and self._free:
                room = self._free.pop()
                data = self._place(room, size)
                data.fill(0xFF if self._at_end else 0x7E)  # as floats NaN, and a large number
                address, _ = _extent(data)
                self._used[address] = room
                ctypes.c_void_p.from_address(record + _DATA).value = address
                ctypes.c_void_p.from_address(record + _RELEASE).value = release_address
            return record

        def release(address: int, _size: int, _info: int) -> None:
            self._free.append(self._used.pop(address))

        self._allocate = allocation(allocate)  # both must live as long as the process
        self._release = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)(release)
        release_address = ctypes.cast(self._release, ctypes.c_void_p).value
        llvm.add_symbol("NRT_MemInfo_alloc_aligned", ctypes.cast(self._allocate, ctypes.c_void_p).value)
