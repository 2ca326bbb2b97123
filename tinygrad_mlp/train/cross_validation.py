"""k-fold cross-validation: train one net per fold, and see how much the score depends on the split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_mlp.data.augmentation import is_augmented
from tinygrad_mlp.data.dataset import Dataset, Subset
from tinygrad_mlp.data.image import ImageDataset, k_fold
from tinygrad_mlp.data.splits import plain_folds
from tinygrad_mlp.errors import DataError
from tinygrad_mlp.train.evaluation import LossReport, check_dataset, evaluate
from tinygrad_mlp.train.history import History
from tinygrad_mlp.train.metrics import ClassificationReport
from tinygrad_mlp.train.trainer import Trainer

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["CrossValidation", "Fold", "cross_validate"]


@dataclass(frozen=True)
class Fold:
    """One fold: the history of its training, and the scores of its best net on the part that was held out."""

    history: History
    report: ClassificationReport | LossReport


@dataclass(frozen=True)
class CrossValidation:
    """The folds, and mean and standard deviation (of a sample, divided by k - 1) of their scores."""

    folds: tuple[Fold, ...]

    @property
    def losses(self) -> list[float]:
        """Validation loss of each fold."""
        return [fold.report.loss for fold in self.folds]

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracy of each fold; empty where this is no classification."""
        return [fold.report.accuracy for fold in self.folds if isinstance(fold.report, ClassificationReport)]

    @property
    def loss(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        return _mean_and_sd(self.losses)

    @property
    def accuracy(self) -> tuple[float, float]:
        """Mean and standard deviation; NaN where this is no classification."""
        return _mean_and_sd(self.accuracies)

    def table(self, title: str = "") -> Table:
        """A rich table with a row per fold, and mean ± standard deviation at its foot."""
        from rich.table import Table

        table = Table(title=title or None, show_footer=True)
        table.add_column("fold", "mean ± sd", justify="right")
        table.add_column("best epoch", justify="right")
        table.add_column("validation loss", _loss_words(*self.loss), justify="right")
        table.add_column("accuracy", _accuracy_words(*self.accuracy) if self.accuracies else "–", justify="right")
        for number, fold in enumerate(self.folds, start=1):
            best, report = fold.history.best, fold.report
            share = f"{100 * report.accuracy:.2f} %" if isinstance(report, ClassificationReport) else "–"
            table.add_row(str(number), "–" if best is None else str(best["epoch"]), f"{report.loss:.4f}", share)
        return table

    def __str__(self) -> str:
        words = f"loss {_loss_words(*self.loss)}"
        if self.accuracies:
            words += f", accuracy {_accuracy_words(*self.accuracy)}"
        return f"{words} over {len(self.folds)} folds"


def cross_validate(
    make_trainer: Callable[[int, Dataset], Trainer],
    dataset: Dataset,
    folds: int = 5,
    seed: int = 0,
    stratify: bool = True,
) -> CrossValidation:
    """Train one net per fold on the other folds and evaluate it on this one, which also chooses its best epoch.

    Parameters
    ----------
    make_trainer:
        Called with the fold's number, from 0, and its training part; returns a Trainer with a new net. Seed the
        generator there (`tg.manual_seed(fold)`), or the folds depend on one another.
    dataset:
        All that is not test: of an `ImageDataset` the folds are standardised each by its own training part.
    folds:
        2 or more.
    seed, stratify:
        How the samples are dealt out; only an `ImageDataset` can be stratified, others are dealt out at random.

    Raises `DataError` for a test split and for images that are augmented already, `ArgumentError` for an impossible
    number of folds.

    >>> print(train.cross_validate(make_trainer, train_part.join(val_part)))
    loss 0.3121 ± 0.0052, accuracy 89.31 ± 0.17 % over 5 folds
    """
    check_dataset("cross_validate", dataset)
    if getattr(dataset, "split", None) == "test":
        raise DataError(f"cross_validate: {dataset!r} is the test split, which is locked")
    if is_augmented(dataset):
        raise DataError(
            f"cross_validate: got {dataset!r}, but only training images are augmented, not those of the fold that is "
            "held out; pass the images as they are, and make_trainer's Trainer augmentation=..."
        )
    done: list[Fold] = []
    for number, (training, held_out) in enumerate(_parts(dataset, folds, seed, stratify)):
        trainer = make_trainer(number, training)
        history = trainer.fit(training, held_out)
        report = evaluate(trainer.net, held_out, loss=trainer.loss, **trainer.views)
        done.append(Fold(history, report))
    return CrossValidation(tuple(done))


def _parts(dataset: Dataset, folds: int, seed: int, stratify: bool) -> Iterator[tuple[Dataset, Dataset]]:
    if isinstance(dataset, ImageDataset):
        yield from k_fold(dataset, folds, seed, stratify)
        return
    for training, held_out in plain_folds(len(dataset), folds, seed):
        yield Subset(dataset, training, "train"), Subset(dataset, held_out, "validation")


def _mean_and_sd(values: list[float]) -> tuple[float, float]:
    if not values:
        return math.nan, math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1))


def _loss_words(mean: float, sd: float) -> str:
    return f"{mean:.4f} ± {sd:.4f}"


def _accuracy_words(mean: float, sd: float) -> str:
    return f"{100 * mean:.2f} ± {100 * sd:.2f} %"
