"""check_case passes ops that are right and catches every way of being wrong that it names."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st

import tinygrad_mlp as tg
from tests.autodiff.wrong import MATRIX, WRONG, right
from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import needs_grad
from tinygrad_mlp.errors import DtypeError, GradientError, ShapeError
from tinygrad_mlp.testing import (
    Arguments,
    Constant,
    OpCase,
    arguments,
    arrays,
    arrays_of,
    check_case,
    check_example,
    relaid,
)

CAUGHT = (AssertionError, GradientError, ShapeError, DtypeError)


@tg.op
def cube(x):
    def backward(grad, out):
        return grad * 3.0 * x * x

    return x.array**3, backward


def cube_case(op=cube, **options) -> OpCase:
    return replace(OpCase("cube", op, lambda x: x**3, arrays(low=-2, high=2), ulps=8), **options)


def matrices(shape=MATRIX):
    return arrays_of(st.just((MATRIX, shape)))


def test_the_example_of_the_module_passes():
    check_case(OpCase("cube", cube, reference=lambda x: x**3, inputs=arrays(low=-2, high=2)))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_caught(name):
    wrong, reference, shape = WRONG[name]
    rng = np.random.default_rng(0)
    with pytest.raises(CAUGHT):
        check_example(
            OpCase(name, wrong, reference, matrices(shape), absolute=30),
            (rng.normal(size=MATRIX), rng.normal(size=shape)),
        )


def test_drawn_inputs_catch_what_is_wrong_and_pass_what_is_right():
    check_case(OpCase("right", right, np.multiply, matrices()))
    with pytest.raises(GradientError, match="backprop"):
        check_case(cube_case(FAULTS["sign"][0], inputs=arrays(())))


def cube_like(forward=lambda x: x.array**3, slope=lambda x, grad, out: grad * 3.0 * x * x):
    """`cube` with another way forward or back."""

    @tg.op
    def rule(x):
        return forward(x), lambda grad, out: slope(x, grad, out)

    return rule


def changing(x):
    result = x.array**3
    if x.array.size:
        x.array.flat[0] = 0.0
    return result


def counting():
    calls = iter(range(10**9))
    return lambda x: x.array**3 * (1 + 1e-15 * (next(calls) % 2))


def beyond_its_memory(x):
    """Sums what lies around the array, too."""
    memory = x.array if x.array.base is None else x.array.base
    return x.array**3 + 0 * memory.sum()


# name: (op, what the failure says)
FAULTS = {
    "values": (cube_like(lambda x: x.array**3 * (1 + 1e-9)), "cube in float64"),
    "values in float32": (cube_like(lambda x: x.array**3 * x.dtype.type(1 + 1e-5)), "cube in float"),
    "float32 becomes float64": (cube_like(lambda x: x.array.astype(np.float64) ** 3), "the result is float64"),
    "float64 becomes float32": (cube_like(lambda x: x.array.astype(np.float32) ** 3), "the result is float32"),
    "integers": (cube_like(lambda x: (x.array**3).astype(np.int64)), "dtype int64, expected one like float64"),
    "shape": (cube_like(lambda x: (x.array**3)[None]), r"shape \(1"),
    "changes its input": (cube_like(changing), "changed its input"),
    "other bits each time": (cube_like(counting()), "other bits"),
    "reads gaps in memory": (cube_like(beyond_its_memory), "cube in float64"),
    "sign": (cube_like(slope=lambda x, grad, out: grad * -3.0 * x * x), "backprop"),
    "gradient in float32": (cube_like(slope=lambda x, grad, out: (grad * 3.0 * x * x).float()), "dtype float32"),
    "gradient outside the graph": (
        cube_like(slope=lambda x, grad, out: tg.Tensor(grad.array * x.array.dtype.type(3) * x.array**2)),
        "gradgradcheck",
    ),
    "gradient changed where it is recorded": (
        cube_like(slope=lambda x, grad, out: grad * (3.1 if grad_enabled.get() else 3.0) * x * x),
        "create_graph",
    ),
    "wants row-major gradients": (
        cube_like(slope=lambda x, grad, out: tg.Tensor(grad.array.ravel("K").reshape(x.shape)) * (3.0 * x * x)),
        "memory layout|backprop|create_graph|repeated|derivative",
    ),
    "gradient wrong in float32 alone": (
        cube_like(slope=lambda x, grad, out: grad * (3.0 if x.dtype == np.float64 else 3.01) * x * x),
        "in float32 is far from",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_caught(name):
    op, message = FAULTS[name]
    strided = relaid(np.linspace(-1, 1, 24).reshape(4, 6)[::2, ::2].T)
    with pytest.raises(CAUGHT, match=message):
        check_example(cube_case(op), strided)


def test_a_result_that_its_own_backward_holds_is_caught():
    @tg.op
    def rule(x):
        held = []

        def backward(grad, out):
            return grad * 3.0 * x * x

        backward.held = held
        return x.array**3, backward

    def holding(x):
        out = rule(x)
        if out.node is not None:
            out.node.backward.held.append(out)
        return out

    with pytest.raises(AssertionError, match="something holds the result"):
        check_example(cube_case(holding), np.array([1.0, 2.0]))


def test_shared_memory_without_a_shared_version_is_caught():
    @tg.op
    def same(x):
        return x.array[...], lambda grad, out: grad

    @tg.op(view=True)
    def same_view(x):
        return x.array[...], lambda grad, out: grad

    check_case(OpCase("same", same_view, lambda x: x, arrays()))
    with pytest.raises(AssertionError, match=r"shares memory .* use @op\(view=True\)"):
        check_example(OpCase("same", same, lambda x: x, arrays()), np.array([1.0, 2.0]))


def test_a_gradient_that_counts_on_all_arguments_being_asked_for_is_caught():
    @tg.op
    def rule(x, y):
        def backward(grad, out):
            found = [grad * y] if needs_grad(x) else []
            return (*found, grad * x) if needs_grad(y) else (found[0], None)

        return x.array * y.array, backward

    with pytest.raises((*CAUGHT, ValueError)):
        check_example(OpCase("product", rule, np.multiply, matrices()), (np.ones((2, 2)), np.full((2, 2), 3.0)))


def test_a_rule_that_fails_at_the_borders_is_caught():
    def failing(at):
        def forward(x):
            if x.shape == at:
                raise ZeroDivisionError
            return x.array**3

        return cube_like(forward)

    for at in ((), (0,), (1,)):
        with pytest.raises(ZeroDivisionError):
            check_case(cube_case(failing(at)))


def test_several_outputs_must_all_be_right():
    def both(x):
        return x.exp(), x.sin()

    def reference(x):
        return np.exp(x), np.sin(x)

    check_case(OpCase("both", both, reference, arrays(), absolute=1))
    with pytest.raises(AssertionError, match="2 outputs, expected 1"):
        check_example(OpCase("both", both, np.exp, arrays()), np.ones(2))
    with pytest.raises(AssertionError, match="both in float64"):
        check_example(OpCase("both", both, lambda x: (np.exp(x), np.cos(x)), arrays()), np.ones(2))


def test_outputs_may_depend_on_one_argument_each():
    def apart(x, y):
        return x.exp(), y.sin()

    check_case(OpCase("apart", apart, lambda x, y: (np.exp(x), np.sin(y)), matrices(), absolute=1))


def test_constants_and_numbers_and_names_are_passed_on():
    def scaled(x, weight, *, factor):
        assert not weight.requires_grad
        return x * weight.detach() * factor

    inputs = arguments(arrays((2, 3)), arrays((3,)).map(Constant), factor=st.sampled_from([2.0, 3.0]))
    check_case(OpCase("scaled", scaled, lambda x, weight, factor: x * weight * factor, inputs))


def test_an_op_without_float_arguments_has_no_gradient():
    case = OpCase("integers", lambda x: x, lambda x: x, arrays(dtype=np.int64))
    with pytest.raises(AssertionError, match="no argument is an array of floats"):
        check_example(case, np.arange(3))
    check_case(replace(case, differentiable=False))


def test_first_derivatives_alone():
    op, _ = FAULTS["gradient outside the graph"]
    check_example(cube_case(op, second=False), np.array([1.0, 2.0]))


def test_one_example():
    check_example(cube_case(), np.array([1.0, 2.0]))
    check_example(cube_case(), (np.array(1.0),))
    check_example(cube_case(), Arguments((np.zeros((2, 0)),)))
    with pytest.raises(AssertionError, match="cube in float64"):
        check_example(cube_case(reference=lambda x: x**2), np.array([2.0]))


def test_numbers_that_float32_does_not_hold():
    check_example(cube_case(), np.array([0.1, 1 / 3]))


def test_the_number_of_examples():
    seen = []

    def noted(x):
        seen.append(x)
        return cube(x)

    case = replace(cube_case(noted), differentiable=False)
    check_case(case, max_examples=2)
    assert len(seen) == 8  # an example is two calls in each dtype


def test_without_hypothesis_the_error_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tinygrad_mlp.testing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"needs hypothesis: pip install 'tinygrad_mlp\[test\]'"):
        importlib.import_module("tinygrad_mlp.testing")
