"""Medians, quantiles, geometric means, and that intervals hold what they promise."""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks.statistics import (
    ENOUGH,
    bootstrap,
    geometric_mean,
    geometric_mean_of_medians,
    interval_name,
    median,
    quantile,
)


def test_median_and_quantiles_are_numpy_s() -> None:
    numbers = np.random.default_rng(0)
    for size in (1, 2, 3, 4, 15, 100):
        values = numbers.normal(size=size).tolist()
        assert median(values) == pytest.approx(np.median(values))
        for part in (0.0, 0.025, 0.25, 0.6, 1.0):
            assert quantile(values, part) == pytest.approx(np.quantile(values, part))


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([3.0]) == pytest.approx(3.0)


@pytest.mark.parametrize("function", [median, geometric_mean, bootstrap, geometric_mean_of_medians])
def test_nothing_has_no_statistics(function) -> None:
    with pytest.raises(ValueError, match=r"no (values|groups)"):
        function([])


@pytest.mark.parametrize("rounds", [ENOUGH, 15])
def test_what_is_called_a_95_percent_interval_holds_the_true_median_in_about_95_of_100_samples(rounds: int) -> None:
    assert interval_name(rounds) == "95 % interval"
    draw = random.Random(0)
    held = 0
    for _ in range(200):
        interval = bootstrap([draw.lognormvariate(0, 0.1) for _ in range(rounds)])  # its median is 1
        held += interval.low <= 1 <= interval.high
    assert 0.90 <= held / 200 <= 0.99


@pytest.mark.parametrize("rounds", range(1, ENOUGH))
def test_fewer_rounds_give_what_was_lowest_and_highest_and_are_called_so(rounds: int) -> None:
    assert interval_name(rounds) == f"lowest to highest of {rounds} round" + "s" * (rounds > 1)
    values = [2.0, 5.0, 1.0, 3.0, 4.0][:rounds]
    interval = bootstrap(values)
    assert (interval.low, interval.value, interval.high) == (min(values), median(values), max(values))
    assert interval.rounds == geometric_mean_of_medians([values, [1.0] * 15]).rounds == rounds
    assert 2 / 2**rounds > 0.05  # how often all of them lie on one side of the true median


def test_an_interval_narrows_with_more_rounds_and_lies_around_its_estimate() -> None:
    draw = random.Random(1)
    few, many = ([draw.gauss(10, 1) for _ in range(count)] for count in (10, 1000))
    for values in (few, many):
        interval = bootstrap(values)
        assert interval.low <= interval.value == median(values) <= interval.high
    assert bootstrap(many).high - bootstrap(many).low < 0.3 * (bootstrap(few).high - bootstrap(few).low)


def test_an_interval_is_the_same_every_time() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 3.0]
    assert bootstrap(values) == bootstrap(values)
    assert str(bootstrap([2.0, 2.0])) == "2.00 [2.00, 2.00]"


def test_each_group_of_a_geometric_mean_is_resampled_by_itself() -> None:
    interval = geometric_mean_of_medians([[2.0, 2.0], [8.0, 8.0, 8.0]])
    assert (interval.low, interval.value, interval.high) == pytest.approx((4.0, 4.0, 4.0))
    wide = geometric_mean_of_medians([[1.0, 2.0, 3.0], [8.0, 8.0, 8.0]])
    assert wide.value == pytest.approx(4.0)
    assert wide.low < 4.0 < wide.high
