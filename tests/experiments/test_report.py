"""A report's files: all there, the same each time, and its numbers those of the runs."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.experiments.sample import BASE, NASTY, a_run, a_study, some_results, unfinished_results
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.experiments.report import all_tables, describe_cells, write_report
from tinygrad_mlp.experiments.report.svg import inline_svg
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.runs import RunStore
from tinygrad_mlp.experiments.study import Arm, Study
from tinygrad_mlp.experiments.tables import Cell, Table

FIGURES = (
    *("published-test-accuracy", "published-test-loss", "published-epochs", "curves-01", "curves-02"),
    *("weights-near-zero", "confusion"),
)
VOID = {"meta", "br", "link", "img", "hr", "input"}
pytestmark = pytest.mark.xdist_group("report")  # all in one process, with one folder


@pytest.fixture(scope="module")
def results() -> Results:
    return some_results()


@pytest.fixture(scope="module")
def folder(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(results, folder, command="python examples/reports/a.py --seeds 10")
    return folder


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unfinished")
    write_report(unfinished_results(), folder)
    return folder


def table(results: Results, name: str) -> Table:
    (found,) = (one for one in all_tables(results) if one.name == name)
    return found


def column(one: Table, words: str) -> list:
    return [row[one.columns.index(words)] for row in one.rows]


class Page(HTMLParser):
    """Checks that tags are closed in the order in which they were opened, and notes what is there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            elif name in ("href", "src"):
                self.links.append(value or "")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_all_files_are_there(folder: Path):
    expected = {"report.html", "report.md", "tables.tex", "results.csv", "claims.csv", "settings.txt", "manifest.json"}
    expected |= {f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png", "pdf")}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == expected


def test_the_same_results_give_the_same_bytes(folder: Path, results: Results, tmp_path: Path):
    paths = write_report(results, tmp_path, command="python examples/reports/a.py --seeds 10")
    assert paths[0] == tmp_path / "report.html"
    assert paths[-1] == tmp_path / "manifest.json"
    for path in paths:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes(), path


def small_results(*names: str) -> Results:
    """Arms that share one recipe of two epochs, and its only run; no confusion matrix, which takes long to draw."""
    recipe = BASE.replace(epochs=2, validation=0.0, keep="last")
    run = a_run(recipe, 0, 0.8)
    run = replace(run, measures={**run.measures, "val_accuracy": math.nan})
    arms = tuple(Arm(name, recipe) for name in names)
    return Results(Study("small", "Small", arms), {name: [run] for name in names})


def test_figures_of_an_older_report_go_and_other_files_stay(tmp_path: Path):
    write_report(small_results("a", "b"), tmp_path)
    older = tmp_path / "figures" / "curves-02.png"
    assert older.exists()
    mine = tmp_path / "figures" / "mine.png"
    mine.write_bytes(b"")
    (tmp_path / "elsewhere.png").write_bytes(b"")
    content = json.loads((tmp_path / "manifest.json").read_text())
    content["files"]["figures/../elsewhere.png"] = ""  # a manifest is a file that others may have written
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    write_report(small_results("a"), tmp_path)
    assert not older.exists()
    assert mine.exists()
    assert (tmp_path / "elsewhere.png").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "another", "files": {}}', '{"format": 1}'])
def test_a_manifest_of_something_else_is_in_nobodys_way(content: str, tmp_path: Path):
    (tmp_path / "manifest.json").write_text(content)
    assert json.loads(write_report(small_results("a"), tmp_path)[-1].read_text())["study"]["name"] == "small"


# Numbers ------------------------------------------------------------------------------------------------------------


def test_csv_gives_every_number_back(folder: Path, results: Results):
    rows = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text(encoding="utf-8"))))
    runs = [(arm, run) for arm in results.study.arms for run in results.runs[arm.name]]
    assert len(rows) == len(runs) == 50
    for row, (arm, run) in zip(rows, runs, strict=True):
        assert (row["arm"], row["source"], int(row["seed"]), row["key"]) == (arm.name, arm.source, run.seed, run.key)
        for name, value in run.measures.items():
            assert float(row[name] or "nan") == value or (row[name] == "" and math.isnan(value))
        assert row["stop_reason"] == (run.stop_reason or "")
        assert row["recipe.activation"] == arm.recipe.activation
        assert float(row["recipe.l2"]) == arm.recipe.l2
        assert row["recipe.schedule"] == (arm.recipe.schedule or "")
    assert "recipe.hidden" not in rows[0]  # the same in all arms


def test_csv_gives_every_verdict_back(folder: Path, results: Results):
    rows = list(csv.DictReader(io.StringIO((folder / "claims.csv").read_text(encoding="utf-8"))))
    assert [(row["claim"], row["verdict"], row["words"]) for row in rows] == [
        (verdict.claim.id, verdict.verdict, verdict.words) for verdict in results.verdicts
    ]
    numbers = [(row, verdict) for row, verdict in zip(rows, results.verdicts, strict=True) if verdict.readings]
    assert 0 < len(numbers) < len(rows)
    for row, verdict in numbers:
        assert float(row["published"]) == verdict.claim.published
        assert row["arm"] in [reading.arm for reading in verdict.readings]
        summary = results.summary(row["arm"], row["measure"])
        expected = (summary.mean, summary.prediction_low, summary.prediction_high, summary.n)
        assert tuple(float(row[name]) for name in ("mean", "low", "high", "n")) == expected
    assert {row["arm"] for row, verdict in zip(rows, results.verdicts, strict=True) if not verdict.readings} == {""}


def test_manifest_binds_numbers_to_runs(folder: Path, results: Results):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    cells = {cell["id"]: cell for cell in manifest["cells"]}
    assert len(cells) == len(manifest["cells"])
    assert manifest["cells"] == json.loads(json.dumps(describe_cells(all_tables(results))))
    tanh = cells["arms/1/test accuracy"]
    assert tanh["value"] == pytest.approx(np.mean(results.values("tanh")), rel=1e-15)
    assert tanh["runs"] == [run.key for run in results.runs["tanh"]]
    keys = {run["key"] for run in manifest["runs"]}
    assert all(set(cell["runs"]) <= keys for cell in cells.values())
    assert manifest["test_uses"] == 50
    assert manifest["calls"] == []  # nobody noted one
    assert [arm["recipe"] for arm in manifest["arms"]] == [arm.recipe.as_dict() for arm in results.study.arms]


def test_cells_have_ids_of_their_own():
    twice = Table("t", ("a", "a"), ((Cell("1", 1.0), Cell("2", math.nan)),), name="t")
    assert [(cell["id"], cell["value"]) for cell in describe_cells([twice])] == [("t/1/a", 1.0), ("t/1/a (2)", None)]


def test_manifest_knows_the_bytes_of_files_and_runs(folder: Path, results: Results, tmp_path: Path):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["files"]}
    assert found == manifest["files"]
    assert len(found) == 6 + 3 * len(FIGURES)
    store, run = RunStore(tmp_path), results.runs["tanh"][3]
    store.save(run)
    (stored,) = (one for one in manifest["runs"] if one["key"] == run.key)
    assert stored["sha256"] == hashlib.sha256(store.path(run.key).read_bytes()).hexdigest()


def test_tables_come_out_alike_from_stored_runs(results: Results, tmp_path: Path):
    store = RunStore(tmp_path)
    for runs in results.runs.values():
        for run in runs:
            store.save(run)
    again = {name: [store.load(run.key) for run in runs] for name, runs in results.runs.items()}
    assert describe_cells(all_tables(Results(a_study(), again))) == describe_cells(all_tables(results))


def test_arms_without_numbers_have_dashes(results: Results):
    dead = column(table(results, "further"), "dead units")
    assert [cell.words for cell in dead] == ["–", "–", "–", "8.90 ± 0.88 %", "–"]
    assert "diverged" not in table(results, "further").columns


def test_claims_have_verdicts(results: Results):
    claims = table(results, "claims")
    assert [cell.words for cell in column(claims, "verdict")] == [
        *("exceeded", "underspecified", "exceeded", "reproduced", "not reproduced", "reproduced", "not reproduced"),
        "reproduced",
    ]
    published = [cell.words for cell in column(claims, "published")]
    assert published == ["76.37 %", "85.60 %", "0.33", "–", "–", "30", "95.00 %", "–"]
    assert [cell.words for cell in column(table(results, "readings"), "id")] == ["A2", "A2"]


def test_comparisons_are_of_the_first_arm(results: Results):
    losses, how_long = table(results, "comparisons-2"), table(results, "comparisons-3")
    assert losses.title == "Comparisons: losses"
    assert column(losses, "verdict")[0].words.startswith("undecided (about ")
    assert column(losses, "difference")[0].words.startswith("−")  # of losses, how much lower: here it is higher
    assert column(how_long, "verdict")[0].words == "higher"  # better or worse: who knows
    accuracies = table(results, "comparisons")
    assert [cell.words for cell in column(accuracies, "verdict")] == ["better"] * 3
    assert column(accuracies, "difference")[0].words.endswith(" points")
    assert len(column(accuracies, "difference")[0].runs) == 20


def test_two_tables_with_one_name_are_kept_apart():
    study = replace(a_study(), tables={"Arms": lambda: Table("", ("x",), ()), "Runs!": _three, "runs": _three})
    names = [one.name for one in all_tables(Results(study, some_results(1).runs))]
    assert len(set(names)) == len(names)
    assert {"runs", "study-runs", "study-runs-2"} <= set(names)
    assert "study-arms" not in names  # it has no rows


def _three() -> Table:
    results = some_results(1)
    return replace(table(results, "seeds"), name="")


# What cannot be shown is said ---------------------------------------------------------------------------------------


def test_failures_and_arms_without_runs_are_shown(unfinished: Path):
    page, text = (unfinished / "report.html").read_text(), (unfinished / "report.md").read_text()
    assert "1 run failed." in page
    assert "Without a finished run:" in page
    assert "**1 run(s) failed.**" in text
    assert "## Failed runs" in text
    arms = table(unfinished_results(), "arms")
    assert [cell.words for cell in column(arms, "n")] == ["1", "1", "1", "0", "0"]
    assert column(arms, "test accuracy")[3].words == "–"
    assert [cell.words for cell in column(arms, "95 % interval of one run")] == ["–"] * 5  # one seed
    verdicts = Counter(cell.words for cell in column(table(unfinished_results(), "claims"), "verdict"))
    assert verdicts == {"undecided": 4, "not run": 4}
    assert {path.stem for path in (unfinished / "figures").glob("curves-*.png")} == {f"curves-0{n}" for n in (1, 2, 3)}


def test_a_study_without_runs_has_a_report(tmp_path: Path):
    write_report(Results(a_study(), {}), tmp_path)
    Page((tmp_path / "report.html").read_text())
    assert not (tmp_path / "figures" / "confusion.png").exists()


def test_a_study_without_claims_or_validation(tmp_path: Path):
    arm = Arm("plain", BASE.replace(validation=0.0, keep="last", epochs=3))
    run = a_run(arm.recipe, 0, 0.8)
    measures = {name: math.nan if name.startswith("val_") else value for name, value in run.measures.items()}
    history = tuple({**row, "val_loss": None, "val_accuracy": None} for row in run.history)
    results = Results(Study("s", "S", (arm,)), {"plain": [replace(run, measures=measures, history=history)]})
    write_report(results, tmp_path)
    assert not (tmp_path / "figures" / "confusion.png").exists()
    assert table(results, "arms").rows[0][6].words == "–"


def test_a_run_that_diverged_at_once(tmp_path: Path):
    arm = Arm("too fast", BASE.replace(lr=50.0))
    run = a_run(arm.recipe, 0, 0.1, epochs=0)
    run = replace(run, measures={**run.measures, "diverged": 1.0}, stop_reason="diverged: NaN")
    results = Results(Study("s", "S", (arm,)), {"too fast": [run]})
    write_report(results, tmp_path)
    assert column(table(results, "further"), "diverged")[0].words == "100.00 %"


def test_no_confusion_matrix_of_two_data_sets(tmp_path: Path):
    arms = (Arm("garments", BASE.replace(epochs=2)), Arm("digits", BASE.replace(epochs=2, data="mnist")))
    garments = a_run(arms[0].recipe, 0, 0.8)
    digits = replace(garments, recipe=arms[1].recipe, key="f" * 20)
    results = Results(Study("s", "S", arms), {"garments": [garments], "digits": [digits]})
    write_report(results, tmp_path)
    assert not (tmp_path / "figures" / "confusion.png").exists()
    assert "synthetic-fashion, mnist" in (tmp_path / "report.md").read_text()


# The page -----------------------------------------------------------------------------------------------------------


def test_page_is_well_formed_and_needs_no_network(folder: Path):
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert set(page.ids.values()) == {1}
    assert not [link for link in page.links if link.startswith(("http", "//"))]
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith("data:"):
            assert (folder / link).is_file()
    assert page.tags["script"] == 1  # that of the page, none out of a name
    assert NASTY in "".join(page.words)


def test_rows_of_runs_lead_to_their_files_where_these_are_there(tmp_path: Path):
    results = small_results("a")
    (run,) = results.runs["a"]
    assert not [link for link in Page(write_report(results, tmp_path)[0].read_text()).links if "runs/" in link]
    (tmp_path / "runs").mkdir()
    RunStore(tmp_path / "runs").save(run)
    page = Page(write_report(results, tmp_path)[0].read_text())
    assert [link for link in page.links if "runs/" in link] == [f"runs/{run.key}.json"]


def test_arms_with_one_recipe_share_their_runs(tmp_path: Path):
    results = small_results("a", "b")
    (run,) = results.runs["a"]
    page = Page(write_report(results, tmp_path)[0].read_text())
    assert page.ids[f"run-{run.key}"] == 1
    assert len(table(results, "runs").rows) == 2
    assert len(json.loads((tmp_path / "manifest.json").read_text())["runs"]) == 1


def test_figures_take_the_colours_of_the_page(folder: Path):
    page = (folder / "report.html").read_text(encoding="utf-8")
    drawn = page[page.index("<body>") :]
    assert "currentColor" in drawn
    assert "var(--plot-1)" in drawn
    assert "#222222" not in drawn
    assert 'style="fill: #ffffff"/>' not in drawn  # no white sheet behind
    assert "<metadata>" not in drawn
    assert "#222222" in (folder / "figures" / "curves-01.svg").read_text()  # a file of its own keeps its colours


def test_inline_svg_wants_what_matplotlib_writes():
    with pytest.raises(ArgumentError, match="curves: no <svg> element with a viewBox"):
        inline_svg("<svg></svg>", "curves", "")


def test_settings_are_the_same_everywhere(folder: Path):
    paragraph = (folder / "settings.txt").read_text(encoding="utf-8").split("\n\n")[0]
    assert paragraph.startswith("5 recipes were trained on synthetic-fashion, a stand-in")
    assert "The recipes differ in activation (tanh; ReLU), dropout (0; 0.1), optimizer (SGD; AdamW)" in paragraph
    assert "The test images were used 50 times" in paragraph
    assert paragraph in "".join(Page((folder / "report.html").read_text(encoding="utf-8")).words)
