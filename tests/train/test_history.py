"""The columns of a run, and their file."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp import plot
from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.train import History


def with_losses(*losses):
    return History([{"epoch": epoch, "val_loss": loss} for epoch, loss in enumerate(losses, start=1)])


def test_columns_and_their_gaps():
    history = History([{"epoch": 1, "val_loss": 0.5}])
    history.append({"epoch": 2, "extra": 7})
    assert list(history) == ["epoch", "val_loss", "extra"]
    assert len(history) == 3
    assert history["val_loss"] == [0.5, None]
    assert history["extra"] == [None, 7]
    with pytest.raises(KeyError, match="no column 'lr'; there are epoch, val_loss, extra"):
        history["lr"]


def test_appending_copies_the_row():
    row = {"epoch": 1}
    history = History()
    history.append(row)
    row["epoch"] = 9
    assert history["epoch"] == [1]


def test_the_best_epoch_is_the_first_of_the_lowest_validation_loss():
    history = with_losses(0.5, 0.3, None, 0.3, float("nan"))
    assert history.best == {"epoch": 2, "val_loss": 0.3}
    assert history.epochs_since_best() == 3


def test_without_validation_there_is_no_best():
    for history in (History(), History([{"epoch": 1, "train_loss": 0.1}])):
        assert history.best is None
        assert history.epochs_since_best() == 0
        assert history.increases_in_a_row() == 0


@given(st.lists(st.floats(0, 1), max_size=8))
def test_increases_in_a_row(losses):
    expected = 0
    for before, after in itertools.pairwise(losses):
        expected = expected + 1 if after > before else 0
    assert with_losses(*losses).increases_in_a_row() == expected


def test_there_and_back_through_the_file(tmp_path):
    history = with_losses(0.1, 1 / 3)
    path = tmp_path / "metrics.jsonl"
    path.write_text(history.to_jsonl())
    assert [json.loads(line) for line in path.read_text().splitlines()] == history.rows
    assert History.from_jsonl(path).rows == history.rows


def test_an_unfinished_last_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(with_losses(0.1, 0.2).to_jsonl()[:-5])
    assert History.from_jsonl(path)["val_loss"] == [0.1]


@pytest.mark.parametrize(
    ("content", "message"), [("{\n", "line 1 is no JSON"), ("{}\n3\n", "line 2 is no JSON object")]
)
def test_another_file_is_refused(tmp_path, content, message):
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        History.from_jsonl(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.jsonl: the history cannot be read") as raised:
        History.from_jsonl(tmp_path / "metrics.jsonl")
    assert isinstance(raised.value, CheckpointError)
    with pytest.raises(CheckpointError, match="the history cannot be read") as raised:
        History.from_jsonl(tmp_path)
    assert not isinstance(raised.value, FileNotFoundError)


def test_it_can_be_drawn():
    assert plot.curves(with_losses(0.5, 0.4)).axes


def test_repr_says_what_is_there():
    assert repr(with_losses(0.5)) == "History(1 epochs; epoch, val_loss)"
