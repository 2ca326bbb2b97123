"""A checkpoint: named arrays and a JSON object in one safetensors file, written whole or not at all, checked on load.

safetensors guards neither against a flipped byte nor against arrays that are not C-contiguous: so arrays are copied,
and a SHA-256 over everything stands in the file's metadata. Nothing is ever unpickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

from tinygrad_mlp.data.paths import is_file
from tinygrad_mlp.errors import ArgumentError, CheckpointError, MissingFileError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn.module import Module

__all__ = ["load_checkpoint", "load_model", "save_checkpoint", "save_model", "write_atomically"]

_FORMAT = "tinygrad_mlp 1"
# Not every file system can sync a folder (shares over a network often cannot), and one that may be written to may still
# not be read. The file itself is synced and in its place then; to call it unsaved would stop a run for nothing.
_NO_SYNC_OF_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.EACCES}


def save_checkpoint(path: str | Path, arrays: Mapping[str, Array], info: Mapping[str, Any]) -> None:
    """Write arrays and a JSON-able object to `path`, replacing an older file only once the new one is safe on disk.

    Raises `CheckpointError` where that fails (full disk, read-only folder); an older file then stays as it was.
    """
    from safetensors.numpy import save

    contiguous = _contiguous(arrays)
    text = json.dumps(info, default=_plain)
    metadata = {"format": _FORMAT, "info": text, "sha256": _digest(contiguous, text)}
    write_atomically(path, save(contiguous, metadata))


def load_checkpoint(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the object that `save_checkpoint` wrote.

    Raises `CheckpointError` for a file that is truncated, altered in any byte, or another program's, and
    `MissingFileError`, which is a `FileNotFoundError` too, for one that is missing.
    """
    arrays, metadata = _read(path, "checkpoint")
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(
            f"checkpoint {path}: its format is {metadata.get('format')!r}, expected {_FORMAT!r}; model.safetensors, "
            "which holds weights alone, is read by load_model"
        )
    if metadata.get("sha256") != _digest(arrays, metadata.get("info", "")):
        raise CheckpointError(
            f"checkpoint {path}: its content does not fit its SHA-256, so it was altered. Delete it to start anew"
        )
    return arrays, json.loads(metadata["info"])


def save_model(path: str | Path, net: Module) -> None:
    """Write a net's weights and buffers under the names of its state dict: what PyTorch's safetensors reads, too.

    The same weights give the same bytes. Raises `CheckpointError` where the file cannot be written.
    """
    from safetensors.numpy import save

    write_atomically(path, save(_contiguous({name: tensor.array for name, tensor in net.state_dict().items()})))


def load_model(path: str | Path, net: Module) -> None:
    """Read weights that `save_model` wrote, or another program in this format, into a net of the same architecture.

    Raises `MissingFileError` where there is no such file, `CheckpointError` for one that is damaged, and, listing all
    misfits, for another net's.
    """
    arrays, _ = _read(path, "model")
    try:
        net.load_state_dict(arrays)
    except CheckpointError as error:
        raise CheckpointError(f"model {path}: {error}") from error


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that its name holds the old content or the new, never a part, even when the power fails.

    Raises `CheckpointError` where the file cannot be written; the old one then stays as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        kept = "; the one from before is still there, unharmed" if is_file(path) else ""
        raise CheckpointError(f"{path}: it could not be saved ({error.strerror or error}){kept}") from error
    try:
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"{path}: it was saved, but its folder could not be synced ({error.strerror or error}), so that it may not "
            "outlast a power failure"
        ) from error


def _read(path: str | Path, what: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata of a safetensors file. Raises `CheckpointError` for one that cannot be read."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not is_file(path):
        raise MissingFileError(f"{what} {path}: there is no such file, or none whose folder may be entered")
    try:
        opened: Any = safe_open(path, framework="numpy")  # without type stubs
        with opened as file:
            metadata = cast("dict[str, str]", file.metadata() or {})
            arrays = {name: cast(Array, file.get_tensor(name)) for name in sorted(cast("list[str]", file.keys()))}
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{what} {path}: it cannot be read ({error}); it is truncated or damaged. Delete it to start anew"
        ) from error
    return arrays, metadata


def _contiguous(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """C-contiguous copies where needed, of the same shape also for 0-d arrays, in the order of their names."""
    return {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in sorted(arrays.items())}


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system can; Windows cannot open folders and needs no such step."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC_OF_FOLDERS:
            raise


def _plain(value: object) -> Any:
    """A NumPy number as Python's."""
    if isinstance(value, np.number | np.bool_):
        return cast(Any, value).item()
    raise ArgumentError(f"checkpoint: {value!r} is no JSON value")


def _digest(arrays: Mapping[str, Array], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
