"""A Trainer's captured steps follow what a user's code reads, and what a callback changes, as steps without do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_mlp as tg
from tests.train import small
from tinygrad_mlp import nn, optim, train
from tinygrad_mlp.nn import functional as F

strength: Any = 0.0


class Penalised(tg.Trainer):
    """A loss with a term whose weight a callback raises, as in a variational autoencoder."""

    beta = 0.0

    def loss_and_output(self, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        output = self.net(x)
        return self.loss(output, y) + self.beta * output.square().mean(), output


def penalised(output: tg.Tensor, target: tg.Tensor) -> tg.Tensor:
    return F.cross_entropy(output, target) + strength * output.square().mean()


class PenalisedNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(small.FEATURES, small.CLASSES)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.linear(x) * (1 + strength)


def by_attribute(trainer: tg.Trainer) -> None:
    trainer.beta = 0.2 * trainer.epoch


def by_global(trainer: tg.Trainer) -> None:
    globals()["strength"] = 0.2 * trainer.epoch


class Raising(train.Callback):
    def __init__(self, change: Callable[[tg.Trainer], None]) -> None:
        self.change = change

    def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
        if trainer.epoch >= 2:
            self.change(trainer)


@pytest.mark.parametrize("epochs", [4, 12])  # so few values that each has its recording, and too many for that
@pytest.mark.parametrize(
    ("kind", "loss", "net", "change"),
    [
        (Penalised, F.cross_entropy, nn.Linear, by_attribute),
        (tg.Trainer, penalised, nn.Linear, by_global),
        (tg.Trainer, F.cross_entropy, PenalisedNet, by_global),
    ],
    ids=["loss_and_output", "loss", "forward"],
)
def test_a_weight_that_is_raised(
    kind: Any,
    loss: Any,
    net: Any,
    change: Any,
    epochs: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows: list[Any] = []
    for capture in (None, False):
        monkeypatch.setitem(globals(), "strength", 0.0)
        tg.manual_seed(0)
        made = net(small.FEATURES, small.CLASSES) if net is nn.Linear else net()
        options = small.defaults({"epochs": epochs, "capture": capture, "callbacks": [Raising(change)]})
        trainer = kind(made, optim.SGD(made.parameters(), lr=0.1), loss, **options)
        rows.append(small.without_clock(trainer.fit(*small.parts())))
    assert rows[0] == rows[1]
    said = capsys.readouterr().err
    assert ("recorded in 8 different ways" in said) == (epochs == 12)
