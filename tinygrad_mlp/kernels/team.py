"""Threads that share the tasks of a parallel loop: whoever is there takes the next task.

A loop of a small net takes ten microseconds. To start it on the threads of OpenMP costs as much, and it ends when the
last of them has had its turn, which takes milliseconds where another process has the core. Here the thread that starts
a loop puts it up, and takes its tasks one after the other; helpers that are awake take tasks too. A helper that is not
there in time gets none, and nobody waits for it.

Who has done which task makes no difference to the bits: a task writes what no other does, and the tasks are cut by
shapes alone.

Numba compiles a `prange` to a call of `numba_parallel_for`, which gets the loop as a function of one task and what the
tasks' arguments are made of. `bound()` has the code that is loaded meanwhile call the loop of this file instead; other
code that uses Numba keeps Numba's.
"""
# Numba and llvmlite ship no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, cast

from llvmlite import binding
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

__all__ = ["Team"]

_SYMBOL = "numba_parallel_for"
# A helper that finds no task keeps looking for so many seconds before it sleeps: that covers what a step does on one
# thread, and the gap between two steps. To wake it takes 50 us, in which a loop of a small net is over.
_AWAKE = 0.3e-3
_FIRST_LOOKS = 10_000  # whose time is taken: an instruction that waits takes 40 cycles on one CPU, 140 on another
# A thread that waits for the last task looks this often before it lets others have its core.
_PATIENCE = 2000

_CODE = """
; The loop that is up. A ticket has its number (32 bits), how many tasks it has, and the next task (16 bits each), so
; that to take a task is one exchange, which fails when the loop is another one meanwhile.
@ticket = internal global i64 0, align 64
@done = internal global i64 0, align 64
@awake = global i64 0, align 64
@enough = global i64 FIRST ; looks of a helper, then it sleeps
%job = type { ptr, ptr, ptr, ptr, ptr, i64, i64 } ; function, arguments, dimensions, steps, data, inner sizes, arrays
@up = internal global %job zeroinitializer, align 64

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

; Run one task of the loop that is up: each argument is `step` bytes further than that of the task before; of the sizes
; the first is 1.
define internal void @run(i64 %task) {
start:
  %given = load %job, ptr @up
  %function = extractvalue %job %given, 0
  %arguments = extractvalue %job %given, 1
  %sizes = extractvalue %job %given, 2
  %steps = extractvalue %job %given, 3
  %data = extractvalue %job %given, 4
  %inner = extractvalue %job %given, 5
  %arrays = extractvalue %job %given, 6
  %size.count = add i64 %inner, 1
  %own.sizes = alloca i64, i64 %size.count
  %own.arguments = alloca ptr, i64 %arrays
  %bytes = mul i64 %size.count, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %own.sizes, ptr %sizes, i64 %bytes, i1 false)
  store i64 1, ptr %own.sizes
  br label %next
next:
  %array = phi i64 [0, %start], [%array.next, %shift]
  %more = icmp ult i64 %array, %arrays
  br i1 %more, label %shift, label %go
shift:
  %base.at = getelementptr ptr, ptr %arguments, i64 %array
  %base = load ptr, ptr %base.at
  %step.at = getelementptr i64, ptr %steps, i64 %array
  %step = load i64, ptr %step.at
  %far = mul i64 %step, %task
  %none = icmp eq ptr %base, null
  %moved = getelementptr i8, ptr %base, i64 %far
  %argument = select i1 %none, ptr %base, ptr %moved
  %argument.at = getelementptr ptr, ptr %own.arguments, i64 %array
  store ptr %argument, ptr %argument.at
  %array.next = add i64 %array, 1
  br label %next
go:
  call void %function(ptr %own.arguments, ptr %own.sizes, ptr %steps, ptr %data)
  ret void
}

; Take a task of the loop that is up: its number, or -1 if none is left.
define internal i64 @take() {
start:
  br label %look
look:
  %seen = load atomic i64, ptr @ticket seq_cst, align 8
  %task = and i64 %seen, 65535
  %shifted = lshr i64 %seen, 16
  %tasks = and i64 %shifted, 65535
  %left = icmp ult i64 %task, %tasks
  br i1 %left, label %try, label %over
try:
  %after = add i64 %seen, 1
  %exchanged = cmpxchg ptr @ticket, i64 %seen, i64 %after seq_cst seq_cst
  %taken = extractvalue { i64, i1 } %exchanged, 1
  br i1 %taken, label %good, label %look
good:
  ret i64 %task
over:
  ret i64 -1
}

; Run a loop, as Numba's code calls it. One thread does so at a time.
define void @loop(ptr %function, ptr %arguments, ptr %sizes, ptr %steps, ptr %data, i64 %inner, i64 %arrays, i64 %n) {
start:
  %job0 = insertvalue %job poison, ptr %function, 0
  %job1 = insertvalue %job %job0, ptr %arguments, 1
  %job2 = insertvalue %job %job1, ptr %sizes, 2
  %job3 = insertvalue %job %job2, ptr %steps, 3
  %job4 = insertvalue %job %job3, ptr %data, 4
  %job5 = insertvalue %job %job4, i64 %inner, 5
  %job6 = insertvalue %job %job5, i64 %arrays, 6
  store %job %job6, ptr @up
  store atomic i64 0, ptr @done monotonic, align 8
  %tasks = load i64, ptr %sizes
  %few = icmp ult i64 %tasks, 65536
  br i1 %few, label %put, label %many
put:
  %before = load atomic i64, ptr @ticket monotonic, align 8
  %number.before = lshr i64 %before, 32
  %number = add i64 %number.before, 1
  %number.high = shl i64 %number, 32
  %tasks.high = shl i64 %tasks, 16
  %fresh = or i64 %number.high, %tasks.high
  store atomic i64 %fresh, ptr @ticket seq_cst, align 8
  br label %own
own:
  %mine = phi i64 [0, %put], [%mine.next, %work]
  %task = call i64 @take()
  %none = icmp slt i64 %task, 0
  br i1 %none, label %wait, label %work
work:
  call void @run(i64 %task)
  %mine.next = add i64 %mine, 1
  br label %own
wait:
  %looks = phi i64 [0, %own], [%looks.next, %pause], [0, %yield]
  %others = load atomic i64, ptr @done acquire, align 8
  %all = add i64 %others, %mine
  %complete = icmp eq i64 %all, %tasks
  br i1 %complete, label %end, label %patience
patience:
  %looks.next = add i64 %looks, 1
  %enough = icmp ugt i64 %looks, PATIENCE
  br i1 %enough, label %yield, label %pause
pause:
  PAUSE
  br label %wait
yield:
  YIELD
  br label %wait
many:
  %alone = phi i64 [0, %start], [%alone.next, %many]
  call void @run(i64 %alone)
  %alone.next = add i64 %alone, 1
  %rest = icmp ult i64 %alone.next, %tasks
  br i1 %rest, label %many, label %end
end:
  ret void
}

; A helper: take tasks, until there was none for a while.
define void @help() {
start:
  %now = atomicrmw add ptr @awake, i64 1 seq_cst
  br label %look
look:
  %looks = phi i64 [0, %start], [0, %work], [%looks.next, %idle]
  %task = call i64 @take()
  %none = icmp slt i64 %task, 0
  br i1 %none, label %idle, label %work
work:
  call void @run(i64 %task)
  %was = atomicrmw add ptr @done, i64 1 release
  br label %look
idle:
  PAUSE
  %looks.next = add i64 %looks, 1
  %enough = load i64, ptr @enough
  %tired = icmp ugt i64 %looks, %enough
  br i1 %tired, label %sleep, label %look
sleep:
  %then = atomicrmw sub ptr @awake, i64 1 seq_cst
  ret void
}
"""


class Team:
    """A thread that runs loops and its helpers, daemon threads that sleep when there is nothing to do."""

    def __init__(self) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        triple = binding.get_default_triple()
        machine = binding.Target.from_triple(triple).create_target_machine(opt=2)
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(_code(triple)), machine)
        self._engine.finalize_object()
        self._help: Callable[[], None] = ctypes.CFUNCTYPE(None)(self._engine.get_function_address("help"))
        self.awake_at: int = self._engine.get_global_value_address("awake")
        """The address of the number of helpers that are awake, an int64."""
        self._awake = ctypes.c_int64.from_address(self.awake_at)
        self._bells: list[threading.Event] = []
        looks = ctypes.c_int64.from_address(self._engine.get_global_value_address("enough"))
        looks.value = round(_FIRST_LOOKS * _AWAKE / min(self._seconds_awake() for _ in range(3)))

    def _seconds_awake(self) -> float:
        start = time.perf_counter()
        self._help()
        return time.perf_counter() - start

    def gather(self, threads: int) -> None:
        """See to it that the helpers of so many threads are awake, or will be soon."""
        if self._awake.value < threads - 1:
            while len(self._bells) < threads - 1:
                self._bells.append(threading.Event())
                threading.Thread(target=self._stand_by, args=(self._bells[-1],), daemon=True).start()
            for bell in self._bells[: threads - 1]:
                bell.set()

    def _stand_by(self, bell: threading.Event) -> None:
        while True:
            bell.wait()
            bell.clear()
            self._help()

    @contextlib.contextmanager
    def bound(self) -> Generator[None]:
        """Code that Numba loads in this block has its loops run by the team, one at a time."""
        with global_compiler_lock:  # the symbol is the process's: what other Python threads load meanwhile must wait
            cast(Any, parallel)._launch_threads()  # which says what the symbol is
            numbas = binding.address_of_symbol(_SYMBOL)
            binding.add_symbol(_SYMBOL, self._engine.get_function_address("loop"))
            try:
                yield
            finally:
                binding.add_symbol(_SYMBOL, numbas)


def _code(triple: str) -> str:
    """The code for a machine: where it has an instruction for a thread that waits, or a call, they are put in."""
    declarations, pause, give_way = "", "", ""
    if triple.startswith(("x86_64", "i686")):
        declarations, pause = "declare void @llvm.x86.sse2.pause()\n", "call void @llvm.x86.sse2.pause()"
    elif triple.startswith(("aarch64", "arm64")):
        declarations, pause = "declare void @llvm.aarch64.hint(i32)\n", "call void @llvm.aarch64.hint(i32 1)"
    if os.name == "posix":
        declarations += "declare i32 @sched_yield()\n"
        give_way = "%yielded = call i32 @sched_yield()"
    numbers = {"PAUSE": pause, "YIELD": give_way, "FIRST": str(_FIRST_LOOKS), "PATIENCE": str(_PATIENCE)}
    return declarations + re.sub(r"\b[A-Z]{5,}\b", lambda word: numbers[word.group()], _CODE)
