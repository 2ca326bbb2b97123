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
from tinygrad_mlp.errors import ArgumentError, IndexRangeError, NonFiniteError
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
    """An entry for each time that a Trainer validates as `evaluate` does."""
    calls: list[int] = []

    def noted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return evaluation.scored(*args, **options)

    monkeypatch.setattr(validation, "scored", noted)
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


def test_in_float64_these_are_the_same_bits_too(evaluated: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "BATCH_SIZE", 7)
    monkeypatch.setattr(evaluation.evaluate, "__defaults__", (7, *evaluation.evaluate.__defaults__[1:]))
    parts = [data.TensorDataset(part.arrays[0].astype(np.float64), part.arrays[1]) for part in small.parts()]
    net = nn.Linear(small.FEATURES, small.CLASSES, dtype=tg.float64)
    trainer = tg.Trainer(net, optim.SGD(net.parameters(), lr=0.1), **small.defaults({"epochs": 40}))
    beside = Beside(parts[1])
    trainer.callbacks.append(beside)
    trainer.fit(*parts)
    assert [row[:2] for row in beside.rows] == [row[2:] for row in beside.rows]
    assert not evaluated


@pytest.mark.parametrize("capture", [None, False])
def test_it_is_one_use_of_the_data_an_epoch(capture: bool | None) -> None:
    training, held_out = small.parts()
    small.plain(epochs=3, capture=capture).fit(training, held_out)
    assert held_out.uses == 3
    x, y = held_out.arrays
    broken = data.TensorDataset(x, np.where(np.arange(len(y)) == 7, 5, y), split="validation")
    with pytest.raises(IndexRangeError, match="5"):
        small.plain(epochs=3, capture=capture).fit(training, broken)
    assert broken.uses == 1


def test_modes_of_modules_are_put_back() -> None:
    """Also of a part that somebody has put into eval mode when the epoch had begun."""
    trainer = small.everything(epochs=2)
    modes: list[list[bool]] = []

    class Modes(train.Callback):
        def on_step_end(self, trainer: tg.Trainer) -> None:
            trainer.net[3].eval()

        def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
            modes.append([module.training for module in trainer.net.modules()])

    trainer.callbacks.append(Modes())
    trainer.fit(*small.parts())
    for found in modes:
        assert found.count(False) == len(list(trainer.net[3].modules()))


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=tg.tensor(np.array([1, 2, 3], np.float32))),
        nn.CrossEntropyLoss(ignore_index=1),
        lambda output, target: nn.functional.cross_entropy(output, target) * 2,
        type("Mine", (nn.CrossEntropyLoss,), {})(),
        nn.functional.nll_loss,
    ],
    ids=["class weights", "ignored label", "of the user", "a class of the user", "where a NaN may leave no trace"],
)
def test_other_losses_are_left_to_evaluate(loss: Any, evaluated: list[int]) -> None:
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
    assert len(evaluated) == 2  # the first is gone through to its end as it is
    assert capsys.readouterr().err.count("Trainer: validation runs without capture, more slowly: ") == 1


class Noisy(nn.Module):
    """Draws also when it is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(small.FEATURES, small.CLASSES)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.linear(nn.functional.dropout(x, 0.5, training=True))


@pytest.mark.parametrize("has_hook", [False, True])
def test_the_data_are_gone_through_once(has_hook: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where capture is refused: a net that draws would draw other numbers the second time."""
    monkeypatch.setattr(validation, "BATCH_SIZE", 7)
    rows: list[Any] = []
    for capture in (None, False):
        tg.manual_seed(0)
        net = Noisy()
        passes: list[bool] = []
        if has_hook:
            net.register_forward_hook(lambda module, args, output, passes=passes: passes.append(module.training))
        trainer = tg.Trainer(net, optim.SGD(net.parameters(), lr=0.1), **small.defaults({"capture": capture}))
        rows.append([(row["train_loss"], row["val_loss"]) for row in trainer.fit(*small.parts()).rows])
        assert passes.count(False) == (has_hook and len(rows[0]) * -(-len(small.parts()[1]) // 7))
    assert rows[0] == rows[1]


@pytest.mark.parametrize("fields", [1, 3])
def test_other_fields_are_named(fields: int) -> None:
    training, held_out = small.parts()
    x, y = held_out.arrays
    with pytest.raises(ArgumentError, match=rf"has {fields} field\(s\), expected two"):
        small.plain().fit(training, data.TensorDataset(*(x, y, y)[:fields], split="validation"))


class Changing(train.Callback):
    """Changes the Trainer after three epochs, when a replay is long trusted."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
        if trainer.epoch == 3:
            self.change(trainer)


def smoother(trainer: tg.Trainer) -> None:
    trainer.loss = nn.CrossEntropyLoss(label_smoothing=0.5)


def weighted(trainer: tg.Trainer) -> None:
    trainer.loss = nn.CrossEntropyLoss(weight=tg.tensor(np.array([1, 20, 3], np.float32)))


def of_the_module(trainer: tg.Trainer) -> None:
    trainer.loss.label_smoothing = 0.3


def limit(trainer: tg.Trainer) -> None:
    trainer.clip_norm = 1e-3


def other_data(trainer: tg.Trainer) -> None:
    x, y = trainer.val.arrays
    trainer.val = data.TensorDataset(x[::-1] * 2, y, split="validation")


@pytest.mark.parametrize("change", [smoother, weighted, of_the_module, limit, other_data])
def test_what_a_callback_changes_is_followed(change: Any) -> None:
    """In training and validation, captured as without."""
    rows: list[Any] = []
    for capture in (None, False):
        tg.manual_seed(0)
        net = nn.Linear(small.FEATURES, small.CLASSES)
        trainer = tg.Trainer(
            net,
            optim.SGD(net.parameters(), lr=0.05),
            nn.CrossEntropyLoss(),
            callbacks=[Changing(change)],
            **small.defaults({"epochs": 6, "capture": capture}),
        )
        rows.append([(row["train_loss"], row["val_loss"]) for row in trainer.fit(*small.parts()).rows])
    assert rows[0] == rows[1]
    without = tg.Trainer(
        unchanged := nn.Linear(small.FEATURES, small.CLASSES),
        optim.SGD(unchanged.parameters(), lr=0.05),
        **small.defaults({"epochs": 6}),
    )
    tg.manual_seed(0)
    unchanged.reset_parameters()
    plain = [(row["train_loss"], row["val_loss"]) for row in without.fit(*small.parts()).rows]
    assert plain[:3] == rows[0][:3]
    assert plain[4:] != rows[0][4:]


def test_several_views_may_come_later(evaluated: list[int]) -> None:
    tg.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    beside = Beside(garments(30, "validation"))

    def view(trainer: tg.Trainer) -> None:
        trainer.flip_to_predict = True

    trainer = tg.Trainer(
        net,
        optim.SGD(net.parameters(), lr=0.1),
        callbacks=[beside, Changing(view)],
        **small.defaults({"epochs": 5}),
    )
    trainer.fit(garments(40), beside.dataset)
    assert [row[:2] for row in beside.rows] == [row[2:] for row in beside.rows]
    assert len(evaluated) == 2


def test_without_capture_it_is_left_to_evaluate(evaluated: list[int]) -> None:
    fitted(small.plain(epochs=2, capture=False))
    assert len(evaluated) == 2


def test_the_memory_of_a_large_net_is_not_kept(evaluated: list[int]) -> None:
    """Its kernels take so long that calls between them are not noticed."""
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(small.FEATURES, 90_000), nn.ReLU(), nn.Linear(90_000, small.CLASSES))
    fitted(tg.Trainer(net, optim.SGD(net.parameters(), lr=1e-3), **small.defaults({"epochs": 3})))
    assert len(evaluated) == 2  # 30 × 90,000 numbers, 11 MB


@pytest.mark.parametrize("epoch", [0, 4])
def test_a_bad_label_is_an_error(epoch: int) -> None:
    """When it is recorded, and in a replay."""
    training, held_out = small.parts()
    x, y = held_out.arrays
    y = y.copy()

    class Spoiling(train.Callback):
        def on_step_end(self, trainer: tg.Trainer) -> None:
            if trainer.epoch == epoch:
                y[7] = 5

    trainer = small.plain(epochs=6, callbacks=[Spoiling()])
    with pytest.raises(IndexRangeError, match="5"):
        trainer.fit(training, data.TensorDataset(x, y, split="validation"))
    assert trainer.epoch == epoch


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
