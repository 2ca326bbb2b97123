"""What a Trainer refuses before it begins: settings that contradict each other, and data that are not for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_mlp.data.augmentation import is_augmented
from tinygrad_mlp.data.dataset import Dataset
from tinygrad_mlp.errors import ArgumentError, DataError
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.optim.checks import check_count
from tinygrad_mlp.optim.plateau import ReduceLROnPlateau
from tinygrad_mlp.train.evaluation import check_part, check_shift

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["check_choices", "check_parts", "count_or_none"]


def count_or_none(name: str, value: int | None) -> int | None:
    """A count of at least 1, or None. Raises `ArgumentError` for anything else."""
    return None if value is None else check_count("Trainer", name, value)


def check_choices(trainer: Trainer) -> None:
    """Raise `ArgumentError` for a choice that there is not, or for two that exclude each other."""
    if trainer.stop_on not in ("loss", "increases"):
        raise ArgumentError(f"Trainer: stop_on={trainer.stop_on!r}, expected 'loss' or 'increases'")
    if trainer.keep not in ("best", "last"):
        raise ArgumentError(f"Trainer: keep={trainer.keep!r}, expected 'best' or 'last'")
    if trainer.schedule_every not in ("batch", "epoch"):
        raise ArgumentError(f"Trainer: schedule_every={trainer.schedule_every!r}, expected 'batch' or 'epoch'")
    if isinstance(trainer.schedule, ReduceLROnPlateau) and trainer.schedule_every == "batch":
        raise ArgumentError("Trainer: ReduceLROnPlateau looks at the validation loss, once an epoch")
    if isinstance(trainer.schedule, ReduceLROnPlateau) and trainer.schedule.mode != "min":
        raise ArgumentError(
            f"Trainer: ReduceLROnPlateau has mode={trainer.schedule.mode!r}, but it is given the validation loss, of "
            "which less is better; make it with mode='min'"
        )
    if trainer.resume and trainer.folder is None:
        raise ArgumentError("Trainer: resume=True needs the run's folder, out=...")
    _check_that_they_belong_together(trainer)


def _check_that_they_belong_together(trainer: Trainer) -> None:
    """What was made of a net before, as a notebook still has it, would train or average that one, and not this."""
    modules = [module for module in (trainer.net, trainer.loss) if isinstance(module, Module)]
    own = {id(parameter) for module in modules for parameter in module.parameters()}
    given = [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]
    strange = sum(id(parameter) not in own for parameter in given)
    if strange:
        raise ArgumentError(
            f"Trainer: {strange} of the optimizer's {len(given)} parameters are not those of this net; make the "
            "optimizer of net.parameters(), after the net has all its layers"
        )
    if trainer.schedule is not None and trainer.schedule.optimizer is not trainer.optimizer:
        raise ArgumentError(
            f"Trainer: the {type(trainer.schedule).__name__} belongs to another optimizer, whose learning rate it "
            "would change; make it of the one that is passed"
        )
    if trainer.average is not None and trainer.average._module is not trainer.net:  # pyright: ignore[reportPrivateUsage]
        raise ArgumentError(
            "Trainer: the ExponentialMovingAverage belongs to another net, whose weights it would give to this one; "
            "make it of the one that is passed"
        )


def check_parts(trainer: Trainer, train: Dataset, val: Dataset | None) -> None:
    """Raise `DataError` for data that are not to be trained or validated on, `ArgumentError` where some are missing."""
    check_part(train, "train")
    if val is not None:
        check_part(val, "validate")
        if is_augmented(val):
            raise DataError(f"Trainer.fit: got {val!r} to validate on, but only training images are augmented")
        check_shift(val, trainer.shift_to_predict)
    elif trainer.patience is not None or isinstance(trainer.schedule, ReduceLROnPlateau):
        raise ArgumentError("Trainer: patience and ReduceLROnPlateau need validation data: fit(train, val)")
