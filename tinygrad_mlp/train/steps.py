"""The steps of a Trainer, captured where that is possible: see `tg.capture`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.capture import Captured
from tinygrad_mlp.data.dataset import BatchDataset, draw, set_epoch
from tinygrad_mlp.errors import CaptureError
from tinygrad_mlp.train.interrupt import say

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["Steps"]


class Steps:
    """Steps over the batches of a Trainer's loader, each with its part of the epoch's sums.

    Captured, a step begins with drawing its batch, if the data set can be captured, too.
    """

    def __init__(self, trainer: Trainer, is_captured: bool) -> None:
        self._trainer = trainer
        dataset = trainer.loader.dataset
        self._draws_inside = isinstance(dataset, BatchDataset) and dataset.is_capturable
        plain: Callable[..., None] = self._drawn_step if self._draws_inside else self._step
        self._run = _with_fallback(plain) if is_captured else plain

    def epoch(self) -> Iterator[tuple[NDArray[np.int64], Callable[[], None]]]:
        """For each batch that is left of the epoch, the positions of its samples, and what makes the step on it."""
        loader = self._trainer.loader
        for positions in loader.positions():
            yield positions, self._bound(positions)

    def _bound(self, positions: NDArray[np.int64]) -> Callable[[], None]:
        if self._draws_inside:
            set_epoch(self._trainer.loader.dataset, self._trainer.epoch)
            return lambda: self._run(positions)
        x, y = self.batch(positions)
        return lambda: self._run(x, y)

    def batch(self, positions: NDArray[np.int64]) -> Any:
        """The samples at these positions, as this epoch has them."""
        dataset = self._trainer.loader.dataset
        set_epoch(dataset, self._trainer.epoch)
        return draw(dataset, positions)

    def _drawn_step(self, positions: NDArray[np.int64]) -> None:
        self._step(*draw(self._trainer.loader.dataset, positions))

    def _step(self, x: Any, y: Any) -> None:
        loss, output = self._trainer.training_step(x, y)
        self._trainer.sums.add(loss, output, y)


def _with_fallback(step: Callable[..., None]) -> Callable[..., None]:
    """The step captured; as it is, which is said once, where that cannot be."""
    captured = Captured(step, warn=lambda reason: say(f"Trainer: steps run without capture, more slowly: {reason}"))

    def run(*args: Any) -> None:
        try:
            captured(*args)
        except CaptureError as error:
            captured.stay_eager(str(error))
            step(*args)

    return run
