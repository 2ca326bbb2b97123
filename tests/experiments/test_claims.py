"""Verdicts on numbers and sentences, in both directions; comparisons have to be said beforehand."""

from dataclasses import replace

import numpy as np
import pytest

from tests.experiments.made import made_results, two_arms
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.experiments.claims import Claim, Finding, Verdict, all_hold, is_better, is_equivalent, judge
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.study import Comparison

NEAR = [0.870, 0.871, 0.872, 0.873, 0.874, 0.869, 0.868, 0.871]  # prediction interval about ±0.5 points
WIDE = [0.80, 0.83, 0.86, 0.89, 0.92, 0.77, 0.84, 0.88]  # ±13 points
BOTH = (Comparison("relu", "tanh"), Comparison("relu", "tanh", "test_loss", "losses"))


def verdict(claim: Claim, relu: list[float], tanh: list[float] | None = None) -> Verdict:
    study = two_arms(claims=(claim,), comparisons=BOTH)
    results = made_results(study, {"relu": relu} if tanh is None else {"relu": relu, "tanh": tanh})
    return judge(study.claims, results)[0]


@pytest.mark.parametrize(
    ("published", "values", "expected"),
    [
        (0.871, NEAR, "reproduced"),
        (0.8753, NEAR, "reproduced"),  # near the upper end
        (0.85, NEAR, "exceeded"),
        (0.89, NEAR, "not reproduced"),
        (0.85, WIDE, "underspecified"),
        (0.871, [0.871], "undecided"),
    ],
)
def test_a_published_accuracy(published: float, values: list[float], expected: str) -> None:
    found = verdict(Claim("X", "words", arms=("relu",), published=published), values)
    assert found.verdict == expected
    assert f"{100 * np.mean(values):.2f} %" in found.words
    assert found.readings[0].summary.n == len(values)


@pytest.mark.parametrize(("published", "expected"), [(0.2, "exceeded"), (0.129, "reproduced"), (0.1, "not reproduced")])
def test_a_published_loss_is_better_when_lower(published: float, expected: str) -> None:
    claim = Claim("X", "words", arms=("relu",), published=published, measure="test_loss", digits=3)
    assert verdict(claim, NEAR).verdict == expected  # losses are 1 - accuracy: about 0.129


@pytest.mark.parametrize(("published", "expected"), [(3, "reproduced"), (4, "not reproduced"), (2, "not reproduced")])
def test_a_published_epoch_is_inside_or_not(published: float, expected: str) -> None:
    claim = Claim("X", "words", arms=("relu",), published=published, measure="epochs")
    assert verdict(claim, NEAR).verdict == expected  # all made runs have three epochs


def test_a_number_is_rounded_as_it_was_published() -> None:
    same = [0.87049] * 4  # an interval of no width
    claim = Claim("X", "words", arms=("relu",), published=0.87, digits=2)
    assert verdict(claim, same).verdict == "reproduced"
    assert verdict(replace(claim, digits=4), same).verdict == "exceeded"


@pytest.mark.parametrize(
    ("relu", "tanh", "expected"),
    [
        (0.0, 0.05, "reproduced"),
        (0.05, 0.0, "reproduced"),
        (0.05, 0.06, "exceeded"),
        (-0.05, -0.06, "not reproduced"),
        (-0.05, 0.05, "underspecified"),
    ],
)
def test_readings_of_a_number(relu: float, tanh: float, expected: str) -> None:
    claim = Claim("X", "words", arms=("relu", "tanh"), published=0.871)
    found = verdict(claim, [value + relu for value in NEAR], [value + tanh for value in NEAR])
    assert found.verdict == expected
    assert len(found.readings) == 2
    if expected == "reproduced":
        assert found.words.startswith(f"by the reading {'relu' if relu == 0 else 'tanh'}: ")


def test_an_arm_that_did_not_run() -> None:
    found = verdict(Claim("X", "words", arms=("relu", "tanh"), published=0.871), NEAR)
    assert (found.verdict, found.words) == ("not run", "no finished run of tanh")


def shifted(by: float) -> list[float]:
    return [
        value + by + wobble for value, wobble in zip(NEAR, [0.0, 1e-4, -1e-4, 2e-4, 0.0, -2e-4, 0.0, 1e-4], strict=True)
    ]


@pytest.mark.parametrize("measure", ["test_accuracy", "test_loss"])
@pytest.mark.parametrize(
    ("lead", "better", "equivalent"),
    [
        (0.02, "reproduced", "not reproduced"),
        (-0.02, "not reproduced", "not reproduced"),
    ],
)
def test_a_sentence_about_two_arms(measure: str, lead: float, better: str, equivalent: str) -> None:
    arms = ("relu", "tanh")
    claim = Claim("X", "words", arms=arms, predicate=is_better("relu", "tanh", measure))
    assert verdict(claim, shifted(lead), NEAR).verdict == better
    assert (
        verdict(replace(claim, predicate=is_equivalent("relu", "tanh", measure)), shifted(lead), NEAR).verdict
        == equivalent
    )


def test_two_arms_that_are_alike() -> None:
    alternating = [value + (1e-4 if place % 2 else -1e-4) for place, value in enumerate(NEAR)]
    claim = Claim("X", "words", arms=("relu", "tanh"), predicate=is_equivalent("relu", "tanh"))
    assert verdict(claim, alternating, NEAR).verdict == "reproduced"
    found = verdict(replace(claim, predicate=is_better("relu", "tanh")), alternating, NEAR)
    assert found.verdict == "not reproduced"
    assert "equivalent" in found.words


def test_a_small_difference_may_be_real_and_within_the_margin() -> None:
    claim = Claim("X", "words", arms=("relu", "tanh"), predicate=is_equivalent("relu", "tanh"))
    found = verdict(claim, shifted(-0.0015), NEAR)
    assert found.verdict == "reproduced"
    assert found.words.endswith("worse, within the margin")
    assert verdict(replace(claim, predicate=is_better("tanh", "relu")), shifted(-0.0015), NEAR).verdict == "reproduced"
    assert verdict(claim, shifted(-0.0035), NEAR).verdict == "not reproduced"


def test_a_comparison_can_be_asked_for_from_both_sides() -> None:
    results = made_results(two_arms(comparisons=BOTH[:1]), {"relu": shifted(0.02), "tanh": NEAR})
    one, other = results.comparison("relu", "tanh"), results.comparison("tanh", "relu")
    assert (one.verdict, other.verdict) == ("better", "worse")
    assert (one.difference, one.low, one.high) == (-other.difference, -other.high, -other.low)
    assert (one.n, one.p, one.adjusted_p) == (other.n, other.p, other.adjusted_p)


@pytest.mark.parametrize(
    ("tolerance", "expected"), [(None, "reproduced"), (0.02, "reproduced"), (0.001, "underspecified")]
)
def test_how_wide_an_interval_may_be(tolerance: float | None, expected: str) -> None:
    claim = Claim("X", "words", arms=("relu",), published=0.871, tolerance=tolerance)
    assert verdict(claim, NEAR).verdict == expected
    loss = Claim("X", "words", arms=("relu",), published=0.129, digits=3, measure="test_loss", tolerance=tolerance)
    assert verdict(loss, NEAR).verdict == expected
    for impossible in (0.0, -1.0):
        with pytest.raises(ArgumentError, match="tolerance="):
            replace(claim, tolerance=impossible)
    with pytest.raises(ArgumentError, match="tolerance="):
        Claim("X", "words", tolerance=0.1, predicate=is_better("relu", "tanh"))


def test_two_arms_of_which_nothing_can_be_said() -> None:
    claim = Claim("X", "words", arms=("relu", "tanh"), predicate=is_better("relu", "tanh"))
    found = verdict(claim, [0.9, 0.8, 0.87], [0.87, 0.86, 0.85])
    assert found.verdict == "undecided"
    assert "more seeds" in found.words
    assert verdict(replace(claim, predicate=is_equivalent("relu", "tanh")), [0.9], [0.8]).verdict == "undecided"


def test_a_difference_in_words_has_the_right_sign() -> None:
    words = verdict(
        Claim("X", "w", arms=("relu", "tanh"), predicate=is_better("relu", "tanh")), shifted(0.02), NEAR
    ).words
    assert words.startswith("relu − tanh: +2.00 points [")
    assert words.endswith(", better")
    claim = Claim("X", "w", arms=("relu", "tanh"), predicate=is_better("relu", "tanh", "test_loss"))
    assert verdict(claim, shifted(0.02), NEAR).words.startswith("tanh − relu: +0.0200 [")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", "undecided"], "undecided"),
        (["undecided", "not reproduced"], "not reproduced"),
        (["underspecified", "reproduced"], "underspecified"),
    ],
)
def test_several_sentences(parts: list, expected: str) -> None:
    predicates = [lambda results, word=word: Finding(word, f"it is {word}") for word in parts]
    found = verdict(Claim("X", "words", arms=("relu",), predicate=all_hold(*predicates)), NEAR)
    assert found.verdict == expected
    assert all(f"it is {word}" in found.words for word in parts)


@pytest.mark.parametrize(("left", "together"), [((3, 8), 8), ((3, None), None)])
def test_several_sentences_need_the_most_seeds_of_all(left: tuple[int | None, ...], together: int | None) -> None:
    predicates = [lambda results, count=count: Finding("undecided", "open", more_seeds=count) for count in left]
    sure = [lambda results: Finding("reproduced", "sure")]
    results = made_results(two_arms(), {"relu": NEAR, "tanh": NEAR})
    assert all_hold(*predicates, *sure)(results).more_seeds == together
    assert all_hold(*predicates, lambda results: Finding("not reproduced", "no"))(results).more_seeds is None


def test_what_was_not_listed_is_not_compared() -> None:
    results = made_results(two_arms(), {"relu": NEAR, "tanh": NEAR})
    with pytest.raises(ArgumentError, match="say beforehand"):
        results.comparison("relu", "tanh")


def test_a_table_is_corrected_together() -> None:
    """Holm: with two comparisons in a table, the smaller p counts twice; an arm that did not run counts, too."""
    alone = made_results(two_arms(comparisons=BOTH[:1]), {"relu": shifted(0.02), "tanh": NEAR})
    study = two_arms(comparisons=(Comparison("relu", "tanh"), Comparison("tanh", "relu")))
    both = made_results(study, {"relu": shifted(0.02), "tanh": NEAR})
    single, double = alone.comparison("relu", "tanh"), both.comparison("relu", "tanh")
    assert single.p == single.adjusted_p == double.p == 2 / 2**8
    assert double.adjusted_p == 2 * double.p
    missing = made_results(study, {"relu": NEAR}).comparison("relu", "tanh")
    assert (missing.n, missing.verdict) == (0, "undecided")


def test_pairs_have_the_same_seed() -> None:
    study = two_arms(comparisons=BOTH)
    results = made_results(study, {"relu": NEAR, "tanh": NEAR[:3]})
    np.testing.assert_array_equal(results.paired("relu", "tanh"), np.zeros(3))
    results.runs["tanh"] = results.runs["tanh"][1:]
    assert len(results.paired("relu", "tanh")) == 2


def test_numbers_of_results() -> None:
    study = two_arms()
    results = made_results(study, {"relu": NEAR})
    np.testing.assert_array_equal(results.values("relu"), NEAR)
    assert results.test_uses == len(NEAR)
    assert Results(study, {"relu": results.runs["relu"], "tanh": results.runs["relu"]}).test_uses == len(NEAR)
    assert results.data == "synthetic-fashion"
    with pytest.raises(ArgumentError, match="no measure 'accuracy'"):
        results.values("relu", "accuracy")
    with pytest.raises(ArgumentError, match="'tanh' has no finished run"):
        results.values("tanh")
    curve = results.curve("relu", "val_loss")
    assert curve.shape == (len(NEAR), 3)
    np.testing.assert_allclose(curve[0], [1.1, 0.55, 1.1 / 3])


def test_curves_of_runs_of_different_length_end_in_nan() -> None:
    from tests.experiments.made import SMALL, made_run

    runs = [made_run(SMALL, 0, epochs=2), made_run(SMALL, 1, epochs=4)]
    curve = Results(two_arms(), {"relu": runs}).curve("relu", "epoch")
    np.testing.assert_array_equal(curve, [[1, 2, np.nan, np.nan], [1, 2, 3, 4]])
