"""A NaN or an infinity stops training: where, on which samples, and which op and module made it; nothing is harmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.train import small
from tinygrad_mlp import data, nn, optim, train
from tinygrad_mlp.errors import NonFiniteError

pytestmark = pytest.mark.usefixtures("no_figures")


class Log(nn.Module):
    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x.log()


class Root(nn.Module):
    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x.abs().sqrt()  # its slope at 0 is infinite


class NaNInUse(nn.Module):
    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x if self.training else x * float("nan")


def trainer_of(*layers: nn.Module, lr: float = 0.1, **options: Any) -> tg.Trainer:
    net = nn.Sequential(*layers)
    return tg.Trainer(net, optim.SGD(net.named_parameters(), lr=lr), **small.defaults(options))


def place_of(trainer: tg.Trainer, sample: int, epoch: int = 0) -> int:
    """The step, from 1, in which a sample's turn comes."""
    return int(np.flatnonzero(trainer.loader.order(epoch) == sample)[0]) // trainer.batch_size + 1


def poisoned(value: float, sample: int = 37) -> data.TensorDataset:
    """The clouds with one bad number, which the data set was told not to look for."""
    points, labels = small.parts()[0].arrays
    points = points.copy()
    points[sample, 2] = value
    return data.TensorDataset(points, labels, name="clouds", split="train", finite=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_data_are_named(value: float):
    trainer = small.everything()
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(poisoned(value), small.parts()[1])
    step = place_of(trainer, 37)
    assert step > 1, "earlier steps must be possible for this test to say anything"
    message = str(caught.value)
    assert f"training stopped in epoch 1, step {step} of 5" in message
    assert "the data themselves: the input of sample(s) 37 holds a NaN or an infinity" in message
    first = (step - 1) * small.BATCH
    listed = ", ".join(map(str, trainer.loader.order(0)[first : first + 10]))
    assert f"batch: samples {listed}, … of the training data, trainer.loader.order(0)[{first}:{first + 16}]" in message


def test_bad_targets_are_named():
    targets = np.ones((10, 3), np.float32)
    targets[6, 1] = np.nan
    values = data.TensorDataset(np.ones((10, 4), np.float32), targets, finite=False)
    tg.manual_seed(0)
    with pytest.raises(NonFiniteError, match=r"the target of sample\(s\) 6 holds a NaN"):
        trainer_of(nn.Linear(4, 3), loss=F.mse_loss, batch_size=10).fit(values)


def test_all_the_nets_state_is_that_before_the_step():
    recorder = small.Recorder()
    trainer = small.everything(callbacks=[recorder])
    averages: list[Any] = []

    class Average(train.Callback):
        def on_step_end(self, trainer: tg.Trainer) -> None:
            averages.append(trainer.average.state_dict())

    trainer.callbacks.append(Average())
    with pytest.raises(NonFiniteError):
        trainer.fit(poisoned(float("nan")), small.parts()[1])
    assert len(recorder.after_step) == place_of(trainer, 37) - 1 > 0
    assert small.digest(trainer.net) == recorder.after_step[-1]  # weights and running statistics
    assert repr(trainer.average.state_dict()) == repr(averages[-1])
    assert all(parameter.grad is None for parameter in trainer.net.parameters())


def test_the_first_op_and_its_module_are_named():
    tg.manual_seed(0)
    trainer = trainer_of(nn.Linear(small.FEATURES, 4), nn.Sequential(nn.Identity(), Log()), nn.Linear(4, 3))
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(small.parts()[0])
    message = str(caught.value)
    assert "training stopped in epoch 1, step 1 of 5: backward: the loss is nan" in message
    assert "first cause: op log in net.1.1: Log()" in message


def test_looking_for_the_cause_leaves_no_trace():
    tg.manual_seed(0)
    trainer = trainer_of(nn.BatchNorm1d(small.FEATURES), nn.Dropout(0.2), Log(), nn.Linear(small.FEATURES, 3))
    before, generator = small.weights(trainer.net), tg.default_generator.get_state()
    with pytest.raises(NonFiniteError, match=r"first cause: op log in net\.2"):
        trainer.fit(small.parts()[0])
    assert small.weights(trainer.net) == before
    assert np.array_equal(tg.default_generator.get_state(), generator)
    assert all(parameter.grad is None for parameter in trainer.net.parameters())


def test_dropout_masks_are_the_same_when_the_cause_is_looked_for():
    # Only where dropout puts a zero is the logarithm infinite; another mask would very likely have none.
    tg.manual_seed(1)
    values = data.TensorDataset(np.full((64, 4), 2.0, np.float32), np.zeros((64, 4), np.float32))
    trainer = trainer_of(nn.Dropout(0.002, generator=tg.Generator(3)), Log(), nn.Linear(4, 4), loss=F.mse_loss)
    trainer.epochs = 1000
    with pytest.raises(NonFiniteError, match=r"first cause: op log in net.1: Log"):
        trainer.fit(values)
    assert trainer.epoch > 0, "it must not be the first mask for this test to say anything"


def test_gradients_that_are_infinite():
    values = data.TensorDataset(np.zeros((8, 2), np.float32), np.ones((8, 2), np.float32))
    tg.manual_seed(0)
    trainer = trainer_of(nn.Linear(2, 2, bias=False), Root(), loss=F.mse_loss)
    before = small.weights(trainer.net)
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(values)
    message = str(caught.value)
    assert "SGD.step: the gradient of 0.weight (shape (2, 2))" in message
    assert "first cause: op sqrt in net.1: Root(): its backward gave" in message
    assert small.weights(trainer.net) == before


def test_gradients_that_overflow_only_in_sum():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(np.full((1, 1), 1e-30, np.float32))

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return x * self.scale

    values = data.TensorDataset(np.full((4, 1), 3e38, np.float32), np.zeros((4, 1), np.float32))
    trainer = trainer_of(Twice(), loss=lambda output, target: (output - target).sum(), batch_size=4)
    with pytest.raises(NonFiniteError, match=r"the gradient of 0\.scale"):
        trainer.fit(values)
    assert trainer.net[0].scale.item() == pytest.approx(1e-30)


def test_gradients_that_overflow_because_they_are_not_emptied():
    class NeverEmptied(tg.Trainer):
        def training_step(self, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
            output = self.net(x)
            loss = self.loss(output, y)
            loss.backward()
            self.optimizer.step()
            return loss, output

    net = nn.Linear(1, 1, bias=False)
    values = data.TensorDataset(np.full((3, 1), 2e38, np.float32), np.zeros((3, 1), np.float32))
    trainer = NeverEmptied(
        net, optim.SGD(net.parameters(), lr=0.0), lambda output, target: output.sum(), batch_size=1, progress=False
    )
    nn.init.constant_(net.weight, 1e-30)
    with pytest.raises(NonFiniteError, match=r"step 2 of 3(?s:.*)no op of this batch by itself"):
        trainer.fit(values)


def test_a_rate_that_is_too_high():
    recorder = small.Recorder()
    tg.manual_seed(0)
    trainer = trainer_of(nn.Linear(small.FEATURES, 3), lr=1e38, callbacks=[recorder])
    with pytest.raises(
        NonFiniteError, match=r"training stopped in epoch 1, step [2-5] of 5(?s:.*)op linear in net.0: Linear\(8, 3\)"
    ):
        trainer.fit(small.parts()[0])
    assert small.digest(trainer.net) == recorder.after_step[-1]


def test_clipping_does_not_hide_it():
    with pytest.raises(NonFiniteError, match="sample"):
        small.plain(clip_norm=1.0).fit(poisoned(float("nan")))


@pytest.mark.parametrize("made", [small.plain, small.everything])
def test_the_last_good_checkpoint_stays(run: Path, made: Callable[..., tg.Trainer]):
    trainer = made(out=run, checkpoint_every=1)
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(poisoned(float("nan")), small.parts()[1])
    step = place_of(trainer, 37)
    assert f"checkpoint is {run / 'checkpoint.safetensors'}" in str(caught.value)
    arrays, info = train.load_checkpoint(run / "checkpoint.safetensors")
    assert (info["epoch"], info["batch"]) == (0, step - 1)
    assert all(np.isfinite(array).all() for array in arrays.values())
    with pytest.raises(NonFiniteError, match=f"epoch 1, step {step} of 5(?s:.*)sample\\(s\\) 37"):  # and so again
        made(out=run, resume=True).fit(poisoned(float("nan")), small.parts()[1])


def test_without_a_folder_no_checkpoint_is_promised():
    with pytest.raises(NonFiniteError) as caught:
        small.plain().fit(poisoned(float("nan")))
    assert "checkpoint" not in str(caught.value)


def test_validation_that_is_not_finite(run: Path):
    tg.manual_seed(0)
    trainer = trainer_of(nn.Linear(small.FEATURES, 3), NaNInUse(), out=run, checkpoint_every=1)
    with pytest.raises(NonFiniteError, match=r"validation after epoch 1: .*NaN(?s:.*)run/checkpoint\.safetensors"):
        trainer.fit(*small.parts())
    assert train.load_checkpoint(run / "checkpoint.safetensors")[1]["batch"] == 5


def test_a_regression_whose_validation_is_not_finite():
    x = np.ones((8, 2), np.float32)
    trainer = trainer_of(nn.Linear(2, 2), NaNInUse(), loss=F.mse_loss)
    with pytest.raises(
        NonFiniteError, match=r"validation after epoch 1: evaluate: the loss of samples 0 to 7 of .* is nan"
    ):
        trainer.fit(data.TensorDataset(x, x), data.TensorDataset(x, x))


def test_running_statistics_that_overflow():
    """The batch itself is normalised without harm, but its variance is infinite and would be used ever after."""
    trainer = trainer_of(nn.BatchNorm1d(small.FEATURES), nn.Linear(small.FEATURES, 3))
    with pytest.raises(NonFiniteError, match="running_var"):
        trainer.fit(poisoned(3e38), small.parts()[1])
