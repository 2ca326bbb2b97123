"""Optimizer steps, moving average and clipping against their formulas in NumPy; the same bits on any threads."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_mlp.kernels import update
from tinygrad_mlp.kernels.launch import Kernel, launch
from tinygrad_mlp.kernels.status import NOT_FINITE

DTYPES = [np.float32, np.float64]
SIZES = [0, 1, 17, 20_001]  # the last makes several blocks
LR, DECAY, L1 = 0.1, 0.03, 0.02
Arrays = list[np.ndarray]


def numbers(size: int, dtype: Any, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(dtype)


# Each formula takes weight, gradient with its penalties, state, number of earlier steps, and the kernel's own options,
# all float64, and gives the new weight and state.


def sgd(w: Any, g: Any, _state: Arrays, _t: int) -> Arrays:
    return [w - LR * g]


def momentum(w: Any, g: Any, state: Arrays, t: int, mu: float, dampening: float, nesterov: float) -> Arrays:
    v = g if t == 0 else mu * state[0] + (1 - dampening) * g
    return [w - LR * (g + mu * v if nesterov else v), v]


def averaged(w: Any, g: Any, state: Arrays, _t: int, gamma: float) -> Arrays:
    delta = gamma * state[0] + (1 - gamma) * LR * g
    return [w - delta, delta]


def adam(w: Any, g: Any, state: Arrays, t: int, b1: float, b2: float, eps: float, shrink: float) -> Arrays:
    m, v = b1 * state[0] + (1 - b1) * g, b2 * state[1] + (1 - b2) * g * g
    step = (m / (1 - b1 ** (t + 1))) / (np.sqrt(v / (1 - b2 ** (t + 1))) + eps)
    return [w - LR * shrink * w - LR * step, m, v]


def rmsprop(w: Any, g: Any, state: Arrays, _t: int, alpha: float, eps: float, mu: float, centered: float) -> Arrays:
    square, mean, velocity = state
    square = alpha * square + (1 - alpha) * g * g
    if centered:
        mean = alpha * mean + (1 - alpha) * g
    change = g / (np.sqrt(np.maximum(square - mean * mean if centered else square, 0)) + eps)
    if mu:
        velocity = change = mu * velocity + change
    return [w - LR * change, square, mean, velocity]


def adagrad(w: Any, g: Any, state: Arrays, t: int, lr_decay: float, eps: float, initial: float) -> Arrays:
    total = (initial if t == 0 else state[0]) + g * g
    return [w - LR / (1 + t * lr_decay) * g / (np.sqrt(total) + eps), total]


def adadelta(w: Any, g: Any, state: Arrays, _t: int, rho: float, eps: float) -> Arrays:
    square = rho * state[0] + (1 - rho) * g * g
    change = np.sqrt(state[1] + eps) / np.sqrt(square + eps) * g
    return [w - LR * change, square, rho * state[1] + (1 - rho) * change * change]


STEPS: list[tuple[Kernel, Callable[..., Arrays], int, tuple[float, ...]]] = [
    (update.sgd_step, sgd, 0, ()),
    (update.sgd_momentum_step, momentum, 1, (0.9, 0.0, 0.0)),
    (update.sgd_momentum_step, momentum, 1, (0.9, 0.3, 0.0)),
    (update.sgd_momentum_step, momentum, 1, (0.9, 0.0, 1.0)),
    (update.sgd_averaged_step, averaged, 1, (0.9,)),
    (update.adam_step, adam, 2, (0.9, 0.99, 1e-3, 0.0)),
    (update.adam_step, adam, 2, (0.8, 0.9, 1e-3, 0.5)),
    (update.rmsprop_step, rmsprop, 3, (0.9, 1e-3, 0.0, 0.0)),
    (update.rmsprop_step, rmsprop, 3, (0.9, 1e-3, 0.5, 0.0)),
    (update.rmsprop_step, rmsprop, 3, (0.9, 1e-1, 0.5, 1.0)),
    (update.adagrad_step, adagrad, 1, (0.1, 1e-3, 0.25)),
    (update.adadelta_step, adadelta, 2, (0.9, 1e-3)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "formula", "states", "own"), STEPS)
def test_three_steps_follow_the_formula(
    kernel: Kernel, formula: Callable[..., Arrays], states: int, own: tuple[float, ...], dtype: Any
) -> None:
    for size in SIZES:
        arrays = [numbers(size, dtype, 0), *(np.zeros(size, dtype) for _ in range(states))]
        expected = [array.astype(np.float64) for array in arrays]
        options, steps = np.array([LR, DECAY, L1, *own]), np.zeros(3, np.int64)
        for t in range(3):
            grad = numbers(size, dtype, t + 1)
            w = expected[0]
            penalised = grad + DECAY * w + L1 * np.sign(w)
            expected = formula(w, penalised, expected[1:], t, *own)
            launch(kernel, arrays[0], grad, *arrays[1:], options, steps)
        # In float32, three steps of a few roundings each; centred RMSprop loses a digit by cancellation.
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        for actual, wanted in zip(arrays, expected, strict=True):
            assert actual.dtype == dtype
            np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance)
        assert steps.tolist() == [3, 3, 3]


@pytest.mark.parametrize(("kernel", "formula", "states", "own"), STEPS)
def test_nothing_is_written_while_the_status_word_is_set(
    kernel: Kernel, formula: Callable[..., Arrays], states: int, own: tuple[float, ...]
) -> None:
    arrays = [numbers(5, np.float32, seed) for seed in range(2 + states)]
    steps = np.full(2, 4)
    before = [array.copy() for array in arrays]
    status = np.array([NOT_FINITE, 0, 0, 0])
    kernel.serial()(*arrays, np.array([LR, DECAY, L1, *own]), steps, status)
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)
    assert steps.tolist() == [4, 4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_l1_pulls_by_the_sign_and_leaves_zeros_alone(dtype: Any) -> None:
    weight = np.array([2.0, -2.0, 0.0, -0.0], dtype)
    launch(update.sgd_step, weight, np.zeros(4, dtype), np.array([1.0, 0.0, 0.5]), np.zeros(1, np.int64))
    np.testing.assert_array_equal(weight, np.array([1.5, -1.5, 0.0, 0.0], dtype))


def test_centred_variance_rounded_below_zero_makes_no_nan() -> None:
    grad = np.linspace(0.01, 1, 1000, dtype=np.float32)  # constant in time, so that its variance tends to 0
    weight, *state = (np.zeros(1000, np.float32) for _ in range(4))
    for _ in range(50):
        launch(update.rmsprop_step, weight, grad, *state, np.array([LR, 0, 0, 0.5, 1e-3, 0, 1]), np.zeros(1, np.int64))
    assert np.isfinite(weight).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_average_step_ramps_its_decay_up(dtype: Any) -> None:
    average, weight = numbers(100, dtype, 0), numbers(100, dtype, 1)
    for updates, decay in ((1, 2 / 11), (8, 0.5), (10**9, 0.999)):
        expected = decay * average.astype(np.float64) + (1 - decay) * weight
        launch(update.average_step, average, weight, np.array([updates]), 0.999)
        np.testing.assert_allclose(average, expected, atol=1e-6 if dtype == np.float32 else 1e-14)
        assert average.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, 256, 257, 100_000])
def test_norms_add_up_over_calls(dtype: Any, size: int) -> None:
    values, total, size_of_all = numbers(size, dtype, 3), np.array([2.5]), np.array([0.5])
    launch(update.square_sum, values, total)
    launch(update.largest, values, size_of_all)
    wide = values.astype(np.float64)
    np.testing.assert_allclose(total, 2.5 + np.dot(wide, wide), rtol=1e-13)
    assert size_of_all[0] == np.abs(wide).max(initial=0.5)


def test_squares_of_large_float32_do_not_overflow() -> None:
    total = np.zeros(1)
    launch(update.square_sum, np.full(10, 1e30, np.float32), total)
    np.testing.assert_allclose(total, 1e61, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5, 9])
def test_norms_of_values_with_nan_or_infinity(bad: float, place: int) -> None:
    values = numbers(10, np.float32, 0)
    values[place] = bad
    for kernel in (update.square_sum, update.largest):
        total = np.zeros(1)
        launch(kernel, values, total)
        np.testing.assert_array_equal(total, [np.abs(bad)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", [0.0, 0.1, 2.0, math.inf, math.nan])
def test_finish_norm(norm: float, dtype: Any) -> None:
    for is_square, expected in ((False, norm), (True, math.sqrt(norm))):
        total, result = np.array([norm]), np.empty(1, dtype)
        launch(update.finish_norm, total, is_square, result)
        np.testing.assert_array_equal(total, [expected])
        np.testing.assert_array_equal(result, np.array([expected], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("norm", "max_norm"), [(10.0, 1.0), (1.0, 1.0), (0.5, 1.0), (0.0, 0.0), (3.0, 0.0)])
def test_clip_scale(dtype: Any, norm: float, max_norm: float) -> None:
    values = numbers(20, dtype, 0)
    expected = values * dtype(min(1.0, max_norm / (norm + 1e-6)))
    launch(update.clip_scale, values, np.array([norm]), max_norm)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("norm", [np.nan, np.inf])
def test_clip_scale_leaves_values_alone_when_the_norm_is_not_finite(norm: float) -> None:
    values = numbers(20, np.float32, 0)
    launch(update.clip_scale, values, np.array([norm]), 1.0)
    np.testing.assert_array_equal(values, numbers(20, np.float32, 0))


def digest() -> str:
    """Hash of what each step makes of a run large enough for several threads, the last block of which is short."""
    found = hashlib.sha256()
    for kernel, _, states, own in STEPS:
        arrays = [numbers(300_007, np.float32, 0), *(np.zeros(300_007, np.float32) for _ in range(states))]
        options, steps = np.array([LR, DECAY, L1, *own]), np.zeros(2, np.int64)
        for t in range(2):
            launch(kernel, arrays[0], numbers(300_007, np.float32, t + 1), *arrays[1:], options, steps, work=300_007)
        for array in (*arrays, steps):
            found.update(array.tobytes())
    return found.hexdigest()


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_update as tests\n"
        "from tinygrad_mlp.kernels.threads import set_num_threads\n"
        "for threads in (1, 2, 4):\n"
        "    set_num_threads(threads)\n"
        "    print(tests.digest())"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "4"}
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [digest()] * 3
