"""Every transformation against NumPy; how draws are distributed, and what they depend on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_mlp.errors import IndexRangeError
from tinygrad_mlp.kernels.augment import DRAWN, augment_standardize, draw_augmentation, the_same_for_all
from tinygrad_mlp.kernels.batch import gather_standardize
from tinygrad_mlp.kernels.launch import launch

NOTHING = {"mirrored": 0, "down": 0, "right": 0, "angle": 0, "scale": 1}
COUNT, HEIGHT, WIDTH = 5, 7, 9


def pictures(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (COUNT, height, width), dtype=np.uint8)


def statistics(kind: str, height: int, width: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Some mean and inverse standard deviation: one, one per pixel, or one per image."""
    shape = {"one": (1, 1), "per pixel": (1, height * width), "per image": (COUNT, 1)}[kind]
    random = np.random.default_rng(1)
    return random.uniform(0, 255, shape).astype(dtype), random.uniform(0.001, 1, shape).astype(dtype)


def rows_of(*changes: dict[str, float]) -> np.ndarray:
    """What is drawn for each image, by name; all else as it is."""
    return np.array([[{**dict.fromkeys(DRAWN, 0), **NOTHING, **change}[name] for name in DRAWN] for change in changes])


def augmented(images: np.ndarray, indices: Any, drawn: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(B, H, W)"""
    _, height, width = images.shape
    out = np.full((len(indices), height * width), np.nan, mean.dtype)
    launch(augment_standardize, images, np.asarray(indices, np.int64), drawn, mean, scale, out, work=10**6)
    return out.reshape(-1, height, width)


def raw(image: np.ndarray, change: dict[str, float], dtype: Any = np.float64) -> np.ndarray:
    """One image without standardisation, (H, W)."""
    one = np.ones((1, 1), dtype)
    return augmented(image[None], [0], rows_of(change), 0 * one, one)[0]


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """An image in a border of zeros, cut out anew."""
    height, width = image.shape
    border = max(height, width, abs(down), abs(right))
    padded = np.pad(image, border)
    return padded[border - down :, border - right :][:height, :width]


def warped(image: np.ndarray, change: dict[str, float]) -> np.ndarray:
    """Each pixel of the result looked up where it comes from: turned, scaled and moved in double precision."""
    height, width = image.shape
    change = {**NOTHING, **change}
    source = image[:, ::-1] if change["mirrored"] else image
    angle, middle = math.radians(change["angle"]), np.array([(height - 1) / 2, (width - 1) / 2])
    back = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / change["scale"]
    result = np.zeros((height, width))
    for place in np.ndindex(height, width):
        y, x = middle + back @ (np.array(place) - (change["down"], change["right"]) - middle)
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    result[place] += source[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return result


# What is done ---------------------------------------------------------------------------------------------------------


def test_nothing_is_the_plain_batch_to_the_bit():
    images, indices = pictures(), np.array([4, -1, 0, 2])
    for kind in ("one", "per pixel", "per image"):
        mean, scale = statistics(kind, HEIGHT, WIDTH, np.float32)
        plain = np.empty((4, HEIGHT * WIDTH), np.float32)
        launch(gather_standardize, images.reshape(COUNT, -1), indices, mean, scale, plain)
        result = augmented(images, indices, rows_of(*[{}] * 4), mean, scale)
        np.testing.assert_array_equal(result.reshape(4, -1), plain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_mirror_image(dtype):
    images = pictures()
    out = np.empty((COUNT, HEIGHT * WIDTH), dtype)
    one = np.ones((1, 1), dtype)
    launch(augment_standardize, images, np.arange(COUNT), the_same_for_all(COUNT, True, 0, 0), 0 * one, one, out)
    np.testing.assert_array_equal(out.reshape(images.shape), images[:, :, ::-1])


@settings(deadline=None)  # the first call compiles
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    down=st.integers(-45, 45),
    right=st.integers(-45, 45),
    mirrored=st.booleans(),
)
def test_shifts_and_mirror_images(height, width, down, right, mirrored):
    image = pictures(height, width)[0]
    result = raw(image, {"mirrored": mirrored, "down": down, "right": right})
    np.testing.assert_array_equal(result, shifted(image[:, ::-1] if mirrored else image, down, right))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=50)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    down=st.integers(-3, 3),
    right=st.integers(-3, 3),
    angle=st.floats(-180, 180),
    scale=st.floats(0.1, 1.9),
    mirrored=st.booleans(),
)
def test_rotation_and_scale(dtype, height, width, **change):
    image = pictures(height, width)[0]
    # float32: places off by 1e-5 of a pixel, between pixels that are 255 apart
    np.testing.assert_allclose(
        raw(image, change, dtype), warped(image, change), rtol=0, atol=0.02 if dtype == np.float32 else 1e-9
    )


def test_a_positive_angle_turns_clockwise():
    image = pictures(6, 6)[0]
    np.testing.assert_allclose(raw(image, {"angle": 90}), np.rot90(image, -1), atol=1e-9)
    np.testing.assert_allclose(raw(image, {"angle": 180}), np.rot90(image, 2), atol=1e-9)


def test_a_scale_of_two_shows_the_middle_at_twice_the_size():
    image = np.zeros((8, 8), np.uint8)
    image[3:5, 3:5] = 200
    result = raw(image, {"scale": 2.0})
    assert (result[2:6, 2:6] > 100).all()
    assert (result > 0).sum() > 16 and result[0].max() == result[:, 0].max() == 0
    assert (raw(image, {"scale": 0.5}) > 0).sum() == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["one", "per pixel", "per image"])
@pytest.mark.parametrize(
    "change",
    [
        {"mirrored": 1},
        {"down": 2, "right": -3},
        {"angle": 25, "scale": 1.1, "right": 1},
        {"row": 2, "row_stop": 4, "column": 0, "column_stop": 9},
    ],
)
def test_statistics_are_those_of_the_place_in_the_result(kind, change, dtype):
    images, indices = pictures(), [3, -5, 1]
    mean, scale = statistics(kind, HEIGHT, WIDTH, dtype)
    result = augmented(images, indices, rows_of(*[change] * 3), mean, scale)
    for index, image in zip(indices, result, strict=True):
        own = index if kind == "per image" else 0
        expected = (warped(images[index], change).reshape(-1) - mean[own]) * scale[own]
        expected = expected.reshape(HEIGHT, WIDTH)
        if "row" in change:
            expected[2:4] = 0
        np.testing.assert_allclose(image, expected, rtol=1e-6, atol=0.02 if dtype == np.float32 else 1e-9)


def test_what_comes_in_from_outside_is_raw_zero_and_what_is_erased_is_the_mean():
    images = np.full((1, 4, 4), 200, np.uint8)
    mean, scale = np.full((1, 1), 50.0), np.full((1, 1), 0.01)
    drawn = rows_of({"down": 1, "row": 2, "row_stop": 3, "column": 1, "column_stop": 3})
    result = augmented(images, [0], drawn, mean, scale)[0]
    np.testing.assert_array_equal(result[0], -0.5)
    np.testing.assert_array_equal(result[2], [1.5, 0, 0, 1.5])
    np.testing.assert_array_equal(result[[1, 3]], 1.5)


def test_rectangles_and_shifts_beyond_the_image_stay_within_it():
    images = pictures()
    everything = {"row": -9, "row_stop": 99, "column": -9, "column_stop": 99}
    one = np.ones((1, 1))
    result = augmented(images, [0, 1], rows_of(everything, {"down": 2**40, "right": -(2**40)}), 0 * one, one)
    np.testing.assert_array_equal(result, 0)


@pytest.mark.parametrize(("position", "bad"), [(0, COUNT), (2, -COUNT - 1), (1, 2**62)])
def test_a_bad_index_raises_and_writes_nothing(position, bad):
    indices = np.zeros(3, np.int64)
    indices[position] = bad
    out = np.full((3, HEIGHT * WIDTH), 7.0)
    one = np.ones((1, 1))
    with pytest.raises(IndexRangeError, match=rf"augment_standardize: index {bad} at position {position} .* 5 entries"):
        launch(augment_standardize, pictures(), indices, the_same_for_all(3, True, 0, 0), one, one, out)
    assert (out == 7).all()


# What is drawn --------------------------------------------------------------------------------------------------------

OPTIONS = {"flip": 0, "shift": 0, "rotation": 0, "scale": 0, "side": 0, "erasing": 0, "least": 0.02, "most": 0.33}


def draw(indices: Any, seed: int = 0, epoch: int = 0, count: int = 100_000, **options: float) -> dict[str, np.ndarray]:
    """What is drawn for images of 28x20 pixels, by name."""
    indices = np.asarray(indices, np.int64)
    drawn = np.full((indices.size, len(DRAWN)), np.nan)
    key, chosen = np.array([seed, epoch], np.uint64), np.array([*{**OPTIONS, **options}.values()], np.float64)
    launch(draw_augmentation, indices, count, key, chosen, 28, 20, drawn)
    return dict(zip(DRAWN, drawn.T, strict=True))


MANY = np.arange(60_000)


def test_by_default_nothing_is_drawn():
    for name, values in draw(MANY).items():
        np.testing.assert_array_equal(values, NOTHING.get(name, 0))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_the_share_of_mirror_images(p):
    mirrored = draw(MANY, flip=p)["mirrored"]
    assert set(mirrored) <= {0, 1}
    assert abs(mirrored.mean() - p) <= 4 * math.sqrt(p * (1 - p) / MANY.size)


def test_shifts_are_uniform_whole_numbers_and_independent():
    drawn = draw(MANY, shift=3, flip=0.5)
    counts, *_ = np.histogramdd(
        np.stack([drawn["mirrored"], drawn["down"], drawn["right"]], 1),
        bins=(2, 7, 7),
        range=((-0.5, 1.5), (-3.5, 3.5), (-3.5, 3.5)),
    )
    assert counts.sum() == MANY.size
    expected = MANY.size / 98
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_squared - 97) < 4 * math.sqrt(2 * 97)  # 97 degrees of freedom


@pytest.mark.parametrize(
    ("option", "name", "low", "high"), [("rotation", "angle", -15, 15), ("scale", "scale", 0.7, 1.3)]
)
def test_angles_and_scales_are_uniform(option, name, low, high):
    values = draw(MANY, **{option: high if option == "rotation" else 0.3})[name]
    assert values.min() >= low and values.max() <= high
    counts, _ = np.histogram(values, bins=50, range=(low, high))
    expected = MANY.size / 50
    assert abs(((counts - expected) ** 2 / expected).sum() - 49) < 4 * math.sqrt(2 * 49)


@pytest.mark.parametrize("side", [1, 4, 5, 60])
def test_squares_are_centred_on_any_pixel_and_cut_off_at_the_border(side):
    drawn = draw(MANY, side=side)
    for first, stop, size in (("row", "row_stop", 28), ("column", "column_stop", 20)):
        start = np.arange(size) - side // 2
        expected = {(max(low, 0), min(low + side, size)) for low in start.tolist()}
        assert set(zip(drawn[first].tolist(), drawn[stop].tolist(), strict=True)) == expected
    rows, columns = np.unique(drawn["row"] + drawn["row_stop"], return_counts=True), np.unique(drawn["column"])
    if side == 1:  # each pixel as often as any other
        assert abs(rows[1] - MANY.size / 28).max() < 4 * math.sqrt(MANY.size / 28) and columns.size == 20


def test_rectangles_lie_inside_with_areas_and_shapes_as_asked():
    drawn = draw(MANY, erasing=0.6, least=0.1, most=0.3)
    erased = drawn["row_stop"] > 0
    assert abs(erased.mean() - 0.6) < 4 * math.sqrt(0.24 / MANY.size)
    height = (drawn["row_stop"] - drawn["row"])[erased]
    width = (drawn["column_stop"] - drawn["column"])[erased]
    assert (drawn["row"] >= 0).all() and (drawn["row_stop"] <= 28).all()
    assert (drawn["column"] >= 0).all() and (drawn["column_stop"] <= 20).all()
    share, ratio = height * width / 560, height / width
    inside = (height < 28) & (width < 20)
    assert share[inside].min() > 0.08 and share.max() < 0.33  # sides are rounded to whole pixels
    assert abs(share[inside].mean() - 0.2) < 0.01
    assert 0.25 < ratio.min() < 0.45 and 2.2 < ratio.max() < 4
    assert abs(np.log(ratio).mean()) < 0.1
    assert {0, 27} <= set((drawn["row"][erased]).tolist()) | {27.0}


EVERYTHING = {"flip": 0.5, "shift": 3, "rotation": 20, "scale": 0.2, "erasing": 0.5}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, bool]:
    return {name: np.array_equal(one[name], other[name]) for name in DRAWN}


def test_a_draw_depends_on_seed_epoch_and_sample_and_not_on_the_batch():
    whole = draw(np.arange(1000), seed=3, epoch=5, **EVERYTHING)
    some = np.array([999, 3, 3, 512])
    alone = draw(some, seed=3, epoch=5, **EVERYTHING)
    assert all(same({name: values[some] for name, values in whole.items()}, alone).values())
    from_the_end = draw(some - 1000, seed=3, epoch=5, count=1000, **EVERYTHING)
    assert all(same(alone, from_the_end).values())
    for seed, epoch in ((3, 6), (4, 5), (3 + 2**40, 5), (3, 5 + 2**40), (5, 3)):
        assert not any(same(whole, draw(np.arange(1000), seed=seed, epoch=epoch, **EVERYTHING)).values())


def test_what_is_drawn_for_one_thing_does_not_depend_on_the_others():
    whole = draw(np.arange(1000), **EVERYTHING)
    for option, names in {
        "flip": {"mirrored"},
        "shift": {"down", "right"},
        "rotation": {"angle"},
        "scale": {"scale"},
        "erasing": {"row", "row_stop", "column", "column_stop"},
    }.items():
        alone = draw(np.arange(1000), **{option: EVERYTHING[option]})
        assert {name for name, equal in same(whole, alone).items() if equal} == names


def test_neighbouring_samples_and_epochs_are_independent():
    first, second = (draw(MANY, epoch=epoch, rotation=1)["angle"] for epoch in (0, 1))
    for one, other in ((first, second), (first[:-1], first[1:]), (first, draw(MANY, seed=1, rotation=1)["angle"])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(MANY.size)
