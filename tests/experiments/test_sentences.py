"""Sentences: where an interval lies, readings, and what is left out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.experiments.made import made_results, two_arms
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.experiments.claims import Finding
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.runs import Run
from tinygrad_mlp.experiments.sentences import any_reading, bound_is_above, column, lies, per_seed

VALUES = [0.80, 0.81, 0.82, 0.81]  # 95 % interval of the mean: 0.797 to 0.823


def results(relu: list[float] = VALUES, tanh: list[float] | None = None) -> Results:
    return made_results(two_arms(), {"relu": relu, "tanh": relu if tanh is None else tanh})


def accuracy(run: Run) -> float:
    return run.measures["test_accuracy"]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.79, math.inf, "reproduced"),
        (-math.inf, 0.83, "reproduced"),
        (0.79, 0.83, "reproduced"),
        (0.80, math.inf, "undecided"),
        (0.80, 0.82, "undecided"),
        (-math.inf, 0.81, "undecided"),
        (0.83, math.inf, "not reproduced"),
        (-math.inf, 0.79, "not reproduced"),
        (0.83, 0.9, "not reproduced"),
    ],
)
def test_the_interval_decides(low: float, high: float, verdict: str) -> None:
    assert lies("accuracy", ("relu",), accuracy, low, high)(results()).verdict == verdict


def test_one_seed_decides_nothing() -> None:
    finding = lies("accuracy", ("relu",), accuracy, low=0.1)(results([0.8]))
    assert finding.verdict == "undecided"
    assert "one seed" in finding.words


def test_seeds_are_paired() -> None:
    both = results([0.8, 0.7, 0.9], [0.79, 0.69])
    np.testing.assert_allclose(per_seed(both, ("relu", "tanh"), lambda a, b: accuracy(a) - accuracy(b)), [0.01, 0.01])


def test_words() -> None:
    words = lies("lead", ("relu",), accuracy, low=0.5, points=True)(results()).words
    assert words == "lead: +81.00 [+79.70, +82.30], expected at least +50.00 points"
    assert "at most +0.9" in lies("lead", ("relu",), accuracy, high=0.9)(results()).words
    assert "from +0.1 to +0.9" in lies("lead", ("relu",), accuracy, 0.1, 0.9)(results()).words


def test_seeds_without_the_number_are_left_out_and_counted() -> None:
    def some(run: Run) -> float:
        return math.nan if run.seed == 0 else accuracy(run)

    finding = lies("accuracy", ("relu",), some, low=0.5)(results())
    assert finding.verdict == "reproduced"
    assert "1 of 4 seeds give none" in finding.words
    none = lies("accuracy", ("relu",), lambda _run: math.nan, low=0.5)(results())
    assert none.verdict == "undecided"


@pytest.mark.parametrize(
    ("arms", "low", "high"), [((), 0.0, 1.0), (("relu",), 1.0, 1.0), (("relu",), -math.inf, math.inf)]
)
def test_empty_regions(arms: tuple[str, ...], low: float, high: float) -> None:
    with pytest.raises(ArgumentError, match="expected an arm"):
        lies("accuracy", arms, accuracy, low, high)


def test_bound() -> None:
    assert bound_is_above("relu", 0.79)(results()).verdict == "reproduced"
    assert bound_is_above("relu", 0.805)(results()).verdict == "not reproduced"  # the mean is, its bound is not
    assert bound_is_above("relu", 0.1)(results([0.8])).verdict == "undecided"


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        (("reproduced", "not reproduced"), "reproduced"),
        (("undecided", "not reproduced"), "undecided"),
        (("undecided", "reproduced"), "reproduced"),
        (("not reproduced", "not reproduced"), "not reproduced"),
        (("exceeded", "not reproduced"), "underspecified"),
    ],
)
def test_readings(verdicts: tuple[str, str], together: str) -> None:
    readings = {name: lambda _results, v=v: Finding(v, "why") for name, v in zip("ab", verdicts, strict=True)}
    finding = any_reading(readings)(results())
    assert finding.verdict == together
    assert finding.readings == tuple((name, Finding(v, "why")) for name, v in zip("ab", verdicts, strict=True))
    assert f"{verdicts[0]}: a" in finding.words
    assert f"{verdicts[1]}: " in finding.words


def test_what_is_undecided_says_how_many_more_seeds_may_decide_it() -> None:
    def lead(run: Run) -> float:
        return (0.01, -0.002, 0.012, 0.001)[run.seed]

    finding = lies("lead", ("relu",), lead, low=0.0)(results())
    assert finding.verdict == "undecided" and finding.more_seeds is not None
    assert finding.words.endswith(f", expected at least +0 (about {finding.more_seeds} more seeds)")
    certain = lies("lead", ("relu",), accuracy, low=0.5)
    assert certain(results()).more_seeds is None
    readings = any_reading({"one": lies("lead", ("relu",), lead, low=0.0), "other": certain})(results())
    assert readings.more_seeds is None  # it is reproduced by the other
    assert readings.words == f"of 2 readings undecided: one (about {finding.more_seeds} more seeds); reproduced: other"


def test_columns() -> None:
    run = results().of("relu")[0]
    np.testing.assert_allclose(column(run, "train_loss"), [1, 1 / 2, 1 / 3])
    assert np.isnan(column(run, "nothing")).all()
    empty = replace(run, history=())
    assert column(empty, "train_loss").shape == (0,)
