"""Scalar functions: float32 errors in ulps over every exponent, float64 against the C library, special values."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import float32, njit

from tests.kernels.ulp import every_exponent, np_erf, ulp_error
from tinygrad_mlp.kernels import approx

pytestmark = pytest.mark.xdist_group("approx")  # all in one process: their loops are compiled once

Function = Callable[[Any], Any]

FLAGS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}  # as kernels are compiled


def on_arrays(function: Function) -> Any:
    """Compiled loop that applies a device function to each element."""

    def loop(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    return njit(**FLAGS)(loop)


def sigmoid(x: Any) -> Any:
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


CASES: dict[str, tuple[Function, Function, float]] = {  # the function, its float64 reference, its bound in ulps
    "exp": (approx.exp, np.exp, 1),
    "expm1": (approx.expm1, np.expm1, 2),
    "log": (approx.log, np.log, 2),
    "log1p": (approx.log1p, np.log1p, 2),
    "tanh": (approx.tanh, np.tanh, 2),
    "erf": (approx.erf, np_erf, 2),
    "sigmoid": (approx.sigmoid, sigmoid, 3),
    "softplus": (approx.softplus, softplus, 3),
}
LOOPS = {name: on_arrays(case[0]) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def samples() -> Any:
    rng = np.random.default_rng(1)
    busy = [rng.uniform(-104, 89, 200_000), rng.uniform(-4, 4, 200_000), rng.uniform(0.5, 2, 100_000)]
    return np.concatenate([every_exponent(400), *(part.astype(np.float32) for part in busy)])


@pytest.mark.parametrize("name", CASES)
def test_float32_error(name: str, samples: Any) -> None:
    _, reference, bound = CASES[name]
    result = np.empty_like(samples)
    LOOPS[name](samples, result)
    with np.errstate(all="ignore"):
        error = ulp_error(result, reference(samples.astype(np.float64)))
    worst = int(error.argmax())
    assert error[worst] <= bound, f"{name}({samples[worst]!r}) = {result[worst]!r} is {error[worst]} ulps off"


@pytest.mark.parametrize("name", CASES)
def test_float64_is_the_c_library(name: str) -> None:
    _, reference, _ = CASES[name]
    x = np.random.default_rng(2).uniform(-30, 30, 1000)
    x = np.abs(x) if name.startswith("log") else x
    result = np.empty_like(x)
    LOOPS[name](x, result)
    np.testing.assert_allclose(result, reference(x), rtol=4e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_special_values(name: str, dtype: Any) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1000.0, -1000.0, -1.0, 1.0], dtype)
    result = np.empty_like(x)
    LOOPS[name](x, result)
    with np.errstate(all="ignore"):
        expected = CASES[name][1](x.astype(np.float64)).astype(dtype)
    np.testing.assert_allclose(result, expected, rtol=4e-7, equal_nan=True)


def test_exp_just_below_overflow_and_in_the_subnormal_numbers() -> None:
    x = np.array([88.72283, 88.72284, -87.5, -100.0, -103.9, -104.5], np.float32)
    result = np.empty_like(x)
    LOOPS["exp"](x, result)
    with np.errstate(all="ignore"):
        expected = np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(result, expected, rtol=1.2e-7, atol=1.5e-45)


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_odd_functions_keep_the_sign_of_tiny_numbers(name: str) -> None:
    x = np.array([1e-30, -1e-30, 1e-42, -1e-42], np.float32)
    result = np.empty_like(x)
    LOOPS[name](x, result)
    assert np.array_equal(np.sign(result), np.sign(x))


@pytest.mark.parametrize("name", CASES)
def test_float32_loops_are_vector_code(name: str) -> None:
    loop = LOOPS[name]
    loop(np.ones(4, np.float32), np.empty(4, np.float32))
    code = loop.inspect_llvm((float32[::1], float32[::1]))
    assert re.search(r"fmul contract <\d+ x float>", code), f"{name} runs one element at a time: a branch or a call"
