"""Data sets: anything with a length and items will do; those here also hand out whole batches at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Protocol,
    SupportsIndex,
    TypeAlias,
    TypeGuard,
    cast,
    get_args,
    runtime_checkable,
)

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.collate import as_tensors, check_finite, collate
from tinygrad_mlp.data.indices import Indices, absolute, as_indices, index_array, single
from tinygrad_mlp.data.permutation import Purpose, SeedSource, permutation, resolve_seed
from tinygrad_mlp.data.uses import Uses
from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, ShapeError
from tinygrad_mlp.kernels.batch import take_numbers, take_rows
from tinygrad_mlp.kernels.launch import launch

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # pyright: ignore[reportMissingModuleSource]  its stubs come with checkers

    from tinygrad_mlp.data.concat import ConcatDataset

    SampleT_co = TypeVar("SampleT_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    SampleT_co = TypeVar("SampleT_co", covariant=True)

Kind = TypeVar("Kind", bound="BatchDataset")

__all__ = [
    "BatchDataset",
    "Dataset",
    "Split",
    "Subset",
    "TensorDataset",
    "draw",
    "draws_as",
    "is_capturable",
    "length",
    "random_split",
    "set_epoch",
]

Split: TypeAlias = Literal["train", "validation", "test"]


@runtime_checkable
class Dataset(Protocol[SampleT_co]):
    """What a DataLoader needs: a length, and samples (each a tuple of arrays, Tensors or numbers) by position.

    `Dataset[tuple[Tensor, int]]` says what a sample is. A subclass lacking a method raises `ArgumentError` naming it.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 100
    ...     def __getitem__(self, index):
    ...         return np.float32([index]), float(index**2)
    """

    def __len__(self) -> int:
        raise ArgumentError(_lacks(type(self), "__len__"))

    def __getitem__(self, index: int, /) -> SampleT_co:
        raise ArgumentError(_lacks(type(self), "__getitem__"))

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not hasattr(cls, "__add__"):
            setattr(cls, "__add__", _joined)  # noqa: B010  no method here: then what cannot be added were no Dataset


class BatchDataset(ABC):
    """A data set that draws a whole batch at once, and knows its name and its role.

    `ds[3]` is one sample, `ds[:10]`, `ds[[1, 2]]` and `ds[mask]` are batches, as `ds.batch(indices)` is. `a + b` is a
    `ConcatDataset` of both. A subclass that overrides `__getitem__`, to transform samples, and not `batch`, is drawn
    sample by sample wherever a net is trained or evaluated.

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
        self._uses = Uses()  # which a data set shares with its parts

    @property
    def uses(self) -> int:
        """How often a net was evaluated on this data set or a part of it."""
        return len(self._uses.all())

    def record_use(self) -> None:
        """Count one evaluation of a net on this data set."""
        self._uses.record(object())

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
        position = single(index)
        if position is None:
            return self.batch(index)  # pyright: ignore[reportArgumentType]  not a single index, therefore several
        fields = self.batch(np.array([position], np.int64))
        return as_tensors(*(field.array.reshape(field.shape[1:]) for field in fields))

    def __iter__(self) -> Iterator[Any]:
        return (self[position] for position in range(len(self)))

    def __add__(self, other: Dataset) -> ConcatDataset:
        return _joined(self, other)

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
        count = length(dataset)
        self.indices = absolute(index_array(indices, count), count)
        if isinstance(dataset, BatchDataset):
            self._uses = dataset._uses

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def is_capturable(self) -> bool:
        """As the whole data set."""
        return type(self) is Subset and is_capturable(self.dataset)

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
        position = single(index)
        if position is None:
            return super().__getitem__(index)
        row = absolute(np.array([position]), len(self))[0]
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
    count = length(dataset)
    sizes = _sizes(lengths, count)
    order = permutation(count, resolve_seed(seed, generator, "random_split"), Purpose.SPLIT)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def draw(dataset: Dataset, indices: NDArray[np.int64]) -> Any:
    """A batch of any data set: its own `batch(indices)`, or its samples one by one, stacked.

    The latter where it has no `batch`, or where a subclass overrides `__getitem__` alone, which `batch` passes over.
    Raises `DtypeError` for a sample that is None, else as `batch` and `collate` do.
    """
    if isinstance(dataset, BatchDataset) and _draws_batches(type(dataset)):
        return dataset.batch(indices)
    positions: list[int] = indices.tolist()
    samples = [dataset[position] for position in positions]
    for position, sample in zip(positions, samples, strict=True):
        if sample is None:
            raise DtypeError(
                f"{type(dataset).__name__}.__getitem__({position}) returned None, expected a tuple of Tensors, arrays "
                "or numbers; is its return statement missing?"
            )
    return collate(samples, positions)


def is_capturable(dataset: object) -> bool:
    """Whether a captured step may draw from it: it says so, and is drawn by its `batch`."""
    return isinstance(dataset, BatchDataset) and dataset.is_capturable and _draws_batches(type(dataset))


def _joined(first: Dataset, second: Dataset) -> ConcatDataset:
    from tinygrad_mlp.data.concat import ConcatDataset

    return ConcatDataset([first, second])


def draws_as(dataset: object, kind: type[Kind]) -> TypeGuard[Kind]:
    """Whether this is a `kind` that draws as that class itself does, with no `__getitem__` or `batch` of its own."""
    if not isinstance(dataset, kind):
        return False
    return type(dataset).batch is kind.batch and type(dataset).__getitem__ is kind.__getitem__


def _draws_batches(kind: type[BatchDataset]) -> bool:
    """Whether, of the nearest classes that define `batch` and `__getitem__`, the former is no farther."""
    return next("batch" in vars(each) for each in kind.__mro__ if {"batch", "__getitem__"} & vars(each).keys())


def length(dataset: Dataset) -> int:
    """Number of samples. Raises `ArgumentError`, naming the method, where `__len__` or `__getitem__` is missing."""
    kind = type(dataset)
    for method in ("__len__", "__getitem__"):
        if not hasattr(kind, method):
            raise ArgumentError(_lacks(kind, method))
    count = cast(object, kind.__len__(dataset))
    if not isinstance(count, SupportsIndex):
        raise ArgumentError(
            f"{kind.__name__}.__len__ returned {count!r}, expected the number of samples; is its return statement "
            "missing?"
        )
    return len(dataset)


def _lacks(kind: type, method: str) -> str:
    returns = "the number of samples" if method == "__len__" else "the sample at a position"
    return f"{kind.__name__} has no {method}, which a data set needs; define it to return {returns}"


def set_epoch(dataset: Dataset, epoch: int) -> None:
    """Tell a data set which epoch is drawn from it, if it has a `set_epoch`."""
    tell: Callable[[int], None] | None = getattr(dataset, "set_epoch", None)
    if tell is not None:
        tell(epoch)


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
