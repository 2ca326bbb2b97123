"""`verify`: what was altered is named, in report and runs; runs that are trained again have the same bits."""

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.made import SMALL, AtOnce, made_run
from tinygrad_mlp.__main__ import main
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.experiments import runner, workers
from tinygrad_mlp.experiments.claims import Claim, Finding, is_better
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.report import write_report
from tinygrad_mlp.experiments.report.manifest import describe_study
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.runs import Run
from tinygrad_mlp.experiments.study import Arm, Comparison, Study
from tinygrad_mlp.experiments.tables import Cell, Table
from tinygrad_mlp.experiments.training import train_run
from tinygrad_mlp.experiments.verify import Check, read_study, verify

verify_module = importlib.import_module("tinygrad_mlp.experiments.verify")  # the package's name is the function


def mean_of_relu(results: Results) -> Finding:
    mean = results.summary("relu").mean
    return Finding("reproduced" if mean > 0.5 else "not reproduced", f"mean {mean:.4f}")


def extra() -> Table:
    return Table("Extra", ("what", "number"), ((Cell("pi"), Cell("3.14", 3.14)),), name="extra")


STUDY = Study(
    "small",
    "A small study",
    (Arm("relu", SMALL, "X1"), Arm("tanh", SMALL.replace(activation="tanh"), "X2")),
    seeds=3,
    comparisons=(Comparison("relu", "tanh", table="activations"),),
    claims=(
        Claim("X1", "ReLU reaches 80 %", arms=("relu",), published=0.8),
        Claim("X2", "ReLU is better", arms=("relu", "tanh"), predicate=is_better("relu", "tanh")),
        Claim("X3", "ReLU is above a half", arms=("relu",), predicate=mean_of_relu),
        Claim("X4", "tanh loses 0.2", arms=("tanh",), published=0.2, measure="test_loss", digits=1),
    ),
    tables={"Extra": extra},
)

pytestmark = pytest.mark.xdist_group("verify")  # all in one process: what they share is made once


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report beside its runs, which are made up; relu is the better one."""
    folder = tmp_path_factory.mktemp("whole")
    patch = pytest.MonkeyPatch()
    patch.setattr(workers, "train_run", lambda recipe, seed: made_run(recipe, seed, score(recipe, seed)))
    results = runner.run(STUDY, out=folder, executor=AtOnce(), progress=False)
    patch.undo()
    write_report(results, folder, command="python small.py")
    return folder


def score(recipe: Recipe, seed: int) -> float:
    return (0.81 if recipe.activation == "relu" else 0.78) + 0.003 * seed


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    for path in whole.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(whole)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return tmp_path


def failed(folder: Path, **options: Any) -> list[Check]:
    return [check for check in verify(folder, **options) if not check.ok]


def test_all_is_as_reported(whole: Path) -> None:
    checks = list(verify(whole))
    assert all(check.ok for check in checks), checks
    subjects = [check.subject for check in checks]
    assert {"report.html", "report.md", "tables.tex", "results.csv", "table claims"} < set(subjects)
    assert sum(subject.startswith("run ") for subject in subjects) == 6
    left = {check.subject for check in checks if "--study FILE" in check.words}
    assert left == {"table claims", "table study-extra", "texts"}  # the sentences among the claims, and what needs them


def test_with_the_code_sentences_and_further_tables_are_computed(whole: Path) -> None:
    checks = list(verify(whole, study=STUDY))
    assert all(check.ok for check in checks), checks
    assert not any("--study FILE" in check.words for check in checks)
    again = {check.subject for check in checks if check.words == "the same bytes"}
    assert again == {
        f"{name} again"
        for name in ("report.html", "report.md", "tables.tex", "results.csv", "claims.csv", "settings.txt")
    }
    assert Check("study", True, "as its code defines it") in checks


def test_any_flipped_byte_of_a_run_is_named(folder: Path) -> None:
    for number, path in enumerate(sorted((folder / "runs").glob("*.json"))):
        content = bytearray(path.read_bytes())
        content[100 + 997 * number] ^= 1
        path.write_bytes(bytes(content))
        damaged = {check.subject for check in failed(folder)}
        assert f"run {path.stem}" in damaged
        assert "numbers" in damaged
        content[100 + 997 * number] ^= 1
        path.write_bytes(bytes(content))
    assert failed(folder) == []


def test_another_whole_run_in_its_place_is_named(folder: Path) -> None:
    """With its own SHA-256 right, but other numbers than the reported ones."""
    path = sorted((folder / "runs").glob("*.json"))[0]
    run = Run.from_json(path.read_bytes(), path)
    path.write_bytes(made_run(run.recipe, run.seed, 0.99).to_json())
    subjects = [check.subject for check in failed(folder)]
    assert subjects[0] == f"run {path.stem}"
    assert "table claims" in subjects
    assert "table arms" in subjects


@pytest.mark.parametrize("how", ["altered", "damaged", "gone"])
def test_another_time_is_named(folder: Path, how: str) -> None:
    (path,) = (folder / "runs" / "calls").glob("*.json")
    content = json.loads(path.read_text())
    assert len(content["runs"]) == 6
    if how == "gone":
        path.unlink()
    else:
        path.write_text(json.dumps({**content, "seconds": content["seconds"] / 2}) if how == "altered" else "{")
    wrong = {check.subject: check.words for check in failed(folder, study=STUDY)}
    assert list(wrong) == ["calls"]
    assert str(path.parent) in wrong["calls"]


def test_a_call_may_have_gone_on_since(folder: Path) -> None:
    """A report of what is finished so far, written while the rest is being made."""
    (path,) = (folder / "runs" / "calls").glob("*.json")
    content = json.loads(path.read_text())
    later = {**content, "seconds": content["seconds"] + 60, "runs": [*content["runs"], "another"]}
    path.write_text(json.dumps(later))
    assert failed(folder, study=STUDY) == []
    path.write_text(json.dumps({**later, "runs": later["runs"][1:]}))
    assert [check.subject for check in failed(folder, study=STUDY)] == ["calls"]


def test_a_missing_run_is_named(folder: Path) -> None:
    path = sorted((folder / "runs").glob("*.json"))[0]
    path.unlink()
    assert [check.subject for check in failed(folder)] == [f"run {path.stem}", "numbers"]


@pytest.mark.parametrize("name", ["report.html", "report.md", "tables.tex", "results.csv", "claims.csv"])
def test_an_altered_file_is_named(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ")
    (check,) = failed(folder)
    assert check.subject == name
    assert "altered" in check.words
    content = manifest(folder)
    content["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite(folder, content)
    assert failed(folder) == []
    assert "texts" in left_out(folder)
    assert [check.subject for check in failed(folder, study=STUDY)] == [f"{name} again"]
    path.unlink()
    assert "cannot be read" in failed(folder)[0].words


def left_out(folder: Path) -> list[str]:
    """What is not computed without the study's code."""
    return [check.subject for check in verify(folder) if check.left_out]


def test_what_is_left_out_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not any(check.left_out for check in verify(folder, study=STUDY))
    names = left_out(folder)
    assert {"table claims", "texts"} < set(names)
    assert main(["verify", str(folder)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert f"what was computed is as reported; {len(names)} left something out" in last
    assert last.endswith("(the study's code judges these: --study FILE)")
    assert [line.split("  ", 1)[1].split(":")[0].strip() for line in lines if line.startswith("part")] == names


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def rewrite(folder: Path, content: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(content))


def test_a_number_that_the_runs_do_not_give_is_named(folder: Path) -> None:
    content = manifest(folder)
    cells = [cell for cell in content["cells"] if cell["value"] is not None]
    for cell in cells[:: max(1, len(cells) // 12)]:
        before = dict(cell)
        cell["value"] += 1e-9
        rewrite(folder, content)
        if before["id"].split("/")[0] == "extra":
            assert failed(folder) == []
            assert "table study-extra" in left_out(folder)
        wrong = failed(folder, study=STUDY)
        assert len(wrong) == 1
        assert before["id"] in wrong[0].words
        cell.update(before)
    next(cell for cell in cells if cell["runs"])["runs"] = []
    rewrite(folder, content)
    assert "from other runs" in failed(folder, study=STUDY)[0].words


def test_a_sentence_is_judged_anew_by_the_code(folder: Path) -> None:
    content = manifest(folder)
    (verdict,) = [cell for cell in content["cells"] if cell["id"] == "claims/3/verdict"]
    assert verdict["words"] == "reproduced"
    verdict["words"] = "not reproduced"
    rewrite(folder, content)
    assert failed(folder) == []
    assert "table claims" in left_out(folder)
    (check,) = failed(folder, study=STUDY)
    assert "claims/3/verdict" in check.words


def test_a_number_that_no_table_has_is_named(folder: Path) -> None:
    content = manifest(folder)
    content["cells"].append({"id": "arms/99/n", "words": "3", "value": 3.0, "runs": []})
    rewrite(folder, content)
    (check,) = failed(folder)
    assert "arms/99/n" in check.words


@pytest.mark.parametrize("table", ["arms", "comparisons", "claims"])
def test_a_number_that_was_left_out_is_named(folder: Path, table: str) -> None:
    content = manifest(folder)
    content["cells"] = [cell for cell in content["cells"] if not cell["id"].startswith(f"{table}/1/")]
    rewrite(folder, content)
    (check,) = failed(folder)
    assert (check.subject, "which is not reported" in check.words) == (f"table {table}", True)


def test_what_was_asked_is_compared_with_the_code(folder: Path) -> None:
    asked = {
        "comparisons": lambda study: study["comparisons"].clear(),  # Holm's correction would be another
        "claims": lambda study: study["claims"][0].update(published=0.81),
        "seeds": lambda study: study.update(seeds=2),
    }
    for name, alter in asked.items():
        content = manifest(folder)
        alter(content["study"])
        rewrite(folder, content)
        assert any(check.subject == "study" and name in check.words for check in failed(folder, study=STUDY))
        rewrite(folder, manifest(folder) | {"study": json.loads(json.dumps(describe_study(STUDY)))["study"]})
    assert failed(folder, study=STUDY) == []
    content = manifest(folder)
    content["study"]["claims"].pop()
    rewrite(folder, content)
    assert any(check.subject == "study" and "notes" in check.words for check in failed(folder, study=STUDY))
    content["study"]["claims"][0]["id"] = "X9"
    rewrite(folder, content)
    assert any("the code has no claims X9" in check.words for check in failed(folder, study=STUDY))


@pytest.mark.parametrize("name", ["test_uses", "code", "data", "machines"])
def test_what_runs_say_of_themselves_is_compared(folder: Path, name: str) -> None:
    content = manifest(folder)
    content[name] = 5 if name == "test_uses" else []
    rewrite(folder, content)
    (check,) = failed(folder)
    assert (check.subject, name in check.words) == ("facts", True)


def test_a_report_by_other_software_is_not_written_again(folder: Path) -> None:
    content = manifest(folder)
    content["report_made_with"]["matplotlib"] = "1.0"
    rewrite(folder, content)
    (path := folder / "report.md").write_bytes(path.read_bytes() + b" ")
    checks = list(verify(folder, study=STUDY))
    assert [check.subject for check in checks if not check.ok] == ["report.md"]
    assert any("other versions" in check.words for check in checks)


def test_a_recipe_that_is_not_that_of_the_runs_is_named(folder: Path) -> None:
    content = manifest(folder)
    content["arms"][0]["recipe"]["lr"] = 0.5
    rewrite(folder, content)
    assert any(check.subject == "arm relu" for check in failed(folder))


def test_runs_are_trained_again_and_their_bits_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study("s", "S", (Arm("relu", SMALL),), seeds=2)
    write_report(runner.run(study, out=tmp_path, executor=AtOnce(), progress=False), tmp_path)
    again = [check for check in verify(tmp_path, rerun=2) if "again" in check.subject]
    assert len(again) == 2
    assert all(check.ok and check.words == "the same bits" for check in again)

    monkeypatch.setattr(verify_module, "train_run", lambda recipe, seed: train_run(recipe.replace(lr=0.11), seed))
    (wrong,) = [check for check in verify(tmp_path, rerun=1) if "again" in check.subject]
    assert not wrong.ok
    assert "predictions" in wrong.words
    assert "test_loss" in wrong.words


@pytest.mark.parametrize(("accuracy", "ok"), [(0.813, True), (0.9, False)])
def test_elsewhere_scores_are_compared(whole: Path, monkeypatch: pytest.MonkeyPatch, accuracy: float, ok: bool) -> None:
    """The made-up runs have no known machine, so that their bits need not be the same here."""
    monkeypatch.setattr(verify_module, "train_run", lambda recipe, seed: made_run(recipe, seed, accuracy))
    for choice in range(4):
        checks = [check for check in verify(whole, rerun=6, choice=choice) if "again" in check.subject]
        of_relu = [check for check in checks if check.ok == ok]
        assert len(checks) == 6
        assert len(of_relu) >= 3
        assert all("the package's code and the CPU" in check.words for check in checks)
        assert all(("inside" if check.ok else "outside") in check.words for check in checks)


def test_the_choice_of_runs_has_a_seed(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "train_run", made_run)

    def chosen(choice: int) -> list[str]:
        return [check.subject for check in verify(whole, rerun=2, choice=choice) if "again" in check.subject]

    assert chosen(1) == chosen(1)
    assert len({tuple(chosen(choice)) for choice in range(8)}) > 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "another"}'])
def test_what_is_no_manifest(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckpointError, match="manifest"):
        list(verify(tmp_path))
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match="manifest"):
        list(verify(tmp_path))
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_study_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    for content in (None, "", "STUDY = 3"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(ArgumentError, match=r"mine\.py"):
            read_study(path)
    path.write_text(
        "from tinygrad_mlp.experiments import Arm, Recipe, Study\nSTUDY = Study('a', 'A', (Arm('b', Recipe()),))\n"
    )
    assert read_study(path).name == "a"


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    output = capsys.readouterr().out
    assert "what was computed is as reported" in output and "all is as reported" not in output
    assert "part    table claims" in output and "ok      table arms" in output
    (folder / "report.md").write_text("other")
    assert main(["verify", str(folder), "--verbose"]) == 1
    output = capsys.readouterr().out
    assert "FAILED  report.md" in output
    assert ", 1 failed" in output
    assert output.count("ok      run ") == 6
    assert main(["verify", str(folder), "--study", str(folder / "none.py")]) == 2


def test_files_are_hashed_by_the_manifest(whole: Path) -> None:
    for name, sha256 in manifest(whole)["files"].items():
        assert hashlib.sha256((whole / name).read_bytes()).hexdigest() == sha256
