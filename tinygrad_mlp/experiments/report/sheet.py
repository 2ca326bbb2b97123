"""`results.csv`: a line for each run, with every measure to its last digit; `claims.csv`: one for each verdict."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from tinygrad_mlp.experiments.claims import Verdict
from tinygrad_mlp.experiments.report.claim_tables import deciding_reading
from tinygrad_mlp.experiments.report.measures import measures_in
from tinygrad_mlp.experiments.report.settings import differing_fields
from tinygrad_mlp.experiments.results import Results

__all__ = ["render_claims_csv", "render_csv"]

_CLAIM = ("claim", "text", "source", "published", "measure", "arm", "mean", "low", "high", "n", "verdict", "words")


def render_csv(results: Results) -> str:
    """The text of results.csv; a measure that is NaN is an empty field, lists and objects are JSON."""
    measures, differing = measures_in(results), differing_fields(results)
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    recipe = [f"recipe.{name}" for name in differing]  # a field may be called as a measure is
    sheet.writerow(["arm", "source", "seed", "key", *measures, "stop_reason", *recipe])
    for arm in results.study.arms:
        values = arm.recipe.as_dict()
        for run in results.runs[arm.name]:
            numbers = [_number(run.measures.get(name, math.nan)) for name in measures]
            settings = [_setting(values[name]) for name in differing]
            sheet.writerow([arm.name, arm.source, run.seed, run.key, *numbers, run.stop_reason or "", *settings])
    return text.getvalue()


def render_claims_csv(results: Results) -> str:
    """The text of claims.csv: of a published number the reading that decides, of a sentence what was found.

    `low` and `high` are the 95 % prediction interval of one run, `n` how many runs that is of; of a sentence, of the
    arm that has the fewest.
    """
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(_CLAIM)
    for verdict in results.verdicts:
        claim = verdict.claim
        sheet.writerow([claim.id, claim.text, claim.source, *_found(results, verdict), verdict.verdict, verdict.words])
    return text.getvalue()


def _found(results: Results, verdict: Verdict) -> list[str]:
    """What stands between a claim and its verdict."""
    claim = verdict.claim
    published = "" if claim.published is None else _number(claim.published)
    if not verdict.readings:
        fewest = min((len(results.runs[arm]) for arm in claim.arms), default=None)
        return [published, "", "", "", "", "", "" if fewest is None else str(fewest)]
    reading = deciding_reading(claim, verdict)
    summary = reading.summary
    numbers = map(_number, (summary.mean, summary.prediction_low, summary.prediction_high))
    return [published, claim.measure, reading.arm, *numbers, str(summary.n)]


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value)).removesuffix(".0")


def _setting(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | dict | bool) else str(value)
