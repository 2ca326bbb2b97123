"""Augmentation: training images drawn anew in each epoch, mirrored, moved, turned, scaled, erased in part."""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.concat import ConcatDataset
from tinygrad_mlp.data.dataset import BatchDataset, Dataset, Subset, draws_as
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.data.indices import Indices, as_indices
from tinygrad_mlp.data.permutation import check_seed
from tinygrad_mlp.errors import ArgumentError, DataError
from tinygrad_mlp.kernels.augment import DRAWN, draw_augmentation
from tinygrad_mlp.kernels.launch import launch

__all__ = ["Augmentation", "AugmentedImages", "is_augmented"]


@dataclass(frozen=True, repr=False)
class Augmentation:
    """What may happen to a training image each time it is drawn; by default nothing.

    Parameters
    ----------
    horizontal_flip:
        Probability of the mirror image.
    shift:
        Largest shift in pixels: down and to the right, each by a whole number of -shift to shift, all equally likely.
        This is a random crop of the image with a border of so many pixels. What comes in from outside is raw 0, as is
        the background of Fashion-MNIST and MNIST.
    rotation, scale:
        Turned by -rotation to rotation degrees, and enlarged by a factor of 1 - scale to 1 + scale, around the middle,
        with bilinear interpolation.
    cutout:
        Side of a square, around a pixel anywhere in the image, that becomes 0 after standardisation: the mean of the
        training data. A part of it may lie outside. DeVries and Taylor 2017, "Improved regularization of convolutional
        neural networks with cutout".
    erasing, erasing_area:
        Probability of a rectangle, wholly inside, that becomes the same 0, and the least and the greatest share of the
        image that it takes. It is up to three times as high as wide, or as wide as high. Zhong et al. 2020, "Random
        erasing data augmentation". Cutout and erasing exclude each other.

    Shifts suit the standardisations "global", "image" and "none". Of "feature", a pixel that is never lit in training
    has a standard deviation of one grey level, and what is shifted there becomes an input of up to 255.

    Raises `ArgumentError` for a value out of range.

    >>> Augmentation(horizontal_flip=0.5, shift=2)
    Augmentation(horizontal_flip=0.5, shift=2)
    """

    horizontal_flip: float = 0.0
    shift: int = 0
    rotation: float = 0.0
    scale: float = 0.0
    cutout: int = 0
    erasing: float = 0.0
    erasing_area: tuple[float, float] = (0.02, 0.33)

    def __post_init__(self) -> None:
        for name in ("shift", "cutout"):
            self._set(name, _whole(name, getattr(self, name)))
        for name, most in (("horizontal_flip", 1.0), ("rotation", 180.0), ("scale", 0.9), ("erasing", 1.0)):
            self._set(name, _number(name, getattr(self, name), most))
        self._set("erasing_area", tuple(self.erasing_area))  # JSON has made it a list
        if len(self.erasing_area) != 2 or not 0 < self.erasing_area[0] <= self.erasing_area[1] <= 1:
            raise ArgumentError(
                f"Augmentation: erasing_area is {self.erasing_area}, expected two shares, 0 < least <= greatest <= 1"
            )
        if self.cutout and self.erasing:
            raise ArgumentError("Augmentation: got cutout and erasing, expected one of them or neither")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the one way in a frozen dataclass

    def __repr__(self) -> str:
        return f"Augmentation({', '.join(f'{name}={value!r}' for name, value in self._chosen().items())})"

    def __bool__(self) -> bool:
        """Whether anything may happen."""
        return bool(self.horizontal_flip or self.shift or self.rotation or self.scale or self.cutout or self.erasing)

    def _chosen(self) -> dict[str, Any]:
        """What is not as by default."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    def describe(self) -> dict[str, Any]:
        """What is not as by default, as JSON gives it back: for the settings of a run."""
        chosen = self._chosen()
        if "erasing_area" in chosen:
            chosen["erasing_area"] = list(self.erasing_area)
        return chosen

    def draw(self, dataset: ImageDataset, samples: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.float64]:
        """What happens to these samples (B,) in an epoch: (B, 9) numbers, one for each name of `kernels.augment.DRAWN`.

        It depends on seed, epoch and sample alone, and each number on no other setting than its own.
        """
        return self.draw_by(dataset, samples, np.array([seed, epoch], np.uint64))

    def draw_by(
        self, dataset: ImageDataset, samples: NDArray[np.int64], key: NDArray[np.uint64]
    ) -> NDArray[np.float64]:
        """The same with seed and epoch in an array (2,), which a captured step reads anew each time."""
        options = (self.horizontal_flip, self.shift, self.rotation, self.scale, self.cutout, self.erasing)
        drawn = np.empty((samples.size, len(DRAWN)))
        launch(
            draw_augmentation,
            samples,
            len(dataset),
            key,
            np.array([*options, *self.erasing_area], np.float64),
            *dataset.image_shape[1:],
            drawn,
        )
        return drawn


class AugmentedImages(BatchDataset):
    """The images of a training part, augmented anew in each epoch: what a net is trained on in their place.

    Parameters
    ----------
    dataset:
        The training images, an `ImageDataset`. Validation and test images stay as they are.
    augmentation:
        What may happen to them.
    seed:
        What does happen is a function of seed, epoch and position in `dataset`, whatever else is drawn.

    epoch:
        The one to begin with. A DataLoader tells it the epoch before each batch.

    Raises `DataError` for a validation or test split, `ArgumentError` for a seed or an epoch out of range and for what
    is no `ImageDataset`.

    >>> loader = DataLoader(AugmentedImages(train, Augmentation(horizontal_flip=0.5, shift=2)), 64, shuffle=True)
    """

    def __init__(self, dataset: Dataset, augmentation: Augmentation, seed: int = 0, epoch: int = 0) -> None:
        if not isinstance(dataset, ImageDataset):
            raise ArgumentError(
                f"AugmentedImages: got {dataset!r}, expected an ImageDataset; dataset.part(indices) makes one of a part"
            )
        if not draws_as(dataset, ImageDataset):
            raise ArgumentError(
                f"AugmentedImages: got a {type(dataset).__name__}, which draws images in a way of its own, expected an "
                "ImageDataset itself; do what it does on the pixels before, or augment in its __getitem__"
            )
        if dataset.split in ("validation", "test"):
            raise DataError(f"AugmentedImages: {dataset!r} is not for training, and only training images are augmented")
        super().__init__(dataset.name, dataset.split)
        self.dataset = dataset
        self.augmentation = augmentation
        self.seed = check_seed(seed, "AugmentedImages")
        self._key = np.array([self.seed, 0], np.uint64)
        self.set_epoch(epoch)
        self._uses = dataset._uses  # pyright: ignore[reportPrivateUsage]  they count together

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def is_capturable(self) -> bool:
        """As the images themselves."""
        return type(self) is AugmentedImages and self.dataset.is_capturable

    @property
    def source(self) -> str:
        """Where the images come from."""
        return self.dataset.source

    def set_epoch(self, epoch: int) -> None:
        """Draw as it is done in this epoch. Raises `ArgumentError` for a negative number."""
        if isinstance(epoch, bool) or not isinstance(epoch, SupportsIndex) or not 0 <= operator.index(epoch) < 2**63:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(f"AugmentedImages: epoch is {epoch!r}, expected a whole number, 0 or more")
        self.epoch = operator.index(epoch)
        self._key[1] = self.epoch

    def batch(self, indices: Indices) -> tuple[Tensor, ...]:
        """Augmented and standardised images (B, 1, H, W) and labels (B,) int64 at these positions."""
        rows = as_indices(indices, len(self), self.name)
        return self.dataset.transformed(rows, self.augmentation.draw_by(self.dataset, rows, self._key))


def is_augmented(dataset: object) -> bool:
    """Whether these are augmented images, a part of such, or hold such."""
    if isinstance(dataset, ConcatDataset):
        return any(is_augmented(part) for part in dataset.datasets)
    return is_augmented(dataset.dataset) if isinstance(dataset, Subset) else isinstance(dataset, AugmentedImages)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or not 0 <= operator.index(value) < 2**31:
        raise ArgumentError(f"Augmentation: {name} is {value!r}, expected a whole number of pixels, 0 or more")
    return operator.index(value)


def _number(name: str, value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, SupportsFloat) or not 0 <= float(value) <= most:
        raise ArgumentError(f"Augmentation: {name} is {value!r}, expected a number from 0 to {most:g}")
    return float(value)
