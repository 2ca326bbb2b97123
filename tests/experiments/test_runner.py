"""Studies as they run: nothing is made twice, nothing that is finished is lost, failures do not sink the rest."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.made import SMALL, AtOnce, made_run, two_arms
from tinygrad_mlp.errors import ArgumentError, CheckpointError, DataError
from tinygrad_mlp.experiments import runner, workers
from tinygrad_mlp.experiments.calls import read_calls
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.runner import run
from tinygrad_mlp.experiments.runs import Run, RunStore, run_key
from tinygrad_mlp.experiments.study import Arm, Study

STUDY = two_arms(seeds=3)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Runs are made up in place of trained; those that were asked for are noted."""
    asked: list[tuple[str, int]] = []

    def make(recipe: Recipe, seed: int) -> Run:
        asked.append((recipe.activation, seed))
        return made_run(recipe, seed)

    monkeypatch.setattr(workers, "train_run", make)
    monkeypatch.setattr(runner, "load_splits", lambda *arguments: None)
    return asked


def test_a_study_makes_all_its_runs_seed_by_seed(trained: list[Any], tmp_path: Path) -> None:
    results = run(STUDY, out=tmp_path, executor=AtOnce(), progress=False)
    assert trained == [(name, seed) for seed in range(3) for name in ("relu", "tanh")]
    assert {name: [one.seed for one in runs] for name, runs in results.runs.items()} == {
        "relu": [0, 1, 2],
        "tanh": [0, 1, 2],
    }
    assert results.failed == ()


def test_what_is_finished_is_not_made_again(trained: list[Any], tmp_path: Path) -> None:
    run(STUDY, out=tmp_path, executor=AtOnce(), progress=False, seeds=1)
    executor = AtOnce()
    results = run(STUDY, out=tmp_path, executor=executor, progress=False)
    assert executor.calls == 4
    assert len(trained) == len(set(trained)) == 6
    assert results.test_uses == 6
    again = AtOnce()
    run(STUDY, out=tmp_path, executor=again, progress=False)
    assert again.calls == 0


def test_arms_with_one_recipe_share_their_runs(trained: list[Any], tmp_path: Path) -> None:
    study = Study("s", "S", (Arm("a", SMALL), Arm("b", SMALL)), seeds=2)
    results = run(study, out=tmp_path, executor=AtOnce(), progress=False)
    assert len(trained) == 2
    assert [one.key for one in results.runs["a"]] == [one.key for one in results.runs["b"]]


def test_a_run_that_fails_does_not_stop_the_others(
    trained: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(recipe: Recipe, seed: int) -> Run:
        if (recipe.activation, seed) == ("tanh", 1):
            raise DataError("the file is gone\nand more")
        return made_run(recipe, seed)

    monkeypatch.setattr(workers, "train_run", fail)
    results = run(STUDY, out=tmp_path, executor=AtOnce())
    (failure,) = results.failed
    assert (failure.arm, failure.seed) == ("tanh", 1)
    assert failure.error == "DataError: the file is gone\nand more"
    assert "the file is gone" in Path(failure.log).read_text()
    assert [one.seed for one in results.runs["tanh"]] == [0, 2]
    out = capsys.readouterr().out
    assert "tanh, seed 1: FAILED: DataError: the file is gone" in out
    assert "and more" not in out
    assert "6/6" in out
    monkeypatch.setattr(workers, "train_run", made_run)
    assert run(STUDY, out=tmp_path, executor=AtOnce(), progress=False).failed == ()  # and is tried again by the next


def test_a_damaged_run_is_named(trained: list[Any], tmp_path: Path) -> None:
    results = run(STUDY, out=tmp_path, executor=AtOnce(), progress=False)
    path = RunStore(tmp_path / "runs").path(results.runs["tanh"][1].key)
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=path.name):
        run(STUDY, out=tmp_path, executor=AtOnce(), progress=False)


def test_any_executor_will_do(trained: list[Any], tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        results = run(STUDY, out=tmp_path, executor=threads, progress=False)
    assert sorted(trained) == sorted((name, seed) for seed in range(3) for name in ("relu", "tanh"))
    assert results.test_uses == 6


def test_code_that_changes_meanwhile_is_seen(
    trained: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "train_run", lambda recipe, seed: made_run(recipe, seed + 10))
    results = run(STUDY, out=tmp_path, executor=AtOnce(), progress=False)
    assert len(results.failed) == 6
    assert all("changed while the study ran" in failure.error for failure in results.failed)
    assert list(RunStore(tmp_path / "runs")) == []


def test_a_folder_that_cannot_be_written_stops_it(trained: list[Any], tmp_path: Path) -> None:
    """Here only that of the calls: a worker that cannot keep its run is a failure like others."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "calls").write_text("")
    with pytest.raises(CheckpointError, match="calls"):
        run(STUDY, out=tmp_path, executor=AtOnce(), progress=False)


def test_a_record_that_was_damaged_stops_it_at_once(trained: list[Any], tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "calls"
    folder.mkdir(parents=True)
    (folder / "2026.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"2026\.json"):
        run(STUDY, out=tmp_path, executor=AtOnce(), progress=False)
    assert trained == []


def test_runs_before_ctrl_c_are_noted(trained: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the executor works when it is asked to."""

    def interrupted(recipe: Recipe, seed: int) -> Run:
        if seed == 1:
            raise KeyboardInterrupt
        return made_run(recipe, seed)

    monkeypatch.setattr(workers, "train_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(STUDY, out=tmp_path, executor=AtOnce(), progress=False)
    (call,) = read_calls(RunStore(tmp_path / "runs").calls)
    assert sorted(call.runs) == list(RunStore(tmp_path / "runs"))
    assert len(call.runs) == 2
    assert call.processes is None


def test_bad_arguments(trained: list[Any], tmp_path: Path) -> None:
    for options in ({"seeds": 0}, {"workers": 0}, {"workers": 1, "executor": AtOnce()}):
        with pytest.raises(ArgumentError):
            run(STUDY, out=tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_missing_data_stop_it_before_anything_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise DataError("no data")

    monkeypatch.setattr(runner, "load_splits", missing)
    executor = AtOnce()
    with pytest.raises(DataError, match="no data"):
        run(STUDY, out=tmp_path, executor=executor)
    assert executor.calls == 0


SCRIPT = """
import signal, sys, time
from tests.experiments.made import SMALL, made_run
from tinygrad_mlp.experiments import runner, study, workers

STUDY = study.Study("s", "S", (study.Arm("a", SMALL),), seeds=24)

def slow(recipe, seed):
    time.sleep(0.3)
    return made_run(recipe, seed)

workers.train_run = slow  # in the workers as well, which import this file
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
    runner.load_splits = lambda *arguments: None
    results = runner.run(STUDY, out=sys.argv[1], workers=2)
    print("finished", len(results.runs["a"]), flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts a study of twelve slow runs in a process (group) of its own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "out")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    return start


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_moment_it_goes_on(how: int, start: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    store = RunStore(tmp_path / "out" / "runs")
    first = start()
    deadline = time.monotonic() + 120
    while len(list(store)) < 3 and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.05)
    os.killpg(first.pid, how) if how == signal.SIGINT else first.kill()
    first.communicate(timeout=60)
    assert first.returncode != 0
    time.sleep(1)  # a worker of a parent that was killed ends by itself; what it is writing is whole or not there
    kept = {key: store.path(key).stat().st_mtime_ns for key in store}
    assert 3 <= len(kept) < 24
    second = start()
    output, errors = second.communicate(timeout=120)
    assert "finished 24" in output, errors
    assert output.count("seed") == 24 - len(kept)  # only the rest was made
    assert all(store.path(key).stat().st_mtime_ns == when for key, when in kept.items())
    assert sorted(store) == sorted(run_key(SMALL, seed) for seed in range(24))
    before, after = read_calls(store.calls)
    assert set(before.runs) <= set(kept)  # a parent that is killed has not noted what its workers finished just then
    assert sorted(after.runs) == sorted(set(store) - set(kept))
    assert before.processes == after.processes == 2
    assert min(before.seconds, after.seconds) > 0.3
