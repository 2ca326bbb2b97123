"""How good a classifier is: accuracy, top-k, confusion matrix, precision, recall, F1, calibration.

All of it takes anything `np.asarray` takes. Scores may be logits or probabilities. `ClassificationReport` adds batches
up, in int64 and float64: how the data were cut into batches changes no count, and the loss by rounding alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, NonFiniteError, ShapeError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "ClassScores",
    "ClassificationReport",
    "Mean",
    "accuracy",
    "confusion_matrix",
    "expected_calibration_error",
    "precision_recall_f1",
    "top_k_accuracy",
]

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


def accuracy(logits: ArrayLike, labels: ArrayLike) -> float:
    """Share of rows whose largest score is that of their label; among equal scores the first counts.

    `logits` is (N, C), `labels` (N,), whole numbers from 0 to C - 1.

    Raises `ShapeError` for other shapes or no rows, `DtypeError` for labels that are not integers, `IndexRangeError`
    for a label out of range, `NonFiniteError` for a NaN among the scores.

    >>> accuracy([[0.1, 2.0], [3.0, 0.2]], [1, 1])
    0.5
    """
    return top_k_accuracy(logits, labels, 1)


def top_k_accuracy(logits: ArrayLike, labels: ArrayLike, k: int) -> float:
    """Share of rows whose label is among the `k` largest scores; among equal scores the first come first.

    Shapes and errors as for `accuracy`; `ArgumentError` unless 1 ≤ k ≤ C.
    """
    scores, true = _scores_and_labels("top_k_accuracy", logits, labels)
    _check_k("top_k_accuracy", k, scores.shape[1])
    return int(np.count_nonzero(_ranks(scores, true) < k)) / len(true)


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> Integers:
    """How often each true class was taken for each class: int64 (C, C), rows true, columns predicted.

    `labels` and `predictions` are (N,), whole numbers from 0 to num_classes - 1. Errors as for `accuracy`.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    if num_classes < 1:
        raise ArgumentError(f"confusion_matrix: num_classes is {num_classes}; expected at least 1")
    true = _class_numbers("confusion_matrix", "labels", labels, num_classes)
    predicted = _class_numbers("confusion_matrix", "predictions", predictions, num_classes)
    if len(true) != len(predicted):
        raise ShapeError(f"confusion_matrix: {len(true)} labels for {len(predicted)} predictions; expected one each")
    return _count_pairs(true, predicted, num_classes)


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of each class, float64 (C,), how often it occurs, int64 (C,), and the macro means."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Integers
    macro_precision: float
    macro_recall: float
    macro_f1: float


def precision_recall_f1(matrix: ArrayLike) -> ClassScores:
    """Precision, recall and F1 per class and their macro means, from a confusion matrix (C, C), rows true.

    precision = right / predicted, recall = right / true, F1 = 2 right / (predicted + true), the harmonic mean of the
    two. 0/0 is 0: the precision of a class never predicted, the recall of a class that never occurs. The macro means
    run over the classes that occur or are predicted at least once (as scikit-learn's do when no labels are given).

    Raises `ShapeError` when the matrix is not square, `DtypeError` unless it holds integers, `ArgumentError` when a
    count is negative or all are 0.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(f"precision_recall_f1: matrix has shape {counts.shape}; expected (C, C)")
    if counts.dtype.kind not in "iu":
        raise DtypeError(f"precision_recall_f1: matrix has dtype {counts.dtype}; expected whole numbers")
    if (counts < 0).any() or not counts.any():
        raise ArgumentError("precision_recall_f1: expected a matrix of counts, none negative and not all 0")
    right = np.diagonal(counts).astype(np.int64)
    predicted, true = counts.sum(0, dtype=np.int64), counts.sum(1, dtype=np.int64)
    precision, recall = _ratio(right, predicted), _ratio(right, true)
    f1 = _ratio(2 * right, predicted + true)
    seen = predicted + true > 0
    means = (float(scores[seen].mean()) for scores in (precision, recall, f1))
    return ClassScores(precision, recall, f1, true, *means)


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """How far confidence is from accuracy: 0 for a net that is right in 80 % of the cases where it says 80 %.

    Rows are sorted into `bins` equal intervals (a, b] by their largest probability; the result is the mean of
    |accuracy - mean confidence| over the bins, weighted by their size (Guo et al. 2017, On calibration of modern
    neural networks, equation 3). `probabilities` is (N, C), each row adding up to 1.

    Errors as for `accuracy`; `ArgumentError` for rows that do not add up to 1.
    """
    scores, true = _scores_and_labels("expected_calibration_error", probabilities, labels)
    if bins < 1:
        raise ArgumentError(f"expected_calibration_error: bins is {bins}; expected at least 1")
    if (scores < 0).any() or not np.allclose(scores.sum(1, dtype=np.float64), 1, atol=1e-4):
        raise ArgumentError("expected_calibration_error: each row must hold probabilities that add up to 1, not logits")
    confidence: Floats = scores.max(1).astype(np.float64)
    right = scores.argmax(1) == true
    edges: Floats = np.arange(1, bins, dtype=np.float64) / bins
    place = np.searchsorted(edges, confidence)  # edges[place - 1] < confidence <= edges[place]
    gaps = np.bincount(place, right - confidence, bins)  # of each bin: its size times (accuracy - confidence)
    return float(np.abs(gaps).sum()) / len(true)


@dataclass
class Mean:
    """A weighted mean of values that come one by one, e.g. of batch losses weighted by batch size.

    >>> mean = Mean()
    >>> mean.update(2.0, weight=3)
    >>> mean.update(4.0)
    >>> mean.value
    2.5
    """

    total: float = 0.0
    weight: float = 0.0

    def update(self, value: float, weight: float = 1.0) -> None:
        """Add a value. Raises `ArgumentError` unless the weight is finite and at least 0."""
        if not (math.isfinite(weight) and weight >= 0):
            raise ArgumentError(f"Mean.update: weight is {weight}; expected a finite number of at least 0")
        if weight:
            self.total += float(value) * weight
            self.weight += weight

    def merge(self, other: Mean) -> None:
        """Add all that `other` has seen."""
        self.total += other.total
        self.weight += other.weight

    @property
    def value(self) -> float:
        """The mean so far. Raises `ArgumentError` before the first value of positive weight."""
        if not self.weight:
            raise ArgumentError("Mean: there is no value yet to take the mean of")
        return self.total / self.weight


@dataclass(eq=False)
class ClassificationReport:
    """Loss, accuracy, top-k accuracy, confusion matrix and scores per class, added up batch by batch.

    `k` is that of top-k accuracy; more than there are classes counts as their number.

    >>> report = ClassificationReport(num_classes=2)
    >>> report.update([[2.0, 0.0], [0.0, 1.0]], [0, 0], losses=[0.13, 1.31])
    >>> print(report)
    loss 0.7200, accuracy 50.00 %, n 2
    """

    num_classes: int
    k: int = 3
    confusion: Integers = field(init=False, repr=False)
    top_k_hits: int = field(default=0, init=False, repr=False)
    loss_sum: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ArgumentError(f"ClassificationReport: num_classes is {self.num_classes}; expected at least 1")
        self.k = min(self.k, self.num_classes)
        _check_k("ClassificationReport", self.k, self.num_classes)
        self.confusion = np.zeros((self.num_classes, self.num_classes), np.int64)

    def update(self, logits: ArrayLike, labels: ArrayLike, losses: ArrayLike) -> None:
        """Add a batch: `logits` (N, C), `labels` (N,), `losses` (N,) or the batch's mean loss as one number.

        Errors as for `accuracy`; `NonFiniteError` also for a loss that is NaN or infinite. After an error the report is
        as it was.
        """
        scores, true = _scores_and_labels("ClassificationReport.update", logits, labels)
        if scores.shape[1] != self.num_classes:
            raise ShapeError(
                f"ClassificationReport.update: logits has shape {scores.shape}; expected (N, {self.num_classes})"
            )
        values = np.asarray(losses, np.float64)
        if values.shape not in ((), true.shape):
            raise ShapeError(
                f"ClassificationReport.update: losses has shape {values.shape}; expected {true.shape}, one per row, "
                "or () for the batch's mean"
            )
        if not np.isfinite(values).all():
            raise NonFiniteError("ClassificationReport.update: a loss is NaN or infinite")
        self.confusion += _count_pairs(true, scores.argmax(1), self.num_classes)
        self.top_k_hits += int(np.count_nonzero(_ranks(scores, true) < self.k))
        self.loss_sum += float(values.sum()) if values.ndim else float(values) * len(true)

    def merge(self, other: ClassificationReport) -> None:
        """Add all that `other` has seen. Raises `ArgumentError` when its classes or its `k` differ."""
        if (self.num_classes, self.k) != (other.num_classes, other.k):
            raise ArgumentError(
                f"ClassificationReport.merge: {other.num_classes} classes and k = {other.k} do not fit "
                f"{self.num_classes} classes and k = {self.k}"
            )
        self.confusion += other.confusion
        self.top_k_hits += other.top_k_hits
        self.loss_sum += other.loss_sum

    @property
    def n(self) -> int:
        """Number of rows seen."""
        return int(self.confusion.sum())

    @property
    def loss(self) -> float:
        """Mean loss of a row."""
        self._check_seen()
        return self.loss_sum / self.n

    @property
    def accuracy(self) -> float:
        """Share of rows classified correctly."""
        self._check_seen()
        return int(np.trace(self.confusion)) / self.n

    @property
    def top_k_accuracy(self) -> float:
        """Share of rows whose label is among the k largest scores."""
        self._check_seen()
        return self.top_k_hits / self.n

    @property
    def per_class(self) -> ClassScores:
        """Precision, recall and F1; see `precision_recall_f1`."""
        self._check_seen()
        return precision_recall_f1(self.confusion)

    def _check_seen(self) -> None:
        if not self.confusion.any():
            raise ArgumentError("ClassificationReport: no batch yet; call update first")

    def as_dict(self) -> dict[str, Any]:
        """All of it in numbers, lists and strings, ready for JSON."""
        scores = self.per_class
        columns = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1, "support": scores.support}
        return {
            "n": self.n,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "k": self.k,
            "top_k_accuracy": self.top_k_accuracy,
            "macro_precision": scores.macro_precision,
            "macro_recall": scores.macro_recall,
            "macro_f1": scores.macro_f1,
            "per_class": {name: column.tolist() for name, column in columns.items()},
            "confusion": self.confusion.tolist(),
        }

    def table(self, classes: Sequence[str] | None = None, title: str = "") -> Table:
        """A rich table with a row per class, the macro means, and beneath it loss, accuracy and top-k accuracy.

        Raises `ShapeError` unless there is a name for each class.
        """
        from rich.table import Table

        names = [str(index) for index in range(self.num_classes)] if classes is None else list(classes)
        if len(names) != self.num_classes:
            raise ShapeError(f"ClassificationReport.table: {len(names)} class names for {self.num_classes} classes")
        scores = self.per_class
        caption = f"{self}, top-{self.k} {100 * self.top_k_accuracy:.2f} %"
        table = Table(title=title or None, caption=caption, caption_justify="left", show_footer=True)
        table.add_column("class", "macro mean")
        for name, mean in (
            ("precision", scores.macro_precision),
            ("recall", scores.macro_recall),
            ("F1", scores.macro_f1),
        ):
            table.add_column(name, f"{100 * mean:.2f} %", justify="right")
        table.add_column("samples", str(self.n), justify="right")
        for name, *shares, support in zip(
            names, scores.precision, scores.recall, scores.f1, scores.support, strict=True
        ):
            table.add_row(_plain_text(name), *(f"{100 * share:.2f} %" for share in shares), str(support))
        return table

    def __rich__(self) -> Table | str:
        return self.table() if self.n else str(self)

    def __str__(self) -> str:
        if not self.n:
            return "no batch yet"
        return f"loss {self.loss:.4f}, accuracy {100 * self.accuracy:.2f} %, n {self.n}"


def _plain_text(name: str) -> str:
    """A class may be called "[b]": keep rich from reading it as markup."""
    from rich.markup import escape

    return escape(name)


def _ratio(part: Integers, whole: Integers) -> Floats:
    """part / whole, where 0/0 is 0."""
    return part / np.maximum(whole, 1)


def _count_pairs(true: Integers, predicted: Integers, num_classes: int) -> Integers:
    """(N,), (N,) -> (C, C)."""
    pairs = true * num_classes + predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def _ranks(scores: NDArray[Any], true: Integers) -> Integers:
    """(N, C), (N,) -> (N,): how many classes come before the label, by score and, where equal, by number."""
    own = np.take_along_axis(scores, true[:, None], 1)  # (N, 1)
    earlier = np.arange(scores.shape[1], dtype=np.int64) < true[:, None]  # (N, C)
    return np.count_nonzero((scores > own) | ((scores == own) & earlier), axis=1)


def _check_k(caller: str, k: int, num_classes: int) -> None:
    if not 1 <= k <= num_classes:
        raise ArgumentError(f"{caller}: k is {k}; expected 1 to {num_classes}, the number of classes")


def _scores_and_labels(caller: str, logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], Integers]:
    """(N, C) and (N,), checked."""
    scores = np.asarray(logits)
    if scores.ndim != 2 or not scores.size:
        raise ShapeError(f"{caller}: scores have shape {scores.shape}; expected (N, C) with at least one row")
    if scores.dtype.kind not in "fiu":
        raise DtypeError(f"{caller}: scores have dtype {scores.dtype}; expected real numbers")
    true = _class_numbers(caller, "labels", labels, scores.shape[1])
    if len(true) != len(scores):
        raise ShapeError(f"{caller}: {len(true)} labels for scores of shape {scores.shape}; expected one per row")
    broken = np.isnan(scores).any(1)
    if broken.any():
        raise NonFiniteError(f"{caller}: row {int(broken.argmax())} of the scores holds a NaN, which has no rank")
    return scores, true


def _class_numbers(caller: str, what: str, labels: ArrayLike, num_classes: int) -> Integers:
    """(N,), int64, each from 0 to num_classes - 1."""
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size:
        hint = "; for one-hot rows pass their argmax(1)" if array.ndim == 2 else ""
        raise ShapeError(f"{caller}: {what} have shape {array.shape}; expected (N,) with at least one{hint}")
    if array.dtype.kind not in "iu":
        raise DtypeError(f"{caller}: {what} have dtype {array.dtype}; expected whole numbers, the index of each class")
    outside = (array < 0) | (array >= num_classes)
    if outside.any():
        position = int(outside.argmax())
        raise IndexRangeError(
            f"{caller}: {what} hold {array[position]} at position {position}; "
            f"with {num_classes} classes they must lie in 0 to {num_classes - 1}"
        )
    return array.astype(np.int64)
