"""Data sets: anything with a length and items will do; those here also hand out whole batches at once."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, SupportsIndex, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.collate import as_tensors, check_finite, collate
from tinygrad_mlp.data.permutation import Purpose, SeedSource, permutation, resolve_seed
from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels.batch import take_numbers, take_rows
from tinygrad_mlp.kernels.launch import launch

__all__ = [
    "BatchDataset",
    "Dataset",
    "Indices",
    "Split",
    "Subset",
    "TensorDataset",
    "as_indices",
    "draw",
    "random_split",
    "set_epoch",
]

Split: TypeAlias = Literal["train", "validation", "test"]
Indices: TypeAlias = "slice | Sequence[int] | NDArray[Any] | Tensor"


class Dataset(Protocol):
    """What a DataLoader needs: a length, and samples (each a tuple of arrays, Tensors or numbers) by position.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 100
    ...     def __getitem__(self, index):
    ...         return np.float32([index]), float(index**2)
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


class BatchDataset(ABC):
    """A data set that draws a whole batch at once, and knows its name and its role.

    `ds[3]` is one sample, `ds[:10]`, `ds[[1, 2]]` and `ds[mask]` are batches, as `ds.batch(indices)` is.

    Parameters
    ----------
    name:
        What outputs call the data.
    split:
        Its role: "train", "validation", "test", or None for data without one. A Trainer trains on no test split and
        selects models on none.

    A test split is locked: nothing trains on it, and it counts its uses. A use is one evaluation of a net;
    `tg.evaluate` records it through `record_use()`, as code that computes a score by hand should. Looking at samples is
    no use. Parts of a data set count together with it.
    """

    def __init__(self, name: str, split: Split | None) -> None:
        if split is not None and split not in get_args(Split):
            raise ArgumentError(f"split is {split!r}, expected one of {', '.join(get_args(Split))}, or None")
        self.name = name
        self.split: Split | None = split
        self._uses = [0]  # a list, which a data set shares with its parts

    @property
    def uses(self) -> int:
        """How often a net was evaluated on this data set or a part of it."""
        return self._uses[0]

    def record_use(self) -> None:
        """Count one evaluation of a net on this data set."""
        self._uses[0] += 1

    @property
    def is_capturable(self) -> bool:
        """Whether `batch` is a few kernels, so that a captured step may draw from it, with the indices as argument."""
        return False

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def batch(self, indices: Indices) -> Any:
        """The samples at these positions, stacked: fields (B, ...).

        Negative indices count from the end. Raises `DataError` for no indices, `IndexRangeError` for one out of range.
        """

    def __getitem__(self, index: SupportsIndex | Indices) -> Any:
        position = _single(index)
        if position is None:
            return self.batch(index)  # pyright: ignore[reportArgumentType]  not a single index, therefore several
        fields = self.batch(np.array([position], np.int64))
        return as_tensors(*(field.array.reshape(field.shape[1:]) for field in fields))

    def __iter__(self) -> Iterator[Any]:
        return (self[position] for position in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {self.split or 'no split'}, {len(self):,} samples)"


class TensorDataset(BatchDataset):
    """Arrays or Tensors that share their first dimension; sample i is row i of each, as in PyTorch.

    Parameters
    ----------
    tensors:
        One or more, (N, ...) each, any dtype a Tensor can have; kept, not copied.
    name, split:
        See `BatchDataset`.
    finite:
        Check here, once, that floating-point data hold neither NaN nor infinity. Data changed later are not checked
        again; False skips the check.

    Raises
    ------
    DataError
        NaN or infinity; the message names tensor and index.
    ShapeError
        Different lengths, or a 0-d tensor.
    DtypeError
        Neither a Tensor nor an ndarray.

    >>> x, y = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32), np.arange(100) % 2
    >>> len(TensorDataset(x, y))
    100
    """

    def __init__(
        self,
        *tensors: Tensor | NDArray[Any],
        name: str = "tensors",
        split: Split | None = None,
        finite: bool = True,
    ) -> None:
        super().__init__(name, split)
        if not tensors:
            raise ArgumentError("TensorDataset: got no tensors, expected one or more")
        self.arrays = tuple(self._unwrap(position, tensor) for position, tensor in enumerate(tensors))
        lengths = [len(array) for array in self.arrays]
        if len(set(lengths)) > 1:
            raise ShapeError(f"TensorDataset: the tensors have {lengths} rows, expected the same number in each")
        if finite:
            for position, array in enumerate(self.arrays):
                check_finite(array, f"TensorDataset: tensor {position} of shape {array.shape}")

    @staticmethod
    def _unwrap(position: int, tensor: Tensor | NDArray[Any]) -> NDArray[Any]:
        array = tensor.detach().array if isinstance(tensor, Tensor) else tensor
        if not isinstance(array, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without types
            raise DtypeError(
                f"TensorDataset: tensor {position} is {type(array).__name__}, expected a Tensor or an ndarray; "
                "np.asarray(...) converts other data"
            )
        if array.ndim == 0:
            raise ShapeError(f"TensorDataset: tensor {position} is 0-d, expected (N, ...)")
        return as_tensors(array)[0].array  # raises for a dtype that no Tensor can have

    @property
    def is_capturable(self) -> bool:
        """Yes, unless a subclass does it in another way."""
        return type(self) is TensorDataset

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that it was made of, on the same memory."""
        return as_tensors(*self.arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    def batch(self, indices: Indices) -> tuple[Tensor, ...]:
        """Rows of every tensor, copied: (B, ...) each."""
        rows = as_indices(indices, len(self), self.name)
        gathered: list[NDArray[Any]] = []
        for array in self.arrays:
            out = np.empty((rows.size, *array.shape[1:]), array.dtype)
            launch(take_rows, array, rows, out)
            gathered.append(out)
        return as_tensors(*gathered)


class Subset(BatchDataset):
    """Some samples of a data set, in the given order.

    Parameters
    ----------
    dataset:
        Any data set.
    indices:
        Positions in it; negative ones count from the end.
    split:
        Role of this part; None keeps that of `dataset`. Part of a test split remains a test split.

    Raises `DataError` for another role for part of a test split, `IndexRangeError` for an index out of range.
    """

    def __init__(self, dataset: Dataset, indices: Indices, split: Split | None = None) -> None:
        inherited: Split | None = getattr(dataset, "split", None)
        if inherited == "test" and split not in (None, "test"):
            raise DataError(f"Subset: part of a test split cannot become {split!r}: the test split is locked")
        super().__init__(getattr(dataset, "name", type(dataset).__name__), split or inherited)
        self.dataset = dataset
        self.indices = _absolute(_index_array(indices, len(dataset)), len(dataset))
        if isinstance(dataset, BatchDataset):
            self._uses = dataset._uses

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def is_capturable(self) -> bool:
        """As the whole data set."""
        return type(self) is Subset and isinstance(self.dataset, BatchDataset) and self.dataset.is_capturable

    def set_epoch(self, epoch: int) -> None:
        """Tell the whole data set which epoch is drawn, if it has a `set_epoch`."""
        set_epoch(self.dataset, epoch)

    def batch(self, indices: Indices) -> Any:
        """The samples at these positions of the subset, stacked."""
        rows = as_indices(indices, len(self), self.name)
        chosen = np.empty_like(rows)
        launch(take_numbers, self.indices, rows, chosen)
        return draw(self.dataset, chosen)

    def __getitem__(self, index: SupportsIndex | Indices) -> Any:
        position = _single(index)
        if position is None:
            return super().__getitem__(index)
        row = _absolute(np.array([position]), len(self))[0]
        return self.dataset[int(self.indices[row])]


def random_split(
    dataset: Dataset,
    lengths: Sequence[int] | Sequence[float],
    generator: SeedSource | None = None,
    seed: int | None = None,
) -> list[Subset]:
    """Split a data set at random into parts, as PyTorch's function of this name.

    Parameters
    ----------
    dataset:
        Any data set.
    lengths:
        Sizes that add up to len(dataset), or fractions that add up to 1; what rounding leaves over goes to the
        first parts, one sample each.
    generator, seed:
        Where the order comes from: one of the two, or neither for the generator of `tg.manual_seed`.

    Raises `ArgumentError` for lengths that do not add up or both generator and seed.
    """
    sizes = _sizes(lengths, len(dataset))
    order = permutation(len(dataset), resolve_seed(seed, generator, "random_split"), Purpose.SPLIT)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def draw(dataset: Dataset, indices: NDArray[np.int64]) -> Any:
    """A batch of any data set: its own `batch(indices)` where it has one, else its samples one by one, stacked."""
    if isinstance(dataset, BatchDataset):
        return dataset.batch(indices)
    positions: list[int] = indices.tolist()
    return collate([dataset[position] for position in positions], positions)


def set_epoch(dataset: Dataset, epoch: int) -> None:
    """Tell a data set which epoch is drawn from it, if it has a `set_epoch`."""
    tell: Callable[[int], None] | None = getattr(dataset, "set_epoch", None)
    if tell is not None:
        tell(epoch)


def as_indices(indices: Indices, count: int, name: str) -> NDArray[np.int64]:
    """Positions (B,) int64 from a slice, integers or a mask (count,). Raises `DataError` where there are none."""
    rows = _index_array(indices, count)
    if rows.size == 0:
        raise DataError(f"{name}: empty batch: the indices select none of {count} samples")
    return rows


def _index_array(indices: Indices, count: int) -> NDArray[np.int64]:
    if isinstance(indices, slice):
        return np.arange(*indices.indices(count), dtype=np.int64)
    array = indices.array if isinstance(indices, Tensor) else np.asarray(indices)
    if array.dtype == np.int64 and array.ndim == 1:
        return array
    if array.ndim != 1:
        raise ShapeError(f"indices have shape {array.shape}, expected (B,)")
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype == np.bool_:
        if len(array) != count:
            raise ShapeError(f"the mask has {len(array)} entries, expected one for each of {count} samples")
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu":
        raise DtypeError(f"indices are {array.dtype}, expected integers, a slice or a boolean mask")
    return array.astype(np.int64)


def _absolute(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices with negative ones counted from the end. Raises `IndexRangeError`."""
    outside = (indices < -count) | (indices >= count)
    if outside.any():
        raise IndexRangeError(f"index {indices[np.argmax(outside)]} is out of range for {count} samples")
    return np.where(indices < 0, indices + count, indices)


def _single(index: SupportsIndex | Indices) -> int | None:
    """The position, if `index` is one integer; None if it selects several samples."""
    if isinstance(index, SupportsIndex) and getattr(index, "ndim", 0) == 0:
        return operator.index(index)
    return None


def _sizes(lengths: Sequence[int] | Sequence[float], count: int) -> list[int]:
    if any(length < 0 for length in lengths):
        raise ArgumentError(f"random_split: lengths are {list(lengths)}, expected no negative ones")
    if all(isinstance(length, (int, np.integer)) for length in lengths):
        sizes = [int(length) for length in lengths]
        if sum(sizes) != count:
            raise ArgumentError(f"random_split: lengths {sizes} add up to {sum(sizes)}, but there are {count} samples")
        return sizes
    if abs(sum(lengths) - 1) > 1e-6:
        raise ArgumentError(f"random_split: fractions {list(lengths)} add up to {sum(lengths)}, expected 1")
    sizes = [int(count * length) for length in lengths]
    for position in range(count - sum(sizes)):
        sizes[position % len(sizes)] += 1
    return sizes
