"""Find the IDX files of MNIST and Fashion-MNIST and check them against the known hashes.

Search order: the directory that the caller names; the environment variable TINYGRAD_MLP_DATA; /usr/share/datasets
(where Debian's dataset-fashion-mnist puts them); the per-user cache; a download into that cache.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.data.download import download, user_cache
from tinygrad_mlp.data.idx import decompress, parse_idx
from tinygrad_mlp.data.paths import is_file, is_folder
from tinygrad_mlp.errors import DataError, MissingDataError

__all__ = ["FASHION_MNIST", "MNIST", "Archive", "DataFile", "LoadedArchive", "load"]

ENVIRONMENT = "TINYGRAD_MLP_DATA"
SYSTEM = Path("/usr/share/datasets")


@dataclass(frozen=True)
class DataFile:
    """One IDX file: its name, and size and SHA-256 of its decompressed content."""

    name: str
    size: int
    sha256: str

    def parse(self, content: bytes, where: str) -> NDArray[np.uint8]:
        """The array in this content, once size and hash are right. Raises `DataError` naming `where` it came from."""
        found = hashlib.sha256(content).hexdigest()
        if len(content) != self.size:
            kind = "truncated" if len(content) < self.size else "too long"
            raise DataError(f"{where}: {kind}: {len(content)} bytes (decompressed), expected {self.size}")
        if found != self.sha256:
            raise DataError(f"{where}: {_diagnose(found)}: SHA-256 (decompressed) is {found}, expected {self.sha256}")
        return parse_idx(content, where)


@dataclass(frozen=True)
class Archive:
    """A data set of four IDX files (training images and labels, test images and labels) and where it can be had."""

    name: str
    torchvision_folder: str
    classes: tuple[str, ...]
    files: tuple[DataFile, DataFile, DataFile, DataFile]
    mirrors: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LoadedArchive:
    """The four checked arrays: images (N, 28, 28) and labels (N,), uint8; and the folder that they come from."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    folder: Path


_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

FASHION_MNIST = Archive(
    "fashion-mnist",
    "FashionMNIST",
    (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    (
        DataFile(_TRAIN_IMAGES, 47040016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        DataFile(_TRAIN_LABELS, 60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        DataFile(_TEST_IMAGES, 7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        DataFile(_TEST_LABELS, 10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ),
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
)

MNIST = Archive(
    "mnist",
    "MNIST",
    tuple("0123456789"),
    (
        DataFile(_TRAIN_IMAGES, 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        DataFile(_TRAIN_LABELS, 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        DataFile(_TEST_IMAGES, 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        DataFile(_TEST_LABELS, 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)


_OWNER = {file.sha256: archive.name for archive in (FASHION_MNIST, MNIST) for file in archive.files}


def _diagnose(sha256: str) -> str:
    """What a file with an unexpected hash is: the sets share their file names, so folders get mixed up."""
    return f"this is the file of {_OWNER[sha256]}" if sha256 in _OWNER else "damaged"


def load(archive: Archive, root: str | Path | None = None, *, allow_download: bool = True) -> LoadedArchive:
    """Find the four files, check them, read them.

    A place that lacks one of the files is passed over; a damaged file stops the search, whatever other places may hold.
    Since content is checked by hash, it does not matter to a result which place the files come from.

    Parameters
    ----------
    archive:
        `FASHION_MNIST` or `MNIST`.
    root:
        A directory to search first: it, its folder fashion-mnist/ (or mnist/), or torchvision's FashionMNIST/raw/.
    allow_download:
        Download what is nowhere found, into the per-user cache.

    Raises `MissingDataError` (a `DataError`), listing all that was tried, if the files cannot be had, and `DataError`
    naming a damaged file and how to repair it.
    """
    tried: list[str] = []
    cache = user_cache() / archive.name
    for folder, why in _places(archive, root, cache):
        missing = [file.name for file in archive.files if _existing(folder, file) is None]
        if not missing:
            return _read(archive, folder, downloaded=folder == cache)
        state = f"lacks {', '.join(missing)}" if is_folder(folder) else "no such directory that may be entered"
        tried.append(f"{folder} ({why}): {state}")
    if allow_download:
        missing_files = [file for file in archive.files if _existing(cache, file) is None]
        failures = download(missing_files, archive.mirrors, cache)
        if not failures:
            return _read(archive, cache, downloaded=True)
        tried.extend(failures)
    else:
        tried.append("download: not allowed (download=False)")
    raise MissingDataError(
        f"{archive.name}: data not found. Tried:\n  " + "\n  ".join(tried) + "\n"
        f"Put the four files ({', '.join(file.name for file in archive.files)}; with or without .gz) into a folder "
        f"{archive.name}/ and set {ENVIRONMENT} to the directory that holds it, or connect to a network and run again."
    )


def _places(archive: Archive, root: str | Path | None, cache: Path) -> list[tuple[Path, str]]:
    """Folders to search, in order, each with the reason why."""
    places: list[tuple[Path, str]] = []
    named = [(root, "the directory given"), (os.environ.get(ENVIRONMENT), f"from {ENVIRONMENT}")]
    for directory, why in named:
        if directory:
            base = Path(directory).expanduser()
            places += [(base / archive.name, why), (base, why), (base / archive.torchvision_folder / "raw", why)]
    return [*places, (SYSTEM / archive.name, "system-wide"), (cache, "per-user cache")]


def _existing(folder: Path, file: DataFile) -> Path | None:
    """The path of a file in a folder, plain or compressed; None if it is not there."""
    for path in (folder / file.name, folder / f"{file.name}.gz"):
        if is_file(path):
            return path
    return None


def _read(archive: Archive, folder: Path, downloaded: bool) -> LoadedArchive:
    arrays = [_read_checked(folder, file, downloaded) for file in archive.files]
    return LoadedArchive(*arrays, folder=folder)


def _read_checked(folder: Path, file: DataFile, downloaded: bool) -> NDArray[np.uint8]:
    path = _existing(folder, file) or folder / file.name
    try:
        return file.parse(decompress(path), str(path))
    except DataError as error:
        repair = "delete it and run again: it will be downloaded anew" if downloaded else "replace it by a good copy"
        raise DataError(f"{error}. To repair: {repair}, or delete it and let another place be searched.") from error
