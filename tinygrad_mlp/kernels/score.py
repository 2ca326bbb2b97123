"""Add up over the batches of an epoch how a net has done: the losses, and how many labels it was right about.

With the bits of `train.metrics.Mean`, which does it in Python.
"""

import numpy as np

from tinygrad_mlp.kernels.launch import Array, kernel

__all__ = ["add_loss", "add_scores"]


@kernel(writes=("loss_sum", "counts"), as_python=True)
def add_loss(loss: Array, samples: int, loss_sum: Array, counts: Array) -> None:
    """Add the mean loss (1,) of a batch, times its samples, to loss_sum (1,) float64, and these to counts[2]."""
    loss_sum[0] += np.float64(loss[0]) * samples
    counts[2] += samples


@kernel(writes=("loss_sum", "counts"), as_python=True)
def add_scores(loss: Array, logits: Array, labels: Array, loss_sum: Array, counts: Array) -> None:
    """The same, and how many of the labels (N,) have the largest of their logits (N, C); NaN is the largest of all.

    counts (3,) int64: right ones, labels, samples.
    """
    samples, classes = logits.shape
    loss_sum[0] += np.float64(loss[0]) * samples
    for i in range(samples):
        best, largest = -1, logits.dtype.type(0)
        for c in range(classes):
            value = logits[i, c]
            if best < 0 or value > largest or (value != value and largest == largest):  # noqa: PLR0124  NaN is unlike itself
                best, largest = c, value
        if best == labels[i]:
            counts[0] += 1
    counts[1] += samples
    counts[2] += samples
