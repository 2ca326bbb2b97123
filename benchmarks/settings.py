"""What a run of the benchmarks is told: threads, how long, and where the peers live."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

__all__ = ["Settings"]


def _thread_counts() -> tuple[int, ...]:
    """One thread, and as many as this process may use cores, at most two: small nets do not pay for more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (1,) if cores == 1 else (1, 2)


@dataclass(frozen=True)
class Settings:
    """One run.

    quick: few and short blocks, to see that everything works. threads: the numbers of threads to measure with.
    peers_python: the interpreter that the peers (NumPy, PyTorch, jax) are installed for.
    """

    quick: bool = False
    threads: tuple[int, ...] = _thread_counts()
    peers_python: str = sys.executable
