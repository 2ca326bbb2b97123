"""Small data and nets that train in milliseconds."""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import data, nn, optim

EXAMPLES = Path(__file__).parents[2] / "examples"


def blobs(count: int, split: str | None, seed: int = 0) -> data.TensorDataset:
    """Three clouds of points (N, 4) with their labels, each around a corner of its own."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    points = np.eye(4)[labels] * 2 + random.normal(size=(count, 4))
    return data.TensorDataset(points.astype(np.float32), labels, name="blobs", split=split)


def garments(count: int, split: str = "train") -> data.ImageDataset:
    """Random pictures (N, 6, 6), brighter on the left or on the right by their class."""
    random = np.random.default_rng(count)
    labels = np.arange(count) % 2
    images = random.integers(0, 128, (count, 6, 6))
    images[labels == 0, :, :3] += 100
    images[labels == 1, :, 3:] += 100
    return data.ImageDataset(
        images.astype(np.uint8), labels, classes=["left", "right"], standardization="global", name="sides", split=split
    )


@pytest.fixture
def train() -> data.TensorDataset:
    return blobs(90, "train")


@pytest.fixture
def val() -> data.TensorDataset:
    return blobs(30, "validation", seed=1)


@pytest.fixture
def test_part() -> data.TensorDataset:
    return blobs(30, "test", seed=2)


@pytest.fixture
def images() -> data.ImageDataset:
    return garments(40)


@pytest.fixture
def val_images() -> data.ImageDataset:
    return garments(20, "validation")


@pytest.fixture
def make() -> Callable[..., tg.Trainer]:
    """A Trainer of a small net with dropout, made anew from the same seed at each call."""

    def make(inputs: int = 4, classes: int = 3, **settings) -> tg.Trainer:
        tg.manual_seed(1)
        net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, classes))
        optimizer = optim.Adam(net.named_parameters(), lr=settings.pop("lr", 0.01))
        schedule = settings.pop("schedule", None)
        if schedule is not None:
            settings["schedule"] = schedule(optimizer)
        decay = settings.pop("ema", None)
        if decay is not None:
            settings["average"] = optim.ExponentialMovingAverage(net, decay)
        return tg.Trainer(net, optimizer, **{"epochs": 3, "batch_size": 16, "progress": False, **settings})

    return make


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where a run may leave its files."""
    return tmp_path / "run"


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures, which take far longer than the training of these tests."""
    monkeypatch.setattr(tg.train.RunFolder, "draw", lambda *arguments: None)


@pytest.fixture
def load_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Of a script of examples/ by its name: it as a module, on a few hundred drawn images, in an empty folder."""

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.DATA["synthetic-fashion"] = partial(data.synthetic_fashion, 500, 100)
        monkeypatch.chdir(tmp_path)
        return module

    threads = tg.get_num_threads()
    yield load
    tg.set_num_threads(threads)
