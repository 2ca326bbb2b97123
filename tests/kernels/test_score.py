import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.score import add_loss, add_scores

LOGITS = st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 2.0, np.inf, np.nan])  # few, so that there are ties


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(0, 6), st.integers(1, 5)))
def test_scores_are_those_of_numpy(dtype, data, shape):
    logits = data.draw(hnp.arrays(np.float64, shape, elements=LOGITS)).astype(dtype)
    labels = data.draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, 4)))
    loss, loss_sum, counts = np.array([0.3], dtype), np.array([1.25]), np.array([5, 7, 11])
    launch(add_scores, loss, logits, labels, loss_sum, counts)
    right = np.count_nonzero(logits.argmax(1) == labels)
    assert counts.tolist() == [5 + right, 7 + shape[0], 11 + shape[0]]
    assert loss_sum[0] == 1.25 + float(loss[0]) * shape[0]


def test_a_loss_without_labels_counts_its_samples():
    loss_sum, counts = np.zeros(1), np.zeros(3, np.int64)
    for _ in range(2):
        launch(add_loss, np.array([0.1], np.float32), 6, loss_sum, counts)
    assert counts.tolist() == [0, 0, 12]
    assert loss_sum[0] == 2 * (float(np.float32(0.1)) * 6)
