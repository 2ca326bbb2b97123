"""Arm against arm: the comparisons that a study listed beforehand."""

from __future__ import annotations

from tinygrad_mlp.experiments.report.measures import EMPTY, Measure, keys_of, measure
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.statistics import Comparison as Compared
from tinygrad_mlp.experiments.study import Comparison
from tinygrad_mlp.experiments.tables import Cell, Table

__all__ = ["comparison_tables"]

_COLUMNS = ("first", "second", "measure", "verdict", "n", "difference", "95 % interval", "p", "p after Holm")


def comparison_tables(results: Results) -> list[Table]:
    """One table for each that the study names; what stands in one is corrected together."""
    names = list(dict.fromkeys(one.table for one in results.study.comparisons))
    return [_table(results, name) for name in names]


def _table(results: Results, name: str) -> Table:
    compared = results.compared(name)
    rows = tuple(_row(results, listed, found) for listed, found in compared.items())
    correction = (
        f"after Holm's correction for the {len(rows)} comparisons of this table" if len(rows) > 1 else "alone here"
    )
    note = (
        "By how much the first is better over n seeds that both have: first minus second, of losses second minus "
        f"first. p of the exact paired sign-flip test, {correction}. "
        "The verdict is on the first arm. Without p: so few pairs cannot decide, the interval alone speaks."
    )
    return Table(f"Comparisons: {name}" if name else "Comparisons", _COLUMNS, rows, note, "comparisons")


def _row(results: Results, listed: Comparison, found: Compared) -> tuple[Cell, ...]:
    seeds = {run.seed for run in results.runs[listed.first]} & {run.seed for run in results.runs[listed.second]}
    pairs = [run for arm in (listed.first, listed.second) for run in results.runs[arm] if run.seed in seeds]
    keys, kind = keys_of(pairs), measure(listed.measure)
    names = Cell(listed.first), Cell(listed.second), Cell(kind.label)
    n = Cell(str(found.n), found.n, keys)
    if not found.n:
        return *names, Cell("not run"), n, EMPTY, EMPTY, EMPTY, EMPTY
    more = "" if found.more_seeds is None else f" (about {found.more_seeds} more seeds)"
    return (
        *names,
        Cell(_verdict(listed.measure, found.verdict) + more, None, keys),
        n,
        Cell(kind.signed(found.difference) + _unit(kind), found.difference, keys),
        EMPTY if found.n == 1 else Cell(kind.interval(found.low, found.high), found.low, keys),
        *(Cell(f"{p:.3g}", p, keys) if found.decidable else EMPTY for p in (found.p, found.adjusted_p)),
    )


def _unit(kind: Measure) -> str:
    return " points" if kind.unit == " %" else kind.unit


def _verdict(name: str, verdict: str) -> str:
    """Statistics call the larger one better, which makes sense of accuracies and of the sign that losses are given."""
    if name.endswith(("accuracy", "loss")):
        return verdict
    return {"better": "higher", "worse": "lower"}.get(verdict, verdict)
