"""Every optimizer and every schedule against the trajectories that PyTorch gave (`make_reference.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.optim import problem
from tinygrad_mlp import optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.nn import Parameter

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


def trajectory(case: problem.Case, dtype: Any) -> np.ndarray:
    """As in `make_reference.py`."""
    parameters = [Parameter(value) for value in problem.start(dtype)]
    optimizer = case(optim, parameters)
    rows: list[np.ndarray] = []
    for step in range(problem.STEPS):
        if step == problem.HALF_RATE_AT:
            optimizer.param_groups[0]["lr"] *= 0.5
        values = [parameter.detach().array for parameter in parameters]
        for position, (parameter, gradient) in enumerate(zip(parameters, problem.gradients(values), strict=True)):
            parameter.grad = Tensor(np.asarray(gradient)) if problem.has_gradient(position, step) else None
        optimizer.step()
        rows.append(np.concatenate([parameter.array.ravel() for parameter in parameters]))
    return np.stack(rows)


@pytest.mark.parametrize("name", problem.OPTIMIZERS)
def test_float64_follows_pytorch_in_each_of_100_steps(name: str) -> None:
    expected = REFERENCE[f"optimizer/{name}/float64"]
    assert np.ptp(expected, axis=0).min() > 1e-3  # something moves
    np.testing.assert_allclose(trajectory(problem.OPTIMIZERS[name], np.float64), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", problem.OPTIMIZERS)
def test_float32_follows_pytorch(name: str) -> None:
    """Within 100 roundings of numbers of size 1: 100 · 2⁻²⁴ = 6e-6."""
    actual = trajectory(problem.OPTIMIZERS[name], np.float32)
    assert actual.dtype == np.float32
    expected = REFERENCE[f"optimizer/{name}/float32"]
    np.testing.assert_allclose(actual[problem.EVERY - 1 :: problem.EVERY], expected, rtol=6e-6, atol=6e-6)


def two_groups(kind: Any = optim.SGD, **options: Any) -> optim.Optimizer:
    groups = [{"params": [Parameter(np.zeros(1))], "lr": rate} for rate in problem.GROUP_RATES]
    return kind(groups, **options)


def rates(optimizer: optim.Optimizer, schedule: Any, *, metric: bool = False) -> np.ndarray:
    """As in `make_reference.py`."""
    rows: list[list[float]] = []
    for step in range(problem.STEPS + 1):
        first = optimizer.param_groups[0]
        momentum = first["betas"][0] if "betas" in first else first["momentum"]
        rows.append([*(group["lr"] for group in optimizer.param_groups), momentum])
        assert schedule.get_last_lr() == rows[-1][:-1]
        if step < problem.STEPS:
            schedule.step(*([problem.metric(step)] if metric else []))
    assert schedule.last_epoch == problem.STEPS
    return np.array(rows)


@pytest.mark.parametrize("name", problem.SCHEDULES)
def test_schedule_gives_the_rates_of_pytorch(name: str) -> None:
    optimizer = two_groups(momentum=0.9)
    actual = rates(optimizer, problem.SCHEDULES[name](optim, optimizer))
    np.testing.assert_allclose(actual, REFERENCE[f"schedule/{name}"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", problem.PLATEAUS)
def test_plateau_gives_the_rates_of_pytorch(name: str) -> None:
    optimizer = two_groups(momentum=0.9)
    expected = REFERENCE[f"plateau/{name}"]
    assert len(np.unique(expected[:, 0])) >= 4  # it reduces a few times
    actual = rates(optimizer, problem.PLATEAUS[name](optim, optimizer), metric=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_one_cycle_moves_the_first_of_adams_betas() -> None:
    optimizer = two_groups(optim.Adam)
    actual = rates(optimizer, problem.SCHEDULES["one_cycle"](optim, optimizer))
    np.testing.assert_allclose(actual, REFERENCE["schedule_adam/one_cycle"], rtol=1e-10, atol=1e-12)
    assert optimizer.param_groups[0]["betas"][1] == 0.999
