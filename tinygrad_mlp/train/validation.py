"""The score on held-out data after each epoch: that of `evaluate`, in captured steps where that is possible."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.capture import Captured
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.data.dataset import BatchDataset, Dataset, draw
from tinygrad_mlp.data.loader import DataLoader
from tinygrad_mlp.errors import CaptureError
from tinygrad_mlp.train.evaluation import BATCH_SIZE, evaluate, in_eval_mode
from tinygrad_mlp.train.interrupt import say
from tinygrad_mlp.train.state import EpochSums
from tinygrad_mlp.train.weighting import counts_all_alike

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["Validation"]


class Validation:
    """Loss and accuracy of a Trainer's net on a data set, once an epoch.

    `evaluate` also counts what was taken for what, and takes each batch anew through Python. For a small net that is a
    third of its time; here its batches follow each other as training steps do. Loss and accuracy are the same bits. A
    loss of the user's is left to `evaluate`, as it may do in Python what a replay would not.
    """

    def __init__(self, trainer: Trainer, dataset: Dataset, is_captured: bool) -> None:
        self._trainer, self._dataset = trainer, dataset
        self._sums = EpochSums()
        self._captured: Captured[..., None] | None = None
        can_be = isinstance(dataset, BatchDataset) and dataset.is_capturable and not any(trainer.views.values())
        if is_captured and can_be and counts_all_alike(trainer.loss, dataset):
            self._captured = Captured(self._score, warn=_say_eager)

    def run(self) -> tuple[float, float | None]:
        """Mean loss, and accuracy where there are labels. Raises what `evaluate` does."""
        if self._captured is not None and self._is_scored(self._captured):
            return self._sums.loss, self._sums.accuracy
        trainer = self._trainer
        report = evaluate(trainer.net, self._dataset, loss=trainer.loss, **trainer.views)
        return report.loss, getattr(report, "accuracy", None)

    def _is_scored(self, captured: Captured[..., None]) -> bool:
        """Go through the data; whether the sums are those of all of them. If not, `evaluate` is to say why."""
        self._sums.clear()
        try:
            with in_eval_mode(self._trainer.net), no_grad():
                for positions in DataLoader(self._dataset, BATCH_SIZE).positions(lambda: len(self._dataset)):
                    captured.each(positions)
        except CaptureError as error:
            captured.stay_eager(str(error))
        if captured.stays_eager or not captured.is_small:  # a large net's memory would be kept for little
            self._captured = None
        if captured.stays_eager or not math.isfinite(self._sums.loss):
            return False
        assert isinstance(self._dataset, BatchDataset)
        self._dataset.record_use()
        return True

    def _score(self, positions: NDArray[np.int64]) -> None:
        x, y = draw(self._dataset, positions)
        output = self._trainer.net(x)
        self._sums.add(self._trainer.loss(output, y), output, y)


def _say_eager(reason: str) -> None:
    say(f"Trainer: validation runs without capture, more slowly: {reason}")
