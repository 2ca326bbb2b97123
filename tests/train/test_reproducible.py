"""Same seed, same bits: again, whatever else draws random numbers, and on any number of threads."""

from __future__ import annotations

from typing import Any

import tinygrad_mlp as tg
from tests.train import small


def test_the_seed_alone_decides_the_order_of_samples():
    runs: list[str] = []
    for seed, drawn in ((0, 1), (0, 4), (1, 1)):
        trainer = small.plain(seed=seed)
        tg.rand(drawn)  # the generator of weights and dropout goes its own way
        trainer.fit(small.parts()[0])
        runs.append(small.digest(trainer.net))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_the_whole_recipe_gives_the_same_bits_again():
    results: list[Any] = []
    for _ in range(2):
        trainer = small.everything()
        history = trainer.fit(*small.parts())
        results.append((small.weights(trainer.net), small.without_clock(history)))
    assert results[0] == results[1]


def test_dropout_follows_the_seed():
    digests: set[str] = set()
    for seed in (0, 0, 1):
        trainer = small.everything()
        tg.manual_seed(seed)
        trainer.fit(*small.parts())
        digests.add(small.digest(trainer.net))
    assert len(digests) == 2


THREADS = """
import numpy as np
import tinygrad_mlp as tg
from tests.train import small
from tinygrad_mlp import data, nn, optim

rng = np.random.default_rng(0)
labels = rng.integers(0, 10, 320)
points = (rng.normal(size=(10, 300))[labels] + rng.normal(size=(320, 300))).astype(np.float32)
training = data.TensorDataset(points[:256], labels[:256])
validation = data.TensorDataset(points[256:], labels[256:])
noted = small.noted_threads()
for threads in (4, 2, 1):
    noted.clear()
    tg.set_num_threads(threads)
    tg.manual_seed(0)
    net = nn.Sequential(  # 128 · 300 · 256 multiply-adds in the first layer: kernels run in parallel from 200 000 on
        nn.Linear(300, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 128), nn.Tanh(),
        nn.Linear(128, 10),
    )
    optimizer = optim.AdamW(net.parameters(), l1=1e-6)
    trainer = tg.Trainer(
        net, optimizer, average=optim.ExponentialMovingAverage(net), clip_norm=1.0, epochs=3, batch_size=128,
        progress=False,
    )
    history = trainer.fit(training, validation)
    print(threads, max(noted, default=1), small.digest(net), history["val_loss"])
"""


def test_one_two_and_four_threads_give_the_same_bits():
    result = small.run_python("-c", THREADS, NUMBA_NUM_THREADS="4")
    assert result.returncode == 0, result.stderr
    lines = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["4", "2", "1"]
    assert [line[1] for line in lines[:2]] == ["4", "2"], "no kernel ran on several threads"
    assert len({line[2] for line in lines}) == 1, result.stdout
