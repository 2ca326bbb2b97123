"""Softmax and its kin over the rows of (rows, classes) arrays, and the losses built on them.

A row's maximum is taken off before the exponentials, so that none overflows. Exponentials run over the whole array at
once: a row of ten classes is too short for vector code. Infinities and NaN: as in PyTorch (a row that holds NaN or
+inf, or nothing but -inf, has NaN for its softmax). Arrays are C-contiguous, float32 or float64, labels int64, and no
output is also an input.
"""

import math

import numpy as np

from tinygrad_mlp.kernels import approx
from tinygrad_mlp.kernels.launch import BAD_LABEL, Array, device, kernel, select
from tinygrad_mlp.kernels.sums import pairwise_dot, pairwise_sum

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


@device
def _maximum(row: Array) -> float:
    """Greatest entry, NaN left out (it comes back in the exponentials); -inf for an empty row."""
    largest = row.dtype.type(-math.inf)
    for j in range(row.size):
        largest = select(row[j] > largest, row[j], largest)
    return largest


@device
def _exponentials(x: Array, out: Array) -> None:
    """out = exp(x - row maximum)."""
    for i in range(x.shape[0]):
        row, shifted = x[i], out[i]
        largest = _maximum(row)
        for j in range(row.size):
            shifted[j] = row[j] - largest
    flat = out.reshape(-1)
    for j in range(flat.size):
        flat[j] = approx.exp(flat[j])


@kernel(writes=("out",))
def softmax(x: Array, out: Array) -> None:
    """exp(x) / (its sum over the row)."""
    _exponentials(x, out)
    for i in range(x.shape[0]):
        row = out[i]
        total = pairwise_sum(row)
        for j in range(row.size):
            row[j] /= total


@kernel(writes=("out",))
def softmax_backward(grad: Array, y: Array, out: Array) -> None:
    """Y * (grad - sum of grad * y over the row), y the softmax."""
    for i in range(y.shape[0]):
        g, p, target = grad[i], y[i], out[i]
        mean = pairwise_dot(g, p)
        for j in range(p.size):
            target[j] = p[j] * (g[j] - mean)


@kernel(writes=("out",))
def log_softmax(x: Array, out: Array) -> None:
    """X - log(sum of exp(x) over the row)."""
    _exponentials(x, out)
    for i in range(x.shape[0]):
        row, target = x[i], out[i]
        largest = _maximum(row)
        log_total = approx.log(pairwise_sum(target))
        for j in range(row.size):
            target[j] = (row[j] - largest) - log_total


@kernel(writes=("out",))
def log_softmax_backward(grad: Array, y: Array, out: Array) -> None:
    """Grad - exp(y) * (sum of grad over the row), y the log-softmax."""
    probabilities, logs = out.reshape(-1), y.reshape(-1)
    for j in range(logs.size):
        probabilities[j] = approx.exp(logs[j])
    for i in range(y.shape[0]):
        g, target = grad[i], out[i]
        total = pairwise_sum(g)
        for j in range(g.size):
            target[j] = g[j] - target[j] * total


@kernel(writes=("out",))
def logsumexp(x: Array, out: Array) -> None:
    """log(sum of exp(x) over the row), (rows, classes) -> (rows,); +inf or -inf where the row's maximum is."""
    zero, infinity = x.dtype.type(0), x.dtype.type(math.inf)
    scratch = x.copy()
    for i in range(x.shape[0]):
        row = scratch[i]
        largest = _maximum(row)
        shift = select(abs(largest) < infinity, largest, zero)  # inf - inf would be NaN
        for j in range(row.size):
            row[j] -= shift
        out[i] = shift
    flat = scratch.reshape(-1)
    for j in range(flat.size):
        flat[j] = approx.exp(flat[j])
    for i in range(x.shape[0]):
        out[i] += approx.log(pairwise_sum(scratch[i]))


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
    samples, classes = logits.shape
    if not _labels_are_good(labels, classes, ignore_index, status):
        return
    kind = logits.dtype.type
    hard, spread = kind(1 - label_smoothing), kind(label_smoothing / max(classes, 1))
    terms = np.empty(classes, logits.dtype)
    _exponentials(logits, probabilities)
    for i in range(samples):
        row, p = logits[i], probabilities[i]
        total = pairwise_sum(p)
        for j in range(classes):
            p[j] /= total
        label = labels[i]
        if label == ignore_index:
            losses[i] = kind(0)
            continue
        largest, log_total = _maximum(row), approx.log(total)
        loss = hard * weight[label] * (log_total - (row[label] - largest))
        if spread > kind(0):  # not 0 * inf where a logit is -inf
            for j in range(classes):
                terms[j] = weight[j] * (log_total - (row[j] - largest))
            loss += spread * pairwise_sum(terms)
        losses[i] = loss


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
