"""How many threads large kernels run on, and the one door through which they go to them."""
# Numba ships no type stubs.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
import threading
from typing import Any, cast

import numba

from tinygrad_mlp.errors import ArgumentError

__all__ = ["get_num_threads", "go_parallel", "is_forked", "parallel_lock", "set_num_threads"]

# Held while a kernel runs on several threads: Numba's workqueue layer aborts the process when two threads enter it.
parallel_lock = threading.Lock()
_import_pid = os.getpid()
# OpenMP lets waiting threads loop by default. On a machine that others use too, the loop of one thread then takes the
# core from the very thread it waits for: a step of a small net took 16 ms instead of 1 ms. A thread that sleeps at once
# takes 60 us to wake up, as long as half a step. So they loop for a while (10000 rounds, some 0.1 ms), which covers
# the gap between the launches of one step. OpenMP reads this when Numba loads it, at the first parallel launch; a
# setting of the user's own stands.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # GNU's library, which is what Numba uses on Linux

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


def go_parallel(threads: int) -> None:
    """Have the kernels that this Python thread now calls run on so many; it holds `parallel_lock`."""
    numba.set_num_threads(threads)


def is_forked() -> bool:
    """Whether this process was forked off the one that imported the package: it would be killed by parallel code."""
    return os.getpid() != _import_pid
