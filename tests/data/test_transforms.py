import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_mlp.data import fit_standardization, one_hot, transforms
from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(1, 4)))
AXES = {"global": (0, 1, 2), "feature": (0,)}


@pytest.mark.parametrize("kind", AXES)
@given(images=IMAGES)
def test_statistics_are_those_of_numpy(kind, images):
    fitted = fit_standardization(images, kind)
    pixels = images / 255
    assert fitted.mean is not None and fitted.std is not None
    np.testing.assert_allclose(fitted.mean.reshape(-1), pixels.mean(AXES[kind]).reshape(-1), rtol=1e-12, atol=1e-15)
    expected = np.maximum(pixels.std(AXES[kind]), 1 / 255).reshape(-1)
    np.testing.assert_allclose(fitted.std.reshape(-1), expected, rtol=1e-7)


@pytest.mark.parametrize("kind", ["global", "feature", "image"])
def test_blocks_do_not_change_a_bit(kind, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 5), dtype=np.uint8)
    whole = fit_standardization(images, kind).kernel_arguments(images.reshape(50, 30), np.float64)
    monkeypatch.setattr(transforms, "_BLOCK", 100)
    in_blocks = fit_standardization(images, kind).kernel_arguments(images.reshape(50, 30), np.float64)
    np.testing.assert_array_equal(whole, in_blocks)


def test_each_image_has_its_own_statistics():
    images = np.array([[[0, 255]], [[10, 20]], [[7, 7]]], np.uint8)
    fitted = fit_standardization(images[:1], "image")
    mean, inverse_std = fitted.kernel_arguments(images.reshape(3, 2), np.float64)
    np.testing.assert_allclose(mean, [[127.5], [15], [7]])
    np.testing.assert_allclose(inverse_std, [[1 / 127.5], [1 / 5], [1]])  # a blank image: one grey level


def test_what_goes_into_the_manifest():
    images = np.full((2, 1, 2), 51, np.uint8)
    assert fit_standardization(images, "global").describe() == {
        "standardize": "global",
        "mean": pytest.approx(0.2),
        "std": pytest.approx(1 / 255),
    }
    assert fit_standardization(images, "none").describe() == {"standardize": "none", "mean": 0.0, "std": 1.0}
    assert fit_standardization(images, "feature").describe() == {"standardize": "feature"}
    assert fit_standardization(images, "image").describe() == {"standardize": "image"}


def test_bad_standardization():
    images = np.zeros((2, 1, 2), np.uint8)
    with pytest.raises(ArgumentError, match="'pixel', expected one of global, image, feature, none"):
        fit_standardization(images, "pixel")
    with pytest.raises(DtypeError, match="images are float64, expected uint8"):
        fit_standardization(images.astype(float), "global")
    with pytest.raises(DataError, match="needs the statistics of training images"):
        fit_standardization(images[:0], "global")
    of_pixels = fit_standardization(images, "feature")
    for width in (1, 3):
        with pytest.raises(ShapeError, match=rf"mean \(1, 2\) and std \(1, 2\) do not fit images of {width} pixels"):
            of_pixels.kernel_arguments(np.zeros((2, width), np.uint8), np.float32)


@given(labels=st.lists(st.integers(0, 3), max_size=6))
def test_one_hot_rows_are_rows_of_the_identity(labels):
    labels = np.array(labels, np.int64)
    encoded = one_hot(labels, 4)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, np.eye(4)[labels])
    assert one_hot(labels, 4, np.float64).dtype == np.float64


def test_bad_labels():
    with pytest.raises(IndexRangeError, match="label 3 at position 1 is out of range for 3 classes"):
        one_hot(np.array([0, 3]), 3)
    with pytest.raises(IndexRangeError, match="label -1 at position 0"):
        one_hot(np.array([-1, 0]), 3)
    with pytest.raises(DtypeError, match="labels are float64"):
        one_hot(np.array([1.0]), 3)
    with pytest.raises(ShapeError, match=r"shape \(1, 1\)"):
        one_hot(np.array([[1]]), 3)
