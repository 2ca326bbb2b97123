"""`ConcatDataset`: several data sets, one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, SupportsIndex, cast

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.collate import as_tensors
from tinygrad_mlp.data.dataset import BatchDataset, Dataset, Split, draw, length, set_epoch
from tinygrad_mlp.data.indices import Indices, absolute, as_indices, single
from tinygrad_mlp.data.uses import Uses
from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, ShapeError

__all__ = ["ConcatDataset"]


class ConcatDataset(BatchDataset):
    """Data sets one after the other, as PyTorch's class of this name; `a + b` makes one of two.

    Parameters
    ----------
    datasets:
        One or more of any kind, whose samples have the same fields, shapes and dtypes.
    split:
        Role of the whole; None keeps the role that all of them share, if they do. With a test split among them the
        whole is a test split.

    `cumulative_sizes[i]` is the number of samples in the first i + 1 data sets. An evaluation on the whole is a use of
    each of them, and one of theirs is a use of the whole.

    Raises `ArgumentError` for no data sets, `DataError` for another role where one of them is a test split; while a
    batch is drawn, `ShapeError` or `DtypeError` for samples that differ.

    >>> both = data.ConcatDataset([train, more])
    >>> len(both) == len(train) + len(more)
    True
    """

    def __init__(self, datasets: Iterable[Dataset], split: Split | None = None) -> None:
        self.datasets: list[Dataset] = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: got no data sets, expected one or more")
        sizes = [length(dataset) for dataset in self.datasets]
        roles: list[Split | None] = [getattr(dataset, "split", None) for dataset in self.datasets]
        if "test" in roles:
            if split not in (None, "test"):
                raise DataError(f"ConcatDataset: what holds a test split cannot become {split!r}: it is locked")
            split = "test"
        elif split is None and len(set(roles)) == 1:
            split = roles[0]
        names = [getattr(dataset, "name", type(dataset).__name__) for dataset in self.datasets]
        super().__init__(" + ".join(dict.fromkeys(names)), split)
        ends = np.cumsum(sizes, dtype=np.int64)
        self.cumulative_sizes: list[int] = ends.tolist()
        self._ends, self._begins = ends, ends - sizes
        self._uses = Uses(*[dataset._uses for dataset in self.datasets if isinstance(dataset, BatchDataset)])

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def set_epoch(self, epoch: int) -> None:
        """Tell each data set which epoch is drawn, if it has a `set_epoch`."""
        for dataset in self.datasets:
            set_epoch(dataset, epoch)

    def batch(self, indices: Indices) -> Any:
        """The samples at these positions, stacked; each data set draws its own at once."""
        rows = absolute(as_indices(indices, len(self), self.name), len(self))
        numbers: NDArray[np.intp] = np.searchsorted(self._ends, rows, side="right")
        drawn: list[tuple[int, NDArray[np.intp], Any]] = []
        for number, dataset in enumerate(self.datasets):
            places = np.flatnonzero(numbers == number)
            if not places.size:
                continue
            part = draw(dataset, rows[places] - self._begins[number])
            if len(places) == len(rows):
                return part
            drawn.append((number, places, part))
        return _merged(drawn, len(rows))

    def __getitem__(self, index: SupportsIndex | Indices) -> Any:
        position = single(index)
        if position is None:
            return super().__getitem__(index)
        row: int = absolute(np.array([position]), len(self))[0].item()
        number = bisect_right(self.cumulative_sizes, row)
        return self.datasets[number][row - int(self._begins[number])]


def _merged(drawn: list[tuple[int, NDArray[np.intp], Any]], count: int) -> Any:
    """One batch of `count` samples from those of several data sets, each with its number and places in the whole."""
    is_single = [isinstance(batch, Tensor) for _, _, batch in drawn]
    fields = [_fields(number, batch) for number, _, batch in drawn]
    first = drawn[0][0]
    merged = [np.empty((count, *array.shape[1:]), array.dtype) for array in fields[0]]
    for (number, places, _), arrays, alone in zip(drawn, fields, is_single, strict=True):
        if len(arrays) != len(merged) or alone != is_single[0]:
            raise ShapeError(
                f"ConcatDataset: samples of data set {number} have {len(arrays)} field(s), those of data set {first} "
                f"{len(merged)}; expected the same, all in tuples or all alone"
            )
        for place, (array, whole) in enumerate(zip(arrays, merged, strict=True)):
            what = f"ConcatDataset: field {place} of data set {number}"
            if array.shape[1:] != whole.shape[1:]:
                raise ShapeError(
                    f"{what} has samples of shape {array.shape[1:]}, of data set {first} {whole.shape[1:]}"
                )
            if array.dtype != whole.dtype:
                raise DtypeError(f"{what} is {array.dtype}, of data set {first} {whole.dtype}; convert one of them")
            whole[places] = array
    batch = as_tensors(*merged)
    return batch[0] if is_single[0] else batch


def _fields(number: int, batch: object) -> list[NDArray[Any]]:
    members = (batch,) if isinstance(batch, Tensor) else batch
    if isinstance(members, (tuple, list)):
        tensors = cast("tuple[object, ...]", members)
        if all(isinstance(tensor, Tensor) for tensor in tensors):
            return [tensor.array for tensor in cast("tuple[Tensor, ...]", tensors)]
    raise DtypeError(
        f"ConcatDataset: the batch of data set {number} is {type(batch).__name__}, expected a Tensor or a tuple of them"
    )
