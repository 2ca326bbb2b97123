"""Reading a state dict into tensors: all of it, or nothing and one error that lists everything that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple, cast

import numpy as np

from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.kernels.launch import Array

__all__ = ["LoadResult", "load_state"]


class LoadResult(NamedTuple):
    """What `load_state_dict(..., strict=False)` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_state(own: Mapping[str, Tensor], state: object, strict: bool, owner: str) -> LoadResult:
    """Write the values of `state` into the tensors `own`, in place, whatever their strides.

    `state` maps names to Tensors, ndarrays or anything else that `np.asarray` takes, such as PyTorch's CPU tensors.
    float32 and float64 are converted into each other. `owner` names the receiver in errors.

    Raises
    ------
    CheckpointError
        Missing or unexpected keys (if `strict`), wrong shapes or dtypes: all in one message, and nothing was written.
    """
    if not isinstance(state, Mapping):
        hint = "; tg.load(path) reads one from a file" if isinstance(state, (str, PathLike)) else ""
        raise CheckpointError(
            f"load_state_dict: expected a mapping of names to tensors for {owner}, got "
            f"{type(cast(object, state)).__name__}{hint}"
        )
    given = cast("Mapping[str, Any]", state)
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    arrays: dict[str, Array] = {}
    faults: list[str] = []
    for name, tensor in own.items():
        if name in given:
            arrays[name] = _as_array(given[name])
            fault = _fault(arrays[name], tensor)
            if fault:
                faults.append(f"{name}: {fault}")
    if faults or (strict and (missing or unexpected)):
        raise CheckpointError(_message(own, owner, missing, unexpected, faults, strict))
    with no_grad():
        for name, array in arrays.items():
            own[name].copy_(array)
    return LoadResult(missing, unexpected)


def _as_array(value: Any) -> Array:
    if isinstance(value, Tensor):
        return value.array
    if hasattr(value, "detach"):  # a PyTorch parameter becomes an array only without its history
        value = value.detach()
    return np.asarray(value)


def _fault(array: Array, tensor: Tensor) -> str:
    """What keeps this array out of this tensor; empty if nothing does."""
    if array.shape != tensor.shape:
        return f"got shape {array.shape}, expected {tensor.shape}"
    if (array.dtype.kind == "f") != (tensor.dtype.kind == "f") or array.dtype.kind not in "fiub":
        return f"got dtype {array.dtype}, expected {tensor.dtype}"
    return ""


def _message(
    own: Mapping[str, Tensor], owner: str, missing: list[str], unexpected: list[str], faults: list[str], strict: bool
) -> str:
    lines = [f"load_state_dict: the state does not fit {owner}; nothing was changed"]
    if strict and missing:
        lines.append("  missing: " + ", ".join(f"{name} {own[name].shape}" for name in missing))
    if strict and unexpected:
        lines.append("  unexpected: " + ", ".join(unexpected))
    lines.extend(f"  misfit: {fault}" for fault in faults)
    lines.append("Build the net as it was saved; strict=False passes over missing and unexpected names")
    return "\n".join(lines)
