"""`rebuild`: the study that a manifest describes, for `verify`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygrad_mlp.experiments.claims import Claim, Finding
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.study import Arm, Comparison, Curves, Study

__all__ = ["rebuild"]


def rebuild(manifest: Mapping[str, Any], code: Study | None) -> Study:
    """The study as the manifest says; predicates and further tables as its code has them, if that is given."""
    said = manifest["study"]
    claims = {} if code is None else {claim.id: claim for claim in code.claims}
    return Study(
        said["name"],
        said["title"],
        tuple(
            Arm(arm["name"], Recipe.from_dict(arm["recipe"]), arm["source"], arm["note"], arm["seeds"])
            for arm in manifest["arms"]
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
        said["tolerance"],
    )


def _find_nothing(_results: Results) -> Finding:
    return Finding("undecided", "a sentence: its study's code would judge it")
