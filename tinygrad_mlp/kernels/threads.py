"""How many threads large kernels run on, and the one door through which they go to them."""
# Numba ships no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, cast

import numba
from numba.np.ufunc import parallel

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.team import Team

__all__ = [
    "OnThreads",
    "gather",
    "get_num_threads",
    "is_forked",
    "parallel_lock",
    "run_on_team",
    "set_num_threads",
    "team",
]

# Held while a kernel runs on several threads: the team runs one loop at a time.
parallel_lock = threading.Lock()
_import_pid = os.getpid()
_max_threads: int = cast(Any, numba).config.NUMBA_NUM_THREADS


class _ThreadCount:
    """How many threads large kernels run on: one number for the process, as Numba's pool is one.

    A context variable would be forgotten between the cells of some notebooks, and not be seen by other Python threads.
    """

    def __init__(self, value: int) -> None:
        self.value = value


_num_threads = _ThreadCount(_max_threads)


def get_num_threads() -> int:
    """How many threads a large kernel runs on."""
    return _num_threads.value


def set_num_threads(threads: int) -> None:
    """Run large kernels on this many threads. Results have the same bits for any number.

    Raises `ArgumentError` for less than 1 or more than the process started with (`NUMBA_NUM_THREADS`).
    """
    if not 1 <= threads <= _max_threads:
        raise ArgumentError(
            f"set_num_threads: got {threads}, expected 1 to {_max_threads}; to allow more, set the environment "
            "variable NUMBA_NUM_THREADS before Python starts"
        )
    _num_threads.value = threads


@functools.cache
def team() -> Team:
    """The threads on which kernels run, for who holds `parallel_lock`."""
    return Team()


def run_on_team(dispatcher: Any) -> None:
    """Have the parallel loops of what a Numba dispatcher compiles, or loads, run on the team."""
    compile_and_call, compile_alone = dispatcher._compile_for_args, dispatcher._compiler.compile

    def compile_and_call_on_team(*args: Any) -> Any:
        with team().bound():
            return compile_and_call(*args)

    def compile_and_check(*args: Any) -> Any:
        compiled = compile_alone(*args)
        _refuse_sums(dispatcher.__name__, compiled.library)
        return compiled

    dispatcher._compile_for_args = compile_and_call_on_team
    dispatcher._compiler.compile = compile_and_check


def _refuse_sums(name: str, library: Any) -> None:
    """Raise if a kernel has `total += part` in a `prange`.

    Numba has each thread add to a place of its own, by the thread's number. The threads of the team have no numbers:
    they would add to one place at once, and lose parts. And who adds what to which total would depend on the moment.
    """
    if "get_thread_id" in library.get_llvm_str():
        raise ArgumentError(
            f"kernel {name}: adds up over the tasks of a prange, which loses parts where tasks run at once; let each "
            "task write its part into an array, and add those up after the loop"
        )


@functools.cache
def _numbas_count() -> tuple[Callable[[], int], Callable[[int], None]]:
    """What gets and sets Numba's number of threads for this Python thread, without the checks, which take 2 us."""
    numba.get_num_threads()  # which loads the two
    return cast(Any, parallel)._get_num_threads, cast(Any, parallel)._set_num_threads


class OnThreads:
    """Kernels that this Python thread calls in this block run on so many threads; it holds `parallel_lock`.

    Numba cuts a loop by a number that the user may have set for functions of their own: it is put back.
    """

    __slots__ = ("_before", "_set_count", "_threads")

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __enter__(self) -> None:
        get_count, self._set_count = _numbas_count()
        self._before = get_count()
        if self._before != self._threads:
            self._set_count(self._threads)
        gather(self._threads)

    def __exit__(self, *_: object) -> None:
        if self._before != self._threads:
            self._set_count(self._before)


def gather(threads: int) -> None:
    """Wake the threads that have fallen asleep since `OnThreads`, which also calls this."""
    team().gather(threads)


def is_forked() -> bool:
    """Whether this process was forked off the one that imported the package: it would be killed by parallel code."""
    return os.getpid() != _import_pid
