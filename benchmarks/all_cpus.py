"""A loop that tells whether every CPU runs at its usual speed.

A virtual machine's CPU slows down by half while the host runs something else on the other half of its core, for
milliseconds or for many seconds, and nothing in /proc tells; the other half may be another of the machine's own CPUs,
and then two threads are as fast as one. But a fixed loop of multiply-adds in registers, on all CPUs at the same time,
tells: it then takes twice as long.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from benchmarks.machine import stay_on
from benchmarks.peak_loops import CHAINS, run_chains
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.simd import TARGET

__all__ = ["AllCpus"]

_REPEATS = 80_000  # of the loop: about a third of a millisecond


class AllCpus:
    """A probe: seconds of a loop of multiply-adds on the slowest CPU, all at the same time, each with its thread."""

    def __init__(self) -> None:
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
        self._threads = [ThreadPoolExecutor(1, initializer=stay_on, initargs=(cpu,)) for cpu in cpus]
        self._together = Barrier(len(cpus))
        self._factors = np.array([0.5, 1], np.float32)

    def __call__(self) -> float:
        """Run it once."""
        return max([future.result() for future in [thread.submit(self._loop, True) for thread in self._threads]])

    def alone(self) -> float:
        """Seconds of the loop on the fastest CPU, one after the other: also where two are halves of one core."""
        return min(thread.submit(self._loop, False).result() for thread in self._threads)

    def _loop(self, is_together: bool) -> float:
        sums = np.ones(CHAINS * TARGET.vector_bytes // 4, np.float32)
        if is_together:
            self._together.wait()
        start = time.perf_counter()
        launch(run_chains, _REPEATS, self._factors, sums)
        return time.perf_counter() - start
