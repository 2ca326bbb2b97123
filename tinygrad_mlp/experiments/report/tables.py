"""`all_tables`: every table of a report, computed from the runs alone, so that anyone can compute it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tinygrad_mlp.experiments.report.claim_tables import CLAIMS_TABLE, claims_table, readings_table, sentences_table
from tinygrad_mlp.experiments.report.comparison_tables import comparison_tables
from tinygrad_mlp.experiments.report.measures import EMPTY, keys_of, measure, measures_in, summary_of
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.runs import Run
from tinygrad_mlp.experiments.study import Arm
from tinygrad_mlp.experiments.tables import Cell, Table

__all__ = ["CLAIMS_TABLE", "all_tables"]

_PARTS = ("train_accuracy", "val_accuracy", "test_accuracy", "train_loss", "val_loss", "test_loss")
_OF_ARMS = ("val_accuracy", "test_loss", "epochs", "best_epoch", "parameters", "seconds")
_OF_RUNS = ("test_accuracy", "val_accuracy", "test_loss", "val_loss", "epochs", "best_epoch", "seconds")


def all_tables(results: Results) -> list[Table]:
    """The tables of a report in its order, each under a `name` of its own.

    Nothing but the results goes in: `verify` computes them anew from stored runs and compares them with a manifest.
    Tables without rows are left out.
    """
    tables = [
        claims_table(results),
        readings_table(results),
        sentences_table(results),
        _arms_table(results),
        *comparison_tables(results),
        _parts_table(results),
        _further_table(results),
        *_study_tables(results),
        _seeds_table(results),
        _runs_table(results),
        _failures_table(results),
    ]
    return _named_apart(table for table in tables if table.rows)


def _arms_table(results: Results) -> Table:
    rows: list[tuple[Cell, ...]] = []
    accuracy = measure("test_accuracy")
    for arm in results.study.arms:
        summary, keys = summary_of(results, arm.name, "test_accuracy")
        runs = keys_of(results.runs[arm.name])
        row = [Cell(arm.name, None, runs), Cell(arm.source), Cell(str(len(runs)), len(runs), runs)]
        row.append(accuracy.mean_cell(summary, keys))
        if summary is None or summary.n == 1:
            row += [EMPTY, EMPTY]
        else:
            row.append(Cell(accuracy.interval(summary.low, summary.high), summary.low, keys))
            predicted = accuracy.interval(summary.prediction_low, summary.prediction_high)
            row.append(Cell(predicted, summary.prediction_low, keys))
        row += [measure(name).mean_cell(*summary_of(results, arm.name, name)) for name in _OF_ARMS]
        rows.append(tuple(row))
    columns = ("arm", "source", "n", "test accuracy", "95 % interval of the mean", "95 % interval of one run")
    return Table(
        "Arms",
        (*columns, *(measure(name).label for name in _OF_ARMS)),
        tuple(rows),
        "Mean ± standard deviation over n seeds. The interval of one run is a prediction interval: "
        "one further run falls into it in 95 % of cases." + _notes(results.study.arms),
        "arms",
    )


def _notes(arms: Iterable[Arm]) -> str:
    noted = [f"{arm.name}: {arm.note}" for arm in arms if arm.note]
    return " Choices: " + "; ".join(noted) + "." if noted else ""


def _parts_table(results: Results) -> Table:
    """Training, validation and test beside each other, which shows who overfits."""
    names = [name for name in _PARTS if name in measures_in(results)]
    rows: list[tuple[Cell, ...]] = []
    for arm in results.study.arms:
        if results.runs[arm.name]:
            row = [measure(name).mean_cell(*summary_of(results, arm.name, name)) for name in names]
            rows.append((Cell(arm.name, None, keys_of(results.runs[arm.name])), *row))
    return Table(
        "Training, validation and test",
        ("arm", *(measure(name).label for name in names)),
        tuple(rows),
        "Of the net that was tested, in evaluation mode: without dropout, with the running statistics of batch norm.",
        "parts",
    )


def _further_table(results: Results) -> Table:
    """What else was measured, where it is a number for any arm."""
    names = [
        name
        for name in measures_in(results)
        if name not in {*_PARTS, *_OF_ARMS} and any(_says_something(results, arm, name) for arm in results.runs)
    ]
    rows: list[tuple[Cell, ...]] = []
    for arm in results.study.arms:
        cells = [measure(name).mean_cell(*summary_of(results, arm.name, name)) for name in names]
        if any(cell.number is not None for cell in cells):
            rows.append((Cell(arm.name, None, keys_of(results.runs[arm.name])), *cells))
    note = "Mean ± standard deviation over seeds." + "".join(
        words
        for name, words in (
            ("diverged", " Diverged: share of the runs whose training ended in NaN."),
            ("dead_units", " Dead: a ReLU unit that is 0 for every validation image."),
            (
                "roughness",
                " Roughness: mean difference between the weights of neighbouring pixels over the mean size of a "
                "weight; about 1.41 for independent normal weights, less for smooth ones.",
            ),
        )
        if name in names
    )
    return Table("Further measures", ("arm", *(measure(name).label for name in names)), tuple(rows), note, "further")


def _says_something(results: Results, arm: str, name: str) -> bool:
    """Whether a measure is a number; that no run of an arm has diverged is not worth a column."""
    summary, _ = summary_of(results, arm, name)
    return summary is not None and (name != "diverged" or summary.mean > 0)


def _study_tables(results: Results) -> list[Table]:
    """The study's own tables under the titles that it gives them, and names that none of the others has."""
    return [
        replace(table, title=title, name=f"study-{_slug(table.name or title)}")
        for title, table in ((title, make()) for title, make in results.study.tables.items())
    ]


def _seeds_table(results: Results) -> Table:
    """Test accuracy of each seed, an arm a row: pairs stand in one column."""
    seeds = sorted({run.seed for runs in results.runs.values() for run in runs})
    accuracy = measure("test_accuracy")
    rows: list[tuple[Cell, ...]] = []
    for arm in results.study.arms:
        by_seed = {run.seed: run for run in results.runs[arm.name]}
        cells = [
            accuracy.cell(by_seed[seed].measures["test_accuracy"], (by_seed[seed].key,)) if seed in by_seed else EMPTY
            for seed in seeds
        ]
        rows.append((Cell(arm.name, None, keys_of(results.runs[arm.name])), *cells))
    note = "Runs in one column share held-out images, order of batches and, where shapes allow, first weights."
    columns = ("arm", *(f"seed {seed}" for seed in seeds))
    return Table("Test accuracy by seed", columns, tuple(rows) if seeds else (), note, "seeds")


def _runs_table(results: Results) -> Table:
    """A row per run, to which every number of the report leads back."""
    names = [name for name in _OF_RUNS if name in measures_in(results)]
    rows = [_run_row(arm, run, names) for arm in results.study.arms for run in results.runs[arm.name]]
    return Table(
        "Runs",
        ("run", "arm", "seed", *(measure(name).label for name in names), "stopped"),
        tuple(rows),
        "A run's name is a hash of recipe, seed, data and code; its file holds every epoch and every prediction.",
        "runs",
    )


def _run_row(arm: Arm, run: Run, names: Iterable[str]) -> tuple[Cell, ...]:
    key = (run.key,)
    cells = [measure(name).cell(run.measures.get(name, float("nan")), key) for name in names]
    stopped = run.stop_reason or "after its last epoch"
    return Cell(run.key[:10], None, key), Cell(arm.name), Cell(str(run.seed), run.seed, key), *cells, Cell(stopped)


def _failures_table(results: Results) -> Table:
    rows = [
        (Cell(failure.arm), Cell(str(failure.seed), failure.seed), Cell(failure.error), Cell(failure.log or "–"))
        for failure in results.failed
    ]
    note = "These runs did not finish; no number of this report comes from them."
    return Table("Failed runs", ("arm", "seed", "error", "log"), tuple(rows), note, "failures")


def _slug(title: str) -> str:
    """A title as part of an address: letters, digits and hyphens."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in title.lower()).split()) or "table"


def _named_apart(tables: Iterable[Table]) -> list[Table]:
    """The same tables, a number behind a name that another has already."""
    found: dict[str, Table] = {}
    for table in tables:
        name = plain = table.name
        count = 1
        while name in found:
            count += 1
            name = f"{plain}-{count}"
        found[name] = replace(table, name=name)
    return list(found.values())
