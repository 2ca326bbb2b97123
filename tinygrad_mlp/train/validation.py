"""The score on held-out data after each epoch: that of `evaluate`, in captured steps where that is possible."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.capture import Captured
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.data.dataset import BatchDataset, Dataset, draw, is_capturable
from tinygrad_mlp.data.loader import DataLoader
from tinygrad_mlp.errors import CaptureError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.loss import CrossEntropyLoss
from tinygrad_mlp.train.evaluation import BATCH_SIZE, fields_of, in_eval_mode, only_target, scored
from tinygrad_mlp.train.interrupt import say
from tinygrad_mlp.train.state import EpochSums
from tinygrad_mlp.train.steps import is_unlike
from tinygrad_mlp.train.weighting import counts_all_alike

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["Validation"]


class Validation:
    """Loss and accuracy of a Trainer's net on its validation data, once an epoch.

    `evaluate` also counts what was taken for what, and takes each batch anew through Python. For a small net that is a
    third of its time; here its batches follow each other as training steps do. Loss and accuracy are the same bits.
    What is not captured is left to it: other losses than `cross_entropy`, class weights and ignored labels, several
    views of an image, and large nets, whose memory would be kept for little.
    """

    def __init__(self, trainer: Trainer, is_captured: bool) -> None:
        self._trainer, self._may_capture = trainer, is_captured
        self._sums = EpochSums()
        self._captured: Captured[..., None] | None = None
        self._made_for: tuple[Any, ...] = ()

    def run(self) -> tuple[float, float | None]:
        """Mean loss, and accuracy where there are labels; one use of the data. Raises what `evaluate` does."""
        trainer = self._trainer
        dataset = cast(Dataset, trainer.val)
        if isinstance(dataset, BatchDataset):
            dataset.record_use()
        captured = self._captured_for(dataset)
        if captured is not None:
            self._score_all(captured, dataset)
            if math.isfinite(self._sums.loss):
                return self._sums.loss, self._sums.accuracy
        report = scored(trainer.net, dataset, BATCH_SIZE, trainer.loss, **trainer.views)  # says what is not finite
        return report.loss, getattr(report, "accuracy", None)

    def _captured_for(self, dataset: Dataset) -> Captured[..., None] | None:
        """The step to score a batch with, if it can be captured, for what a callback has left the Trainer with."""
        trainer = self._trainer
        if not (self._may_capture and is_capturable(dataset) and _counts_plainly(trainer.loss, dataset)) or any(
            trainer.views.values()
        ):
            return None
        now = trainer.net, trainer.loss, dataset
        if self._captured is None or is_unlike(now, self._made_for):
            self._captured, self._made_for = Captured(self._score, warn=_say_eager), now
        return self._captured

    def _score_all(self, captured: Captured[..., None], dataset: Dataset) -> None:
        """Go through the data once, from where a batch cannot be captured as `evaluate` does."""
        self._sums.clear()
        with in_eval_mode(self._trainer.net), no_grad():
            for positions in DataLoader(dataset, BATCH_SIZE).positions(lambda: len(dataset)):
                finished = 0
                while finished < len(positions):
                    try:
                        captured.each(positions[finished:])
                    except CaptureError as error:
                        if captured.stays_eager:
                            raise
                        captured.stay_eager(str(error))
                    finished += captured.finished
        self._may_capture = not captured.stays_eager and captured.is_small

    def _score(self, positions: NDArray[np.int64]) -> None:
        x, *targets = fields_of(draw(self._made_for[-1], positions))
        y = only_target(self._made_for[-1], targets)
        output = self._trainer.net(x)
        self._sums.add(self._trainer.loss(output, y), output, y)


def _counts_plainly(loss: object, dataset: Dataset) -> bool:
    """Whether this is `cross_entropy`, and weighs all samples alike.

    Not a subclass, whose own Python a replay would not run. A NaN among the logits is one in this loss.
    """
    is_ours = type(loss) is CrossEntropyLoss
    if not is_ours:
        made = cast("partial[Any]", loss) if isinstance(loss, partial) else None
        is_ours = (loss if made is None else made.func) is F.cross_entropy
    return is_ours and counts_all_alike(cast(object, loss), dataset)


def _say_eager(reason: str) -> None:
    say(f"Trainer: validation runs without capture, more slowly: {reason}")
