"""A disk that is full or may not be written to, and folders that hold something already: what was there survives."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tinygrad_mlp as tg
from tests.train import small
from tinygrad_mlp import train
from tinygrad_mlp.errors import ArgumentError, CheckpointError

resource: Any = pytest.importorskip("resource")  # Windows has none
pytestmark = pytest.mark.usefixtures("no_figures")


class FillDisk(train.Callback):
    """From some step on, let everything fail that `failing` makes fail."""

    def __init__(self, steps: int, start: Callable[[], None]) -> None:
        self.steps, self.start = steps, start

    def on_step_end(self, trainer: tg.Trainer) -> None:
        if small.steps_done(trainer) == self.steps:
            self.start()


@contextmanager
def limited_file_size() -> Iterator[Callable[[], None]]:
    """Real writes fail once a file has 1000 bytes, as they do on a full disk; the limit begins when called for."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def failing_sync() -> Iterator[Callable[[], None]]:
    """Some file systems notice only when data are made durable that there is no space."""
    patch = pytest.MonkeyPatch()

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    try:
        yield lambda: patch.setattr(os, "fsync", fail)
    finally:
        patch.undo()


@contextmanager
def read_only_folder() -> Iterator[Callable[[], None]]:
    """Nothing can be created any more. (Simulated, since tests may run as root, whom permissions do not stop.)"""
    patch = pytest.MonkeyPatch()
    opened = Path.open

    def refuse(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "w" in mode or "a" in mode:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return opened(self, mode, *arguments, **options)

    try:
        yield lambda: patch.setattr(Path, "open", refuse)
    finally:
        patch.undo()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (limited_file_size, "File too large"),
        (failing_sync, "No space left on device"),
        (read_only_folder, "Permission denied"),
    ],
)
def test_when_saving_fails_the_old_checkpoint_survives_and_the_run_can_go_on(run: Path, trouble: Any, words: str):
    whole = small.everything()
    whole.fit(*small.parts())
    with trouble() as start:
        trainer = small.everything(out=run, checkpoint_every=2, callbacks=[FillDisk(7, start)])
        with pytest.raises(
            CheckpointError,
            match=rf"run/checkpoint\.safetensors: it could not be saved \({words}.*the one from before is still there",
        ):
            trainer.fit(*small.parts())
    assert sorted(small.files(run)) == ["checkpoint.safetensors", "config.json", "metrics.jsonl"]  # nothing half-made
    info = train.load_checkpoint(run / "checkpoint.safetensors")[1]
    assert (info["epoch"], info["batch"]) == (1, 0)  # the step before the disk was full was 5, the next due at 7
    trainer = small.everything(out=run, resume=True)
    trainer.fit(*small.parts())
    assert small.weights(trainer.net) == small.weights(whole.net)


def test_after_space_was_made_the_same_trainer_goes_on(run: Path):
    whole = small.everything()
    whole.fit(*small.parts())
    with failing_sync() as start:
        trainer = small.everything(out=run, checkpoint_every=2, callbacks=[FillDisk(7, start)])
        with pytest.raises(CheckpointError):
            trainer.fit(*small.parts())
    trainer.fit(*small.parts())
    assert small.weights(trainer.net) == small.weights(whole.net)
    assert train.History.from_jsonl(run / "metrics.jsonl")["epoch"] == [1, 2, 3]


@pytest.mark.parametrize("epochs", [2, 3])
def test_no_line_of_an_epoch_is_lost_where_the_disk_was_full(run: Path, epochs: int, monkeypatch: pytest.MonkeyPatch):
    """Half a line is in the file when the disk is full, in the last epoch too; the next call mends it."""
    opened = Path.open

    def append(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if mode == "a" and len(trainer.history.rows) == 2:
            with opened(self, mode, *arguments, **options) as file:
                file.write('{"epoch": 2, "train')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(self, mode, *arguments, **options)

    whole = small.plain(epochs=epochs)
    whole.fit(*small.parts())
    trainer = small.plain(out=run, epochs=epochs)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", append)
        with pytest.raises(CheckpointError, match="could not be written"):
            trainer.fit(*small.parts())
    history = trainer.fit(*small.parts())
    assert train.History.from_jsonl(run / "metrics.jsonl").rows == history.rows
    assert history["epoch"] == list(range(1, epochs + 1))
    assert small.weights(trainer.net) == small.weights(whole.net)
    assert (run / "manifest.json").exists()


def test_metrics_that_cannot_be_written(run: Path):
    class MakeFolder(train.Callback):
        def on_step_end(self, trainer: tg.Trainer) -> None:
            if small.steps_done(trainer) == 2:
                (run / "metrics.jsonl").unlink()
                (run / "metrics.jsonl").mkdir()

    with pytest.raises(CheckpointError, match=r"run/metrics\.jsonl: it could not be written \(Is a directory\)"):
        small.plain(out=run, callbacks=[MakeFolder()]).fit(*small.parts())


def test_a_folder_that_holds_a_run_is_not_overwritten(run: Path):
    small.plain(out=run).fit(*small.parts())
    before = small.files(run)
    trainer = small.plain(out=run)
    for _ in range(2):  # nor by a second try, as when a notebook cell is run again
        with pytest.raises(ArgumentError, match=r"run holds a run already.*resume=True"):
            trainer.fit(*small.parts())
    assert small.files(run) == before


@pytest.mark.parametrize("file", ["checkpoint.safetensors", "metrics.jsonl", "model.safetensors"])
def test_any_file_of_a_run_counts(run: Path, file: str):
    run.mkdir()
    (run / file).write_bytes(b"precious")
    with pytest.raises(ArgumentError, match="holds a run already"):
        small.plain(out=run).fit(*small.parts())
    assert small.files(run) == {file: b"precious"}


def test_other_files_in_the_folder_stay(run: Path):
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    small.plain(out=run).fit(*small.parts())
    assert (run / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_cannot_be_made(tmp_path: Path, resume: bool):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    trainer = small.plain(out=blocked / "run", resume=resume)
    before = small.weights(trainer.net)
    for _ in range(2):
        with pytest.raises(
            CheckpointError, match=r"config\.json: it could not be saved \((Not a directory|File exists)"
        ):
            trainer.fit(*small.parts())
    assert small.weights(trainer.net) == before
    assert blocked.read_text() == "in the way"


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_may_not_be_entered(run: Path, resume: bool, monkeypatch: pytest.MonkeyPatch):
    """Simulated, since tests may run as root; what is asked of its files fails, as does what is made in it."""
    called = {name: getattr(os, name) for name in ("stat", "mkdir")}

    def refuse(path: Any, *arguments: Any, call: Callable[..., Any], **options: Any) -> Any:
        if isinstance(path, str | Path) and run in (Path(path), *Path(path).parents):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return call(path, *arguments, **options)

    for name, call in called.items():
        monkeypatch.setattr(os, name, partial(refuse, call=call))
    with pytest.raises(CheckpointError, match=r"config\.json: it could not be saved \(Permission denied\)"):
        small.plain(out=run, resume=resume).fit(*small.parts())
    with pytest.raises(CheckpointError, match="there is no such file, or none whose folder may be entered"):
        train.load_checkpoint(run / "checkpoint.safetensors")
    assert train.unused_folder(run) == run


def test_a_result_needs_a_manifest(run: Path):
    with pytest.raises(CheckpointError, match=r"manifest\.json: it cannot be read.*fit\(\) writes it at the end"):
        train.RunFolder(run).add_result("test", {})


def test_figures_that_cannot_be_written(run: Path, monkeypatch: pytest.MonkeyPatch):
    from tinygrad_mlp import plot

    monkeypatch.undo()  # figures are drawn, here
    (run / "curves.png").mkdir(parents=True)
    history = small.plain(epochs=1).fit(*small.parts())
    with pytest.raises(CheckpointError, match=r"curves\.png: it could not be written"):
        train.RunFolder(run).draw("curves", plot.curves(history))
