"""What a run writes while it goes on, what a finished one says about itself, and that no result is lost or stale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tinygrad_mlp as tg
from tests.train import small
from tests.train.conftest import garments
from tinygrad_mlp import plot, train
from tinygrad_mlp.errors import ArgumentError


def manifest_of(run: Path) -> Any:
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("no_figures")
def test_each_epoch_is_written_at_once(run: Path):
    lines: list[int] = []

    class Count(train.Callback):
        def on_step_end(self, trainer: tg.Trainer) -> None:
            lines.append((run / "metrics.jsonl").read_text().count("\n"))

    small.plain(out=run, callbacks=[Count()]).fit(*small.parts())
    assert lines == [0] * 5 + [1] * 5 + [2] * 5


@pytest.mark.usefixtures("no_figures")
def test_checkpoints_come_as_often_as_asked_for(run: Path):
    seen: list[tuple[int, int]] = []

    class Look(train.Callback):
        def on_step_end(self, trainer: tg.Trainer) -> None:
            info = train.load_checkpoint(run / "checkpoint.safetensors")[1]
            seen.append((info["epoch"], info["batch"]))

    small.plain(out=run, epochs=2, checkpoint_every=3, callbacks=[Look()]).fit(*small.parts())
    first, second = [(0, 0)] * 3 + [(0, 3)] * 2, [(1, 0)] * 3 + [(1, 3)] * 2
    assert seen == first + second


def test_every_figure_names_the_data(make: Any, run: Path, monkeypatch: pytest.MonkeyPatch):
    named: dict[str, str] = {}

    def watched(draw: Any) -> Any:
        def watch(*arguments: Any, data: str) -> Any:
            named[draw.__name__] = data
            return draw(*arguments, data=data)

        return watch

    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(plot, name, watched(getattr(plot, name)))
    monkeypatch.setattr(train.RunFolder, "draw", lambda *arguments: None)
    make(inputs=36, classes=2, epochs=1, out=run).fit(garments(40), garments(20, "validation"))
    assert named == {"curves": "sides", "confusion": "sides, validation", "mistakes": "sides, validation"}


@pytest.mark.usefixtures("no_figures")
def test_json_is_strict(run: Path):
    """No NaN or Infinity, which other programs do not read."""

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    small.everything(out=run).fit(*small.parts())
    for name in ("config.json", "manifest.json"):
        json.loads((run / name).read_text(encoding="utf-8"), parse_constant=refuse)
    for line in (run / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    trainer = small.plain()
    trainer.fit(*small.parts())
    trainer.test(small.locked_part())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_figures")
def test_a_test_result_outlives_a_resume_of_the_finished_run(run: Path):
    trainer = small.plain(out=run)
    trainer.fit(*small.parts())
    trainer.test(small.locked_part())
    tested = manifest_of(run)["results"]["test"]
    small.plain(out=run, resume=True).fit(*small.parts())
    assert manifest_of(run)["results"]["test"] == tested
    small.plain(out=run, resume=True, epochs=4).fit(*small.parts())  # another net comes of that
    assert "test" not in manifest_of(run)["results"]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"settings": {"epochs": 2}}'])
def test_a_run_killed_while_it_wrote_its_results_writes_them_on_resume(run: Path, manifest: str | None):
    small.plain(out=run).fit(*small.parts())
    model = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(b"of an earlier end")
    (run / "manifest.json").unlink()
    if manifest is not None:
        (run / "manifest.json").write_text(manifest)
    small.plain(out=run, resume=True).fit(*small.parts())
    assert (run / "model.safetensors").read_bytes() == model
    assert manifest_of(run)["settings"]["epochs"] == 3


def test_the_table_of_the_best_epoch():
    trainer = small.plain()
    with pytest.raises(ArgumentError, match="best_epoch_table: there is no best epoch yet"):
        train.best_epoch_table(trainer)
    trainer.fit(*small.parts())
    report = trainer.test(small.locked_part())
    table = train.best_epoch_table(trainer, report)
    best = trainer.history.best
    assert table.title == f"clouds, best epoch {best['epoch']} of {trainer.epochs}"
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == ["training, while it learned", "validation", "test"]
    assert columns[1] == ["70", "30", "70"]
    assert columns[2] == [f"{loss:.4f}" for loss in (best["train_loss"], best["val_loss"], report.loss)]
    assert columns[3][2] == f"{100 * report.accuracy:.2f} %"
    assert len(train.best_epoch_table(trainer).rows) == 2
