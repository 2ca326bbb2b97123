"""Philox against its published vectors; distributions against their statistics; a mask that is drawn twice the same."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.random import Generator, apply_dropout, draw_dropout, philox

DTYPES = [np.float32, np.float64]
ONES = 0xFFFFFFFF
# Known answers of the authors' own library, Random123: counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox_in_python(counter: list[int], key: list[int]) -> list[int]:
    """The algorithm of the paper (section 3.3), one block, in Python's integers."""
    for _ in range(10):
        product0, product1 = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        counter = [
            (product1 >> 32) ^ counter[1] ^ key[0],
            product1 & ONES,
            (product0 >> 32) ^ counter[3] ^ key[1],
            product0 & ONES,
        ]
        key = [(key[0] + 0x9E3779B9) & ONES, (key[1] + 0xBB67AE85) & ONES]
    return counter


def words_of(seed: int, call: int, count: int) -> Any:
    """The words of a call in the order of their positions: chunks of 256 from 64 blocks each, planar."""
    chunks: list[int] = []
    key = [seed & ONES, seed >> 32]
    for chunk in range(-(-count // 256)):
        blocks = [philox_in_python([64 * chunk + i, 0, call & ONES, call >> 32], key) for i in range(64)]
        chunks += [block[j] for j in range(4) for block in blocks]
    return np.array(chunks[:count], np.uint64)


def longs_of(seed: int, call: int, count: int) -> Any:
    words = words_of(seed, call, -(-count // 128) * 256).reshape(-1, 2, 128)
    return ((words[:, 0] << np.uint64(32)) | words[:, 1]).reshape(-1)[:count]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter: Any, key: Any, expected: Any) -> None:
    assert philox_in_python(list(counter), list(key)) == list(expected)
    assert philox(*[np.uint64(word) for word in (*counter, *key)]) == expected


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, 2**64 - 1])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 1000])
def test_uniform_numbers_are_those_of_the_algorithm(seed: int, size: int) -> None:
    generator = Generator(seed)
    out = np.empty(size)
    for call in range(2):
        generator.fill_uniform(out)
        np.testing.assert_array_equal(out, (longs_of(seed, call, size) >> np.uint64(11)) * 2.0**-53)
    assert generator.get_state().tolist() == [seed, 2]


def test_calls_above_32_bits_count_on() -> None:
    generator = Generator(3)
    generator.set_state(np.array([3, 2**32 + 1], np.uint64))
    out = np.empty(5)
    generator.fill_uniform(out)
    np.testing.assert_array_equal(out, (longs_of(3, 2**32 + 1, 5) >> np.uint64(11)) * 2.0**-53)


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_statistics_and_range(dtype: Any) -> None:
    out = np.empty(200_000, dtype)
    Generator(1).fill_uniform(out, -2.0, 4.0)
    assert out.min() >= -2
    assert out.max() < 4
    scaled = (out.astype(np.float64) + 2) / 6
    sigma = 1 / math.sqrt(12 * out.size)
    assert abs(scaled.mean() - 0.5) < 4 * sigma
    assert abs(scaled.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / out.size)
    counts = np.bincount((scaled * 100).astype(int), minlength=100)
    assert chi_square(counts) < 149  # 99 degrees of freedom: exceeded once in 1000
    assert abs(np.corrcoef(scaled[1:], scaled[:-1])[0, 1]) < 4 / math.sqrt(out.size)
    assert abs(np.corrcoef(scaled[64:], scaled[:-64])[0, 1]) < 4 / math.sqrt(out.size)


def chi_square(counts: Any) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


def test_uniform_never_rounds_up_to_its_limit() -> None:
    out = np.empty(100_000, np.float32)
    Generator(2).fill_uniform(out, 1.0, float(np.nextafter(np.float32(1), np.float32(2))))
    assert (out == 1).all()
    Generator(2).fill_uniform(out, 3.0, 3.0)
    assert (out == 3).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 129, 301])
def test_normal_numbers_are_those_of_box_and_muller(dtype: Any, size: int) -> None:
    out = np.empty(size, dtype)
    Generator(5).fill_normal(out, 2.0, 3.0)
    fractions = ((longs_of(5, 0, 384) >> np.uint64(11)) * 2.0**-53).reshape(3, 2, 64)
    radius, angle = np.sqrt(-2 * np.log(1 - fractions[:, 0])), 2 * np.pi * fractions[:, 1]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:size]
    np.testing.assert_allclose(out, 2 + 3 * expected, rtol=4 * np.finfo(dtype).eps, atol=1e-15)


def test_normal_statistics() -> None:
    x = np.empty(200_000)
    Generator(9).fill_normal(x)
    n = x.size
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert abs(x.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((x**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert abs((np.abs(x) > 1.959964).mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 / n)


@settings(deadline=None, max_examples=50)
@given(low=st.integers(-(2**62), 2**62 - 2), span=st.integers(1, 2**62), seed=st.integers(0, 2**64 - 1))
def test_integers_are_the_scaled_numbers_of_the_algorithm(low: int, span: int, seed: int) -> None:
    out = np.empty(130, np.int64)
    high = min(low + span, 2**63 - 1)
    Generator(seed).fill_randint(out, low, high)
    expected = [low + ((high - low) * int(long) >> 64) for long in longs_of(seed, 0, 130)]
    assert out.tolist() == expected


def test_integers_are_even() -> None:
    out = np.empty(70_000, np.int64)
    Generator(4).fill_randint(out, -3, 4)
    assert (out.min(), out.max()) == (-3, 3)
    assert chi_square(np.bincount(out + 3)) < 22.5  # 6 degrees of freedom: exceeded once in 1000


@settings(deadline=None, max_examples=30)
@given(size=st.integers(0, 400), seed=st.integers(0, 100))
def test_permutation_holds_every_number_once(size: int, seed: int) -> None:
    out = np.full(size, -1)
    Generator(seed).fill_permutation(out)
    assert sorted(out.tolist()) == list(range(size))


def test_permutations_are_even() -> None:
    generator, out = Generator(6), np.empty(4, np.int64)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(4800):
        generator.fill_permutation(out)
        counts[tuple(out.tolist())] = counts.get(tuple(out.tolist()), 0) + 1
    assert len(counts) == 24
    assert chi_square(np.array(list(counts.values()))) < 49.7  # 23 degrees of freedom: exceeded once in 1000


def test_bernoulli_follows_the_words() -> None:
    out = np.empty(1000, np.bool_)
    Generator(8).fill_bernoulli(out, 0.3)
    np.testing.assert_array_equal(out, words_of(8, 0, 1000) < round(0.3 * 2**32))
    Generator(8).fill_bernoulli(out, 0.0)
    assert not out.any()
    Generator(8).fill_bernoulli(out, 1.0)
    assert out.all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1001])
def test_dropout_follows_the_words(dtype: Any, p: float, size: int) -> None:
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    generator, out = Generator(11), np.full(size, np.nan, dtype)
    mask = draw_dropout(x, p, generator, out)
    keep = words_of(11, 0, size) >= round(p * 2**32)
    np.testing.assert_array_equal(out, np.where(keep, x * dtype(1 / (1 - p) if p < 1 else 0), 0))
    assert mask.drawn.tolist() == [11, 0]
    assert generator.get_state().tolist() == [11, 1]


def test_the_mask_is_drawn_again_after_other_draws_and_a_new_seed() -> None:
    x = np.ones((37, 20), np.float32)
    generator, out, again = Generator(3), np.empty_like(x), np.empty_like(x)
    mask = draw_dropout(x, 0.4, generator, out)
    other = np.empty_like(x)
    draw_dropout(x, 0.4, generator, other)
    generator.manual_seed(99)
    apply_dropout(x, mask, again)
    assert again.tobytes() == out.tobytes()
    assert other.tobytes() != out.tobytes()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_mask_goes_by_place_in_the_memory_of_the_output(order: tuple[int, ...]) -> None:
    back = np.argsort(order)
    x = np.random.default_rng(0).standard_normal((6, 7, 8))
    flat = np.empty(6 * 7 * 8)
    out = np.empty([x.shape[axis] for axis in order]).transpose(back)
    mask = draw_dropout(x, 0.5, Generator(1), out)
    draw_dropout(x.transpose(order).reshape(-1), 0.5, Generator(1), flat)
    np.testing.assert_array_equal(out.transpose(order).reshape(-1), flat)
    for layout in (np.empty_like(out), np.empty(x.shape), np.empty((8, 7, 6)).T, np.empty((6, 7, 16))[..., ::2]):
        apply_dropout(np.asfortranarray(x), mask, layout)
        np.testing.assert_array_equal(layout, out)


def test_dropout_keeps_nan() -> None:
    out = np.empty(100)
    draw_dropout(np.full(100, np.nan), 0.5, Generator(0), out)
    assert np.isnan(out).all()


def test_dropout_statistics() -> None:
    x, out = np.ones(100_000, np.float32), np.empty(100_000, np.float32)
    draw_dropout(x, 0.3, Generator(21), out)
    assert abs((out == 0).mean() - 0.3) < 4 * math.sqrt(0.21 / x.size)
    assert set(np.unique(out).tolist()) == {0.0, float(np.float32(1 / 0.7))}


def test_state_can_be_saved_and_restored() -> None:
    generator, first, second = Generator(5), np.empty(10), np.empty(10)
    generator.fill_normal(first)
    state = generator.get_state()
    generator.fill_normal(first)
    generator.set_state(state)
    generator.fill_normal(second)
    assert first.tobytes() == second.tobytes()
    assert state.tolist() == [5, 1]  # a copy: later draws leave it alone
    assert generator.initial_seed() == 5
    assert generator.manual_seed(2**64 - 1).initial_seed() == 2**64 - 1


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1", True, None])
def test_wrong_seeds(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="whole number"):
        Generator(seed)


@pytest.mark.parametrize("state", [np.zeros(3, np.uint64), np.zeros(2), [1, 2]])
def test_wrong_states(state: Any) -> None:
    with pytest.raises(ArgumentError, match="get_state"):
        Generator(0).set_state(state)


def test_wrong_parameters() -> None:
    generator, floats, integers = Generator(0), np.empty(3), np.empty(3, np.int64)
    for low, high in ((1.0, 0.0), (0.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(ArgumentError, match="uniform"):
            generator.fill_uniform(floats, low, high)
    with pytest.raises(ArgumentError, match="standard deviation"):
        generator.fill_normal(floats, 0.0, -1.0)
    for start, stop in ((2, 2), (3, 2), (-(2**63), 1), (0, 2**63)):
        with pytest.raises(ArgumentError, match="randint"):
            generator.fill_randint(integers, start, stop)
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match="probability"):
            generator.fill_bernoulli(np.empty(3, np.bool_), p)
        with pytest.raises(ArgumentError, match="probability"):
            draw_dropout(floats, p, generator, np.empty(3))
    with pytest.raises(ArgumentError, match="dense"):
        generator.fill_uniform(np.empty((4, 4))[:, ::2])
    assert generator.get_state().tolist() == [0, 0]
