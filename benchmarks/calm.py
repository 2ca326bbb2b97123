"""Wait until every CPU runs at its usual speed. Standard library only.

A virtual machine's CPU slows down by half while the host runs something else on the other half of its core, for
milliseconds or for many seconds, and nothing in /proc tells. But a fixed loop does: it then takes almost twice as long.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

__all__ = ["Calm"]

_ITERATIONS = 12_000  # about a third of a millisecond
_SLOW = 1.4  # times the best time: between noise (up to 1.2) and a shared core (1.6 to 2)


def _loop() -> None:
    total = 0
    for number in range(_ITERATIONS):
        total += number * number


def _probe() -> float:
    """Seconds of the loop on the slowest CPU, each in turn."""
    slowest = 0.0
    pinned = hasattr(os, "sched_setaffinity")
    cpus = sorted(os.sched_getaffinity(0)) if pinned else [0]
    try:
        for cpu in cpus:
            if pinned:
                os.sched_setaffinity(0, {cpu})
            start = time.perf_counter()
            _loop()
            slowest = max(slowest, time.perf_counter() - start)
    finally:
        if pinned:
            os.sched_setaffinity(0, cpus)
    return slowest


class Calm:
    """Waits at most `patience` seconds in all; `waited` says how long it has."""

    def __init__(self, patience: float, probe: Callable[[], float] = _probe) -> None:
        self.patience = patience
        self.waited = 0.0
        self._probe = probe
        self._best = min(probe() for _ in range(20)) if patience > 0 else 0.0

    def wait(self) -> bool:
        """Return True when all CPUs are fast, or False when patience is at its end."""
        while self.waited < self.patience:
            start = time.perf_counter()
            seconds = self._probe()
            self._best = min(self._best, seconds)
            if seconds <= _SLOW * self._best:
                return True
            time.sleep(0.005)
            self.waited += time.perf_counter() - start
        return False
