"""Random tensors: their seeds, distributions, shapes and dtypes."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from tinygrad_mlp.autodiff import dtypes, sampling
from tinygrad_mlp.autodiff.creation import ones, tensor, zeros
from tinygrad_mlp.autodiff.random_state import default_generator, manual_seed
from tinygrad_mlp.autodiff.sampling import (
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.random import Generator

RANDOM = {
    "rand": lambda g: rand(40, 50, generator=g),
    "rand float64": lambda g: rand((40, 50), generator=g, dtype="float64"),
    "randn": lambda g: randn(40, 50, generator=g),
    "randn float64": lambda g: randn(40, 50, generator=g, dtype=dtypes.float64),
    "randint": lambda g: randint(10, (40, 50), generator=g),
    "randperm": lambda g: randperm(2000, generator=g),
    "rand_like": lambda g: rand_like(zeros(40, 50), generator=g),
    "randn_like": lambda g: randn_like(zeros(40, 50), generator=g),
    "randint_like": lambda g: randint_like(zeros(40, 50), 10, generator=g),
}


@pytest.mark.parametrize("name", RANDOM)
def test_same_seed_same_numbers(name):
    draw = RANDOM[name]
    first = draw(Generator(3)).array
    np.testing.assert_array_equal(draw(Generator(3)).array, first)
    assert (draw(Generator(4)).array != first).any()
    generator = Generator(3)
    draw(generator)
    assert (draw(generator).array != first).any()
    manual_seed(3)
    np.testing.assert_array_equal(draw(None).array, first)


@pytest.mark.parametrize(
    ("by_name", "plain"),
    [
        (lambda g: rand(size=(8, 8), generator=g), lambda g: rand(8, 8, generator=g)),
        (lambda g: randn(size=(8, 8), generator=g), lambda g: randn(8, 8, generator=g)),
        (lambda g: randint(10, size=(3, 4), generator=g), lambda g: randint(10, (3, 4), generator=g)),
        (lambda g: randint(high=10, size=(3, 4), generator=g), lambda g: randint(10, (3, 4), generator=g)),
        (lambda g: randint(5, 10, size=(3, 4), generator=g), lambda g: randint(5, 10, (3, 4), generator=g)),
    ],
)
def test_the_size_by_its_name(by_name, plain):
    found, expected = by_name(Generator(1)), plain(Generator(1))
    assert found.shape == expected.shape
    assert found.tolist() == expected.tolist()


def test_the_default_generator_is_one_that_manual_seed_starts_anew():
    assert manual_seed(5) is default_generator
    first = rand(3).tolist()
    assert rand(3).tolist() != first
    manual_seed(5)
    assert rand(3).tolist() == first
    with pytest.raises(ArgumentError):
        manual_seed(-1)


def test_distributions():
    uniform, normal = RANDOM["rand"](Generator(1)).array, RANDOM["randn"](Generator(1)).array
    integers, order = RANDOM["randint"](Generator(1)).array, RANDOM["randperm"](Generator(1)).array
    assert uniform.min() >= 0
    assert uniform.max() < 1
    # 2000 draws: four standard errors.
    assert abs(uniform.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 2000)
    assert abs(normal.mean()) < 4 * np.sqrt(1 / 2000)
    assert abs(normal.var() - 1) < 4 * np.sqrt(2 / 2000)
    assert sorted(set(integers.reshape(-1).tolist())) == list(range(10))
    assert abs(integers.mean() - 4.5) < 4 * np.sqrt(8.25 / 2000)
    assert sorted(order.tolist()) == list(range(2000))


def test_numbers_do_not_depend_on_the_memory_order():
    rows, columns = zeros(4, 6), Tensor(np.zeros((4, 6), np.float32, order="F"))
    for function in (rand_like, randn_like):
        out = function(columns, generator=Generator(2))
        np.testing.assert_array_equal(out.array, function(rows, generator=Generator(2)).array)
        assert out.array.flags.f_contiguous


def test_dtypes_of_random_numbers():
    generator = Generator(0)
    assert rand(2, generator=generator).dtype == randn(2, generator=generator).dtype == np.float32
    assert randint(3, (2,), generator=generator).dtype == randperm(3, generator=generator).dtype == np.int64
    assert randint(3, (2,), dtype="uint8").dtype == np.uint8
    assert randint(3, (2,), dtype="float32").dtype == np.float32
    assert randperm(3, dtype="int32").dtype == np.int32
    assert randint(-3, -1, (50,)).array.max() == -2
    assert randint(high=2, size=(3,)).shape == (3,)
    assert rand(2, 0).shape == (2, 0)
    assert rand().shape == randn(()).shape == ()
    assert randperm(0).shape == (0,)
    assert rand(2, requires_grad=True).requires_grad


def test_normal_of_numbers_and_of_tensors():
    by_numbers = normal(2.0, 0.5, (40, 50), generator=Generator(1)).array
    assert by_numbers.dtype == np.float32
    assert abs(by_numbers.mean() - 2.0) < 4 * 0.5 / np.sqrt(2000)
    assert abs(by_numbers.std() / 0.5 - 1) < 4 / np.sqrt(2 * 2000)
    assert normal(0, 1, 3, dtype="float64", requires_grad=True).requires_grad
    standard = normal(0.0, 1.0, (2, 3), dtype="float64", generator=Generator(5)).array
    mean, std = Tensor(np.array([[1.0], [2.0]])), Tensor(np.array([0.0, 1.0, 3.0]))
    np.testing.assert_array_equal(normal(mean, std, generator=Generator(5)).array, standard * std.array + mean.array)
    np.testing.assert_array_equal(normal(mean, 0.0).array, mean.array)
    assert normal(0.0, ones(4)).dtype == np.float32


def test_bernoulli():
    chances = Tensor(np.repeat([[0.0], [0.3], [1.0]], 2000, axis=1), requires_grad=True)
    drawn = bernoulli(chances, generator=Generator(1))
    assert drawn.dtype == np.float64
    assert not drawn.requires_grad
    zero, some, one = drawn.array.mean(axis=1)
    assert (zero, one) == (0.0, 1.0)
    assert abs(some - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)
    assert set(drawn.array[1]) == {0.0, 1.0}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_multinomial_with_replacement_draws_by_weight(dtype):
    weights = np.array([[0.0, 2.0, 6.0, 0.0], [5.0, 0.0, 0.0, 0.0]], dtype)
    drawn = multinomial(Tensor(weights), 4000, replacement=True, generator=Generator(2)).array
    assert drawn.dtype == np.int64
    assert drawn.shape == (2, 4000)
    assert set(drawn[0]) == {1, 2}
    assert abs((drawn[0] == 2).mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)
    assert not drawn[1].any()


def test_multinomial_without_replacement():
    weights = tensor([0.0, 1.0, 3.0, 0.0])
    first = np.array([multinomial(weights, 1, generator=Generator(seed)).item() for seed in range(400)])
    assert set(first) == {1, 2}
    assert abs((first == 2).mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 400)
    for seed in range(10):
        assert sorted(multinomial(weights, 2, generator=Generator(seed)).tolist()) == [1, 2]
    rows = multinomial(ones(5, 6), 6, generator=Generator(0)).array
    assert [sorted(row) for row in rows.tolist()] == [list(range(6))] * 5
    assert len({tuple(row) for row in rows.tolist()}) > 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: rand(2, dtype="int64"), DtypeError, "rand: expected float32 or float64, got int64"),
        (lambda: randn_like(zeros(2, dtype="int64")), DtypeError, "randn_like: expected float32 or float64"),
        (lambda: randint(0, (2,)), ArgumentError, "range 0 to 0"),
        (lambda: randint(5, 3, (2,)), ArgumentError, "range 5 to 3"),
        (lambda: randint(5, 7), ArgumentError, "give the size as a sequence"),
        (
            lambda: rand(2, 3, size=(2, 3)),
            ArgumentError,
            r"rand: got size twice, as 2, 3 and as size=\(2, 3\)",
        ),
        (lambda: randint(0, size=(2,)), ArgumentError, "range 0 to 0"),
        (lambda: randint(0.5, 7, (2,)), ArgumentError, "expected integers"),
        (lambda: randperm(-1), ShapeError, "must not be negative"),
        (lambda: normal(0.0, 1.0), ArgumentError, "normal: give the size"),
        (lambda: normal(0.0, -1.0, (2,)), ArgumentError, "standard deviation of -1.0"),
        (lambda: normal(zeros(2), -ones(2)), ArgumentError, "std must be 0 or more"),
        (lambda: normal(zeros(2), ones(3)), ShapeError, r"normal: shapes \(2,\) and \(3,\) do not broadcast"),
        (lambda: normal(zeros(2), ones(2).double()), DtypeError, "normal: float32 and float64 do not mix"),
        (lambda: normal(0, 1, (2,), dtype="int64"), DtypeError, "normal: expected float32 or float64, got int64"),
        (lambda: bernoulli(tensor([0.5, 1.5])), ArgumentError, "probabilities must lie in 0 to 1"),
        (lambda: bernoulli(tensor([float("nan")])), ArgumentError, "probabilities must lie in 0 to 1"),
        (lambda: bernoulli(tensor([1])), DtypeError, "bernoulli: expected float32 or float64, got int64"),
        (lambda: multinomial(tensor([1.0, -1.0]), 1), ArgumentError, "finite and at least 0"),
        (lambda: multinomial(tensor([1.0, 0.0]), 2), ArgumentError, "2 samples without replacement from a row of 1"),
        (lambda: multinomial(zeros(3), 2, replacement=True), ArgumentError, "from a row of 0 weights above 0"),
        (lambda: multinomial(ones(3), 0), ArgumentError, "0 samples"),
        (lambda: multinomial(ones(2, 2, 2), 1), ShapeError, r"expected weights \(C,\) or \(N, C\)"),
        (lambda: multinomial(ones(3, 0), 1), ShapeError, "C at least 1"),
        (lambda: multinomial(tensor([1, 2]), 1), DtypeError, "multinomial: expected float32 or float64, got int64"),
        (lambda: rand(2, device="cuda"), ArgumentError, "rand: there is no device 'cuda'"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_every_public_function_is_called_here():
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert set(sampling.__all__) <= called
