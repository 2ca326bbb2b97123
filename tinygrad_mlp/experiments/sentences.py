"""Sentences as predicates, beyond "better" and "about the same": a number that each run gives, and where it must lie.

What a sentence says of single runs ("the validation loss begins to climb") is read as a number that each seed's runs
give and a region that was chosen beforehand. The 95 % interval of its mean decides, by the same rule for every
sentence: inside the region it is reproduced, outside not reproduced, across a bound undecided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.experiments.claims import Finding, Predicate, Sentence, VerdictWord
from tinygrad_mlp.experiments.statistics import Summary, seeds_to_place, summarize

if TYPE_CHECKING:
    from tinygrad_mlp.experiments.results import Results
    from tinygrad_mlp.experiments.runs import Run

__all__ = ["any_reading", "bound_is_above", "column", "lies", "per_seed"]

Floats = NDArray[np.float64]


def column(run: Run, name: str) -> Floats:
    """A column of a run's history, a number an epoch; NaN where there is none.

    >>> column(run, "val_loss").min()
    """
    values = [row.get(name) for row in run.history]
    return np.array([math.nan if value is None else value for value in values], np.float64)


def per_seed(results: Results, arms: tuple[str, ...], number: Callable[..., float]) -> Floats:
    """`number(run of the first arm, run of the second, …)` for each seed that all these arms have finished."""
    by_seed = [{run.seed: run for run in results.of(arm)} for arm in arms]
    common = [seed for seed in by_seed[0] if all(seed in runs for runs in by_seed)]
    return np.array([number(*(runs[seed] for runs in by_seed)) for seed in common], np.float64)


def lies(
    what: str,
    arms: tuple[str, ...],
    number: Callable[..., float],
    low: float = -math.inf,
    high: float = math.inf,
    *,
    points: bool = False,
) -> Predicate:
    """The sentence "this number lies from low to high", of a number that the runs of one seed give.

    Parameters
    ----------
    what:
        The number in words, such as "last minus lowest validation loss".
    arms, number:
        `number(run, …)` gets a run of each arm, all of one seed. Where it is NaN, for a run that diverged before there
        was anything to look at, the seed is left out, and the words say so.
    low, high:
        The region, with at least one finite bound.
    points:
        Say shares as percentage points.

    Raises `ArgumentError` for a region that is empty or holds everything.

    >>> lies("gap", ("tanh", "l2"), lambda a, b: gap(a) - gap(b), low=0.0)
    """
    if not arms or not low < high or (math.isinf(low) and math.isinf(high)):
        raise ArgumentError(
            f"lies: arms={arms}, low={low}, high={high}; expected an arm, low < high, one of them finite"
        )

    def predicate(results: Results) -> Finding:
        values = per_seed(results, arms, number)
        finite = values[np.isfinite(values)]
        left_out = (
            f" ({len(values) - len(finite)} of {len(values)} seeds give none)" if len(finite) < len(values) else ""
        )
        if not len(finite):
            return Finding("undecided", f"{what}: no seed gives it{left_out}")
        summary = summarize(finite)
        verdict = _place(summary, low, high)
        more = seeds_to_place(summary, low, high) if verdict == "undecided" else None
        words = f"{what}: {_interval(summary, points)}, expected {_region(low, high, points)}{left_out}{_seeds(more)}"
        return Finding(verdict, words, more_seeds=more)

    return predicate


def bound_is_above(arm: str, least: float, measure: str = "test_accuracy") -> Predicate:
    """The sentence "the mean is above this", decided by the one-sided 95 % lower bound of the mean over seeds.

    Not reproduced where the bound is not above; undecided after a single run.
    """

    def predicate(results: Results) -> Finding:
        summary = results.summary(arm, measure)
        if math.isnan(summary.lower_bound):
            return Finding("undecided", f"{arm}: one run has no bound")
        words = (
            f"{arm}: mean {100 * summary.mean:.2f} %, 95 % lower bound {100 * summary.lower_bound:.2f} %, n {summary.n}"
        )
        return Finding("reproduced" if summary.lower_bound > least else "not reproduced", words)

    return Sentence(predicate, measures=((arm, measure),))


def any_reading(readings: Mapping[str, Predicate]) -> Predicate:
    """A sentence under several readings of its report, by name: judged as numbers with several readings are.

    Reproduced if it holds in one, which the words name; not reproduced if all readings agree on that; undecided where
    one still is; else underspecified.
    """

    def predicate(results: Results) -> Finding:
        findings = {name: one(results) for name, one in readings.items()}
        by: dict[VerdictWord, list[str]] = {}
        for name, finding in findings.items():
            by.setdefault(finding.verdict, []).append(name + _seeds(finding.more_seeds))
        words = "; ".join(f"{verdict}: {', '.join(names)}" for verdict, names in by.items())
        verdict: VerdictWord = next(iter(by)) if len(by) == 1 else "underspecified"
        if "undecided" in by:
            verdict = "undecided"
        if "reproduced" in by:
            verdict = "reproduced"
        left = [finding.more_seeds for finding in findings.values() if finding.verdict == "undecided"]
        known = [count for count in left if count is not None]
        more = max(known) if verdict == "undecided" and len(known) == len(left) else None
        return Finding(verdict, f"of {len(findings)} readings {words}", tuple(findings.items()), more)

    return Sentence.of(predicate, *readings.values())


def _seeds(more: int | None) -> str:
    return "" if more is None else f" (about {more} more seeds)"


def _place(summary: Summary, low: float, high: float) -> VerdictWord:
    """Where the interval of the mean lies; that of one run is NaN, and so undecided."""
    if low <= summary.low and summary.high <= high:
        return "reproduced"
    return "not reproduced" if summary.high < low or summary.low > high else "undecided"


def _interval(summary: Summary, points: bool) -> str:
    mean = _words(summary.mean, points)
    if math.isnan(summary.low):
        return f"{mean} (one seed)"
    return f"{mean} [{_words(summary.low, points)}, {_words(summary.high, points)}]"


def _region(low: float, high: float, points: bool) -> str:
    unit = " points" if points else ""
    if math.isinf(high):
        return f"at least {_words(low, points)}{unit}"
    if math.isinf(low):
        return f"at most {_words(high, points)}{unit}"
    return f"from {_words(low, points)} to {_words(high, points)}{unit}"


def _words(value: float, points: bool) -> str:
    return f"{100 * value:+.2f}" if points else f"{value:+.4g}"
