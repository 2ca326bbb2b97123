"""`verify`: compute every number of a report anew from its stored runs, and train some of the runs again."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.experiments.claims import Claim, Finding
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.report.manifest import FORMAT, describe_cells
from tinygrad_mlp.experiments.report.tables import all_tables
from tinygrad_mlp.experiments.results import Failure, Results
from tinygrad_mlp.experiments.runs import Run, RunStore, code_version
from tinygrad_mlp.experiments.statistics import summarize
from tinygrad_mlp.experiments.study import Arm, Comparison, Curves, Study
from tinygrad_mlp.experiments.training import train_run
from tinygrad_mlp.train.manifest import describe_machine

__all__ = ["Check", "read_study", "verify"]

_CLOCK = ("seconds", "images_per_second")  # what differs between two runs that are otherwise alike


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: a file, a run, a table or a run that was trained again; and what was found."""

    subject: str
    ok: bool
    words: str


def verify(
    folder: str | Path, *, study: Study | None = None, rerun: int = 0, choice: int | None = None
) -> Iterator[Check]:
    """Look at a report that `write_report` made beside its runs; yields a `Check` as soon as one is done.

    - each file of the report has the bytes that the manifest says;
    - each run is whole, and the one that the manifest means;
    - each number is what the stored runs give. Of sentences and further tables, which are judged by a study's code,
      only where `study` gives that code.
    - `rerun` runs, chosen at random, are trained again. Where code, CPU and versions are those of the run, all bits
      have to be the same; elsewhere the test accuracy has to lie in the 95 % prediction interval of the arm's other
      runs. The words say which of the two was compared.

    Parameters
    ----------
    folder:
        Of report and runs.
    study:
        The study as its file defines it; see `read_study`.
    rerun, choice:
        How many runs to train again; seed of the choice, by default another one each time.

    Raises `CheckpointError` where there is no manifest, or another program's.

    >>> all(check.ok for check in verify("runs/chaudhary-zeng"))
    True
    """
    folder = Path(folder)
    manifest = _read_manifest(folder / "manifest.json")
    for name, sha256 in manifest["files"].items():
        yield _check_file(folder / name, name, sha256)
    runs: dict[str, Run] = {}
    store = RunStore(folder / "runs")
    for entry in manifest["runs"]:
        try:
            run = store.load(entry["key"])
        except CheckpointError as error:
            yield Check(f"run {entry['key']}", False, str(error))
            continue
        is_meant = hashlib.sha256(run.to_json()).hexdigest() == entry["sha256"]
        words = "whole" if is_meant else f"{store.path(run.key)}: whole, but not the run that was reported"
        yield Check(f"run {run.key}", is_meant, words)
        runs[run.key] = run
    if len(runs) == len(manifest["runs"]):
        yield from _check_numbers(manifest, runs, study)
    else:
        yield Check("numbers", False, "not computed, since runs are missing or damaged")
    keys = random.Random(choice).sample(sorted(runs), min(rerun, len(runs)))
    for key in keys:
        yield _train_again(runs[key], list(runs.values()))


def read_study(path: str | Path) -> Study:
    """The `STUDY` of a Python file, which is run for that. Raises `ArgumentError` where it has none."""
    path = Path(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ArgumentError(f"{path}: expected a Python file that defines STUDY")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise ArgumentError(f"{path}: it defines no STUDY; expected STUDY = experiments.Study(...)")
    return study


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        kind = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: it is no manifest of a report ({error}); write_report makes one") from error
    if kind != FORMAT:
        raise CheckpointError(f"{path}: its format is {kind!r}, expected {FORMAT!r}")
    return manifest


def _check_file(path: Path, name: str, sha256: str) -> Check:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return Check(name, False, f"{path}: it cannot be read ({error.strerror or error})")
    return Check(name, found == sha256, "as written" if found == sha256 else f"{path}: altered since it was written")


# Numbers ------------------------------------------------------------------------------------------------------------


def _check_numbers(manifest: Mapping[str, Any], runs: Mapping[str, Run], study: Study | None) -> Iterator[Check]:
    """A check for each table: all of its cells as the stored runs give them."""
    rebuilt = _rebuild(manifest, study)
    for arm, entry in zip(rebuilt.arms, manifest["arms"], strict=True):
        strangers = [one["key"] for one in entry["runs"] if runs[one["key"]].recipe != arm.recipe]
        if strangers:
            yield Check(f"arm {arm.name}", False, f"its recipe is not that of the runs {', '.join(strangers)}")
    of = {entry["name"]: [runs[one["key"]] for one in entry["runs"]] for entry in manifest["arms"]}
    results = Results(rebuilt, of, [Failure(**entry) for entry in manifest["failed"]])
    found = {cell["id"]: cell for cell in describe_cells(all_tables(results))}
    skipped: list[str] = [] if study is not None else list(_rows_of_sentences(manifest))
    tables: dict[str, list[dict[str, Any]]] = {}
    for cell in manifest["cells"]:
        tables.setdefault(cell["id"].split("/", 1)[0], []).append(cell)
    for name, cells in tables.items():
        mine = [cell for cell in cells if not any(cell["id"].startswith(row) for row in skipped)]
        if not any(identity.split("/", 1)[0] == name for identity in found):
            yield Check(f"table {name}", study is None, _NEEDS_CODE)
            continue
        wrong = [_difference(cell, found.get(cell["id"])) for cell in mine if found.get(cell["id"]) != cell]
        left = f"; sentences: {_NEEDS_CODE}" if len(mine) < len(cells) else ""
        words = f"{len(mine)} numbers as the runs give them{left}" if not wrong else "; ".join(wrong[:5])
        yield Check(f"table {name}", not wrong, words)


_NEEDS_CODE = "not computed again: this needs the study's code (--study FILE)"


def _difference(reported: Mapping[str, Any], found: Mapping[str, Any] | None) -> str:
    if found is None:
        return f"{reported['id']}: reported {reported['words']}, but the runs give no such number"
    if reported["words"] == found["words"] and reported["value"] == found["value"]:
        return f"{reported['id']}: {reported['words']} is said to come from other runs than it does"
    numbers = f"{reported['words']} ({reported['value']}), the runs give {found['words']} ({found['value']})"
    return f"{reported['id']}: reported {numbers}"


def _rows_of_sentences(manifest: Mapping[str, Any]) -> Iterable[str]:
    """Beginnings of the ids of cells that only a predicate can compute."""
    for place, claim in enumerate(manifest["study"]["claims"], start=1):
        if claim["is_sentence"]:
            yield f"claims/{place}/"


def _rebuild(manifest: Mapping[str, Any], code: Study | None) -> Study:
    """The study of a manifest; predicates and further tables as the code has them, if it is given."""
    said = manifest["study"]
    claims = {} if code is None else {claim.id: claim for claim in code.claims}
    return Study(
        said["name"],
        said["title"],
        tuple(
            Arm(arm["name"], Recipe.from_dict(arm["recipe"]), arm["source"], arm["note"]) for arm in manifest["arms"]
        ),
        said["seeds"],
        tuple(Comparison(**one) for one in said["comparisons"]),
        tuple(_claim(one, claims.get(one["id"])) for one in said["claims"]),
        tuple(Curves(one["title"], tuple(one["arms"])) for one in said["curves"]),
        {} if code is None else {name: table for name, table in code.tables.items() if name in said["tables"]},
        said["source"],
        said["notes"],
    )


def _claim(said: Mapping[str, Any], code: Claim | None) -> Claim:
    """A claim as the manifest says; a sentence's predicate as the code has it, else one that finds nothing."""
    predicate = None
    if said["is_sentence"]:
        predicate = _find_nothing if code is None else code.predicate
    return Claim(
        said["id"],
        said["text"],
        said["source"],
        tuple(said["arms"]),
        said["published"],
        said["measure"],
        said["digits"],
        predicate,
    )


def _find_nothing(results: Results) -> Finding:
    return Finding("undecided", _NEEDS_CODE)


# Runs ---------------------------------------------------------------------------------------------------------------


def _train_again(run: Run, runs: Iterable[Run]) -> Check:
    again = train_run(run.recipe, run.seed)
    subject = f"run {run.key} again"
    unlike = _other_circumstances(run)
    if not unlike:
        wrong = _other_bits(run, again)
        return Check(subject, not wrong, "the same bits" if not wrong else f"other bits: {', '.join(wrong)}")
    where = f"compared by its test accuracy, since {' and '.join(unlike)} differ"
    others = [other.measures["test_accuracy"] for other in runs if other.recipe == run.recipe]
    got = again.measures["test_accuracy"]
    if len(others) < 2:
        return Check(subject, True, f"{100 * got:.2f} %, nothing to compare with: the arm has one run; {where}")
    interval = summarize(others)
    inside = interval.prediction_low <= got <= interval.prediction_high
    words = f"[{100 * interval.prediction_low:.2f}, {100 * interval.prediction_high:.2f}] of the arm's runs; {where}"
    return Check(subject, inside, f"{100 * got:.2f} %, {'inside' if inside else 'outside'} {words}")


def _other_circumstances(run: Run) -> list[str]:
    """In what this process differs from that of a run, of all on which bits depend."""
    here, there = describe_machine(), cast("dict[str, Any]", run.facts["machine"])
    unlike = [] if run.facts["code"] == code_version() else ["the package's code"]
    if here["cpu"] != there.get("cpu"):
        unlike.append("the CPU")
    packages = ("numpy", "numba", "llvmlite")
    versions = cast("dict[str, str]", there.get("versions", {}))
    return unlike + [f"{name}'s version" for name in packages if here["versions"][name] != versions.get(name)]


def _other_bits(first: Run, second: Run) -> list[str]:
    """Names of what is not equal, times apart."""
    unlike = [] if (first.predictions == second.predictions).all() else ["predictions"]
    if [_timeless(row) for row in first.history] != [_timeless(row) for row in second.history]:
        unlike.append("history")
    mine, others = _timeless(first.measures), _timeless(second.measures)
    return unlike + [name for name in mine if mine[name] != others.get(name)]


def _timeless(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without times, and with NaN, which is unequal to itself, as None."""
    kept = {name: value for name, value in values.items() if name not in _CLOCK}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in kept.items()}
