"""`Callback`: code of your own that runs during training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinygrad_mlp.train.history import Row
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["Callback"]


class Callback:
    """Override what you need; each method gets the Trainer, whose attributes say where training is.

    >>> class StopAtAccuracy(train.Callback):
    ...     def on_epoch_end(self, trainer, row):
    ...         if row["val_accuracy"] >= 0.9:
    ...             trainer.stop("90 % reached")
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step, or after a checkpoint was loaded."""

    @property
    def sees_each_step(self) -> bool:
        """Whether `on_step_end` must be called after each step, and not after some hundredths of a second of steps.

        So it is where a class has an `on_step_end`: small nets then train more slowly. Override it where, as for a
        progress bar, a call now and then will do.
        """
        return type(self).on_step_end is not Callback.on_step_end

    def on_step_end(self, trainer: Trainer) -> None:
        """After each step of the optimizer; `trainer.sums` holds the means of the epoch so far."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """After validation; what is written into `row` becomes part of the history."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """At the end, also when training was interrupted or failed, if this callback's `on_fit_start` had gone well."""
