"""The metrics against references written out as loops, and their errors."""

import json
import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, NonFiniteError, ShapeError
from tinygrad_mlp.train import metrics


@st.composite
def scored_batches(draw: st.DrawFn, max_rows: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, C) with many ties, in float32 or float64, and labels (N,)."""
    rows, classes = draw(st.integers(1, max_rows)), draw(st.integers(1, 6))
    values = draw(
        st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0]), min_size=rows * classes, max_size=rows * classes)
    )
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return np.array(values, dtype).reshape(rows, classes), np.array(labels, draw(st.sampled_from([np.uint8, np.int64])))


def top_k_by_sorting(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    hits = 0
    for row, label in zip(scores, labels, strict=True):
        order = sorted(range(len(row)), key=lambda index: (-row[index], index))
        hits += int(label) in order[:k]
    return hits / len(labels)


@given(scored_batches())
def test_accuracy_is_the_share_of_rows_whose_argmax_is_the_label(batch):
    scores, labels = batch
    expected = sum(int(np.argmax(row)) == int(label) for row, label in zip(scores, labels, strict=True)) / len(labels)
    assert metrics.accuracy(scores, labels) == expected


@given(scored_batches(), st.data())
def test_top_k_agrees_with_sorting(batch, data):
    scores, labels = batch
    k = data.draw(st.integers(1, scores.shape[1]))
    assert metrics.top_k_accuracy(scores, labels, k) == top_k_by_sorting(scores, labels, k)


def test_top_k_of_all_classes_is_one():
    assert metrics.top_k_accuracy(np.zeros((4, 3)), [0, 1, 2, 2], 3) == 1.0


def test_equal_scores_count_once():
    scores = np.zeros((4, 4))  # a net that says nothing must not look right
    assert metrics.accuracy(scores, [0, 1, 2, 3]) == 0.25


@given(st.integers(1, 6), st.data())
def test_confusion_matrix_agrees_with_counting(classes, data):
    numbers = st.integers(0, classes - 1)
    pairs = data.draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40))
    labels, predictions = (list(column) for column in zip(*pairs, strict=True))
    matrix = metrics.confusion_matrix(labels, predictions, classes)
    assert matrix.dtype == np.int64
    assert matrix.shape == (classes, classes)
    for true in range(classes):
        for predicted in range(classes):
            assert matrix[true, predicted] == pairs.count((true, predicted))


matrices = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 20), min_size=n, max_size=n), min_size=n, max_size=n)
)


def ratio(part: int, whole: int) -> Fraction:
    return Fraction(part, whole) if whole else Fraction(0)


@given(matrices.filter(lambda rows: any(any(row) for row in rows)))
def test_precision_recall_f1_agree_with_fractions(rows):
    scores = metrics.precision_recall_f1(rows)
    classes = range(len(rows))
    precision = [ratio(rows[c][c], sum(rows[r][c] for r in classes)) for c in classes]
    recall = [ratio(rows[c][c], sum(rows[c])) for c in classes]
    f1 = [ratio(2 * p * r, p + r) for p, r in zip(precision, recall, strict=True)]  # the harmonic mean
    np.testing.assert_allclose(scores.precision, np.array(precision, float), rtol=1e-15)
    np.testing.assert_allclose(scores.recall, np.array(recall, float), rtol=1e-15)
    np.testing.assert_allclose(scores.f1, np.array(f1, float), rtol=1e-15)
    assert scores.support.tolist() == [sum(row) for row in rows]
    seen = [c for c in classes if sum(rows[c]) + sum(row[c] for row in rows)]
    assert scores.macro_precision == pytest.approx(float(sum(precision[c] for c in seen) / len(seen)), rel=1e-14)
    assert scores.macro_recall == pytest.approx(float(sum(recall[c] for c in seen) / len(seen)), rel=1e-14)
    assert scores.macro_f1 == pytest.approx(float(sum(f1[c] for c in seen) / len(seen)), rel=1e-14)


def test_zero_over_zero_is_zero_and_absent_classes_do_not_count():
    scores = metrics.precision_recall_f1([[3, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2]])
    assert scores.precision.tolist() == [0.75, 0.0, 0.0, 1.0]  # class 1 is never predicted
    assert scores.recall.tolist() == [1.0, 0.0, 0.0, 1.0]  # class 2 never occurs
    assert scores.macro_recall == pytest.approx(2 / 3)  # over classes 0, 1 and 3


def calibration_by_loops(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    confidences, rights = probabilities.max(1), probabilities.argmax(1) == labels
    total = 0.0
    for low, high in pairwise(np.arange(bins + 1) / bins):
        inside = [i for i, c in enumerate(confidences) if low < c <= high]
        if inside:
            gap = np.mean([rights[i] for i in inside]) - np.mean([confidences[i] for i in inside])
            total += len(inside) / len(labels) * abs(gap)
    return float(total)


@given(st.integers(1, 30), st.integers(2, 5), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_calibration_error_agrees_with_loops(rows, classes, bins, seed):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), rows)
    labels = generator.integers(0, classes, rows)
    error = metrics.expected_calibration_error(probabilities, labels, bins)
    assert error == pytest.approx(calibration_by_loops(probabilities, labels, bins), abs=1e-12)


def test_calibration_error_of_known_nets():
    sure = np.array([[1.0, 0.0]] * 4)
    assert metrics.expected_calibration_error(sure, [0, 0, 0, 0]) == 0.0
    assert metrics.expected_calibration_error(sure, [0, 0, 0, 1]) == 0.25
    assert metrics.expected_calibration_error([[0.75, 0.25]] * 4, [0, 0, 0, 1]) == 0.0
    edges = np.array([[0.6, 0.4], [0.8, 0.2]])  # a confidence on an edge belongs to the interval below it
    assert metrics.expected_calibration_error(edges, [0, 0], 5) == pytest.approx(0.3)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 100)), min_size=1).filter(lambda p: any(w for _, w in p))
)
def test_mean_agrees_with_fractions(pairs):
    split = len(pairs) // 2
    mean, rest = metrics.Mean(), metrics.Mean()
    for value, weight in pairs[:split]:
        mean.update(value, weight)
    for value, weight in pairs[split:]:
        rest.update(value, weight)
    mean.merge(rest)
    total = sum(Fraction(value) * weight for value, weight in pairs)
    expected = total / sum(weight for _, weight in pairs)
    assert mean.value == pytest.approx(float(expected), rel=1e-12, abs=1e-6)


def test_mean_of_nothing_and_bad_weights():
    mean = metrics.Mean()
    mean.update(math.nan, weight=0)  # of no weight, so of no effect
    with pytest.raises(ArgumentError, match="no value yet"):
        _ = mean.value
    for weight in (-1.0, math.nan, math.inf):
        with pytest.raises(ArgumentError, match="weight is"):
            mean.update(1.0, weight)


@given(scored_batches(), st.data())
def test_report_does_not_depend_on_the_batches(batch, data):
    scores, labels = batch
    losses = np.array(
        data.draw(st.lists(st.floats(0, 100, width=32), min_size=len(labels), max_size=len(labels))), np.float32
    )
    classes, rows = scores.shape[1], len(labels)
    k = data.draw(st.integers(1, classes))
    whole = metrics.ClassificationReport(classes, k)
    whole.update(scores, labels, losses)

    cuts = sorted(data.draw(st.sets(st.integers(1, rows), max_size=4)) | {0, rows})
    parts = []
    for start, stop in pairwise(cuts):
        part = metrics.ClassificationReport(classes, k)
        part.update(scores[start:stop], labels[start:stop], losses[start:stop])
        parts.append(part)
    merged = metrics.ClassificationReport(classes, k)
    for part in parts:
        merged.merge(part)

    assert merged.n == whole.n == rows
    np.testing.assert_array_equal(merged.confusion, whole.confusion)
    np.testing.assert_array_equal(whole.confusion, metrics.confusion_matrix(labels, scores.argmax(1), classes))
    assert merged.accuracy == whole.accuracy == metrics.accuracy(scores, labels)
    assert merged.top_k_accuracy == whole.top_k_accuracy == metrics.top_k_accuracy(scores, labels, k)
    assert merged.loss == pytest.approx(whole.loss, rel=1e-14)
    assert whole.loss == pytest.approx(float(sum(map(Fraction, losses.tolist())) / rows), rel=1e-14)
    assert whole.per_class.macro_f1 == metrics.precision_recall_f1(whole.confusion).macro_f1


def small_report() -> metrics.ClassificationReport:
    report = metrics.ClassificationReport(3, k=2)
    report.update([[3.0, 2.0, 1.0], [0.0, 2.0, 1.0], [5.0, 4.0, 3.0]], [0, 1, 2], [0.25, 0.5, 2.25])
    report.update(np.array([[0.0, 1.0, 9.0]], np.float32), [1], 4.0)  # the mean loss of the batch
    return report


def test_report_in_numbers():
    report = small_report()
    assert (report.n, report.loss, report.accuracy, report.top_k_accuracy) == (4, 1.75, 0.5, 0.75)
    assert report.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert str(report) == "loss 1.7500, accuracy 50.00 %, n 4"


def test_a_mean_loss_counts_for_each_row():
    report = metrics.ClassificationReport(2)
    report.update(np.eye(2), [0, 1], 1.0)
    report.update(np.eye(2)[:1], [0], 4.0)
    assert report.loss == 2.0


def test_k_is_at_most_the_number_of_classes():
    assert metrics.ClassificationReport(2).k == 2
    assert metrics.ClassificationReport(10).k == 3


def test_as_dict_survives_json():
    report = small_report()
    restored = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert restored == report.as_dict()
    assert restored["confusion"] == report.confusion.tolist()
    assert restored["per_class"]["recall"] == [1.0, 0.5, 0.0]
    assert restored["k"] == 2


def rendered(thing: object) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(thing)
    return capture.get()


def test_table_names_every_class_and_total():
    text = rendered(small_report().table(["Coat", "[b]Bag", "Shirt"], title="Test · synthetic-fashion"))
    for words in ("Test · synthetic-fashion", "Coat", "[b]Bag", "Shirt", "macro mean", "precision", "recall", "F1"):
        assert words in text
    assert "100.00 %" in text  # recall of Coat
    assert "loss 1.7500, accuracy 50.00 %, n 4, top-2 75.00 %" in text


def test_a_report_prints_itself_as_its_table():
    assert rendered(small_report()) == rendered(small_report().table())
    assert rendered(metrics.ClassificationReport(3)).strip() == "no batch yet"


def test_an_empty_report_has_no_numbers():
    report = metrics.ClassificationReport(3)
    for name in ("loss", "accuracy", "top_k_accuracy", "per_class"):
        with pytest.raises(ArgumentError, match="no batch yet"):
            getattr(report, name)


BAD_INPUTS = [
    (np.zeros(3), [0, 1, 2], ShapeError, r"\(3,\).*expected \(N, C\)"),
    (np.zeros((0, 3)), [], ShapeError, "at least one row"),
    (np.zeros((2, 3)), [0], ShapeError, "1 labels for scores of shape"),
    (np.zeros((2, 3)), np.eye(3)[:2].astype(int), ShapeError, "one-hot"),
    (np.zeros((2, 3)), [0.0, 1.0], DtypeError, "float64"),
    (np.zeros((2, 3)), [True, False], DtypeError, "bool"),
    (np.zeros((2, 3), complex), [0, 1], DtypeError, "complex128"),
    (np.zeros((2, 3)), [0, 3], IndexRangeError, "3 at position 1.*0 to 2"),
    (np.zeros((2, 3)), [-1, 0], IndexRangeError, "-1 at position 0"),
    (np.array([[0.0, 1.0], [np.nan, 0.0]]), [0, 0], NonFiniteError, "row 1"),
]


@pytest.mark.parametrize(("scores", "labels", "error", "words"), BAD_INPUTS)
def test_bad_input_is_refused_everywhere(scores, labels, error, words):
    for call in (metrics.accuracy, metrics.expected_calibration_error, lambda s, y: metrics.top_k_accuracy(s, y, 1)):
        with pytest.raises(error, match=words):
            call(scores, labels)
    report = metrics.ClassificationReport(scores.shape[-1])
    with pytest.raises(error, match=words):
        report.update(scores, labels, 0.0)
    assert report.n == 0


def test_a_report_is_unchanged_by_a_bad_batch():
    report = small_report()
    before = report.as_dict()
    for scores, losses, error, words in (
        (np.zeros((1, 4)), [0.0], ShapeError, r"expected \(N, 3\)"),
        (np.zeros((1, 3)), [0.0, 0.0], ShapeError, "losses has shape"),
        (np.zeros((1, 3)), [[0.0]], ShapeError, "losses has shape"),
        (np.zeros((1, 3)), [np.nan], NonFiniteError, "loss is NaN"),
        (np.zeros((1, 3)), np.inf, NonFiniteError, "loss is NaN or infinite"),
    ):
        with pytest.raises(error, match=words):
            report.update(scores, [0], losses)
    assert report.as_dict() == before


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="k is 4"):
        metrics.top_k_accuracy(np.zeros((1, 3)), [0], 4)
    with pytest.raises(ArgumentError, match="k is 0"):
        metrics.ClassificationReport(3, k=0)
    with pytest.raises(ArgumentError, match="num_classes is 0"):
        metrics.ClassificationReport(0)
    with pytest.raises(ArgumentError, match="num_classes is 0"):
        metrics.confusion_matrix([0], [0], 0)
    with pytest.raises(ShapeError, match="2 labels for 1 predictions"):
        metrics.confusion_matrix([0, 1], [0], 2)
    with pytest.raises(ShapeError, match="labels have shape"):
        metrics.confusion_matrix([], [], 2)
    with pytest.raises(IndexRangeError, match="predictions hold 2"):
        metrics.confusion_matrix([0], [2], 2)
    with pytest.raises(DtypeError, match="labels have dtype float"):
        metrics.confusion_matrix([0.0], [0], 2)
    with pytest.raises(ArgumentError, match="bins is 0"):
        metrics.expected_calibration_error([[0.5, 0.5]], [0], 0)
    with pytest.raises(ArgumentError, match="not logits"):
        metrics.expected_calibration_error([[2.0, -1.0]], [0])
    with pytest.raises(ShapeError, match="2 class names for 3"):
        small_report().table(["a", "b"])
    with pytest.raises(ArgumentError, match="do not fit"):
        small_report().merge(metrics.ClassificationReport(3, k=1))


def test_bad_matrices():
    with pytest.raises(ShapeError, match=r"expected \(C, C\)"):
        metrics.precision_recall_f1(np.zeros((2, 3), int))
    with pytest.raises(DtypeError, match="whole numbers"):
        metrics.precision_recall_f1(np.eye(2))
    for matrix in (np.zeros((2, 2), int), np.array([[1, -1], [0, 1]]), np.zeros((0, 0), int)):
        with pytest.raises(ArgumentError, match="none negative and not all 0"):
            metrics.precision_recall_f1(matrix)
