"""Memory for large results: used again when, and only when, nobody has it any more."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinygrad_mlp.kernels.memory import empty, empty_like

SHAPE = (700, 1003)  # of float32, 2.8 MB


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_of_an_array_that_is_gone_is_used_again():
    first = empty(SHAPE, np.float32)
    place = address(first)
    del first
    assert address(empty(SHAPE, np.float32)) == place
    assert address(empty((SHAPE[0] - 9, SHAPE[1]), np.float32)) == place


@pytest.mark.parametrize("view", [lambda x: x[3:5], lambda x: x.T, lambda x: x.reshape(-1)[7:8].view(np.uint8)])
def test_a_view_keeps_the_memory(view):
    first = empty(SHAPE, np.float32)
    first[...] = 5
    kept, expected = view(first), view(first).copy()
    del first
    gc.collect()
    others = [empty(SHAPE, np.float32) for _ in range(4)]
    for other in others:
        other[...] = 7
        assert not np.shares_memory(other, kept)
    assert np.array_equal(kept, expected)


def test_arrays_alive_at_once_never_share_memory():
    rng = np.random.default_rng(0)
    alive: list[np.ndarray] = []
    for number in range(300):
        if len(alive) > 10:
            alive.pop(int(rng.integers(len(alive))))
        array = empty((int(rng.integers(60_000, 400_000)),), np.float64)
        array[...] = number
        alive.append(array)
        assert len({float(value) for other in alive for value in (other[0], other[-1], other.mean())}) == len(alive)


def test_in_several_threads():
    def work(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        for _ in range(200):
            array = empty((int(rng.integers(70_000, 90_000)),), np.float32)
            array[...] = seed
            if not (array == seed).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("shape", [(), (0, 5), (3,), SHAPE, (2, 500_000)])
def test_empty_is_numpys(shape, dtype):
    array = empty(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.carray


def test_large_arrays_begin_with_a_line_of_the_cache():
    assert [address(empty((size,), np.float32)) % 64 for size in (65_536, 100_001, 3_000_003)] == [0, 0, 0]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 3, 2)])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (64, 16, 9, 20), (64, 1, 90, 100)])
def test_empty_like_keeps_the_memory_order(order, shape):
    stored = [shape[axis] for axis in order]
    like = np.zeros(stored, np.float32).transpose(np.argsort(order))
    array = empty_like(like)
    assert (array.shape, array.dtype) == (like.shape, like.dtype)
    assert [s for s, n in zip(array.strides, shape, strict=True) if n > 1] == [
        s for s, n in zip(like.strides, shape, strict=True) if n > 1
    ]
