"""The steps of a Trainer, captured where that is possible: see `tg.capture`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.capture import Captured
from tinygrad_mlp.autodiff.structure import is_plain
from tinygrad_mlp.data.dataset import draw, is_capturable, set_epoch
from tinygrad_mlp.errors import CaptureError
from tinygrad_mlp.train.interrupt import say
from tinygrad_mlp.train.weighting import ignored_label

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["Steps", "is_unlike"]

# Steps are made one after the other for so many seconds before anybody looks at Ctrl-C, the clock or the progress bar.
_AT_A_TIME, _MOST = 0.05, 1000


class Steps:
    """Steps over the batches of a Trainer's loader, each with its part of the epoch's sums.

    Captured, a step begins with drawing its batch, if the data set can be captured, too. Then many steps are made at a
    time, unless a callback wants to see each.
    """

    def __init__(self, trainer: Trainer, is_captured: bool) -> None:
        self._trainer, self._is_captured = trainer, is_captured
        dataset = trainer.loader.dataset
        self._draws_inside = is_capturable(dataset)
        self._captured: Captured[..., None] | None = None
        self._made_for: tuple[Any, ...] = ()
        self._seconds = _AT_A_TIME  # of a step
        self.finished = 0
        """How many steps of those that were last begun are done."""
        self._follow()

    def _follow(self) -> None:
        """Make the captured step for what the Trainer has: a callback may give it another loss, or limit."""
        trainer = self._trainer
        uses = (trainer.net, trainer.optimizer, trainer.loss, trainer.schedule, trainer.average)
        now = (*uses, trainer.schedule_every, trainer.clip_norm)
        if not is_unlike(now, self._made_for):
            return
        self._made_for = now
        trainer.sums.ignored = ignored_label(trainer.loss, trainer.loader.dataset)
        if self._is_captured:
            step: Callable[..., None] = self._drawn_step if self._draws_inside else self._step
            self._captured = Captured(step, warn=_say_eager, reads=(trainer.loss_and_output, trainer.loss))

    def epoch(self) -> Iterator[tuple[NDArray[np.int64], Callable[[], None]]]:
        """For what is left of the epoch, the positions of samples (steps, B), and what makes the steps on them."""
        for positions in self._trainer.loader.positions(self._how_many):
            yield positions, partial(self._make, positions)

    def _how_many(self) -> int:
        """How many steps to make next: one where somebody must see each, or where that takes long enough."""
        trainer = self._trainer
        if self._captured is None or not self._draws_inside or any(each.sees_each_step for each in trainer.callbacks):
            return 1
        most = min(_MOST, int(_AT_A_TIME / self._seconds))
        if trainer.checkpoint_every is not None:  # up to where one is due
            most = min(most, trainer.checkpoint_every - trainer.batch % trainer.checkpoint_every)
        return most

    def _make(self, positions: NDArray[np.int64]) -> None:
        self.finished, start = 0, time.perf_counter()
        self._follow()
        trainer = self._trainer
        if not self._draws_inside:
            batch = self.batch(positions[0])
            trainer.undo.remember()
            self._step(*batch) if self._captured is None else self._or_eager(self._captured, *batch)
            self.finished = 1
        elif self._captured is None:
            set_epoch(trainer.loader.dataset, trainer.epoch)
            trainer.undo.remember()
            self._drawn_step(positions[0])
            self.finished = 1
        else:
            set_epoch(trainer.loader.dataset, trainer.epoch)
            self._each(self._captured, positions)
        self._seconds = max((time.perf_counter() - start) / len(positions), 1e-9)

    def _each(self, captured: Captured[..., None], positions: NDArray[np.int64]) -> None:
        while self.finished < len(positions):
            try:
                captured.each(positions[self.finished :], kept=self._trainer.undo.copies)
            except CaptureError as error:
                if captured.stays_eager:
                    raise
                captured.stay_eager(str(error))
            finally:
                self.finished += captured.finished

    def _or_eager(self, captured: Captured[..., None], *batch: Any) -> None:
        try:
            captured(*batch)
        except CaptureError as error:
            captured.stay_eager(str(error))
            self._step(*batch)

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


def is_unlike(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    """Whether something is another object than before, or, of plain values, another value."""
    if len(now) != len(before):
        return True
    return any(a is not b and not (is_plain(a) and is_plain(b) and a == b) for a, b in zip(now, before, strict=True))


def _say_eager(reason: str) -> None:
    say(f"Trainer: steps run without capture, more slowly: {reason}")
