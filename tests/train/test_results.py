"""What a run writes while it goes on, what a finished one says about itself, and that no result is lost or stale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.train import small
from tests.train.conftest import garments
from tinygrad_mlp import nn, plot, train
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


class Measure(train.Callback):
    """Writes numbers of its own into each epoch's row."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
        row["own"] = self.values[trainer.epoch - 1]


@pytest.mark.usefixtures("no_figures")
def test_numbers_of_callbacks_are_written_as_plain_ones(run: Path):
    values = (np.linalg.norm(np.float32([3, 4])), float("nan"), np.bool_(True), np.float64("-inf"), 7)
    trainer = small.plain(out=run, epochs=5, callbacks=[Measure(*values)])
    history = trainer.fit(*small.parts())
    assert history["own"] == [5.0, None, True, None, 7]
    assert [type(value) for value in history["own"]] == [float, type(None), bool, type(None), int]
    assert train.History.from_jsonl(run / "metrics.jsonl").rows == history.rows
    assert "NaN" not in (run / "metrics.jsonl").read_text()
    assert manifest_of(run)["results"]["best_epoch"] == history.best


@pytest.mark.usefixtures("no_figures")
def test_what_is_no_number_is_refused_and_no_epoch_is_lost(run: Path):
    trainer = small.plain(out=run, callbacks=[Measure(1.0, tg.ones(2), 3.0)])
    with pytest.raises(ArgumentError, match=r"column 'own' of epoch 2 holds a Tensor, expected a number or None"):
        trainer.fit(*small.parts())
    history = trainer.fit(*small.parts())
    assert train.History.from_jsonl(run / "metrics.jsonl").rows == history.rows
    assert history["epoch"] == [1, 2, 3]
    assert history["own"] == [1.0, None, 3.0]


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
def test_every_use_of_the_test_data_is_counted(run: Path):
    """Also those of earlier processes, which had read the data anew, and those before the run was trained further."""
    small.plain(out=run).fit(*small.parts())
    for uses in (1, 2, 3):
        trainer = small.plain(out=run, resume=True)
        trainer.fit(*small.parts())
        trainer.test(small.locked_part())
        assert manifest_of(run)["results"]["test"]["uses"] == uses
    for epochs in (4, 5):
        trainer = small.plain(out=run, resume=True, epochs=epochs)
        trainer.fit(*small.parts())
        assert manifest_of(run)["results"]["earlier_test_uses"] == 3
    locked = small.locked_part()
    trainer.test(locked)
    trainer.test(locked)
    assert manifest_of(run)["results"]["test"]["uses"] == 5
    for _ in range(4):  # by hand, in this process
        tg.evaluate(trainer.net, locked)
    trainer.test(locked)
    assert manifest_of(run)["results"]["test"]["uses"] == 7


def test_samples_that_the_loss_ignores_are_no_mistakes(make: Any, run: Path, monkeypatch: pytest.MonkeyPatch):
    shown: list[int] = []
    monkeypatch.setattr(train.RunFolder, "draw", lambda *arguments: None)
    monkeypatch.setattr(plot, "mistakes", lambda images, labels, *others, **options: shown.extend(labels.tolist()))
    loss = nn.CrossEntropyLoss(tg.tensor([1.0, 3.0]), ignore_index=1)
    val = garments(20, "validation")
    trainer = make(inputs=36, classes=2, epochs=1, out=run, loss=loss)
    trainer.fit(garments(40), val)
    assert shown == [0] * 10
    scores = manifest_of(run)["results"]["validation"]
    assert scores["n"] == 10
    assert scores["loss"] == pytest.approx(trainer.history.best["val_loss"], rel=1e-6)
    assert scores["accuracy"] == trainer.history.best["val_accuracy"]


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


def test_the_table_is_of_the_epoch_whose_weights_the_net_has(make: Any, train: Any, val: Any, test_part: Any):
    trainer = make(epochs=12, lr=0.3, keep="last")
    history = trainer.fit(train, val)
    last = history.rows[-1]
    assert history.best != last
    table = tg.train.best_epoch_table(trainer, trainer.test(test_part))
    assert table.title == "blobs, last epoch 12 of 12"
    losses = list(table.columns[2].cells)
    assert losses[:2] == [f"{loss:.4f}" for loss in (last["train_loss"], last["val_loss"])]
    assert losses[1] == f"{tg.evaluate(trainer.net, val).loss:.4f}"
