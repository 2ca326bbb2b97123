"""Random orders: sorted by keys, ties by number, whichever way they are sorted."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_mlp.data import permutation as module
from tinygrad_mlp.data.permutation import Purpose, permutation, random_words


@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 65, 48_000, 65_537])
def test_numbers_stand_in_the_order_of_their_keys(count: int) -> None:
    for seed in range(3):
        order = permutation(count, seed, Purpose.SHUFFLE, 7)
        keys = random_words(count, seed, Purpose.SHUFFLE, 7)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ([5, 3, 5, 3], [1, 3, 0, 2]),
        ([2**63 + 1, 2**63, 1, 2**63 + 2], [2, 1, 0, 3]),  # they differ in the lowest bits alone
        ([3, 2, 1, 0, 2**64 - 1], [3, 2, 1, 0, 4]),
    ],
)
def test_keys_that_are_nearly_equal(keys: list[int], order: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "random_words", lambda *_: np.array(keys, np.uint64))
    assert permutation(len(keys), 0, Purpose.SHUFFLE).tolist() == order
