"""k-fold cross-validation: every sample held out once, folds independent of one another, the sums right."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.train import small
from tinygrad_mlp import data, nn, optim, train
from tinygrad_mlp.errors import ArgumentError, DataError


def make(fold: int, part: data.Dataset) -> tg.Trainer:
    tg.manual_seed(fold)
    features = int(np.prod(part[0][0].shape))
    net = nn.Sequential(nn.Flatten(), nn.Linear(features, 6), nn.Tanh(), nn.Dropout(0.1), nn.Linear(6, 10))
    return tg.Trainer(net, optim.Adam(net.parameters(), lr=0.02), epochs=2, batch_size=16, progress=False, seed=fold)


def clouds() -> data.TensorDataset:
    return small.parts()[0]


def garments() -> data.ImageDataset:
    return data.synthetic_fashion(60, 5, validation=0.0)[0]


@pytest.mark.parametrize("dataset", [clouds, garments])
def test_every_sample_is_held_out_once(dataset: Any):
    whole = dataset()
    seen: list[tuple[list[Any], list[Any]]] = []

    class Watch(tg.Trainer):
        def fit(self, training: Any, held_out: Any = None) -> train.History:
            seen.append((labels_and_sums(training), labels_and_sums(held_out)))
            assert (training.split, held_out.split) == ("train", "validation")
            return super().fit(training, held_out)

    def make_watched(fold: int, part: data.Dataset) -> tg.Trainer:
        trainer = make(fold, part)
        return Watch(trainer.net, trainer.optimizer, epochs=1, batch_size=16, progress=False)

    train.cross_validate(make_watched, whole, folds=4)
    everything = sorted(labels_and_sums(whole))
    assert len(seen) == 4
    for training, held_out in seen:
        assert sorted(training + held_out) == everything
        assert abs(len(held_out) - len(whole) / 4) < 3
    assert sorted(sample for _, held_out in seen for sample in held_out) == everything


def labels_and_sums(part: Any) -> list[tuple[int, int]]:
    """What tells samples apart, whatever their standardisation."""
    if isinstance(part, data.ImageDataset):
        return [(int(label), int(image.sum())) for image, label in zip(part.images, part.labels, strict=True)]
    return [(int(y.item()), int(x.numpy().view(np.uint32).astype(np.int64).sum())) for x, y in part]


@pytest.mark.parametrize("dataset", [clouds, garments])
def test_folds_are_as_if_trained_alone(dataset: Any):
    whole = dataset()
    result = train.cross_validate(make, whole, folds=3, seed=5)
    if isinstance(whole, data.ImageDataset):
        parts = list(data.k_fold(whole, 3, 5))
    else:
        parts = [(data.Subset(whole, a, "train"), data.Subset(whole, b)) for a, b in data.plain_folds(70, 3, 5)]
    for number in (2, 0):  # in another order: nothing may depend on the folds before
        training, held_out = parts[number]
        trainer = make(number, training)
        history = trainer.fit(training, data.Subset(held_out, range(len(held_out)), "validation"))
        fold = result.folds[number]
        assert small.without_clock(fold.history) == small.without_clock(history)
        report = tg.evaluate(trainer.net, held_out)
        assert (fold.report.loss, fold.report.accuracy) == (report.loss, report.accuracy)
        assert fold.report.loss == history.best["val_loss"]


def test_mean_and_standard_deviation():
    result = train.cross_validate(make, clouds(), folds=4)
    losses = [fold.history.best["val_loss"] for fold in result.folds]
    assert result.losses == losses
    mean = sum(losses) / 4
    deviation = (sum((loss - mean) ** 2 for loss in losses) / 3) ** 0.5  # of a sample
    assert result.loss == pytest.approx((mean, deviation))
    mean = sum(result.accuracies) / 4
    deviation = (sum((share - mean) ** 2 for share in result.accuracies) / 3) ** 0.5
    assert result.accuracy == pytest.approx((mean, deviation))
    assert deviation > 0
    assert str(result) == (
        f"loss {result.loss[0]:.4f} ± {result.loss[1]:.4f}, accuracy {100 * mean:.2f} ± {100 * deviation:.2f} % over 4 "
        "folds"
    )


def test_the_table_has_a_row_for_each_fold():
    result = train.cross_validate(make, clouds(), folds=3)
    console = Console(width=100, file=io.StringIO())
    console.print(result.table("clouds"))
    text = console.file.getvalue()
    for number, fold in enumerate(result.folds, start=1):
        assert any(
            line.split("│")[1].strip() == str(number) and f"{fold.report.loss:.4f}" in line
            for line in text.splitlines()
            if line.count("│") == 5
        ), text
    assert f"{result.loss[0]:.4f} ± {result.loss[1]:.4f}" in text
    assert f"{100 * result.accuracy[0]:.2f} ± {100 * result.accuracy[1]:.2f} %" in text


def test_regression_has_no_accuracy():
    x = np.linspace(-1, 1, 30, dtype=np.float32)[:, None]

    def make_line(fold: int, part: data.Dataset) -> tg.Trainer:
        tg.manual_seed(fold)
        net = nn.Linear(1, 1)
        return tg.Trainer(
            net, optim.SGD(net.parameters(), lr=0.3), F.mse_loss, epochs=20, batch_size=10, progress=False
        )

    result = train.cross_validate(make_line, data.TensorDataset(x, 3 * x), folds=3)
    assert result.accuracies == []
    assert np.isnan(result.accuracy).all()
    assert result.loss[0] < 0.01
    assert "accuracy" not in str(result)
    assert result.table().row_count == 3


def test_images_are_dealt_out_evenly_by_class():
    counts: list[list[int]] = []

    class Watch(tg.Trainer):
        def fit(self, training: Any, held_out: Any = None) -> train.History:
            counts.append(np.bincount(held_out.labels, minlength=10).tolist())
            return super().fit(training, held_out)

    def make_watched(fold: int, part: data.Dataset) -> tg.Trainer:
        trainer = make(fold, part)
        return Watch(trainer.net, trainer.optimizer, epochs=1, batch_size=50, progress=False)

    train.cross_validate(make_watched, garments(), folds=3)
    assert np.ptp(counts, axis=0).max() <= 1
    first = list(counts)
    counts.clear()
    train.cross_validate(make_watched, garments(), folds=3, stratify=False)
    assert counts != first


def test_the_test_split_is_locked():
    locked = small.locked_part()
    with pytest.raises(DataError, match=r"cross_validate: .*test, 70 samples\) is the test split, which is locked"):
        train.cross_validate(make, locked)
    assert locked.uses == 0
    images = data.synthetic_fashion(20, 30)[2]
    with pytest.raises(DataError, match="locked"):
        train.cross_validate(make, images)


@pytest.mark.parametrize("folds", [0, 1, 71])
def test_impossible_numbers_of_folds(folds: int):
    with pytest.raises(ArgumentError, match=f"folds is {folds}, expected 2 to 70"):
        train.cross_validate(make, clouds(), folds)


def test_what_is_no_data_set():
    with pytest.raises(ArgumentError, match="cross_validate: got a DataLoader, expected its data set"):
        train.cross_validate(make, data.DataLoader(clouds()))
