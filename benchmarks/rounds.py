"""Worker processes, and timings of them in interleaved rounds.

Each contender is a `Worker`: an operating-system process of its own, of any Python interpreter, that imports one module
and answers calls of the functions in that module's `COMMANDS` (see `worker`). It sleeps until it is called, so that one
contender is active at a time::

    with Workers() as workers:
        ours = workers.start("ours", "benchmarks.kernels_ours", threads=2)
        torch = workers.start("torch", "benchmarks.kernels_torch", python="/opt/other/bin/python", threads=2)
        ours.call("prepare", shape=[64, 784, 50])             # JSON in, JSON out; may raise MissingError, WorkerError
        timers = {worker.name: partial(timed, worker, count=steps_per_block(worker)) for worker in (ours, torch)}
        measured = measure(timers, rounds=12, seed=0)
    measured.median("ours"), measured.ratios("torch", "ours")  # seconds for one unit; one ratio for each round

A module that is timed so offers the command that `timed_command(run)` makes of `run(count)`, by the name "timed"; `run`
does `count` units of work. That command works a little to warm the caches up, times the rest, and counts the CPU time
that others took meanwhile. `measure` repeats a block that was disturbed. A timer is anything that returns a `Block`:
tests pass fake ones.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.calm import Calm
from benchmarks.machine import CpuClock
from benchmarks.processes import MissingError, Worker, WorkerError, Workers
from benchmarks.statistics import median, quantile

__all__ = [
    "Block",
    "MissingError",
    "Rounds",
    "Timer",
    "Worker",
    "WorkerError",
    "Workers",
    "measure",
    "steps_per_block",
    "timed",
    "timed_command",
]

_WARM_PART = 0.05  # of a block is run untimed before it, since another contender has just emptied the caches


@dataclass(frozen=True)
class Block:
    """One timed stretch of work: `seconds` for `units`, while others took so many CPUs (None: unknown).

    Of a block that was timed in slices, the two are those of the median slice, and `mean` is what one unit took in the
    whole.
    """

    seconds: float
    units: int
    foreign: float | None = None
    steal: float | None = None
    mean: float | None = None

    @property
    def taken(self) -> float:
        """CPUs that others took: other processes, and other virtual machines."""
        return (self.foreign or 0.0) + (self.steal or 0.0)


Timer = Callable[[], Block]


def timed_command(run: Callable[[int], None]) -> Callable[..., dict[str, Any]]:
    """The command "timed" of a worker whose work is `run(count)`: warm up, then time `slices` times `count` units.

    Where a host machine runs others on the same cores, a core is now fast, now slow, for milliseconds at a time, and
    nothing in /proc tells. The median slice is one of the usual speed, where the whole is a mixture.
    """

    def timed(count: int, slices: int = 1) -> dict[str, Any]:
        run(max(1, round(count * slices * _WARM_PART)))
        start = CpuClock.now()
        times = [time.perf_counter()]
        for _ in range(slices):
            run(count)
            times.append(time.perf_counter())
        foreign, steal = CpuClock.now().foreign_since(start)
        seconds = median([end - begin for begin, end in pairwise(times)])
        return asdict(Block(seconds, count, foreign, steal, (times[-1] - times[0]) / (count * slices)))

    return timed


def timed(worker: Worker, count: int, slices: int = 1) -> Block:
    """Time a worker's work in one block: `slices` times `count` units."""
    return Block(**worker.call("timed", count=count, slices=slices))


def steps_per_block(worker: Worker, seconds: float = 0.25) -> int:
    """How many units of a worker's work take about so long, after it has worked for as long to warm up."""
    count, spent = 1, 0.0
    while True:
        block = timed(worker, count)
        spent += block.seconds
        one = block.seconds / count
        if block.seconds >= seconds / 4 and spent >= seconds:
            return max(1, round(seconds / one))
        count = max(1, min(count * 10, math.ceil(seconds / 2 / max(one, 1e-9))))


@dataclass
class Rounds:
    """What was measured: for each contender one block a round."""

    blocks: dict[str, list[Block]]
    foreign_limit: float
    repeated: int = 0
    """Disturbed blocks that were thrown away and timed again."""
    kept_disturbed: int = 0
    """Disturbed blocks that stand, since the limit of repetitions was reached."""
    waited: float = 0.0
    """Seconds for which blocks waited for calm."""
    began_slow: int = 0
    """Blocks that began although a CPU was slow, since patience was at its end."""
    order: list[list[str]] = field(default_factory=list)
    """In which order each round went."""

    def seconds(self, name: str) -> list[float]:
        """Seconds for one unit of work, round by round."""
        return [block.seconds / block.units for block in self.blocks[name]]

    def median(self, name: str) -> float:
        """The median of `seconds`."""
        return median(self.seconds(name))

    def spread(self, name: str) -> float:
        """Half the distance between the quartiles, as a part of the median."""
        values = self.seconds(name)
        return (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / median(values)

    def ratios(self, over: str, under: str) -> list[float]:
        """Seconds of `over` by seconds of `under`, round by round."""
        return [a / b for a, b in zip(self.seconds(over), self.seconds(under), strict=True)]

    @property
    def count(self) -> int:
        """How many rounds there were."""
        return max(map(len, self.blocks.values()))

    @property
    def total(self) -> int:
        """Blocks that stand."""
        return sum(map(len, self.blocks.values()))

    @property
    def foreign_known(self) -> bool:
        """Whether the system tells what others took."""
        return all(block.foreign is not None for blocks in self.blocks.values() for block in blocks)

    def as_json(self) -> dict[str, Any]:
        """Every number."""
        return {
            "seconds": {name: self.seconds(name) for name in self.blocks},
            "blocks": {name: [asdict(block) for block in blocks] for name, blocks in self.blocks.items()},
            "order": self.order,
            "repeated": self.repeated,
            "kept_disturbed": self.kept_disturbed,
            "waited": self.waited,
            "began_slow": self.began_slow,
            "foreign_limit": self.foreign_limit,
            "foreign_known": self.foreign_known,
        }


def measure(
    timers: Mapping[str, Timer],
    rounds: int,
    *,
    seed: int = 0,
    foreign_limit: float = 0.15,
    repeats: float = 1.0,
    calm: Calm | None = None,
    progress: Callable[[int], None] | None = None,
) -> Rounds:
    """Run every timer once a round, in an order that is shuffled anew each round.

    Parameters
    ----------
    timers:
        By the name of the contender.
    rounds:
        At least 1.
    seed:
        Of the orders.
    foreign_limit:
        A block during which others took more CPUs than this is disturbed and timed again.
    repeats:
        How many blocks may be timed again in all, as a multiple of rounds times contenders; then disturbed ones stand.
    calm:
        What each block waits for before it begins.
    progress:
        Called after each round with its number, from 1.

    Raises `ValueError` for no round or no timer.
    """
    if rounds < 1 or not timers:
        raise ValueError(f"measure: got {rounds} rounds of {len(timers)} timers, expected at least 1 of each")
    shuffle = random.Random(seed).shuffle
    result = Rounds({name: [] for name in timers}, foreign_limit)
    left = round(repeats * rounds * len(timers))

    def block_of(name: str) -> Block:
        if calm is not None:
            result.began_slow += not calm.wait()
        return timers[name]()

    for number in range(1, rounds + 1):
        names = list(timers)
        shuffle(names)
        result.order.append(names)
        for name in names:
            block = block_of(name)
            while block.taken > foreign_limit and left > 0:
                left -= 1
                result.repeated += 1
                block = block_of(name)
            result.kept_disturbed += block.taken > foreign_limit
            result.blocks[name].append(block)
        if progress is not None:
            progress(number)
    result.waited = calm.waited if calm is not None else 0.0
    return result
