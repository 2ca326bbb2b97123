"""Time each launch: of eager code as it runs, or of a recorded program, again and again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from tinygrad_mlp.kernels.launch import is_array
from tinygrad_mlp.kernels.matmul import matmul
from tinygrad_mlp.kernels.observe import Launch, observed
from tinygrad_mlp.kernels.program import Program
from tinygrad_mlp.kernels.record import source_of_launch
from tinygrad_mlp.kernels.threads import OnThreads, gather, get_num_threads, parallel_lock

__all__ = ["KernelTime", "Profiler", "measured_peak", "timed"]


@dataclass(frozen=True)
class KernelTime:
    """How long one kernel took at one place of a step."""

    name: str
    source: str
    """The function that launched it."""
    path: str
    """The modules in which that was."""
    calls: int
    seconds: float
    """Of all calls."""
    bytes: int
    """Of all arrays that it was given, each counted once a call."""
    multiply_adds: int
    threads: int


@dataclass
class Profiler:
    """An observer that times every launch. Kernels that run here for the first time are compiled within that time."""

    times: list[KernelTime] = field(default_factory=list[KernelTime])

    def launched(self, launch: Launch) -> None:
        """Run and time it."""
        start = time.perf_counter()
        launch.run()
        seconds = time.perf_counter() - start
        self.times.append(_time(launch, source_of_launch(), "", seconds))


def timed(program: Program, repeats: int) -> tuple[list[KernelTime], float]:
    """Median times of each launch of a program, and of a run; calls of Python functions are left out."""
    seconds: list[list[float]] = [[] for _ in program.launches]
    kernels = [one for one in program.launches if not one.is_python]
    totals: list[float] = []
    with parallel_lock, OnThreads(get_num_threads()):
        for _ in range(repeats):
            for number, one in enumerate(program.launches):
                if not one.is_python:
                    gather(one.threads)
                    start = time.perf_counter()
                    one.code(*one.args)
                    seconds[number].append(time.perf_counter() - start)
            start = time.perf_counter()
            for one in kernels:
                gather(one.threads)
                one.code(*one.args)
            totals.append(time.perf_counter() - start)
    times = [
        _time(one, call.source, call.path, median(taken))
        for one, call, taken in zip(program.launches, program.calls, seconds, strict=True)
        if taken
    ]
    return times, median(totals)


def _time(one: Launch, source: str, path: str, seconds: float) -> KernelTime:
    return KernelTime(one.name, source, path, 1, seconds, _bytes(one), one.multiply_adds, one.threads)


def _bytes(one: Launch) -> int:
    """Of its arrays; of one of which some rows are drawn, as many as are written."""
    written = sum(one.args[place].nbytes for place in one.writes)
    others = [arg.nbytes for place, arg in enumerate(one.args) if is_array(arg) and place not in one.drawn_from]
    return sum(others) + len(one.drawn_from) * written


def measured_peak(seconds: float = 0.05) -> float:
    """Multiply-adds a second, float32, all threads: the best of products that stay in the cache."""
    a, b = np.ones((512, 512), np.float32), np.ones((512, 96), np.float32)
    out = np.empty((512, 96), np.float32)
    best = float("inf")
    with observed(None):
        matmul(a, b, out)  # compiled, and in the cache
        until = time.perf_counter() + seconds
        while (start := time.perf_counter()) < until:
            matmul(a, b, out)
            best = min(best, time.perf_counter() - start)
    return a.size * b.shape[1] / best
