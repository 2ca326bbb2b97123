"""The figures of a convolution show its filters and maps where they belong, and all their text can be read."""

import numpy as np
import pytest

from tests.test_plot import GARMENTS, LONG_NAMES, assert_readable, rng, title_of
from tinygrad_mlp import plot
from tinygrad_mlp.errors import ArgumentError, ShapeError


def shown(ax) -> np.ndarray:
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def some_maps(images: int, number: int, low: float = -1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 9, 7), maps (N, C, 5, 6), filters (C, 1, 3, 3)."""
    draw = rng()
    maps = draw.uniform(low, 1, (images, number, 5, 6))
    return draw.integers(0, 256, (images, 9, 7), np.uint8), maps, draw.normal(size=(number, 1, 3, 3))


def test_filters_draws_each_channel_beside_the_last_on_one_scale():
    weight = rng().normal(size=(5, 2, 3, 4))
    figure = plot.filters(weight, data="mnist", columns=3)
    ax, bar = figure.axes
    sheet = shown(ax)
    assert sheet.shape == (2 * 4 - 1, 3 * 9 - 1)
    for unit in range(5):
        top, left = 4 * (unit // 3), 9 * (unit % 3)
        for channel in range(2):
            start = left + 4 * channel
            np.testing.assert_array_equal(sheet[top : top + 3, start : start + 4], weight[unit, channel])
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert bar.get_ylabel() == "weight"
    assert title_of(figure) == "First-layer filters · mnist"
    assert_readable(figure)


@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (7, 1, 5, 5), (32, 1, 3, 3), (5, 3, 3, 3)])
def test_filters_is_readable(shape):
    assert_readable(plot.filters(rng().normal(size=shape)))
    assert_readable(plot.filters(np.zeros(shape)))  # all equal: no division by zero


def test_filters_says_how_many_are_left_out():
    figure = plot.filters(rng().normal(size=(65, 1, 3, 3)))
    assert figure.get_supxlabel() == "The first 64 of 65 filters, row by row."
    assert_readable(figure)


@pytest.mark.parametrize("shape", [(5, 9), (5, 3, 3), (0, 1, 3, 3)])
def test_filters_refuses_other_shapes(shape):
    with pytest.raises(ShapeError, match=r"filters: weight has shape .* expected \(out, in, kH, kW\)"):
        plot.filters(np.zeros(shape))
    with pytest.raises(ArgumentError, match="count is 0"):
        plot.filters(np.zeros((5, 1, 3, 3)), count=0)


def test_feature_maps_draws_a_row_per_image_and_a_column_per_filter():
    images, maps, weight = some_maps(2, 4)
    figure = plot.feature_maps(images, maps, weight, ["Bag", "Coat"], data="fashion-mnist", count=3)
    seen, head, main, bar = figure.axes
    np.testing.assert_array_equal(shown(seen)[:9], images[0] / 255)
    np.testing.assert_array_equal(shown(seen)[10:], images[1] / 255)
    sheet = shown(main)
    assert sheet.shape == (2 * 6 - 1, 3 * 7 - 1)
    for image in range(2):
        for number in range(3):
            top, left = 6 * image, 7 * number
            np.testing.assert_array_equal(sheet[top : top + 5, left : left + 6], maps[image, number])
    for number in range(3):
        np.testing.assert_array_equal(shown(head)[:, 4 * number : 4 * number + 3], weight[number, 0])
    assert [label.get_text() for label in seen.get_yticklabels()] == ["Bag", "Coat"]
    assert figure.get_supxlabel() == "The first 3 of 4 filters, above their maps."
    assert title_of(figure) == "First-layer feature maps · fashion-mnist"
    assert bar.get_ylim() == main.images[0].get_clim()


def test_the_scale_of_maps_without_negative_values_begins_at_zero():
    figure = plot.feature_maps(*some_maps(2, 3, low=0.0))
    assert figure.axes[-1].get_ylim()[0] == 0
    assert figure.axes[2].images[0].get_clim()[0] < 0  # white stays 0


@pytest.mark.parametrize("names", [GARMENTS, LONG_NAMES, None])
@pytest.mark.parametrize("number", [1, 16, 32])
def test_feature_maps_is_readable(names, number):
    images, maps, weight = some_maps(len(names or "six of"), number)
    assert_readable(plot.feature_maps(images, maps, weight, names, data="synthetic-fashion, validation"))


def test_feature_maps_refuses_what_does_not_fit():
    images, maps, weight = some_maps(2, 4)
    for wrong in (maps[:1], maps[:, :3], maps[0]):
        with pytest.raises(ShapeError, match=r"maps has shape .* expected \(2, 4, H, W\)"):
            plot.feature_maps(images, wrong, weight)
    with pytest.raises(ShapeError, match="1 names of 2 images"):
        plot.feature_maps(images, maps, weight, ["Bag"])
    with pytest.raises(ShapeError, match=r"expected \(out, in, kH, kW\)"):
        plot.feature_maps(images, maps, weight[0])
