"""A report before it takes a form: its sections with tables and figures, which HTML and Markdown show in their ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from tinygrad_mlp.experiments.report.figures import (
    Picture,
    confusion_picture,
    curve_pictures,
    published_pictures,
    weights_picture,
)
from tinygrad_mlp.experiments.report.settings import settings_lines, settings_paragraph
from tinygrad_mlp.experiments.report.tables import CLAIMS_TABLE, all_tables
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.tables import Table

__all__ = ["HOW_TO_JUDGE", "VERIFY", "Document", "Section", "make_document"]

Block: TypeAlias = "Table | Picture"

VERIFY = "python -m tinygrad_mlp verify . --study FILE"

HOW_TO_JUDGE = (
    (
        "A published number",
        "is taken as the result of one run. It is reproduced when it lies, as rounded, inside our 95 % prediction "
        "interval for one run, mean ± t·s·√(1 + 1/n), and that interval is at most 4 points wide; underspecified when "
        "it is wider; exceeded when our whole interval is better; not reproduced when it is worse. Losses count the "
        "other way round, numbers of epochs lie inside or not. After a single run it is undecided.",
    ),
    (
        "Several readings",
        "of a report that leaves a choice open are all run. One that reproduces the number is enough; exceeded or not "
        "reproduced takes all of them; otherwise the report is underspecified.",
    ),
    (
        "Recipe against recipe",
        "is decided over seeds that both have, for comparisons that were listed beforehand: better or worse when the "
        "exact paired sign-flip p, after Holm's correction within the table, is below 0.05; equivalent when the 95 % "
        "interval of a difference of accuracies lies inside ±0.3 points; otherwise undecided, with a forecast of how "
        "many more seeds would decide it.",
    ),
    (
        "A sentence",
        "is read as a comparison of recipes, or as a number that the runs of one seed give and a region for it, both "
        "chosen beforehand. Of a number the 95 % interval of the mean over seeds decides, without a correction for "
        "several: inside the region the sentence is reproduced, outside not reproduced, across a bound undecided. "
        "“About the same” holds where the interval of the difference lies inside ±0.3 points, also if so small a "
        "difference is significant. A sentence of several parts is reproduced if all are, and not if one is not.",
    ),
    (
        "The test images",
        "are looked at once by each trained net, after its training. Epochs, arms and figures are chosen on validation "
        "images only.",
    ),
)


@dataclass(frozen=True)
class Section:
    """A headed part of a report."""

    title: str
    anchor: str
    words: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """All that is in a report, apart from how it looks."""

    title: str
    source: str
    notes: str
    facts: tuple[tuple[str, str], ...]
    tally: tuple[tuple[str, int], ...]
    failed: int
    missing: tuple[str, ...]
    unfinished: tuple[str, ...]
    settings: str
    settings_lines: tuple[str, ...]
    sections: tuple[Section, ...]
    tables: tuple[Table, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All figures in their order."""
        return tuple(block for section in self.sections for block in section.blocks if isinstance(block, Picture))


def make_document(results: Results, command: str) -> Document:
    """Put everything in its order. Figures are not drawn yet."""
    tables = all_tables(results)
    study = results.study
    return Document(
        study.title,
        study.source,
        study.notes,
        _facts(results, command),
        _tally(tables),
        len(results.failed),
        tuple(name for name, runs in results.runs.items() if not runs),
        tuple(f"{name}: {have} of {wanted} seeds" for name, (have, wanted) in results.unfinished.items()),
        settings_paragraph(results),
        tuple(settings_lines(results)),
        _sections(results, tables),
        tuple(tables),
    )


def _sections(results: Results, tables: list[Table]) -> tuple[Section, ...]:
    """Sections that have something in them."""

    def of(*names: str) -> list[Table]:
        return [table for table in tables if table.name.split("-")[0] in names]

    weights, confused = weights_picture(results), confusion_picture(results)
    runs = "Each number above leads to the rows of the last table that it was computed from."
    planned = (
        ("Failed runs", "failures", "", of("failures")),
        ("Claims", "claims", "", [*of("claims", "readings", "sentences"), *published_pictures(results)]),
        ("Arms", "arms", "", of("arms", "parts")),
        ("Comparisons", "comparisons", "", of("comparisons")),
        ("Learning curves", "curves", "", curve_pictures(results)),
        ("Further measures", "further", "", [*of("further"), *([weights] if weights else [])]),
        ("Mistakes", "mistakes", "", [confused] if confused else []),
        ("Tables of this study", "study", "", of("study")),
        ("Every run", "runs", runs, of("seeds", "runs")),
    )
    return tuple(
        Section(title, f"section-{anchor}", words, tuple(cast("list[Block]", blocks)))
        for title, anchor, words, blocks in planned
        if blocks
    )


def _tally(tables: Iterable[Table]) -> tuple[tuple[str, int], ...]:
    """How many claims have each verdict, in an order from good to bad."""
    claims = next((table for table in tables if table.name == CLAIMS_TABLE), None)
    if claims is None:
        return ()
    place = claims.columns.index("verdict")
    counts = Counter(row[place].words for row in claims.rows)
    order = ("reproduced", "exceeded", "not reproduced", "underspecified", "undecided", "not run")
    return tuple((verdict, counts[verdict]) for verdict in order if counts[verdict])


def _facts(results: Results, command: str) -> tuple[tuple[str, str], ...]:
    runs = [run for of in results.runs.values() for run in of]
    seeds = sorted({run.seed for run in runs})
    machines = [cast("dict[str, Any]", run.facts.get("machine", {})) for run in runs]
    found = (
        ("Data", ", ".join(dict.fromkeys(arm.recipe.data for arm in results.study.arms))),
        (
            "Runs",
            f"{len(runs):,}, of {_count(len(results.study.arms), 'arm')}" + (_seeds(seeds)),
        ),
        ("Uses of the test images", f"{results.test_uses:,}, once by each trained net"),
        ("Code", ", ".join(dict.fromkeys(str(run.facts["code"]) for run in runs if "code" in run.facts))),
        ("CPU", ", ".join(dict.fromkeys(str(machine["cpu"]) for machine in machines if "cpu" in machine))),
        ("Command", command),
        ("Training, all runs together", _duration(sum(run.measures["seconds"] for run in runs))),
        ("Training on the clock", _time(results)),
    )
    return tuple((label, words) for label, words in found if words)


def _time(results: Results) -> str:
    """`3 h 12 min, in 3 calls, by 2 processes`, and what these calls have to do with other runs, if anything."""
    if not results.calls:
        return ""
    made = {key for call in results.calls for key in call.runs}
    here = made & set(results.by_key)
    others = len(made - here)
    processes = sorted({call.processes or 0 for call in results.calls})
    words = f"{_duration(sum(call.seconds for call in results.calls))}, in {_count(len(results.calls), 'call')}"
    if 0 not in processes:  # else an executor of the user's has made some, in threads or who knows where
        words += f", by {' or '.join(map(str, processes))} process" + ("" if processes == [1] else "es")
    if len(here) < len(results.by_key):
        words += f", which made {len(here):,} of these runs"
    return words + (f"; they made {_count(others, 'other run')}, too" if others else "")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _seeds(seeds: list[int]) -> str:
    if len(seeds) < 2:
        return "".join(f", seed {seed}" for seed in seeds)
    if seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f", seeds {seeds[0]} to {seeds[-1]}"
    return f", seeds {', '.join(map(str, seeds))}"


def _duration(seconds: float) -> str:
    """`2 h 5 min`, `3 min 20 s`, `12 s`."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds >= 60 else f"{seconds:.0f} s"
