"""Gradient clipping against NumPy; parameters as one vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, NonFiniteError, ShapeError
from tinygrad_mlp.nn import Parameter, utils


def with_gradient(gradient: np.ndarray) -> Parameter:
    made = Parameter(np.zeros(gradient.shape, gradient.dtype))
    made.grad = Tensor(gradient)
    return made


def gradients() -> list[np.ndarray]:
    """Of several dtypes and layouts: transposed, with gaps, reversed, repeated and read-only, 0-d, empty."""
    rng = np.random.default_rng(4)
    return [
        rng.normal(size=(4, 3)).astype(np.float32).T,
        rng.normal(size=(6, 5))[::2, ::-1],
        rng.normal(size=7)[::-1].astype(np.float32)[::2],
        np.broadcast_to(rng.normal(size=(1, 4)), (3, 4)),
        rng.normal(size=(2, 3, 4, 5)).transpose(0, 3, 1, 2),
        np.array(2.5),
        np.zeros((0, 3)),
    ]


@pytest.mark.parametrize("norm_type", [2, 2.0, math.inf])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99, 1.5, math.inf])
def test_norm_and_clipped_gradients_are_those_of_numpy(norm_type: float, share: float) -> None:
    kept = [gradient.copy() for gradient in gradients()]
    parameters = [*map(with_gradient, gradients()), Parameter(np.ones(3))]  # the last has no gradient
    norm = float(np.linalg.norm(np.concatenate([g.ravel().astype(np.float64) for g in kept]), norm_type))
    max_norm = share * norm
    found = utils.clip_grad_norm_(parameters, max_norm, norm_type)
    assert found.dtype == np.float64
    assert found.shape == ()
    np.testing.assert_allclose(found.item(), norm, rtol=1e-12)
    for parameter, before in zip(parameters, kept, strict=False):
        assert parameter.grad is not None
        assert parameter.grad.dtype == before.dtype
        tolerance = 1e-6 if before.dtype == np.float32 else 1e-14
        np.testing.assert_allclose(parameter.grad, before * min(1, max_norm / (norm + 1e-6)), rtol=tolerance)
    assert parameters[-1].grad is None


def test_gradients_are_scaled_in_their_memory_and_dtype() -> None:
    gradient = np.full((2, 3), 2, np.float32).T
    parameter = with_gradient(gradient)
    kept = parameter.grad
    assert kept is not None
    found = utils.clip_grad_norm_(parameter, 1.0)
    assert parameter.grad is kept
    assert kept.array is gradient
    assert kept.version == 1
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.item(), math.sqrt(24), rtol=1e-7)


def test_without_gradients_the_norm_is_zero() -> None:
    assert utils.clip_grad_norm_([Parameter(np.ones(3))], 1.0).item() == 0
    assert utils.clip_grad_norm_([], 1.0).item() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_leaves_gradients_alone(bad: float) -> None:
    parameters = [with_gradient(np.array([3.0, 4.0])), with_gradient(np.array([bad]))]
    assert not np.isfinite(utils.clip_grad_norm_(parameters, 1.0).item())
    with pytest.raises(NonFiniteError, match=f"norm of the gradients is {bad}; no gradient was changed"):
        utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(parameters[0].grad, [3, 4])
    with pytest.raises(NonFiniteError, match="parameter 1"):
        optim.SGD(parameters).step()


def test_large_float32_gradients_are_clipped_and_not_lost() -> None:
    parameter = with_gradient(np.full(4, 1e25, np.float32))
    np.testing.assert_allclose(utils.clip_grad_norm_(parameter, 1.0).item(), 2e25, rtol=1e-6)
    np.testing.assert_allclose(parameter.grad, np.full(4, 0.5), rtol=1e-6)


def test_values_are_limited_in_place() -> None:
    parameters = [*map(with_gradient, gradients()), Parameter(np.ones(3))]
    utils.clip_grad_value_(parameters, 0.5)
    for parameter, before in zip(parameters, gradients(), strict=False):
        np.testing.assert_array_equal(parameter.grad, np.clip(before, -0.5, 0.5))
    parameter = with_gradient(np.array([np.nan, np.inf, -np.inf]))
    utils.clip_grad_value_(parameter, 1)
    np.testing.assert_array_equal(parameter.grad, [np.nan, 1, -1])


def test_gradients_that_are_part_of_a_graph_can_be_clipped() -> None:
    w = Parameter(np.array([3.0]))
    (w * w).sum().backward(create_graph=True)
    utils.clip_grad_value_(w, 1.0)
    assert w.grad is not None
    assert w.grad.item() == 1


@pytest.mark.parametrize("limit", [-1.0, math.nan, "1", None])
def test_impossible_limits(limit: Any) -> None:
    parameter = with_gradient(np.array([3.0]))
    with pytest.raises(ArgumentError, match="max_norm="):
        utils.clip_grad_norm_(parameter, limit)
    with pytest.raises(ArgumentError, match="clip_value="):
        utils.clip_grad_value_(parameter, limit)
    with pytest.raises(ArgumentError, match=r"norm_type=3, expected 2 or math.inf"):
        utils.clip_grad_norm_(parameter, 1.0, 3)
    np.testing.assert_array_equal(parameter.grad, [3])


def test_optim_has_the_same_functions() -> None:
    assert optim.clip_grad_norm_ is utils.clip_grad_norm_
    assert optim.clip_grad_value_ is utils.clip_grad_value_


def test_parameters_to_a_vector_and_back() -> None:
    net = nn.Linear(3, 2)  # its weight lies transposed in memory
    vector = utils.parameters_to_vector(net.parameters())
    np.testing.assert_array_equal(
        vector.detach(), np.concatenate([net.weight.detach().numpy().ravel(), net.bias.detach()])
    )
    (vector * vector).sum().backward()
    np.testing.assert_array_equal(net.weight.grad, 2 * net.weight.detach().array)
    new = Tensor(np.arange(8, dtype=np.float32))
    utils.vector_to_parameters(new, net.parameters())
    np.testing.assert_array_equal(net.weight.detach(), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(net.bias.detach(), [6, 7])
    with pytest.raises(ShapeError, match=r"got shape \(7,\), expected \(8,\)"):
        utils.vector_to_parameters(new[:7], net.parameters())
