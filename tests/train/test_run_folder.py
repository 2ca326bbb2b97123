"""The files that a run leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.train.conftest import garments
from tinygrad_mlp import optim
from tinygrad_mlp.train import History, RunFolder, evaluate, latest_run, load_checkpoint, load_model, unused_folder

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def finished(make, images, val_images, run):
    """A Trainer of pictures that has made its run."""
    trainer = make(inputs=36, classes=2, epochs=2, out=run, config={"name": "a test", "path": Path("x")})
    trainer.fit(images, val_images)
    return trainer


def test_every_file_is_there_and_no_other(finished, run):
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint.safetensors",
        "config.json",
        "confusion.png",
        "curves.png",
        "manifest.json",
        "metrics.jsonl",
        "mistakes.png",
        "model.safetensors",
    ]
    for name in ("confusion", "curves", "mistakes"):
        assert (run / f"{name}.png").read_bytes().startswith(PNG)


def test_the_model_is_the_net(finished, make, run):
    other = make(inputs=36, classes=2).net
    load_model(run / "model.safetensors", other)
    for name, tensor in finished.net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].array, tensor.array)


def test_metrics_are_the_history(finished, run):
    assert History.from_jsonl(run / "metrics.jsonl").rows == finished.history.rows


def test_config_holds_the_settings_and_the_users_own(finished, run):
    config = json.loads((run / "config.json").read_text())
    assert config["config"] == {"name": "a test", "path": "x"}
    assert config["batch_size"] == 16
    assert config["optimizer"]["groups"][0]["lr"] == 0.01
    assert config["train"]["samples"] == 40
    assert "Linear(36, 8)" in config["net"]


def test_the_manifest_says_with_what_it_was_made(finished, run, val_images):
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["threads"] == tg.get_num_threads()
    assert manifest["cpu"]
    assert manifest["seed"] == 0
    assert len(manifest["settings"]["train"]["labels_sha256"]) == 64
    assert manifest["data"] == {"train": "memory", "validation": "memory"}
    validation = manifest["results"]["validation"]
    report = evaluate(finished.net, val_images)
    assert validation["accuracy"] == report.accuracy
    assert validation["loss"] == pytest.approx(report.loss)
    assert validation["confusion"] == report.confusion.tolist()
    assert manifest["results"]["best_epoch"] == finished.history.best
    assert manifest["results"]["stopped"] == "all epochs done"


def test_a_test_is_added_to_the_manifest(finished, run):
    part = garments(30, "test")
    report = finished.test(part)
    finished.test(part)
    result = json.loads((run / "manifest.json").read_text())["results"]["test"]
    assert result["uses"] == 2
    assert result["accuracy"] == report.accuracy


def test_the_checkpoint_holds_everything(finished, run):
    arrays, info = load_checkpoint(run / "checkpoint.safetensors")
    kinds = {name.split("/")[0] for name in arrays}
    assert kinds == {"net", "best", "optimizer", "random"}
    assert info["epoch"] == 2
    assert info["history"] == finished.history.rows


def test_labelled_data_without_pictures_have_no_mistakes_to_show(make, train, val, run):
    make(epochs=1, out=run).fit(train, val)
    assert (run / "confusion.png").exists()
    assert not (run / "mistakes.png").exists()


def test_without_validation_data_there_is_a_curve_alone(make, train, run):
    make(epochs=1, out=run).fit(train)
    assert sorted(path.stem for path in run.glob("*.png")) == ["curves"]
    assert "validation" not in json.loads((run / "manifest.json").read_text())["results"]


def test_an_average_is_saved_too(make, train, val, run, no_figures):
    make(epochs=1, out=run, ema=0.9, schedule=lambda optimizer: optim.StepLR(optimizer, 1)).fit(train, val)
    arrays, info = load_checkpoint(run / "checkpoint.safetensors")
    assert {name for name in arrays if name.startswith("average/")}
    assert info["average_updates"] == 6
    assert info["schedule"]["last_epoch"] == 1


def test_folders_are_numbered_so_that_no_run_is_overwritten(tmp_path):
    base = tmp_path / "name"
    assert unused_folder(base) == base
    assert latest_run(base) == base
    for expected in ("name", "name-2", "name-3"):
        folder = unused_folder(base)
        assert folder.name == expected
        RunFolder(folder).write_metrics(History())
        assert latest_run(base) == folder


def test_folds_are_numbered_together(tmp_path):
    base = tmp_path / "name"
    for expected in ("name", "name-2"):
        folder = unused_folder(base)
        assert folder.name == expected
        for fold in (1, 2):
            RunFolder(folder / f"fold-{fold}").write_metrics(History())
        assert latest_run(base) == folder
