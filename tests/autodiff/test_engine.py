"""The core: graph, backward pass, modes, versions, in-place rules, anomaly mode, users' ops, interop, repr."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_mlp as tg
from tests.autodiff.numeric import rng
from tinygrad_mlp.autodiff.creation import tensor, zeros
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.mode import (
    anomaly_mode,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, NonFiniteError, ShapeError


def leaf(*values, dtype=np.float64):
    """A 1-d leaf that requires grad."""
    return Tensor(np.array(values, dtype), requires_grad=True)


def gradient_of(x):
    """Its `.grad`, which must be there, as a list."""
    assert x.grad is not None
    return x.grad.tolist()


# The backward pass


def test_gradients_of_a_diamond_add_up():
    x = leaf(2.0, 3.0)
    left, right = x * 2.0, x * x
    (left * right + left).sum().backward()  # 2x³ + 2x
    assert gradient_of(x) == [6 * 4.0 + 2, 6 * 9.0 + 2]


def test_every_tensor_waits_for_all_that_use_it():
    x = leaf(1.5)
    y = x * 2.0
    for _ in range(10):
        y = y + y  # each gradient arrives twice: a pass that did not wait would visit 2**10 paths and get them wrong
    y.sum().backward()
    assert gradient_of(x) == [2.0 * 2**10]


def test_gradients_accumulate_until_set_to_none():
    x = leaf(1.0, 2.0)
    (x * 3.0).sum().backward()
    (x * 4.0).sum().backward()
    assert gradient_of(x) == [7.0, 7.0]
    x.grad = None
    x.sum().backward()
    assert gradient_of(x) == [1.0, 1.0]


def test_a_leaf_may_be_the_root_and_a_root_may_get_a_gradient():
    x = Tensor(np.array(3.0), requires_grad=True)
    x.backward()
    assert gradient_of(x) == 1.0
    y = leaf(1.0, 2.0)
    (y * y).backward(Tensor(np.array([10.0, 1.0])))
    assert gradient_of(y) == [20.0, 4.0]


def test_backward_of_a_given_gradient_leaves_that_gradient_alone():
    x, weight = leaf(1.0, 2.0), Tensor(np.array([1.0, 1.0]))
    x.backward(weight)
    x.backward(weight)
    assert gradient_of(x) == [2.0, 2.0]
    assert weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("gradient", "error", "text"),
    [
        (None, GradientError, r"only a scalar has an implicit gradient, and this tensor has shape \(2,\)"),
        (Tensor(np.ones(3)), ShapeError, r"the given gradient has shape \(3,\), expected \(2,\)"),
        (Tensor(np.ones(2, np.float32)), DtypeError, "has dtype float32, expected float64"),
    ],
)
def test_a_gradient_that_does_not_fit(gradient, error, text):
    with pytest.raises(error, match=text):
        (leaf(1.0, 2.0) * 2.0).backward(gradient)


def test_backward_needs_a_tensor_that_requires_grad():
    with pytest.raises(GradientError, match="does not require grad"):
        Tensor(np.array(1.0)).backward()
    with no_grad():
        y = leaf(1.0).sum()
    with pytest.raises(GradientError, match="computed under no_grad"):
        y.backward()


def test_unused_inputs_keep_no_gradient():
    x, unused = leaf(1.0), leaf(1.0)
    (x + unused.detach()).sum().backward()
    assert unused.grad is None
    assert gradient_of(x) == [1.0]


def test_integers_take_part_without_a_gradient():
    x, labels = leaf(1.0, 2.0), Tensor(np.array([3, 4]))
    (x * labels).sum().backward()
    assert gradient_of(x) == [3.0, 4.0]
    assert labels.grad is None


def test_leaves_do_not_share_the_memory_of_their_gradients():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert not np.shares_memory(x.grad.array, y.grad.array)
    x.grad.mul_(5.0)
    assert gradient_of(y) == [1.0, 1.0]
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    weight = Tensor(np.array([1.0, 1.0]))
    (a - 0.0 + b.reshape(1, 2).reshape(2)).backward(weight)
    assert a.grad is not None
    a.grad.zero_()
    assert gradient_of(b) == weight.tolist() == [1.0, 1.0]


def test_the_gradient_of_a_leaf_is_dense_and_writable():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    x.sum().backward()  # the gradient of a sum is one number, repeated
    assert x.grad is not None
    assert x.grad.array.flags.c_contiguous
    x.grad.mul_(2.0)
    assert gradient_of(x) == [[2.0] * 3] * 2


def test_deep_chains_neither_recurse_forward_nor_backward_nor_when_they_are_dropped():
    depth = 10 * sys.getrecursionlimit()
    x = leaf(1.0)
    y = x
    for _ in range(depth):
        y = y + 1.0
    y.sum().backward()
    assert gradient_of(x) == [1.0]
    z = x
    for _ in range(depth):
        z = z * 1.0
    del z, y


def test_reverse_order_visits_a_wide_graph_once():
    x = leaf(1.0)
    calls = []

    @op
    def counted(t):
        def backward(grad, out):
            calls.append(1)
            return grad

        return t.array + 0.0, backward

    shared = counted(x)
    total = shared
    for _ in range(50):
        total = total + shared
    total.sum().backward()
    assert len(calls) == 1
    assert gradient_of(x) == [51.0]


# Twice through one graph, and gradients of gradients


def test_a_second_backward_needs_the_graph_to_be_retained():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GradientError, match=r"freed by an earlier backward.*retain_graph=True"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    assert gradient_of(x) == [18.0]


def test_a_shared_part_of_two_graphs_is_freed_with_the_first():
    x = leaf(3.0)
    shared = x * x
    shared.sum().backward()
    with pytest.raises(GradientError, match="op mul: its part of the graph was freed"):
        (shared * 2.0).sum().backward()


def test_gradient_of_a_gradient():
    x = leaf(2.0, -1.0)
    (first,) = grad((x * x * x).sum(), x, create_graph=True)
    assert first is not None
    assert first.tolist() == [12.0, 3.0]
    (second,) = grad(first.sum(), x, create_graph=True)
    assert second is not None
    assert second.tolist() == [12.0, -6.0]
    (third,) = grad(second.sum(), x)
    assert third is not None
    assert third.tolist() == [6.0, 6.0]


def test_backward_with_create_graph_leaves_differentiable_gradients():
    x = leaf(2.0)
    (x**3.0).sum().backward(create_graph=True)
    first = x.grad
    assert first is not None
    assert first.requires_grad
    x.grad = None
    first.sum().backward()
    assert gradient_of(x) == [12.0]


def test_gradients_with_a_graph_lie_in_memory_of_their_own():
    a, b, x = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
    ((a + b) * x).sum().backward(create_graph=True)
    assert a.grad is not None and b.grad is not None
    first = a.grad
    with no_grad():
        b.grad.mul_(0.5)  # as clipping does
    assert (gradient_of(a), gradient_of(b)) == ([5.0, 6.0], [2.5, 3.0])
    (second,) = grad(first.sum(), x)
    assert second is not None
    assert second.tolist() == [1.0, 1.0]


def test_a_gradient_with_a_graph_may_be_added_to():
    w = leaf(1.0, 2.0)
    w.sum().backward(create_graph=True)  # a number, repeated
    (w * w).sum().backward()
    assert gradient_of(w) == [3.0, 5.0]
    w.grad, seed = None, Tensor(np.ones(2))
    w.backward(seed, create_graph=True)
    (w * w).sum().backward()
    assert (gradient_of(w), seed.tolist()) == ([3.0, 5.0], [1.0, 1.0])  # the seed is the caller's


def test_hessian_vector_product():
    matrix = rng(1).normal(size=(4, 4))
    start, direction = rng(2).normal(size=4), rng(3).normal(size=4)

    def loss(x):
        return (x.exp() * (Tensor(matrix) @ x)).sum()

    def gradient(values):
        x = Tensor(values, requires_grad=True)
        (found,) = grad(loss(x), x)
        assert found is not None
        return found.array

    x = Tensor(start, requires_grad=True)
    (first,) = grad(loss(x), x, create_graph=True)
    assert first is not None
    (product,) = grad((first * Tensor(direction)).sum(), x)
    assert product is not None
    step = 1e-6
    expected = (gradient(start + step * direction) - gradient(start - step * direction)) / (2 * step)
    np.testing.assert_allclose(product.array, expected, rtol=1e-6)


def test_grad_returns_what_is_asked_for_and_touches_no_leaf():
    x, y = leaf(2.0), leaf(5.0)
    hidden = x * y
    out = hidden * hidden
    by_hidden, by_x = grad(out.sum(), [hidden, x])
    assert by_hidden is not None
    assert by_x is not None
    assert (by_hidden.tolist(), by_x.tolist()) == ([20.0], [100.0])
    assert x.grad is None
    assert y.grad is None
    assert not by_x.requires_grad


def test_grad_of_several_outputs_with_weights():
    x = leaf(1.0, 2.0)
    (found,) = grad([x * 2.0, x * x], x, [Tensor(np.array([1.0, 1.0])), Tensor(np.array([10.0, 10.0]))])
    assert found is not None
    assert found.tolist() == [22.0, 42.0]
    with pytest.raises(GradientError, match="1 grad_outputs for 2 outputs"):
        grad([x * 2.0, x * x], x, [Tensor(np.array([1.0, 1.0]))])


def test_grad_names_inputs_that_the_outputs_do_not_depend_on():
    x, unused = leaf(1.0), leaf(1.0)
    with pytest.raises(GradientError, match=r"do not depend on input\(s\) \[1\]"):
        grad(x.sum(), [x, unused])
    assert grad(x.sum(), [x, unused], allow_unused=True)[1] is None
    with pytest.raises(GradientError, match="input 0 does not require grad"):
        grad(x.sum(), x.detach())


def test_grad_leaves_alone_what_its_inputs_were_computed_from():
    """Two heads on one hidden layer, as in a gradient by hand of each, or in a balance of losses."""
    x = leaf(1.0, 2.0)
    hidden = x * 3.0
    below = []
    x.register_hook(below.append)
    (first,) = grad((hidden * hidden).sum(), hidden)
    (second,) = grad(hidden.exp().log().sum(), hidden)
    assert below == []
    hidden.backward(first + second)
    assert gradient_of(x) == [3 * (6.0 + 1), 3 * (12.0 + 1)]
    assert len(below) == 1


def test_grad_passes_by_what_does_not_lead_to_its_inputs():
    """Also where that cannot be gone through any more."""
    x, other = leaf(1.0), leaf(2.0)
    freed = other * other
    freed.sum().backward()
    changed = other * other
    with no_grad():
        other.add_(1.0)
    (found,) = grad((x * freed * changed).sum(), x)
    assert found.tolist() == [16.0]
    with pytest.raises(GradientError, match="was freed by an earlier backward"):
        grad((x * freed).sum(), other)
    with pytest.raises(GradientError, match="was freed by an earlier backward"):
        grad((x * freed).sum(), other, allow_unused=True)


def test_grad_by_a_tensor_and_by_what_it_was_computed_from():
    x = leaf(2.0)
    hidden = x * x
    by_hidden, by_x, by_out = grad(out := (hidden * 3.0).sum(), [hidden, x, out])
    assert (by_hidden.tolist(), by_x.tolist(), by_out.tolist()) == ([3.0], [12.0], 1.0)
    with pytest.raises(GradientError, match="op sum: its part of the graph was freed"):
        grad(out, x)


# Hooks


def test_hooks_see_and_replace_gradients():
    x = leaf(1.0, 2.0)
    seen = []
    seeing = x.register_hook(lambda g: seen.append(g.tolist()))
    doubling = x.register_hook(lambda g: g * 2.0)
    x.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert gradient_of(x) == [2.0, 2.0]
    doubling.remove()
    x.sum().backward()
    seeing.remove()
    seeing.remove()
    x.sum().backward()
    assert len(seen) == 2
    assert gradient_of(x) == [4.0, 4.0]


def test_a_hook_on_a_computed_tensor_changes_what_flows_on():
    x = leaf(1.0, 2.0)
    hidden = x * 3.0
    hidden.register_hook(lambda g: g.clamp(max=0.5))
    hidden.sum().backward()
    assert gradient_of(x) == [1.5, 1.5]
    with pytest.raises(GradientError, match="register_hook: this tensor does not require grad"):
        x.detach().register_hook(lambda g: g)


@pytest.mark.parametrize(
    ("hook", "error", "text"),
    [
        (lambda g: g.mean(), ShapeError, r"what it returned has shape \(\), expected \(2,\)"),
        (lambda g: g.float(), DtypeError, "what it returned has dtype float32, expected float64"),
        (lambda g: g.array, DtypeError, "what it returned is of type ndarray, expected a Tensor"),
    ],
)
def test_a_gradient_of_a_hook_that_does_not_fit(hook, error, text):
    x = leaf(1.0, 2.0)
    x.register_hook(hook)
    with pytest.raises(error, match=f"a hook on a leaf: {text}"):
        x.sum().backward()
    hidden = leaf(1.0, 2.0) * 3.0
    hidden.register_hook(hook)
    with pytest.raises(error, match=f"a hook on the result of op mul: {text}"):
        hidden.sum().backward()
    assert x.grad is None


def test_detach_in_place_is_for_leaves():
    x = leaf(1.0)
    assert x.detach_() is x
    assert not x.requires_grad
    with pytest.raises(GradientError, match=r"was computed by a recorded op; use .detach\(\)"):
        (leaf(1.0) * 2.0).detach_()


def test_a_gradient_that_a_hook_kept_is_not_added_to_later():
    x = leaf(1.0, 2.0)
    kept = []
    x.register_hook(kept.append)
    (x * 3.0).sum().backward()
    (x * 4.0).sum().backward()
    assert [k.tolist() for k in kept] == [[3.0, 3.0], [4.0, 4.0]]


def test_retain_grad():
    x = leaf(1.0, 2.0)
    hidden = x * 3.0
    hidden.retain_grad()
    x.retain_grad()  # leaves keep theirs anyway
    (hidden * hidden).sum().backward()
    assert gradient_of(hidden) == [6.0, 12.0]
    assert gradient_of(x) == [18.0, 36.0]
    assert (x * 1.0).grad is None


def test_retained_gradients_add_up_and_asking_twice_is_asking_once():
    x = leaf(1.0, 2.0)
    hidden = x * 3.0
    hidden.retain_grad()
    hidden.retain_grad()
    hidden.sum().backward(retain_graph=True)
    (hidden * 2.0).sum().backward()
    assert gradient_of(hidden) == [3.0, 3.0]
    assert gradient_of(x) == [9.0, 9.0]


def test_a_retained_gradient_does_not_share_memory_with_what_flows_on():
    x = leaf(1.0, 2.0)
    hidden = x * 1.0
    hidden.retain_grad()
    hidden.backward(seed := tensor([1.0, 2.0], dtype=tg.float64))
    hidden.grad.mul_(10.0)
    assert (gradient_of(x), seed.tolist()) == ([1.0, 2.0], [1.0, 2.0])


def test_a_tensor_whose_gradient_is_retained_dies_with_its_last_user():
    gc.disable()
    try:
        hidden = leaf(1.0) * 2.0
        hidden.retain_grad()
        reference = weakref.ref(hidden)
        del hidden
        assert reference() is None
    finally:
        gc.enable()


# Modes


def test_no_grad_and_enable_grad_as_context_and_decorator():
    x = leaf(1.0)
    with no_grad():
        assert not is_grad_enabled()
        assert not (x * 2.0).requires_grad
        with enable_grad():
            assert (x * 2.0).requires_grad
        with set_grad_enabled(True):
            assert is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()

    @no_grad()
    def quiet(depth):
        assert not is_grad_enabled()
        if depth:
            quiet(depth - 1)
        assert not is_grad_enabled()
        return x * 2.0

    assert not quiet(3).requires_grad
    assert is_grad_enabled()


def test_decorators_without_parentheses():
    x = leaf(1.0)

    @no_grad
    def quiet(factor):
        return x * factor

    assert not quiet(2.0).requires_grad
    with inference_mode():
        assert enable_grad(lambda: x * 2.0)().requires_grad
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_a_generator_runs_each_of_its_parts_in_its_mode():
    x, seen = leaf(1.0), []

    @no_grad()
    def values(first, *, last):
        """Some values."""
        try:
            got = yield (x * first).requires_grad
            seen.append(got)
            yield (x * 2.0).requires_grad
        except ValueError as error:
            seen.append(str(error))
            yield is_grad_enabled()
        finally:
            seen.append(is_grad_enabled())
        return last

    assert values.__doc__ == "Some values."
    for value in values(1.0, last=3):
        assert value is False
        assert is_grad_enabled()
    assert seen == [None, False]

    generator = values(1.0, last=3)
    next(generator)
    assert generator.send("sent") is False
    assert generator.throw(ValueError("thrown")) is False
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == 3
    assert seen[2:] == ["sent", "thrown", False]

    generator = values(1.0, last=3)
    next(generator)
    generator.close()
    assert seen[5:] == [False]
    assert is_grad_enabled()


def test_inference_mode_takes_a_flag():
    with inference_mode(True):
        assert not is_grad_enabled()
        with inference_mode(mode=False):
            assert is_grad_enabled()
        assert not is_grad_enabled()
    assert inference_mode(is_grad_enabled)() is False
    assert inference_mode()(is_grad_enabled)() is False
    assert inference_mode(False)(is_grad_enabled)() is True


def test_modes_end_with_an_exception():
    def fail():
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"), no_grad():
        fail()
    with pytest.raises(ValueError, match="x"):
        no_grad()(fail)()
    assert is_grad_enabled()


def test_modes_belong_to_their_thread():
    seen = {}
    inside, checked = threading.Event(), threading.Event()

    def quiet():
        with no_grad():
            inside.set()
            checked.wait(10)
            seen["quiet"] = is_grad_enabled()

    thread = threading.Thread(target=quiet)
    thread.start()
    inside.wait(10)
    seen["main"] = is_grad_enabled()
    checked.set()
    thread.join()
    with no_grad():
        other = threading.Thread(target=lambda: seen.setdefault("new", is_grad_enabled()))
        other.start()
        other.join()
    assert seen == {"quiet": False, "main": True, "new": True}


def test_threads_train_side_by_side():
    results = [0.0] * 4

    def train(position):
        x = leaf(1.0)
        for _ in range(50):
            (x * float(position)).sum().backward()
        results[position] = gradient_of(x)[0]

    threads = [threading.Thread(target=train, args=(position,)) for position in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0.0, 50.0, 100.0, 150.0]


def test_detach_ends_the_graph_and_shares_memory():
    x = leaf(1.0, 2.0)
    y = (x * 2.0).detach()
    assert not y.requires_grad
    assert y.node is None
    z = x.detach()
    assert np.shares_memory(z.array, x.array)
    z.mul_(3.0)
    assert x.tolist() == [3.0, 6.0]
    assert x.version == 1
    assert x.data.tolist() == [3.0, 6.0]


def test_requires_grad_():
    x = Tensor(np.zeros(2))
    assert x.requires_grad_() is x
    assert (x * 1.0).requires_grad
    x.requires_grad_(False)
    assert not (x * 1.0).requires_grad
    with pytest.raises(DtypeError, match="only floating-point"):
        Tensor(np.zeros(2, int)).requires_grad_()
    x.requires_grad_()
    with pytest.raises(GradientError, match=r"use \.detach"):
        (x * 1.0).requires_grad_(False)


# Versions and in-place writes


def test_requires_grad_is_checked_where_it_is_set():
    x = leaf(1.0)
    x.requires_grad = False
    assert not (x * 2.0).requires_grad
    x.requires_grad = True
    hidden = x * 2.0
    hidden.requires_grad = True
    with pytest.raises(GradientError, match="computed by a recorded op"):
        hidden.requires_grad = False
    hidden.sum().backward()
    assert gradient_of(x) == [2.0]
    with pytest.raises(DtypeError, match="only floating-point tensors have gradients"):
        Tensor(np.arange(3)).requires_grad = True


def test_an_input_that_was_changed_before_backward_raises():
    x, w = Tensor(np.array([1.0, 2.0])), leaf(3.0, 4.0)
    y = (x * w).sum()
    x.mul_(2.0)
    with pytest.raises(GradientError, match=r"op mul: argument 0 \(shape \(2,\)\) was changed in place"):
        y.backward()
    assert w.grad is None


def test_a_result_that_was_changed_before_backward_raises():
    x = leaf(1.0, 2.0)
    y = x.exp()
    with no_grad():
        y.mul_(2.0)
    with pytest.raises(GradientError, match=r"op exp: its result .* was changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("view", [lambda t: t[0], lambda t: t.reshape(-1), lambda t: t.T, lambda t: t.detach()])
def test_a_change_through_a_view_counts(view):
    x, w = Tensor(np.ones((2, 2))), Tensor(np.ones((2, 2)), requires_grad=True)
    y = (x * w).sum()
    view(x).zero_()
    with pytest.raises(GradientError, match="was changed in place"):
        y.backward()


def test_a_view_taken_before_a_change_of_its_base_counts():
    x, w = Tensor(np.ones((2, 2))), leaf(1.0, 1.0)
    y = (x[0] * w).sum()
    x.zero_()
    with pytest.raises(GradientError, match="was changed in place"):
        y.backward()


def test_new_data_counts_as_a_change():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    x.data = Tensor(np.array([5.0, 6.0]))
    with pytest.raises(GradientError, match="was changed in place"):
        y.backward()
    with pytest.raises(ShapeError, match="data: got"):
        x.data = Tensor(np.zeros(3))


def test_a_leaf_that_requires_grad_is_not_written_while_recording():
    x = leaf(1.0, 2.0)
    writes = [
        lambda: x.add_(1.0),
        lambda: x.sub_(1.0),
        lambda: x.mul_(2.0),
        lambda: x.div_(2.0),
        lambda: x.copy_(Tensor(np.zeros(2))),
        x.zero_,
        lambda: x.fill_(3.0),
        lambda: x.clamp_(min=0.0),
        lambda: x.addcmul_(x.detach(), 2.0),
        lambda: x.lerp_(x.detach(), 0.5),
        lambda: x.masked_fill_(x > 0, 1.0),
        x.normal_,
        x.uniform_,
        lambda: x.__iadd__(1.0),
        lambda: x.__imul__(1.0),
    ]
    for write in writes:
        with pytest.raises(GradientError, match="a leaf that requires grad cannot be written in place"):
            write()
    assert x.tolist() == [1.0, 2.0]
    assert x.version == 0


def test_read_only_memory_is_not_written():
    repeated = Tensor(np.zeros(1)).expand(3)
    for write in (
        repeated.zero_,
        repeated.normal_,
        lambda: repeated.add_(1.0),
        lambda: repeated.copy_(Tensor(np.ones(3))),
    ):
        with pytest.raises(ArgumentError, match=r"this tensor's memory is read-only .* clone\(\) it"):
            write()


def test_a_written_value_must_not_carry_a_gradient():
    with pytest.raises(GradientError, match="the written value requires grad"):
        Tensor(np.zeros(2)).add_(leaf(1.0, 2.0))
    with pytest.raises(GradientError, match="a tensor that the graph needs"):
        (leaf(1.0, 2.0) * 1.0).add_(1.0)


def test_operators_in_place_rebind_while_recording():
    x = leaf(1.0, 2.0)
    y = x * 1.0
    before = y
    y += 1.0
    y -= 0.5
    y *= x
    y /= 2.0
    assert y is not before
    assert before.tolist() == [1.0, 2.0]
    y.sum().backward()  # x (x + 0.5) / 2
    assert gradient_of(x) == [1.25, 2.25]


def test_operators_write_where_no_graph_is_involved():
    """Gradients that are added up, clipped by hand, velocities, views, and what NumPy shares."""
    total, velocity = zeros(2, dtype=np.float64), Tensor(np.array([1.0, 2.0]))
    gradients = [Tensor(np.array([1.0, 2.0])), Tensor(np.array([3.0, 4.0]))]
    memory = total.numpy()
    for part in gradients:
        total += part
        velocity *= 0.5
        velocity -= part
    assert memory.tolist() == [4.0, 6.0]
    assert velocity.tolist() == [-3.25, -4.5]
    for part in gradients:
        part *= 0.5
    assert gradients[1].tolist() == [1.5, 2.0]
    table = zeros(2, 2)
    row = table[1]
    row += 3
    row /= 2
    assert table.tolist() == [[0.0, 0.0], [1.5, 1.5]]
    for row in table:
        row -= 1
    assert table.tolist() == [[-1.0, -1.0], [0.5, 0.5]]
    assert table.version == 4


def test_further_operators_write_too():
    numbers, flags = Tensor(np.array([7, 8])), Tensor(np.array([True, False]))
    as_they_are = numbers, flags
    numbers //= 2
    numbers **= 2
    numbers %= 10
    flags |= Tensor(np.array([False, True]))
    flags &= Tensor(np.array([True, False]))
    flags ^= Tensor(np.array([True, True]))
    assert as_they_are[0].tolist() == [9, 6]
    assert as_they_are[1].tolist() == [False, True]
    x = leaf(2.0)
    y = before = x * 1.0
    y **= 3
    assert before.tolist() == [2.0]
    y.sum().backward()
    assert gradient_of(x) == [12.0]
    with pytest.raises(GradientError, match="a leaf that requires grad"):
        x **= 2
    with pytest.raises(DtypeError, match=r"\*\*=: .*does not fit"):
        numbers **= 0.5
    with pytest.raises(ShapeError, match=r"//=: .*does not fit"):
        numbers //= Tensor(np.array([[1, 2], [3, 4]]))


def test_a_graph_makes_a_sum_another_tensor():
    total = before = zeros(2, dtype=np.float64)
    x = leaf(1.0, 2.0)
    total += x * 3.0
    assert before.tolist() == [0.0, 0.0]
    total.sum().backward()
    assert gradient_of(x) == [3.0, 3.0]


def test_backward_notices_that_an_operator_has_changed_an_input():
    x, w = Tensor(np.array([1.0, 2.0])), leaf(3.0, 4.0)
    loss = (x * w).sum()
    x += 1.0
    with pytest.raises(GradientError, match="changed in place after the forward pass"):
        loss.backward()


def test_writes_in_place_under_no_grad():
    x = leaf(1.0, 4.0)
    memory = x.array
    with no_grad():
        x += 1.0
        x -= Tensor(np.array([1.0, 2.0]))
        x *= 2.0
        x /= 4.0
        x.clamp_(min=0.75, max=1.0)
    assert x.array is memory
    assert x.tolist() == [0.75, 1.0]
    assert x.version >= 5


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.add_(np.zeros(3)), ShapeError, r"add_: \(3,\) does not broadcast into \(2,\)"),
        (lambda x: x.add_(np.zeros((2, 2))), ShapeError, "does not broadcast into"),
        (lambda x: x.copy_(Tensor(np.zeros(3))), ShapeError, "copy_: .* does not broadcast into"),
        (lambda x: x.add_(np.zeros(2, np.float32)), DtypeError, "do not mix"),
        (lambda x: x.long().add_(1.5), DtypeError, "would not fit into int64"),
        (lambda x: x.long().div_(2), DtypeError, "does not fit into int64"),
        (lambda x: x.long().__iadd__(0.5), DtypeError, "would not fit into int64"),
        (lambda x: x.__iadd__(np.zeros((3, 2))), ShapeError, "does not broadcast into"),
    ],
)
def test_writes_that_do_not_fit(call, error, text):
    x = Tensor(np.ones(2))
    with pytest.raises(error, match=text):
        call(x)
    assert x.tolist() == [1.0, 1.0]


def test_a_hand_written_loop_trains():
    features = rng(5).normal(size=(64, 3)).astype(np.float32)
    targets = features @ np.array([1.0, -2.0, 0.5], np.float32) + np.float32(0.25)
    x, y = Tensor(features), Tensor(targets)
    w, b = zeros(3, requires_grad=True), zeros(1, requires_grad=True)
    for _ in range(200):
        loss = ((x @ w + b - y) ** 2.0).mean()
        loss.backward()
        with no_grad():
            for p in (w, b):
                assert p.grad is not None
                p -= 0.1 * p.grad
                p.grad = None
    np.testing.assert_allclose(w.tolist(), [1.0, -2.0, 0.5], atol=1e-4)
    np.testing.assert_allclose(b.tolist(), [0.25], atol=1e-4)


# Numbers that go wrong


def test_anomaly_mode_names_the_first_op_whose_output_is_not_finite():
    x = Tensor(np.array([[1.0, 2.0], [0.0, 4.0]]), requires_grad=True)
    with anomaly_mode(), pytest.raises(NonFiniteError) as caught:
        x.log().exp()
    text = str(caught.value)
    assert "op log" in text
    assert "-inf at index (1, 0)" in text
    assert "output shape (2, 2), input shapes (2, 2)" in text
    assert x.log().exp().tolist()[1][0] == 0.0


def test_anomaly_mode_names_the_first_backward_that_is_not_finite():
    x = leaf(4.0, 0.0)
    with anomaly_mode(), pytest.raises(NonFiniteError) as caught:
        x.sqrt().sum().backward()
    text = str(caught.value)
    assert "op sqrt" in text
    assert "its backward gave inf at index (1,) of the gradient of argument 0, shape (2,)" in text


def test_anomaly_mode_as_decorator():
    with pytest.raises(NonFiniteError, match="op log"):
        anomaly_mode()(lambda: Tensor(np.array(0.0)).log())()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_touches_no_gradient(value):
    x = leaf(1.0, 2.0)
    with pytest.raises(NonFiniteError, match=r"backward: the loss is .*anomaly_mode"):
        (x * value).sum().backward()
    assert x.grad is None


def test_float32_and_float64_do_not_mix():
    single, double = leaf(1.0, dtype=np.float32), leaf(1.0)
    for call in (lambda: single + double, lambda: double * np.ones(1, np.float32), lambda: single @ double):
        with pytest.raises(DtypeError, match="float32 and float64 do not mix"):
            call()
    assert (single * 2.5).dtype == np.float32
    assert (2 / single).dtype == np.float32
    (single * 2.5 + 1).sum().backward()
    assert single.grad is not None
    assert single.grad.dtype == np.float32


# Memory


def test_what_nobody_holds_dies_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = Tensor(rng(1).normal(size=(3, 4)), requires_grad=True)
        hidden = (x @ x.T).tanh()
        out = hidden[0].exp().reshape(3, 1).sum()
        alive = [weakref.ref(hidden), weakref.ref(out)]
        del hidden, out
        assert [reference() for reference in alive] == [None, None]
        hidden = (x * x).relu()
        loss = hidden.sum()
        loss.backward()
        alive = weakref.ref(hidden)
        del hidden  # the loss is still here, but its graph was freed
        assert alive() is None
    finally:
        gc.enable()


# Users' ops


def test_a_users_op_is_differentiable_twice():
    @op
    def cube(x):
        def backward(grad, out):
            return grad * 3.0 * x * x

        return x.array**3, backward

    x = leaf(2.0)
    y = cube(x)
    assert repr(y.node) == "<cube>"
    (first,) = grad(y.sum(), x, create_graph=True)
    assert first is not None
    (second,) = grad(first.sum(), x)
    assert second is not None
    assert (first.tolist(), second.tolist()) == ([12.0], [12.0])


def test_a_users_op_with_several_inputs_and_options():
    @op
    def weighted(x, y, factor, *, shift=0.0):
        def backward(grad, out):
            return grad * factor, None

        return x.array * factor + y.array + shift, backward

    x, y = leaf(1.0), leaf(2.0)
    out = weighted(x, y, 3.0, shift=1.0)
    assert out.tolist() == [6.0]
    out.sum().backward()
    assert gradient_of(x) == [3.0]
    assert y.grad is None


@pytest.mark.parametrize(
    ("gradients", "text"),
    [
        (
            lambda g: g,
            r"its backward gave 1 gradient, but argument 1 requires grad; return one for each argument",
        ),
        (lambda g: (g,), r"its backward gave 1 gradient, but argument 1"),
        (lambda g: (), r"its backward gave 0 gradients, but argument 0"),
        (lambda g: (g, g, None, g), "its backward gave 4 gradients, but it has 3 arguments"),
    ],
)
def test_a_rule_that_gives_another_number_of_gradients_is_named(gradients, text):
    @op
    def added(x, y, shift=0.0):
        return x.array + y.array + shift, lambda grad, out: gradients(grad)

    for arguments in ((), (1.0,)):
        with pytest.raises(GradientError, match=f"op added: {text}"):
            added(leaf(1.0), leaf(2.0), *arguments).sum().backward()


def test_a_rule_may_leave_out_gradients_that_nobody_wants():
    @op
    def added(x, *others):
        return sum((other.array for other in others), x.array), lambda grad, out: gradients(grad)

    x, y, z = leaf(1.0), leaf(2.0), leaf(3.0)
    for number, answer in enumerate((lambda g: g, lambda g: (g,), lambda g: (g, None), lambda g: (g, None, None))):
        gradients = answer
        added(x, y.detach(), z.detach()).sum().backward()
        assert gradient_of(x) == [number + 1.0]
    gradients = lambda g: (g, None, g)  # noqa: E731
    added(x, y, z).sum().backward()
    assert (gradient_of(x), y.grad, gradient_of(z)) == ([5.0], None, [1.0])


def test_a_rule_may_give_gradients_for_its_defaults():
    @op
    def scaled(x, factor=2.0, *, shift=0.0):
        return x.array * factor + shift, lambda grad, out: (grad * factor, (grad * x).sum(), None)

    for arguments in ((), (3.0,), (tensor(3.0, dtype=tg.float64).array,)):
        x = leaf(1.0, 2.0)
        scaled(x, *arguments).sum().backward()
        assert gradient_of(x) == [float(*arguments or [2.0])] * 2


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda g: g.sum(), ShapeError, r"op faulty: the gradient of argument 0 has shape \(\), expected \(2,\)"),
        (lambda g: g.float(), DtypeError, "op faulty: the gradient of argument 0 has dtype float32, expected float64"),
    ],
)
def test_a_wrong_rule_is_named(wrong, error, text):
    @op
    def faulty(x):
        return x.array * 1.0, lambda grad, out: wrong(grad)

    with pytest.raises(error, match=text):
        faulty(leaf(1.0, 2.0)).sum().backward()


# NumPy, DLPack, Python


def test_numpy_arrays_meet_tensors():
    x = leaf(1.0, 2.0)
    array = np.array([3.0, 4.0])
    for out in (array * x, x * array, array + x, array - x, array / x, np.float64(3.0) * x):
        assert isinstance(out, Tensor)
        assert out.requires_grad
    assert (array * x).tolist() == [3.0, 8.0]
    assert isinstance(array @ x, Tensor)
    plain = x.detach()
    assert np.asarray(plain) is plain.array
    assert np.shares_memory(plain.numpy(), x.array)
    assert np.asarray(plain, dtype=np.float32).dtype == np.float32
    assert np.sum(np.asarray(plain)) == 3.0
    assert not np.shares_memory(np.array(plain), x.array)
    with pytest.raises(GradientError, match=r"t\.detach\(\)\.numpy\(\)"):
        x.numpy()
    with pytest.raises(GradientError, match="requires grad"):
        np.asarray(x)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(plain, dtype=np.float32, copy=False)


def test_dlpack_shares_memory():
    x = Tensor(np.array([1.0, 2.0]))
    assert np.shares_memory(np.from_dlpack(x), x.array)
    with pytest.raises(GradientError, match="requires grad"):
        np.from_dlpack(leaf(1.0))


def test_python_numbers_lists_and_sizes():
    x = Tensor(np.array([[1.5, 2.0]]))
    assert x.tolist() == [[1.5, 2.0]]
    assert x[0, 0].item() == 1.5
    assert isinstance(x[0, 0].item(), float)
    assert float(x[0, 0]) == 1.5
    assert int(x[0, 1]) == 2
    assert bool(x[0, 1])
    assert f"{x[0, 0]:.2f}" == "1.50"
    assert [10, 20][Tensor(np.array(1))] == 20
    assert (len(x), x.ndim, x.dim(), x.numel(), x.size(), x.size(1)) == (1, 2, 2, 2, (1, 2), 2)
    assert x.is_leaf
    assert x.grad_fn is None
    assert x.__dlpack_device__() == (1, 0)  # the CPU
    assert copy.deepcopy(x).tolist() == x.tolist()
    assert len({x, x}) == 1
    for call, error in (
        (x.item, ShapeError),
        (lambda: bool(x), ArgumentError),
        (lambda: len(x[0, 0]), DtypeError),
        (lambda: [10, 20][x[0, 0]], DtypeError),
        (lambda: copy.deepcopy(leaf(1.0) * 2.0), GradientError),
        (lambda: Tensor([1.0]), DtypeError),
        (lambda: Tensor(np.zeros(1, np.float16)), DtypeError),
        (lambda: Tensor(np.zeros(1, complex)), DtypeError),
    ):
        with pytest.raises(error):
            call()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([1.0, 2.0], "tensor([1., 2.])"),
        ([0.5, -1.25], "tensor([ 0.5000, -1.2500])"),
        ([[1, -20], [3, 4]], "tensor([[  1, -20],\n        [  3,   4]])"),
        ([True, False], "tensor([ True, False])"),
        (3.0, "tensor(3.)"),
        (0.1234567, "tensor(0.1235)"),
        (7, "tensor(7)"),
        ([], "tensor([])"),
        ([0.0, -0.0], "tensor([0., -0.])"),
        ([1e-5, 1.0], "tensor([1.0000e-05, 1.0000e+00])"),
        ([1e9, 0.5], "tensor([1.0000e+09, 5.0000e-01])"),
        ([float("nan"), 1.0, float("inf")], "tensor([nan, 1., inf])"),
        ([float("nan"), 1.5, -float("inf")], "tensor([   nan, 1.5000,   -inf])"),
    ],
    ids=str,
)
def test_repr_is_pytorchs(data, text):
    assert repr(tensor(data)) == text


def test_repr_tells_dtype_and_gradient():
    x = leaf(1.0, 2.0)
    assert repr(x) == "tensor([1., 2.], dtype=float64, requires_grad=True)"
    assert repr(x * 2.0) == "tensor([2., 4.], dtype=float64, grad_fn=<mul>)"
    assert repr(zeros(2, dtype="int32")) == "tensor([0, 0], dtype=int32)"
    assert repr(zeros(2, 0)) == "tensor([], size=(2, 0))"


def test_repr_of_large_tensors_shows_their_borders():
    text = repr(tensor(np.arange(2000).reshape(50, 40)))
    assert "..." in text
    assert text.startswith("tensor([[   0,    1,    2,  ...,   37,   38,   39],\n        [  40,")
    x = np.full(2000, 0.5)
    x[1000] = 1e-9  # not shown, so it does not change how the others look
    assert repr(tensor(x)) == "tensor([0.5000, 0.5000, 0.5000,  ..., 0.5000, 0.5000, 0.5000], dtype=float64)"


@given(st.lists(st.integers(0, 3), max_size=3))
def test_repr_of_every_shape(shape):
    assert repr(zeros(shape)).startswith("tensor(")


def test_set_grad_enabled_holds_from_its_call_on_and_ends_with_its_context() -> None:
    x = tg.ones(2, requires_grad=True)
    try:
        tg.set_grad_enabled(False)
        assert not (x * 2).requires_grad
    finally:
        tg.set_grad_enabled(True)
    with tg.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad

    @tg.set_grad_enabled(False)
    def double(x: tg.Tensor) -> tg.Tensor:
        return x * 2

    assert (x * 2).requires_grad
    assert not double(x).requires_grad


def test_an_ndarray_as_the_given_gradient_is_an_error() -> None:
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(DtypeError, match="ndarray"):
        (x * 2).backward(np.ones(2, np.float32))  # pyright: ignore


def test_one_number_is_formatted_and_many_are_not():
    assert f"{Tensor(np.array(1.234)):.2f}" == "1.23"
    assert f"{Tensor(np.ones(2))}" == "tensor([1., 1.], dtype=float64)"
    with pytest.raises(ShapeError, match=r"format: '.2f' is for one number, this tensor has shape \(2,\)"):
        f"{Tensor(np.ones(2)):.2f}"
    with pytest.raises(DtypeError, match=r"iter: a 0-d tensor has no elements.*\.item\(\)"):
        list(Tensor(np.array(1.0)))
