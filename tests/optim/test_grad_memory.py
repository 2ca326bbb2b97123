"""Gradients that lie in the optimizer's buffer: no copy, and none that somebody keeps is written over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import nn, optim

ROWS, COLUMNS = 512, 128  # large enough for the buffer to be lent


def _net() -> nn.Linear:
    tg.manual_seed(0)
    return nn.Linear(COLUMNS, ROWS)


def _backward(net: nn.Linear, factor: float) -> None:
    x = tg.ones(3, COLUMNS, dtype=net.weight.dtype) * factor
    net(x).sum().backward()


def _gradient(net: nn.Linear) -> tg.Tensor:
    assert net.weight.grad is not None
    return net.weight.grad


def test_the_gradient_lies_in_the_buffer_and_the_next_one_in_the_same_place() -> None:
    net = _net()
    optimizer = optim.SGD(net.parameters(), lr=0.0)
    places: list[int] = []
    for factor in (1.0, 2.0):
        optimizer.zero_grad()
        _backward(net, factor)
        places.append(_gradient(net).array.ctypes.data)
        optimizer.step()
        assert (_gradient(net) == 3 * factor).all()
    assert places[0] == places[1]


KEPT: list[Callable[[tg.Tensor], object]] = [
    lambda gradient: gradient,
    lambda gradient: gradient.array,
    lambda gradient: gradient.array[1:, ::2],
    lambda gradient: gradient[5],
    lambda gradient: gradient.t().detach(),
]


@pytest.mark.parametrize("keep", KEPT)
def test_a_gradient_that_is_kept_stays_as_it_was(keep: Callable[[tg.Tensor], object]) -> None:
    net = _net()
    optimizer = optim.SGD(net.parameters(), lr=1e-3)
    _backward(net, 1.0)
    kept = keep(_gradient(net))
    for factor in (2.0, 5.0):
        optimizer.step()
        optimizer.zero_grad()
        _backward(net, factor)
        assert (_gradient(net) == 3 * factor).all()
    optimizer.step()
    array = kept.array if isinstance(kept, tg.Tensor) else kept
    assert (array == 3.0).all()  # pyright: ignore


def test_the_result_of_grad_stays_when_another_gradient_is_stepped_with() -> None:
    net = _net()
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    before = net.weight.detach().clone()
    (result,) = tg.autograd.grad(net(tg.ones(3, COLUMNS)).sum(), [net.weight])
    assert result is not None
    net.weight.grad = tg.full((ROWS, COLUMNS), 7.0)
    optimizer.step()
    assert (result == 3.0).all()
    np.testing.assert_array_equal(net.weight.array, before.array - 7)


def test_gradients_add_up_in_the_buffer() -> None:
    net = _net()
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    before = net.weight.detach().clone()
    _backward(net, 1.0)
    _backward(net, 2.0)
    assert (_gradient(net) == 9.0).all()
    optimizer.step()
    np.testing.assert_array_equal(net.weight.array, before.array - 9)


def test_one_weight_used_twice_gets_both_gradients() -> None:
    tg.manual_seed(0)
    net = nn.Linear(300, 300)
    optim.SGD(net.parameters(), lr=0.0)
    x = tg.ones(2, 300)
    net(net(x)).sum().backward()
    shared = _gradient(net).array.copy()
    first, second = nn.Linear(300, 300), nn.Linear(300, 300)
    for layer in (first, second):
        layer.load_state_dict(net.state_dict())
    second(first(x)).sum().backward()
    np.testing.assert_allclose(shared, _gradient(first).array + _gradient(second).array, rtol=1e-6)


def test_two_optimizers_of_one_parameter_both_see_its_gradient() -> None:
    net = _net()
    optimizers = [optim.SGD(net.parameters(), lr=1.0), optim.SGD(net.parameters(), lr=1.0)]
    before = net.weight.detach().clone()
    _backward(net, 1.0)
    for optimizer in optimizers:
        optimizer.step()
    np.testing.assert_allclose(net.weight.array, before.array - 6, rtol=1e-6)


def test_a_net_converted_to_float64_gets_gradients_of_its_own() -> None:
    net = _net()
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    net.double()
    _backward(net, 1.0)
    assert _gradient(net).dtype == np.float64 and (_gradient(net) == 3.0).all()
    with pytest.raises(tg.errors.DtypeError, match="make the optimizer after changing the net"):
        optimizer.step()


def test_frozen_for_a_while() -> None:
    net = _net()
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    _backward(net, 1.0)
    kept = _gradient(net)
    optimizer.step()
    optimizer.zero_grad()
    frozen = net.weight.detach().clone()
    net.weight.requires_grad_(False)
    _backward(net, 4.0)
    optimizer.step()
    np.testing.assert_array_equal(net.weight.array, frozen.array)
    assert (kept == 3.0).all()
