"""Draw a batch: gather rows by index and standardise them in the same pass, uint8 in, float32 or float64 out."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.kernels.launch import Array, device, kernel, prange
from tinygrad_mlp.kernels.prefetch import CACHE_LINE, prefetch
from tinygrad_mlp.kernels.status import BAD_INDEX

__all__ = ["are_indices_good", "gather_standardize", "standardize", "take_numbers", "take_rows"]


_AHEAD = 2  # images that are fetched before they are needed
_PART = 16  # images that a thread draws one after the other


@device
def are_indices_good(indices: Array, count: int, status: Array) -> bool:
    """Whether all indices (B,) lie in -count to count - 1; `status` says which does not."""
    for position in range(indices.size):
        index = indices[position]
        if index < -count or index >= count:
            status[0], status[1], status[2], status[3] = BAD_INDEX, position, index, count
            return False
    return True


@device
def standardize(image: Array, index: int, mean: Array, inverse_std: Array, out: Array) -> None:
    """out[d] = (image[d] - mean) * inverse_std for one image (D,), number `index` of its data set; out (D,)."""
    number = out.dtype.type
    if mean.shape[1] == 1:
        row = index if mean.shape[0] > 1 else 0
        centre, scale = mean[row, 0], inverse_std[row, 0]
        for column in range(image.size):
            out[column] = (number(image[column]) - centre) * scale
    else:
        for column in range(image.size):
            out[column] = (number(image[column]) - mean[0, column]) * inverse_std[0, column]


@kernel(writes=("out",), parallel=True, draws_from=("images",))
def gather_standardize(
    images: Array, indices: Array, mean: Array, inverse_std: Array, out: Array, status: Array
) -> None:
    """out[b, d] = (images[indices[b], d] - mean) * inverse_std.

    images (N, D) uint8; indices (B,) int64, negative ones counted from the end; out (B, D) float32 or float64. `mean`
    and `inverse_std` have one shape and the dtype of `out`: (1, 1) for one value, (1, D) for one per column, (N, 1) for
    one per image. A bad index sets `status` before anything is written.
    """
    count = images.shape[0]
    if not are_indices_good(indices, count, status):
        return
    pixels, width = images.reshape(-1), images.shape[1]
    for part in prange((indices.size + _PART - 1) // _PART):
        end = min((part + 1) * _PART, indices.size)
        for position in range(part * _PART, end):
            if position + _AHEAD < end:  # images lie all over memory; the processor fetches some while it works
                start = (indices[position + _AHEAD] % count) * width
                for offset in range(0, width, CACHE_LINE):
                    prefetch(pixels, start + offset)
            index = indices[position]
            if index < 0:
                index += count
            standardize(images[index], index, mean, inverse_std, out[position])


@kernel(writes=("out",), draws_from=("numbers",))
def take_numbers(numbers: Array, indices: Array, out: Array, status: Array) -> None:
    """out[b] = numbers[indices[b]] for numbers (N,) int64, as labels are; negative indices count from the end."""
    count = numbers.size
    if not are_indices_good(indices, count, status):
        return
    for position in range(indices.size):
        index = indices[position]
        out[position] = numbers[index + count if index < 0 else index]


@kernel(writes=("out",), compiled=False, draws_from=("rows",))
def take_rows(rows: Array, indices: Array, out: Array, status: Array) -> None:
    """out[b] = rows[indices[b]] for rows (N, ...) of any dtype; negative indices count from the end."""
    count = rows.shape[0]
    outside = (indices < -count) | (indices >= count)
    if outside.any():
        position = int(np.argmax(outside))
        status[:] = BAD_INDEX, position, indices[position], count
        return
    # Every index is good by now: "wrap" counts the negative ones from the end, and unlike "raise" needs no buffer.
    np.take(rows, indices, axis=0, out=out, mode="wrap")
