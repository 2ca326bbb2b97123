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
from tinygrad_mlp.experiments.calls import Call, call_from, goes_on, read_calls
from tinygrad_mlp.experiments.rebuild import rebuild
from tinygrad_mlp.experiments.report.document import make_document
from tinygrad_mlp.experiments.report.html import render_html
from tinygrad_mlp.experiments.report.manifest import (
    FORMAT,
    describe_cells,
    describe_makers,
    describe_runs,
    describe_study,
)
from tinygrad_mlp.experiments.report.svg import inline_svg
from tinygrad_mlp.experiments.report.tables import all_tables
from tinygrad_mlp.experiments.report.write import render_texts
from tinygrad_mlp.experiments.results import Failure, Results
from tinygrad_mlp.experiments.runs import Run, RunStore, code_version
from tinygrad_mlp.experiments.statistics import summarize
from tinygrad_mlp.experiments.study import Study
from tinygrad_mlp.experiments.training import train_run
from tinygrad_mlp.train.manifest import describe_machine

__all__ = ["Check", "read_study", "verify"]

_CLOCK = ("seconds", "images_per_second")  # what differs between two runs that are otherwise alike


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: a file, a run, a table or a run that was trained again; and what was found.

    `left_out` says that some of it could not be computed: what is there is not known to be right.
    """

    subject: str
    ok: bool
    words: str
    left_out: bool = False


def verify(
    folder: str | Path, *, study: Study | None = None, rerun: int = 0, choice: int | None = None
) -> Iterator[Check]:
    """Look at a report that `write_report` made beside its runs; yields a `Check` as soon as one is done.

    - each file of the report has the bytes that the manifest says;
    - each run is whole, and the one that the manifest means;
    - each cell of each table is what the stored runs give, and none is left out. Of sentences and further tables, which
      are judged by a study's code, only where `study` gives that code. Then arms, claims and comparisons are compared
      with it, too, and the page and the texts are written again (not the figures, which are only hashed).
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

    >>> code = read_study("examples/reports/b_chaudhary_zeng.py")
    >>> all(check.ok and not check.left_out for check in verify("runs/chaudhary-zeng", study=code))
    True
    """
    folder = Path(folder)
    manifest = _read_manifest(folder / "manifest.json")
    for name, sha256 in manifest["files"].items():
        yield _check_file(folder / name, name, sha256)
    runs: dict[str, Run] = {}
    store = RunStore(folder / manifest["runs_folder"])
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
        yield from _check_numbers(folder, manifest, runs, study)
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
        raise CheckpointError(
            f"{path}: its format is {kind!r}, expected {FORMAT!r}; write the report again: a study's --so-far does"
        )
    return manifest


def _check_file(path: Path, name: str, sha256: str) -> Check:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return Check(name, False, f"{path}: it cannot be read ({error.strerror or error})")
    return Check(name, found == sha256, "as written" if found == sha256 else f"{path}: altered since it was written")


# Numbers ------------------------------------------------------------------------------------------------------------


def _check_numbers(
    folder: Path, manifest: Mapping[str, Any], runs: Mapping[str, Run], code: Study | None
) -> Iterator[Check]:
    """The study against its code, what runs say of themselves, a check for each table, and the texts written again."""
    if code is not None:
        same = _check_study(manifest, code)
        yield same
        if not same.ok:
            yield Check("numbers", False, "not computed, since the study is not that of the code")
            return
    study = rebuild(manifest, code)
    for arm, entry in zip(study.arms, manifest["arms"], strict=True):
        strangers = [one["key"] for one in entry["runs"] if runs[one["key"]].recipe != arm.recipe]
        if strangers:
            yield Check(f"arm {arm.name}", False, f"its recipe is not that of the runs {', '.join(strangers)}")
    wrong = [name for name, value in describe_runs(runs.values()).items() if manifest[name] != value]
    yield Check("facts", not wrong, _not_as_said(wrong, "the runs say") if wrong else "as the runs say")
    of = {entry["name"]: [runs[one["key"]] for one in entry["runs"]] for entry in manifest["arms"]}
    failed = [Failure(**entry) for entry in manifest["failed"]]
    calls = tuple(map(call_from, manifest["calls"]))
    yield _check_calls(calls, RunStore(folder / manifest["runs_folder"]).calls)
    results = Results(study, of, failed, manifest["seeds"], calls)
    yield from _check_cells(manifest, describe_cells(all_tables(results)), code is not None)
    yield from _check_texts(folder, manifest, results, code is not None)


def _check_calls(reported: tuple[Call, ...], folder: Path) -> Check:
    """Whether the calls that are said to have made the runs are noted beside them; one may have gone on since."""
    try:
        noted = read_calls(folder)
    except CheckpointError as error:
        return Check("calls", False, str(error))
    strange = [call.began for call in reported if not any(goes_on(found, call) for found in noted)]
    words = f"{folder}: there is no such call as reported of {', '.join(strange)}"
    return Check("calls", not strange, words if strange else "as noted beside the runs")


def _check_study(manifest: Mapping[str, Any], code: Study) -> Check:
    """Whether arms, claims and comparisons are those of the code: none was changed or left out after the fact."""
    ids = [str(claim["id"]) for claim in manifest["study"]["claims"]]
    strange = set(ids) - {claim.id for claim in code.claims}
    if strange:
        return Check("study", False, f"the code has no claims {', '.join(sorted(strange))}")
    part = code.with_claims(ids) if ids else code
    wrong = min((_unlike(manifest, one) for one in (part, part.quick())), key=len)
    return Check("study", not wrong, _not_as_said(wrong, "the code has") if wrong else "as its code defines it")


def _unlike(manifest: Mapping[str, Any], code: Study) -> list[str]:
    """Names of what is not as a study's code has it."""
    found = cast("dict[str, Any]", json.loads(json.dumps(describe_study(code))))  # with lists for tuples, as read
    wrong = [str(name) for name, value in manifest["study"].items() if found["study"].get(name) != value]
    arms = [{name: value for name, value in arm.items() if name != "runs"} for arm in manifest["arms"]]
    return wrong if arms == found["arms"] else [*wrong, "arms"]


def _not_as_said(names: Iterable[str], who: str) -> str:
    return f"{who} other {' and '.join(names)} than the manifest"


def _check_cells(manifest: Mapping[str, Any], computed: Iterable[dict[str, Any]], with_code: bool) -> Iterator[Check]:
    """A check for each table: all of its cells as the stored runs give them, and none that is not reported."""
    skipped = () if with_code else tuple(_rows_of_sentences(manifest))
    reported, found = ({cell["id"]: cell for cell in cells} for cells in (manifest["cells"], computed))
    tables: dict[str, list[str]] = {}
    for identity in {**reported, **found}:
        tables.setdefault(identity.split("/", 1)[0], []).append(identity)
    for name, identities in tables.items():
        if name.startswith("study-") and not with_code:
            yield Check(f"table {name}", True, _NEEDS_CODE, left_out=True)
            continue
        mine = [identity for identity in identities if not identity.startswith(skipped)]
        wrong = [_difference(reported.get(one), found.get(one)) for one in mine if reported.get(one) != found.get(one)]
        left_out = len(mine) < len(identities)
        left = f"; sentences: {_NEEDS_CODE}" if left_out else ""
        words = f"{len(mine)} cells as the runs give them{left}" if not wrong else "; ".join(wrong[:5])
        yield Check(f"table {name}", not wrong, words, left_out)


_NEEDS_CODE = "not computed again: this needs the study's code (--study FILE)"


def _difference(reported: Mapping[str, Any] | None, found: Mapping[str, Any] | None) -> str:
    if reported is None:
        assert found is not None
        return f"{found['id']}: the runs give {found['words']}, which is not reported"
    if found is None:
        return f"{reported['id']}: reported {reported['words']}, but the runs give no such number"
    if reported["words"] == found["words"] and reported["value"] == found["value"]:
        return f"{reported['id']}: {reported['words']} is said to come from other runs than it does"
    numbers = f"{reported['words']} ({reported['value']}), the runs give {found['words']} ({found['value']})"
    return f"{reported['id']}: reported {numbers}"


def _rows_of_sentences(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Beginnings of the ids of cells that only a predicate can compute."""
    yield "sentences/"
    for place, claim in enumerate(manifest["study"]["claims"], start=1):
        if claim["is_sentence"]:
            yield f"claims/{place}/"


def _check_texts(folder: Path, manifest: Mapping[str, Any], results: Results, with_code: bool) -> Iterator[Check]:
    """The files of the report written again: what stands in them is what the tables have."""
    if not with_code:
        yield Check("texts", True, f"not written again: {_NEEDS_CODE.split(': ')[1]}", left_out=True)
        return
    if manifest["report_made_with"] != describe_makers():
        words = "not written again: the report was made with other versions of its software"
        yield Check("texts", True, words, left_out=True)
        return
    document = make_document(results, manifest["command"])
    files = render_texts(results, document)
    svgs = {picture: folder / "figures" / f"{picture.name}.svg" for picture in document.pictures}
    if all(path.is_file() for path in svgs.values()):
        drawn = {
            picture.name: inline_svg(path.read_text(encoding="utf-8"), picture.name, picture.alt)
            for picture, path in svgs.items()
        }
        files["report.html"] = render_html(document, drawn, folder, manifest["runs_folder"]).encode()
    for name, content in files.items():
        same = hashlib.sha256(content).hexdigest() == manifest["files"].get(name)
        yield Check(f"{name} again", same, "the same bytes" if same else "the runs give another text")


# Runs ---------------------------------------------------------------------------------------------------------------


def _train_again(run: Run, runs: Iterable[Run]) -> Check:
    again = train_run(run.recipe, run.seed)
    subject = f"run {run.key} again"
    unlike = _other_circumstances(run)
    if not unlike:
        wrong = _other_bits(run, again)
        return Check(subject, not wrong, "the same bits" if not wrong else f"other bits: {', '.join(wrong)}")
    where = f"compared by its test accuracy, since {' and '.join(unlike)} differ"
    others = [one.measures["test_accuracy"] for one in runs if one.recipe == run.recipe and one.key != run.key]
    got = again.measures["test_accuracy"]
    if len(others) < 2:
        words = f"{100 * got:.2f} %, nothing to compare with: the arm has {len(others)} other runs; {where}"
        return Check(subject, True, words, left_out=True)
    interval = summarize(others)
    inside = interval.prediction_low <= got <= interval.prediction_high
    words = (
        f"[{100 * interval.prediction_low:.2f}, {100 * interval.prediction_high:.2f}] of the arm's other runs; {where}"
    )
    return Check(subject, inside, f"{100 * got:.2f} %, {'inside' if inside else 'outside'} {words}")


def _other_circumstances(run: Run) -> list[str]:
    """In what this process differs from that of a run, of all on which bits depend."""
    here, there = describe_machine(), cast("dict[str, Any]", run.facts["machine"])
    unlike = [] if run.facts["code"] == code_version() else ["the package's code"]
    if here["cpu"] != there.get("cpu") or here["target"] != there.get("target", here["target"]):
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
