"""Published claims, and what our runs make of them."""

from __future__ import annotations

import math

from tinygrad_mlp.experiments.claims import Claim, Reading, Verdict
from tinygrad_mlp.experiments.report.measures import EMPTY, keys_of, measure, summary_of
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.tables import Cell, Table

__all__ = ["CLAIMS_TABLE", "claims_table", "deciding_reading", "published_words", "readings_table", "sentences_table"]

CLAIMS_TABLE = "claims"  # its name: its rows are the study's claims in their order


def published_words(claim: Claim) -> str:
    """The published number with the digits that it was published with: `87.03 %`, `0.27`; `–` for a sentence."""
    if claim.published is None:
        return "–"
    kind = measure(claim.measure)
    return kind.words(claim.published, max(claim.digits - (2 if kind.scale == 100 else 0), 0))


def claims_table(results: Results) -> Table:
    """A row for each claim, with its verdict."""
    rows = tuple(_claim_row(results, verdict) for verdict in results.verdicts)
    note = (
        "Ours: mean over n seeds and, in brackets, the 95 % prediction interval of one run; of several readings the "
        "one that decides. A sentence has what was found in place of a number."
    )
    return Table("Claims", ("id", "claim", "published", "ours", "n", "verdict", "source"), rows, note, CLAIMS_TABLE)


def _claim_row(results: Results, verdict: Verdict) -> tuple[Cell, ...]:
    claim = verdict.claim
    start = [Cell(claim.id), Cell(claim.text), Cell(published_words(claim), claim.published)]
    end = Cell(claim.source)
    if verdict.readings:
        reading = deciding_reading(claim, verdict)
        keys = summary_of(results, reading.arm, claim.measure)[1]
        words = _ours(claim, reading)
        if len(verdict.readings) > 1:
            words += f" ({reading.arm}, one of {len(verdict.readings)} readings)"
        ours = Cell(words, reading.summary.mean, keys)
        n = Cell(str(reading.summary.n), reading.summary.n, keys)
        every = tuple(key for one in verdict.readings for key in keys_of(results.runs[one.arm]))
        return *start, ours, n, Cell(verdict.verdict, None, every), end
    keys = tuple(key for arm in claim.arms for key in keys_of(results.runs[arm]))
    fewest = min((len(results.runs[arm]) for arm in claim.arms), default=0)
    n = Cell(str(fewest), fewest, keys) if claim.arms else EMPTY
    return *start, Cell(verdict.words, None, keys), n, Cell(verdict.verdict, None, keys), end


def deciding_reading(claim: Claim, verdict: Verdict) -> Reading:
    """The reading that gives the claim its verdict; of several such the one whose mean is nearest."""
    assert claim.published is not None
    alike = [reading for reading in verdict.readings if reading.verdict == verdict.verdict] or verdict.readings
    published = claim.published
    return min(alike, key=lambda reading: abs(reading.summary.mean - published))


def _ours(claim: Claim, reading: Reading) -> str:
    kind, summary = measure(claim.measure), reading.summary
    if math.isnan(summary.prediction_low):
        return f"{kind.words(summary.mean)} (one run)"
    return f"{kind.words(summary.mean)} {kind.interval(summary.prediction_low, summary.prediction_high)}"


def readings_table(results: Results) -> Table:
    """A row for each arm that a published number can be read as, where a claim has more than one."""
    rows: list[tuple[Cell, ...]] = []
    for verdict in results.verdicts:
        if len(verdict.readings) < 2:
            continue
        claim, kind = verdict.claim, measure(verdict.claim.measure)
        for reading in verdict.readings:
            keys, summary = summary_of(results, reading.arm, claim.measure)[1], reading.summary
            interval = kind.interval(summary.prediction_low, summary.prediction_high)
            rows.append(
                (
                    Cell(claim.id),
                    Cell(reading.arm),
                    Cell(kind.label),
                    Cell(published_words(claim), claim.published),
                    kind.mean_cell(summary, keys),
                    EMPTY if interval == "–" else Cell(interval, summary.prediction_low, keys),
                    Cell(str(summary.n), summary.n, keys),
                    Cell(reading.verdict, None, keys),
                )
            )
    columns = ("id", "read as the arm", "measure", "published", "ours", "95 % interval of one run", "n", "verdict")
    note = "Where a report leaves a choice open, each plausible reading was run."
    return Table("Readings", columns, tuple(rows), note, "readings")


def sentences_table(results: Results) -> Table:
    """A row for each reading of a sentence that has several, with all that was found."""
    rows: list[tuple[Cell, ...]] = []
    for verdict in results.verdicts:
        keys = tuple(key for arm in verdict.claim.arms for key in keys_of(results.runs[arm]))
        for name, finding in verdict.sentences:
            rows.append((Cell(verdict.claim.id), Cell(name), Cell(finding.words, None, keys), Cell(finding.verdict)))
    note = "Sentences of a report that leaves a choice open, judged for each plausible reading."
    return Table("Sentences by reading", ("id", "reading", "found", "verdict"), tuple(rows), note, "sentences")
