"""From samples to a batch of Tensors. The one place of the data room where Tensors are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import DataError, DtypeError, ShapeError

__all__ = ["as_tensors", "check_finite", "collate"]


def as_tensors(*arrays: NDArray[Any]) -> tuple[Tensor, ...]:
    """Wrap the arrays of a batch, without copies."""
    return tuple(Tensor(array) for array in arrays)


def collate(samples: Sequence[Any], indices: Sequence[int] | NDArray[np.int64] | None = None) -> Any:
    """Stack samples into a batch.

    Parameters
    ----------
    samples:
        One or more samples, each a tuple (or list) of fields or a single field; a field is a Tensor, an ndarray or a
        number, of one shape and dtype in all samples.
    indices:
        Where the samples stand in their data set, for error messages.

    Returns a tuple of Tensors, or one Tensor where a sample is a single field. A field of shape S becomes (B, *S);
    Python floats become float32, integers int64, bools bool; arrays keep their dtype.

    Raises `DataError` for an empty batch and for NaN or infinity, `ShapeError` or `DtypeError` for samples that differ.

    >>> collate([(np.zeros(3, np.float32), 7), (np.ones(3, np.float32), 2)])[1]
    tensor([7, 2])
    """
    if len(samples) == 0:
        raise DataError("collate: empty batch: there are no samples to stack")
    places = range(len(samples)) if indices is None else indices
    if not isinstance(samples[0], (tuple, list)):
        return as_tensors(_stack(samples, places, "sample"))[0]
    lengths = [len(sample) for sample in samples]
    for place, length in zip(places, lengths, strict=True):
        if length != lengths[0]:
            raise ShapeError(f"sample {place} has {length} fields, but sample {places[0]} has {lengths[0]}")
    fields = zip(*samples, strict=True)
    return as_tensors(*(_stack(values, places, f"field {number} of sample") for number, values in enumerate(fields)))


def check_finite(array: NDArray[Any], what: str) -> None:
    """Raise `DataError`, naming the first bad index, if a floating-point array holds NaN or infinity."""
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
        raise DataError(
            f"{what} holds {array[index]} at index {list(index)} ({array.size - np.count_nonzero(finite)} of "
            f"{array.size} values are not finite); remove or replace such values before training"
        )


def _stack(values: Sequence[Any], places: Sequence[int] | NDArray[np.int64], what: str) -> NDArray[Any]:
    """One field of all samples as (B, *S), after checking that they agree."""
    arrays = [_as_array(value, f"{what} {place}") for place, value in zip(places, values, strict=True)]
    first = arrays[0]
    for place, array in zip(places, arrays, strict=True):
        if array.shape != first.shape:
            raise ShapeError(f"{what} {place} has shape {array.shape}, but {what} {places[0]} has {first.shape}")
        if array.dtype != first.dtype:
            raise DtypeError(f"{what} {place} is {array.dtype}, but {what} {places[0]} is {first.dtype}")
    stacked = np.stack(arrays)
    if stacked.dtype.kind == "f" and not np.isfinite(stacked).all():
        for place, array in zip(places, arrays, strict=True):
            check_finite(np.atleast_1d(array), f"{what} {place}")
    return stacked


def _as_array(value: Any, what: str) -> NDArray[Any]:
    if isinstance(value, Tensor):
        return value.array
    if isinstance(value, (np.ndarray, np.generic, bool, int)):
        array: NDArray[Any] = np.asarray(value)
        return array
    if isinstance(value, float):
        return np.asarray(value, np.float32)
    raise DtypeError(
        f"{what} is {type(value).__name__}, expected a Tensor, an ndarray or a number; "
        "convert it in the data set or give the DataLoader a collate_fn"
    )
