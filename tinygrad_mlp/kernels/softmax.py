"""Softmax and its kin over the rows of (rows, classes) arrays, and the losses built on them.

A row's maximum is taken off before the exponentials, so that none overflows. Exponentials run over many rows as one: a
row of ten classes is too short for vector code. Infinities and NaN: as in PyTorch (a row that holds NaN or
+inf, or nothing but -inf, has NaN for its softmax). Arrays are C-contiguous, float32 or float64, labels int64, and no
output is also an input.
"""

import math

import numpy as np

from tinygrad_mlp.kernels import approx
from tinygrad_mlp.kernels.launch import Array, device, kernel, select
from tinygrad_mlp.kernels.status import BAD_LABEL
from tinygrad_mlp.kernels.sums import pairwise_sum, stretch, stretch_dot, stretch_sum

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "nll_loss",
    "nll_loss_backward",
    "softmax",
    "softmax_backward",
]


_BLOCK = 4096  # elements, or one row if that is longer, which the cache holds between the passes over it


@device
def _blocks(x: Array) -> int:
    """How many blocks the rows of x make."""
    height = max(_BLOCK // max(x.shape[1], 1), 1)
    return (x.shape[0] + height - 1) // height


@device
def _rows(x: Array, block: int) -> tuple[int, int]:
    """First row of a block, and the one behind its last."""
    height = max(_BLOCK // max(x.shape[1], 1), 1)
    return block * height, min((block + 1) * height, x.shape[0])


@device
def _greater(x: float, y: float) -> float:
    """The greater of two; y where x is NaN."""
    return select(x > y, x, y)


@device
def _maximum(x: Array, start: int, size: int) -> float:
    """Greatest number of a stretch, NaN left out (it comes back in the exponentials); -inf for an empty one."""
    first = x.dtype.type(-math.inf)  # in four chains: in one, each comparison would wait for the one before
    second, third, fourth = first, first, first
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    for j in range(np.uint64(start), np.uint64(start + size // 4 * 4), np.uint64(4)):
        first = _greater(x[j], first)
        second = _greater(x[j + one], second)
        third = _greater(x[j + two], third)
        fourth = _greater(x[j + three], fourth)
    for j in range(np.uint64(start + size // 4 * 4), np.uint64(start + size)):
        first = _greater(x[j], first)
    return _greater(_greater(first, second), _greater(third, fourth))


@device
def _shift(x: Array, rows: tuple[int, int], classes: int, out: Array) -> None:
    """out = x - row maximum, in some rows; x and out (rows * classes,)."""
    for i in range(rows[0], rows[1]):
        largest = _maximum(x, i * classes, classes)
        for j in range(*stretch(i * classes, classes)):
            out[j] = x[j] - largest


@device
def _exponentiate(rows: tuple[int, int], classes: int, out: Array) -> None:
    """out = exp(out), in some rows: all of their elements as one run."""
    for j in range(*stretch(rows[0] * classes, (rows[1] - rows[0]) * classes)):
        out[j] = approx.exp(out[j])


@kernel(writes=("out",))
def softmax(x: Array, out: Array) -> None:
    """exp(x) / (its sum over the row)."""
    logits, p, classes = x.reshape(-1), out.reshape(-1), x.shape[1]
    for block in range(_blocks(x)):
        rows = _rows(x, block)
        _shift(logits, rows, classes, p)
        _exponentiate(rows, classes, p)
        for i in range(rows[0], rows[1]):
            _divide(p, i * classes, classes, stretch_sum(p, i * classes, classes))


@device
def _divide(x: Array, start: int, size: int, divisor: float) -> None:
    """Divide a stretch by a number, which is at least 1 (or NaN): so its inverse is accurate."""
    inverse = x.dtype.type(1) / divisor
    for j in range(*stretch(start, size)):
        x[j] *= inverse


@kernel(writes=("out",))
def softmax_backward(grad: Array, y: Array, out: Array) -> None:
    """Y * (grad - sum of grad * y over the row), y the softmax."""
    g, p, result, classes = grad.reshape(-1), y.reshape(-1), out.reshape(-1), y.shape[1]
    for block in range(_blocks(y)):
        first, stop = _rows(y, block)
        for i in range(first, stop):
            mean = stretch_dot(g, p, i * classes, classes)
            for j in range(*stretch(i * classes, classes)):
                result[j] = p[j] * (g[j] - mean)


@kernel(writes=("out",))
def log_softmax(x: Array, out: Array) -> None:
    """X - log(sum of exp(x) over the row)."""
    logits, result, classes = x.reshape(-1), out.reshape(-1), x.shape[1]
    for block in range(_blocks(x)):
        rows = _rows(x, block)
        _shift(logits, rows, classes, result)
        _exponentiate(rows, classes, result)
        for i in range(rows[0], rows[1]):
            largest = _maximum(logits, i * classes, classes)
            log_total = approx.log(stretch_sum(result, i * classes, classes))
            for j in range(*stretch(i * classes, classes)):
                result[j] = (logits[j] - largest) - log_total


@kernel(writes=("out",))
def log_softmax_backward(grad: Array, y: Array, out: Array) -> None:
    """Grad - exp(y) * (sum of grad over the row), y the log-softmax."""
    g, logs, result, classes = grad.reshape(-1), y.reshape(-1), out.reshape(-1), y.shape[1]
    for block in range(_blocks(y)):
        first, stop = _rows(y, block)
        for j in range(*stretch(first * classes, (stop - first) * classes)):
            result[j] = approx.exp(logs[j])
        for i in range(first, stop):
            total = stretch_sum(g, i * classes, classes)
            for j in range(*stretch(i * classes, classes)):
                result[j] = g[j] - result[j] * total


@kernel(writes=("out",))
def logsumexp(x: Array, out: Array) -> None:
    """log(sum of exp(x) over the row), (rows, classes) -> (rows,); +inf or -inf where the row's maximum is."""
    zero, infinity = x.dtype.type(0), x.dtype.type(math.inf)
    classes, scratch = x.shape[1], x.copy().reshape(-1)
    for i in range(x.shape[0]):
        largest = _maximum(scratch, i * classes, classes)
        shift = select(abs(largest) < infinity, largest, zero)  # inf - inf would be NaN
        for j in range(*stretch(i * classes, classes)):
            scratch[j] -= shift
        out[i] = shift
    _exponentiate((0, x.shape[0]), classes, scratch)
    for i in range(x.shape[0]):
        out[i] += approx.log(stretch_sum(scratch, i * classes, classes))


@device
def _labels_are_good(labels: Array, classes: int, ignore_index: int, status: Array) -> bool:
    """Whether each label is a class or `ignore_index`; the first that is not goes into `status`."""
    for i in range(labels.size):
        label = labels[i]
        if label != ignore_index and not 0 <= label < classes:
            if status[0] == 0:
                status[0], status[1], status[2], status[3] = BAD_LABEL, i, label, classes
            return False
    return True


@kernel(writes=("losses", "probabilities"))
def cross_entropy(
    logits: Array,
    labels: Array,
    weight: Array,
    ignore_index: int,
    label_smoothing: float,
    losses: Array,
    probabilities: Array,
    status: Array,
) -> None:
    """Cross-entropy of each sample with its class, and the softmax, which the derivative needs.

    With e = label_smoothing, C classes, y a sample's label and w the class weights, as in PyTorch:
    loss = (1 - e) w[y] (-log p[y]) + e/C sum_c w[c] (-log p[c]), and 0 where y is `ignore_index`.
    logits (N, C), labels (N,), weight (C,) -> losses (N,), probabilities (N, C). A label that is neither a class nor
    `ignore_index` sets `status`, and nothing is written.
    """
    classes = logits.shape[1]
    if not _labels_are_good(labels, classes, ignore_index, status):
        return
    kind = logits.dtype.type
    hard, spread = kind(1 - label_smoothing), kind(label_smoothing / max(classes, 1))
    x, p = logits.reshape(-1), probabilities.reshape(-1)
    for block in range(_blocks(logits)):
        rows = _rows(logits, block)
        log_totals = np.empty(rows[1] - rows[0], logits.dtype)
        _shift(x, rows, classes, p)
        for i in range(rows[0], rows[1]):
            label = labels[i]
            losses[i] = kind(0) if label == ignore_index else p[i * classes + label]
        _exponentiate(rows, classes, p)
        for i in range(rows[0], rows[1]):
            total = stretch_sum(p, i * classes, classes)
            log_totals[i - rows[0]] = total
            _divide(p, i * classes, classes, total)
        for k in range(log_totals.size):
            log_totals[k] = approx.log(log_totals[k])
        for i in range(rows[0], rows[1]):
            label, log_total = labels[i], log_totals[i - rows[0]]
            if label != ignore_index:
                losses[i] = hard * weight[label] * (log_total - losses[i])
                if spread > kind(0):  # not 0 * inf where a logit is -inf
                    losses[i] += spread * _spread_loss(x, weight, i * classes, log_total)


@device
def _spread_loss(x: Array, weight: Array, start: int, log_total: float) -> float:
    """sum_c w[c] (-log p[c]) of the row of logits that begins at `start`."""
    largest, terms = _maximum(x, start, weight.size), np.empty(weight.size, x.dtype)
    for j in range(weight.size):
        terms[j] = weight[j] * (log_total - (x[start + j] - largest))
    return pairwise_sum(terms)


@kernel(writes=("out",))
def cross_entropy_backward(
    grad: Array,
    probabilities: Array,
    labels: Array,
    weight: Array,
    ignore_index: int,
    label_smoothing: float,
    out: Array,
    status: Array,
) -> None:
    """Derivative of `cross_entropy` by the logits.

    grad[i] * ((1 - e) w[y] (p[j] - [j = y]) + e/C (p[j] sum_c w[c] - w[j])), 0 in ignored rows.
    grad (N,), probabilities (N, C), labels (N,), weight (C,) -> out (N, C). Labels are checked again: the array may
    have been changed since `cross_entropy`. A bad one sets `status`, and nothing is written.
    """
    samples, classes = probabilities.shape
    if not _labels_are_good(labels, classes, ignore_index, status):
        return
    kind = out.dtype.type
    hard, spread = kind(1 - label_smoothing), kind(label_smoothing / max(classes, 1))
    weight_total = pairwise_sum(weight)
    for i in range(samples):
        p, target = probabilities[i], out[i]
        label = labels[i]
        if label == ignore_index:
            for j in range(classes):
                target[j] = kind(0)
            continue
        on_label = hard * weight[label]
        on_softmax = grad[i] * (on_label + spread * weight_total)
        for j in range(classes):
            target[j] = on_softmax * p[j] - grad[i] * spread * weight[j]
        target[label] -= grad[i] * on_label


@kernel(writes=("losses",))
def nll_loss(
    log_probabilities: Array, labels: Array, weight: Array, ignore_index: int, losses: Array, status: Array
) -> None:
    """-weight[y] * log_probabilities[i, y] with y = labels[i], 0 where y is `ignore_index`.

    log_probabilities (N, C), labels (N,), weight (C,) -> losses (N,). A bad label sets `status`, nothing is written.
    """
    if not _labels_are_good(labels, weight.size, ignore_index, status):
        return
    for i in range(labels.size):
        label = labels[i]
        if label == ignore_index:
            losses[i] = losses.dtype.type(0)
        else:
            losses[i] = -weight[label] * log_probabilities[i, label]


@kernel(writes=("out",))
def nll_loss_backward(grad: Array, labels: Array, weight: Array, ignore_index: int, out: Array, status: Array) -> None:
    """-grad[i] * weight[y] at (i, y), 0 elsewhere: grad (N,), labels (N,), weight (C,) -> out (N, C).

    A bad label, put there since `nll_loss`, sets `status`, and nothing is written.
    """
    if not _labels_are_good(labels, weight.size, ignore_index, status):
        return
    flat = out.reshape(-1)
    for j in range(flat.size):
        flat[j] = out.dtype.type(0)
    for i in range(labels.size):
        label = labels[i]
        if label != ignore_index:
            out[i, label] = -grad[i] * weight[label]
