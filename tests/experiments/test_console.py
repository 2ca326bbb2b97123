"""The command line of a study: it runs, reports, goes on, and says what is wrong."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.made import AtOnce, made_run
from tests.experiments.test_verify import STUDY, score
from tinygrad_mlp.errors import DataError
from tinygrad_mlp.experiments import console, runner, workers
from tinygrad_mlp.experiments.claims import Claim, Finding
from tinygrad_mlp.experiments.console import main
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.runs import Run
from tinygrad_mlp.experiments.verify import verify


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Runs are made up, at once and in this process; what was asked for is noted. In an empty folder."""
    asked: list[Any] = []

    def make(recipe: Recipe, seed: int) -> Run:
        asked.append((recipe.activation, seed, recipe.epochs))
        return made_run(recipe, seed, score(recipe, seed))

    def run(*arguments: Any, **options: Any) -> Any:
        options.pop("workers")
        return runner.run(*arguments, **options, executor=AtOnce())

    monkeypatch.setattr(workers, "train_run", make)
    monkeypatch.setattr(console, "run", run)
    monkeypatch.setattr("tinygrad_mlp.experiments.report.write._FORMATS", ("svg",))  # figures are tested elsewhere
    monkeypatch.chdir(tmp_path)
    return asked


def test_it_runs_and_reports(made: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(STUDY, []) == 0
    output = capsys.readouterr().out
    for claim in STUDY.claims:
        assert claim.id in output
    assert "6 runs, 6 uses of the test data" in output
    assert Path("runs/small/report.html").is_file()
    assert len(made) == 6
    assert main(STUDY, ["--seeds", "4"]) == 0
    assert len(made) == 8  # the fourth seed of both arms


def test_a_quick_run_has_a_folder_of_its_own(made: list[Any]) -> None:
    assert main(STUDY, ["--quick"]) == 0
    assert made == [("relu", 0, 2), ("tanh", 0, 2)]
    assert "mean nothing" in Path("runs/small-quick/report.md").read_text()


def test_a_report_of_what_is_finished_so_far(made: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(STUDY, ["--seeds", "2"]) == 0
    assert "Not all runs are finished" not in Path("runs/small/report.md").read_text()
    assert main(STUDY, ["--so-far"]) == 0
    assert len(made) == 4  # no others were made
    assert "4 runs, 4 uses of the test data" in capsys.readouterr().out
    report = Path("runs/small/report.md").read_text()
    assert "> **Not all runs are finished:** relu: 2 of 3 seeds; tanh: 2 of 3 seeds." in report
    assert "Not all runs are finished:</strong> relu: 2 of 3 seeds; tanh" in Path("runs/small/report.html").read_text()


def test_a_report_of_nothing(made: list[Any]) -> None:
    assert main(STUDY, ["--so-far"]) == 0
    assert "> **Without a finished run:** relu, tanh." in Path("runs/small/report.md").read_text()


def test_a_part(made: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(STUDY, ["--only", "X1", "X3", "--out", "part"]) == 0
    assert {name for name, _, _ in made} == {"relu"}
    folder = Path("part/only-X1-X3")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [claim["id"] for claim in manifest["study"]["claims"]] == ["X1", "X3"]
    assert not Path("part/report.html").exists()  # nor would a report of the whole study be replaced
    run = manifest["runs"][0]["key"]
    assert f'href="../runs/{run}.json"' in (folder / "report.html").read_text()
    checks = list(verify(folder, study=STUDY))
    assert all(check.ok for check in checks), checks
    assert main(STUDY, ["--only", "X9"]) == 2
    assert "there is no claim 'X9'" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--seeds", "0"], ["--workers", "-1"], ["--workers", "two"], ["--fast"]])
def test_flags_that_make_no_sense_are_one_line(made: list[Any], capsys: pytest.CaptureFixture[str], flags: Any) -> None:
    assert main(STUDY, flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert made == []


def test_a_part_by_the_first_part_of_its_name(made: list[Any]) -> None:
    claims = (
        Claim("B7-wide", "w", arms=("relu",), published=0.8),
        Claim("B7-deep", "d", arms=("tanh",), published=0.8),
    )
    study = replace(STUDY, claims=(*claims, Claim("B75", "no part of B7", arms=("relu",), published=0.8)))
    assert main(study, ["--only", "B7"]) == 0
    manifest = json.loads(Path("runs/small/only-B7/manifest.json").read_text())
    assert [claim["id"] for claim in manifest["study"]["claims"]] == ["B7-wide", "B7-deep"]


def test_a_claim_without_arms_trains_nothing(made: list[Any]) -> None:
    claim = Claim("B1", "gradients", predicate=lambda _results: Finding("reproduced", "they agree"))
    assert main(replace(STUDY, claims=(claim, *STUDY.claims)), ["--only", "B1"]) == 0
    assert made == []
    report = Path("runs/small/only-B1/report.md").read_text()
    assert "they agree" in report
    assert "Only the claims B1." in report


@pytest.mark.parametrize("flags", [["--only", "X1"], ["--quick"], ["--seeds", "2"]])
def test_a_part_is_not_published(made: list[Any], capsys: pytest.CaptureFixture[str], flags: list[str]) -> None:
    assert main(STUDY, [*flags, "--publish", "published"]) == 2
    assert f"--publish with {flags[0]}" in capsys.readouterr().err
    assert made == [] and not Path("published").exists()


def test_what_is_not_finished_is_not_published(made: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(STUDY, ["--seeds", "2"]) == 0
    assert main(STUDY, ["--so-far", "--publish", "published"]) == 2
    assert "not all runs are finished" in capsys.readouterr().err
    assert not Path("published").exists()


@pytest.mark.parametrize("flag", ["--out", "--publish"])
def test_a_file_where_a_folder_is_to_be_is_one_line(
    made: list[Any], capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    Path("taken").write_text("a file")
    assert main(STUDY, [flag, "taken"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "taken" in error and error.count("\n") == 1
    assert made == []
    assert Path("taken").read_text() == "a file"


def test_how_long_all_calls_took(made: list[Any]) -> None:
    assert main(STUDY, ["--seeds", "2"]) == 0
    assert re.search(r"- Training on the clock: \d+ s, in 1 call\n", Path("runs/small/report.md").read_text())
    assert main(STUDY, ["--publish", "published"]) == 0
    text = Path("published/small.md").read_text()
    assert re.search(r"- Training on the clock: \d+ s, in 2 calls\n", text)
    assert main(STUDY, ["--so-far", "--publish", "published"]) == 0  # this one made nothing
    assert "in 2 calls\n" in Path("published/small.md").read_text()


def test_numbers_for_a_repository(made: list[Any]) -> None:
    assert main(STUDY, ["--publish", "published"]) == 0
    assert sorted(path.name for path in Path("published").iterdir()) == ["small-claims.csv", "small.csv", "small.md"]
    assert Path("published/small.csv").read_bytes() == Path("runs/small/results.csv").read_bytes()
    assert Path("published/small-claims.csv").read_bytes() == Path("runs/small/claims.csv").read_bytes()
    text, whole = Path("published/small.md").read_text(), Path("runs/small/report.md").read_text()
    assert "figures/" in whole
    assert "figures/" not in text
    assert "Learning curves" not in text
    tables = [line for line in whole.splitlines() if line.startswith("|")]
    assert [line for line in text.splitlines() if line.startswith("|")] == tables


def test_help_is_no_error(made: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(STUDY, ["--help"]) == 0
    assert "X1, X2, X3, X4" in capsys.readouterr().out


def test_missing_data_are_one_error(
    made: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*arguments: object) -> None:
        raise DataError("no data anywhere")

    monkeypatch.setattr(runner, "load_splits", missing)
    assert main(STUDY, []) == 2
    assert capsys.readouterr().err == "error: no data anywhere\n"
    assert not Path("runs").exists()


def test_a_failure_is_shown_with_its_log(
    made: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(recipe: Recipe, seed: int) -> Run:
        raise DataError("gone")

    monkeypatch.setattr(workers, "train_run", fail)
    assert main(STUDY, ["--only", "X1", "--seeds", "1"]) == 1
    output, errors = capsys.readouterr()
    assert "not run" in output
    assert "FAILED: relu, seed 0: DataError: gone\n  log: runs/small/runs/" in errors
    assert "DataError: gone" in Path("runs/small/only-X1/report.md").read_text()


def test_ctrl_c_says_how_to_go_on(
    made: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "run", interrupt)
    assert main(STUDY, ["--seeds", "2"]) == 130
    assert "To go on:" in capsys.readouterr().err
