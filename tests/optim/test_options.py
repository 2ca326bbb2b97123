"""Options and parameters that make no sense: each raises, naming what it got and what it expected."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError
from tinygrad_mlp.nn import Parameter
from tinygrad_mlp.optim.run import Run

ALL = [optim.SGD, optim.Adam, optim.AdamW, optim.Adadelta, optim.RMSprop, optim.Adagrad]
NAN, INF = float("nan"), float("inf")


def weight() -> Parameter:
    return Parameter(np.ones((2, 2), np.float32))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("option", ["lr", "weight_decay", "l1", "l2"])
@pytest.mark.parametrize("value", [-1e-3, NAN, INF, "0.1", None, True])
def test_shared_options(kind: Any, option: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{kind.__name__}: {option}={re.escape(repr(value))}, expected"):
        kind([weight()], **{option: value})


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (optim.SGD, {"momentum": -0.1}, "momentum=-0.1"),
        (optim.SGD, {"dampening": NAN}, "dampening=nan"),
        (optim.SGD, {"nesterov": True}, "needs momentum"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening = 0"),
        (optim.SGD, {"nesterov": "yes", "momentum": 0.9}, "nesterov='yes', expected True or False"),
        (optim.SGD, {"averaged": True, "momentum": 1.0}, r"in \[0, 1\)"),
        (optim.SGD, {"averaged": True, "momentum": 0.9, "nesterov": True}, "goes with neither"),
        (optim.SGD, {"averaged": True, "dampening": 0.5}, "goes with neither"),
        (optim.Adam, {"betas": (1.0, 0.999)}, r"betas\[0\]=1.0, expected a finite number in \[0, 1\)"),
        (optim.Adam, {"betas": (0.9, -0.1)}, r"betas\[1\]=-0.1"),
        (optim.Adam, {"betas": (0.9,)}, "expected two numbers"),
        (optim.Adam, {"betas": 0.9}, "betas=0.9, expected two numbers"),
        (optim.Adam, {"eps": -1e-8}, "eps=-1e-08, expected a finite number at least 0"),
        (optim.AdamW, {"betas": (0.9, "0.999")}, r"AdamW: betas\[1\]='0.999'"),
        (optim.Adadelta, {"rho": 1.0}, "rho"),
        (optim.Adadelta, {"eps": -1.0}, "eps"),
        (optim.RMSprop, {"alpha": 1.5}, "alpha"),
        (optim.RMSprop, {"eps": -1.0}, "eps"),
        (optim.RMSprop, {"momentum": -0.5}, "momentum"),
        (optim.RMSprop, {"centered": 1}, "centered"),
        (optim.Adagrad, {"lr_decay": -1.0}, "lr_decay"),
        (optim.Adagrad, {"initial_accumulator_value": -1.0}, "initial_accumulator_value"),
        (optim.Adagrad, {"eps": -1.0}, "eps"),
    ],
)
def test_own_options(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        kind([weight()], **options)
    with pytest.raises(ArgumentError, match=message):  # and in a group
        kind([{"params": [weight()], **options}])


def test_numbers_of_numpy_are_numbers() -> None:
    optimizer = optim.Adam([weight()], lr=np.float32(0.5), betas=(np.float64(0.5), 0), eps=np.int64(1))
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_unknown_options_are_listed_with_the_known() -> None:
    with pytest.raises(ArgumentError, match=r"SGD: unknown options \['learning_rate'\]; known are .*'lr'"):
        optim.SGD([{"params": [weight()], "learning_rate": 0.1}])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "no parameters"),
        (iter(()), "no parameters; an iterator that was already used up"),
        ("weights", "got a str, expected a sequence"),
        ({"params": [weight()]}, "got a dict, expected"),
        ({weight()}, "got a set"),
        (None, "got a NoneType"),
        (0.1, "got a float"),
        (nn.Linear(2, 3), r"got a Linear; give its parameters, net\.parameters\(\)"),
        (nn.Sequential(nn.Linear(2, 3)), "got a Sequential"),
        ([{"params": []}], "parameter group 0 is empty"),
        ([{"params": [weight()]}, {"params": ()}], "parameter group 1 is empty"),
        ([{"params": "weights"}], "'params' of a group is 'weights'"),
        ([{"lr": 0.1}], "no dict with 'params'"),
        ([{"params": [weight()]}, weight()], "no dict with 'params'"),
    ],
)
def test_what_are_no_parameters(params: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        optim.SGD(params)


def test_a_parameter_given_twice() -> None:
    tied = weight()
    with pytest.raises(ArgumentError, match=r"parameter 2 \(shape \(2, 2\)\) was given twice"):
        optim.SGD([tied, weight(), tied])
    with pytest.raises(ArgumentError, match=r"out.weight .* was given twice"):
        optim.SGD([{"params": [("in.weight", tied)]}, {"params": [("out.weight", tied)]}])


def test_what_cannot_be_trained() -> None:
    with pytest.raises(DtypeError, match="parameter 1 has dtype int64, expected float32 or float64"):
        optim.SGD([weight(), Tensor(np.arange(3))])
    with pytest.raises(DtypeError, match="parameter 0 is a ndarray, expected a Tensor"):
        optim.SGD([np.ones(3)])  # pyright: ignore[reportArgumentType]
    with pytest.raises(DtypeError, match="labels is a str"):
        optim.SGD([("labels", "a")])  # pyright: ignore[reportArgumentType]
    with pytest.raises(GradientError, match=r"parameter 0 .* was computed by mul; only leaves"):
        optim.SGD([weight() * 2.0])


def test_a_new_optimizer_needs_an_update() -> None:
    options = {"lr": 0.5, "weight_decay": 0.0, "l1": 0.0, "l2": 0.0}
    made = weight()
    made.grad = Tensor(np.full((2, 2), 3, np.float32))
    with pytest.raises(NotImplementedError, match=r"Optimizer has neither a step\(self\)"):
        optim.Optimizer([made], options).step()

    class SignSGD(optim.Optimizer):
        def update(self, run: Run, group: Any) -> None:
            run.weight[:] -= np.float32(run.options[0]) * np.sign(run.grad)

    SignSGD([made], options).step()
    np.testing.assert_array_equal(made.detach(), np.full((2, 2), 0.5))
