"""examples/fashion_mlp.py: what it says and leaves, and its errors, each one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--data", "synthetic-fashion", "--hidden", "8", "--epochs", "2", "--batch-size", "64"]


@pytest.fixture
def example(load_example):
    return load_example("fashion_mlp")


def test_it_ends_with_tables_figures_and_the_folder(example, capsys):
    assert example.main(SMALL) == 0
    output = capsys.readouterr().out
    assert "synthetic-fashion: 400 images to train on, 100 to validate, 100 to test" in output
    for words in ("Ankle boot", "macro mean", "validation", "best epoch"):
        assert words in output
    folder = Path("runs/synthetic-fashion-8-seed0")
    assert output.splitlines()[-1].endswith(f"curves.png, confusion.png, mistakes.png and the net are in {folder}")
    for name in ("curves.png", "confusion.png", "mistakes.png", "model.safetensors", "manifest.json"):
        assert (folder / name).stat().st_size > 1000
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["settings"]["train"]["name"] == "synthetic-fashion"
    assert manifest["results"]["test"]["n"] == 100
    assert manifest["config"]["hidden"] == [8]


def test_no_run_is_overwritten(example, no_figures, capsys):
    assert example.main(SMALL) == 0
    before = Path("runs/synthetic-fashion-8-seed0/model.safetensors").stat().st_mtime_ns
    assert example.main(SMALL) == 0
    assert "files: runs/synthetic-fashion-8-seed0-2" in capsys.readouterr().out
    assert example.main([*SMALL, "--out", "runs/synthetic-fashion-8-seed0"]) == 2
    assert capsys.readouterr().err.startswith("error: runs/synthetic-fashion-8-seed0 holds a run already")
    assert Path("runs/synthetic-fashion-8-seed0/model.safetensors").stat().st_mtime_ns == before


def test_resume_takes_the_latest_run_and_may_have_more_epochs(example, no_figures, capsys):
    for _ in range(2):
        example.main(SMALL)
    capsys.readouterr()
    assert example.main([*SMALL, "--epochs", "3", "--resume"]) == 0
    output, errors = capsys.readouterr()
    assert "files: runs/synthetic-fashion-8-seed0-2" in output
    assert "going on in epoch 3" in output
    assert "begun with 2 epochs and goes on to 3" in errors


@pytest.mark.parametrize(
    "flags",
    [
        "--activation sigmoid --optimizer sgd --lr 0.5 --momentum 0.9 --averaged --l2 1e-4 --dropout 0",
        "--batch-norm --init kaiming_normal --schedule cosine --label-smoothing 0.1 --l1 1e-5",
        "--optimizer rmsprop --momentum 0.5 --schedule multistep --ema 0.9 --standardize image",
        "--optimizer adadelta --schedule step --weight-decay 0.01 --limit 100 --threads 1",
        "--optimizer adagrad --schedule plateau --patience 1 --standardize feature",
        "--optimizer adam --schedule linear --seed 7 --hidden",
        "--schedule exponential --hidden 6 5 --standardize none",
        "--flip 0.5 --shift 2 --rotation 10 --scale 0.1 --validation 0.1",
        "--recipe best --epochs 1 --hidden 8",
    ],
)
def test_flags(example, no_figures, flags):
    assert example.main([*SMALL, *flags.split()]) == 0


def test_flags_win_over_the_recipe(example):
    best = example.parse(["--recipe", "best", "--epochs", "2"])
    assert best.epochs == 2
    for name, value in example.RECIPES["best"].items():
        assert hasattr(example.parse([]), name)
        assert name == "epochs" or getattr(best, name) == value


def test_folds(example, no_figures, capsys):
    assert example.main([*SMALL, "--folds", "3"]) == 0
    output = capsys.readouterr().out
    assert "3-fold cross-validation" in output
    assert "mean ± sd" in output
    assert "fold 3 of 3" in output
    folders = sorted(path.name for path in Path("runs/synthetic-fashion-8-seed0").iterdir())
    assert folders == ["fold-1", "fold-2", "fold-3"]


def test_folds_can_be_limited_made_again_and_gone_on_with(example, no_figures, capsys):
    flags = [*SMALL, "--folds", "2", "--limit", "300"]
    for name in ("synthetic-fashion-8-seed0", "synthetic-fashion-8-seed0-2"):
        assert example.main(flags) == 0
        manifest = json.loads(Path("runs", name, "fold-2", "manifest.json").read_text())
        assert (manifest["settings"]["train"]["samples"], manifest["settings"]["validation"]["samples"]) == (150, 150)
    capsys.readouterr()
    assert example.main([*flags, "--epochs", "3", "--resume"]) == 0
    assert capsys.readouterr().out.count("going on in epoch 3") == 2
    assert Path("runs/synthetic-fashion-8-seed0-2/fold-1/metrics.jsonl").read_text().count("\n") == 3
    assert Path("runs/synthetic-fashion-8-seed0/fold-1/metrics.jsonl").read_text().count("\n") == 2


def test_uses_of_the_test_data_are_counted_over_processes(example, no_figures):
    folder = ["--out", "run"]
    for flags in ([], ["--resume"], ["--resume"]):
        assert example.main([*SMALL, *folder, *flags]) == 0
    assert json.loads(Path("run/manifest.json").read_text())["results"]["test"]["uses"] == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--activation rleu", "unknown activation 'rleu', did you mean 'relu'?; known are relu, leaky_relu,"),
        ("--optimizer sdg", "unknown optimizer 'sdg', did you mean 'sgd'?; known are sgd, adam,"),
        ("--lr -1", "AdamW: lr=-1.0, expected a finite number at least 0"),
        ("--dropout 1.5", "Dropout: p must lie in 0 to 1, got 1.5"),
        ("--momentum 0.9", "it takes lr, betas, eps, weight_decay, l1, l2"),
        ("--limit 100000", "a subset of 100000 samples, expected 1 to 400"),
        ("--threads 4096", "set_num_threads: got 4096"),
        ("--rotation 400", "Augmentation: rotation is 400.0"),
        ("--folds 1", "folds is 1, expected 2 to"),
        ("--label-smoothing 2", "label_smoothing"),
        ("--shift -1", "Augmentation: shift is -1, expected a whole number of pixels"),
        ("--lr 1e30 --schedule constant", "training stopped in epoch 1, step 2"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(example, no_figures, capsys, flags, message):
    assert example.main([*SMALL, *flags.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--hidden 50 0", "argument --hidden: expected a whole number of at least 1, got '0'"),
        ("--epochs 0", "argument --epochs: expected a whole number of at least 1, got '0'"),
        ("--batch-size -3", "argument --batch-size: expected"),
        ("--lr fast", "argument --lr: invalid float value: 'fast'"),
        ("--schedule sometimes", "'onecycle'"),
        ("--recipe worst", "'best'"),
        ("--data letters", "'fashion-mnist'"),
        ("--nonsense", "unrecognized arguments: --nonsense"),
    ],
)
def test_flags_that_make_no_sense_are_one_line(example, capsys, flags, message):
    with pytest.raises(SystemExit) as left:
        example.main(flags.split())
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_missing_data_are_an_error_where_they_were_asked_for(example, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("TINYGRAD_MLP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("tinygrad_mlp.data.sources.download", lambda *arguments: ["download: no network"])
    monkeypatch.setattr("tinygrad_mlp.data.sources.SYSTEM", tmp_path)
    assert example.main(["--data", "fashion-mnist"]) == 2
    assert capsys.readouterr().err.startswith("error: fashion-mnist: data not found")


@pytest.mark.real_data
def test_as_a_script_on_the_real_data(tmp_path):
    directory = os.environ.get("TINYGRAD_MLP_DATA")
    if not directory or not (Path(directory) / "fashion-mnist").is_dir():
        pytest.skip("TINYGRAD_MLP_DATA names no directory with the real data")
    flags = ["--epochs", "1", "--hidden", "16", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "fashion_mlp.py", *flags], capture_output=True, text=True, check=True
    )
    assert "fashion-mnist: 48,000 images to train on" in done.stdout
    report = json.loads((tmp_path / "run" / "manifest.json").read_text())["results"]["test"]
    assert report["accuracy"] > 0.7
