"""What a finished run writes: the weights, figures, and the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_mlp import plot
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.augmentation import AugmentedImages
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.train.evaluation import LossReport, Scores, evaluate, outputs
from tinygrad_mlp.train.first_layer import draw_first_convolution
from tinygrad_mlp.train.manifest import describe_machine
from tinygrad_mlp.train.metrics import ClassificationReport
from tinygrad_mlp.train.weighting import weighting_of

if TYPE_CHECKING:
    from rich.table import Table

    from tinygrad_mlp.data.dataset import Dataset
    from tinygrad_mlp.train.run_folder import RunFolder
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["best_epoch_table", "draw_augmented", "write_results"]

_ROWS, _EPOCHS = 10, 8  # of the figure of augmented images


def best_epoch_table(trainer: Trainer, test: ClassificationReport | LossReport | None = None) -> Table:
    """A rich table of a finished run: samples, loss and accuracy of its best epoch, and of the test where one is given.

    With keep="last" it is of the last epoch, as the net is. Raises `ArgumentError` before the end of an epoch with
    validation.

    >>> Console().print(train.best_epoch_table(trainer, trainer.test(test)))
    """
    from rich.table import Table

    epoch = trainer.history.best
    if epoch is None or trainer.val is None:
        raise ArgumentError("best_epoch_table: there is no best epoch yet; call fit(train, val) first")
    name: str = trainer.settings["train"]["name"]
    if trainer.keep == "last":
        epoch = trainer.history.rows[-1]
    table = Table(title=f"{name}, {trainer.keep} epoch {epoch['epoch']} of {trainer.epochs}")
    table.add_column("")
    for heading in ("samples", "loss", "accuracy"):
        table.add_column(heading, justify="right")
    rows = [
        ("training, while it learned", len(trainer.loader.dataset), epoch["train_loss"], epoch["train_accuracy"]),
        ("validation", len(trainer.val), epoch["val_loss"], epoch["val_accuracy"]),
    ]
    if test is not None:
        rows.append(("test", test.n, test.loss, getattr(test, "accuracy", None)))
    for part, samples, loss, accuracy in rows:
        share = "" if accuracy is None else f"{100 * accuracy:.2f} %"
        table.add_row(part, f"{samples:,}", f"{loss:.4f}", share)
    return table


def draw_augmented(folder: RunFolder, dataset: AugmentedImages) -> None:
    """Draw an image of each class as it is, and as it comes in the first epochs. Raises `CheckpointError` as `draw`."""
    images = dataset.dataset
    _, first = np.unique(images.labels, return_index=True)
    rows = first[:_ROWS]
    drawn: list[Array] = []
    for epoch in range(_EPOCHS):
        x, _ = AugmentedImages(images, dataset.augmentation, dataset.seed, epoch).batch(rows)
        drawn.append(images.to_pixels(x, rows))
    figure = plot.augmented(
        images.images[rows],
        np.stack(drawn, 1),
        images.labels[rows],
        images.classes,
        data=images.name,
        caption=f"Epochs 1 to {_EPOCHS}, {dataset.augmentation}",
    )
    folder.draw("augmented", figure)


def write_results(folder: RunFolder, trainer: Trainer) -> None:
    """Export the net, draw the figures, write the manifest. Raises `CheckpointError` where a file cannot be written."""
    folder.write_model(trainer.net)
    results: dict[str, Any] = {"best_epoch": trainer.history.best, "stopped": trainer.stop_reason or "all epochs done"}
    if uses := folder.test_uses():  # of a net that was tested before it was trained further
        results["earlier_test_uses"] = uses
    name: str = trainer.settings["train"]["name"]
    folder.draw("curves", plot.curves(trainer.history, data=name))
    if trainer.val is not None:
        results["validation"] = _on_validation_data(folder, trainer, trainer.val, f"{name}, validation")
    folder.write_manifest(
        {
            **describe_machine(),
            "made_with": trainer.made_with,
            "seed": trainer.seed,
            "data": {"train": _source(trainer.loader.dataset), "validation": _source(trainer.val)},
            "settings": trainer.settings,
            "config": trainer.config,
            "results": results,
        }
    )


def _on_validation_data(folder: RunFolder, trainer: Trainer, val: Dataset, words: str) -> dict[str, Any]:
    """Scores of the final net, and the figures that need them: not on the test data, which would be looked at early."""
    if not isinstance(val, ImageDataset):
        report = evaluate(trainer.net, val, loss=trainer.loss, **trainer.views)
        if isinstance(report, ClassificationReport):
            classes = [str(number) for number in range(report.num_classes)]
            folder.draw("confusion", plot.confusion(report.confusion, classes, data=words))
        return report.as_dict()
    logits = outputs(trainer.net, val, **trainer.views)
    scores = Scores(trainer.loss, val)
    with no_grad():
        scores.add(Tensor(logits), Tensor(val.labels))
        probabilities = Tensor(logits).softmax(1).array
    report = scores.report()
    assert isinstance(report, ClassificationReport)  # of images with labels
    folder.draw("confusion", plot.confusion(report.confusion, val.classes, data=words))
    weighting = weighting_of(trainer.loss)
    counted = slice(None) if weighting is None else weighting.counted(val.labels)
    images, labels, predicted = val.images[counted], val.labels[counted], np.argmax(logits, 1)[counted]
    mistakes = plot.mistakes(images, labels, predicted, probabilities[counted], val.classes, data=words)
    folder.draw("mistakes", mistakes)
    draw_first_convolution(folder, trainer.net, val, words)
    return report.as_dict()


def _source(dataset: object) -> str | None:
    """Where the data were found."""
    return getattr(dataset, "source", None)
