"""Augmented batches: images, rows, columns and images drawn, each through all sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mlp import data

__all__ = ["augmented_batches", "large_augmented_batch"]

KINDS: tuple[data.StandardizeKind, ...] = ("global", "image", "feature")
AUGMENTATIONS = (
    data.Augmentation(horizontal_flip=0.5, shift=3),
    data.Augmentation(horizontal_flip=0.5, shift=80, erasing=0.9, erasing_area=(0.02, 1.0)),
    data.Augmentation(horizontal_flip=0.5, shift=3, rotation=180, scale=0.9, cutout=9),
)


def dataset(rng: np.random.Generator, shape: tuple[int, int, int], kind: data.StandardizeKind, dtype: Any) -> Any:
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    return data.ImageDataset(
        images, np.zeros(len(images), np.int64), classes=["one"], standardization=kind, dtype=dtype
    )


def augmented_batches(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for size in range(1, 71):
        for shape in ((size, 2, 3), (5, size, 3), (5, 2, size), (3, size, 1), (3, 1, size)):
            for kind in KINDS:
                images = dataset(rng, shape, kind, dtype)
                for augmentation in AUGMENTATIONS:
                    rows = rng.integers(-len(images), len(images), size)
                    data.AugmentedImages(images, augmentation, seed=size).batch(rows)
                images.moved([0], mirrored=True)


def large_augmented_batch(dtype: Any) -> None:
    """A number of images that no block divides."""
    images = dataset(np.random.default_rng(0), (1003, 28, 28), "global", dtype)
    for augmentation in AUGMENTATIONS:
        data.AugmentedImages(images, augmentation).batch(np.arange(1003))
