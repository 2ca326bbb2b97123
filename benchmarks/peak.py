"""The limits of this machine: multiply-adds per second out of registers, and bytes per second out of each cache.

    python -m benchmarks.peak

Both loops are made of the instructions that the matrix product is made of (`tinygrad_mlp.kernels.simd`), so that they
show what those can reach, and nothing that they cannot.

- Multiply-adds: as many independent chains as hide the latency of one, all in registers; nothing is loaded. Two
  floating-point operations each.
- Streams: copy (out = x) and triad (out = x + c·y), over and over the same arrays, which together fill half of one of
  the caches, or are four times as large as the last one. Bytes are counted as a program sees them: two or three
  arrays, once each. That a store first reads its line from memory is not counted.

Every figure is the best of many interleaved blocks: a limit is what was reached once.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import stay_on
from benchmarks.peak_loops import CHAINS, UNROLL, run_chains, run_copy, run_triad
from benchmarks.settings import Settings
from benchmarks.statistics import median
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.simd import TARGET

__all__ = ["Peaks", "Rate", "cache_bytes", "measure", "measure_multiply_adds"]


@dataclass(frozen=True)
class Rate:
    """What one loop reached on some threads, in GFLOP/s or GB/s."""

    loop: str
    place: str  # dtype of multiply-adds, or the cache of a stream
    threads: int
    best: float
    median: float
    unit: str


@dataclass(frozen=True)
class Peaks:
    """All limits of this machine."""

    rates: tuple[Rate, ...]
    vector_bits: int
    caches: Mapping[str, int]
    """Bytes of each cache, from the first to the last."""

    def flops(self, threads: int, dtype: str = "float32") -> float:
        """GFLOP/s of multiply-adds in registers."""
        return self._best("multiply-add", dtype, threads)

    def bandwidth(self, place: str, threads: int, loop: str = "triad") -> float:
        """GB/s of a stream; `place` is a name in `caches`, or "memory"."""
        return self._best(loop, place, threads)

    def place_of(self, size: float) -> str:
        """The smallest cache that holds so many bytes, or "memory"."""
        return next((place for place, room in self.caches.items() if size <= room), "memory")

    def _best(self, loop: str, place: str, threads: int) -> float:
        return next(r.best for r in self.rates if (r.loop, r.place, r.threads) == (loop, place, threads))

    def table(self) -> Table:
        threads = sorted({rate.threads for rate in self.rates})
        table = Table(title=f"Measured limits ({self.vector_bits}-bit vectors; best block, in brackets the median)")
        table.add_column("loop")
        table.add_column("unit")
        for count in threads:
            table.add_column(f"{count} thread{'s' if count > 1 else ''}", justify="right")
        for loop, place, unit in dict.fromkeys((r.loop, r.place, r.unit) for r in self.rates):
            row = [r for r in self.rates if (r.loop, r.place) == (loop, place)]
            cells = [f"{r.best:.1f} ({r.median:.1f})" for count in threads for r in row if r.threads == count]
            table.add_row(f"{loop}, {place}", unit, *cells)
        return table

    def as_json(self) -> dict[str, Any]:
        return {
            "vector_bits": self.vector_bits,
            "caches": dict(self.caches),
            "rates": [asdict(rate) for rate in self.rates],
        }


@dataclass(frozen=True)
class _Loop:
    """One figure in the making: what a block runs, and how much work that is."""

    loop: str
    place: str
    unit: str
    work: float
    """Floating-point operations or bytes of all threads in one repetition."""
    runs: Sequence[Callable[[int], None]]
    """What each of the threads does."""

    @property
    def threads(self) -> int:
        return len(self.runs)


class _Team:
    """Threads, each on a core of its own where the system lets it choose: schedulers leave two on one for seconds."""

    def __init__(self, threads: int) -> None:
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        cores = usable if len(usable) >= threads else [None] * threads
        self._members = [ThreadPoolExecutor(1, initializer=stay_on, initargs=(core,)) for core in cores[:threads]]

    def seconds(self, loop: _Loop, repeats: int) -> float:
        """From the time when the first thread of a loop begins until the last is done."""
        together = Barrier(loop.threads)

        def work(run: Callable[[int], None]) -> tuple[float, float]:
            together.wait()
            begin = time.perf_counter()
            run(repeats)
            return begin, time.perf_counter()

        members = zip(self._members, loop.runs, strict=False)
        spans = [future.result() for future in [member.submit(work, run) for member, run in members]]
        return max(end for _, end in spans) - min(begin for begin, _ in spans)

    def repeats_for(self, loop: _Loop, seconds: float) -> int:
        """How many repetitions fill a block; warms up on the way."""
        repeats = 1
        while (taken := self.seconds(loop, repeats)) < seconds / 4:
            repeats *= 2
        return max(1, round(repeats * seconds / taken))

    def close(self) -> None:
        for member in self._members:
            member.shutdown()


def cache_bytes() -> dict[str, int]:
    """Bytes of each data cache of core 0, by name, from the first on; usual sizes where the system does not say."""
    sizes: dict[int, int] = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (cache / "type").read_text().strip() != "Instruction":
            sizes[int((cache / "level").read_text())] = int((cache / "size").read_text().strip().rstrip("K")) << 10
    return {f"L{level}": sizes[level] for level in sorted(sizes)} or {"L1": 32 << 10, "L2": 512 << 10, "L3": 16 << 20}


def _aligned(length: int) -> Array:
    """Ones whose memory starts with a cache line: a vector that crosses lines takes twice the time."""
    line = 64
    memory = np.empty(4 * length + line, np.uint8)
    start = -memory.ctypes.data % line
    ones = memory[start : start + 4 * length].view(np.float32)
    ones[:] = 1
    return ones


def _chains(dtype: type[np.floating[Any]], threads: int) -> _Loop:
    width = CHAINS * (TARGET.vector_bytes // np.dtype(dtype).itemsize)
    factors = np.ones(2, dtype)

    def run(repeats: int) -> None:
        launch(run_chains, repeats, factors, np.arange(width, dtype=dtype))

    return _Loop("multiply-add", np.dtype(dtype).name, "GFLOP/s", 2.0 * width * threads, [run] * threads)


def _streams(place: str, size: int, threads: int) -> list[_Loop]:
    """Copy and triad, in each thread over arrays of float32 that together take `size` bytes."""
    grain = UNROLL * TARGET.vector_bytes // 4
    for_copy, for_triad = (size // arrays // 4 // grain * grain for arrays in (2, 3))
    factor = np.full(1, 0.5, np.float32)

    def copy(x: Array, out: Array, repeats: int) -> None:
        launch(run_copy, repeats, x, out)

    def triad(x: Array, y: Array, out: Array, repeats: int) -> None:
        launch(run_triad, repeats, x, y, factor, out)

    memory = [[_aligned(for_copy) for _ in range(3)] for _ in range(threads)]
    copies = [partial(copy, x, out) for x, _, out in memory]
    triads = [partial(triad, *(array[:for_triad] for array in arrays)) for arrays in memory]
    return [
        _Loop("copy", place, "GB/s", 2.0 * 4 * for_copy * threads, copies),
        _Loop("triad", place, "GB/s", 3.0 * 4 * for_triad * threads, triads),
    ]


def _loops(threads: int) -> list[_Loop]:
    caches = cache_bytes()

    def sharers(place: str) -> int:
        return threads if place not in ("L1", "L2") else 1  # cores have those of their own

    return [
        _chains(np.float32, threads),
        _chains(np.float64, threads),
        *(loop for place, size in caches.items() for loop in _streams(place, size // 2 // sharers(place), threads)),
        *_streams("memory", 4 * max(caches.values()) // threads, threads),
    ]


def _rate(loop: _Loop, repeats: int, times: Sequence[float]) -> Rate:
    best, middle = (loop.work * repeats / seconds / 1e9 for seconds in (min(times), median(times)))
    return Rate(loop.loop, loop.place, loop.threads, best, middle, loop.unit)


def measure_multiply_adds(settings: Settings) -> dict[int, float]:
    """GFLOP/s of float32 multiply-adds in registers, by number of threads."""
    rates = _measured(settings, [_chains(np.float32, threads) for threads in settings.threads])
    return {rate.threads: rate.best for rate in rates}


def measure(settings: Settings) -> Peaks:
    """Run every loop on each number of threads, in interleaved blocks."""
    rates = _measured(settings, [loop for threads in settings.threads for loop in _loops(threads)])
    return Peaks(rates, 8 * TARGET.vector_bytes, cache_bytes())


def _measured(settings: Settings, loops: Sequence[_Loop]) -> tuple[Rate, ...]:
    block, rounds = (0.004, 3) if settings.quick else (0.02, 25)
    for loop in loops:
        loop.runs[0](1)  # compile
    team = _Team(max(settings.threads))
    try:
        repeats = [team.repeats_for(loop, block) for loop in loops]
        times: list[list[float]] = [[] for _ in loops]
        for _ in range(rounds):
            for loop, count, taken in zip(loops, repeats, times, strict=True):
                taken.append(team.seconds(loop, count))
    finally:
        team.close()
    return tuple(_rate(*measured) for measured in zip(loops, repeats, times, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    Console().print(measure(Settings(quick=arguments.quick)).table())


if __name__ == "__main__":
    main()
