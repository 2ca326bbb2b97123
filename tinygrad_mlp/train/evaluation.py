"""Use a net on a whole data set: `evaluate` and `predict`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, SupportsIndex, TypeAlias, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.dataset import BatchDataset, Dataset, Subset, draws_as, length
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.data.loader import DataLoader
from tinygrad_mlp.errors import ArgumentError, DataError, NonFiniteError, ShapeError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.train.metrics import ClassificationReport, Mean
from tinygrad_mlp.train.weighting import weighting_of

__all__ = [
    "BATCH_SIZE",
    "Loss",
    "LossReport",
    "Scores",
    "Views",
    "check_dataset",
    "check_part",
    "check_shift",
    "evaluate",
    "fields_of",
    "has_labels",
    "in_eval_mode",
    "only_target",
    "outputs",
    "predict",
    "scored",
]

Loss = Callable[[Tensor, Tensor], Tensor]

BATCH_SIZE = 1000
_Rows: TypeAlias = "slice | NDArray[np.int64]"


class Views(TypedDict):
    """Options of `evaluate` and `predict`: of which views of an image the outputs are averaged."""

    flip: bool
    shift: int


@dataclass
class LossReport:
    """What `evaluate` returns where targets are no class labels: the mean loss of `n` samples."""

    loss: float
    n: int

    def __str__(self) -> str:
        return f"loss {self.loss:.4g}, n {self.n}"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"n": self.n, "loss": self.loss}


def evaluate(
    net: Module,
    dataset: Dataset,
    batch_size: int = BATCH_SIZE,
    loss: Loss = F.cross_entropy,
    *,
    flip: bool = False,
    shift: int = 0,
) -> ClassificationReport | LossReport:
    """How well a net does on a data set, in eval mode and without recording; its modes are put back afterwards.

    Parameters
    ----------
    net:
        Takes a batch of inputs; a classifier returns logits (N, C).
    dataset:
        Samples (input, target). Each call counts as one use of it: see `dataset.uses`, for the test split above all.
    batch_size:
        For speed alone; it changes the loss by rounding.
    loss:
        Function of (output, target) whose result is the mean over the batch. Of `cross_entropy` and `nll_loss` this is
        a mean by the weights of the classes, and so is the result; samples with the label `ignore_index` count nothing.
    flip:
        Whether to take as output the mean of the net's outputs (of a classifier the logits) for each image and its
        mirror image. In twice the time, this often makes fewer mistakes, of a net that was trained on both.
    shift:
        Likewise the mean over each image and itself moved by so many pixels up, down, left and right, which needs an
        `ImageDataset`. With `flip`, of the mirror image too: ten outputs in all.

    Returns
    -------
    ClassificationReport | LossReport
        The first, with loss, accuracy, confusion matrix and scores per class, for integer targets (N,).

    Raises
    ------
    ArgumentError
        A data set without samples to draw or without targets, a loss that is no scalar, labels that are all ignored, a
        negative shift, or one of images whose background is not known.
    ShapeError
        flip, and inputs that are no images (N, C, H, W).
    NonFiniteError
        A NaN among the scores, or a loss that is not finite.

    >>> print(tg.evaluate(net, val))
    loss 0.3510, accuracy 87.40 %, n 12000
    """
    check_dataset("evaluate", dataset)
    if isinstance(dataset, BatchDataset):
        dataset.record_use()
    return scored(net, dataset, batch_size, loss, flip=flip, shift=shift)


def scored(
    net: Module, dataset: Dataset, batch_size: int, loss: Loss, *, flip: bool = False, shift: int = 0
) -> ClassificationReport | LossReport:
    """What `evaluate` returns, without counting a use."""
    scores = Scores(loss, dataset)
    with in_eval_mode(net), no_grad():
        for output, targets in _outputs(net, dataset, batch_size, _views(flip, shift)):
            scores.add(output, only_target(dataset, targets))
    return scores.report()


def only_target(dataset: Dataset, targets: Sequence[Tensor]) -> Tensor:
    """The target of a batch. Raises `ArgumentError` where there is none, or several."""
    if len(targets) != 1:
        raise ArgumentError(
            f"evaluate: a sample of {dataset!r} has {1 + len(targets)} field(s), expected two, input and target; "
            "predict needs no targets"
        )
    return targets[0]


class Scores:
    """Adds up, batch by batch, what `evaluate` returns. `dataset` is for messages."""

    def __init__(self, loss: Loss, dataset: Dataset) -> None:
        self._loss, self._dataset = loss, dataset
        self._weighting = weighting_of(loss)
        self._mean = Mean()
        self._classes: ClassificationReport | None = None
        self._samples = 0

    def add(self, output: Tensor, target: Tensor) -> None:
        """Add a batch; errors as of `evaluate`."""
        value = self._loss(output, target)
        if value.numel() != 1:
            raise ArgumentError(f"evaluate: the loss has shape {value.shape}, expected one number per batch")
        weight = float(len(output)) if self._weighting is None else self._weighting.of_batch(target.array)
        mean = value.item() if weight else 0.0  # where nothing counts, the mean is 0/0
        if has_labels(output, target):
            counted = slice(None) if self._weighting is None else self._weighting.counted(target.array)
            self._classes = self._classes or ClassificationReport(output.shape[1])
            if target.array[counted].size:
                self._classes.update(output.array[counted], target.array[counted], mean)
        elif not math.isfinite(mean):
            raise NonFiniteError(
                f"evaluate: the loss of samples {self._samples} to {self._samples + len(output) - 1} of "
                f"{self._dataset!r} is {mean}; tg.anomaly_mode() finds the op that made it"
            )
        self._mean.update(mean, weight)
        self._samples += len(output)

    def report(self) -> ClassificationReport | LossReport:
        """The scores of all batches so far. Raises `ArgumentError` if nothing of them counts."""
        if not self._mean.weight:
            raise ArgumentError(
                f"evaluate: the loss weighs no sample of {self._dataset!r}: every label is its ignore_index, or of a "
                "class of weight 0"
            )
        if self._classes is None:
            return LossReport(self._mean.value, self._samples)
        self._classes.loss_sum = self._mean.total * (self._classes.n / self._mean.weight)
        return self._classes


def predict(
    net: Module, dataset: Dataset, batch_size: int = BATCH_SIZE, *, flip: bool = False, shift: int = 0
) -> Array:
    """The net's outputs for all samples, in their order: (N, …), of a classifier the logits (N, C).

    With `flip` and `shift`, means over several views of each image, as for `evaluate`. Samples need no target.
    Counts as one use of the data set, as `evaluate` does, and raises as it does.
    """
    check_dataset("predict", dataset)
    if isinstance(dataset, BatchDataset):
        dataset.record_use()
    return outputs(net, dataset, batch_size, flip=flip, shift=shift)


def outputs(
    net: Module, dataset: Dataset, batch_size: int = BATCH_SIZE, *, flip: bool = False, shift: int = 0
) -> Array:
    """What `predict` returns, without counting a use."""
    with in_eval_mode(net), no_grad():
        views = _views(flip, shift)
        return np.concatenate([output.array for output, _ in _outputs(net, dataset, batch_size, views)])


_View: TypeAlias = tuple[bool, int, int]
"""One way to look at an image: mirrored or not, and by how many pixels it is moved down and to the right."""


def _views(flip: bool, shift: int) -> list[_View]:
    """All views that a prediction is the mean of; the first is the image as it is."""
    if isinstance(shift, bool) or not isinstance(shift, SupportsIndex) or operator.index(shift) < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(f"shift={shift!r}, expected a whole number of pixels, 0 or more")
    places = [(0, 0), *([(shift, 0), (-shift, 0), (0, shift), (0, -shift)] if shift else [])]
    return [(mirrored, *place) for place in places for mirrored in ([False, True] if flip else [False])]


def _outputs(
    net: Module, dataset: Dataset, batch_size: int, views: list[_View]
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Output and target of each batch; instead of one target there may be none or several."""
    first = 0
    for batch in DataLoader(dataset, batch_size):
        x, *targets = fields_of(batch)
        output = net(x)
        for view in views[1:]:
            output = output + net(_seen(dataset, slice(first, first + len(x)), x, view))
        if len(views) > 1:
            output = output * (1 / len(views))
        yield output, targets
        first += len(x)


def fields_of(batch: Any) -> tuple[Tensor, ...]:
    """Input and targets of a batch, which may be the input alone."""
    return cast("tuple[Tensor, ...]", batch if isinstance(batch, tuple) else (batch,))


def _seen(dataset: Dataset, rows: slice, x: Tensor, view: _View) -> Tensor:
    """Another view of the batch (B, C, H, W) at these positions."""
    mirrored, down, right = view
    images, indices = _images(dataset, rows)
    if images is not None:  # standardised anew, where each pixel has its own statistics
        return images.moved(indices, down, right, mirrored=mirrored)[0]
    check_shift(dataset, max(abs(down), abs(right)))
    if x.ndim != 4:
        raise ShapeError(f"flip=True: inputs have shape {x.shape}, expected images (N, C, H, W)")
    return x.flip(3)


def _images(dataset: Dataset, indices: _Rows) -> tuple[ImageDataset | None, _Rows]:
    """The images that this is a part of, if it is one, and where in them these positions are."""
    while draws_as(dataset, Subset):
        dataset, indices = dataset.dataset, dataset.indices[indices]
    return (dataset if draws_as(dataset, ImageDataset) else None), indices


def check_shift(dataset: Dataset, shift: int) -> None:
    """Raise `ArgumentError` if views are to be moved of what are no images, or not known to be."""
    if shift and _images(dataset, slice(0))[0] is None:
        raise ArgumentError(
            f"shift={shift}: got a {type(dataset).__name__}, expected an ImageDataset, of which it is known what lies "
            "outside of an image"
        )


def has_labels(output: Tensor, target: Tensor) -> bool:
    """Whether this is classification: logits (N, C) and integer labels (N,)."""
    return output.ndim == 2 and target.ndim == 1 and target.dtype.kind in "iu"


def check_dataset(caller: str, dataset: object) -> None:
    """Raise `ArgumentError` for what is easily mistaken for a data set."""
    if isinstance(dataset, DataLoader):
        raise ArgumentError(f"{caller}: got a DataLoader, expected its data set: pass loader.dataset")
    kind = type(dataset)
    if issubclass(kind, (tuple, list)) or not (hasattr(kind, "__len__") or hasattr(kind, "__getitem__")):
        raise ArgumentError(
            f"{caller}: got a {kind.__name__}, expected a data set; data.TensorDataset(x, y) makes one of arrays"
        )
    length(cast(Dataset, dataset))


@contextmanager
def in_eval_mode(net: Module) -> Generator[None]:
    """Eval mode, and back to the mode that each module had."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def check_part(dataset: Dataset, purpose: str) -> None:
    """Raise `DataError` for what a Trainer cannot use: no samples, or the test split, which is locked."""
    check_dataset("Trainer.fit", dataset)
    if getattr(dataset, "split", None) == "test":
        raise DataError(
            f"Trainer.fit: got {dataset!r} to {purpose} on, but the test split is locked: it is for tg.evaluate, "
            "at the end; train and select on the other parts"
        )
    if len(dataset) == 0:
        raise DataError(f"Trainer.fit: got {dataset!r} to {purpose} on, but it is empty")
