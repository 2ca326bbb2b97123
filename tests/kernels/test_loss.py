"""The weighted mean over labels, targets as a matrix, and the check of probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_mlp.errors import ArgumentError, IndexRangeError
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.loss import check_unit_interval, label_targets, labelled_mean

DTYPES = [np.float32, np.float64]
LABELS = np.array([0, 2, -100, 1, 2])
WEIGHT = np.array([0.5, 1.0, 2.0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_labelled_mean(dtype):
    losses = np.array([1.0, 2.0, 0.0, 4.0, 8.0], dtype)
    mean, total = np.empty(1, dtype), np.empty(1, dtype)
    launch(labelled_mean, losses, LABELS, WEIGHT.astype(dtype), -100, mean, total)
    assert total[0] == 0.5 + 2 + 1 + 2
    np.testing.assert_allclose(mean[0], 15 / 5.5, rtol=1e-6)
    launch(labelled_mean, losses, np.full(5, -100), WEIGHT.astype(dtype), -100, mean, total)
    assert total[0] == 0 and not np.isfinite(mean[0])


def test_labelled_mean_keeps_float32_digits():
    losses = np.full(1_000_000, 0.1, np.float32)
    mean, total = np.empty(1, np.float32), np.empty(1, np.float32)
    launch(labelled_mean, losses, np.zeros(losses.size, np.int64), np.ones(1, np.float32), -100, mean, total)
    np.testing.assert_allclose(mean[0], np.float32(0.1), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_label_targets(dtype, smoothing):
    out = np.empty((5, 3), dtype)
    launch(label_targets, LABELS, WEIGHT.astype(dtype), -100, smoothing, out)
    expected = ((1 - smoothing) * np.eye(3)[LABELS.clip(0)] + smoothing / 3) * WEIGHT
    expected[2] = 0
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("label", [3, -1, -(2**63), 2**63 - 1])
def test_label_targets_of_a_label_that_is_no_class(label):
    with pytest.raises(IndexRangeError, match=f"label {label} at position 1 is out of range"):
        launch(label_targets, np.array([0, label]), WEIGHT, -100, 0.1, np.empty((2, 3)))


def test_check_unit_interval():
    launch(check_unit_interval, "these", np.array([0.0, 0.5, 1.0]))
    launch(check_unit_interval, "these", np.empty((0, 2)))
    for bad in (-1e-9, 1.1, np.nan, np.inf):
        with pytest.raises(ArgumentError, match=r"these must lie in 0 to 1, got .* at index \(1, 0\)"):
            launch(check_unit_interval, "these", np.array([[0.0], [bad]]))
