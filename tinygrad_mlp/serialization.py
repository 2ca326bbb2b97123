"""`save` and `load`: state dicts, and dicts, lists and numbers around them, in one checked safetensors file.

PyTorch's functions of these names pickle; loading such a file runs whatever code its author put there. Here arrays are
stored as arrays and all else as JSON.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike, check_device
from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.kernels.launch import Array, is_array
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.train.checkpoint import load_checkpoint, save_checkpoint

__all__ = ["load", "save"]


def save(obj: Any, f: str | Path) -> None:
    """Write Tensors, arrays, numbers, text and None, in dicts, lists and tuples of any depth, to a file.

    The file holds the old content or the new, never a part of it. Tensors lose their history.

    Raises
    ------
    ArgumentError
        Anything else, such as a whole net: save its `state_dict()`.
    CheckpointError
        The file cannot be written.

    >>> tg.save({"epoch": 3, "net": net.state_dict(), "optimizer": optimizer.state_dict()}, "net.safetensors")
    >>> state = tg.load("net.safetensors")
    >>> net.load_state_dict(state["net"])
    """
    arrays: dict[str, Array] = {}
    content = _encoded(obj, (), arrays)
    save_checkpoint(_as_path("save", f), arrays, {"saved": content})


def load(f: str | Path, map_location: DeviceLike | None = None, *, weights_only: bool = True) -> Any:
    """What `save` wrote to a file.

    `map_location` may name the CPU, and `weights_only` changes nothing, as no code is ever loaded: both are there
    because scripts written for PyTorch pass them.

    Raises `CheckpointError` for a file that is truncated, altered in any byte, or not written by `save`, and
    `MissingFileError`, which is a `FileNotFoundError` too, where there is none.
    """
    check_device("load", map_location)
    file = _as_path("load", f)
    if _is_pickle(file):
        raise CheckpointError(
            f"load: {file} is a pickle of PyTorch's, which is not read here, as it may run code; write it anew with "
            "safetensors.torch.save_file(state_dict, path) and read it with safetensors.numpy.load_file(path)"
        )
    arrays, info = load_checkpoint(file)
    if "saved" not in info:
        raise CheckpointError(f"load: {file} is the checkpoint of a training run, not a file that save() wrote")
    return _decoded(info["saved"], arrays)


def _as_path(name: str, path: object) -> Path:
    if isinstance(path, (str, os.PathLike)):
        return Path(cast("str | Path", path))
    raise ArgumentError(f"{name}: the path must be text or a Path, got {type(path).__name__}")


def _is_pickle(file: Path) -> bool:
    """Whether the file starts as those of `torch.save` do: a zip archive, or in old versions a bare pickle.

    A safetensors file starts with the length of its header, in 8 bytes that may begin alike, and then has a brace.
    """
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        head = stream.read(9)
    return head[:2] in (b"PK", b"\x80\x02") and head[8:] != b"{"


def _encoded(value: Any, place: tuple[str, ...], arrays: dict[str, Array]) -> Any:
    """The value as JSON; arrays are put aside under a name, and containers say which they are."""
    if isinstance(value, Tensor):
        return {"tensor": _put_aside(value.array, place, arrays)}
    if is_array(value) and value.dtype.kind in "fiub":
        return {"array": _put_aside(value, place, arrays)}
    if isinstance(value, np.generic):
        return _encoded(cast(Any, value).item(), place, arrays)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value).items()
        return {"dict": [[_key(key, place), _encoded(entry, (*place, str(key)), arrays)] for key, entry in entries]}
    if isinstance(value, (list, tuple)):
        members = enumerate(cast("list[Any]", value))
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encoded(member, (*place, str(position)), arrays) for position, member in members]}
    hint = "; save its state_dict(), and build it anew to load that" if isinstance(value, Module) else ""
    raise ArgumentError(
        f"save: {'.'.join(place) or 'the object'} is of type {type(cast(object, value)).__name__}; expected Tensors, "
        f"arrays of numbers, numbers, text, None, or dicts, lists and tuples of them{hint}"
    )


def _key(key: object, place: tuple[str, ...]) -> str | float | None:
    if key is None or isinstance(key, (bool, int, float, str)):
        return key
    where = ".".join(place) or "the object"
    raise ArgumentError(f"save: a key of {where} is of type {type(key).__name__}; expected text or a number")


def _put_aside(array: Array, place: tuple[str, ...], arrays: dict[str, Array]) -> str:
    """Keep an array under the name of its place, `net.0.weight`."""
    name = ".".join(place) or "value"
    while name in arrays:  # {"a": {"b": x}, "a.b": y}
        name += "_"
    arrays[name] = array
    return name


def _decoded(content: Any, arrays: dict[str, Array]) -> Any:
    if not isinstance(content, dict):
        return content
    ((kind, inner),) = cast("dict[str, Any]", content).items()
    if kind == "tensor":
        return wrap(arrays[inner])
    if kind == "array":
        return arrays[inner]
    if kind == "dict":
        return {key: _decoded(entry, arrays) for key, entry in inner}
    members = [_decoded(member, arrays) for member in inner]
    return members if kind == "list" else tuple(members)
