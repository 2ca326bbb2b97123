"""Settings of an augmentation; the data set that draws with it, in a loader, in parts, and resumed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tinygrad_mlp.data import Augmentation, AugmentedImages, DataLoader, ImageDataset, Subset
from tinygrad_mlp.errors import ArgumentError, DataError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels.augment import DRAWN, the_same_for_all

KINDS = ["global", "feature", "image", "none"]
SOME = Augmentation(horizontal_flip=0.5, shift=2, rotation=20, scale=0.1, cutout=3)


def make(kind: str = "global", count: int = 50, **kwargs: Any) -> ImageDataset:
    images = np.random.default_rng(1).integers(0, 256, (count, 8, 6), dtype=np.uint8)
    return ImageDataset(images, np.arange(count) % 5, classes="abcde", standardization=kind, **kwargs)


def epoch_of(loader: DataLoader) -> list[np.ndarray]:
    return [x.array for x, _ in loader]


# Settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizontal_flip": 1.5}, "horizontal_flip is 1.5, expected a number from 0 to 1"),
        ({"horizontal_flip": True}, "horizontal_flip is True"),
        ({"horizontal_flip": float("nan")}, "horizontal_flip is nan"),
        ({"shift": -1}, "shift is -1, expected a whole number of pixels, 0 or more"),
        ({"shift": 1.5}, "shift is 1.5"),
        ({"rotation": 200}, "rotation is 200, expected a number from 0 to 180"),
        ({"rotation": "10"}, "rotation is '10'"),
        ({"scale": 1.0}, "scale is 1.0, expected a number from 0 to 0.9"),
        ({"cutout": 2.0}, "cutout is 2.0"),
        ({"erasing": -0.1}, "erasing is -0.1"),
        (
            {"erasing_area": (0.5, 0.2)},
            r"erasing_area is \(0.5, 0.2\), expected two shares, 0 < least <= greatest <= 1",
        ),
        ({"erasing_area": (0.5,)}, "erasing_area is"),
        ({"erasing_area": (0, 0.5)}, "erasing_area is"),
        ({"erasing": 0.5, "cutout": 3}, "got cutout and erasing, expected one of them"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ArgumentError, match=f"Augmentation: {message}"):
        Augmentation(**settings)


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(), SOME, Augmentation(horizontal_flip=1, erasing=np.float32(0.5), erasing_area=(0.1, 0.2))],
)
def test_an_augmentation_comes_back_from_json_and_from_its_text(augmentation):
    described = json.loads(json.dumps(augmentation.describe()))
    assert described == augmentation.describe()
    assert Augmentation(**described) == augmentation
    assert eval(repr(augmentation)) == augmentation


def test_only_what_was_chosen_is_described():
    assert Augmentation().describe() == {} and not Augmentation() and repr(Augmentation()) == "Augmentation()"
    assert Augmentation(shift=np.int64(2)).describe() == {"shift": 2}
    assert all(Augmentation(**{name: 1}) for name in ("horizontal_flip", "shift", "rotation", "cutout", "erasing"))
    assert Augmentation(scale=0.1) and not Augmentation(erasing_area=(0.1, 0.2))
    assert repr(Augmentation(shift=2, rotation=5)) == "Augmentation(shift=2, rotation=5.0)"


# The data set ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_without_an_augmentation_the_bits_are_those_of_the_data_set(kind, dtype):
    dataset = make(kind, dtype=dtype)
    for x, plain in zip(AugmentedImages(dataset, Augmentation())[[3, -1, 3]], dataset[[3, -1, 3]], strict=True):
        np.testing.assert_array_equal(x.array, plain.array)
        assert x.dtype == plain.dtype and x.shape == plain.shape


@pytest.mark.parametrize("kind", KINDS)
def test_mirror_images_are_standardised_where_they_come_to_lie(kind):
    dataset = make(kind, dtype=np.float64)
    flipped = ImageDataset(
        dataset.images[:, :, ::-1], dataset.labels, classes="abcde", standardization=dataset.standardization, dtype="d"
    )
    expected = flipped[:10][0].array
    augmented = AugmentedImages(dataset, Augmentation(horizontal_flip=1))
    np.testing.assert_array_equal(augmented[:10][0].array, expected)
    np.testing.assert_array_equal(dataset.moved(slice(10), mirrored=True)[0].array, expected)
    np.testing.assert_array_equal(dataset.moved(slice(10), mirrored=True)[1].array, dataset.labels[:10])


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_turn_back_into_grey_levels(kind):
    dataset, rows = make(kind), [7, -2, 7]
    np.testing.assert_array_equal(dataset.to_pixels(dataset[rows][0], rows), dataset.images[rows])


def test_a_sample_is_the_same_alone_in_any_batch_and_from_the_end():
    augmented = AugmentedImages(make(), SOME, seed=4, epoch=2)
    whole = augmented[:][0].array
    for rows in ([3], [49, 3, 3], [-1, -47]):
        np.testing.assert_array_equal(augmented[rows][0].array, whole[rows])
    np.testing.assert_array_equal(augmented[3][0].array, whole[3])
    np.testing.assert_array_equal([x.array for x, _ in augmented], whole)
    assert [int(y) for _, y in augmented] == augmented.dataset.labels.tolist()


def test_epochs_and_seeds_differ_and_come_again():
    augmented = AugmentedImages(make(), SOME, seed=1)
    drawn = {}
    for epoch in (0, 1, 7):
        augmented.set_epoch(epoch)
        drawn[epoch] = augmented[:][0].array
    assert not np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[1], drawn[7])
    np.testing.assert_array_equal(AugmentedImages(make(), SOME, seed=1, epoch=7)[:][0].array, drawn[7])
    assert not np.array_equal(AugmentedImages(make(), SOME, seed=2)[:][0].array, drawn[0])


def test_name_role_and_uses_are_those_of_the_images():
    dataset = make(name="mine", source="folder")
    augmented = AugmentedImages(dataset, SOME)
    augmented.record_use()
    assert (augmented.name, augmented.split, augmented.source, len(augmented)) == ("mine", "train", "folder", 50)
    assert dataset.uses == augmented.uses == 1


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_is_not_for_training_is_not_augmented(split):
    with pytest.raises(DataError, match="is not for training, and only training images are augmented"):
        AugmentedImages(make(split=split), SOME)
    AugmentedImages(make(split=None), SOME)


def test_what_is_refused():
    dataset = make()
    with pytest.raises(
        ArgumentError, match=r"got Subset\(.*\), expected an ImageDataset; dataset.part\(indices\) makes one"
    ):
        AugmentedImages(Subset(dataset, [1, 2]), SOME)
    for seed in (-1, 2**64, 1.5):
        with pytest.raises(ArgumentError, match="AugmentedImages: seed is"):
            AugmentedImages(dataset, SOME, seed=seed)
    for epoch in (-1, 2**63, 0.5, True):
        with pytest.raises(ArgumentError, match=r"epoch is .*, expected a whole number, 0 or more"):
            AugmentedImages(dataset, SOME).set_epoch(epoch)
    with pytest.raises(IndexRangeError, match="index 50 at position 1"):
        AugmentedImages(dataset, SOME)[[0, 50]]
    with pytest.raises(DataError, match="empty batch"):
        AugmentedImages(dataset, SOME)[[]]
    with pytest.raises(ShapeError, match=r"drawn has shape \(2, 9\), expected \(3, 9\)"):
        dataset.transformed([0, 1, 2], the_same_for_all(2, True, 0, 0))
    assert len(DRAWN) == 9


# In a loader ----------------------------------------------------------------------------------------------------------


def test_a_loader_tells_the_epoch():
    loader = DataLoader(AugmentedImages(make(), SOME, seed=3), 16, shuffle=True, seed=3)
    for epoch in range(3):
        order = loader.order(epoch)
        expected = AugmentedImages(make(), SOME, seed=3, epoch=epoch)[order][0].array
        np.testing.assert_array_equal(np.concatenate(epoch_of(loader)), expected)


def test_two_passes_at_once_each_draw_their_own_epoch():
    loader = DataLoader(AugmentedImages(make(), SOME), 25)
    expected = [epoch_of(DataLoader(AugmentedImages(make(), SOME, epoch=0), 25))]
    first, second = iter(loader), iter(loader)
    drawn = [next(first), next(second), next(first), next(second)]
    np.testing.assert_array_equal([drawn[0][0].array, drawn[2][0].array], expected[0])
    assert not np.array_equal(drawn[1][0].array, drawn[0][0].array)


def test_a_loader_that_collates_itself_and_a_subset_draw_the_epoch_too():
    def stack(samples: list[Any]) -> np.ndarray:
        return np.stack([x.array for x, _ in samples])

    rows = np.arange(49, -1, -7)
    expected = [AugmentedImages(make(), SOME, epoch=epoch)[rows][0].array for epoch in range(2)]
    part = Subset(AugmentedImages(make(), SOME), rows)
    by_hand, whole = DataLoader(part, 4, collate_fn=stack), DataLoader(part, 4)
    for epoch in range(2):
        np.testing.assert_array_equal(np.concatenate(list(by_hand)), expected[epoch])
        np.testing.assert_array_equal(np.concatenate(epoch_of(whole)), expected[epoch])


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 6])
def test_a_loader_goes_on_with_the_same_bits(steps):
    def loader() -> DataLoader:
        return DataLoader(AugmentedImages(make(), SOME, seed=9), 16, shuffle=True, seed=5)  # 4 batches in an epoch

    uninterrupted = loader()
    expected = [x for _ in range(3) for x in epoch_of(uninterrupted)]
    first, done, saved = loader(), [], loader().state_dict()
    while len(done) < steps:
        for x, _ in first:
            done.append(x.array)
            saved = first.state_dict()
            if len(done) == steps:
                break
    second = loader()
    second.load_state_dict(saved)
    while len(done) < len(expected):
        done += epoch_of(second)
    for x, other in zip(done, expected, strict=True):
        np.testing.assert_array_equal(x, other)
