"""`synthetic-fashion`: garment silhouettes drawn by formulae, to stand in where Fashion-MNIST cannot be had.

28x28 grey images of the ten classes of Fashion-MNIST, with variety in width, length, position, slant, shading, pattern
and noise. Pullover, coat, shirt and T-shirt overlap on purpose: a linear model and a small net differ on them, and
neither is perfect. Scores on it say nothing about the real data.

The images are a pure function of (seed, part, number of images). Only +, -, *, /, sqrt, comparisons and the raw words
of a counter-based generator are used, each exact by IEEE 754, so that every machine draws the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.data.permutation import Purpose, check_seed, permutation, random_words
from tinygrad_mlp.errors import ArgumentError

__all__ = ["SyntheticPart", "draw_garments"]

Field: TypeAlias = NDArray[Any]  # float32

_SIDE = 28
_BLOCK = 500  # images drawn at once: their fields stay in the cache
_KNOBS = 40  # random numbers for each image, beside its pixel noise
_SHARPNESS = 12.0  # grey per unit of distance at an outline; a pixel is 1/14 of a unit


@dataclass(frozen=True, eq=False)
class SyntheticPart:
    """Images (N, 28, 28) uint8, labels (N,) int64, and the SHA-256 of both."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sha256: str


def draw_garments(count: int, seed: int = 0, part: int = 0) -> SyntheticPart:
    """Draw `count` images, the ten classes in equal numbers (to within one) and random order.

    `part` 0 and 1 are the training and the test part of one seed. 60,000 take a few seconds. Raises `ArgumentError` for
    less than 1 image.
    """
    check_seed(seed, "draw_garments")
    if count < 1:
        raise ArgumentError(f"draw_garments: count is {count}, expected 1 or more")
    labels = permutation(count, seed, Purpose.SYNTHETIC, counter=part) % len(_GARMENTS)
    images = np.empty((count, _SIDE, _SIDE), np.uint8)
    for label, garment in enumerate(_GARMENTS):
        places = np.flatnonzero(labels == label)
        for block, start in enumerate(range(0, len(places), _BLOCK)):
            chosen = places[start : start + _BLOCK]
            counter = 2 + part + 2 * (label + len(_GARMENTS) * block)
            images[chosen] = _Canvas(len(chosen), seed, counter).paint(garment)
    digest = hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes())
    return SyntheticPart(images, labels, digest.hexdigest())


class _Canvas:
    """A block of B images: coordinates x to the right and y down, -1 to 1, in each garment's own tilted frame."""

    def __init__(self, count: int, seed: int, counter: int) -> None:
        noise_words = _SIDE * _SIDE // 8
        words = random_words(count * (_KNOBS + noise_words), seed, Purpose.SYNTHETIC, counter)
        words = words.reshape(count, _KNOBS + noise_words)
        # Top 24 bits: exactly the float32 numbers k / 2**24 below 1.
        self._uniform = (words[:, :_KNOBS] >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
        noise_bytes = words[:, _KNOBS:].astype("<u8").view(np.uint8)
        self._noise = noise_bytes.reshape(count, _SIDE, _SIDE).astype(np.float32) / np.float32(127.5) - np.float32(1)
        self._used = 0

        axis = (np.arange(_SIDE, dtype=np.float32) - np.float32(13.5)) / np.float32(14)
        across, down = axis[None, None, :], axis[None, :, None]
        tilt = self.knob(-0.09, 0.09)
        across, down = across - self.knob(-0.09, 0.09), down - self.knob(-0.07, 0.07)
        self.x = (across + tilt * down) / self.knob(0.85, 1.1)  # (B, 28, 28)
        self.y = (down - tilt * across) / self.knob(0.88, 1.08)

    def knob(self, low: float, high: float) -> Field:
        """One random number for each image, uniform from low to high: (B, 1, 1)."""
        value = self._uniform[:, self._used, None, None]
        self._used += 1
        return np.float32(low) + np.float32(high - low) * value

    def chance(self, probability: float) -> Field:
        """1 for that part of the images, else 0: (B, 1, 1)."""
        return (self.knob(0, 1) < np.float32(probability)).astype(np.float32)

    def paint(self, garment: Callable[[_Canvas], Field]) -> NDArray[np.uint8]:
        """Draw a garment, shade it, add pattern and noise: (B, 28, 28) uint8."""
        coverage = garment(self)
        shade = self.knob(0.3, 0.95) * (1 + self.knob(-0.25, 0.25) * self.x + self.knob(-0.2, 0.2) * self.y)
        along = np.where(self.chance(0.5) > 0, self.x, self.y)
        stripes = _wave(along * self.knob(1.5, 5) + self.knob(0, 1))
        shade = shade * (1 + self.chance(0.5) * self.knob(0, 0.45) * stripes)
        # A print: a lighter or darker rectangle somewhere in the middle.
        spot = _smallest(self.knob(0.1, 0.35) - abs(self.x - self.knob(-0.2, 0.2)), self.knob(0.08, 0.3) - abs(self.y))
        shade = shade + self.chance(0.3) * self.knob(-0.4, 0.4) * _cover(spot)
        shade = shade + self.knob(0.02, 0.14) * self._noise
        grey = np.clip(coverage * np.clip(shade, np.float32(0.05), np.float32(1)), 0, 1)
        return (grey * np.float32(255) + np.float32(0.5)).astype(np.uint8)


# Shapes are fields of (approximate) distances to an outline: positive inside, negative outside. The smaller of two is
# their intersection, the larger their union, the negative the outside.


def _smallest(*fields: Field) -> Field:
    result = fields[0]
    for field in fields[1:]:
        result = np.minimum(result, field)
    return result


def _cover(inside: Field) -> Field:
    """How much of each pixel a shape covers, 0 to 1."""
    return np.clip(np.float32(0.5) + np.float32(_SHARPNESS) * inside, 0, 1)


def _wave(phase: Field) -> Field:
    """Triangle wave of period 1, from -1 to 1."""
    return 4 * abs(phase - np.floor(phase) - np.float32(0.5)) - 1


def _limb(x: Field, y: Field, start: tuple[Field, Field], step: tuple[Field, Field], radius: Field) -> Field:
    """A round-ended bar from `start` along `step`."""
    (from_x, from_y), (step_x, step_y) = start, step
    along = ((x - from_x) * step_x + (y - from_y) * step_y) / (step_x * step_x + step_y * step_y)
    along = np.clip(along, 0, 1)
    off_x, off_y = x - from_x - along * step_x, y - from_y - along * step_y
    return radius - np.sqrt(off_x * off_x + off_y * off_y)


def _top(canvas: _Canvas, sleeve: Field, spread: Field, hem: Field, neck_depth: Field) -> Field:
    """Torso with two sleeves (the picture is symmetric, so one limb at |x|) and a neck opening."""
    x, y, side = canvas.x, canvas.y, abs(canvas.x)
    top, shoulder, waist = canvas.knob(-0.85, -0.72), canvas.knob(0.36, 0.5), canvas.knob(0.34, 0.5)
    width = shoulder + (waist - shoulder) * (y - top) / (hem - top)
    torso = _smallest(width - side, y - top, hem - y)
    radius = canvas.knob(0.11, 0.18)
    arm = _limb(side, y, (shoulder - radius * np.float32(0.7), top + radius), (spread * sleeve, sleeve), radius)
    neck_width = canvas.knob(0.1, 0.24)
    neck = neck_depth * (1 - abs(x) / neck_width) - (y - top)  # a V from the top edge down
    return _smallest(np.maximum(torso, arm), -neck)


def _seam(canvas: _Canvas, coverage: Field, darkness: Field) -> Field:
    """Darken the line down the middle: buttons or a zip."""
    return coverage * (1 - darkness * _cover(canvas.knob(0.01, 0.04) - abs(canvas.x - canvas.knob(-0.06, 0.06))))


def _t_shirt(canvas: _Canvas) -> Field:
    sleeve, spread = canvas.knob(0.15, 0.6), canvas.knob(0.4, 1.3)
    return _cover(_top(canvas, sleeve, spread, canvas.knob(0.55, 0.95), canvas.knob(0.05, 0.3)))


def _pullover(canvas: _Canvas) -> Field:
    sleeve, spread = canvas.knob(0.8, 1.4), canvas.knob(0.1, 0.35)
    return _cover(_top(canvas, sleeve, spread, canvas.knob(0.5, 0.9), canvas.knob(0, 0.2)))


def _coat(canvas: _Canvas) -> Field:
    sleeve, spread = canvas.knob(0.9, 1.45), canvas.knob(0.08, 0.3)
    outline = _cover(_top(canvas, sleeve, spread, canvas.knob(0.65, 1), canvas.knob(0.1, 0.5)))
    return _seam(canvas, outline, canvas.knob(0.15, 0.8))


def _shirt(canvas: _Canvas) -> Field:
    sleeve, spread = canvas.knob(0.35, 1.35), canvas.knob(0.1, 0.6)
    outline = _cover(_top(canvas, sleeve, spread, canvas.knob(0.55, 0.95), canvas.knob(0.1, 0.35)))
    return _seam(canvas, outline, canvas.knob(0, 0.45))


def _trouser(canvas: _Canvas) -> Field:
    y, side = canvas.y, abs(canvas.x)
    top, hem = canvas.knob(-0.95, -0.8), canvas.knob(0.6, 0.95)
    hip, cuff, gap = canvas.knob(0.24, 0.38), canvas.knob(0.1, 0.2), canvas.knob(0, 0.2)
    down = np.clip((y - top) / (hem - top), 0, 1)
    outer = hip + (cuff * 2 + gap - hip) * down
    crotch = canvas.knob(0.25, 0.45)
    inner = np.where(down > crotch, gap * (down - crotch) + np.float32(0.02), np.float32(-1))
    return _cover(_smallest(outer - side, side - inner, y - top, hem - y))


def _dress(canvas: _Canvas) -> Field:
    y, side = canvas.y, abs(canvas.x)
    top, hem, waist = canvas.knob(-0.95, -0.8), canvas.knob(0.6, 0.98), canvas.knob(-0.3, 0.1)
    bodice, flare = canvas.knob(0.18, 0.34), canvas.knob(0, 0.45)
    width = bodice + flare * np.maximum(y - waist, 0)
    sleeve = canvas.chance(0.5) * canvas.knob(0, 0.8) + np.float32(0.02)
    radius = canvas.knob(0.06, 0.13)
    arm = _limb(side, y, (bodice - radius, top + radius), (sleeve * canvas.knob(0.2, 0.8), sleeve), radius)
    neck = canvas.knob(0.05, 0.35) * (1 - side / canvas.knob(0.08, 0.2)) - (y - top)
    return _cover(_smallest(np.maximum(_smallest(width - side, y - top, hem - y), arm), -neck))


def _shoe(canvas: _Canvas, sole: Field, toe: Field, collar: Field) -> Field:
    """A shoe from the side, toe to the left: height above the sole rises from `toe` to `collar` along the instep."""
    x, up = canvas.x, sole - canvas.y
    start, stop = canvas.knob(-0.5, -0.1), canvas.knob(0.1, 0.45)
    height = toe + (collar - toe) * np.clip((x - start) / (stop - start), 0, 1)
    return _smallest(up, height - up, x + canvas.knob(0.8, 0.97), canvas.knob(0.75, 0.95) - x)


def _sandal(canvas: _Canvas) -> Field:
    sole, collar = canvas.knob(0.3, 0.5), canvas.knob(0.25, 0.85)
    upper = _shoe(canvas, sole, canvas.knob(0.1, 0.3), collar)
    phase = canvas.x * canvas.knob(0.9, 2) + canvas.y * canvas.knob(-1, 1) + canvas.knob(0, 1)
    gaps = canvas.knob(-0.15, 0.6) + _wave(phase)
    heel = canvas.knob(0, 0.35) * np.clip(canvas.x + np.float32(0.2), 0, 1)
    thickness = canvas.knob(0.07, 0.16)
    base = _smallest(thickness - abs(sole - canvas.y - heel), np.float32(0.9) - abs(canvas.x))
    return _cover(np.maximum(base, _smallest(upper, np.float32(-0.2) * gaps)))


def _sneaker(canvas: _Canvas) -> Field:
    sole, thickness = canvas.knob(0.3, 0.5), canvas.knob(0.06, 0.16)
    shoe = _cover(_shoe(canvas, sole, canvas.knob(0.16, 0.36), canvas.knob(0.4, 0.85)))
    rim = _cover(np.float32(0.03) - abs(sole - canvas.y - thickness))
    return shoe * (1 - canvas.knob(0, 0.7) * rim)


def _ankle_boot(canvas: _Canvas) -> Field:
    sole, thickness = canvas.knob(0.4, 0.75), canvas.knob(0.06, 0.16)
    shoe = _shoe(canvas, sole, canvas.knob(0.2, 0.45), canvas.knob(0.5, 0.9))
    shaft = _smallest(
        canvas.knob(0.22, 0.42) - abs(canvas.x - canvas.knob(0.35, 0.5)),
        sole - canvas.y,
        canvas.y - canvas.knob(-0.95, -0.15),
    )
    heel = _smallest(np.float32(0.2) - abs(canvas.x + canvas.knob(0, 0.2)), canvas.y - sole + canvas.knob(0, 0.2))
    rim = _cover(np.float32(0.03) - abs(sole - canvas.y - thickness))
    return _cover(_smallest(np.maximum(shoe, shaft), -heel)) * (1 - canvas.knob(0, 0.6) * rim)


def _bag(canvas: _Canvas) -> Field:
    x, y = canvas.x, canvas.y
    middle, half_width, half_height = canvas.knob(0, 0.35), canvas.knob(0.45, 0.9), canvas.knob(0.25, 0.6)
    taper = canvas.knob(-0.15, 0.25) * (y - middle)
    box = _smallest(half_width + taper - abs(x), half_height - abs(y - middle))
    across, up = x / canvas.knob(0.2, 0.55), (y - middle + half_height) / canvas.knob(0.15, 0.65)
    ring = canvas.knob(0.06, 0.16) - abs(np.sqrt(across * across + up * up) - 1)
    handle = canvas.chance(0.8) * _cover(_smallest(np.float32(0.4) * ring, middle - half_height - y))
    flap = _cover(np.float32(0.03) - abs(y - middle + canvas.knob(-0.1, 0.3)))
    return np.maximum(_cover(box) * (1 - canvas.knob(0, 0.6) * flap), handle)


# In the order of Fashion-MNIST's labels.
_GARMENTS: tuple[Callable[[_Canvas], Field], ...] = (
    _t_shirt,
    _trouser,
    _pullover,
    _dress,
    _coat,
    _sandal,
    _shirt,
    _sneaker,
    _bag,
    _ankle_boot,
)
