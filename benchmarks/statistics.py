"""Medians, and intervals by the bootstrap. Standard library only.

The interval of a statistic is what the middle 95 % of its values are over many samples drawn with replacement from the
rounds that were measured (Efron & Tibshirani 1993, ch. 13: the percentile interval). Of fewer than 6 rounds it would be
from the lowest to the highest of them, which holds the true median in 50 % of cases (2 rounds) to 94 % (5); it is
called what it is then, see `interval_name`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = [
    "ENOUGH",
    "Interval",
    "bootstrap",
    "geometric_mean",
    "geometric_mean_of_medians",
    "interval_name",
    "median",
    "quantile",
]

ENOUGH = 6
"""Rounds for a 95 % interval of their median: lowest to highest of n hold it with 1 - 2 / 2**n."""
_DRAWS = 2000


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which this part (0 to 1) of the values lies, on the line between two neighbours.

    Raises `ValueError` for no values.
    """
    if not values:
        raise ValueError("a quantile of no values")
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the middle two. Raises `ValueError` for no values."""
    return quantile(values, 0.5)


def geometric_mean(values: Sequence[float]) -> float:
    """The n-th root of the product. Raises `ValueError` for no values, or one that is not positive."""
    if not values:
        raise ValueError("the geometric mean of no values")
    return math.exp(sum(map(math.log, values)) / len(values))


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; of fewer than `ENOUGH` rounds, what it is for the lowest and the highest."""

    value: float
    low: float
    high: float
    rounds: int
    """Of what was measured least often."""

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def interval_name(rounds: int) -> str:
    """What the interval of a statistic of so many rounds may be called."""
    if rounds >= ENOUGH:
        return "95 % interval"
    return f"lowest to highest of {rounds} round{'s' if rounds > 1 else ''}"


def bootstrap(
    values: Sequence[float], statistic: Callable[[Sequence[float]], float] = median, *, seed: int = 0
) -> Interval:
    """The statistic of the values with its interval. Raises `ValueError` for no values."""
    return _interval([values], lambda samples: statistic(samples[0]), seed)


def geometric_mean_of_medians(groups: Sequence[Sequence[float]], *, seed: int = 0) -> Interval:
    """The geometric mean over groups of each group's median; groups are resampled each by itself.

    Raises `ValueError` for no groups or an empty one.
    """
    if not groups:
        raise ValueError("the geometric mean of no groups")
    return _interval(groups, lambda samples: geometric_mean([median(sample) for sample in samples]), seed)


def _interval(
    groups: Sequence[Sequence[float]], statistic: Callable[[Sequence[Sequence[float]]], float], seed: int
) -> Interval:
    value, rounds = statistic(groups), min(map(len, groups))
    if rounds < ENOUGH:
        low, high = (statistic([[extreme(group)] for group in groups]) for extreme in (min, max))
        return Interval(value, low, high, rounds)
    draw = random.Random(seed).choices
    draws = [statistic([draw(group, k=len(group)) for group in groups]) for _ in range(_DRAWS)]
    return Interval(value, quantile(draws, 0.025), quantile(draws, 0.975), rounds)
