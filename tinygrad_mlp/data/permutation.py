"""Random numbers of the data room: each a pure function of a seed, a purpose and a counter; no state anywhere."""

from __future__ import annotations

import operator
from enum import IntEnum
from typing import SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.order import order_words
from tinygrad_mlp.kernels.random import Generator

__all__ = ["Purpose", "SeedSource", "check_seed", "permutation", "random_words", "resolve_seed"]

SeedSource: TypeAlias = np.random.Generator | Generator


class Purpose(IntEnum):
    """What the numbers are for: one seed gives each purpose a stream of its own."""

    SHUFFLE = 0
    SPLIT = 1
    SYNTHETIC = 2
    SEED = 3


def check_seed(seed: int, where: str) -> int:
    """Return the seed, or raise `ArgumentError` unless it is a whole number from 0 to 2**64 - 1."""
    whole = not isinstance(seed, bool) and isinstance(seed, SupportsIndex)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not whole or not 0 <= operator.index(seed) < 2**64:
        raise ArgumentError(f"{where}: seed is {seed!r}, expected a whole number from 0 to 2**64 - 1")
    return operator.index(seed)


def random_words(count: int, seed: int, purpose: Purpose, counter: int = 0) -> NDArray[np.uint64]:
    """`count` uniform 64-bit words from Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

    Key: the seed. The 256-bit counter starts at (0, 0, counter, purpose), so that no two streams ever meet. These are
    the raw words of the published algorithm: unlike NumPy's distributions they are the same in every NumPy version.
    """
    philox = np.random.Philox(key=seed, counter=[0, 0, counter, int(purpose)])
    return np.asarray(philox.random_raw(count), np.uint64)


def permutation(count: int, seed: int, purpose: Purpose, counter: int = 0) -> NDArray[np.int64]:
    """The numbers 0 to count - 1 in random order, (count,) int64: sorted by random 64-bit keys, equal ones by size."""
    order = np.empty(count, np.int64)
    launch(order_words, random_words(count, seed, purpose, counter), order)
    return order


def resolve_seed(seed: int | None, generator: SeedSource | None, where: str) -> int:
    """The seed itself, or one drawn from the generator (counted there as one draw), or from that of `tg.manual_seed`.

    Raises `ArgumentError` for both, or a seed out of range.
    """
    if seed is not None and generator is not None:
        raise ArgumentError(f"{where}: got a seed and a generator, expected one of them or neither")
    if seed is not None:
        return check_seed(seed, where)
    if isinstance(generator, np.random.Generator):
        return int(generator.integers(2**63))
    state = (generator or default_generator).state
    drawn, call = int(state[0]), int(state[1])
    state[1] += 1
    return int(random_words(1, drawn, Purpose.SEED, call)[0])
