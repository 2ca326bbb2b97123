"""What the tests of training share: data and nets that train in a moment, and the crash that a run must survive."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_mlp as tg
from tinygrad_mlp import nn, optim, train
from tinygrad_mlp.data import TensorDataset
from tinygrad_mlp.kernels.threads import OnThreads

FEATURES, CLASSES, BATCH = 8, 3, 16
STEPS = 5  # in an epoch: four whole batches and one of 6 samples
CLOCK = ("seconds", "images_per_second")  # what differs between two runs that are otherwise alike


def parts(dtype: Any = np.float32) -> tuple[TensorDataset, TensorDataset]:
    """Three overlapping clouds of points: 70 to train on, 30 to validate on."""
    rng = np.random.default_rng(3)
    labels = np.arange(100) % CLASSES
    centres = rng.normal(size=(CLASSES, FEATURES))
    points = (centres[labels] + rng.normal(size=(100, FEATURES))).astype(dtype)
    training = TensorDataset(points[:70], labels[:70], name="clouds", split="train")
    return training, TensorDataset(points[70:], labels[70:], name="clouds", split="validation")


def noted_threads() -> list[int]:
    """On how many threads kernels run from now on, for each time that they run on several."""
    noted: list[int] = []
    enter = OnThreads.__enter__

    def enter_noting(block: OnThreads) -> None:
        noted.append(block._threads)
        enter(block)

    OnThreads.__enter__ = enter_noting
    return noted


def locked_part() -> TensorDataset:
    """A test split, which nothing may train on."""
    training, _ = parts()
    return TensorDataset(*training.arrays, name="clouds", split="test")


def plain_net() -> nn.Sequential:
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def plain(**options: Any) -> tg.Trainer:
    """Adam on a plain net."""
    net = plain_net()
    return tg.Trainer(net, optim.Adam(net.parameters(), lr=0.02), **defaults(options))


def everything(**options: Any) -> tg.Trainer:
    """A Trainer with all that has a state: running statistics, two random generators, momenta, one-cycle, average."""
    tg.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(FEATURES, 12),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Dropout(0.3, generator=tg.Generator(5)),
        nn.Linear(12, 7),
        nn.Dropout(0.2),
        nn.Linear(7, CLASSES),
    )
    optimizer = optim.AdamW(net.parameters())
    steps = options.get("epochs", 3) * STEPS
    parts = {
        "schedule": optim.OneCycleLR(optimizer, max_lr=0.05, total_steps=steps),
        "average": optim.ExponentialMovingAverage(net, 0.9),
        "clip_norm": 0.5,
    }
    return tg.Trainer(net, optimizer, **{**parts, **defaults(options)})


def defaults(options: dict[str, Any]) -> dict[str, Any]:
    return {"epochs": 3, "batch_size": BATCH, "progress": False, **options}


def weights(net: nn.Module) -> dict[str, bytes]:
    """All of a net's state, buffers included."""
    return {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}


def digest(net: nn.Module) -> str:
    """The same in one short text."""
    return hashlib.sha256(repr(sorted(weights(net).items())).encode()).hexdigest()


def without_clock(history: train.History) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in history.rows]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


ROOT = Path(__file__).parents[2]


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a process of its own, in which `tests.train.small` can be imported."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def steps_done(trainer: tg.Trainer) -> int:
    return trainer.epoch * len(trainer.loader) + trainer.batch


class Crash(BaseException):
    """As sudden as a process may end from within: nothing in training catches it."""


class CrashAfter(train.Callback):
    """Crash when so many steps of the run are done."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, trainer: tg.Trainer) -> None:
        if steps_done(trainer) == self.steps:
            raise Crash


class Recorder(train.Callback):
    """What a run went through: digests of the weights after each step, weights and modes after each epoch."""

    def __init__(self) -> None:
        self.after_step: list[str] = []
        self.after_epoch: list[dict[str, bytes]] = []

    def on_step_end(self, trainer: tg.Trainer) -> None:
        self.after_step.append(digest(trainer.net))

    def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
        self.after_epoch.append(weights(trainer.net))
