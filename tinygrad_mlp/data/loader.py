"""DataLoader: batches of a data set, in an order that is a pure function of (seed, epoch)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.data.dataset import Dataset, draw, length, set_epoch
from tinygrad_mlp.data.permutation import Purpose, SeedSource, permutation, resolve_seed
from tinygrad_mlp.errors import ArgumentError, CheckpointError, DataError, DtypeError

__all__ = ["DataLoader"]


class DataLoader:
    """Iterate over a data set in batches, as PyTorch's class of this name.

    Parameters
    ----------
    dataset:
        Anything with `len(dataset)` and `dataset[i]` (a tuple of arrays, Tensors or numbers of one shape); those of
        this package hand out whole batches at once.
    batch_size:
        Samples in a batch, 1 or more. The last batch is smaller if they do not come out even.
    shuffle:
        Whether each epoch has an order of its own. A test split cannot be shuffled, since nothing trains on it.
    drop_last:
        Leave out a smaller last batch.
    seed, generator:
        Where the order comes from: one of the two, or neither for the generator of `tg.manual_seed`. A generator gives
        a seed once, here.
    collate_fn:
        Makes a batch of a list of samples, in place of `collate`.
    num_workers, pin_memory, timeout, worker_init_fn, prefetch_factor, persistent_workers:
        Accepted for ported scripts, without effect: batches are made in this process.
    sampler, batch_sampler:
        None, likewise: `data.Subset(dataset, indices)` chooses samples and their order.

    The order of an epoch depends on its number and the seed, whatever was iterated before. Each `iter(loader)` takes
    the next epoch, also if the one before was broken off; `set_epoch` chooses one. A data set that has a `set_epoch`
    itself, as `AugmentedImages`, is told the epoch before each batch is drawn. `state_dict()` inside the loop body says
    which batch comes next, and a loader given that state goes on there::

        loader.load_state_dict(saved)
        for x, y in loader:      # the rest of the epoch that was interrupted
            ...

    Raises
    ------
    ArgumentError
        batch_size below 1, both seed and generator, a sampler.
    DataError
        An empty data set, one that drop_last leaves no batch of, a test split with shuffle; while iterating, NaN or
        infinity in samples that are stacked here.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int | None = None,
        generator: SeedSource | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        sampler: None = None,
        batch_sampler: None = None,
    ) -> None:
        for name, given in (("sampler", sampler), ("batch_sampler", batch_sampler)):
            if given is not None:
                raise ArgumentError(
                    f"DataLoader: {name} is a {type(given).__name__}, expected None; give data.Subset(dataset, "
                    "indices) as the data set, with the positions that the sampler would give, or shuffle=True"
                )
        if isinstance(batch_size, bool) or not isinstance(batch_size, SupportsIndex):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without types
            raise DtypeError(f"DataLoader: batch_size is {batch_size!r}, expected a whole number")
        if batch_size < 1:
            raise ArgumentError(f"DataLoader: batch_size is {batch_size}, expected 1 or more")
        if length(dataset) == 0:
            raise DataError(f"DataLoader: {dataset!r} is empty, so every batch would be")
        if drop_last and len(dataset) < batch_size:
            raise DataError(
                f"DataLoader: drop_last leaves no batch: the data set has {len(dataset)} samples, a batch {batch_size}"
            )
        if shuffle and getattr(dataset, "split", None) == "test":
            raise DataError(
                f"DataLoader: shuffle=True is for training, but {dataset!r} is the test split, which is locked; "
                "evaluate it in order, or train on the training part"
            )
        self.dataset = dataset
        self.batch_size = operator.index(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = resolve_seed(seed, generator, "DataLoader") if shuffle or seed is not None else 0
        self.collate_fn = collate_fn
        self._epoch = 0  # of the pass that is under way, or of the next one
        self._next_batch = 0
        self._under_way = False

    @property
    def epoch(self) -> int:
        """Number of the epoch under way, or between epochs of the next one."""
        return self._epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        samples = len(self.dataset)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The positions of all samples in the order of an epoch, (N,) int64."""
        if not self.shuffle:
            return np.arange(len(self.dataset), dtype=np.int64)
        return permutation(len(self.dataset), self.seed, Purpose.SHUFFLE, epoch)

    def set_epoch(self, epoch: int, next_batch: int = 0) -> None:
        """Let the next `iter(loader)` take this epoch, from this batch on. Raises `ArgumentError` out of range."""
        if epoch < 0 or not 0 <= next_batch <= len(self):
            raise ArgumentError(
                f"DataLoader: epoch {epoch}, next batch {next_batch}; expected epoch 0 or more, batch 0 to {len(self)}"
            )
        self._epoch, self._next_batch, self._under_way = epoch, next_batch, False

    def __iter__(self) -> Iterator[Any]:
        epoch, first = self._begin()
        return self._batches(epoch, first)

    def positions(self, most: Callable[[], int] = lambda: 1) -> Iterator[NDArray[np.int64]]:
        """Like `iter(loader)`, with the positions of samples: (batches, B) int64, up to `most()` batches of a size."""
        epoch, first = self._begin()
        order, full, number = self.order(epoch), len(self.dataset) // self.batch_size, first
        while number < len(self):
            count = max(1, min(most(), full - number))
            indices = order[number * self.batch_size : (number + count) * self.batch_size]
            number += count
            self._reached(epoch, number)
            yield indices.reshape(count, -1)
        self._passed(epoch)

    def _begin(self) -> tuple[int, int]:
        """Epoch and first batch of a new pass."""
        if self._under_way:  # the pass before was broken off; its epoch is used up
            self._finish()
        self._under_way = True
        return self._epoch, self._next_batch

    def _batches(self, epoch: int, first: int) -> Iterator[Any]:
        order = self.order(epoch)
        for number in range(first, len(self)):
            batch = self._draw(order[number * self.batch_size : (number + 1) * self.batch_size], epoch)
            self._reached(epoch, number + 1)
            yield batch
        self._passed(epoch)

    def _reached(self, epoch: int, next_batch: int) -> None:
        if epoch == self._epoch:  # else a newer pass has begun, and the position is its
            self._next_batch = next_batch

    def _passed(self, epoch: int) -> None:
        if epoch == self._epoch:
            self._finish()

    def _draw(self, indices: NDArray[np.int64], epoch: int) -> Any:
        set_epoch(self.dataset, epoch)
        if self.collate_fn is None:
            return draw(self.dataset, indices)
        return self.collate_fn([self.dataset[index] for index in indices.tolist()])

    def _finish(self) -> None:
        self._epoch, self._next_batch, self._under_way = self._epoch + 1, 0, False

    def state_dict(self) -> dict[str, int]:
        """Seed, epoch and number of the next batch, and what their meaning depends on: JSON-ready."""
        return {"seed": self.seed, "epoch": self._epoch, "next_batch": self._next_batch, **self._shape()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where `state_dict()` was taken. Raises `CheckpointError` for the state of a loader unlike this one."""
        for key, expected in self._shape().items():
            if state.get(key) != expected:
                raise CheckpointError(
                    f"DataLoader: the saved state has {key} {state.get(key)}, this loader {expected}: "
                    "the run could not go on with the same batches"
                )
        self.seed = int(state["seed"])
        self.set_epoch(int(state["epoch"]), int(state["next_batch"]))

    def _shape(self) -> dict[str, int]:
        """What two loaders must share, beside the seed, to give the same batches."""
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }
