"""The data sets that come ready to use: Fashion-MNIST, MNIST, and the synthetic stand-in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.data.sources import FASHION_MNIST, MNIST, Archive, load
from tinygrad_mlp.data.splits import plain_split, stratified_split
from tinygrad_mlp.data.synthetic import draw_garments
from tinygrad_mlp.data.transforms import StandardizeKind
from tinygrad_mlp.errors import ArgumentError, MissingDataError

__all__ = ["ImageSplits", "SyntheticPolicy", "fashion_mnist", "mnist", "synthetic_fashion"]

SyntheticPolicy: TypeAlias = Literal["if-missing", "never", "always"]

SYNTHETIC_NAME = "synthetic-fashion"


class ImageSplits(NamedTuple):
    """The three parts: unpack as `train, validation, test = ...`."""

    train: ImageDataset
    validation: ImageDataset
    test: ImageDataset


def fashion_mnist(
    root: str | Path | None = None,
    *,
    standardize: StandardizeKind = "global",
    validation: float = 0.2,
    seed: int = 0,
    stratify: bool = True,
    download: bool = True,
    synthetic: SyntheticPolicy = "if-missing",
) -> ImageSplits:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 28x28 grey pictures of ten kinds of clothes.

    Parameters
    ----------
    root:
        A directory to search first. Then come TINYGRAD_MLP_DATA, /usr/share/datasets, the per-user cache, a download.
        Wherever the files are found, their content is checked by SHA-256.
    standardize:
        "global", "feature" (each pixel position), "image" (each by its own) or "none" (only scaled to 0 to 1), with
        statistics of the training part alone; see `fit_standardization`.
    validation:
        Part of the 60,000 training images that becomes the validation part, 0 <= validation < 1.
    seed:
        Which images those are (and, for the stand-in, which images are drawn).
    stratify:
        Whether each class gives the same part.
    download:
        Whether files that are nowhere found may be downloaded into the per-user cache.
    synthetic:
        What to do without data: "if-missing" draws `synthetic-fashion`, saying so on stderr, unless a `root` was named;
        "never" raises; "always" draws it in any case.

    Returns (train, validation, test): 48,000, 12,000 and 10,000 images, if validation is 0.2.

    Raises `DataError` for a damaged file, and for missing data where no stand-in may be drawn.
    """
    if synthetic not in get_args(SyntheticPolicy):
        raise ArgumentError(f"synthetic is {synthetic!r}, expected one of {', '.join(get_args(SyntheticPolicy))}")
    if synthetic == "always":
        return synthetic_fashion(standardize=standardize, validation=validation, seed=seed, stratify=stratify)
    try:
        return _load_splits(FASHION_MNIST, root, standardize, validation, seed, stratify, download)
    except MissingDataError as error:
        if synthetic == "never" or root is not None:
            raise
        _warn(error)
    return synthetic_fashion(standardize=standardize, validation=validation, seed=seed, stratify=stratify)


def mnist(
    root: str | Path | None = None,
    *,
    standardize: StandardizeKind = "global",
    validation: float = 0.2,
    seed: int = 0,
    stratify: bool = True,
    download: bool = True,
) -> ImageSplits:
    """MNIST (LeCun, Cortes, Burges 1998): 28x28 grey pictures of handwritten digits.

    Parameters and results as `fashion_mnist`, except that there is no stand-in: missing data raise `DataError`.
    """
    return _load_splits(MNIST, root, standardize, validation, seed, stratify, download)


def synthetic_fashion(
    train_count: int = 60_000,
    test_count: int = 10_000,
    *,
    standardize: StandardizeKind = "global",
    validation: float = 0.2,
    seed: int = 0,
    stratify: bool = True,
) -> ImageSplits:
    """`synthetic-fashion`: a stand-in for Fashion-MNIST, drawn by formulae from the seed; see `data.synthetic`.

    `train_count` images are divided into training and validation part, as `fashion_mnist` does; `test_count` more are
    the test part.
    """
    train, test = draw_garments(train_count, seed, part=0), draw_garments(test_count, seed, part=1)
    return _make_splits(
        (train.images, train.labels, test.images, test.labels),
        {"train": train.sha256, "test": test.sha256},
        SYNTHETIC_NAME,
        f"drawn by formulae from seed {seed}",
        FASHION_MNIST.classes,
        (standardize, validation, seed, stratify),
    )


_Division: TypeAlias = tuple[StandardizeKind, float, int, bool]


def _load_splits(
    archive: Archive,
    root: str | Path | None,
    standardize: StandardizeKind,
    validation: float,
    seed: int,
    stratify: bool,
    download: bool,
) -> ImageSplits:
    loaded = load(archive, root, allow_download=download)
    return _make_splits(
        (loaded.train_images, loaded.train_labels, loaded.test_images, loaded.test_labels),
        {file.name: file.sha256 for file in archive.files},
        archive.name,
        str(loaded.folder),
        archive.classes,
        (standardize, validation, seed, stratify),
    )


def _make_splits(
    arrays: tuple[NDArray[np.uint8], NDArray[Any], NDArray[np.uint8], NDArray[Any]],
    sha256: dict[str, str],
    name: str,
    source: str,
    classes: tuple[str, ...],
    division: _Division,
) -> ImageSplits:
    train_images, train_labels, test_images, test_labels = arrays
    standardize, validation, seed, stratify = division
    split = (
        stratified_split(train_labels, validation, seed)
        if stratify
        else plain_split(len(train_labels), validation, seed)
    )
    # "none" costs nothing: the statistics wait for the division and come from its training part.
    whole = ImageDataset(
        train_images, train_labels, classes=classes, standardization="none", name=name, source=source, sha256=sha256
    )
    train, held_out = whole.divide(*split, standardize)
    test = ImageDataset(
        test_images,
        test_labels,
        classes=classes,
        standardization=train.standardization,
        name=name,
        split="test",
        source=source,
        sha256=sha256,
    )
    return ImageSplits(train, held_out, test)


_warned: set[str] = set()


def _warn(error: MissingDataError) -> None:
    """Say on stderr, once per process, that what follows is not the real data."""
    if SYNTHETIC_NAME in _warned:
        return
    _warned.add(SYNTHETIC_NAME)
    line = "=" * 88
    print(
        f"{line}\nNOT THE REAL DATA: using {SYNTHETIC_NAME}, drawn by formulae, in place of Fashion-MNIST.\n"
        f'Scores on it say nothing about Fashion-MNIST. synthetic="never" makes this an error.\n{error}\n{line}',
        file=sys.stderr,
        flush=True,
    )
