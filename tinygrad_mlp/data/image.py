"""Grey images with labels: uint8 in memory, standardised while a batch is drawn; k-fold cross-validation over them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.collate import as_tensors
from tinygrad_mlp.data.dataset import BatchDataset, Split, draws_as
from tinygrad_mlp.data.indices import Indices, as_indices
from tinygrad_mlp.data.permutation import Purpose, check_seed, permutation
from tinygrad_mlp.data.splits import plain_folds, stratified_folds, stratified_pick
from tinygrad_mlp.data.transforms import Standardization, StandardizeKind, fit_standardization
from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels.augment import DRAWN, augment_standardize, the_same_for_all
from tinygrad_mlp.kernels.batch import gather_standardize, take_numbers
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.memory import empty

__all__ = ["ImageDataset", "k_fold"]


class ImageDataset(BatchDataset):
    """Grey images and their labels.

    Parameters
    ----------
    images:
        (N, H, W) uint8.
    labels:
        (N,) integers in 0 to len(classes) - 1.
    classes:
        The name of each class.
    standardization:
        How pixels become inputs: `fit_standardization(training_images, kind)`, or a kind ("global", "image", "feature",
        "none"), whose statistics are then those of `images`.
    name, split:
        See `BatchDataset`.
    source:
        Where the data come from: a folder, or how they were made.
    sha256:
        Hashes of the files that they come from, by file name, for the manifest of a run.
    dtype:
        float32 or float64: of the inputs that `batch` returns.

    `ds.batch(indices)` and `ds[:10]` return x (B, 1, H, W) and y (B,) int64; `ds[3]` returns x (1, H, W) and y ().
    `images` and `labels` are views that cannot be written to.

    Raises `ShapeError`, `DtypeError` or `IndexRangeError` for images and labels that are not as above.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[Any],
        *,
        classes: Sequence[str],
        standardization: Standardization | StandardizeKind,
        name: str = "images",
        split: Split | None = "train",
        source: str = "memory",
        sha256: Mapping[str, str] | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(name, split)
        _check_images_and_labels(images, labels, len(classes))
        self.classes = tuple(classes)
        self.source = source
        self.sha256 = dict(sha256 or {})
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise DtypeError(f"ImageDataset: dtype is {self.dtype}, expected float32 or float64")
        self.image_shape = (1, *images.shape[1:])
        # The kernel wants rows in one writable block: anything else would be copied in every batch.
        # (N, H, W) -> (N, H*W)
        self._pixels = np.require(images, np.uint8, ["C", "W", "A"]).reshape(len(images), math.prod(images.shape[1:]))
        self._labels = np.require(labels, np.int64, ["C", "W", "A"])
        if isinstance(standardization, str):
            standardization = fit_standardization(self._pixels, standardization)
        self.standardization = standardization
        self._mean, self._inverse_std = standardization.kernel_arguments(self._pixels, self.dtype)

    @property
    def is_capturable(self) -> bool:
        """Yes, unless a subclass does it in another way."""
        return type(self) is ImageDataset

    @property
    def images(self) -> NDArray[np.uint8]:
        """All images as they are, (N, H, W) uint8, read-only."""
        view = self._pixels.reshape(-1, *self.image_shape[1:])
        view.flags.writeable = False
        return view

    @property
    def labels(self) -> NDArray[np.int64]:
        """All labels, (N,) int64, read-only."""
        view = self._labels.view()
        view.flags.writeable = False
        return view

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, indices: Indices) -> tuple[Tensor, ...]:
        """Standardised images (B, 1, H, W) and labels (B,) int64 at these positions, made in one pass over memory."""
        rows = as_indices(indices, len(self), self.name)
        x = empty((rows.size, self._pixels.shape[1]), self.dtype)
        y = np.empty(rows.size, np.int64)
        launch(gather_standardize, self._pixels, rows, self._mean, self._inverse_std, x, work=x.size)
        launch(take_numbers, self._labels, rows, y)
        return as_tensors(x.reshape(rows.size, *self.image_shape), y)

    def transformed(self, indices: Indices, drawn: NDArray[np.float64]) -> tuple[Tensor, ...]:
        """Like `batch`, with each image changed as its row of `drawn` (B, 9) says, before or after standardisation.

        Columns are those of `kernels.augment.DRAWN`; `Augmentation.draw` makes them. Statistics of each pixel are those
        of the pixel's new place. Raises `ShapeError` for another shape.
        """
        rows = as_indices(indices, len(self), self.name)
        if drawn.shape != (rows.size, len(DRAWN)):
            raise ShapeError(f"transformed: drawn has shape {drawn.shape}, expected {(rows.size, len(DRAWN))}")
        x = empty((rows.size, self._pixels.shape[1]), self.dtype)
        y = np.empty(rows.size, np.int64)
        images = self._pixels.reshape(-1, *self.image_shape[1:])
        launch(augment_standardize, images, rows, drawn, self._mean, self._inverse_std, x, work=x.size)
        launch(take_numbers, self._labels, rows, y)
        return as_tensors(x.reshape(rows.size, *self.image_shape), y)

    def moved(self, indices: Indices, down: int = 0, right: int = 0, *, mirrored: bool = False) -> tuple[Tensor, ...]:
        """Like `batch`, of the images mirrored or not, then moved by so many pixels; raw 0 comes in from outside."""
        rows = as_indices(indices, len(self), self.name)
        return self.transformed(rows, the_same_for_all(rows.size, mirrored, down, right))

    def to_pixels(self, x: Tensor, indices: Indices) -> NDArray[np.uint8]:
        """Grey levels (B, H, W) of inputs (B, 1, H, W) that were made of the images at these positions."""
        rows = as_indices(indices, len(self), self.name)
        inputs = x.detach().array.reshape(rows.size, -1)
        own = rows if self.standardization.kind == "image" else slice(None)
        grey = np.rint(inputs / self._inverse_std[own] + self._mean[own])
        return np.clip(grey, 0, 255).astype(np.uint8).reshape(rows.size, *self.image_shape[1:])

    def describe(self) -> dict[str, object]:
        """Name, split, size, class names, source, file hashes and standardisation: for the manifest of a run."""
        return {
            "name": self.name,
            "split": self.split,
            "samples": len(self),
            "classes": list(self.classes),
            "source": self.source,
            "sha256": dict(self.sha256),
            **self.standardization.describe(),
        }

    def astype(self, dtype: DTypeLike) -> ImageDataset:
        """The same data with float32 or float64 inputs."""
        return self._derive(self._pixels, self._labels, self.standardization, self.split, dtype)

    def standardized_as(self, other: ImageDataset) -> ImageDataset:
        """The same images, standardised as those of another part: test images as the training part of a fold."""
        return self._derive(self._pixels, self._labels, other.standardization, self.split)

    def part(self, indices: Indices) -> ImageDataset:
        """These samples, copied, with the role and the standardisation of the whole."""
        rows = as_indices(indices, len(self), self.name)
        return self._derive(self._pixels[rows], self._labels[rows], self.standardization, self.split)

    def divide(
        self,
        training: NDArray[np.int64],
        validation: NDArray[np.int64],
        standardize: StandardizeKind | None = None,
    ) -> tuple[ImageDataset, ImageDataset]:
        """Two parts, as training and validation data, both standardised by statistics of the training part alone.

        Parameters
        ----------
        training, validation:
            Positions of the samples, (T,) and (V,) int64, as the functions of `splits` return them.
        standardize:
            Kind of standardisation; None keeps the present one.

        Raises `DataError` for a test split, or if a sample would be in both parts.
        """
        _refuse_test(self, "divide")
        if (shared := np.intersect1d(training, validation)).size:
            raise DataError(
                f"divide: {shared.size} samples (the first: {shared[0]}) are in both parts; each may be in one only"
            )
        standardization = fit_standardization(self._pixels[training], standardize or self.standardization.kind)
        return (
            self._derive(self._pixels[training], self._labels[training], standardization, "train"),
            self._derive(self._pixels[validation], self._labels[validation], standardization, "validation"),
        )

    def subset(self, count: int, seed: int = 0, stratify: bool = True) -> ImageDataset:
        """`count` random samples, in their old order, for a quick run; each class by its share if stratify is True.

        The standardisation stays that of the whole. Raises `ArgumentError` unless 1 <= count <= N.
        """
        if not 1 <= count <= len(self):
            raise ArgumentError(f"{self.name}: a subset of {count} samples, expected 1 to {len(self)}")
        if stratify:
            return self.part(stratified_pick(self._labels, count, seed))
        order = permutation(len(self), check_seed(seed, "subset"), Purpose.SPLIT)
        return self.part(np.sort(order[:count]))

    def join(self, other: ImageDataset) -> ImageDataset:
        """Both, one after the other, standardised anew: to train on training and validation part before the last test.

        Raises `DataError` for a test split, or if the two are not of one data set.
        """
        for dataset in (self, other):
            _refuse_test(dataset, "join")
        if (self.name, self.classes, self.image_shape) != (other.name, other.classes, other.image_shape):
            raise DataError(f"join: {self!r} and {other!r} are not parts of one data set")
        pixels = np.concatenate([self._pixels, other._pixels])
        labels = np.concatenate([self._labels, other._labels])
        return self._derive(pixels, labels, fit_standardization(pixels, self.standardization.kind), self.split)

    def _derive(
        self,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
        standardization: Standardization,
        split: Split | None,
        dtype: DTypeLike | None = None,
    ) -> ImageDataset:
        """Another data set of the same origin; uses of either count for both."""
        if not draws_as(self, ImageDataset):
            raise ArgumentError(
                f"{type(self).__name__} draws images in a way of its own, which a new ImageDataset of them would not; "
                "data.Subset and data.random_split keep it"
            )
        derived = ImageDataset(
            pixels.reshape(len(pixels), *self.image_shape[1:]),
            labels,
            classes=self.classes,
            standardization=standardization,
            name=self.name,
            split=split,
            source=self.source,
            sha256=self.sha256,
            dtype=self.dtype if dtype is None else dtype,
        )
        derived._uses = self._uses
        return derived


def k_fold(
    dataset: ImageDataset, folds: int = 5, seed: int = 0, stratify: bool = True
) -> Iterator[tuple[ImageDataset, ImageDataset]]:
    """Cross-validation: for each fold, the (training, validation) data sets, one pair in memory at a time.

    Every sample is in one validation part. Statistics of standardisation are computed anew from each training part.

    Parameters
    ----------
    dataset:
        The training part, or `train.join(validation)` for all that is not test.
    folds:
        2 or more; their sizes differ by one sample at most.
    seed:
        Order in which samples are dealt out.
    stratify:
        Deal out each class evenly.

    Raises `DataError` for a test split, `ArgumentError` for folds out of range.
    """
    _refuse_test(dataset, "k_fold")
    parts = stratified_folds(dataset.labels, folds, seed) if stratify else plain_folds(len(dataset), folds, seed)
    return (dataset.divide(training, validation) for training, validation in parts)


def _refuse_test(dataset: ImageDataset, where: str) -> None:
    if dataset.split == "test":
        raise DataError(f"{where}: {dataset!r} is the test split, which is locked: train and select on the other parts")


def _check_images_and_labels(images: NDArray[Any], labels: NDArray[Any], classes: int) -> None:
    if images.dtype != np.uint8:
        raise DtypeError(f"ImageDataset: images are {images.dtype}, expected uint8; TensorDataset takes other dtypes")
    if images.ndim != 3:
        raise ShapeError(f"ImageDataset: images have shape {images.shape}, expected (N, H, W)")
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"ImageDataset: labels are {labels.dtype}, expected integers")
    if labels.shape != images.shape[:1]:
        raise ShapeError(
            f"ImageDataset: labels have shape {labels.shape}, expected ({len(images)},), one for each image"
        )
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        position = int(np.argmax(outside))
        raise IndexRangeError(
            f"ImageDataset: label {labels[position]} at position {position} is out of range for {classes} classes"
        )
