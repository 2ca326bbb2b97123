"""Early stopping, both ways, on validation losses that are laid down in advance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tinygrad_mlp as tg
from tests.train import small
from tinygrad_mlp import nn, optim, train


class Planned(nn.Module):
    """Cross-entropy while training; in validation the losses that the test wants."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = iter(losses)

    def forward(self, output: tg.Tensor, target: tg.Tensor) -> tg.Tensor:
        if tg.is_grad_enabled():
            return nn.functional.cross_entropy(output, target)
        return tg.tensor(next(self.losses))


def fit(losses: list[float], **options: Any) -> tuple[tg.Trainer, small.Recorder]:
    recorder = small.Recorder()
    net = small.plain_net()
    trainer = tg.Trainer(
        net,
        optim.SGD(net.parameters(), lr=0.1),
        Planned(losses),
        **small.defaults({"epochs": len(losses), "callbacks": [recorder], **options}),
    )
    history = trainer.fit(*small.parts())
    assert history["val_loss"] == pytest.approx(losses[: len(history.rows)])
    return trainer, recorder


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([5, 4, 3, 3.5, 3.1, 2], 2, 5, 3),  # two epochs without a new lowest
        ([5, 4, 3, 3.5, 2, 2.5, 2.4, 1], 2, 7, 5),  # a new lowest begins the count anew
        ([3, 3, 3, 1], 2, 3, 1),  # equal is not lower
        ([1, 2, 0.5], 1, 2, 1),
        ([5, 4, 3, 2], 1, 4, 4),  # nothing to stop for
        ([5, 4, 4.5, 4.4], 3, 4, 2),  # not enough epochs left to lose patience
    ],
)
def test_no_lower_loss(losses: list[float], patience: int, epochs: int, best: int):
    trainer, recorder = fit(losses, patience=patience)
    check(trainer, recorder, epochs, best)
    stopped_early = epochs < len(losses)
    assert trainer.stop_reason == (f"no lower validation loss in {patience} epochs" if stopped_early else None)


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([5, 4, 4.1, 4.2, 4.3, 1], 3, 5, 2),  # three increases in a row
        ([5, 1, 2, 3, 2.9, 3, 3.1, 0.5], 3, 8, 8),  # a decrease between them: it goes on
        ([5, 1, 2, 2, 3, 4, 0.5], 3, 7, 7),  # equal is no increase
        ([1, 2, 0.5], 1, 2, 1),
        ([3, 2, 2.5, 2.4, 2.3, 2.2, 2.1], 2, 7, 2),  # long without a new lowest, but falling
    ],
)
def test_increases_in_a_row(losses: list[float], patience: int, epochs: int, best: int):
    trainer, recorder = fit(losses, patience=patience, stop_on="increases")
    check(trainer, recorder, epochs, best)
    stopped_early = epochs < len(losses)
    assert trainer.stop_reason == (f"the validation loss rose {patience} times in a row" if stopped_early else None)


def check(trainer: tg.Trainer, recorder: small.Recorder, epochs: int, best: int) -> None:
    """The number of epochs, and that the net has the best one's weights."""
    assert trainer.history["epoch"] == list(range(1, epochs + 1))
    assert trainer.history.best == trainer.history.rows[best - 1]
    assert len({repr(weights) for weights in recorder.after_epoch}) == epochs  # else any of them would do
    assert small.weights(trainer.net) == recorder.after_epoch[best - 1]


def test_without_patience_all_epochs_are_made():
    trainer, recorder = fit([1, 2, 3, 4, 5])
    check(trainer, recorder, 5, 1)


def test_averaged_weights_of_the_best_epoch_come_back():
    averages: list[dict[str, bytes]] = []

    class Average(train.Callback):
        def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
            state = trainer.average.state_dict()["average"]
            averages.append({name: array.tobytes() for name, array in state.items()})

    net = small.plain_net()
    trainer = tg.Trainer(
        net,
        optim.SGD(net.parameters(), lr=0.1),
        Planned([3, 2, 4, 5, 6]),
        average=optim.ExponentialMovingAverage(net, 0.8),
        patience=2,
        **small.defaults({"epochs": 5, "callbacks": [Average()]}),
    )
    trainer.fit(*small.parts())
    assert len(averages) == 4
    assert small.weights(net) == averages[1]


@pytest.mark.usefixtures("no_figures")
def test_the_manifest_says_why_it_stopped(run: Path):
    fit([1, 2, 3, 4], patience=2, out=run)
    manifest = (run / "manifest.json").read_text()
    assert '"stopped": "no lower validation loss in 2 epochs"' in manifest
    assert '"epoch": 1' in manifest
