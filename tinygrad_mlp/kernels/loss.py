"""What the losses need beside `softmax.py`: the weighted mean, targets as a matrix, and a check of probabilities."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.launch import Array, kernel
from tinygrad_mlp.kernels.status import BAD_LABEL
from tinygrad_mlp.kernels.sums import pairwise_sum

__all__ = ["check_unit_interval", "label_targets", "labelled_mean", "share_of_mean"]


@kernel(writes=("mean", "total"))
def labelled_mean(losses: Array, labels: Array, weight: Array, ignore_index: int, mean: Array, total: Array) -> None:
    """Sum of the losses over the sum of their labels' weights, ignored samples left out; 0/0 is NaN.

    losses (N,), labels (N,) int64, weight (C,) -> mean (1,), and the divisor in total (1,).
    """
    weights = np.empty(labels.size, losses.dtype)
    for i in range(labels.size):
        label = labels[i]
        if label != ignore_index and 0 <= label < weight.size:
            weights[i] = weight[label]
        else:
            weights[i] = losses.dtype.type(0)
    total[0] = pairwise_sum(weights)
    mean[0] = pairwise_sum(losses) / total[0]


@kernel(writes=("out",))
def share_of_mean(grad: Array, total: Array, out: Array) -> None:
    """Derivative of `labelled_mean` by each loss: grad (1,) over the divisor (1,), in all of out (N,)."""
    share = grad[0] / total[0]
    for i in range(out.size):
        out[i] = share


@kernel(writes=("out",))
def label_targets(
    labels: Array, weight: Array, ignore_index: int, label_smoothing: float, out: Array, status: Array
) -> None:
    """Targets t for which the loss of sample i is -sum_c t[i, c] log p[i, c] (see `softmax.cross_entropy`).

    t[i, c] = w[c] ((1 - e) [c = labels[i]] + e/C), and 0 in ignored rows: labels (N,) int64, weight (C,) -> out (N, C).
    A label that is neither a class nor `ignore_index` sets `status`.
    """
    samples, classes = out.shape
    kind = out.dtype.type
    hard, spread = kind(1 - label_smoothing), kind(label_smoothing / max(classes, 1))
    for i in range(samples):
        label = labels[i]
        if label == ignore_index:
            for c in range(classes):
                out[i, c] = kind(0)
            continue
        if label < 0 or label >= classes:
            status[0], status[1], status[2], status[3] = BAD_LABEL, i, label, classes
            return
        for c in range(classes):
            out[i, c] = spread * weight[c]
        out[i, label] += hard * weight[label]


@kernel(writes=(), compiled=False)
def check_unit_interval(name: str, values: Array) -> None:
    """Raise `ArgumentError` naming the first value (or NaN) outside 0 to 1; `name` says whose values they are."""
    inside = (values >= 0) & (values <= 1)
    if not inside.all():
        index = tuple(int(i) for i in np.argwhere(~inside)[0])
        raise ArgumentError(f"{name} must lie in 0 to 1, got {values[index]} at index {index}")
