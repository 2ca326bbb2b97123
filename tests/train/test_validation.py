"""Validation after each epoch: captured where that is possible, with the bits of `evaluate` either way."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.train import small
from tests.train.conftest import garments
from tinygrad_mlp import data, nn, optim, train
from tinygrad_mlp.errors import IndexRangeError, NonFiniteError
from tinygrad_mlp.train import evaluation, validation

pytestmark = pytest.mark.usefixtures("no_figures")


class Beside(train.Callback):
    """What `evaluate` says after each epoch, beside the history."""

    def __init__(self, dataset: data.Dataset) -> None:
        self.dataset = dataset
        self.rows: list[tuple[Any, ...]] = []

    def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
        with nullcontext() if trainer.average is None else trainer.average.applied():
            report = tg.evaluate(trainer.net, self.dataset, loss=trainer.loss, **trainer.views)
        self.rows.append((row["val_loss"], row["val_accuracy"], report.loss, getattr(report, "accuracy", None)))


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each time that a Trainer validates by `evaluate`."""
    calls: list[int] = []

    def noted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return evaluation.evaluate(*args, **options)

    monkeypatch.setattr(validation, "evaluate", noted)
    return calls


def fitted(trainer: tg.Trainer, val: data.Dataset | None = None) -> list[tuple[Any, ...]]:
    training, held_out = small.parts()
    held_out = held_out if val is None else val
    beside = Beside(held_out)
    trainer.callbacks.append(beside)
    trainer.fit(training, held_out)
    assert [row[:2] for row in beside.rows] == [row[2:] for row in beside.rows]
    return beside.rows


@pytest.mark.parametrize("make", [small.plain, small.everything])
@pytest.mark.parametrize("batch_size", [1000, 10, 8])
def test_captured_it_is_what_evaluate_says(
    make: Any, batch_size: int, evaluated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the last batch is smaller, with running statistics, dropout and averaged weights."""
    monkeypatch.setattr(validation, "BATCH_SIZE", batch_size)
    monkeypatch.setattr(evaluation.evaluate, "__defaults__", (batch_size, *evaluation.evaluate.__defaults__[1:]))
    rows = fitted(make(epochs=9))
    assert len(rows) == 9
    assert len({row[0] for row in rows}) > 3
    assert not evaluated


def test_it_is_one_use_of_the_data_an_epoch() -> None:
    _, held_out = small.parts()
    training, _ = small.parts()
    before = held_out.uses
    small.plain(epochs=3).fit(training, held_out)
    assert held_out.uses == before + 3


def test_modes_of_modules_are_put_back() -> None:
    trainer = small.everything(epochs=2)
    trainer.net[3].eval()
    modes: list[list[bool]] = []

    class Modes(train.Callback):
        def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
            modes.append([module.training for module in trainer.net.modules()])

    trainer.callbacks.append(Modes())
    trainer.fit(*small.parts())
    assert modes[0] == [True] * len(modes[0])  # an epoch begins in training mode, of all modules


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=tg.tensor(np.array([1, 2, 3], np.float32))),
        nn.CrossEntropyLoss(ignore_index=1),
        lambda output, target: nn.functional.cross_entropy(output, target) * 2,
    ],
    ids=["class weights", "ignored label", "of the user"],
)
def test_other_means_are_left_to_evaluate(loss: Any, evaluated: list[int]) -> None:
    trainer = small.plain(epochs=2)
    trainer.loss = loss
    fitted(trainer)
    assert len(evaluated) == 2


def test_several_views_are_left_to_evaluate(evaluated: list[int]) -> None:
    tg.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    trainer = tg.Trainer(
        net, optim.SGD(net.parameters(), lr=0.1), flip_to_predict=True, **small.defaults({"epochs": 2})
    )
    images = garments(40)
    beside = Beside(garments(30, "validation"))
    trainer.callbacks.append(beside)
    trainer.fit(images, beside.dataset)
    assert [row[:2] for row in beside.rows] == [row[2:] for row in beside.rows]
    assert len(evaluated) == 2


class Peeking(nn.Module):
    """Reads a number in Python when it is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(small.FEATURES, small.CLASSES)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        output = self.linear(x)
        return output if self.training or output.sum().item() < 1e9 else -output


def test_what_cannot_be_captured_is_said_once(evaluated: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    tg.manual_seed(0)
    net = Peeking()
    fitted(tg.Trainer(net, optim.SGD(net.parameters(), lr=0.1), **small.defaults({"epochs": 3})))
    assert len(evaluated) == 3
    assert capsys.readouterr().err.count("Trainer: validation runs without capture, more slowly: ") == 1


def test_without_capture_it_is_left_to_evaluate(evaluated: list[int]) -> None:
    fitted(small.plain(epochs=2, capture=False))
    assert len(evaluated) == 2


def test_the_memory_of_a_large_net_is_not_kept(evaluated: list[int]) -> None:
    """Its kernels take so long that calls between them are not noticed."""
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(small.FEATURES, 90_000), nn.ReLU(), nn.Linear(90_000, small.CLASSES))
    fitted(tg.Trainer(net, optim.SGD(net.parameters(), lr=1e-3), **small.defaults({"epochs": 3})))
    assert len(evaluated) == 2  # 30 × 90,000 numbers, 11 MB


def test_a_bad_label_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    training, held_out = small.parts()
    x, y = held_out.arrays
    y = y.copy()
    y[7] = 5
    with pytest.raises(IndexRangeError, match="5"):
        small.plain().fit(training, data.TensorDataset(x, y, split="validation"))


def test_a_loss_that_is_not_finite_is_explained_by_evaluate(evaluated: list[int]) -> None:
    training, held_out = small.parts()
    x, y = held_out.arrays
    x = x.copy()
    x[7] = 3e38  # finite, but its logits are not
    net = nn.Linear(small.FEATURES, small.CLASSES)
    net.load_state_dict({"weight": tg.ones(small.CLASSES, small.FEATURES), "bias": tg.zeros(small.CLASSES)})
    trainer = tg.Trainer(net, optim.SGD(net.parameters(), lr=1e-3), **small.defaults({"epochs": 3}))
    with pytest.raises(NonFiniteError, match=r"validation after epoch 1: .*(NaN|nan|infinite)"):
        trainer.fit(training, data.TensorDataset(x, y, split="validation"))
    assert len(evaluated) == 1
