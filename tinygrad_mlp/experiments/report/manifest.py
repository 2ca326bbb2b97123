"""`manifest.json`: binds each number of a report to its runs, and each run to data, recipe, seed, code and machine."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.runs import Run, hash_of_files
from tinygrad_mlp.experiments.study import Study
from tinygrad_mlp.experiments.tables import Table

__all__ = ["FORMAT", "describe_cells", "describe_makers", "describe_runs", "describe_study", "manifest_text"]

FORMAT = "tinygrad_mlp report 3"
_PACKAGES = ("tinygrad_mlp", "numpy", "scipy", "matplotlib", "jinja2")


def describe_cells(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """Each cell: id, words, value (None where it is no number), keys of the runs that it comes from.

    `verify` computes the same from stored runs and compares: an id is `<table>/<row>/<column>`, rows from 1.
    """
    return [
        {
            "id": f"{table.name}/{place}/{column}",
            "words": cell.words,
            "value": None if cell.number is None or math.isnan(cell.number) else float(cell.number),
            "runs": list(cell.runs),
        }
        for table in tables
        for place, row in enumerate(table.rows, start=1)
        for column, cell in zip(_apart(table.columns), row, strict=True)
    ]


def _apart(columns: Iterable[str]) -> Iterator[str]:
    """The same names, with a number behind one that was there before: an id must belong to one cell."""
    seen: Counter[str] = Counter()
    for column in columns:
        seen[column] += 1
        yield column if seen[column] == 1 else f"{column} ({seen[column]})"


def manifest_text(
    results: Results,
    tables: Iterable[Table],
    files: Mapping[str, bytes],
    *,
    command: str,
    runs_folder: str,
) -> str:
    """The text of manifest.json, a line for each run, cell and file."""
    runs = results.by_key
    described = describe_study(results.study)
    content = {
        "format": FORMAT,
        "study": described["study"],
        "command": command,
        "seeds": results.seeds,
        "calls": [asdict(call) for call in results.calls],
        "runs_folder": runs_folder,
        **describe_runs(runs.values()),
        "report_made_with": describe_makers(),
        "arms": [
            {**arm, "runs": [{"seed": run.seed, "key": run.key} for run in results.runs[arm["name"]]]}
            for arm in described["arms"]
        ],
        "failed": [{"arm": one.arm, "seed": one.seed, "error": one.error, "log": one.log} for one in results.failed],
        "runs": [
            {"key": key, "seed": run.seed, "sha256": hashlib.sha256(run.to_json()).hexdigest()}
            for key, run in runs.items()
        ],
        "cells": describe_cells(tables),
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    return _in_lines(content)


def describe_runs(runs: Iterable[Run]) -> dict[str, Any]:
    """What runs say of themselves: how often the test data were used, by which code, on which data and machines."""
    runs = list(runs)
    return {
        "test_uses": sum(int(run.facts["test_uses"]) for run in runs),
        "code": list(dict.fromkeys(str(run.facts.get("code", "")) for run in runs)),
        "data": _unlike(run.facts.get("data", {}) for run in runs),
        "machines": _unlike(run.facts.get("machine", {}) for run in runs),
    }


def describe_makers() -> dict[str, str]:
    """What the text of a report depends on beside its runs: versions, and a hash of the code that writes it."""
    folder = Path(__file__).parents[1]
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".html", ".css", ".js"))
    versions = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **versions, "code": hash_of_files(folder, paths)}


def describe_study(study: Study) -> dict[str, Any]:
    """What is asked, as far as JSON can hold it: a sentence's predicate is code, and is said to be there."""
    arms = [
        {
            "name": arm.name,
            "source": arm.source,
            "note": arm.note,
            "seeds": arm.seeds,
            "recipe": arm.recipe.as_dict(),
        }
        for arm in study.arms
    ]
    return {"study": _questions(study), "arms": arms}


def _questions(study: Study) -> dict[str, Any]:
    return {
        "name": study.name,
        "title": study.title,
        "source": study.source,
        "notes": study.notes,
        "seeds": study.seeds,
        "comparisons": [
            {"first": one.first, "second": one.second, "measure": one.measure, "table": one.table}
            for one in study.comparisons
        ],
        "claims": [
            {
                "id": claim.id,
                "text": claim.text,
                "source": claim.source,
                "arms": list(claim.arms),
                "measure": claim.measure,
                "published": claim.published,
                "digits": claim.digits,
                "tolerance": claim.tolerance,
                "is_sentence": claim.predicate is not None,
            }
            for claim in study.claims
        ],
        "curves": [{"title": one.title, "arms": list(one.arms)} for one in study.curves],
        "tables": list(study.tables),
    }


def _unlike(values: Iterable[Any]) -> list[Any]:
    """The values that occur, each once."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def _in_lines(content: Mapping[str, Any]) -> str:
    """JSON with an item of a top-level list or object a line: neither one line nor one for each number."""

    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    parts: list[str] = []
    for name, value in content.items():
        if isinstance(value, list) and value:
            items = cast("list[Any]", value)
            body = "[\n" + ",\n".join(f"  {compact(item)}" for item in items) + "\n ]"
        elif isinstance(value, dict) and value:
            pairs = cast("dict[str, Any]", value).items()
            body = "{\n" + ",\n".join(f"  {compact(key)}: {compact(item)}" for key, item in pairs) + "\n }"
        else:
            body = compact(value)
        parts.append(f" {compact(name)}: {body}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
