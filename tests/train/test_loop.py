"""The training loop and all around it: options against loops by hand, what is validated, when callbacks are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.train import small
from tinygrad_mlp import data, nn, optim, train
from tinygrad_mlp.errors import ArgumentError, DataError


def by_hand(batch_size: int = small.BATCH, clip_norm: float | None = None, drop_last: bool = False) -> dict[str, Any]:
    """Three epochs of `small.plain()` without a Trainer: weights, and loss and accuracy while the net learned."""
    training, _ = small.parts()
    net = small.plain_net()
    optimizer = optim.Adam(net.parameters(), lr=0.02)
    loader = data.DataLoader(training, batch_size, shuffle=True, seed=4, drop_last=drop_last)
    losses: list[float] = []
    accuracies: list[float] = []
    for _ in range(3):
        loss_sum, right, samples = 0.0, 0, 0
        for x, y in loader:
            optimizer.zero_grad()
            output = net(x)
            loss = F.cross_entropy(output, y)
            loss.backward()
            if clip_norm is not None:
                optim.clip_grad_norm_(net.parameters(), clip_norm)
            optimizer.step()
            loss_sum += loss.item() * len(y)
            right += int((output.detach().numpy().argmax(1) == y.numpy()).sum())
            samples += len(y)
        losses.append(loss_sum / samples)
        accuracies.append(right / samples)
    return {"weights": small.weights(net), "losses": losses, "accuracies": accuracies}


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1}, {"drop_last": True}, {"batch_size": 70}], ids=repr)
def test_each_option_does_what_it_does_by_hand(options: dict[str, Any]):
    expected = by_hand(**options)
    trainer = small.plain(seed=4, **options)
    history = trainer.fit(small.parts()[0])
    assert small.weights(trainer.net) == expected["weights"]
    assert history["train_loss"] == expected["losses"]
    assert history["train_accuracy"] == expected["accuracies"]
    assert options == {} or expected["weights"] != by_hand()["weights"]  # else the option would not be tested


def test_it_learns():
    history = small.plain(epochs=15).fit(*small.parts())
    assert history["val_loss"][-1] < 0.6 * history["val_loss"][0]
    assert history["val_accuracy"][-1] > 0.85


def test_frozen_parameters_stay():
    trainer = small.plain()
    trainer.net[0].weight.requires_grad = False
    before = small.weights(trainer.net)
    trainer.fit(*small.parts())
    after = small.weights(trainer.net)
    assert after["0.weight"] == before["0.weight"]
    assert after["2.weight"] != before["2.weight"]


def test_float64_is_trained_in_float64():
    net = small.plain_net().double()
    trainer = tg.Trainer(net, optim.Adam(net.parameters()), epochs=1, batch_size=16, progress=False)
    trainer.fit(*small.parts(np.float64))
    assert {tensor.dtype for tensor in net.state_dict().values()} == {np.dtype(np.float64)}


# Validation ---------------------------------------------------------------------------------------------------------


def test_validation_is_what_evaluate_says_after_each_epoch():
    training, validation = small.parts()
    seen: list[tuple[float, float]] = []

    class Evaluate(train.Callback):
        def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
            report = tg.evaluate(trainer.net, small.parts()[1])
            seen.append((report.loss, report.accuracy))

    history = small.everything(average=None, callbacks=[Evaluate()]).fit(training, validation)
    assert list(zip(history["val_loss"], history["val_accuracy"], strict=True)) == seen
    assert len(set(history["val_loss"])) == 3
    assert validation.uses == 3  # one for each epoch
    assert training.uses == 0


def test_without_validation_data_the_last_epochs_weights_are_kept():
    recorder = small.Recorder()
    trainer = small.plain(callbacks=[recorder])
    history = trainer.fit(small.parts()[0])
    assert small.weights(trainer.net) == recorder.after_epoch[-1]
    assert recorder.after_epoch[-1] not in recorder.after_epoch[:-1]
    assert history.best is None
    assert "val_loss" not in history


def test_averaged_weights_of_the_best_epoch_are_kept():
    training, validation = small.parts()
    averages: list[dict[str, Any]] = []

    class Average(train.Callback):
        def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
            averages.append(trainer.average.state_dict()["average"])

    trainer = small.everything(callbacks=[Average()])
    history = trainer.fit(training, validation)
    best = averages[history.best["epoch"] - 1]
    assert small.weights(trainer.net) == {name: array.tobytes() for name, array in best.items()}
    assert tg.evaluate(trainer.net, validation).loss == history.best["val_loss"]


def test_modes_while_training_and_validating():
    seen: list[bool] = []

    class Watch(nn.Module):
        def forward(self, x: tg.Tensor) -> tg.Tensor:
            seen.append(self.training)
            return x

    net = nn.Sequential(Watch(), small.plain_net()).eval()
    trainer = tg.Trainer(
        net, optim.SGD(net.parameters(), lr=0.1), epochs=2, batch_size=35, progress=False, capture=False
    )
    trainer.fit(*small.parts())
    assert seen == [True, True, False] * 2


# Schedules ----------------------------------------------------------------------------------------------------------


def rates(schedule: Any, optimizer: optim.Optimizer, net: nn.Module, **options: Any) -> tuple[list[float], list[float]]:
    """The learning rates that the steps were made with, and those in the history."""
    used: list[float] = []

    class Rate(tg.Trainer):
        def training_step(self, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
            used.append(optimizer.param_groups[0]["lr"])
            return super().training_step(x, y)

    trainer = Rate(net, optimizer, schedule=schedule, **small.defaults({"batch_size": 35, **options}))
    return used, trainer.fit(*small.parts())["lr"]


def test_schedules_go_on_after_each_epoch():
    net = small.plain_net()
    optimizer = optim.SGD(net.parameters(), lr=0.8)
    used, in_history = rates(optim.StepLR(optimizer, step_size=1, gamma=0.5), optimizer, net)
    assert used == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    assert in_history == [0.8, 0.4, 0.2]


def test_schedules_go_on_after_each_batch_if_told_so():
    net = small.plain_net()
    optimizer = optim.SGD(net.parameters(), lr=0.8)
    schedule = optim.StepLR(optimizer, step_size=1, gamma=0.5)
    used, _ = rates(schedule, optimizer, net, schedule_every="batch", epochs=2)
    assert used == [0.8, 0.4, 0.2, 0.1]


def test_one_cycle_goes_on_after_each_batch():
    net = small.plain_net()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    schedule = optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=6)
    used, _ = rates(schedule, optimizer, net)
    assert used == pytest.approx([schedule.rate(step, base=1 / 25) for step in range(6)])
    assert len(set(used)) == 6


# Callbacks ----------------------------------------------------------------------------------------------------------


class Log(train.Callback):
    """Writes down all that it is told, with the trainer's position."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def on_fit_start(self, trainer: tg.Trainer) -> None:
        self.log.append(f"{self.name}: start")

    def on_step_end(self, trainer: tg.Trainer) -> None:
        self.log.append(f"{self.name}: step {trainer.epoch}.{trainer.batch}")

    def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
        self.log.append(f"{self.name}: epoch {trainer.epoch} {row['epoch']}")

    def on_fit_end(self, trainer: tg.Trainer) -> None:
        self.log.append(f"{self.name}: end")


class Fails(train.Callback):
    def on_fit_start(self, trainer: tg.Trainer) -> None:
        raise RuntimeError("not now")


def test_callbacks_that_were_started_are_ended_where_another_fails():
    log: list[str] = []
    with pytest.raises(RuntimeError, match="not now"):
        small.plain(callbacks=[Log("a", log), Fails(), Log("b", log)]).fit(*small.parts())
    assert log == ["a: start", "a: end"]


def test_callbacks_are_called_in_order():
    log: list[str] = []
    trainer = small.plain(epochs=2, batch_size=35, callbacks=[Log("a", log), Log("b", log)])
    trainer.fit(*small.parts())
    moments = ["start", "step 0.1", "step 0.2", "epoch 1 1", "step 1.1", "step 1.2", "epoch 2 2", "end"]
    assert log == [f"{name}: {moment}" for moment in moments for name in "ab"]


def test_after_the_end_another_call_calls_nothing():
    log: list[str] = []
    trainer = small.plain(epochs=1, batch_size=70)
    history = trainer.fit(*small.parts())
    trainer.callbacks.append(Log("a", log))
    assert trainer.fit(*small.parts()) is history
    assert log == []


def test_callbacks_hear_of_the_end_when_training_fails():
    log: list[str] = []
    trainer = small.plain(callbacks=[small.CrashAfter(2), Log("a", log)])
    with pytest.raises(small.Crash):
        trainer.fit(*small.parts())
    assert log == ["a: start", "a: step 0.1", "a: end"]


@pytest.mark.usefixtures("no_figures")
def test_what_a_callback_writes_into_the_row_gets_into_the_file(run: Path):
    class Tenfold(train.Callback):
        def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
            row["tenfold"] = 10 * row["epoch"]

    history = small.plain(out=run, callbacks=[Tenfold()]).fit(*small.parts())
    assert history["tenfold"] == [10, 20, 30]
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["tenfold"] for line in lines] == [10, 20, 30]


@pytest.mark.parametrize("moment", ["on_step_end", "on_epoch_end"])
def test_a_callback_may_stop_training(moment: str):
    def stop(self: train.Callback, trainer: tg.Trainer, *row: Any) -> None:
        if len(trainer.history.rows) == 2:  # in the third epoch, or at the end of the second
            trainer.stop("enough")

    callback = type("Stop", (train.Callback,), {moment: stop})()
    trainer = small.plain(epochs=5, callbacks=[callback])
    history = trainer.fit(*small.parts())
    assert history["epoch"] == [1, 2, 3][: 3 if moment == "on_step_end" else 2]  # an epoch is brought to its end
    assert trainer.stop_reason == "enough"
    assert trainer.finished


# What it refuses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda part: part, lambda part: data.Subset(part, range(40))], ids=["whole", "part"])
def test_the_test_split_is_locked_before_anything_happens(wrap: Any, run: Path):
    training, validation = small.parts()
    locked = wrap(small.locked_part())
    trainer = small.plain(out=run)
    before = small.weights(trainer.net)
    for parts, purpose in (((locked, validation), "train"), ((training, locked), "validate")):
        with pytest.raises(
            DataError, match=rf"got .*test, \d+ samples\) to {purpose} on, but the test split is locked"
        ):
            trainer.fit(*parts)
    assert locked.uses == 0
    assert small.weights(trainer.net) == before
    assert not run.exists()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda part: data.DataLoader(part, 10), "got a DataLoader, expected its data set"),
        (lambda part: list(part.arrays), "got a list, expected a data set; data.TensorDataset"),
        (lambda part: part.arrays, "got a tuple, expected a data set"),
        (lambda part: 5, "got a int, expected a data set"),
    ],
    ids=["loader", "list", "tuple", "int"],
)
def test_what_is_no_data_set(made: Any, message: str):
    training, validation = small.parts()
    with pytest.raises(ArgumentError, match=message):
        small.plain().fit(made(training), validation)
    with pytest.raises(ArgumentError, match=message):
        small.plain().fit(training, made(validation))


@pytest.mark.parametrize("seed", [None, -1, 0.5])
def test_the_seed_is_a_whole_number(seed: Any):
    with pytest.raises(ArgumentError, match=f"Trainer: seed is {seed}, expected a whole number from 0"):
        small.plain(seed=seed)


def test_drop_last_must_leave_a_batch():
    with pytest.raises(DataError, match="drop_last leaves no batch: the data set has 70 samples, a batch 71"):
        small.plain(batch_size=71, drop_last=True).fit(small.parts()[0])


def test_a_run_under_way_goes_on_with_the_same_data_only():
    trainer = small.plain(callbacks=[small.CrashAfter(2)])
    training, validation = small.parts()
    with pytest.raises(small.Crash):
        trainer.fit(training, validation)
    with pytest.raises(ArgumentError, match=r"it differs: .*validation\.samples: was 30, is 20"):
        trainer.fit(training, data.Subset(validation, range(20)))
    trainer.fit(training, validation)
    assert trainer.finished
