"""Download data files over HTTP from the first of several mirrors that delivers what was promised."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tinygrad_mlp.data.idx import decompress
from tinygrad_mlp.errors import DataError

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["DownloadFile", "download", "fetch", "user_cache"]

# Seconds to connect and between two packets: without a network the search ends soon.
_TIMEOUT = (5, 30)
_CHUNK = 1 << 16


class DownloadFile(Protocol):
    """What a download must know of a file."""

    @property
    def name(self) -> str:
        """Its name, to which .gz is added."""
        ...

    def parse(self, content: bytes, where: str, /) -> Any:
        """Raise `DataError` unless the decompressed content is right."""
        ...


def user_cache() -> Path:
    """The per-user folder for downloads (on Linux: ~/.cache/tinygrad_mlp)."""
    import pooch

    return Path(pooch.os_cache("tinygrad_mlp"))


def download(files: Sequence[DownloadFile], mirrors: Sequence[str], folder: Path) -> list[str]:
    """Download files, gzip-compressed, into a folder; each appears there only once its content has been checked.

    A mirror that failed is asked last for the next file. The first file that no mirror delivers ends the attempt.

    Parameters
    ----------
    files:
        What to download: `mirror + name + ".gz"`.
    mirrors:
        Addresses, each ending in a slash.
    folder:
        Where to; made if need be.

    Returns what failed, a line each, if a file could not be had; an empty list if all is there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return [f"{folder}: cannot be made ({error.strerror or error})"]
    order = list(mirrors)
    for file in files:
        failures: list[str] = []
        for mirror in list(order):
            url = f"{mirror}{file.name}.gz"
            try:
                _download_one(url, file, folder)
                break
            except (OSError, DataError) as error:
                failures.append(f"{url}: {_one_line(error)}")
                order.remove(mirror)
                order.append(mirror)
        else:
            return failures
    return []


def _download_one(url: str, file: DownloadFile, folder: Path) -> None:
    """Fetch into a temporary file, check, and move into place in one step, so that no half file is ever found there."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}-", suffix=".part", dir=folder)
    os.close(handle)
    temporary = Path(name)
    try:
        fetch(url, temporary)
        file.parse(decompress(temporary), "the content received")
        temporary.replace(folder / f"{file.name}.gz")
    finally:
        temporary.unlink(missing_ok=True)


def fetch(url: str, path: Path) -> None:
    """Write the content of an address into a path, with a progress bar on stderr. Raises OSError if it cannot."""
    import pooch
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        # pooch takes an object with these methods too, which its type hint leaves out.
        bar: Any = _Bar(progress, url.rsplit("/", 1)[-1])
        pooch.HTTPDownloader(progressbar=bar, chunk_size=_CHUNK, timeout=_TIMEOUT)(url, str(path), None)


class _Bar:
    """A rich progress bar with the attribute and the methods that pooch uses."""

    def __init__(self, progress: Progress, title: str) -> None:
        self.total = 0  # bytes to come; pooch sets it
        self._progress = progress
        self._task = progress.add_task(title, total=None, visible=False)  # until something arrives

    def update(self, count: int) -> None:
        """So many bytes more."""
        self._progress.update(self._task, advance=count, total=self.total or None, visible=True)

    def reset(self) -> None:
        """Back to zero; pooch then reports the total at once."""
        self._progress.reset(self._task)

    def close(self) -> None:
        """Nothing: the bar closes with its `Progress`."""


def _one_line(error: Exception) -> str:
    """What went wrong; of a failed connection only the reason at its bottom, which says it all."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    text = " ".join(str(reason or error).split())
    return text if len(text) <= 200 else text[:197] + "..."
