"""`Run`, what is kept of a training run that is finished, and `RunStore`, a folder with a checked file for each."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import tinygrad_mlp
from tinygrad_mlp.data.sources import FASHION_MNIST, MNIST
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.train.checkpoint import write_atomically
from tinygrad_mlp.train.history import Row

__all__ = ["MEASURES", "Run", "RunStore", "code_version", "data_sha256", "hash_of_files", "run_key"]

_FORMAT = "tinygrad_mlp run 1"
MEASURES = (
    "test_accuracy",
    "val_accuracy",
    "train_accuracy",
    "test_loss",
    "val_loss",
    "train_loss",
    "epochs",
    "best_epoch",
    "parameters",
    "seconds",
    "diverged",
    "dead_units",
    "near_zero",
    "within_a_step",
    "roughness",
)
"""What each run measures; those of validation only where images are held out, dead units only of ReLU nets."""

# What a run's bits depend on. Not the rest: a better figure or progress bar leaves finished runs as they are.
_NUMERIC = ("kernels", "autodiff", "nn", "optim", "data", "train")


@cache
def code_version() -> str:
    """Version of the package, and a hash of those of its folders on which numbers depend."""
    folder = Path(tinygrad_mlp.__file__).parent
    own = [folder / "experiments" / f"{name}.py" for name in ("nets", "training")]
    paths = [*(path for name in _NUMERIC for path in sorted((folder / name).rglob("*.py"))), *own]
    try:
        number = version("tinygrad_mlp")
    except PackageNotFoundError:  # run from a folder, without having been installed
        number = "unknown"
    return f"{number}+{hash_of_files(folder, paths)}"


def hash_of_files(folder: Path, paths: Iterable[Path]) -> str:
    """The first 12 digits of a SHA-256 over the names in `folder` and the bytes of these files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def data_sha256(name: str) -> dict[str, str]:
    """SHA-256 of the decompressed files of a data set; none where it is drawn by this package's code."""
    archives = {archive.name: archive for archive in (FASHION_MNIST, MNIST)}
    return {file.name: file.sha256 for file in archives[name].files} if name in archives else {}


def run_key(recipe: Recipe, seed: int) -> str:
    """Name of a run: a hash of recipe, seed, data and code. Runs with the same key have the same numbers."""
    parts = {"recipe": recipe.as_dict(), "seed": seed, "data": data_sha256(recipe.data), "code": code_version()}
    return hashlib.sha256(_canonical(parts)).hexdigest()[:20]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Parameters
    ----------
    key, recipe, seed:
        Its name, and what it is a run of.
    history:
        A row per epoch, with the columns of `History`; with folds, of the first one.
    measures:
        Numbers by name: test_, val_ and train_accuracy (shares from 0 to 1) and losses of the net that was tested;
        epochs that were run, best_epoch, parameters, seconds, diverged (1 or 0), and what nets.py measures. With folds,
        means over them.
    predictions:
        (N,) uint8, the class predicted for each test image; with folds, by the net of lowest validation loss.
    stop_reason:
        Why it stopped before its last epoch, or None.
    facts:
        Where and by what it was made: data, code, machine, number of times that the test data were used.
    """

    key: str
    recipe: Recipe
    seed: int
    history: tuple[Row, ...]
    measures: Mapping[str, float]
    predictions: NDArray[np.uint8]
    stop_reason: str | None
    facts: Mapping[str, Any]

    def to_json(self) -> bytes:
        """The content of its file, which ends with a SHA-256 of all before it."""
        if self.predictions.max(initial=0) > 9:
            raise ArgumentError(f"Run {self.key}: class {self.predictions.max()} is predicted, expected at most 9")
        content = {
            "format": _FORMAT,
            "key": self.key,
            "recipe": self.recipe.as_dict(),
            "seed": self.seed,
            "stop_reason": self.stop_reason,
            "measures": {name: _nan_as_none(value) for name, value in self.measures.items()},
            "facts": dict(self.facts),
            "history": list(self.history),
            "predictions": (self.predictions + ord("0")).tobytes().decode("ascii"),
        }
        text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
        return f'{text[:-2]},\n "sha256": "{_sha256(text)}"\n}}\n'.encode()

    @classmethod
    def from_json(cls, content: bytes, where: str | Path) -> Run:
        """Read what `to_json` made. Raises `CheckpointError` for a file that is damaged in any byte, or another one."""
        try:
            whole = content.decode("utf-8")
            values = cast("dict[str, Any]", json.loads(whole))
            text = whole[: whole.rindex(',\n "sha256": ')] + "\n}"
            kind, found = values["format"], values["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{where}: this is no run, or a damaged one ({error}). Delete it to run it again"
            ) from error
        if kind != _FORMAT:
            raise CheckpointError(f"{where}: its format is {kind!r}, expected {_FORMAT!r}")
        if found != _sha256(text) or content != f'{text[:-2]},\n "sha256": "{found}"\n}}\n'.encode():
            raise CheckpointError(
                f"{where}: its content does not fit its SHA-256: it was altered. Delete it to run it again"
            )
        try:
            recipe = Recipe.from_dict(values["recipe"])
        except ArgumentError as error:  # of another version of this package
            raise CheckpointError(f"{where}: its recipe is none: {error}") from error
        return cls(
            values["key"],
            recipe,
            values["seed"],
            tuple(values["history"]),
            {name: math.nan if value is None else float(value) for name, value in values["measures"].items()},
            np.frombuffer(values["predictions"].encode("ascii"), np.uint8) - ord("0"),
            values["stop_reason"],
            values["facts"],
        )


class RunStore:
    """A folder with a file for each finished run, `<key>.json`; a run's log is `<key>.log`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        """Where the run of this key is kept."""
        return self.folder / f"{key}.json"

    def log(self, key: str) -> Path:
        """Where its worker writes what it prints, also when it dies."""
        return self.folder / f"{key}.log"

    @property
    def calls(self) -> Path:
        """Folder in which the calls that made runs are noted."""
        return self.folder / "calls"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.json")))

    def save(self, run: Run) -> None:
        """Keep a run: its file is written whole or not at all. Raises `CheckpointError` where that fails."""
        write_atomically(self.path(run.key), run.to_json())

    def load(self, key: str) -> Run:
        """The run of this key. Raises `CheckpointError` where it is missing, damaged or of another key."""
        path = self.path(key)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: it cannot be read ({error.strerror or error})") from error
        run = Run.from_json(content, path)
        if run.key != key:
            raise CheckpointError(f"{path}: it holds the run {run.key}, expected {key}")
        return run


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _nan_as_none(value: float) -> float | None:
    return None if math.isnan(value) else value
