"""Training a convolutional net: the same bits on any number of threads, and after a crash at any step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.train import small
from tinygrad_mlp import data, nn, optim

SIDE = 13  # odd, so that pools and Winograd's tiles have edges


def parts(count: int = 70) -> tuple[data.ImageDataset, data.ImageDataset]:
    """Grey images whose bright quarter tells their class."""
    rng = np.random.default_rng(1)
    labels = np.arange(count + 30) % 4
    images = rng.integers(0, 100, (count + 30, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        image[label // 2 * 6 : label // 2 * 6 + 7, label % 2 * 6 : label % 2 * 6 + 7] += 120
    whole = data.ImageDataset(
        images.astype(np.uint8), labels, classes=["a", "b", "c", "d"], standardization="global", name="quarters"
    )
    return whole.divide(np.arange(count), np.arange(count, count + 30))


def trainer(width: int = 16, **options: Any) -> tg.Trainer:
    """Every kind of layer for images, one-cycle, an average of the weights, drawn images."""
    tg.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 13 -> 6
        nn.ResidualBlock(width, width + 5, stride=2),  # 6 -> 3
        nn.Dropout2d(0.2),
        nn.Conv2d(width + 5, width + 5, 3, padding="same"),  # Winograd's
        nn.GroupNorm(3, width + 5) if width % 3 == 1 else nn.GroupNorm(1, width + 5),
        nn.Tanh(),
        nn.Conv2d(width + 5, 12, (2, 3), stride=2, padding=1, dilation=1),
        nn.AvgPool2d(2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 4),
    )
    optimizer = optim.AdamW(net.parameters())
    batch_size = options.pop("batch_size", 16)
    epochs = options.pop("epochs", 2)
    steps = epochs * -(-options.pop("count", 70) // batch_size)
    return tg.Trainer(
        net,
        optimizer,
        schedule=optim.OneCycleLR(optimizer, max_lr=0.02, total_steps=steps),
        average=optim.ExponentialMovingAverage(net, 0.9),
        augmentation=data.Augmentation(horizontal_flip=0.5, shift=1, rotation=10, cutout=3),
        epochs=epochs,
        batch_size=batch_size,
        progress=False,
        **options,
    )


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    whole = trainer()
    history = whole.fit(*parts())
    return small.weights(whole.net), small.without_clock(history)


def test_it_learns(uninterrupted: Any):
    assert uninterrupted[1][-1]["train_loss"] < uninterrupted[1][0]["train_loss"]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("steps", [1, 4, 5, 7])
def test_it_goes_on_bit_for_bit(run: Path, uninterrupted: Any, steps: int):
    first = trainer(out=run, checkpoint_every=1)
    first.callbacks.append(small.CrashAfter(steps))
    with pytest.raises(small.Crash):
        first.fit(*parts())
    tg.manual_seed(999)
    second = trainer(out=run, resume=True)
    history = second.fit(*parts())
    assert (small.weights(second.net), small.without_clock(history)) == uninterrupted


THREADS = """
import tinygrad_mlp as tg
from tests.train import small
from tests.train.test_convolutional import parts, trainer

noted = small.noted_threads()
for threads in (4, 2, 1):
    noted.clear()
    tg.set_num_threads(threads)
    run = trainer(width=40, count=140, batch_size=70, epochs=2)
    history = run.fit(*parts(140))
    print(threads, max(noted, default=1), small.digest(run.net), history["val_loss"])
"""


def test_one_two_and_four_threads_give_the_same_bits():
    result = small.run_python("-c", THREADS, NUMBA_NUM_THREADS="4")
    assert result.returncode == 0, result.stderr
    lines = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines[:2]] == [["4", "4"], ["2", "2"]], "no kernel ran on several threads"
    assert len({line[2] for line in lines}) == 1, result.stdout
