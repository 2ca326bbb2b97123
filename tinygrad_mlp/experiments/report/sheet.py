"""`results.csv`: a line for each run, with every measure to its last digit."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from tinygrad_mlp.experiments.report.measures import measures_in
from tinygrad_mlp.experiments.report.settings import differing_fields
from tinygrad_mlp.experiments.results import Results

__all__ = ["render_csv"]


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


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value)).removesuffix(".0")


def _setting(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | dict | bool) else str(value)
