"""examples/fashion_cnn.py: what it says and leaves, and its errors, each one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tinygrad_mlp as tg

SMALL = ["--data", "synthetic-fashion", "--limit", "64", "--epochs", "1", "--batch-size", "32"]


@pytest.fixture
def example(load_example):
    return load_example("fashion_cnn")


def test_it_ends_with_tables_figures_and_the_folder(example, capsys):
    assert example.main(SMALL) == 0
    output = capsys.readouterr().out
    assert "synthetic-fashion: 64 images to train on, 50 to validate, 100 to test" in output
    for words in ("Ankle boot", "macro mean", "validation", "best epoch", "multiply–adds"):
        assert words in output
    folder = Path("runs/synthetic-fashion-plain-seed0")
    assert output.splitlines()[-1].endswith(f"the figures and the net are in {folder}")
    figures = ("curves", "confusion", "mistakes", "filters", "features")
    for name in (*(f"{figure}.png" for figure in figures), "model.safetensors", "manifest.json"):
        assert (folder / name).stat().st_size > 1000
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["results"]["test"]["n"] == 100
    assert manifest["config"]["network"] == "plain"
    assert manifest["settings"]["augmentation"] == {"horizontal_flip": 0.5, "shift": 1}


@pytest.mark.parametrize(
    "flags",
    [
        "--recipe best",
        "--network report-e8 --optimizer adam --schedule constant --flip 0 --shift 0 --label-smoothing 0 --ema 0",
        "--network residual --optimizer sgd --lr 0.1 --cutout 8 --validation 0.1 --threads 1",
        "--dropout 0 --weight-decay 0 --seed 7",
    ],
)
def test_flags(example, no_figures, flags):
    assert example.main([*SMALL, *flags.split()]) == 0


def test_any_number_of_threads_gives_the_same_bits(example, no_figures):
    if tg.get_num_threads() < 2:
        pytest.skip("needs two threads")
    for threads in ("1", "2"):
        flags = ["--recipe", "best", "--epochs", "1", "--threads", threads, "--out", threads]
        assert example.main([*SMALL, *flags]) == 0
    assert Path("1/model.safetensors").read_bytes() == Path("2/model.safetensors").read_bytes()


def test_flags_win_over_the_recipe(example):
    best = example.parse(["--recipe", "best", "--epochs", "2"])
    assert best.network == "residual"
    assert best.epochs == 2
    for name, value in example.RECIPES["best"].items():
        assert hasattr(example.parse([]), name)
        assert name == "epochs" or getattr(best, name) == value


def test_resume_goes_on(example, no_figures, capsys):
    smaller = [*SMALL, "--batch-size", "16"]
    example.main([*smaller, "--epochs", "2"])
    assert example.main([*smaller, "--epochs", "3", "--resume"]) == 0
    output, errors = capsys.readouterr()
    assert "going on in epoch 3" in output
    assert "begun with 2 epochs and goes on to 3" in errors


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--optimizer sdg", "unknown optimizer 'sdg', did you mean 'sgd'?"),
        ("--lr -1", "AdamW: lr=-1.0, expected a finite number at least 0"),
        ("--dropout 1.5", "Dropout: p must lie in 0 to 1, got 1.5"),
        ("--flip 2", "Augmentation: horizontal_flip is 2.0"),
        ("--shift -1", "Augmentation: shift is -1"),
        ("--ema 1", "ExponentialMovingAverage"),
        ("--validation 1", "fraction is 1.0"),
        ("--validation 0", "to validate on, but it is empty"),
        ("--limit 100000", "a subset of 100000 samples, expected 1 to 450"),
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
        ("--network big", "'report-e8'"),
        ("--recipe worst", "'best'"),
        ("--epochs 0", "argument --epochs: expected a whole number of at least 1, got '0'"),
        ("--shift half", "argument --shift: invalid int value: 'half'"),
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
