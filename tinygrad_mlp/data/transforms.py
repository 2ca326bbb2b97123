"""Standardisation, its statistics always from the training part alone, and one-hot labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError

__all__ = ["Standardization", "StandardizeKind", "fit_standardization", "one_hot"]

StandardizeKind: TypeAlias = Literal["global", "image", "feature", "none"]

# Statistics of pixels on the scale 0 to 1 are never divided by less than one grey level: a border pixel that is lit in
# one image of thousands would else reach hundreds in another, and a blank image would be divided by zero.
_SMALLEST_STD = 1 / 255
# Pixels per block of a sum: bounds memory, and does not change the result, since sums of whole numbers are exact.
_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Standardization:
    """How pixels become inputs: x = (pixel / 255 - mean) / std.

    mean and std are float64 on the scale 0 to 1 and have one shape: (1, 1) for "global" and "none", (1, D) for
    "feature". For "image" they are None: each image has its own, which depend on no other image.
    """

    kind: StandardizeKind
    mean: NDArray[np.float64] | None
    std: NDArray[np.float64] | None

    def kernel_arguments(self, pixels: NDArray[np.uint8], dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """(mean, inverse_std) in grey levels, as `gather_standardize` takes them for pixels (N, D).

        Raises `ShapeError` for statistics of each pixel that are those of images of another size.
        """
        mean, std = self.mean, self.std
        if mean is None or std is None:
            mean, std = _moments(pixels, axis=1)
        elif mean.shape != std.shape or mean.shape not in ((1, 1), (1, pixels.shape[1])):
            raise ShapeError(
                f"standardize: mean {mean.shape} and std {std.shape} do not fit images of {pixels.shape[1]} pixels; "
                f"expected (1, 1) or (1, {pixels.shape[1]}), as fit_standardization gives for images of this size"
            )
        return (mean * 255).astype(dtype), (1 / (std * 255)).astype(dtype)

    def describe(self) -> dict[str, object]:
        """Kind and, where each is a single number, mean and std: for the manifest of a run."""
        if self.mean is None or self.std is None or self.mean.size > 1:
            return {"standardize": self.kind}
        return {"standardize": self.kind, "mean": float(self.mean.item()), "std": float(self.std.item())}


def fit_standardization(training_images: NDArray[np.uint8], kind: StandardizeKind) -> Standardization:
    """Statistics of the training images, to be applied to validation and test images too.

    Parameters
    ----------
    training_images:
        (N, ...) uint8.
    kind:
        "global": one mean and one standard deviation of all pixels. "feature": one for each pixel position. "image":
        each image by its own. "none": pixels are only scaled to 0 to 1. Standard deviations are of the population
        (divided by n) and are taken as one grey level, 1/255, where smaller.

    Raises `ArgumentError` for an unknown kind, `DataError` for no images, `DtypeError` unless they are uint8.
    """
    if kind not in get_args(StandardizeKind):
        raise ArgumentError(f"standardize is {kind!r}, expected one of {', '.join(get_args(StandardizeKind))}")
    if training_images.dtype != np.uint8:
        raise DtypeError(f"fit_standardization: images are {training_images.dtype}, expected uint8")
    if kind == "image":
        return Standardization(kind, None, None)
    if kind == "none":
        return Standardization(kind, np.zeros((1, 1)), np.ones((1, 1)))
    if len(training_images) == 0:
        raise DataError(f"standardize={kind!r} needs the statistics of training images, but there are none")
    pixels = training_images.reshape(len(training_images), -1)
    return Standardization(kind, *_moments(pixels, axis=0 if kind == "feature" else None))


def _moments(pixels: NDArray[np.uint8], axis: Literal[0, 1] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of pixels (N, D) / 255 over an axis or all: (1, D), (N, 1) or (1, 1)."""
    sums: list[NDArray[np.float64]] = []
    squares: list[NDArray[np.float64]] = []
    rows = max(1, _BLOCK // max(1, pixels.shape[1]))
    for start in range(0, max(1, len(pixels)), rows):  # one empty block where there are no images
        block = pixels[start : start + rows].astype(np.float64)
        sums.append(block.sum(axis=axis, keepdims=True))
        np.multiply(block, block, out=block)
        squares.append(block.sum(axis=axis, keepdims=True))
    if axis == 1:
        count, total, total_of_squares = pixels.shape[1], np.concatenate(sums), np.concatenate(squares)
    else:
        count = pixels.size if axis is None else len(pixels)
        total, total_of_squares = np.sum(sums, axis=0), np.sum(squares, axis=0)
    mean = total / count
    # Both totals are whole numbers below 2**53 and so exact; only this difference rounds.
    variance = np.maximum(total_of_squares / count - mean * mean, 0)
    return mean / 255, np.maximum(np.sqrt(variance) / 255, _SMALLEST_STD)


def one_hot(labels: NDArray[Any], classes: int, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Rows of zeros with a one at the label: labels (N,) integers -> (N, classes).

    Raises `DtypeError` for labels that are not integers, `ShapeError` unless they are 1-d, `IndexRangeError` for a
    label outside 0 to classes - 1.

    >>> one_hot(np.array([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: labels are {labels.dtype}, expected integers")
    if labels.ndim != 1:
        raise ShapeError(f"one_hot: labels have shape {labels.shape}, expected (N,)")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        position = int(np.argmax(outside))
        raise IndexRangeError(
            f"one_hot: label {labels[position]} at position {position} is out of range for {classes} classes"
        )
    encoded = np.zeros((len(labels), classes), dtype)
    encoded[np.arange(len(labels)), labels] = 1
    return encoded
