"""The Trainer against loops written out, and its refusals. Interrupted and resumed runs: test_resume.py."""

import math
from functools import partial

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import data, nn, optim
from tinygrad_mlp.errors import ArgumentError, DataError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.train import Callback


def weights(net):
    return {name: tensor.array.copy() for name, tensor in net.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_it_does_what_a_loop_written_by_hand_does(make, train):
    trainer = make(epochs=2, seed=5)
    history = trainer.fit(train)

    by_hand = make()
    net, optimizer = by_hand.net, by_hand.optimizer
    loader = data.DataLoader(train, 16, shuffle=True, seed=5)
    for _ in range(2):
        losses, right = [], 0
        for x, y in loader:
            optimizer.zero_grad()
            output = net(x)
            loss = F.cross_entropy(output, y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item() * len(y))
            right += int((output.argmax(1) == y).sum())
    assert_same(weights(trainer.net), weights(net))
    assert history["train_loss"][-1] == pytest.approx(sum(losses) / 90)
    assert history["train_accuracy"][-1] == right / 90
    assert history["lr"] == [0.01, 0.01]
    assert history["epoch"] == [1, 2]
    assert all(seconds >= 0 for seconds in history["seconds"])


def test_the_same_seed_gives_the_same_weights_and_another_one_others(make, train, val):
    trained = []
    for seed in (0, 0, 1):
        trainer = make(seed=seed)
        trainer.fit(train, val)
        trained.append(weights(trainer.net))
    assert_same(trained[0], trained[1])
    assert not np.array_equal(trained[0]["1.weight"], trained[2]["1.weight"])


class Snapshots(Callback):
    def __init__(self):
        self.of_epoch = []

    def on_epoch_end(self, trainer, row):
        self.of_epoch.append(weights(trainer.net))


def test_it_ends_with_the_weights_of_the_lowest_validation_loss(make, train, val):
    snapshots = Snapshots()
    trainer = make(epochs=12, lr=0.3, callbacks=[snapshots])
    history = trainer.fit(train, val)
    best = int(np.argmin(history["val_loss"]))
    assert best < 11, "choose a learning rate so high that the last epoch is not the best"
    assert_same(weights(trainer.net), snapshots.of_epoch[best])
    assert tg.evaluate(trainer.net, val).loss == pytest.approx(history.best["val_loss"])


def test_validation_changes_nothing_in_training(make, train, val):
    one = make(epochs=1)
    one.fit(train, val)
    other = make(epochs=1)
    other.fit(train)
    assert_same(weights(one.net), weights(other.net))


class FixedLosses(tg.Trainer):
    """Validation losses as listed, whatever the net does."""

    losses = ()

    def _validate(self):
        _, accuracy = super()._validate()
        return self.losses[self.epoch], accuracy


@pytest.mark.parametrize(
    ("stop_on", "patience", "losses", "epochs", "reason"),
    [
        ("loss", 2, [3, 2, 2.5, 2.4, 1], 4, "no lower validation loss in 2 epochs"),
        ("loss", 2, [3, 2, 2.5, 1, 1.5, 1], 6, "no lower validation loss in 2 epochs"),
        ("increases", 2, [3, 2, 2.5, 2.4, 2.6, 2.7, 0], 6, "the validation loss rose 2 times in a row"),
        ("increases", 1, [3, 3, 3, 2, 2.5, 0], 5, "the validation loss rose 1 times in a row"),
        ("loss", 9, [3, 4, 5], 3, None),
    ],
)
def test_early_stopping(make, train, val, stop_on, patience, losses, epochs, reason):
    trainer = make(epochs=len(losses), patience=patience, stop_on=stop_on)
    trainer.__class__ = FixedLosses
    trainer.losses = losses
    history = trainer.fit(train, val)
    assert len(history.rows) == epochs
    assert trainer.stop_reason == reason


def test_a_callback_may_stop_training_and_add_a_column(make, train, val):
    calls = []

    class Stop(Callback):
        def on_fit_start(self, trainer):
            calls.append("start")

        def on_step_end(self, trainer):
            calls.append(trainer.batch)

        def on_epoch_end(self, trainer, row):
            row["twice"] = 2 * row["epoch"]
            if row["epoch"] == 2:
                trainer.stop("enough")

        def on_fit_end(self, trainer):
            calls.append("end")

    trainer = make(epochs=5, callbacks=[Stop()])
    history = trainer.fit(train, val)
    assert history["twice"] == [2, 4]
    assert calls == ["start", *range(1, 7), *range(1, 7), "end"]


def test_one_cycle_steps_with_each_batch_and_others_with_each_epoch(make, train, val):
    class Rates(Callback):
        def __init__(self):
            self.seen = []

        def on_step_end(self, trainer):
            self.seen.append(trainer.optimizer.param_groups[0]["lr"])

    rates = Rates()
    cycle = partial(optim.OneCycleLR, max_lr=0.1, total_steps=12)
    make(epochs=2, schedule=cycle, callbacks=[rates]).fit(train, val)
    assert len(set(rates.seen)) == 12

    rates = Rates()
    halving = partial(optim.StepLR, step_size=1, gamma=0.5)
    history = make(epochs=3, lr=0.4, schedule=halving, callbacks=[rates]).fit(train, val)
    assert rates.seen == [0.4] * 6 + [0.2] * 6 + [0.1] * 6
    assert history["lr"] == [0.4, 0.2, 0.1]

    rates = Rates()
    make(epochs=1, lr=0.4, schedule=halving, schedule_every="batch", callbacks=[rates]).fit(train, val)
    assert rates.seen == [0.4 * 0.5**step for step in range(1, 7)]


def test_a_plateau_schedule_gets_the_validation_loss(make, train, val):
    trainer = make(epochs=4, lr=0.4, schedule=partial(optim.ReduceLROnPlateau, patience=0, factor=0.5))
    trainer.__class__ = FixedLosses
    trainer.losses = [2, 1, 1.5, 1.4]
    assert trainer.fit(train, val)["lr"] == [0.4, 0.4, 0.4, 0.2]
    assert trainer.optimizer.param_groups[0]["lr"] == 0.1


def test_the_averaged_weights_are_validated_and_kept(make, train, val):
    plain = make(epochs=1)
    plain.fit(train, val)
    averaged = make(epochs=1, ema=0.9)
    history = averaged.fit(train, val)
    expected = averaged.average.state_dict()["average"]
    assert_same(weights(averaged.net), expected)
    assert not np.array_equal(plain.net[1].weight.array, averaged.net[1].weight.array)
    assert tg.evaluate(averaged.net, val).loss == pytest.approx(history["val_loss"][0])


def test_gradients_are_clipped_in_norm(make, train):
    seen = []

    class Norms(Callback):
        def on_step_end(self, trainer):
            squares = [float((parameter.grad * parameter.grad).sum()) for parameter in trainer.net.parameters()]
            seen.append(math.sqrt(sum(squares)))

    make(epochs=1, clip_norm=1e-3, callbacks=[Norms()]).fit(train)
    assert seen == pytest.approx([1e-3] * 6, rel=0.01)


def test_a_smaller_last_batch_may_be_left_out(make, train):
    class Count(Callback):
        steps = 0

        def on_step_end(self, trainer):
            self.steps += 1

    count = Count()
    make(epochs=1, drop_last=True, callbacks=[count]).fit(train)
    assert count.steps == 5


def test_values_instead_of_labels():
    x = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    values = data.TensorDataset(x, 3 * x)
    net = nn.Linear(1, 1)
    trainer = tg.Trainer(net, optim.SGD(net.parameters(), lr=0.5), F.mse_loss, epochs=30, progress=False)
    history = trainer.fit(values, values)
    assert history["val_loss"][-1] < 1e-3
    assert history["train_accuracy"][0] is None
    assert history["val_accuracy"][0] is None


def test_an_empty_part_is_an_error_before_training_begins(make, train):
    empty = data.Subset(train, [], split="validation")
    trainer = make()
    with pytest.raises(DataError, match="to validate on, but it is empty"):
        trainer.fit(train, empty)
    assert trainer.history.rows == []
    with pytest.raises(DataError, match="to train on, but it is empty"):
        trainer.fit(data.Subset(train, []))


def test_the_test_split_is_locked(make, train, val, test_part):
    with pytest.raises(DataError, match=r"got TensorDataset\(blobs, test, 30 samples\) to train on, but the test"):
        make().fit(test_part, val)
    with pytest.raises(DataError, match="to validate on, but the test split is locked"):
        make().fit(train, test_part)
    with pytest.raises(DataError, match="locked"):
        make().fit(data.Subset(test_part, [0, 1]), val)
    assert test_part.uses == 0


def test_testing_counts_a_use(make, train, val, test_part):
    trainer = make()
    trainer.fit(train, val)
    assert trainer.test(test_part).n == 30
    assert test_part.uses == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs=0, expected a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"patience": 0}, "patience=0"),
        ({"clip_norm": -1}, "clip_norm=-1"),
        ({"stop_on": "accuracy"}, "stop_on='accuracy', expected 'loss' or 'increases'"),
        ({"schedule_every": "step"}, "schedule_every='step', expected 'batch' or 'epoch'"),
        ({"schedule": optim.ReduceLROnPlateau, "schedule_every": "batch"}, "looks at the validation loss"),
        ({"schedule": partial(optim.ReduceLROnPlateau, mode="max")}, "mode='max', but it is given the validation loss"),
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
        ({"resume": True}, "resume=True needs the run's folder"),
        ({"lr": -1}, "lr=-1"),
    ],
)
def test_impossible_settings(make, settings, message):
    with pytest.raises(ArgumentError, match=message):
        make(**settings)


def test_what_was_made_of_another_net_is_refused(make):
    """As a notebook has it, where the cell of the net was run again and that of its optimizer was not."""
    old = make(ema=0.9, schedule=partial(optim.StepLR, step_size=1))
    net = make().net
    optimizer = optim.Adam(net.parameters())
    with pytest.raises(ArgumentError, match="ExponentialMovingAverage belongs to another net"):
        tg.Trainer(net, optimizer, average=old.average)
    with pytest.raises(ArgumentError, match="StepLR belongs to another optimizer"):
        tg.Trainer(net, optimizer, schedule=old.schedule)
    with pytest.raises(ArgumentError, match="ReduceLROnPlateau belongs to another optimizer"):
        tg.Trainer(net, optimizer, schedule=optim.ReduceLROnPlateau(old.optimizer))
    with pytest.raises(ArgumentError, match=r"4 of the optimizer's 4 parameters are not those of this net"):
        tg.Trainer(net, old.optimizer)
    net[1] = nn.Linear(4, 8)
    with pytest.raises(ArgumentError, match=r"2 of the optimizer's 4 parameters .* after the net has all its layers"):
        tg.Trainer(net, optimizer)


def test_a_part_of_the_net_or_a_loss_with_parameters_may_be_trained():
    net, loss = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), nn.Linear(3, 1)
    tg.Trainer(net, optim.Adam(net[1].parameters()))
    tg.Trainer(net, optim.Adam([*net.parameters(), *loss.parameters()]), loss)


def test_patience_and_plateau_need_validation_data(make, train):
    for settings in ({"patience": 2}, {"schedule": optim.ReduceLROnPlateau}):
        with pytest.raises(ArgumentError, match="need validation data"):
            make(**settings).fit(train)


def test_a_loader_in_place_of_data_is_refused(make, train):
    with pytest.raises(ArgumentError, match=r"Trainer.fit: got a DataLoader"):
        make().fit(data.DataLoader(train, 4))


def test_after_the_end_another_call_returns_the_history(make, train, val):
    trainer = make()
    history = trainer.fit(train, val)
    before = weights(trainer.net)
    assert trainer.fit(train, val) is history
    assert_same(weights(trainer.net), before)
    with pytest.raises(ArgumentError, match=r"it differs: .*train\.samples: was 90, is 30"):
        trainer.fit(data.Subset(val, np.arange(30), "train"), val)


def test_a_step_of_ones_own(train, val, make):
    trainer = make(epochs=1)

    class SignDescent(tg.Trainer):
        def training_step(self, x, y):
            self.net.zero_grad()
            output = self.net(x)
            loss = self.loss(output, y)
            loss.backward()
            with tg.no_grad():
                for parameter in self.net.parameters():
                    parameter -= 0.01 * parameter.grad.sign()
            return loss, output

    trainer.__class__ = SignDescent
    before = weights(trainer.net)["1.bias"]
    assert len(trainer.fit(train, val).rows) == 1
    steps = np.abs(weights(trainer.net)["1.bias"] - before) / 0.01
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_a_loss_of_ones_own_is_captured(make, train):
    """Two heads, each with its own loss: the same bits as a whole step of one's own, which runs eagerly."""

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)])

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return (self.heads[0](x) + self.heads[1](x)) * 0.5

    def both(trainer: tg.Trainer, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        first, second = (head(x) for head in trainer.net.heads)
        loss = (trainer.loss(first, y) + trainer.loss(second, y)) * 0.5
        return loss, ((first + second) * 0.5).detach()

    class ByLoss(tg.Trainer):
        def loss_and_output(self, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
            return both(self, x, y)

    class ByStep(tg.Trainer):
        def training_step(self, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
            self.optimizer.zero_grad()
            loss, output = both(self, x, y)
            loss.backward()
            self.optimizer.step()
            return loss, output

    def fit(kind: type[tg.Trainer]) -> tuple[list[np.ndarray], list[float]]:
        tg.manual_seed(1)
        net = Heads()
        trainer = kind(net, optim.Adam(net.parameters(), lr=0.05), epochs=4, batch_size=16, progress=False)
        history = trainer.fit(train)
        return [parameter.array for parameter in net.parameters()], history["train_accuracy"]

    (captured, scores), (eager, same) = fit(ByLoss), fit(ByStep)
    for one, other in zip(captured, eager, strict=True):
        np.testing.assert_array_equal(one, other)
    assert scores == same
    assert scores[-1] > scores[0]
    assert not np.array_equal(captured[0], captured[2])  # the heads differ
