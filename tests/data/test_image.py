import numpy as np
import pytest

from tinygrad_mlp.data import DataLoader, ImageDataset, fit_standardization, k_fold
from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError

KINDS = ["global", "feature", "image", "none"]


def _make(kind: str = "global", count: int = 50, **kwargs: object) -> ImageDataset:
    images = np.random.default_rng(1).integers(0, 256, (count, 4, 3), dtype=np.uint8)
    return ImageDataset(images, np.arange(count) % 5, classes="abcde", standardization=kind, **kwargs)


def _reference(images: np.ndarray, training: np.ndarray, kind: str) -> np.ndarray:
    pixels, known = images / 255, training / 255
    if kind == "none":
        return pixels
    if kind == "image":
        return (pixels - pixels.mean((1, 2), keepdims=True)) / pixels.std((1, 2), keepdims=True)
    axes = (0, 1, 2) if kind == "global" else 0
    return (pixels - known.mean(axes)) / known.std(axes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_standardised(kind, dtype):
    dataset = _make(kind, dtype=dtype)
    x, y = dataset[[3, -1, 3]]
    assert x.shape == (3, 1, 4, 3) and x.dtype == dtype and y.dtype == np.int64
    np.testing.assert_array_equal(y.array, [3, 4, 3])
    expected = _reference(dataset.images, dataset.images, kind)[[3, 49, 3]]
    np.testing.assert_allclose(x.array[:, 0], expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)


def test_one_image():
    x, y = _make()[7]
    assert x.shape == (1, 4, 3) and y.item() == 2 and _make().classes[y] == "c"
    np.testing.assert_array_equal(x.array, _make()[:10][0].array[7])


def test_astype_keeps_everything_else():
    dataset = _make(name="mine", split="validation", sha256={"file": "hash"})
    double = dataset.astype(np.float64)
    assert double[:][0].dtype == np.float64
    assert double.describe() == dataset.describe()
    np.testing.assert_allclose(double[:][0].array, dataset[:][0].array, rtol=1e-5, atol=1e-6)


def test_images_and_labels_cannot_be_changed():
    dataset = _make()
    for array in (dataset.images, dataset.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_read_only_and_strided_images_are_accepted():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 8), dtype=np.uint8)[:, :, ::2]
    images.flags.writeable = False
    dataset = ImageDataset(images, np.zeros(6, np.uint8), classes="a", standardization="none")
    np.testing.assert_allclose(dataset[:][0].array[:, 0] * 255, images, rtol=1e-6)


def test_what_goes_into_the_manifest():
    assert _make(sha256={"file": "hash"}, source="folder").describe() == {
        "name": "images",
        "split": "train",
        "samples": 50,
        "classes": list("abcde"),
        "source": "folder",
        "sha256": {"file": "hash"},
        "standardize": "global",
        "mean": pytest.approx((_make().images / 255).mean()),
        "std": pytest.approx((_make().images / 255).std()),
    }


def test_a_part_keeps_role_standardisation_and_count_of_uses():
    test = _make(split="test")
    part = test.part(np.array([4, 2]))
    assert part.split == "test" and part.standardization is test.standardization
    np.testing.assert_array_equal(part[:][0].array, test[[4, 2]][0].array)
    part.record_use()
    assert test.uses == 1
    with pytest.raises(DataError, match="empty batch"):
        test.part([])


def test_a_part_standardised_by_image_has_the_statistics_of_its_own_images():
    dataset = _make("image")
    np.testing.assert_array_equal(dataset.part([9, 1])[:][0].array, dataset[[9, 1]][0].array)


def test_a_subset_keeps_the_shares_of_the_classes():
    dataset = _make()
    small = dataset.subset(20, seed=3)
    assert len(small) == 20 and np.bincount(small.labels).tolist() == [4] * 5
    np.testing.assert_array_equal(small.images, dataset.subset(20, seed=3).images)
    assert not np.array_equal(small.images, dataset.subset(20, seed=4).images)
    assert len(dataset.subset(7, stratify=False)) == 7 and len(dataset.subset(50)) == 50
    for count in (0, 51):
        with pytest.raises(ArgumentError, match=f"subset of {count} samples, expected 1 to 50"):
            dataset.subset(count)


@pytest.mark.parametrize("kind", KINDS)
def test_division_takes_statistics_from_the_training_part_alone(kind):
    dataset = _make(kind)
    training, validation = np.arange(30), np.arange(30, 50)
    train, held_out = dataset.divide(training, validation)
    assert (train.split, held_out.split) == ("train", "validation")
    for part, rows in ((train, training), (held_out, validation)):
        expected = _reference(dataset.images[rows], dataset.images[training], kind)
        np.testing.assert_allclose(part[:][0].array[:, 0], expected, rtol=1e-4, atol=1e-6)
    assert dataset.divide(training, validation, "feature")[1].standardization.kind == "feature"


def test_no_sample_may_be_in_both_parts():
    with pytest.raises(DataError, match=r"2 samples \(the first: 8\) are in both parts"):
        _make().divide(np.arange(10), np.arange(8, 20))


@pytest.mark.parametrize("stratify", [True, False])
def test_k_fold_validates_every_sample_once(stratify):
    dataset = _make()
    seen = []
    for train, held_out in k_fold(dataset, 5, seed=2, stratify=stratify):
        assert (train.split, held_out.split, len(train), len(held_out)) == ("train", "validation", 40, 10)
        seen.append(held_out.images)
        expected = fit_standardization(train.images, "global")
        assert train.standardization.describe() == held_out.standardization.describe() == expected.describe()
        if stratify:
            assert np.bincount(held_out.labels).tolist() == [2] * 5
    everything = np.concatenate(seen).reshape(50, -1)
    np.testing.assert_array_equal(np.unique(everything, axis=0), np.unique(dataset.images.reshape(50, -1), axis=0))


def test_joining_undoes_a_division():
    dataset = _make()
    joined = dataset.join(_make(split="validation"))
    assert len(joined) == 100 and joined.split == "train"
    np.testing.assert_array_equal(joined.images[50:], dataset.images)
    assert joined.standardization.describe() == pytest.approx(dataset.standardization.describe())
    with pytest.raises(DataError, match="not parts of one data set"):
        dataset.join(_make(name="other"))


def test_the_test_split_is_locked():
    test = _make(split="test")
    for forbidden in (
        lambda: k_fold(test),
        lambda: test.join(_make()),
        lambda: _make().join(test),
        lambda: test.divide(np.arange(3), np.arange(3, 6)),
        lambda: DataLoader(test, 4, shuffle=True),
    ):
        with pytest.raises(DataError, match="test split, which is locked"):
            forbidden()
    assert sum(len(y.array) for _, y in DataLoader(test, 4)) == 50
    assert test.uses == 0


def test_bad_images_and_labels():
    images, labels = np.zeros((3, 2, 2), np.uint8), np.zeros(3, np.int64)

    def make(images: np.ndarray, labels: np.ndarray, **kwargs: object) -> ImageDataset:
        return ImageDataset(images, labels, classes="ab", standardization="none", **kwargs)

    with pytest.raises(DtypeError, match="images are float64, expected uint8; TensorDataset"):
        make(images.astype(float), labels)
    with pytest.raises(ShapeError, match=r"images have shape \(3, 4\)"):
        make(images.reshape(3, 4), labels)
    with pytest.raises(DtypeError, match="labels are float64"):
        make(images, labels.astype(float))
    with pytest.raises(ShapeError, match=r"labels have shape \(2,\), expected \(3,\)"):
        make(images, labels[:2])
    with pytest.raises(IndexRangeError, match="label 2 at position 1 is out of range for 2 classes"):
        make(images, np.array([0, 2, 0]))
    with pytest.raises(DtypeError, match="dtype is float16"):
        make(images, labels, dtype=np.float16)
