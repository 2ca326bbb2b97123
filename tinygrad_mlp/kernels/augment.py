"""Draw a batch of images, each mirrored, moved, rotated, scaled or erased in part, and standardised: in one pass.

Two kernels. `draw_augmentation` draws what is to be done, a row of numbers for each image; `augment_standardize` does
it. Numbers come from Philox with the seed as key and (sample, epoch) as counter, so that they depend on neither the
batch that a sample is in nor the number of threads.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_mlp.kernels.batch import are_indices_good, standardize
from tinygrad_mlp.kernels.launch import Array, device, kernel, prange
from tinygrad_mlp.kernels.random import philox

__all__ = ["DRAWN", "augment_standardize", "draw_augmentation", "mirror_images"]

# What is drawn for an image, in this order: 1 to mirror it; pixels to move it down and to the right; degrees to turn it
# clockwise; the factor to enlarge it by; the rectangle to erase, as its first row, the row behind its last, and so for
# columns.
DRAWN = ("mirrored", "down", "right", "angle", "scale", "row", "row_stop", "column", "column_stop")
_MIRRORED, _DOWN, _RIGHT, _ANGLE, _SCALE, _ROW, _ROW_STOP, _COLUMN, _COLUMN_STOP = range(len(DRAWN))

_IMAGES = 8  # in a block, which one thread works on
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
# Second word of the counter: number of a block of four words, far from those that a `Generator` of this seed gets to.
_STREAM = np.uint64(0xA0600000)


@device
def _uniform(word: np.uint64, low: float, high: float) -> float:
    """A 32-bit word as a number in [low, high)."""
    return low + (high - low) * (np.float64(word) * 2.0**-32)


@device
def _whole(word: np.uint64, low: int, high: int) -> int:
    """A 32-bit word as a whole number of low … high."""
    return low + int(np.int64((word * np.uint64(high - low + 1)) >> _HALF))


@kernel(writes=("drawn",))
def draw_augmentation(
    indices: Array, count: int, seed_and_epoch: Array, options: Array, height: int, width: int, drawn: Array
) -> None:
    """Draw what is to be done with samples `indices` (B,) int64 of `count`; drawn (B, 9) float64, see `DRAWN`.

    seed_and_epoch (2,) uint64. options (8,) float64: probability of a mirror image; largest shift in pixels, rotation
    in degrees and change of scale; side of the square that is cut out; probability of an erased rectangle, the smallest
    and the largest share of the image that it takes. Each random number has a word of its own, so that what is drawn
    for one of them does not depend on the others.
    """
    flip, shift, rotation, scale = options[0], int(options[1]), options[2], options[3]
    side, erasing, least, most = int(options[4]), options[5], options[6], options[7]
    seed, epoch = seed_and_epoch[0], seed_and_epoch[1]
    k0, k1, c2, c3 = seed & _LOW, seed >> _HALF, epoch & _LOW, epoch >> _HALF
    for position in range(indices.size):
        index = indices[position]
        sample = np.uint64(index + count if index < 0 else index) & _LOW
        row = drawn[position]
        w0, w1, w2, w3 = philox(sample, _STREAM, c2, c3, k0, k1)
        row[_MIRRORED] = 1.0 if _uniform(w0, 0.0, 1.0) < flip else 0.0
        row[_DOWN], row[_RIGHT] = _whole(w1, -shift, shift), _whole(w2, -shift, shift)
        row[_ANGLE] = _uniform(w3, -rotation, rotation)
        row[_SCALE] = 1.0
        row[_ROW] = row[_ROW_STOP] = row[_COLUMN] = row[_COLUMN_STOP] = 0.0
        if scale == 0 and side == 0 and erasing == 0:
            continue
        w0, w1, w2, w3 = philox(sample, _STREAM + np.uint64(1), c2, c3, k0, k1)
        row[_SCALE] = _uniform(w0, 1.0 - scale, 1.0 + scale)
        if side > 0:  # around a pixel anywhere, so that a part may lie outside
            top, left = _whole(w1, 0, height - 1) - side // 2, _whole(w2, 0, width - 1) - side // 2
            row[_ROW], row[_ROW_STOP] = max(top, 0), min(top + side, height)
            row[_COLUMN], row[_COLUMN_STOP] = max(left, 0), min(left + side, width)
        elif _uniform(w3, 0.0, 1.0) < erasing:
            w0, w1, w2, w3 = philox(sample, _STREAM + np.uint64(2), c2, c3, k0, k1)
            area = _uniform(w0, least, most) * height * width
            ratio = math.exp(_uniform(w1, -math.log(3.0), math.log(3.0)))  # height to width
            rows = min(max(int(math.sqrt(area * ratio) + 0.5), 1), height)
            columns = min(max(int(math.sqrt(area / ratio) + 0.5), 1), width)
            top, left = _whole(w2, 0, height - rows), _whole(w3, 0, width - columns)
            row[_ROW], row[_ROW_STOP], row[_COLUMN], row[_COLUMN_STOP] = top, top + rows, left, left + columns


@device
def _move(image: Array, mirrored: bool, down: int, right: int, out: Array) -> None:
    """Mirror an image (H, W) and move it by whole pixels; out (H, W). What comes in from outside is 0."""
    height, width = image.shape
    first, stop = min(max(right, 0), width), max(min(width + right, width), 0)
    for row in range(height):
        target = out[row]
        if not 0 <= row - down < height or first >= stop:
            target[:] = 0
            continue
        source = image[row - down]
        target[:first] = 0
        if mirrored:
            for column in range(first, stop):
                target[column] = source[width - 1 - (column - right)]
        else:
            for column in range(first, stop):
                target[column] = source[column - right]
        target[stop:] = 0


@device
def _warp(padded: Array, drawn: Array, out: Array) -> None:
    """Mirror, turn, scale and move an image by bilinear interpolation; out (H, W).

    padded (H + 3, W + 3), the dtype of `out`: the image with a row and a column of zeros before it and two behind.
    """
    number = out.dtype.type
    height, width = out.shape
    one, low = number(1), number(-1)
    angle = drawn[_ANGLE] * (math.pi / 180)
    cosine, sine = math.cos(angle) / drawn[_SCALE], math.sin(angle) / drawn[_SCALE]
    sign = -1.0 if drawn[_MIRRORED] != 0 else 1.0
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    # A step to the right in `out` is a step of (down, right) in the image.
    step_y, step_x = number(-sine), number(sign * cosine)
    flat = padded.reshape(-1)
    stride = width + 3
    for row in range(height):
        y_out, x_out = row - drawn[_DOWN] - middle_y, -drawn[_RIGHT] - middle_x
        first_y = number(middle_y + cosine * y_out - sine * x_out)
        first_x = number(middle_x + sign * (sine * y_out + cosine * x_out))
        target = out[row]
        for column in range(width):
            y = min(max(first_y + number(column) * step_y, low), number(height))
            x = min(max(first_x + number(column) * step_x, low), number(width))
            whole_y, whole_x = np.int32(y + one), np.int32(x + one)  # of `padded`, and no negative numbers to truncate
            part_y, part_x = (y + one) - number(whole_y), (x + one) - number(whole_x)
            place = whole_y * stride + whole_x
            upper = flat[place] + part_x * (flat[place + 1] - flat[place])
            lower = flat[place + stride] + part_x * (flat[place + stride + 1] - flat[place + stride])
            target[column] = upper + part_y * (lower - upper)


@kernel(writes=("out",), parallel=True)
def augment_standardize(
    images: Array, indices: Array, drawn: Array, mean: Array, inverse_std: Array, out: Array, status: Array
) -> None:
    """Images as `drawn` says, standardised.

    images (N, H, W) uint8; indices (B,) int64, negative ones counted from the end; drawn (B, 9) float64, see `DRAWN`;
    mean and inverse_std as for `gather_standardize`, (1, H*W) where there is one per pixel: per pixel of the result;
    out (B, H*W) float32 or float64.

    An image is mirrored, turned and scaled around its middle, then moved; what comes in from outside is 0 before it is
    standardised. The erased rectangle is 0 after it is, the mean of the training data.
    """
    count, height, width = images.shape
    if not are_indices_good(indices, count, status):
        return
    for block in prange((indices.size + _IMAGES - 1) // _IMAGES):
        moved = np.empty((height, width), images.dtype)
        padded = np.zeros((height + 3, width + 3), out.dtype)
        for position in range(block * _IMAGES, min((block + 1) * _IMAGES, indices.size)):
            index = indices[position]
            if index < 0:
                index += count
            image, row, result = images[index], drawn[position], out[position]
            mirrored, down, right = row[_MIRRORED] != 0, int(row[_DOWN]), int(row[_RIGHT])
            if row[_ANGLE] != 0 or row[_SCALE] != 1:
                for y in range(height):
                    for x in range(width):
                        padded[y + 1, x + 1] = image[y, x]
                _warp(padded, row, result.reshape((height, width)))
                standardize(result, index, mean, inverse_std, result)
            elif mirrored or down != 0 or right != 0:
                _move(image, mirrored, down, right, moved)
                standardize(moved.reshape(-1), index, mean, inverse_std, result)
            else:
                standardize(image.reshape(-1), index, mean, inverse_std, result)
            for y in range(max(int(row[_ROW]), 0), min(int(row[_ROW_STOP]), height)):
                for x in range(max(int(row[_COLUMN]), 0), min(int(row[_COLUMN_STOP]), width)):
                    result[y * width + x] = 0


def mirror_images(count: int) -> Array:
    """What `draw_augmentation` draws for so many images that are to be mirrored and nothing else, (count, 9)."""
    drawn = np.zeros((count, len(DRAWN)))
    drawn[:, (_MIRRORED, _SCALE)] = 1
    return drawn
