"""What all optimizers share: memory, missing gradients, penalties, options that change between steps."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.optim.parameters import parameter, random_parameter
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, NonFiniteError, ShapeError
from tinygrad_mlp.nn import Parameter

ALL = [optim.SGD, optim.Adam, optim.AdamW, optim.Adadelta, optim.RMSprop, optim.Adagrad]


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


# Memory


def test_parameters_keep_their_order_in_memory_and_begin_on_cache_lines() -> None:
    stored = np.arange(15.0, dtype=np.float32).reshape(5, 3)
    images = np.zeros((2, 4, 4, 3), np.float32)
    parameters = [
        Parameter(stored.T),  # (3, 5), stored (5, 3)
        parameter(3),
        Parameter(images.transpose(0, 3, 1, 2)),  # channels last
        parameter(),
        parameter(0, 2),
        Parameter(np.ones((5, 3))),
        Parameter(np.ones((6, 2), np.float32)[::2]),  # with gaps, which it loses
    ]
    optim.Adam(parameters)
    for made in parameters:
        assert address(made.array) % 64 == 0 or made.numel() == 0
    assert parameters[0].array.strides == (4, 12)
    assert parameters[2].array.strides == images.transpose(0, 3, 1, 2).strides
    assert parameters[6].array.flags.c_contiguous
    np.testing.assert_array_equal(parameters[0].detach(), np.arange(15.0).reshape(5, 3).T)
    parameters[0].detach().zero_()
    assert stored.sum() == 105  # the memory given stays as it was


@pytest.mark.parametrize("kind", ALL)
def test_the_layout_of_weights_and_gradients_does_not_matter(kind: type[optim.Optimizer]) -> None:
    results: list[np.ndarray] = []
    for order, grad_order in (("C", "C"), ("F", "C"), ("C", "F"), ("F", "F")):
        weight = Parameter(np.asarray(np.arange(6.0).reshape(2, 3), order=order))
        optimizer = kind([weight], lr=0.1, weight_decay=0.1, l1=0.01)  # type: ignore[call-arg]
        for _ in range(3):
            weight.grad = Tensor(np.asarray(np.arange(6.0).reshape(2, 3) / 7 - 0.3, order=grad_order))
            optimizer.step()
        results.append(weight.array.copy(order="C"))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_replaced_data_is_trained_on() -> None:
    a, b = parameter(2, 3, grad=1), parameter(2, grad=1)
    optimizer = optim.SGD([a, b], lr=1.0, momentum=0.5)
    optimizer.step()
    a.data = Tensor(np.full((3, 2), 10, np.float32).T)
    optimizer.step()  # velocity 1.5
    np.testing.assert_array_equal(a.detach(), np.full((2, 3), 8.5))
    np.testing.assert_array_equal(b.detach(), [-1.5, -1.5])


def test_replaced_data_is_copied_and_not_trained_itself() -> None:
    a, values = parameter(2, grad=1), Tensor(np.full(2, 5, np.float32))
    optimizer = optim.SGD([a], lr=1.0)
    a.data = values
    optimizer.step()
    assert (a.tolist(), values.tolist()) == ([4, 4], [5, 5])


def test_data_may_be_swapped_and_transposed() -> None:
    a, b, square = parameter(2, fill=1, grad=0), parameter(2, fill=2, grad=0), parameter(2, 2, grad=0)
    optimizer = optim.SGD([a, b, square], lr=1.0)
    square.data.copy_(np.arange(4.0).reshape(2, 2))
    a.data, b.data, square.data = b.data, a.data, square.data.t()
    optimizer.step()
    assert (a.tolist(), b.tolist(), square.tolist()) == ([2, 2], [1, 1], [[0, 2], [1, 3]])


def test_parameters_tied_through_their_data_are_an_error_at_the_next_step() -> None:
    a, b, c = parameter(2, grad=1), parameter(2, grad=1), parameter(2, grad=1)
    optimizer = optim.SGD([("encoder", a), ("decoder", b), ("c", c)], lr=1.0)
    b.data = a.data
    with pytest.raises(ArgumentError, match="optimizer: decoder and encoder look into the same memory; to tie wei"):
        optimizer.step()
    assert c.tolist() == [1, 1]
    b.data = b.data.clone()
    optimizer.step()
    a.data = c.data = Tensor(np.ones(2, np.float32))
    with pytest.raises(ArgumentError, match="encoder and c look into the same memory"):
        optimizer.step()


def test_two_optimizers_may_share_a_parameter() -> None:
    shared, own = parameter(2, grad=1), parameter(3, grad=1)
    first, second = optim.SGD([shared], lr=1.0), optim.SGD([own, shared], lr=0.25)
    for _ in range(2):
        first.step()
        second.step()
    np.testing.assert_array_equal(shared.detach(), [-1.5, -1.5])
    np.testing.assert_array_equal(own.detach(), [0.5] * 3)


def test_a_parameter_that_changed_dtype_is_an_error() -> None:
    net = nn.Linear(2, 3)
    optimizer = optim.SGD(net.named_parameters(), lr=1.0)
    net.double()
    with pytest.raises(DtypeError, match=r"weight was given as .* float32, now it is .* float64; make the optimizer"):
        optimizer.step()
    assert net.weight.dtype == np.float64


def test_a_gradient_unlike_its_parameter_is_an_error() -> None:
    a = parameter(2, 3)
    optimizer = optim.SGD([("net.a", a)])
    a.grad = Tensor(np.ones(3, np.float32))  # would broadcast
    with pytest.raises(ShapeError, match=r"net.a was given as \(2, 3\) float32, now its gradient is \(3,\)"):
        optimizer.step()
    a.grad = Tensor(np.ones((2, 3)))
    with pytest.raises(DtypeError, match=r"its gradient is .* float64"):
        optimizer.step()
    np.testing.assert_array_equal(a.detach(), np.ones((2, 3)))


def test_parameters_that_share_memory_are_an_error() -> None:
    memory = np.ones((4, 3), np.float32)
    with pytest.raises(ArgumentError, match=r"decoder and encoder look into the same memory; .* one Parameter"):
        optim.SGD([("encoder", Parameter(memory)), ("decoder", Parameter(memory.T))])
    columns = [Parameter(memory[:, 0]), Parameter(memory[:, 1])]  # apart, though interleaved
    optim.SGD(columns)


def test_both_dtypes_in_one_optimizer() -> None:
    narrow, wide = parameter(2, 2, grad=0.1), parameter(3, dtype=np.float64, grad=0.1)
    optimizer = optim.SGD([narrow, wide], lr=1.0)
    optimizer.step()
    assert narrow.dtype == np.float32
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(narrow.detach(), np.full((2, 2), np.float32(1) - np.float32(0.1)))
    np.testing.assert_array_equal(wide.detach(), [0.9] * 3)


def test_an_optimizer_is_neither_copied_nor_pickled() -> None:
    optimizer = optim.SGD([parameter(2)])
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(ArgumentError, match="make one on the new parameters"):
            attempt(optimizer)


# Steps


def test_zero_grad_forgets_or_fills() -> None:
    a, b = parameter(2, grad=3), parameter(2)
    optimizer = optim.SGD([a, b], lr=1.0)
    array = a.grad.array
    optimizer.zero_grad(set_to_none=False)
    assert a.grad is not None
    assert a.grad.array is array
    assert array.tolist() == [0, 0]
    assert b.grad is None
    optimizer.zero_grad()
    assert a.grad is None
    optimizer.step()
    np.testing.assert_array_equal(a.detach(), [1, 1])


def test_a_parameter_without_gradient_rests_with_its_state_and_step_count() -> None:
    """Adam's first step is lr whatever the gradient; its bias correction counts a parameter's own steps."""
    a, b, c = (parameter(2, fill=0, dtype=np.float64) for _ in range(3))
    optimizer = optim.Adam([a, b, c], lr=0.5, weight_decay=0.1, eps=0)
    for step in range(3):
        for made in (a, b, c):
            made.grad = None if made is b and step < 2 else Tensor(np.full(2, 3.0))
        optimizer.step()
        if step < 2:
            assert b.array.tolist() == [0, 0]
    np.testing.assert_allclose(b.detach(), [-0.5, -0.5], rtol=1e-15)
    np.testing.assert_array_equal(a.detach(), c.detach())
    steps = {position: entry["step"] for position, entry in optimizer.state_dict()["state"].items()}
    assert steps == {0: 3, 1: 1, 2: 3}


def test_step_without_any_gradient_does_nothing() -> None:
    a = parameter(2)
    optimizer = optim.AdamW([a], lr=1.0, weight_decay=0.5)
    optimizer.step()
    assert a.array.tolist() == [1, 1]
    assert a.version == 0


def test_step_counts_as_a_write() -> None:
    x, w = Tensor(np.ones(3, np.float32)), parameter(3)
    optimizer = optim.SGD([w])
    loss = (w * x * w).sum()
    w.grad = Tensor(np.ones(3, np.float32))
    optimizer.step()
    with pytest.raises(GradientError, match="changed in place"):
        loss.backward()


def test_closure_recomputes_the_loss_with_grad_on() -> None:
    w = parameter(2)
    optimizer = optim.SGD([w], lr=0.25)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        loss = optimizer.step(closure)
    assert loss is not None
    assert loss.item() == 2
    np.testing.assert_array_equal(w.detach(), [0.5, 0.5])
    assert optimizer.step() is None


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(kind: type[optim.Optimizer], bad: float) -> None:
    a, b = random_parameter(3, 2, seed=1), random_parameter(2, 5, seed=2)
    c = parameter(2, grad=1)  # in another buffer, which must not be updated either
    optimizer = kind([("a", a), ("net.2.weight", b), ("c", c)])
    optimizer.step()
    before, state = [p.array.copy() for p in (a, b, c)], optimizer.state_dict()
    assert b.grad is not None
    b.grad.array[1, 3] = bad
    with pytest.raises(NonFiniteError, match=rf"{kind.__name__}.*net\.2\.weight \(shape \(2, 5\)\).*\(1, 3\)"):
        optimizer.step()
    for made, kept in zip((a, b, c), before, strict=True):
        np.testing.assert_array_equal(made.detach(), kept)
    np.testing.assert_equal(optimizer.state_dict()["state"], state["state"])
    b.grad.array[1, 3] = 1  # and it can go on
    optimizer.step()
    assert (b.array != before[1]).all()


# Options that change between steps


def test_a_changed_learning_rate_counts_from_the_next_step() -> None:
    a = parameter(1, fill=0, grad=1)
    optimizer = optim.SGD([a], lr=1.0)
    for lr in (1.0, 0.5, 0.0, 0.25):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    assert a.array.tolist() == [-1.75]


@pytest.mark.parametrize("lr", [-0.1, np.nan, np.inf])
def test_an_impossible_learning_rate_is_an_error_and_changes_nothing(lr: float) -> None:
    a, b = parameter(1, grad=1), parameter(1, grad=1)
    optimizer = optim.SGD([{"params": a}, {"params": b}], lr=1.0)
    optimizer.param_groups[1]["lr"] = lr
    with pytest.raises(ArgumentError, match=r"SGD\.step: lr="):
        optimizer.step()
    assert a.array.tolist() == b.array.tolist() == [1]


def test_changed_momentum_and_betas_count_from_the_next_step() -> None:
    a, b = parameter(1, fill=0, grad=1, dtype=np.float64), parameter(1, fill=0, grad=1, dtype=np.float64)
    sgd, adam = optim.SGD([a], lr=1.0, momentum=0.5), optim.Adam([b], lr=1.0, betas=(0.0, 0.0), eps=0.0)
    sgd.step()
    adam.step()
    sgd.param_groups[0]["momentum"] = 0.25
    adam.param_groups[0]["betas"] = (0.5, 0.75)
    sgd.step()
    assert a.array.tolist() == [-1 - 1.25]
    adam.step()  # both moments stay 1, corrected by 1 - 0.5² and 1 - 0.75²
    np.testing.assert_allclose(b.array, [-1 - (1 / 0.75) / np.sqrt(1 / 0.4375)])


def test_weight_decay_is_for_all_but_l1_and_l2_for_matrices_alone() -> None:
    def after(**options: float) -> list[np.ndarray]:
        made = [parameter(2, 2, fill=-2, grad=0), parameter(2, fill=-2, grad=0), parameter(fill=-2, grad=0)]
        made.append(parameter(2, 1, 1, 2, fill=3, grad=0))
        optim.SGD(made, lr=1.0, **options).step()
        return [p.array.ravel()[0].item() for p in made]

    assert after(weight_decay=0.5) == [-1, -1, -1, 1.5]
    assert after(l2=0.5) == [-1, -2, -2, 1.5]
    assert after(l1=0.5) == [-1.5, -2, -2, 2.5]
    assert after(l1=0.25, l2=0.5, weight_decay=0.125) == [-2 + 1 + 0.25 + 0.25, -1.75, -1.75, 3 - 1.5 - 0.25 - 0.375]


def test_adamw_decays_the_weights_but_adds_l2_to_the_gradient() -> None:
    """With both betas 0 a step is lr·sign(g): whatever is added to the gradient shows in its sign alone."""
    plain, decayed, penalised = (parameter(1, 1, fill=4, grad=0, dtype=np.float64) for _ in range(3))
    options: dict[str, Any] = {"lr": 0.5, "betas": (0.0, 0.0)}
    optim.AdamW([plain], weight_decay=0.0, **options).step()
    optim.AdamW([decayed], weight_decay=0.25, **options).step()
    optim.AdamW([penalised], weight_decay=0.0, l2=0.25, **options).step()
    assert [plain.item(), decayed.item()] == [4, 4 - 0.5 * 0.25 * 4]
    np.testing.assert_allclose(penalised.item(), 3.5, rtol=1e-7)


def test_penalties_changed_between_steps_count_from_the_next_step() -> None:
    matrix, vector = parameter(1, 1, grad=0), parameter(1, grad=0)
    optimizer = optim.SGD([matrix, vector], lr=0.5)
    group = optimizer.param_groups[0]
    seen = [1.0]
    for l1, l2, decay in ((0, 0, 0), (0.5, 0, 0), (1.0, 0, 0), (0, 0.5, 0), (0, 1.0, 0), (0, 0, 1.0), (0, 0, 0)):
        group["l1"], group["l2"], group["weight_decay"] = l1, l2, decay
        optimizer.step()
        seen.append(seen[-1] - 0.5 * (np.sign(seen[-1]) * l1 + seen[-1] * (l2 + decay)))
        assert matrix.item() == seen[-1]
    assert vector.item() == 0.5
