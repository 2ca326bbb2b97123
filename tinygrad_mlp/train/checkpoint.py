"""A checkpoint: named arrays and a JSON object in one safetensors file, written whole or not at all, checked on load.

safetensors guards neither against a flipped byte nor against arrays that are not C-contiguous: so arrays are copied, and
a SHA-256 over everything stands in the file's metadata. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.kernels.launch import Array

__all__ = ["load_checkpoint", "save_checkpoint", "write_atomically"]

_FORMAT = "tinygrad_mlp 1"


def save_checkpoint(path: str | Path, arrays: Mapping[str, Array], info: Mapping[str, Any]) -> None:
    """Write arrays and a JSON-able object to `path`, replacing an older file only once the new one is safe on disk.

    Raises `CheckpointError` where that fails (full disk, read-only folder); an older file then stays as it was.
    """
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in sorted(arrays.items())}
    text = json.dumps(info, sort_keys=True, allow_nan=True)
    metadata = {"format": _FORMAT, "info": text, "sha256": _digest(contiguous, text)}
    write_atomically(path, save(contiguous, metadata))


def load_checkpoint(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the object that `save_checkpoint` wrote.

    Raises `CheckpointError` for a file that is missing, truncated, altered in any byte, or another program's.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: there is no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            arrays = {name: cast(Array, file.get_tensor(name)) for name in sorted(file.keys())}
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(
            f"checkpoint {path}: it cannot be read ({error}); it is truncated or damaged. Delete it to start anew"
        ) from error
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"checkpoint {path}: its format is {metadata.get('format')!r}, expected {_FORMAT!r}")
    if metadata.get("sha256") != _digest(arrays, metadata.get("info", "")):
        raise CheckpointError(
            f"checkpoint {path}: its content does not fit its SHA-256, so it was altered. Delete it to start anew"
        )
    return arrays, json.loads(metadata["info"])


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file so that its name holds the old content or the new, never a part, even when the power fails.

    Raises `CheckpointError` where the file cannot be written; the old one then stays as it was.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        kept = "; the one from before is still there, unharmed" if path.exists() else ""
        raise CheckpointError(f"{path}: it could not be saved ({error.strerror or error}){kept}") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows cannot open folders and needs no such step."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(arrays: Mapping[str, Array], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
