"""Initialisers: distributions, fans, seeds, independence of memory order, orthogonality, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.random_state import manual_seed
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import init

RANDOM = {name: function for name, function in init.INITIALIZERS.items() if name not in ("zeros", "ones", "constant")}

# name, settings, variance for a weight (out 300, in 200)
VARIANCES = [
    ("xavier_uniform", {}, 2 / 500),
    ("xavier_normal", {"gain": 3.0}, 9 * 2 / 500),
    ("kaiming_uniform", {}, 2 / 200),
    ("kaiming_uniform", {"a": math.sqrt(5)}, 1 / 3 / 200),
    ("kaiming_uniform", {"mode": "fan_out", "nonlinearity": "linear"}, 1 / 300),
    ("kaiming_normal", {"nonlinearity": "relu"}, 2 / 200),
    ("kaiming_normal", {"mode": "fan_out", "nonlinearity": "tanh"}, (5 / 3) ** 2 / 300),
    ("lecun_uniform", {}, 1 / 200),
    ("lecun_normal", {}, 1 / 200),
    ("normal", {"std": 0.5}, 0.25),
    ("uniform", {"a": -3.0, "b": 3.0}, 3.0),
]


def tensor(*shape: int, dtype: type = np.float32) -> Tensor:
    return Tensor(np.full(shape, 99, dtype))


@pytest.mark.parametrize(("name", "settings", "variance"), VARIANCES)
def test_distributions(name: str, settings: dict[str, object], variance: float) -> None:
    weight = tensor(300, 200, dtype=np.float64)
    assert init.INITIALIZERS[name](weight, **settings, generator=Generator(1)) is weight
    values = weight.array
    assert values.var() == pytest.approx(variance, rel=0.02)  # 60,000 numbers: a standard error below 0.6 %
    assert values.mean() == pytest.approx(0, abs=0.02 * math.sqrt(variance))
    if "uniform" in name:
        bound = math.sqrt(3 * variance)
        assert 0.999 * bound < abs(values).max() <= bound
    else:
        within = np.mean(abs(values) < math.sqrt(variance))
        assert within == pytest.approx(0.6827, abs=0.01)


def test_fans_of_a_convolution_count_the_receptive_field() -> None:
    weight = init.kaiming_uniform_(tensor(20, 10, 5, 5), nonlinearity="linear", generator=Generator(0))
    assert abs(weight.array).max() == pytest.approx(math.sqrt(3 / 250), rel=1e-3)
    weight = init.kaiming_uniform_(tensor(20, 10, 5, 5), 0, "fan_out", "linear", Generator(0))
    assert abs(weight.array).max() == pytest.approx(math.sqrt(3 / 500), rel=1e-3)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_seed_same_bits_in_any_memory_order(name: str, dtype: type) -> None:
    rows, columns = tensor(7, 5, dtype=dtype), Tensor(np.zeros((5, 7), dtype).T)
    RANDOM[name](rows, generator=Generator(3))
    RANDOM[name](columns, generator=Generator(3))
    np.testing.assert_array_equal(rows.array, columns.array)
    assert columns.array.flags.f_contiguous
    assert rows.dtype == dtype
    other = RANDOM[name](tensor(7, 5, dtype=dtype), generator=Generator(4))
    assert not np.array_equal(rows.array, other.array)
    assert rows.version == 1


@pytest.mark.parametrize("name", RANDOM)
def test_the_default_generator_is_seeded_by_manual_seed(name: str) -> None:
    drawn = []
    for seed in (5, 5, 6):
        manual_seed(seed)
        drawn.append(RANDOM[name](tensor(4, 3)).array)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_constants() -> None:
    assert init.zeros_(tensor(2)).tolist() == [0, 0]
    assert init.ones_(tensor(2, dtype=np.int64)).tolist() == [1, 1]
    assert init.constant_(tensor(2), 0.5).tolist() == [0.5, 0.5]


def test_parameters_may_be_filled_with_grad_on() -> None:
    parameter = nn.Parameter(np.zeros((3, 2), np.float32))
    for function in init.INITIALIZERS.values():
        (init.constant_(parameter, 2.0) if function is init.constant_ else function(parameter))
    assert parameter.is_leaf
    assert parameter.requires_grad
    assert parameter.version == len(init.INITIALIZERS)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_orthogonal(rows: int, columns: int, seed: int) -> None:
    weight = init.orthogonal_(tensor(rows, columns, dtype=np.float64), gain=2.0, generator=Generator(seed)).array
    few = weight if rows <= columns else weight.T
    np.testing.assert_allclose(few @ few.T, 4 * np.eye(len(few)), atol=1e-13)


def test_orthogonal_is_the_q_of_a_normal_matrix_with_positive_diagonal() -> None:
    """That choice of signs is what makes it uniformly distributed (Mezzadri 2007)."""
    normal = init.normal_(tensor(20, 50, dtype=np.float64), generator=Generator(8)).array
    q, r = np.linalg.qr(normal.T)
    weight = init.orthogonal_(tensor(20, 50, dtype=np.float64), generator=Generator(8)).array
    np.testing.assert_allclose(weight, (q * np.sign(np.diag(r))).T, atol=1e-12)
    tall = init.orthogonal_(tensor(50, 20), generator=Generator(8)).array
    np.testing.assert_array_equal(tall, weight.T.astype(np.float32))
    kernels = init.orthogonal_(tensor(20, 2, 5, 5), generator=Generator(8)).array
    np.testing.assert_array_equal(kernels.reshape(20, 50), weight.astype(np.float32))


def test_orthogonal_keeps_its_accuracy_when_large() -> None:
    weight = init.orthogonal_(tensor(256, 256, dtype=np.float64), generator=Generator(0)).array
    np.testing.assert_allclose(np.einsum("ij,kj->ik", weight, weight), np.eye(256), atol=1e-13)


def test_gains() -> None:
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 1.0) == 1.0
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert [init.calculate_gain(name) for name in ("linear", "conv1d", "conv2d", "sigmoid", "selu")] == [
        1,
        1,
        1,
        1,
        0.75,
    ]
    with pytest.raises(ArgumentError, match="unknown nonlinearity 'rulu'; expected one of 'linear'"):
        init.calculate_gain("rulu")


def test_tensors_without_elements_are_left_alone() -> None:
    for function in RANDOM.values():
        assert function(tensor(0, 3)).shape == (0, 3)
        assert function(tensor(3, 0)).shape == (3, 0)


def test_initializer_by_name() -> None:
    assert init.initializer("xavier_uniform") is init.xavier_uniform_
    with pytest.raises(ArgumentError, match=r"'xaver_normal', did you mean 'xavier_normal'.*known are zeros, ones"):
        init.initializer("xaver_normal")


@pytest.mark.parametrize("name", [name for name in RANDOM if name not in ("normal", "uniform")])
def test_fans_need_two_dimensions(name: str) -> None:
    with pytest.raises(ShapeError, match=rf"{name}_: .*at least two dimensions.*\(3,\)"):
        RANDOM[name](tensor(3))


@pytest.mark.parametrize("name", RANDOM)
def test_only_floats_are_drawn(name: str) -> None:
    with pytest.raises(DtypeError, match="must be float32 or float64, got int64"):
        RANDOM[name](tensor(3, 3, dtype=np.int64))


def test_impossible_settings() -> None:
    with pytest.raises(ArgumentError, match="low <= high"):
        init.uniform_(tensor(3), 1.0, 0.0)
    with pytest.raises(ArgumentError, match="standard deviation of -1"):
        init.normal_(tensor(3), std=-1.0)
    with pytest.raises(ArgumentError, match="kaiming_normal_: unknown mode 'fan'"):
        init.kaiming_normal_(tensor(3, 3), mode="fan")
