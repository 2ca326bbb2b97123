"""Intervals, tests, corrections and verdicts: against hand calculation, textbooks, counting, NumPy and SciPy."""

from __future__ import annotations

import dataclasses
import itertools
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp.errors import ArgumentError, DtypeError, NonFiniteError, ShapeError
from tinygrad_mlp.experiments.statistics import (
    Comparison,
    compare,
    holm,
    judge_published,
    mcnemar,
    seeds_to_place,
    sign_flip_p,
    summarize,
)

# Darwin's maize, in eighths of an inch: Fisher, The design of experiments, chapter III.
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
TEN = np.array([1, -1, 2, -2, 3, -3, 4, -4, 5, -5]) / math.sqrt(110 / 9)  # mean 0, deviation 1


def runs(mean: float, sd: float, n: int = 10) -> np.ndarray:
    """`n` values (even) of exactly this mean and deviation, but for rounding."""
    signs = np.resize([1.0, -1.0], n)
    return mean + sd * signs * math.sqrt((n - 1) / n)


# Twelve digits: NumPy's squares of deviations below 1e-162 are 0.
lists_of_values = st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 12)), min_size=2, max_size=30)


# Summaries


def test_fishers_interval_of_darwins_maize():
    summary = summarize(MAIZE)
    assert summary.n == 15
    assert summary.mean == pytest.approx(314 / 15)
    assert summary.sd == pytest.approx(37.744, abs=5e-4)
    half = 2.144787 * 37.744 / math.sqrt(15)  # t(0.975, 14) from the table
    assert (summary.low, summary.high) == pytest.approx((314 / 15 - half, 314 / 15 + half), abs=1e-3)


@pytest.mark.parametrize(
    ("n", "two_sided", "one_sided"), [(2, 12.706, 6.314), (6, 2.571, 2.015), (10, 2.262, 1.833), (30, 2.045, 1.699)]
)
def test_intervals_from_the_t_table(n, two_sided, one_sided):
    summary = summarize(runs(0.87, 0.01, n))
    assert summary.sd == pytest.approx(0.01)
    assert summary.high - 0.87 == pytest.approx(two_sided * 0.01 / math.sqrt(n), rel=3e-4)
    assert 0.87 - summary.low == pytest.approx(summary.high - 0.87)
    assert summary.prediction_high - 0.87 == pytest.approx(two_sided * 0.01 * math.sqrt(1 + 1 / n), rel=3e-4)
    assert 0.87 - summary.prediction_low == pytest.approx(summary.prediction_high - 0.87)
    assert 0.87 - summary.lower_bound == pytest.approx(one_sided * 0.01 / math.sqrt(n), rel=3e-4)


@given(lists_of_values)
def test_summary_agrees_with_numpy(values):
    summary = summarize(values)
    size = float(np.abs(values).max())
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(np.mean(values), rel=1e-12, abs=1e-12 * size)
    assert summary.sd == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-9 * size)
    assert summary.prediction_low <= summary.low <= summary.lower_bound <= summary.mean
    assert summary.mean <= summary.high <= summary.prediction_high
    assert summarize(values[::-1]) == summary


def test_of_one_value_only_the_mean_is_known():
    summary = summarize([0.5])
    assert (summary.n, summary.mean) == (1, 0.5)
    bounds = (summary.sd, summary.low, summary.high, summary.prediction_low, summary.prediction_high)
    assert all(map(math.isnan, (*bounds, summary.lower_bound)))


@given(st.floats(-1e6, 1e6), st.integers(2, 60))
def test_equal_values_have_no_spread_at_all(value, n):
    summary = summarize([value] * n)
    assert (summary.mean, summary.sd, summary.prediction_low, summary.prediction_high) == (value, 0.0, value, value)


def test_intervals_hold_what_they_promise():
    generator = np.random.default_rng(7)
    trials = 2000
    hits = np.zeros(3)
    for _ in range(trials):
        *values, further = generator.normal(3.0, 2.0, 11)
        summary = summarize(values)
        hits += (
            summary.low <= 3.0 <= summary.high,
            summary.prediction_low <= further <= summary.prediction_high,
            summary.lower_bound <= 3.0,
        )
    error = math.sqrt(0.95 * 0.05 / trials)
    assert np.abs(hits / trials - 0.95).max() < 3 * error


def test_a_summary_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        summarize([1.0, 2.0]).mean = 0.0


# Sign-flip test


def p_by_counting(differences: list[int]) -> Fraction:
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return Fraction(sum(each >= observed for each in sums), len(sums))


def test_fishers_test_of_darwins_maize():
    assert sign_flip_p(MAIZE) == 2 * 863 / 2**15  # 863 of 32768 in each tail


@given(st.lists(st.integers(-60, 60), min_size=1, max_size=8))
def test_sign_flip_agrees_with_counting(differences):
    assert sign_flip_p(differences) == float(p_by_counting(differences))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=8))
def test_rounding_errors_of_shares_hide_no_ties(pairs):
    first, second = (np.array(hits) / 10_000 + 0.87 for hits in zip(*pairs, strict=True))
    assert sign_flip_p(first - second) == float(p_by_counting([a - b for a, b in pairs]))


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=8))
def test_sign_flip_agrees_with_scipy(differences):
    from scipy.stats import permutation_test

    data = np.array(differences, float)
    result = permutation_test((data,), lambda x, axis: x.sum(axis), permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(data) == pytest.approx(float(result.pvalue), rel=1e-12)


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=24), st.floats(1e-3, 1e3))
def test_sign_flip_knows_neither_direction_nor_unit(differences, unit):
    d = np.array(differences)
    p = sign_flip_p(d)
    assert p == sign_flip_p(-d) == sign_flip_p(d * 2)
    assert 0 < p <= 1
    assert sign_flip_p(np.rint(d * 100) * unit) == sign_flip_p(np.rint(d * 100))


@pytest.mark.parametrize("n", [1, 2, 6, 10, 16, 20])
def test_the_least_p_is_exact(n):
    assert sign_flip_p([0.1] * n) == 2 / 2**n
    # Equal but for rounding, as differences of accuracies are.
    assert sign_flip_p([(0.87 + k / 100) - (0.86 + k / 100) for k in range(n)]) == 2 / 2**n


@pytest.mark.parametrize("n", [1, 6, 20, 21])
def test_no_difference_at_all_gives_one(n):
    assert sign_flip_p([0.0] * n) == 1.0


def test_a_mean_of_zero_but_for_rounding_gives_one():
    assert sum([0.1, 0.2, -0.3]) != 0
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0


def test_zeros_among_the_differences_count_on_both_sides():
    assert sign_flip_p([0.0, 0.0, 1.0, 1.0]) == 0.5


@pytest.mark.parametrize("differences", [[5e-324] * 6, [1e308] * 6])
def test_neither_the_smallest_nor_the_largest_floats_break_the_test(differences):
    assert sign_flip_p(differences) == 2 / 64


def test_many_pairs_are_drawn_and_never_give_less_than_the_draws_can_tell():
    assert sign_flip_p([0.1] * 40) == 1e-5
    generator = np.random.default_rng(6)
    d = generator.integers(-9, 12, 24)
    # Exact by convolution: how many of the 2^24 choices give each sum.
    counts = {0: 1}
    for each in d.tolist():
        after: dict[int, int] = {}
        for total, count in counts.items():
            for new in (total + each, total - each):
                after[new] = after.get(new, 0) + count
        counts = after
    exact = sum(count for total, count in counts.items() if abs(total) >= abs(d.sum())) / 2**24
    assert 0.01 < exact < 0.5
    assert sign_flip_p(d) == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / 1e5))
    assert sign_flip_p(d) == sign_flip_p(d)


# Holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.04]) == [0.04]
    assert holm([0.5, 0.9, 0.6]) == [1.0, 1.0, 1.0]
    assert holm(np.array([0.0, 1.0])) == [0.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order(ps):
    adjusted = holm(ps)
    for raw, each in zip(ps, adjusted, strict=True):
        assert raw <= each <= min(1, len(ps) * raw)
    order = np.argsort(ps, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    assert holm(ps[::-1]) == adjusted[::-1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(ps, alpha):
    rejected = set()
    for step, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        if not (len(ps) - step) * ps[index] < alpha:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(holm(ps)) if p < alpha} == rejected


# Comparisons


def only(differences, **settings) -> Comparison:
    return compare({"it": differences}, **settings)["it"]


def test_a_table_of_four_verdicts():
    table = compare(
        {
            "better": runs(0.02, 0.005),
            "worse": runs(-0.02, 0.005),
            "equivalent": 0.001 * TEN,
            "undecided": 0.02 * TEN,
        }
    )
    for name, comparison in table.items():
        assert comparison.verdict == name
        assert comparison.n == 10
        assert comparison.decidable
        assert (comparison.more_seeds is None) == (name != "undecided")
    better = table["better"]
    assert better.p == 2 / 1024
    assert better.adjusted_p == 4 * better.p
    assert better.difference == pytest.approx(0.02)
    half = 2.262 * 0.005 / math.sqrt(10)
    assert (better.low, better.high) == pytest.approx((0.02 - half, 0.02 + half), rel=1e-4)


def test_better_goes_before_equivalent_and_the_interval_shows_how_small():
    comparison = only(runs(0.001, 0.0005))
    assert comparison.verdict == "better"
    assert 0 < comparison.low < comparison.high < 0.003


def test_the_margin_is_the_callers():
    assert only(0.02 * TEN, margin=0.02).verdict == "equivalent"  # half an interval: 2.262 * 0.02 / √10 = 0.0143
    assert only(0.02 * TEN, margin=0.014).verdict == "undecided"


def test_alpha_is_the_callers():
    assert only(runs(0.02, 0.005), alpha=0.001).verdict == "undecided"  # the least p of 10 pairs is 0.002


def test_correction_is_within_the_table():
    good = runs(0.02, 0.005, 8)  # p = 2/256
    assert only(good).verdict == "better"
    family = compare({"good": good, **dict.fromkeys(range(5), 0.02 * TEN)})
    assert family["good"].adjusted_p == 6 * 2 / 256
    assert family["good"].verdict == "better"
    family = compare({"good": good, **dict.fromkeys(range(6), 0.02 * TEN)})
    assert family["good"].adjusted_p == 7 * 2 / 256
    assert family["good"].verdict == "undecided"
    assert family["good"].decidable  # had the others been clearer, it would have been


def test_six_seeds_decide_one_comparison_but_never_two():
    clear = runs(0.05, 0.001, 6)
    assert (only(clear).verdict, only(clear).decidable) == ("better", True)
    for comparison in compare({"a": clear, "b": -clear}).values():
        assert (comparison.verdict, comparison.decidable) == ("undecided", False)
        assert comparison.adjusted_p == 4 / 64
        assert comparison.more_seeds == 1  # two of 2/128
    table = compare({"a": runs(0.0, 0.001, 6), "b": clear})
    assert (table["a"].verdict, table["a"].decidable) == ("equivalent", False)


def test_six_seeds_can_decide_after_comparisons_of_more_seeds():
    table = compare({"many": runs(0.05, 0.001, 10), "few": runs(0.05, 0.001, 6)})
    assert [comparison.decidable for comparison in table.values()] == [True, True]
    assert [comparison.verdict for comparison in table.values()] == ["better", "better"]
    assert table["few"].adjusted_p == 2 / 64


@given(
    st.dictionaries(st.integers(), st.lists(st.sampled_from([-0.01, -0.001, 0.0, 0.002, 0.01]), max_size=9), max_size=5)
)
def test_verdicts_agree_with_their_definition(differences):
    table = compare(differences)
    assert list(table) == list(differences)
    ps = [sign_flip_p(d) if d else 1.0 for d in differences.values()]
    mirrored = compare({key: [-d for d in each] for key, each in differences.items()})
    for (key, comparison), p, adjusted in zip(table.items(), ps, holm(ps), strict=True):
        assert (comparison.n, comparison.p, comparison.adjusted_p) == (len(differences[key]), p, adjusted)
        if adjusted < 0.05:
            assert comparison.decidable
            assert comparison.verdict == ("better" if comparison.difference > 0 else "worse")
        elif comparison.n >= 2 and max(-comparison.low, comparison.high) < 0.003:
            assert comparison.verdict == "equivalent"
        else:
            assert comparison.verdict == "undecided"
        assert (comparison.more_seeds is not None) == (comparison.verdict == "undecided" and comparison.n >= 2)
        swap = {"better": "worse", "worse": "better"}
        assert mirrored[key].verdict == swap.get(comparison.verdict, comparison.verdict)
        assert mirrored[key].more_seeds == comparison.more_seeds


def test_fewer_than_two_pairs_are_undecided():
    table = compare({"none": [], "one": [0.5], "clear": runs(0.02, 0.005)})
    none, one = table["none"], table["one"]
    assert (none.n, none.p, none.verdict, none.more_seeds, none.decidable) == (0, 1.0, "undecided", None, False)
    assert all(map(math.isnan, (none.difference, none.low, none.high)))
    assert (one.n, one.p, one.verdict, one.more_seeds, one.decidable) == (1, 1.0, "undecided", None, False)
    assert one.difference == 0.5
    assert all(map(math.isnan, (one.low, one.high)))
    assert table["clear"].adjusted_p == 3 * 2 / 1024  # comparisons to come count too
    assert compare({}) == {}


def test_more_seeds_until_the_interval_fits():
    # Mean 0, deviation 0.01, margin 0.003: N > ((t(0.975, N - 1) + t(0.9, N - 1)) · 0.01 / 0.003)². For N = 118:
    # ((1.98045 + 1.28883) / 0.3)² = 118.76; for N = 119: ((1.98027 + 1.28877) / 0.3)² = 118.74.
    # An effect of 0 is never found.
    assert only(0.01 * TEN).more_seeds == 119 - 10


def test_more_seeds_until_the_effect_is_seen():
    # Mean 0.01, deviation 0.016: N ≥ 1.6²·(t(0.975, N - 1) + t(0.8, N - 1))². For N = 22: 2.56 · (2.0796 + 0.8591)²
    # = 22.1; for N = 23: 2.56 · (2.0739 + 0.8583)² = 22.0. It is too large an effect ever to fit the margin.
    comparison = only(runs(0.01, 0.016))
    assert comparison.verdict == "undecided"
    assert comparison.more_seeds == 23 - 10


def test_more_seeds_in_a_table_are_those_of_holms_next_step():
    alone = only(runs(0.01, 0.016)).more_seeds
    beside_a_clear_one = compare({"it": runs(0.01, 0.016), "clear": runs(0.05, 0.001)})
    beside_an_open_one = compare({"it": runs(0.01, 0.016), "open": runs(0.01, 0.017)})
    assert beside_a_clear_one["it"].more_seeds == alone
    assert beside_an_open_one["it"].more_seeds > alone


@pytest.mark.parametrize(("n", "more"), [(2, 4), (5, 1)])
def test_more_seeds_of_equal_differences_are_what_the_least_p_asks_for(n, more):
    assert only([0.01] * n).more_seeds == more  # 6 pairs give 2/64


def test_more_seeds_cannot_be_said_without_end():
    assert only(TEN, margin=1e-4).more_seeds is None


@pytest.mark.parametrize(
    ("effect", "sd", "verdict"), [(0.0, 0.0035, "equivalent"), (0.001, 0.0024, "equivalent"), (0.0056, 0.008, "better")]
)
def test_the_forecast_holds(effect, sd, verdict):
    pilot = only(runs(effect, sd, 6))
    assert pilot.verdict == "undecided"
    total = 6 + pilot.more_seeds
    assert 12 <= total <= 20
    generator = np.random.default_rng(11)
    trials = 400
    hits = sum(only(generator.normal(effect, sd, total)).verdict in {verdict, "better"} for _ in range(trials))
    assert hits / trials > 0.8 - 2 * math.sqrt(0.8 * 0.2 / trials)


# Published numbers


def test_a_share_inside_a_narrow_interval_is_reproduced():
    judgement = judge_published(0.8703, runs(0.868, 0.002))
    assert judgement.verdict == "reproduced"
    assert judgement.summary == summarize(runs(0.868, 0.002))


@pytest.mark.parametrize(
    ("published", "verdict"), [(0.86, "exceeded"), (0.875, "not reproduced"), (0.865, "reproduced")]
)
def test_accuracies_are_better_when_higher(published, verdict):
    assert judge_published(published, runs(0.868, 0.002)).verdict == verdict


@pytest.mark.parametrize(("published", "verdict"), [(0.27, "not reproduced"), (0.35, "exceeded"), (0.3, "reproduced")])
def test_losses_are_better_when_lower(published, verdict):
    assert judge_published(published, runs(0.3, 0.01), kind="lower", widest=None).verdict == verdict


@pytest.mark.parametrize(("published", "verdict"), [(20, "reproduced"), (5, "not reproduced"), (60, "not reproduced")])
def test_epochs_are_inside_or_not(published, verdict):
    epochs = [18, 25, 30, 22, 15, 27, 24, 19, 28, 21]
    assert judge_published(published, epochs, kind="inside").verdict == verdict


def test_an_interval_too_wide_says_nothing_about_what_lies_in_it():
    spread = runs(0.8, 0.02)  # ± 4.7 points
    assert judge_published(0.81, spread).verdict == "underspecified"
    assert judge_published(0.81, spread, widest=None).verdict == "reproduced"
    assert judge_published(0.81, spread, widest=0.1).verdict == "reproduced"
    assert judge_published(0.7637, runs(0.85, 0.02)).verdict == "exceeded"
    assert judge_published(0.95, spread).verdict == "not reproduced"


def test_the_limit_is_four_points_in_all():
    widths = {sd: 2 * 2.2622 * sd * math.sqrt(1.1) for sd in (0.00842, 0.00844)}
    assert list(widths.values()) == pytest.approx([0.03995, 0.04005], abs=1e-5)
    verdicts = [judge_published(0.87, runs(0.87, sd)).verdict for sd in widths]
    assert verdicts == ["reproduced", "underspecified"]


@pytest.mark.parametrize(("kind", "published"), [("higher", 0.8703), ("lower", 0.8703), ("inside", 20)])
def test_runs_all_alike_reproduce_their_own_number(kind, published):
    values = [published] * 10
    assert judge_published(published, values, kind=kind).verdict == "reproduced"
    assert judge_published(published + 1e-4, values, kind=kind).verdict != "reproduced"


def test_published_numbers_were_rounded():
    values = [0.25] * 6  # the interval is this point
    for published, kind, without in (
        (0.24, "higher", "exceeded"),
        (0.26, "higher", "not reproduced"),
        (0.24, "lower", "not reproduced"),
        (0.26, "lower", "exceeded"),
        (0.24, "inside", "not reproduced"),
    ):
        assert judge_published(published, values, kind=kind).verdict == without
        assert judge_published(published, values, kind=kind, rounding=0.005).verdict == without
        assert judge_published(published, values, kind=kind, rounding=0.0101).verdict == "reproduced"
    assert judge_published(0.375, values, rounding=0.125).verdict == "reproduced"  # they touch


def test_one_run_judges_nothing():
    for kind in ("higher", "lower", "inside"):
        assert judge_published(0.5, [0.5], kind=kind).verdict == "undecided"


@given(lists_of_values, st.floats(-1e6, 1e6), st.floats(0, 10), st.sampled_from([None, 0.04, 1e3]))
def test_losses_are_accuracies_in_a_mirror(values, published, rounding, widest):
    higher = judge_published(published, values, widest=widest, rounding=rounding)
    mirror = [-value for value in values]
    assert judge_published(-published, mirror, kind="lower", widest=widest, rounding=rounding).verdict == higher.verdict
    inside = judge_published(published, values, kind="inside", widest=widest, rounding=rounding).verdict
    assert (inside == "reproduced") == (higher.verdict in {"reproduced", "underspecified"})


# McNemar


def right(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, only_first, only_second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_mcnemar_by_hand():
    result = mcnemar(*right(100, 9, 1, 20))
    assert (result.only_first, result.only_second) == (9, 1)
    assert result.p == pytest.approx(2 * (1 + 10) / 2**10)


def test_models_that_are_right_on_the_same_images():
    assert mcnemar(*right(3, 0, 0, 2)).p == 1.0


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_agrees_with_counting(only_first, only_second):
    first, second = right(3, only_first, only_second, 1)
    result = mcnemar(first, second)
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    assert result.p == pytest.approx(float(min(Fraction(1), Fraction(2 * tail, 2**n))), rel=1e-10)
    swapped = mcnemar(second, first)
    assert (swapped.only_first, swapped.only_second) == (only_second, only_first)
    assert swapped.p == result.p


def test_mcnemar_agrees_with_scipy_on_many_images():
    from scipy.stats import binomtest

    for only_first, only_second in ((310, 250), (900, 1000), (2500, 2500), (3000, 1000)):
        p = mcnemar(*right(0, only_first, only_second, 0)).p
        assert p == pytest.approx(float(binomtest(only_first, only_first + only_second).pvalue), rel=1e-9)


# Bad input


CALLS = {
    "summarize: values": summarize,
    "sign_flip_p: differences": sign_flip_p,
    "judge_published: values": lambda values: judge_published(0.5, values),
    "holm: p_values": holm,
    "compare: differences of 'it'": only,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ([0.5, math.nan], NonFiniteError, "hold nan at position 1.*did not finish"),
        ([math.inf], NonFiniteError, "hold inf at position 0"),
        ([[0.5, 0.25]], ShapeError, r"have shape \(1, 2\); expected \(n,\)"),
        (0.5, ShapeError, r"have shape \(\)"),
        (["a"], DtypeError, "have dtype <U1; expected real numbers"),
        ([True, False], DtypeError, "have dtype bool"),
        ([0.5, None], DtypeError, "have dtype object"),
        ([1j], DtypeError, "have dtype complex128"),
    ],
)
def test_bad_values_are_refused_everywhere(name, values, error, words):
    with pytest.raises(error, match=f"{name}.*{words}"):
        CALLS[name](values)


@pytest.mark.parametrize("call", [summarize, sign_flip_p, CALLS["judge_published: values"]])
def test_no_values_are_refused(call):
    with pytest.raises(ArgumentError, match=r"there are no .*; expected at least 1"):
        call([])


def test_bad_arguments():
    for p in (-0.1, 1.1):
        with pytest.raises(ArgumentError, match="expected each from 0 to 1"):
            holm([0.5, p])
    for margin in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ArgumentError, match="margin is"):
            only([0.1], margin=margin)
    for alpha in (0.0, 1.0, math.nan):
        with pytest.raises(ArgumentError, match="alpha is"):
            only([0.1], alpha=alpha)
    for published in (math.nan, math.inf):
        with pytest.raises(ArgumentError, match="published is"):
            judge_published(published, [0.5])
    with pytest.raises(ArgumentError, match="kind is 'loss'; expected one of higher, lower, inside"):
        judge_published(0.5, [0.5], kind="loss")
    for rounding in (-0.1, math.nan, math.inf):
        with pytest.raises(ArgumentError, match="rounding is"):
            judge_published(0.5, [0.5], rounding=rounding)
    for widest in (-0.1, math.nan):
        with pytest.raises(ArgumentError, match="widest is"):
            judge_published(0.5, [0.5], widest=widest)


def test_mcnemar_refuses_what_are_not_two_records_of_the_same_images():
    for first, second in (([True], [True, False]), ([[True]], [[True]]), ([], []), (True, True)):
        with pytest.raises(ShapeError, match="of the same test images"):
            mcnemar(first, second)
    with pytest.raises(DtypeError, match=r"second_right has dtype int64.*predictions == labels"):
        mcnemar([True, False], np.array([3, 0]))


def test_the_package_leaves_scipys_statistics_until_they_are_needed():
    # `scipy` itself is imported by numba, which looks at its version.
    code = "import sys, tinygrad_mlp, tinygrad_mlp.experiments.statistics; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"scipy.stats", "scipy.special"} & set(result.stdout.split())


# How many more seeds


def test_so_many_more_seeds_place_a_mean_four_times_of_five():
    """By counting: samples of the size that is named, of the mean and deviation so far, are placed in 80 %."""
    so_far = summarize(runs(0.012, 0.02, 6))
    assert so_far.low < 0 < so_far.high
    more = seeds_to_place(so_far, 0.0, math.inf)
    assert more is not None
    samples = np.random.default_rng(0).normal(0.012, 0.02, (2000, 6 + more))
    placed = np.mean([summarize(sample).low > 0 for sample in samples])
    assert 0.77 < placed < 0.87
    few = np.mean([summarize(sample[: 6 + more // 2]).low > 0 for sample in samples])
    assert few < 0.65


def test_more_seeds_where_they_cannot_be_said():
    assert seeds_to_place(summarize([0.5]), 0.0, 1.0) is None
    assert seeds_to_place(summarize(runs(0.0, 1.0, 6)), 0.0, math.inf) is None  # on the bound
    inside, outside = summarize(runs(0.9, 0.2, 6)), summarize(runs(1.1, 0.2, 6))
    assert seeds_to_place(inside, 0.0, 1.0) == seeds_to_place(outside, 0.0, 1.0) == seeds_to_place(outside, 1.0, 2.0)
