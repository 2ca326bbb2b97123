"""certify: right models pass, wrong ones do not, and the model stays as it was."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.autodiff.wrong import MATRIX, WRONG, right
from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.certify import certify
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import functional as F


def batch(count: int = 10, features: int = 12, classes: int = 4, dtype: type = np.float32) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(1)
    return Tensor(rng.normal(size=(count, features)).astype(dtype)), Tensor(np.arange(count) % classes)


def tanh_net() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4))


def full_net(generator: Generator | None = None) -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.4, generator=generator),
        nn.Linear(16, 4),
    )


class Planted(nn.Module):
    """Two parameters in one op."""

    def __init__(self, rule, shape) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.first = nn.Parameter(rng.normal(size=MATRIX).astype(np.float32))
        self.second = nn.Parameter(rng.normal(size=shape).astype(np.float32))
        self.rule = rule

    def forward(self, x):
        return x @ self.rule(self.first, self.second)


def planted_batch() -> tuple[Tensor, Tensor]:
    return batch(features=MATRIX[0], classes=MATRIX[1])


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("epsilon", [1e-4, 1e-2])
def test_wrong_rules_are_caught(name, epsilon):
    wrong, _, shape = WRONG[name]
    try:
        certificate = certify(Planted(wrong, shape), F.cross_entropy, planted_batch(), epsilon=epsilon, samples=1)
    except ShapeError:
        return
    assert not certificate.passed
    assert "DIFFERS" in str(certificate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-4, 1e-2])
def test_right_models_pass(dtype, epsilon):
    x, y = batch(dtype=dtype)
    for net in (tanh_net(), full_net(), full_net().eval()):
        certificate = certify(net.to(dtype), F.cross_entropy, (x, y), epsilon=epsilon)
        assert certificate.passed, str(certificate)
        assert bool(certificate)
    planted = Planted(right, MATRIX).to(dtype)
    x, y = planted_batch()
    assert certify(planted, F.cross_entropy, (Tensor(x.array.astype(dtype)), y), epsilon=epsilon)


@settings(max_examples=10)
@given(st.integers(0, 1000), st.lists(st.integers(1, 6), max_size=2), st.sampled_from([nn.ReLU, nn.Tanh, nn.GELU]))
def test_nets_of_any_shape_pass(seed, hidden, activation):
    generator = Generator(seed)
    sizes = [12, *hidden, 4]
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs, generator=generator), activation()]
    certificate = certify(nn.Sequential(*layers[:-1]), F.cross_entropy, batch(), epsilon=1e-3, seed=seed)
    assert certificate, str(certificate)


def test_rows_and_table():
    certificate = certify(tanh_net(), F.cross_entropy, batch(), samples=3)
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [row.name for row in certificate.rows] == [name for name in names for _ in range(4)]
    for name in names:
        indices = [row.index for row in certificate.rows if row.name == name]
        assert indices[-1] is None
        assert indices[:-1] == sorted(set(indices[:-1]))
    lines = str(certificate).splitlines()
    assert lines[0].split() == ["weight", "backprop", "numeric", "difference", "≤", "ε²", "verdict"]
    assert lines[5].startswith("0.weight[all]")
    assert lines[5].endswith("agrees")
    assert lines[-1].startswith("16 of 16 derivatives are right; largest difference ")
    row = certificate.rows[0]
    assert row.difference == abs(row.backprop - row.numeric)
    assert f"{row.backprop:.7e}" in lines[2]
    assert f"{row.numeric:.7e}" in lines[2]


def test_numbers_are_those_of_backprop_and_of_the_central_difference():
    net, (x, y) = tanh_net().double(), batch(dtype=np.float64)
    certificate = certify(net, F.cross_entropy, (x, y), epsilon=1e-2, weights={"2.bias": [(1,)], "0.weight": [(7, 11)]})
    F.cross_entropy(net(x), y).backward()
    assert [row.label for row in certificate.rows] == ["2.bias[1]", "2.bias[all]", "0.weight[7, 11]", "0.weight[all]"]
    for row in certificate.rows[::2]:
        parameter = dict(net.named_parameters())[row.name]
        assert row.backprop == parameter.grad.array[row.index]
        losses = []
        for step in (1e-2, -1e-2):
            with no_grad():
                kept = parameter.array[row.index]
                parameter.array[row.index] = kept + step
                losses.append(F.cross_entropy(net(x), y).item())
                parameter.array[row.index] = kept
        assert row.numeric == pytest.approx((losses[0] - losses[1]) / 2e-2, rel=1e-12)
    assert certificate.within_epsilon_squared
    assert not certify(net, F.cross_entropy, (x, y), epsilon=1e-9).within_epsilon_squared


def test_the_seed_decides_what_is_sampled():
    def indices(seed):
        return [row.index for row in certify(tanh_net(), F.cross_entropy, batch(), seed=seed).rows]

    assert indices(0) == indices(0)
    assert indices(0) != indices(1)


def test_the_model_its_gradients_and_random_numbers_stay_as_they_are():
    generator = Generator(seed=9)
    net = full_net(generator)
    x, y = batch()
    F.cross_entropy(net(x), y).backward()
    state = copy.deepcopy(net.state_dict())
    gradients = [parameter.grad.array.copy() for parameter in net.parameters()]
    random = default_generator.get_state(), generator.get_state()
    versions = [parameter.version for parameter in net.parameters()]
    certify(net, F.cross_entropy, (x, y))
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(tensor.array, state[name].array, name)
        assert tensor.dtype == state[name].dtype
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        np.testing.assert_array_equal(parameter.grad.array, gradient)
    np.testing.assert_array_equal(random[0], default_generator.get_state())
    np.testing.assert_array_equal(random[1], generator.get_state())
    assert [parameter.version for parameter in net.parameters()] == versions
    assert net.training


def test_it_works_inside_no_grad():
    with no_grad():
        assert certify(tanh_net(), F.cross_entropy, batch())


def test_loss_modules_with_weights_of_their_own():
    weight = Tensor(np.array([1.0, 2.0, 0.5, 1.0], np.float32))
    loss = nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1)
    assert certify(tanh_net(), loss, batch())
    assert weight.dtype == np.float32


def test_losses_of_values():
    x, _ = batch()
    target = Tensor(np.random.default_rng(2).normal(size=(10, 4)).astype(np.float32))
    assert certify(tanh_net(), F.mse_loss, (x, target))


def test_frozen_and_unused_parameters():
    net = tanh_net()
    net[0].requires_grad_(False)
    assert {row.name for row in certify(net, F.cross_entropy, batch()).rows} == {"2.weight", "2.bias"}

    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(12, 4), nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    certificate = certify(Unused(), F.cross_entropy, batch())
    assert certificate.passed
    assert all(row.backprop == 0 == row.numeric for row in certificate.rows if row.name.startswith("unused"))


def test_a_bias_that_batch_norm_takes_away_again():
    certificate = certify(full_net(), F.cross_entropy, batch())
    rows = [row for row in certificate.rows if row.name == "0.bias"]
    assert certificate.passed
    assert max(row.difference for row in rows) < 1e-7  # float32 leaves rounding instead of 0


def test_an_error_in_one_weight_of_many_is_found_without_sampling_it():
    @op
    def one_lost(weight):
        def backward(grad, out):
            mask = np.ones(weight.shape)
            mask[3, 7] = 0
            return grad * Tensor(mask.astype(grad.dtype))

        return weight.array.copy(), backward

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32))

        def forward(self, x):
            return x @ one_lost(self.weight).T

    certificate = certify(Net(), F.cross_entropy, batch(), samples=1, weights={"weight": [(0, 0)]})
    assert [row.passed for row in certificate.rows] == [True, False]


def test_a_gradient_that_is_zero_everywhere_is_found_though_most_inputs_are_dark():
    zero = WRONG["zero"][0]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32))

        def forward(self, x):
            return x @ zero(self.weight, Tensor(np.ones((100, 4), x.dtype)))

    x = np.zeros((5, 100), np.float32)
    x[:, 50] = 1.0
    assert not certify(Net(), F.cross_entropy, (Tensor(x), Tensor(np.arange(5) % 4)), samples=1)


def test_kinks_are_named():
    net = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    with no_grad():
        net[0].weight.zero_()
        net[0].bias.zero_()
    x, y = batch()
    one = certify(net, F.cross_entropy, (x[:1], y[:1]))
    assert one, str(one)
    assert {row.verdict for row in one.rows if row.name == "0.weight"} == {"kink"}
    # With several samples each has a kink here, and backprop's choice may lie outside both sides.
    many = certify(net, F.cross_entropy, (x, y))
    assert {row.verdict for row in many.rows if not row.passed} == {"DIFFERS at a kink"}


def test_refusals():
    net, data = tanh_net(), batch()
    for bad in ({"epsilon": 0.0}, {"epsilon": -1e-4}, {"epsilon": float("nan")}, {"samples": 0}):
        with pytest.raises(ArgumentError, match="must be positive"):
            certify(net, F.cross_entropy, data, **bad)
    with pytest.raises(ArgumentError, match="no parameter that requires grad"):
        certify(nn.Sequential(nn.ReLU()), F.cross_entropy, data)
    with pytest.raises(ArgumentError, match=r"no parameter 'weight'.*0\.weight, 0\.bias"):
        certify(net, F.cross_entropy, data, weights={"weight": [(0, 0)]})
    for index in ((0,), (8, 0), (0, -13)):
        with pytest.raises(IndexRangeError, match=r"out of range for '0\.weight' of shape \(8, 12\)"):
            certify(net, F.cross_entropy, data, weights={"0.weight": [index]})


def test_a_float32_tensor_inside_the_model_is_named_as_what_stands_in_the_way():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale = nn.Linear(12, 4), [Tensor(np.array(2.0, np.float32))]

        def forward(self, x):
            return self.layer(x) * self.scale[0]

    with pytest.raises(DtypeError) as caught:
        certify(Scaled(), F.cross_entropy, batch())
    assert any("must be parameters or buffers" in note for note in caught.value.__notes__)
