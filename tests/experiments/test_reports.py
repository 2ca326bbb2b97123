"""The five studies of examples/reports: complete, buildable, and with sentences that can hold and can fail."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.experiments import worlds
from tinygrad_mlp.experiments.claims import Verdict, judge
from tinygrad_mlp.experiments.nets import make_net
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.study import Study
from tinygrad_mlp.experiments.training import make_trainer

REPORTS = Path(__file__).parents[2] / "examples" / "reports"
FILES = {"A": "a_ai_qiao_zhang", "B": "b_chaudhary_zeng", "C": "c_karki", "D": "d_shi", "E": "e_zohourian"}
ROWS = {"A": 6, "B": 12, "C": 5, "D": 6, "E": 9}  # of CLAIMS.md: A1 to A6, …
FIGURES = {"A": 3, "B": 8, "C": 3, "D": 5, "E": 8}
PARAMETERS = {
    "25x50 (plain)": 21_435,
    "50x25 (plain)": 40_785,
    "50x100 (averaged)": 45_360,
    "100x50 (averaged)": 84_060,
    "20x30x50 (plain)": 18_390,
    "33x33x33 (plain)": 28_489,
    "50x30x20 (plain)": 41_610,
    "100 (plain)": 79_510,
    "45x90 (averaged)": 40_375,
    "86x172 (averaged)": 84_204,
    "40x62x102 (averaged)": 41_398,
    "1x128 (a tenth)": 101_770,
    "2x64 (a tenth)": 55_050,
    "3x42 (a tenth)": 37_012,
    "2x112 (a tenth)": 101_706,
    "3x102 (a tenth)": 102_112,
    "softmax regression (rises)": 7_850,
}
NEED_DATA = {"A6", "B1", "D2", "D2-table"}  # gradients, of real images


def needs_data(test):
    missing = "TINYGRAD_MLP_DATA" not in os.environ
    return pytest.mark.real_data(pytest.mark.skipif(missing, reason="TINYGRAD_MLP_DATA is not set")(test))


@cache
def study(letter: str) -> Study:
    path = REPORTS / f"{FILES[letter]}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.STUDY


def row(id: str) -> str:
    return id.split("-", maxsplit=1)[0]


@pytest.mark.parametrize("letter", FILES)
def test_every_row_has_a_claim(letter: str) -> None:
    claimed = {row(claim.id) for claim in study(letter).claims}
    assert claimed - {letter} == {f"{letter}{number}" for number in range(1, ROWS[letter] + 1)}


@pytest.mark.parametrize("letter", FILES)
def test_every_claim_can_be_traced(letter: str) -> None:
    for claim in study(letter).claims:
        assert claim.text and claim.source
    for arm in study(letter).arms:
        sources = arm.source.split(", ")
        assert sources in (["good recipe"], ["control"]) or all(
            source in {row(claim.id) for claim in study(letter).claims} for source in sources
        )
    assert any(arm.source == "good recipe" for arm in study(letter).arms)


@pytest.mark.parametrize("letter", FILES)
def test_every_row_can_be_run_alone(letter: str) -> None:
    """As the issue has it, `--only B7`: all claims of the row, and the arms that they need."""
    for number in range(1, ROWS[letter] + 1):
        part = study(letter).with_claims([f"{letter}{number}"])
        assert {row(claim.id) for claim in part.claims} == {f"{letter}{number}"}
        assert {arm.name for arm in part.arms} == {name for claim in part.claims for name in claim.arms}


@pytest.mark.parametrize("letter", FILES)
def test_every_net_has_a_good_recipe_beside_it(letter: str) -> None:
    def net(recipe: Recipe) -> tuple[tuple[int, ...], bool]:
        return recipe.hidden, bool(recipe.conv)

    arms = study(letter).arms
    published = {net(arm.recipe) for arm in arms if arm.source not in ("good recipe", "control")}
    assert published == {net(arm.recipe) for arm in arms if arm.source == "good recipe"}


@pytest.mark.parametrize("letter", FILES)
def test_every_figure_has_a_counterpart(letter: str) -> None:
    titles = " ".join(curves.title for curves in study(letter).curves)
    word = "Network" if letter == "E" else "figure"
    for number in range(1, FIGURES[letter] + 1):
        if not (letter == "C" and number == 1):  # C's first figure is an illustration, without numbers
            assert f"{word} {number}" in titles


@pytest.mark.parametrize("letter", FILES)
def test_arms_can_be_built(letter: str) -> None:
    seen = set()
    for arm in study(letter).arms:
        make_trainer(arm.recipe, 0, 1000)
        if arm.name in PARAMETERS:
            found = sum(parameter.numel() for parameter in make_net(arm.recipe).parameters())
            assert found == PARAMETERS[arm.name], arm.name
            seen.add(arm.name)
    assert seen == {name for name in PARAMETERS if name in {arm.name for arm in study(letter).arms}}


@pytest.mark.parametrize("letter", FILES)
def test_comparisons_can_be_decided(letter: str) -> None:
    tables: dict[str, list[str]] = {}
    for comparison in study(letter).comparisons:
        tables.setdefault(comparison.table, []).append(comparison.measure)
    for name, measures in tables.items():
        assert name
        assert 2.0**-9 * len(measures) < 0.05, name  # Holm's correction of the least p of 10 seeds
        assert len({measure.split("_")[-1] for measure in measures}) == 1, name  # one margin fits all


def test_the_same_good_net_is_the_same_run() -> None:
    assert study("A")["784-50-50-10, good recipe"].recipe == study("B")["784-50-50-10, good recipe"].recipe


def test_only_convolutions_have_fewer_seeds() -> None:
    for letter in FILES:
        for arm in study(letter).arms:
            unpooled = bool(arm.recipe.conv) and arm.recipe.pool is None
            assert (arm.seeds == 6) if unpooled else (arm.seeds is None)


# Sentences ----------------------------------------------------------------------------------------------------------

WORLDS: dict[str, Callable[[bool], Callable[[str], worlds.Told]]] = {
    "A": worlds.a_world,
    "B": worlds.b_world,
    "C": worlds.c_world,
    "D": worlds.d_world,
    "E": worlds.e_world,
}


def results_of(letter: str, holds: bool) -> Results:
    results = worlds.world(study(letter), WORLDS[letter](holds))
    labels = np.random.default_rng(99).integers(0, 10, 10_000)
    vars(results)["_test"] = (labels, tuple("0123456789"))  # in place of the test data
    return results


@cache
def verdicts(letter: str, holds: bool) -> dict[str, Verdict]:
    claims = [claim for claim in study(letter).claims if claim.id not in NEED_DATA]
    return {verdict.claim.id: verdict for verdict in judge(claims, results_of(letter, holds))}


def sentences() -> list[tuple[str, str]]:
    return [
        (letter, claim.id)
        for letter in FILES
        for claim in study(letter).claims
        if claim.predicate is not None and claim.id not in NEED_DATA
    ]


@pytest.mark.parametrize(("letter", "id"), sentences())
@pytest.mark.parametrize("holds", [True, False])
def test_sentences_hold_and_fail(letter: str, id: str, holds: bool) -> None:
    verdict = verdicts(letter, holds)[id]
    assert verdict.verdict == ("reproduced" if holds else "not reproduced"), verdict.words


@pytest.mark.parametrize("letter", FILES)
def test_numbers_are_read_as_published(letter: str) -> None:
    for id, verdict in verdicts(letter, True).items():
        claim = verdict.claim
        if claim.published is None:
            continue
        places = 10**claim.digits
        assert round(claim.published * places) == pytest.approx(claim.published * places), id
        assert (0.7 < claim.published < 1) if claim.measure.endswith("accuracy") else claim.published > 0


@needs_data
@pytest.mark.parametrize(("letter", "id"), [("A", "A6"), ("B", "B1"), ("D", "D2")])
def test_gradients_are_right(letter: str, id: str) -> None:
    results = Results(study(letter), {})
    claim = next(claim for claim in study(letter).claims if claim.id == id)
    assert judge([claim], results)[0].verdict == "reproduced"


@needs_data
def test_rounding_does_not_explain_the_published_table() -> None:
    claim = next(claim for claim in study("D").claims if claim.id == "D2-table")
    assert judge([claim], Results(study("D"), {}))[0].verdict == "not reproduced"
