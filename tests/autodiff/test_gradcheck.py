"""The gradient checks themselves: they pass what is right, kinks included, and catch what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.autodiff.wrong import MATRIX, WRONG, right
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.gradcheck import gradcheck, gradgradcheck
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.random import dropout
from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, ShapeError
from tinygrad_mlp.kernels.random import Generator


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("fast_mode", [False, True])
def test_wrong_rules_are_caught(name, fast_mode):
    wrong, _, shape = WRONG[name]
    with pytest.raises((GradientError, ShapeError)):
        gradcheck(wrong, [drawn(*MATRIX), drawn(*shape, seed=1)], fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_right_rules_pass(fast_mode):
    x, y = drawn(*MATRIX), drawn(*MATRIX, seed=1)
    assert gradcheck(right, [x, y], fast_mode=fast_mode)
    assert gradgradcheck(right, [x, y], fast_mode=fast_mode)
    assert gradcheck(right, [x, y.detach()], fast_mode=fast_mode)


def test_the_message_names_input_index_values_and_relative_error():
    wrong = WRONG["factor 2"][0]
    x, y = Tensor(np.full((3, 3), 2.0)), Tensor(np.full((3, 3), 3.0), requires_grad=True)
    with pytest.raises(GradientError) as caught:
        gradcheck(wrong, [x, y])
    lines = str(caught.value).splitlines()
    assert lines[0] == "gradcheck: 9 derivative(s) are wrong"
    # The weight of the first element is 0.5 + 0.6180339887.
    assert lines[1] == "  input 1[0, 0]: backprop 4.472135955, numeric 2.236067978, relative error 0.5"


def test_long_lists_of_failures_are_cut():
    wrong = WRONG["sign"][0]
    with pytest.raises(GradientError, match=r"18 derivative\(s\)[\s\S]*… and 8 more"):
        gradcheck(wrong, [drawn(*MATRIX), drawn(*MATRIX, seed=1)])


def test_the_result_instead_of_an_exception():
    wrong = WRONG["sign"][0]
    assert gradcheck(wrong, [drawn(*MATRIX), drawn(*MATRIX, seed=1)], raise_exception=False) is False


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1.0, 1e6, 1e12])
def test_the_scale_of_a_function_does_not_matter(scale):
    x, y = drawn(*MATRIX), drawn(*MATRIX, seed=1)
    assert gradcheck(lambda x, y: right(x, y) * scale, [x, y])
    for name in ("sign", "0.1 % off", "zero", "one element"):
        assert not gradcheck(lambda x, y, f=WRONG[name][0]: f(x, y) * scale, [x, y], raise_exception=False), name


def test_a_large_constant_hides_nothing():
    x, y = drawn(*MATRIX), drawn(*MATRIX, seed=1)
    assert gradcheck(lambda x, y: right(x, y) + 1e4, [x, y])
    assert not gradcheck(lambda x, y: WRONG["0.1 % off"][0](x, y) + 1e4, [x, y], raise_exception=False)


@given(st.sampled_from([0.0, 1e-9, -1e-8, 1e-7, -3e-7, 1e-6, 2e-6, -5e-6, 9e-6, 1.1e-5, -1e-4]))
def test_kinks_are_recognised_on_and_around_them(distance):
    x = leaf(distance, 1.0 + distance, -1.0 + distance)
    for f in (lambda x: x.relu(), lambda x: x.abs(), lambda x: x.clamp(-1.0, 1.0), lambda x: x.maximum(0.5 * x)):
        assert gradcheck(f, x)
    assert gradcheck(lambda x: x.relu() * x.exp(), x)
    assert gradgradcheck(lambda x: x.relu() * x, x)
    assert gradgradcheck(lambda x: x.abs(), x)


@pytest.mark.parametrize("slope", [0.5, -0.5])
def test_where_a_function_jumps_the_derivative_is_that_of_both_sides(slope):
    @op
    def stair(x):
        return np.floor(x.array), lambda grad, out: grad * slope

    assert gradcheck(lambda x: x.floor(), leaf(1.0, 2.0, 2.5))
    with pytest.raises(GradientError):
        gradcheck(stair, leaf(1.0))


def kinked(slope: float):
    """ReLU whose derivative at 0 is `slope`."""

    @op
    def rule(x):
        def backward(grad, out):
            return grad * Tensor(np.where(x.array == 0, slope, x.array > 0))

        return np.maximum(x.array, 0), backward

    return rule


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_at_a_kink_any_derivative_between_left_and_right_is_right(slope):
    assert gradcheck(kinked(slope), leaf(0.0, 1.0))


@pytest.mark.parametrize("slope", [-0.1, 1.1, 2.0, np.nan, np.inf])
def test_at_a_kink_others_are_wrong(slope):
    with pytest.raises(GradientError, match=r"1 derivative\(s\)[\s\S]*input 0\[0\]") as caught:
        gradcheck(kinked(slope), leaf(0.0, 1.0))
    assert str(caught.value).endswith(", at a kink") == np.isfinite(slope)


def test_a_wrong_gradient_is_not_taken_for_a_kink_where_the_function_bends_sharply():
    @op
    def sharp(x):
        def backward(grad, out):
            return grad * x * 1e4 + grad * 1e-3

        return x.array**2 * 5e3, backward

    with pytest.raises(GradientError):
        gradcheck(sharp, leaf(0.0, 1e-3, -0.1))


def test_several_outputs_and_integers_among_them():
    x = drawn(4)
    assert gradcheck(lambda x: x.sort(), x)
    assert gradcheck(lambda x: [x * 2.0, x.exp(), x > 0], x)
    with pytest.raises(GradientError):
        gradcheck(lambda x: [x * 2.0, x.exp().detach()], x)


def test_inputs_that_need_no_gradient_are_passed_on():
    assert gradcheck(lambda x, index: x[index], [drawn(3, 2), Tensor(np.array([2, 0, 2]))])


def test_outputs_that_do_not_depend_on_the_input():
    x = drawn(3)
    assert gradcheck(lambda x: Tensor(np.ones(2)), x)
    assert gradcheck(lambda x: x.sign(), x)
    assert gradcheck(lambda x: x.reshape(3, 1).log_softmax(1), x)
    assert gradgradcheck(lambda x: x.sign(), x)
    with pytest.raises(GradientError):
        gradcheck(lambda x: x.detach().exp(), x)


def test_infinities_that_stay_are_no_difference():
    assert gradcheck(lambda x: x.masked_fill(Tensor(np.array([True, False])), -np.inf), leaf(1.0, 2.0))


def test_empty_and_single_inputs():
    assert gradcheck(lambda x: x.exp(), drawn(0, 3))
    assert gradgradcheck(lambda x: x.exp(), drawn(0, 3))
    assert gradcheck(lambda x: x.exp(), Tensor(np.array(0.5), requires_grad=True))


def test_memory_of_any_layout():
    base = np.arange(48.0).reshape(4, 3, 4) / 10
    for array in (base.transpose(2, 0, 1), base[::2, ::-1, 1:3], np.asfortranarray(base[0])):
        before = array.copy()
        assert gradcheck(lambda x: x.sin(), Tensor(array, requires_grad=True))
        np.testing.assert_array_equal(array, before)


def test_inputs_are_put_back_when_the_function_fails():
    x = leaf(1.0, 2.0)

    def fails(x):
        if x.array[1] != 2.0:
            raise RuntimeError("moved")
        return x.exp()

    with pytest.raises(RuntimeError, match="moved"):
        gradcheck(fails, x)
    assert x.tolist() == [1.0, 2.0]


def test_the_function_may_find_its_inputs_itself():
    weight, x = drawn(3, 2), drawn(4, 3, seed=1).detach()
    assert gradcheck(lambda _: (x @ weight).tanh(), weight)
    with pytest.raises(GradientError):
        gradcheck(lambda _: WRONG["sign"][0](x @ weight, x @ weight), weight)


def test_an_input_that_was_computed_keeps_its_graph():
    x = drawn(3)
    computed = x * 2.0
    assert gradcheck(lambda y: y.exp(), computed)
    assert gradgradcheck(lambda y: y.exp(), computed)
    (found,) = grad(computed.sum(), x)
    assert found.tolist() == [2.0] * 3


def test_random_masks_stand_still_and_the_generators_go_on_as_if_nothing_was():
    x, own = drawn(20), Generator(seed=5)
    states = default_generator.get_state(), own.get_state()
    assert gradcheck(lambda x: dropout(x, 0.5) * x, x)
    assert gradcheck(lambda x: dropout(x, 0.5, generator=own) * x, x, generators=[own])
    assert gradgradcheck(lambda x: dropout(x, 0.5, generator=own) * x, x, generators=[own])
    for state, generator in zip(states, (default_generator, own), strict=True):
        np.testing.assert_array_equal(state, generator.get_state())
    with pytest.raises(GradientError, match=r"other values when it is called again.*generators="):
        gradcheck(lambda x: dropout(x, 0.5, generator=own) * x, x)


def test_refusals():
    with pytest.raises(DtypeError, match="input 0 is float32, expected float64"):
        gradcheck(lambda x: x, Tensor(np.ones(2, np.float32), requires_grad=True))
    with pytest.raises(DtypeError, match="computed in float32"):
        gradcheck(lambda x: x.float(), drawn(2))
    with pytest.raises(ArgumentError, match="no input requires grad"):
        gradcheck(lambda x: x, Tensor(np.ones(2)))
    with pytest.raises(ArgumentError, match="no floating-point tensor"):
        gradcheck(lambda x: x > 0, drawn(2))
    with pytest.raises(ArgumentError, match=r"read-only memory.*\.clone\(\)"):
        gradcheck(lambda x: x, drawn(1).expand(3))
    with pytest.raises(ShapeError, match="output's shape depends"):
        gradcheck(lambda x: x[: 2 + int(x.array[0] > 1.0)], leaf(1.0, 2.0, 3.0))


@op
def recorded_wrong(x):
    """sin whose recorded gradient is another than the plain one."""
    from tinygrad_mlp.autodiff.mode import grad_enabled

    def backward(grad, out):
        return grad * x.cos() * (1.5 if grad_enabled.get() else 1.0)

    return np.sin(x.array), backward


@op
def in_numpy(x):
    """sin whose gradient is computed outside the graph."""

    def backward(grad, out):
        return grad * Tensor(np.cos(x.array))

    return np.sin(x.array), backward


@op
def second_sign(x):
    """sin by way of an op that goes back wrongly."""

    def backward(grad, out):
        return cosine_with_wrong_sign(grad, x)

    return np.sin(x.array), backward


@op
def cosine_with_wrong_sign(grad, x):
    def backward(outer, out):
        return outer * x.cos(), outer * grad * x.sin()

    return grad.array * np.cos(x.array), backward


@op
def second_by_grad(x):
    """sin by way of an op that goes back wrongly to the gradient it was given."""

    def backward(grad, out):
        return cosine_with_wrong_grad(grad, x)

    return np.sin(x.array), backward


@op
def cosine_with_wrong_grad(grad, x):
    def backward(outer, out):
        return outer, -outer * grad * x.sin()

    return grad.array * np.cos(x.array), backward


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("wrong", [recorded_wrong, in_numpy, second_sign, second_by_grad])
def test_wrong_second_derivatives_are_caught(wrong, fast_mode):
    x = drawn(3)
    assert gradcheck(wrong, x)
    with pytest.raises(GradientError, match="gradgradcheck"):
        gradgradcheck(wrong, x, fast_mode=fast_mode)


def test_a_recorded_gradient_that_differs_is_shown_with_both_values():
    with pytest.raises(GradientError, match=r"gradient of input 0\[1\]: \S+ under create_graph, \S+ without"):
        gradgradcheck(recorded_wrong, drawn(3))


def test_second_derivatives_of_linear_functions_are_zero():
    x, y = drawn(3), drawn(3, seed=1)
    assert gradgradcheck(lambda x: x * 2.0, x)
    assert gradgradcheck(lambda x, y: x.sum() + y.exp(), [x, y])
