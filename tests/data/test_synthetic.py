import numpy as np
import pytest

from tinygrad_mlp.data.synthetic import draw_garments
from tinygrad_mlp.errors import ArgumentError


def test_every_machine_draws_the_same_bytes():
    assert draw_garments(1200, seed=0).sha256 == "b791bca52bed93518d3c47d5eb5bda5cc2dbf821391e7d3cea74d10ad391875f"


def test_seed_and_part_choose_the_images():
    first = draw_garments(40, seed=1)
    np.testing.assert_array_equal(first.images, draw_garments(40, seed=1).images)
    for other in (draw_garments(40, seed=2), draw_garments(40, seed=1, part=1)):
        assert not np.array_equal(first.images, other.images) and first.sha256 != other.sha256


def test_no_image_appears_twice():
    images = np.concatenate([draw_garments(600, seed=0, part=part).images for part in (0, 1)])
    assert len(np.unique(images.reshape(1200, -1), axis=0)) == 1200


def test_classes_are_balanced_and_in_random_order():
    labels = draw_garments(1005).labels
    assert sorted(np.bincount(labels)) == [100] * 5 + [101] * 5
    assert 50 < np.sum(labels[1:] == labels[:-1]) < 160  # about a tenth


def test_images_are_garments_on_black():
    images = draw_garments(500).images
    assert images.shape == (500, 28, 28) and images.dtype == np.uint8
    assert np.median(images[:, 0, 0]) == 0 and images.max() == 255
    lit = (images > 20).mean((1, 2))
    assert lit.min() > 0.02 and lit.max() < 0.8


def test_it_can_be_learned_but_not_by_class_means():
    """The nearest class mean is right in half to four fifths of the cases; real Fashion-MNIST: 68 %."""
    train, test = draw_garments(3000), draw_garments(1000, part=1)
    x, unseen = train.images.reshape(3000, -1) / 255, test.images.reshape(1000, -1) / 255
    means = np.stack([x[train.labels == label].mean(0) for label in range(10)])
    distances = ((unseen[:, None, :] - means) ** 2).sum(2)
    assert 0.5 < np.mean(distances.argmin(1) == test.labels) < 0.8


def test_at_least_one_image():
    assert draw_garments(1).images.shape == (1, 28, 28)
    with pytest.raises(ArgumentError, match="count is 0, expected 1 or more"):
        draw_garments(0)
    with pytest.raises(ArgumentError, match="seed is -1"):
        draw_garments(1, seed=-1)
