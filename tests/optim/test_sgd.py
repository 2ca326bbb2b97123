"""Averaged momentum, and the loop written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.optim import problem
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.nn import Parameter


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_averaged_momentum_against_a_loop_in_numpy(dtype: Any) -> None:
    """Δ ← γΔ + (1 − γ)·α·g, also in the first step, with λ·w and λ·sign(w) on the matrix."""
    gamma, alpha, l1, l2 = 0.9, 0.5, 0.003, 0.01
    values = problem.start(dtype)
    parameters = [Parameter(value.copy()) for value in values]
    optimizer = optim.SGD(parameters, lr=alpha, momentum=gamma, averaged=True, l1=l1, l2=l2)
    wide = [value.astype(np.float64) for value in values]
    deltas = [np.zeros_like(value) for value in wide]
    for _ in range(problem.STEPS):
        for position, gradient in enumerate(problem.gradients(wide)):
            w = wide[position]
            penalised = gradient + (l2 * w + l1 * np.sign(w) if w.ndim >= 2 else 0)
            deltas[position] = gamma * deltas[position] + (1 - gamma) * alpha * penalised
            wide[position] = w - deltas[position]
        gradients = problem.gradients([parameter.detach().array for parameter in parameters])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = Tensor(np.asarray(gradient))
        optimizer.step()
    tolerance = 6e-6 if dtype == np.float32 else 1e-12  # 100 roundings of numbers of size 1
    for parameter, expected, begin in zip(parameters, wide, values, strict=True):
        assert np.abs(expected - begin).max() > 0.01
        np.testing.assert_allclose(parameter.detach(), expected, rtol=tolerance, atol=tolerance)


def test_averaged_first_step_is_short_where_pytorchs_is_not() -> None:
    steps: list[float] = []
    for averaged in (False, True):
        w = Parameter(np.zeros(1))
        w.grad = Tensor(np.ones(1))
        optim.SGD([w], lr=1.0, momentum=0.75, averaged=averaged).step()
        steps.append(w.item())
    assert steps == [-1.0, -0.25]


def classes(n: int = 200) -> tuple[Tensor, Tensor]:
    """Points in the plane, and whether they lie outside a circle."""
    points = np.random.default_rng(5).normal(size=(n, 2)).astype(np.float32)
    return Tensor(points), Tensor((np.square(points).sum(axis=1) > 1.3).astype(np.int64))


def net() -> nn.Module:
    tg.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))


def test_the_loop_written_by_hand_trains_and_is_what_sgd_does() -> None:
    x, y = classes()
    by_hand, by_sgd = net(), net()
    optimizer = optim.SGD(by_sgd.parameters(), lr=0.5)
    losses: list[float] = []
    for _ in range(150):
        loss = nn.functional.cross_entropy(by_hand(x), y)
        losses.append(loss.item())
        loss.backward()
        with tg.no_grad():
            for p in by_hand.parameters():
                p -= 0.5 * p.grad
                p.grad = None
        optimizer.zero_grad()
        nn.functional.cross_entropy(by_sgd(x), y).backward()
        optimizer.step()
    assert losses[0] > 0.6
    assert losses[-1] < 0.2
    for p, q in zip(by_hand.parameters(), by_sgd.parameters(), strict=True):
        np.testing.assert_allclose(p.detach(), q.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {"lr": 0.2, "momentum": 0.9}),
        ("sgd", {"lr": 2.0, "momentum": 0.9, "averaged": True}),
        ("adam", {"lr": 0.05}),
        ("adamw", {"lr": 0.05}),
        ("adadelta", {"lr": 3.0}),
        ("rmsprop", {"lr": 0.01}),
        ("adagrad", {"lr": 0.2}),
    ],
)
def test_every_optimizer_trains(name: str, options: dict[str, Any]) -> None:
    x, y = classes()
    model = net()
    optimizer = optim.make_optimizer(name, model.parameters(), **options)
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    assert (model(x).argmax(dim=1) == y).array.mean() > 0.95
