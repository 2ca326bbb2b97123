"""How calls are timed in a worker: a sweep runs one block of each call of a group, one after another.

A block is a plain loop of calls, as a program would make them: the loop and the call are part of the time, and nothing
is subtracted. A sweep is long enough for the system's clock of foreign CPU time, which a block is not.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.kernel_calls.cases import CASES
from benchmarks.machine import CpuClock

__all__ = ["Builder", "Call", "commands"]


class Call(NamedTuple):
    """One call, ready to be made any number of times, and what it computed as NumPy arrays ([]: random numbers)."""

    make: Callable[[], Any]
    results: Callable[[], Sequence[Any]]


Builder = Callable[..., Call | None]
"""Builds a call from the arguments of a case; None if this contender has no such call."""

_WARM_PART = 0.1  # of a block is run untimed before it: the calls before have used the caches


def _repeat(call: Callable[[], Any], count: int) -> None:
    for _ in itertools.repeat(None, count):
        call()


def _seconds(call: Callable[[], Any], count: int) -> float:
    begin = time.perf_counter()
    _repeat(call, count)
    return time.perf_counter() - begin


def _count_for(call: Callable[[], Any], seconds: float) -> int:
    """How many calls take about so long, after as long a warm-up."""
    count, spent = 1, 0.0
    while True:
        taken = _seconds(call, count)
        spent += taken
        if taken >= seconds / 4 and spent >= seconds:
            return max(1, round(count * seconds / taken))
        count = max(1, min(count * 10, math.ceil(count * seconds / 2 / max(taken, 1e-9))))


def fingerprint(arrays: Sequence[Any]) -> list[list[float]]:
    """Of each array: its sum, its sum weighted by cosines, and the sum of its sizes, by which errors are judged."""
    prints: list[list[float]] = []
    for array in arrays:
        flat = np.asarray(array, np.float64).reshape(-1)
        weights = np.cos(np.arange(flat.size))
        prints.append([float(flat.sum()), float(flat @ weights), float(np.abs(flat).sum())])
    return prints


def commands(builders: Mapping[str, Builder]) -> dict[str, Callable[..., Any]]:
    """The commands of a worker that makes the calls of the table by these builders, by kinds of cases that it has."""
    calls: dict[str, Call] = {}

    def prepare(names: Sequence[str]) -> dict[str, list[list[float]]]:
        """Build these calls, make each once, and return fingerprints of those that this contender has."""
        for name in names:
            case = CASES[name]
            builder = builders.get(case.kind)
            call = None if builder is None else builder(**case.arguments)
            if call is not None:
                call.make()
                calls[name] = call
        return {name: fingerprint(calls[name].results()) for name in names if name in calls}

    def count(names: Sequence[str], seconds: float) -> dict[str, int]:
        """How many of each call fill a block of so many seconds."""
        return {name: _count_for(calls[name].make, seconds) for name in names}

    def sweep(counts: Mapping[str, int]) -> dict[str, Any]:
        """One block of each: a `Block` with the seconds of a call in each case."""
        seconds: dict[str, float] = {}
        begin = CpuClock.now()
        for name, number in counts.items():
            call = calls[name].make
            _repeat(call, max(1, round(number * _WARM_PART)))
            seconds[name] = _seconds(call, number) / number
        end = CpuClock.now()
        foreign, steal = end.foreign_since(begin)
        return {"seconds": end.wall - begin.wall, "units": 1, "foreign": foreign, "steal": steal, "cases": seconds}

    return {"prepare": prepare, "count": count, "sweep": sweep}
