"""`RunFolder`: the files that a run leaves.

config.json            what was asked for
metrics.jsonl          a line of JSON per epoch
augmented.png          training images as they are and as they are drawn, if they are augmented
checkpoint.safetensors everything needed to go on
model.safetensors      the best weights, once the run is finished; so are the following
curves.png             loss, accuracy and learning rate against the epoch
confusion.png          which class was taken for which, on the validation data
mistakes.png           the validation images that the net was surest of and got wrong
filters.png            of a net with convolutions: the filters of the first one
features.png           and what it makes of a validation image of each class
manifest.json          hashes of the data, versions, CPU, threads, results
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tinygrad_mlp import plot
from tinygrad_mlp.data.paths import is_file, is_folder
from tinygrad_mlp.errors import ArgumentError, CheckpointError, MissingFileError
from tinygrad_mlp.train.checkpoint import load_checkpoint, save_checkpoint, save_model, write_atomically
from tinygrad_mlp.train.history import History, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tinygrad_mlp.kernels.launch import Array
    from tinygrad_mlp.nn.module import Module
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["RunFolder", "latest_run", "unused_folder"]


class RunFolder:
    """The folder of one run. Every method that writes raises `CheckpointError` where it cannot."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.metrics = self.path / "metrics.jsonl"
        self.model = self.path / "model.safetensors"

    def holds_a_run(self) -> bool:
        """Whether there is something that a new run would overwrite."""
        return any(is_file(path) for path in (self.checkpoint, self.metrics, self.model))

    def is_complete(self, settings: Mapping[str, Any]) -> bool:
        """Whether all that a finished run with these settings leaves is there: its manifest is written last."""
        return self._manifest().get("settings") == settings

    def test_uses(self) -> int:
        """How often this run was tested so far, as its manifest says."""
        results: dict[str, Any] = self._manifest().get("results", {})
        test: dict[str, Any] = results.get("test", {})
        return test.get("uses") or results.get("earlier_test_uses") or 0

    def _manifest(self) -> dict[str, Any]:
        """What is in manifest.json; nothing where it is not there, or was not written whole."""
        try:
            manifest: Any = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", manifest) if isinstance(manifest, dict) else {}

    def open(self, resume: bool) -> tuple[dict[str, Array], dict[str, Any]] | None:
        """The checkpoint to go on from, if one is there and wanted. Clears away what a killed process left.

        Raises `ArgumentError` for a folder that holds a run already, unless this is to go on with it.
        """
        if not resume and self.holds_a_run():
            raise ArgumentError(
                f"{self.path} holds a run already: go on with it (resume=True, --resume), name another folder, or "
                "delete it"
            )
        saved = load_checkpoint(self.checkpoint) if resume and is_file(self.checkpoint) else None
        if is_folder(self.path):
            for unfinished in self.path.glob(".*.tmp"):  # a process that was killed while it wrote left these
                unfinished.unlink()
        return saved

    def write_config(self, trainer: Trainer) -> None:
        """Write config.json: the settings of the run, and the user's own."""
        self._write_json("config.json", {**trainer.settings, "config": trainer.config})

    def save(self, arrays: Mapping[str, Array], info: Mapping[str, Any]) -> None:
        """Replace the checkpoint."""
        save_checkpoint(self.checkpoint, arrays, info)

    def write_metrics(self, history: History) -> None:
        """Write metrics.jsonl anew: after a resume, without the epochs that came after the checkpoint."""
        write_atomically(self.metrics, history.to_jsonl().encode())

    def append_metrics(self, row: Row) -> None:
        """Add the line of an epoch and flush it."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(History([row]).to_jsonl())
        except OSError as error:
            raise CheckpointError(f"{self.metrics}: it could not be written ({error.strerror or error})") from error

    def write_model(self, net: Module) -> None:
        """Export the weights."""
        save_model(self.model, net)

    def draw(self, name: str, figure: Figure) -> None:
        """Write a figure as `name`.png."""
        path = self.path / f"{name}.png"
        try:
            plot.save(figure, path)
        except OSError as error:
            raise CheckpointError(f"{path}: it could not be written ({error.strerror or error})") from error

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write manifest.json anew."""
        self._write_json("manifest.json", manifest)

    def add_result(self, name: str, result: Mapping[str, Any]) -> None:
        """Add a result to manifest.json, beneath "results"."""
        path = self.path / "manifest.json"
        try:
            manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            kind = MissingFileError if isinstance(error, FileNotFoundError) else CheckpointError
            raise kind(f"{path}: it cannot be read ({error}); fit() writes it at the end") from error
        manifest.setdefault("results", {})[name] = dict(result)
        self.write_manifest(manifest)

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        write_atomically(self.path / name, text.encode())


def unused_folder(path: str | Path) -> Path:
    """The path itself, or if it holds a run already, the first of `path-2`, `path-3`, … that does not.

    A folder also holds a run if `fold-1` in it does, as of a cross-validation.
    """
    return next(folder for folder in _numbered(path) if not _is_taken(folder))


def latest_run(path: str | Path) -> Path:
    """The last of `path`, `path-2`, `path-3`, … that holds a run; the path itself where none does."""
    taken = itertools.takewhile(_is_taken, _numbered(path))
    return [Path(path), *taken][-1]


def _is_taken(folder: Path) -> bool:
    return any(RunFolder(path).holds_a_run() for path in (folder, folder / "fold-1"))


def _numbered(path: str | Path) -> Iterator[Path]:
    path = Path(path)
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.name}-{number}")
