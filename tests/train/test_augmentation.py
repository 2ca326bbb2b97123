"""Training on augmented images; averages over mirror images in validation and test; both in the files of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.train import small
from tests.train.conftest import garments
from tinygrad_mlp import data, nn, optim
from tinygrad_mlp.errors import ArgumentError, CheckpointError, DataError, ShapeError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.train import CrossValidation, cross_validate, predict

AUGMENTATION = data.Augmentation(horizontal_flip=0.5, shift=1, rotation=10, cutout=2)


@pytest.fixture
def net():
    tg.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.Tanh(), nn.Linear(5, 2))


def trainer(**options: Any) -> tg.Trainer:
    tg.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
    options = {"epochs": 3, "batch_size": 16, "progress": False, "augmentation": AUGMENTATION, **options}
    return tg.Trainer(net, optim.Adam(net.parameters(), lr=0.01), **options)


# Augmented images -----------------------------------------------------------------------------------------------------


def test_each_step_draws_what_epoch_and_sample_say():
    seen: list[np.ndarray] = []

    class Recording(tg.Trainer):
        def training_step(self, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
            seen.append(x.array)
            return super().training_step(x, y)

    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    made = Recording(
        net,
        optim.SGD(net.parameters(), lr=0.1),
        epochs=2,
        batch_size=16,
        seed=7,
        augmentation=AUGMENTATION,
        progress=False,
    )
    made.fit(garments(40))
    assert len(seen) == 6
    for epoch in range(2):
        order = made.loader.order(epoch)
        expected = data.AugmentedImages(garments(40), AUGMENTATION, seed=7, epoch=epoch)[order][0].array
        np.testing.assert_array_equal(np.concatenate(seen[3 * epoch : 3 * epoch + 3]), expected)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("steps", [1, 3, 5, 8])
def test_a_run_goes_on_bit_for_bit(run: Path, tmp_path: Path, steps: int):
    parts = garments(40), garments(20, "validation")
    history = trainer(out=tmp_path / "whole", flip_to_predict=True).fit(*parts)
    first = trainer(out=run, checkpoint_every=1, flip_to_predict=True, callbacks=[small.CrashAfter(steps)])
    with pytest.raises(small.Crash):
        first.fit(*parts)
    resumed = trainer(out=run, resume=True, flip_to_predict=True).fit(*parts)
    assert small.without_clock(resumed) == small.without_clock(history)
    assert (run / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentation": data.Augmentation(horizontal_flip=0.5)}, r"augmentation\.shift: was 1, is None"),
        ({"augmentation": None}, r"augmentation: was \{.*'shift': 1"),
        ({"flip_to_predict": True}, "flip_to_predict: was False, is True"),
    ],
)
def test_a_run_does_not_go_on_with_another_augmentation(run: Path, options: dict[str, Any], message: str):
    with pytest.raises(small.Crash):
        trainer(out=run, checkpoint_every=1, callbacks=[small.CrashAfter(2)]).fit(garments(40))
    with pytest.raises(CheckpointError, match=message):
        trainer(out=run, resume=True, **options).fit(garments(40))


def test_the_run_folder_has_the_settings_and_the_picture(run: Path):
    trainer(out=run).fit(garments(40), garments(20, "validation"))
    assert (run / "augmented.png").read_bytes().startswith(b"\x89PNG")
    for name in ("config.json", "manifest.json"):
        content = json.loads((run / name).read_text())
        settings = content.get("settings", content)
        assert settings["augmentation"] == {"horizontal_flip": 0.5, "shift": 1, "rotation": 10.0, "cutout": 2}
        assert settings["flip_to_predict"] is False
    assert json.loads((run / "manifest.json").read_text())["data"]["train"] == "memory"


def test_the_picture_is_there_before_the_first_step(run: Path):
    with pytest.raises(small.Crash):
        trainer(out=run, callbacks=[small.CrashAfter(1)]).fit(garments(40))
    assert (run / "augmented.png").exists()


def test_images_that_were_augmented_before(run: Path):
    """A data set that augments, with a seed of its own, in place of a setting of the Trainer."""
    images = data.AugmentedImages(garments(40), AUGMENTATION, seed=5)
    trainer(out=run, augmentation=None).fit(images)
    assert (run / "augmented.png").exists()
    settings = json.loads((run / "config.json").read_text())
    assert settings["train"]["augmentation"] == {**AUGMENTATION.describe(), "seed": 5}
    assert len(settings["train"]["images_sha256"]) == 64


def test_what_cannot_be_augmented():
    points = small.parts()[0]
    with pytest.raises(
        ArgumentError, match=r"got TensorDataset\(clouds, train, 70 samples\), expected an ImageDataset"
    ):
        trainer().fit(points)
    with pytest.raises(DataError, match="to validate on, but only training images are augmented"):
        trainer().fit(garments(40), data.AugmentedImages(garments(20), AUGMENTATION))
    parts = data.random_split(data.AugmentedImages(garments(40), AUGMENTATION), [30, 10], seed=0)
    with pytest.raises(DataError, match=r"got Subset\(sides, train, 10 samples\) to validate on, but only training"):
        trainer(augmentation=None).fit(*parts)
    with pytest.raises(DataError, match=r"(?s)cross_validate: got AugmentedImages.*the images as they are"):
        cross_validate(lambda fold, part: trainer(), data.AugmentedImages(garments(40), AUGMENTATION))
    with pytest.raises(DataError, match="test split"):
        trainer().fit(garments(40, "test"))


THREADS = """
import numpy as np
import tinygrad_mlp as tg
from tests.train import small
from tests.train.conftest import garments
from tinygrad_mlp import data, nn, optim

random = np.random.default_rng(0)
images = random.integers(0, 256, (600, 28, 28), dtype=np.uint8)
training = data.ImageDataset(images, np.arange(600) % 10, classes="0123456789", standardization="image")
for threads in (4, 2, 1):
    tg.set_num_threads(threads)
    tg.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.Tanh(), nn.Linear(30, 10))
    augmentation = data.Augmentation(horizontal_flip=0.5, shift=3, rotation=10, scale=0.2, erasing=0.5)
    tg.Trainer(  # 300 * 784 pixels in a batch: on several threads from 200 000 on
        net, optim.Adam(net.parameters()), epochs=2, batch_size=300, augmentation=augmentation, progress=False
    ).fit(training)
    print(threads, small.digest(net))
"""


def test_one_two_and_four_threads_give_the_same_bits():
    result = small.run_python("-c", THREADS, NUMBA_NUM_THREADS="4")
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["4", "2", "1"]
    assert len({line[1] for line in lines}) == 1, result.stdout


# Mirror images in validation and test ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["global", "feature", "image", "none"])
def test_outputs_are_means_over_each_image_and_its_mirror_image(net, kind):
    images = garments(30, "validation")
    images = data.ImageDataset(images.images, images.labels, classes=images.classes, standardization=kind)
    mirrored = data.ImageDataset(
        images.images[:, :, ::-1], images.labels, classes=images.classes, standardization=images.standardization
    )
    expected = (predict(net, images) + predict(net, mirrored)) / 2
    logits = predict(net, images, batch_size=7, flip=True)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    report = tg.evaluate(net, images, batch_size=7, flip=True)
    labels = tg.tensor(images.labels)
    assert report.loss == pytest.approx(F.cross_entropy(tg.tensor(expected), labels).item(), rel=1e-5)
    assert report.accuracy == (expected.argmax(1) == images.labels).mean()
    assert not np.allclose(expected, predict(net, images))


def test_images_of_other_data_sets_are_mirrored_too(net):
    random = np.random.default_rng(0)
    x = random.normal(size=(12, 1, 6, 6)).astype(np.float32)
    dataset = data.TensorDataset(x, np.arange(12) % 2)
    mirrored = data.TensorDataset(x[..., ::-1].copy(), np.arange(12) % 2)
    expected = (predict(net, dataset) + predict(net, mirrored)) / 2
    np.testing.assert_allclose(predict(net, dataset, 5, flip=True), expected, rtol=1e-5, atol=1e-6)


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images (N, H, W) moved; zeros come in."""
    count, height, width = images.shape
    wide = np.zeros((count, height + 2 * abs(down), width + 2 * abs(right)), images.dtype)
    wide[:, abs(down) : abs(down) + height, abs(right) : abs(right) + width] = images
    return wide[:, abs(down) - down :, abs(right) - right :][:, :height, :width]


@pytest.mark.parametrize("kind", ["global", "feature", "image", "none"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [1, 2])
def test_outputs_are_means_over_moved_images(net, kind: str, flip: bool, shift: int):
    images = garments(30, "validation")
    images = data.ImageDataset(images.images, images.labels, classes=images.classes, standardization=kind)
    places = [(0, 0), (shift, 0), (-shift, 0), (0, shift), (0, -shift)]
    views = [shifted(images.images, *place) for place in places]
    if flip:
        views += [shifted(images.images[:, :, ::-1], *place) for place in places]

    expected = np.mean([outputs_for(net, images, view) for view in views], axis=0)
    np.testing.assert_allclose(predict(net, images, 7, flip=flip, shift=shift), expected, rtol=1e-4, atol=1e-5)
    report = tg.evaluate(net, images, batch_size=7, flip=flip, shift=shift)
    assert report.loss == pytest.approx(F.cross_entropy(tg.tensor(expected), tg.tensor(images.labels)).item(), rel=1e-4)
    assert not np.allclose(expected, predict(net, images, flip=flip), atol=1e-3)


def outputs_for(net: nn.Module, images: data.ImageDataset, view: np.ndarray) -> np.ndarray:
    """What the net says of a view of each image, standardised as the images are."""
    standardization = images.standardization
    if standardization.kind != "image":
        same = {"classes": images.classes, "standardization": standardization}
        return predict(net, data.ImageDataset(view, images.labels, **same))
    mean, std = (of(images.images.astype(np.float64), axis=(1, 2), keepdims=True) for of in (np.mean, np.std))
    x = ((view - mean) / std).astype(np.float32)  # by each image's own statistics, which are those before it is moved
    return predict(net, data.TensorDataset(x[:, None], images.labels))


@pytest.mark.parametrize("shift", [-1, 0.5, True, "1"])
def test_an_impossible_shift(net, shift: Any):
    with pytest.raises(ArgumentError, match="shift="):
        tg.evaluate(net, garments(30, "validation"), shift=shift)


def test_images_whose_background_is_not_known_are_not_moved(net):
    dataset = data.TensorDataset(np.zeros((4, 1, 6, 6), np.float32), np.zeros(4, np.int64))
    with pytest.raises(ArgumentError, match=r"shift=1: got a TensorDataset, expected an ImageDataset"):
        predict(net, dataset, shift=1)


@pytest.mark.parametrize("shift", [0, 1])
def test_parts_are_seen_as_the_whole_is(net, shift: int):
    """Also pixels with statistics of their own, which a mirrored pixel takes from its new place."""
    images = garments(30, "validation")
    images = data.ImageDataset(images.images, images.labels, classes=images.classes, standardization="feature")
    order = np.random.default_rng(0).permutation(30)[:20]
    part = data.Subset(data.Subset(images, order), range(5, 20))
    expected = predict(net, images.part(order[5:]), 7, flip=True, shift=shift)
    np.testing.assert_array_equal(predict(net, part, 7, flip=True, shift=shift), expected)


def test_data_that_cannot_be_moved_are_refused_before_training():
    points = data.TensorDataset(np.zeros((4, 1, 6, 6), np.float32), np.zeros(4, np.int64))
    made = trainer(shift_to_predict=1)
    for val in (points, data.Subset(points, range(2))):
        with pytest.raises(ArgumentError, match=r"shift=1: got a (TensorDataset|Subset), expected an ImageDataset"):
            made.fit(garments(40), val)
    assert made.history.rows == []
    assert len(made.fit(garments(40), data.Subset(garments(40), range(10), "validation")).rows) == 3


def test_what_has_no_mirror_image_is_refused(train):
    with pytest.raises(ShapeError, match=r"flip=True: inputs have shape \(90, 4\), expected images \(N, C, H, W\)"):
        tg.evaluate(nn.Linear(4, 3), train, flip=True)


def test_one_rule_for_choosing_the_epoch_testing_and_the_manifest(run: Path, no_figures):
    val, test = garments(20, "validation"), garments(30, "test")
    made = trainer(out=run, flip_to_predict=True, shift_to_predict=1)
    history = made.fit(garments(40), val)
    best = tg.evaluate(made.net, val, flip=True, shift=1)
    assert history.best["val_loss"] == pytest.approx(best.loss, rel=1e-6)
    assert history.best["val_loss"] != pytest.approx(tg.evaluate(made.net, val).loss, rel=1e-6)
    results = json.loads((run / "manifest.json").read_text())
    assert results["settings"]["flip_to_predict"] is True
    assert results["settings"]["shift_to_predict"] == 1
    assert results["results"]["validation"]["loss"] == pytest.approx(best.loss, rel=1e-6)
    assert history.best["val_loss"] != pytest.approx(tg.evaluate(made.net, val, flip=True).loss, rel=1e-6)
    assert made.test(test).loss == tg.evaluate(made.net, test, flip=True, shift=1).loss


def test_folds_are_scored_by_the_same_rule():
    trainers: list[tg.Trainer] = []

    def make(fold: int, part: data.Dataset) -> tg.Trainer:
        trainers.append(trainer(epochs=1, flip_to_predict=True))
        return trainers[-1]

    images = garments(40)
    result: CrossValidation = cross_validate(make, images, folds=2)
    for made, fold, (_, held_out) in zip(trainers, result.folds, data.k_fold(images, 2), strict=True):
        assert fold.report.loss == tg.evaluate(made.net, held_out, flip=True).loss
