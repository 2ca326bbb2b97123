"""Draw a batch of images, each mirrored, moved, rotated, scaled or erased in part, and standardised: in one pass.

Two kernels. `draw_augmentation` draws what is to be done, a row of numbers for each image; `augment_standardize` does
it. Numbers come from Philox with the seed as key and (sample, epoch) as counter, so that they depend on neither the
batch that a sample is in nor the number of threads.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_mlp.kernels.batch import are_indices_good, standardize
from tinygrad_mlp.kernels.launch import Array, device, kernel, prange, select
from tinygrad_mlp.kernels.random import philox

__all__ = ["DRAWN", "augment_standardize", "draw_augmentation", "the_same_for_all"]

# What is drawn for an image, in this order: 1 to mirror it; pixels to move it down and to the right; degrees to turn it
# clockwise; the factor to enlarge it by; the rectangle to erase, as its first row, the row behind its last, and so for
# columns.
DRAWN = ("mirrored", "down", "right", "angle", "scale", "row", "row_stop", "column", "column_stop")
_MIRRORED, _DOWN, _RIGHT, _ANGLE, _SCALE, _ROW, _ROW_STOP, _COLUMN, _COLUMN_STOP = range(len(DRAWN))

_IMAGES = 16  # in a block, which one thread works on
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
def _copy(source: Array, out: Array) -> None:
    """The first elements of `source`, as many as `out` (n,) has."""
    for i in range(out.size):
        out[i] = source[i]


@device
def _clear(out: Array) -> None:
    for i in range(out.size):
        out[i] = 0


@device
def _mirror(image: Array, out: Array) -> None:
    """The mirror image; both (H, W)."""
    last = np.uint64(image.shape[1] - 1)  # unsigned: a loop with an index that might be negative has no vector code
    for row in range(image.shape[0]):
        source, target = image[row], out[row]
        for column in range(np.uint64(source.size)):
            target[column] = source[last - column]


@device
def _move(image: Array, width: int, down: int, right: int, out: Array) -> None:
    """Move an image by whole pixels; both (H*W,). What comes in from outside is 0."""
    size, height = image.size, image.size // width
    down, right = min(max(down, -height), height), min(max(right, -width), width)
    distance = down * width + right
    first, stop = min(max(distance, 0), size), max(min(size + distance, size), 0)
    _clear(out[:first])
    _copy(image[first - distance :], out[first:stop])
    _clear(out[stop:])
    # What left a row at one end has so far come into its neighbour at the other.
    begin = 0 if right >= 0 else width + right
    for row in range(height):
        _clear(out[row * width + begin : row * width + begin + abs(right)])


@device
def _pack(image: Array, padded: Array, packed: Array) -> None:
    """Each pixel with those to its right, below it, and below to the right: four bytes of one number, lowest first.

    image (H, W); padded (H + 3, W + 3) uint8, zeros, becomes the image with a row and a column before it and two
    behind; packed (n,) uint32, for the n = (H + 2) * (W + 3) - 1 places of `padded` that have these neighbours.
    """
    height, width = image.shape
    for row in range(height):
        _copy(image[row], padded[row + 1, 1 : width + 1])
    pixels = padded.reshape(-1)
    right, below, beyond = pixels[1:], pixels[width + 3 :], pixels[width + 4 :]
    for i in range(packed.size):
        upper = np.uint32(pixels[i]) | (np.uint32(right[i]) << np.uint32(8))
        packed[i] = upper | (np.uint32(below[i]) << np.uint32(16)) | (np.uint32(beyond[i]) << np.uint32(24))


@device
def _locate(row: Array, height: int, width: int, grid: Array, places: Array, parts: Array) -> None:
    """Where the pixels of the result lie in the image that is mirrored, turned, scaled and moved as `row` (9,) says.

    grid (2, H*W): row and column of each; places (H*W,) uint32: the pixel above and left of there, by its place in the
    image with a border, as for `_pack`; parts (2, H*W): how far below it and how far to its right.
    """
    number = parts.dtype.type
    angle = row[_ANGLE] * (math.pi / 180)
    cosine, sine = math.cos(angle) / row[_SCALE], math.sin(angle) / row[_SCALE]
    sign = -1.0 if row[_MIRRORED] != 0 else 1.0
    # A step down in the result, and one to the right, are these steps in the image.
    down_y, down_x = number(cosine), number(sign * sine)
    right_y, right_x = number(-sine), number(sign * cosine)
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y_out, x_out = -row[_DOWN] - middle_y, -row[_RIGHT] - middle_x  # the first pixel
    first_y = number(middle_y + cosine * y_out - sine * x_out + 1)  # 1: the border
    first_x = number(middle_x + sign * (sine * y_out + cosine * x_out) + 1)
    lowest, highest_y, highest_x, stride = number(0), number(height + 1), number(width + 1), np.int32(width + 3)
    rows, columns = grid[0], grid[1]
    below, beside = parts[0], parts[1]
    for i in range(places.size):
        y = first_y + down_y * rows[i] + right_y * columns[i]
        x = first_x + down_x * rows[i] + right_x * columns[i]
        y = select(y > lowest, y, lowest)  # the order lets no NaN pass
        x = select(x > lowest, x, lowest)
        y = select(y < highest_y, y, highest_y)
        x = select(x < highest_x, x, highest_x)
        whole_y, whole_x = np.int32(y), np.int32(x)
        places[i] = np.uint32(whole_y * stride + whole_x)
        below[i], beside[i] = y - number(whole_y), x - number(whole_x)


@device
def _blend(pixels: Array, parts: Array, out: Array) -> None:
    """Interpolate: pixels (n,) uint32, four bytes as from `_pack`; parts (2, n) as from `_locate`; out (n,)."""
    number, byte = out.dtype.type, np.uint32(255)
    below, beside = parts[0], parts[1]
    for i in range(out.size):
        four = pixels[i]
        upper_left, upper_right = number(np.int32(four & byte)), number(np.int32((four >> np.uint32(8)) & byte))
        lower_left, lower_right = (
            number(np.int32((four >> np.uint32(16)) & byte)),
            number(np.int32(four >> np.uint32(24))),
        )
        upper = upper_left + beside[i] * (upper_right - upper_left)
        lower = lower_left + beside[i] * (lower_right - lower_left)
        out[i] = upper + below[i] * (lower - upper)


@device
def _is_interpolated(row: Array) -> bool:
    """Whether an image with this row of `drawn` is turned or scaled."""
    return row[_ANGLE] != 0 or row[_SCALE] != 1


@device
def _grid(drawn: Array, height: int, width: int, out: Array) -> Array:
    """Row and column of each pixel of an image, (2, H*W) of the dtype of `out`; (2, 0) where no image needs it."""
    needed = False
    for position in range(drawn.shape[0]):
        needed |= _is_interpolated(drawn[position])
    grid = np.empty((2, height * width if needed else 0), out.dtype)
    for row in range(height if needed else 0):
        for column in range(width):
            grid[0, row * width + column] = row
            grid[1, row * width + column] = column
    return grid


@kernel(writes=("out",), parallel=True, draws_from=("images",))
def augment_standardize(
    images: Array, indices: Array, drawn: Array, mean: Array, inverse_std: Array, out: Array, status: Array
) -> None:
    """Images as `drawn` says, standardised.

    images (N, H, W) uint8; indices (B,) int64, negative ones counted from the end; drawn (B, 9) float64, see `DRAWN`;
    mean and inverse_std as for `gather_standardize`, (1, H*W) where there is one for each pixel: of the result;
    out (B, H*W) float32 or float64.

    An image is mirrored, turned and scaled around its middle, then moved; what comes in from outside is 0 before it is
    standardised. The erased rectangle is 0 after it is, the mean of the training data. Nothing is interpolated unless
    it is turned or scaled.
    """
    count, height, width = images.shape
    if not are_indices_good(indices, count, status):
        return
    for block in prange((indices.size + _IMAGES - 1) // _IMAGES):
        first, stop = block * _IMAGES, min((block + 1) * _IMAGES, indices.size)
        grid = _grid(drawn[first:stop], height, width, out)
        parts, places = np.empty_like(grid), np.empty(grid.shape[1], np.uint32)
        padded = np.zeros((height + 3, width + 3), images.dtype)
        packed = np.empty((height + 2) * (width + 3) - 1, np.uint32)
        mirrored, moved = np.empty((height, width), images.dtype), np.empty(height * width, images.dtype)
        for position in range(first, stop):
            index = indices[position]
            if index < 0:
                index += count
            image, row, result = images[index], drawn[position], out[position]
            if _is_interpolated(row):
                _pack(image, padded, packed)
                _locate(row, height, width, grid, places, parts)
                for i in range(places.size):
                    places[i] = packed[places[i]]
                _blend(places, parts, result)
                standardize(result, index, mean, inverse_std, result)
            else:
                pixels = image.reshape(-1)
                if row[_MIRRORED] != 0:
                    _mirror(image, mirrored)
                    pixels = mirrored.reshape(-1)
                if row[_DOWN] != 0 or row[_RIGHT] != 0:
                    _move(pixels, width, int(row[_DOWN]), int(row[_RIGHT]), moved)
                    pixels = moved
                standardize(pixels, index, mean, inverse_std, result)
            left, right = max(int(row[_COLUMN]), 0), min(int(row[_COLUMN_STOP]), width)
            for y in range(max(int(row[_ROW]), 0), min(int(row[_ROW_STOP]), height)):
                _clear(result[y * width + left : y * width + right])


def the_same_for_all(count: int, mirrored: bool, down: int, right: int) -> Array:
    """As `draw_augmentation` draws, (count, 9): so many images mirrored or not, then moved, and nothing else."""
    drawn = np.zeros((count, len(DRAWN)))
    drawn[:, (_MIRRORED, _DOWN, _RIGHT, _SCALE)] = mirrored, down, right, 1
    return drawn
