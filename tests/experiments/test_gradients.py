"""Gradient tables: right nets agree, wrong ones are seen, weights are put back."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import nn
from tinygrad_mlp.errors import ArgumentError, IndexRangeError
from tinygrad_mlp.experiments.gradients import (
    GradientRow,
    NamedWeight,
    compare_gradients,
    gradient_table,
    gradients_agree,
)
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.tables import Table

WEIGHTS = (NamedWeight(-1, "bias", (0,)), NamedWeight(0, "weight", (1, 300)), NamedWeight(1, "weight", (2, 3)))
RECIPE = Recipe(data="synthetic-fashion", hidden=(6, 5), activation="tanh")


@tg.op
def wrong_tanh(x):
    def backward(grad, out):
        return grad * (1.0 - out)  # not 1 - out²

    return np.tanh(x.array), backward


class WrongTanh(nn.Module):
    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return wrong_tanh(x)


def net_of(activation: nn.Module) -> nn.Sequential:
    tg.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), activation, nn.Linear(3, 2))


def batch() -> tuple[tg.Tensor, tg.Tensor]:
    x = np.random.default_rng(0).normal(size=(5, 4)) + 1.0
    return tg.Tensor(x.astype(np.float32)), tg.Tensor(np.array([0, 1, 0, 1, 1]))


def test_right_gradients_agree() -> None:
    every = [NamedWeight(0, "weight", (i, j)) for i in range(3) for j in range(4)]
    rows = compare_gradients(net_of(nn.Tanh()), batch(), every)
    assert all(row.within for row in rows)
    assert max(abs(row.backprop) for row in rows) > 1e-2


def test_a_wrong_gradient_is_seen() -> None:
    every = [NamedWeight(0, "weight", (i, j)) for i in range(3) for j in range(4)]
    rows = compare_gradients(net_of(WrongTanh()), batch(), every)
    assert not all(row.within for row in rows)
    assert max(row.relative for row in rows) > 0.05


def test_the_net_is_left_as_it_was() -> None:
    net = net_of(nn.Tanh())
    before = {name: tensor.array.copy() for name, tensor in net.state_dict().items()}
    compare_gradients(net, batch(), [NamedWeight(0, "weight", (0, 0)), NamedWeight(-1, "bias", (1,))])
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(tensor.array, before[name])
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("weight", "name"),
    [
        (NamedWeight(-1, "bias", (0,)), "output bias [0]"),
        (NamedWeight(0, "weight", (2, 1)), "hidden 1 weight [2, 1]"),
        (NamedWeight(-2, "weight", (2, 1)), "hidden 1 weight [2, 1]"),
    ],
)
def test_names(weight: NamedWeight, name: str) -> None:
    assert weight.in_net(net_of(nn.Tanh()))[0] == name


def test_names_with_convolutions() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3), nn.Linear(3, 2))
    names = [NamedWeight(layer, "bias", (0,)).in_net(net)[0] for layer in range(3)]
    assert names == ["convolution 1 bias [0]", "hidden 1 bias [0]", "output bias [0]"]


@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [
        (NamedWeight(2, "bias", (0,)), ArgumentError, "layer=2"),
        (NamedWeight(0, "scale", (0,)), ArgumentError, "scale"),  # type: ignore[arg-type]
        (NamedWeight(0, "bias", (3,)), IndexRangeError, r"\(3,\)"),
        (NamedWeight(0, "weight", (0,)), IndexRangeError, r"\(3, 4\)"),
    ],
)
def test_weights_that_are_not_there(weight: NamedWeight, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        compare_gradients(net_of(nn.Tanh()), batch(), [weight])


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_steps_and_bounds_are_positive(value: float) -> None:
    with pytest.raises(ArgumentError, match="epsilon"):
        compare_gradients(net_of(nn.Tanh()), batch(), WEIGHTS[:1], epsilon=value)
    with pytest.raises(ArgumentError, match="bound"):
        compare_gradients(net_of(nn.Tanh()), batch(), WEIGHTS[:1], bound=value)


def test_no_bias() -> None:
    with pytest.raises(ArgumentError, match="no bias"):
        NamedWeight(0, "bias", (0,)).in_net(nn.Sequential(nn.Linear(2, 2, bias=False)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_table(dtype) -> None:
    table = gradient_table(RECIPE, 0, WEIGHTS, dtype=dtype)
    assert table.columns == ("weight", "backprop", "numerical", "absolute difference", "within ε²")
    assert [row[4].words for row in table.rows] == ["yes"] * 3
    assert gradients_agree(lambda: table)(None).verdict == "reproduced"  # type: ignore[arg-type]
    assert "One image of each class" in table.note


def test_float64_is_closer_than_float32() -> None:
    def largest(dtype) -> float:
        rows = gradient_table(RECIPE, 0, WEIGHTS, samples=1, epsilon=1e-4, dtype=dtype).rows
        return max(row[3].number or 0.0 for row in rows)

    assert largest("float64") < largest("float32") / 10  # a small step divides the rounding of float32 by little


def test_bound_and_samples_are_said() -> None:
    table = gradient_table(RECIPE, 1, WEIGHTS, samples=2, bound=1e-12)
    assert "within 1e-12" in table.columns
    assert "no" in [row[4].words for row in table.rows]
    assert "2 random images" in table.note
    assert gradients_agree(lambda: table)(None).verdict == "not reproduced"  # type: ignore[arg-type]


def test_dtype_and_samples_are_checked() -> None:
    with pytest.raises(ArgumentError, match="float16"):
        gradient_table(RECIPE, 0, WEIGHTS, dtype="float16")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="samples"):
        gradient_table(RECIPE, 0, WEIGHTS, samples=0)


def test_a_difference_in_sign_does_not_agree_however_small() -> None:
    made = gradient_table(RECIPE, 0, WEIGHTS[:1])
    flipped = tuple((row[0], row[1], type(row[2])("", -(row[1].number or 0.0)), *row[3:]) for row in made.rows)
    table = Table(made.title, made.columns, flipped)
    assert gradients_agree(lambda: table)(None).verdict == "not reproduced"  # type: ignore[arg-type]


def test_rows() -> None:
    assert GradientRow("w", 0.0, 0.0, 1e-4).relative == 0.0
    assert not GradientRow("w", float("nan"), 0.0, 1e-4).within
