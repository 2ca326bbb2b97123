"""A run's file: it gives the run back, and shows each byte that was changed."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.experiments.made import SMALL, made_run
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.experiments import runs
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.runs import Run, RunStore, code_version, data_sha256, run_key

WHOLE = made_run(SMALL, 3).to_json()


def test_a_run_comes_back(tmp_path: Path) -> None:
    run, store = made_run(SMALL, 3), RunStore(tmp_path / "runs")
    assert run.key not in store
    store.save(run)
    back = store.load(run.key)
    assert run.key in store
    assert list(store) == [run.key]
    assert (back.key, back.recipe, back.seed, back.history) == (run.key, run.recipe, run.seed, run.history)
    assert back.facts == run.facts
    assert math.isnan(back.measures["dead_units"])
    assert {k: v for k, v in back.measures.items() if k != "dead_units"} == {
        k: v for k, v in run.measures.items() if k != "dead_units"
    }
    np.testing.assert_array_equal(back.predictions, run.predictions)
    assert back.to_json() == run.to_json()


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_any_changed_byte_is_seen(place: int, change: int) -> None:
    content = bytearray(WHOLE)
    content[place] ^= change
    with pytest.raises(CheckpointError, match="somewhere"):
        Run.from_json(bytes(content), "somewhere")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", WHOLE[:-1], WHOLE[:2000], WHOLE + b" ", b"\xff"])
def test_other_files_are_no_runs(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="somewhere"):
        Run.from_json(content, "somewhere")


def test_another_format_is_named() -> None:
    with pytest.raises(CheckpointError, match="tinygrad_mlp run 2"):
        Run.from_json(WHOLE.replace(b"tinygrad_mlp run 1", b"tinygrad_mlp run 2"), "somewhere")


def test_a_run_under_another_name_is_not_taken_for_it(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run, other = made_run(SMALL, 3), made_run(SMALL, 4)
    store.save(run)
    store.path(run.key).rename(store.path(other.key))
    with pytest.raises(CheckpointError, match=f"holds the run {run.key}, expected {other.key}"):
        store.load(other.key)
    with pytest.raises(CheckpointError, match="cannot be read"):
        store.load(run.key)


def test_predictions_have_one_digit() -> None:
    run = made_run(SMALL, 3)
    run.predictions[0] = 10
    with pytest.raises(ArgumentError, match="class 10"):
        run.to_json()


def test_a_key_depends_on_recipe_seed_data_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    key = run_key(SMALL, 0)
    assert run_key(Recipe.from_dict(json.loads(json.dumps(SMALL.as_dict()))), 0) == key
    assert len({key, run_key(SMALL, 1), run_key(SMALL.replace(lr=0.2), 0)}) == 3
    monkeypatch.setattr(runs, "code_version", lambda: "another")
    assert run_key(SMALL, 0) != key
    monkeypatch.undo()
    monkeypatch.setattr(runs, "data_sha256", lambda name: {"file": "0"})
    assert run_key(SMALL, 0) != key


def test_known_data_have_hashes_and_code_a_version() -> None:
    assert len(data_sha256("fashion-mnist")) == len(data_sha256("mnist")) == 4
    assert data_sha256("fashion-mnist") != data_sha256("mnist")
    assert data_sha256("synthetic-fashion") == {}
    assert "+" in code_version()
