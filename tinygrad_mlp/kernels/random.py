"""Random numbers by counting: Philox-4x32-10, uniform, normal, integers, permutations, and dropout.

Philox (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3") scrambles a 128-bit counter
under a 64-bit key; there is no other state. Here the key is the seed and the counter is (call, block): every draw from
a generator is one call, and each block of a call gives four 32-bit words. So a number depends on nothing but seed, call
and position, and a backward pass draws the forward pass's numbers again instead of storing them.

Words come in chunks of 256, from 64 blocks: word 64 * j + i of a chunk is word j of its block i. In this order the
compiler computes several blocks at once in the lanes of a vector.
"""

from __future__ import annotations

import math
import operator
from typing import NamedTuple

import numpy as np

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.copy import copy, flat_view, memory_order
from tinygrad_mlp.kernels.launch import Array, device, kernel, launch, select
from tinygrad_mlp.kernels.record import about_to_write

__all__ = [
    "DropoutMask",
    "Generator",
    "apply_dropout",
    "bernoulli",
    "draw_dropout",
    "dropout",
    "dropout_again",
    "normal",
    "permutation",
    "philox",
    "randint",
    "uniform",
]

_BLOCKS = 64  # of a chunk
_WORDS = 4 * _BLOCKS  # 32-bit words of a chunk
_LONGS = _WORDS // 2  # 64-bit numbers of a chunk

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEP_0, _KEY_STEP_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # golden ratio, sqrt(3) - 1


@device
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Ten rounds of Philox-4x32. All numbers are 32-bit words in uint64, so that products keep both halves."""
    for _ in range(10):
        product0, product1 = c0 * _MULTIPLIER_0, c2 * _MULTIPLIER_1
        c0, c1, c2, c3 = (product1 >> _HALF) ^ c1 ^ k0, product1 & _LOW, (product0 >> _HALF) ^ c3 ^ k1, product0 & _LOW
        k0, k1 = (k0 + _KEY_STEP_0) & _LOW, (k1 + _KEY_STEP_1) & _LOW
    return c0, c1, c2, c3


@device
def _fill_words(seed: np.uint64, call: np.uint64, chunk: int, words: Array) -> None:
    """Words of one chunk, (256,) uint32."""
    k0, k1 = seed & _LOW, seed >> _HALF
    c2, c3 = call & _LOW, call >> _HALF
    first = np.uint64(chunk) * np.uint64(_BLOCKS)
    c1 = first >> _HALF
    for i in range(np.uint64(_BLOCKS)):
        w0, w1, w2, w3 = philox((first + i) & _LOW, c1, c2, c3, k0, k1)
        words[i] = np.uint32(w0)
        words[i + np.uint64(_BLOCKS)] = np.uint32(w1)
        words[i + np.uint64(2 * _BLOCKS)] = np.uint32(w2)
        words[i + np.uint64(3 * _BLOCKS)] = np.uint32(w3)


@device
def _fill_longs(seed: np.uint64, call: np.uint64, chunk: int, words: Array, longs: Array) -> None:
    """Numbers of 64 bits, (128,) uint64; the high half of number i is word i, the low half word 128 + i."""
    _fill_words(seed, call, chunk, words)
    for i in range(_LONGS):
        longs[i] = (np.uint64(words[i]) << _HALF) | np.uint64(words[i + _LONGS])


@device
def _fraction(long: np.uint64) -> float:
    """The highest 53 bits as a float64 in [0, 1): as many as it holds."""
    return np.float64(long >> np.uint64(11)) * 2.0**-53


@device
def _below(limit: np.uint64, long: np.uint64) -> np.uint64:
    """The number scaled to 0 … limit - 1: the high half of limit * long. Probabilities are off by less than 2**-64."""
    low = (limit & _LOW) * (long & _LOW)
    middle0 = (limit >> _HALF) * (long & _LOW) + (low >> _HALF)
    middle1 = (limit & _LOW) * (long >> _HALF) + (middle0 & _LOW)
    return (limit >> _HALF) * (long >> _HALF) + (middle0 >> _HALF) + (middle1 >> _HALF)


@device
def _next_call(state: Array) -> np.uint64:
    """The number of this call; the generator goes on to the next."""
    call = state[1]
    state[1] = call + np.uint64(1)
    return call


@kernel(writes=("state", "out"))
def uniform(state: Array, low: float, high: float, out: Array) -> None:
    """Uniform numbers in [low, high), 53 bits before rounding to the dtype; out (n,) float32 or float64."""
    seed, call = state[0], _next_call(state)
    words, longs = np.empty(_WORDS, np.uint32), np.empty(_LONGS, np.uint64)
    typed = out.dtype.type
    for chunk in range((out.size + _LONGS - 1) // _LONGS):
        _fill_longs(seed, call, chunk, words, longs)
        part = out[chunk * _LONGS : (chunk + 1) * _LONGS]
        for i in range(part.size):
            value = typed(low + (high - low) * _fraction(longs[i]))
            part[i] = select(value < typed(high), value, typed(low))  # rounding may reach `high`


@kernel(writes=("state", "out"))
def normal(state: Array, mean: float, std: float, out: Array) -> None:
    """Normal numbers by the method of Box and Muller (1958), in float64 before rounding; out (n,) float32 or float64.

    Numbers i and i + 64 of a chunk of 128 are one pair: radius sqrt(-2 log u), angle 2 pi v.
    """
    seed, call = state[0], _next_call(state)
    words, longs = np.empty(_WORDS, np.uint32), np.empty(_LONGS, np.uint64)
    half = _LONGS // 2
    for chunk in range((out.size + _LONGS - 1) // _LONGS):
        _fill_longs(seed, call, chunk, words, longs)
        part = out[chunk * _LONGS : (chunk + 1) * _LONGS]
        for i in range(min(half, part.size)):
            radius = math.sqrt(-2.0 * math.log(1.0 - _fraction(longs[i])))  # 1 - u lies in (0, 1]
            angle = 2.0 * math.pi * _fraction(longs[i + half])
            part[i] = mean + std * (radius * math.cos(angle))
            if i + half < part.size:
                part[i + half] = mean + std * (radius * math.sin(angle))


@kernel(writes=("state", "out"))
def randint(state: Array, low: int, high: int, out: Array) -> None:
    """Integers in [low, high), each with the same probability to within 2**-64; out (n,) int64."""
    seed, call = state[0], _next_call(state)
    words, longs = np.empty(_WORDS, np.uint32), np.empty(_LONGS, np.uint64)
    count = np.uint64(high - low)
    for chunk in range((out.size + _LONGS - 1) // _LONGS):
        _fill_longs(seed, call, chunk, words, longs)
        part = out[chunk * _LONGS : (chunk + 1) * _LONGS]
        for i in range(part.size):
            part[i] = low + np.int64(_below(count, longs[i]))


@kernel(writes=("state", "out"))
def permutation(state: Array, out: Array) -> None:
    """The numbers 0 … n-1 in random order (Fisher–Yates); out (n,) int64."""
    seed, call = state[0], _next_call(state)
    words, longs = np.empty(_WORDS, np.uint32), np.empty(_LONGS, np.uint64)
    for i in range(out.size):
        if i % _LONGS == 0:
            _fill_longs(seed, call, i // _LONGS, words, longs)
        j = np.int64(_below(np.uint64(i + 1), longs[i % _LONGS]))  # 0 … i
        out[i] = out[j]
        out[j] = i


@kernel(writes=("state", "out"))
def bernoulli(state: Array, threshold: int, out: Array) -> None:
    """True with probability threshold / 2**32; out (n,) bool."""
    seed, call = state[0], _next_call(state)
    words = np.empty(_WORDS, np.uint32)
    limit = np.uint64(threshold)
    for chunk in range((out.size + _WORDS - 1) // _WORDS):
        _fill_words(seed, call, chunk, words)
        part = out[chunk * _WORDS : (chunk + 1) * _WORDS]
        for i in range(part.size):
            part[i] = np.uint64(words[i]) < limit


@device
def _drop(x: Array, seed: np.uint64, call: np.uint64, threshold: int, scale: float, out: Array) -> None:
    """Out = x * scale where the word reaches the threshold, x * 0 elsewhere (so that NaN stays NaN)."""
    words = np.empty(_WORDS, np.uint32)
    limit, factor, zero = np.uint64(threshold), x.dtype.type(scale), x.dtype.type(0)
    for chunk in range((out.size + _WORDS - 1) // _WORDS):
        _fill_words(seed, call, chunk, words)
        values, part = x[chunk * _WORDS : (chunk + 1) * _WORDS], out[chunk * _WORDS : (chunk + 1) * _WORDS]
        for i in range(part.size):
            part[i] = values[i] * select(np.uint64(words[i]) < limit, zero, factor)


@kernel(writes=("state", "drawn", "out"))
def dropout(state: Array, drawn: Array, x: Array, threshold: int, scale: float, out: Array) -> None:
    """Drop elements of x (n,) with probability threshold / 2**32 and scale the others; out (n,).

    `drawn` (2,) uint64 receives seed and call, from which `dropout_again` makes the same mask.
    """
    drawn[0], drawn[1] = state[0], _next_call(state)
    _drop(x, drawn[0], drawn[1], threshold, scale, out)


@kernel(writes=("out",))
def dropout_again(drawn: Array, x: Array, threshold: int, scale: float, out: Array) -> None:
    """Apply to x (n,) the mask that `dropout` drew; out (n,). A mask is linear, so this is also the gradient."""
    _drop(x, drawn[0], drawn[1], threshold, scale, out)


class Generator:
    """A source of random numbers: a seed, and how many draws were made. Same seed, same numbers.

    `state`, (2,) uint64, holds both; kernels read it and count the calls themselves, so that a replayed step draws new
    numbers. One generator serves one Python thread at a time.

    >>> generator, out = Generator(seed=1), np.empty(3, np.int64)
    >>> generator.fill_randint(out, 0, 10)
    """

    def __init__(self, seed: int = 0) -> None:
        self.state: Array = np.zeros(2, np.uint64)
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from a seed of 0 to 2**64 - 1. Raises `ArgumentError` for any other."""
        try:
            number = operator.index(seed)
        except TypeError:
            number = -1
        if isinstance(seed, bool) or not 0 <= number < 2**64:
            raise ArgumentError(f"manual_seed: got {seed!r}, expected a whole number from 0 to 2**64 - 1")
        self.state[:] = number, 0
        return self

    def initial_seed(self) -> int:
        """The seed that it started from."""
        return int(self.state[0])

    def get_state(self) -> Array:
        """A copy of its state, (2,) uint64, for `set_state`."""
        return self.state.copy()

    def set_state(self, state: Array) -> None:
        """Go on from a state that `get_state` returned. Raises `ArgumentError` for anything else."""
        if not isinstance(state, np.ndarray) or state.dtype != np.uint64 or state.shape != (2,):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(f"set_state: got {state!r}, expected an array of 2 uint64 from get_state()")
        self.state[:] = state

    def fill_uniform(self, out: Array, low: float = 0.0, high: float = 1.0) -> None:
        """Fill a dense float array with uniform numbers in [low, high), in the order of its memory.

        Raises `ArgumentError` for low > high, or a range that is not finite.
        """
        if not 0.0 <= high - low < math.inf:
            raise ArgumentError(f"uniform: got the range {low} to {high}, expected finite numbers with low <= high")
        about_to_write(self.state)
        launch(uniform, self.state, float(low), float(high), flat_view(out))

    def fill_normal(self, out: Array, mean: float = 0.0, std: float = 1.0) -> None:
        """Fill a dense float array with normal numbers, in the order of its memory.

        Raises `ArgumentError` for a negative standard deviation.
        """
        if not std >= 0:
            raise ArgumentError(f"normal: got a standard deviation of {std}, expected 0 or more")
        about_to_write(self.state)
        launch(normal, self.state, float(mean), float(std), flat_view(out))

    def fill_randint(self, out: Array, low: int, high: int) -> None:
        """Fill a dense int64 array with integers of [low, high), in the order of its memory.

        Raises `ArgumentError` for an empty range, or one that int64 does not hold.
        """
        if not -(2**63) <= low < high <= 2**63 - 1 or high - low >= 2**63:
            raise ArgumentError(f"randint: got the range {low} to {high}, expected low < high, less than 2**63 apart")
        about_to_write(self.state)
        launch(randint, self.state, int(low), int(high), flat_view(out))

    def fill_permutation(self, out: Array) -> None:
        """Fill a 1-d int64 array with 0 … n-1 in random order."""
        about_to_write(self.state)
        launch(permutation, self.state, out)

    def fill_bernoulli(self, out: Array, p: float) -> None:
        """Fill a dense bool array: True with probability p, to within 2**-32.

        Raises `ArgumentError` unless p lies in 0 to 1.
        """
        about_to_write(self.state)
        launch(bernoulli, self.state, _threshold("bernoulli", p), flat_view(out))


class DropoutMask(NamedTuple):
    """What dropout remembers for its backward pass, in place of the mask."""

    drawn: Array  # (2,) uint64: seed and call
    threshold: int  # probability of a zero, in units of 2**-32
    scale: float  # of the elements that stay
    order: list[int]  # of the axes in memory: the mask goes by position in memory


def draw_dropout(x: Array, p: float, generator: Generator, out: Array) -> DropoutMask:
    """Zero each element with probability p and scale the others by 1/(1-p). The mask goes by place in `out`'s memory.

    Parameters
    ----------
    x, out:
        Of one shape, float32 or float64. `out` is dense, in any order of its axes: np.empty_like(x) will do.
    p:
        To within 2**-32. With 1 everything is zero.
    generator:
        Where the mask comes from; one call.

    Raises
    ------
    ArgumentError
        p is no probability, or `out` is not dense.
    """
    threshold = _threshold("dropout", p)
    mask = DropoutMask(np.empty(2, np.uint64), threshold, 1.0 / (1.0 - p) if p < 1 else 0.0, memory_order(out))
    values, result = _in_order(x, mask.order), flat_view(out, mask.order)
    about_to_write(generator.state)
    launch(dropout, generator.state, mask.drawn, values, mask.threshold, mask.scale, result)
    return mask


def apply_dropout(x: Array, mask: DropoutMask, out: Array) -> None:
    """Apply a mask once more: to the gradient, in the backward pass. x and `out` have the shape it was drawn for."""
    values = _in_order(x, mask.order)
    if out.transpose(mask.order).flags.c_contiguous:
        launch(dropout_again, mask.drawn, values, mask.threshold, mask.scale, flat_view(out, mask.order))
    else:
        result = np.empty_like(values)
        launch(dropout_again, mask.drawn, values, mask.threshold, mask.scale, result)
        stored = out.transpose(mask.order)
        launch(copy, result.reshape(stored.shape), stored)


def _in_order(array: Array, order: list[int]) -> Array:
    """The elements as 1-d, with the axes in this order; a copy if memory holds them in another."""
    stored = array.transpose(order)
    if not stored.flags.c_contiguous:
        dense = np.empty(stored.shape, array.dtype)
        launch(copy, stored, dense)
        stored = dense
    return stored.reshape(-1)


def _threshold(name: str, p: float) -> int:
    """A probability in units of 2**-32."""
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: got p = {p}, expected a probability, from 0 to 1")
    return round(p * 2**32)
