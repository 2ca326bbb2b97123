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
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from rich.console import Console
from rich.table import Table

from benchmarks.settings import Settings
from benchmarks.statistics import median
from tinygrad_mlp.kernels.launch import Array, get_num_threads, kernel, launch, prange, set_num_threads
from tinygrad_mlp.kernels.simd import INDEX, TARGET, Lanes

__all__ = ["Peaks", "Rate", "cache_bytes", "measure"]

# Zen and Intel cores finish a multiply-add after 4 or 5 cycles and start two in each: 8 to 10 chains keep them busy.
CHAINS = 24 if TARGET.registers == 32 else 12
UNROLL = 4  # vectors that a stream moves at a time
_ALWAYS = 1 << 40  # as much work as makes `launch` use all its threads


@intrinsic(prefer_literal=True)
def _multiply_add_chains(_typing: Any, chains: Any, repeats: Any, factors: Any, sums: Any, at: Any) -> Any:
    """Sums ← factors[0] · sums + factors[1], `repeats` times, on `chains` vectors that stay in registers."""
    n = types.intp
    signature = types.void(chains, n, factors, sums, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, repeats_, factors_, sums_, at_ = args
        lanes = Lanes(builder, context.get_data_type(sums.dtype))
        given = context.make_array(factors)(context, builder, factors_).data
        factor, term = (lanes.broadcast(builder.load(builder.gep(given, [INDEX(i)]))) for i in range(2))
        first = builder.gep(context.make_array(sums)(context, builder, sums_).data, [at_])
        addresses = [builder.gep(first, [INDEX(c * lanes.count)]) for c in range(chains.literal_value)]
        # LLVM turns these variables into registers. Each starts from a number of its own, or all would become one.
        slots = [cgutils.alloca_once(builder, lanes.vector) for _ in addresses]
        for address, slot in zip(addresses, slots, strict=True):
            builder.store(lanes.load(address), slot)
        with cgutils.for_range(builder, repeats_):
            for slot in slots:
                builder.store(lanes.multiply_add(builder.load(slot), factor, term), slot)
        for address, slot in zip(addresses, slots, strict=True):
            lanes.store(builder.load(slot), address)
        return context.get_dummy_value()

    return signature, generate


@intrinsic(prefer_literal=True)
def _stream(_typing: Any, inputs: Any, repeats: Any, size: Any, x: Any, y: Any, factor: Any, out: Any, at: Any) -> Any:
    """Out ← x for one input, x + factor · y for two, `repeats` times over `size` elements."""
    n = types.intp
    signature = types.void(inputs, n, n, x, y, factor, out, n)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, repeats_, size_, x_, y_, factor_, out_, at_ = args
        lanes = Lanes(builder, context.get_data_type(out.dtype))
        starts = [
            builder.gep(context.make_array(kind)(context, builder, array).data, [at_])
            for kind, array in ((x, x_), (y, y_), (out, out_))
        ]
        factors = lanes.broadcast(factor_)
        step = INDEX(UNROLL * lanes.count)
        with (
            cgutils.for_range(builder, repeats_),
            cgutils.for_range_slice(builder, INDEX(0), size_, step, INDEX) as (position, _),
        ):
            offsets = [builder.add(position, INDEX(u * lanes.count)) for u in range(UNROLL)]
            x_at, y_at, out_at = ([builder.gep(start, [offset]) for offset in offsets] for start in starts)
            values = [lanes.load(address) for address in x_at]
            if inputs.literal_value == 2:
                others = [lanes.load(address) for address in y_at]
                values = [lanes.multiply_add(factors, b, a) for a, b in zip(values, others, strict=True)]
            for value, address in zip(values, out_at, strict=True):
                lanes.store(value, address)
        return context.get_dummy_value()

    return signature, generate


multiply_add_chains: Callable[..., None] = cast(Any, _multiply_add_chains)
stream: Callable[..., None] = cast(Any, _stream)


@kernel(writes=("sums",), parallel=True)
def run_chains(parts: int, repeats: int, factors: Array, sums: Array) -> None:
    """Multiply-adds in registers; sums (parts · chains · lanes,), one part for each thread."""
    for part in prange(parts):
        multiply_add_chains(CHAINS, repeats, factors, sums, part * (sums.size // parts))


@kernel(writes=("out",), parallel=True)
def run_copy(parts: int, repeats: int, x: Array, out: Array) -> None:
    """Copy x to out, each thread its part."""
    size = out.size // parts
    for part in prange(parts):
        stream(1, repeats, size, x, x, x[0], out, part * size)


@kernel(writes=("out",), parallel=True)
def run_triad(parts: int, repeats: int, x: Array, y: Array, factor: Array, out: Array) -> None:
    """Out = x + factor · y, each thread its part."""
    size = out.size // parts
    for part in prange(parts):
        stream(2, repeats, size, x, y, factor[0], out, part * size)


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
    threads: int
    unit: str
    work: float  # floating-point operations or bytes in one repetition
    run: Callable[[int], None]

    def seconds(self, repeats: int) -> float:
        set_num_threads(self.threads)
        begin = time.perf_counter()
        self.run(repeats)
        return time.perf_counter() - begin

    def repeats_for(self, seconds: float) -> int:
        """How many repetitions fill a block; compiles and warms up on the way."""
        repeats = 1
        self.seconds(repeats)
        while (taken := self.seconds(repeats)) < seconds / 4:
            repeats *= 2
        return max(1, round(repeats * seconds / taken))


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
    factors, sums = np.ones(2, dtype), np.zeros(threads * width, dtype)

    def run(repeats: int) -> None:
        sums[:] = np.arange(sums.size)
        launch(run_chains, threads, repeats, factors, sums, work=_ALWAYS)

    return _Loop("multiply-add", np.dtype(dtype).name, threads, "GFLOP/s", 2.0 * sums.size, run)


def _streams(place: str, size: int, threads: int) -> list[_Loop]:
    """Copy and triad over arrays of float32 that together take `size` bytes in each thread."""
    grain = UNROLL * TARGET.vector_bytes // 4
    lengths = [threads * (size // arrays // 4 // grain * grain) for arrays in (2, 3)]
    factor, (x, y, out) = np.full(1, 0.5, np.float32), (_aligned(max(lengths)) for _ in range(3))
    copied, added = (slice(length) for length in lengths)

    def copy(repeats: int) -> None:
        launch(run_copy, threads, repeats, x[copied], out[copied], work=_ALWAYS)

    def triad(repeats: int) -> None:
        launch(run_triad, threads, repeats, x[added], y[added], factor, out[added], work=_ALWAYS)

    return [
        _Loop("copy", place, threads, "GB/s", 2.0 * 4 * lengths[0], copy),
        _Loop("triad", place, threads, "GB/s", 3.0 * 4 * lengths[1], triad),
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


def measure(settings: Settings) -> Peaks:
    """Run every loop on each number of threads, in interleaved blocks."""
    before = get_num_threads()
    try:
        loops = [loop for threads in settings.threads for loop in _loops(threads)]
        block, rounds = (0.004, 3) if settings.quick else (0.02, 25)
        repeats = [loop.repeats_for(block) for loop in loops]
        times: list[list[float]] = [[] for _ in loops]
        for _ in range(rounds):
            for loop, count, taken in zip(loops, repeats, times, strict=True):
                taken.append(loop.seconds(count))
    finally:
        set_num_threads(before)
    rates = tuple(_rate(*measured) for measured in zip(loops, repeats, times, strict=True))
    return Peaks(rates, 8 * TARGET.vector_bytes, cache_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    Console().print(measure(Settings(quick=arguments.quick)).table())


if __name__ == "__main__":
    main()
