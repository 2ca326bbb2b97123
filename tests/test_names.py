"""The names that scripts written for PyTorch reach for, beside those of tensors, layers and optimizers."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import autograd, data, optim
from tinygrad_mlp.errors import ArgumentError, GradientError, NonFiniteError, UnknownAttributeError
from tinygrad_mlp.utils.data import DataLoader, TensorDataset


def test_every_public_name_is_there():
    for module in (tg, autograd, tg.backends, tg.cuda, tg.utils, tg.utils.data):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_there_is_no_gpu():
    device = tg.device("cuda" if tg.cuda.is_available() else "mps" if tg.backends.mps.is_available() else "cpu")
    assert device == tg.ones(1).device
    assert tg.cuda.device_count() == 0
    tg.manual_seed(1)
    first = tg.rand(2).tolist()
    tg.manual_seed(1)
    tg.cuda.manual_seed(7)
    tg.cuda.manual_seed_all(7)
    tg.backends.cudnn.benchmark = False
    assert tg.rand(2).tolist() == first


def test_gradient_penalty_as_scripts_write_it():
    x = tg.tensor([[3.0, 4.0]], dtype=tg.float64, requires_grad=True)
    weight = tg.tensor([2.0, 1.0], dtype=tg.float64, requires_grad=True)
    output = (x * x) @ weight
    (slope,) = autograd.grad(
        outputs=output,
        inputs=x,
        grad_outputs=tg.ones_like(output),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )
    penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
    penalty.backward()
    norm = math.hypot(12, 8)  # of (2 w x)
    expected = 2 * (norm - 1) * np.array([12 * 6, 8 * 8]) / norm
    np.testing.assert_allclose(weight.grad.array, expected)
    with pytest.raises(GradientError, match="only_inputs=False does not exist"):
        autograd.grad(output, x, only_inputs=False)


def test_anomaly_detection_as_a_setting_and_as_a_context():
    zero = tg.zeros(1)
    with autograd.detect_anomaly(), pytest.raises(NonFiniteError, match="op log"):
        zero.log()
    with autograd.set_detect_anomaly(True), pytest.raises(NonFiniteError, match="op log"):
        zero.log()
    zero.log()
    autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(NonFiniteError, match="op log"):
            zero.log()
    finally:
        autograd.set_detect_anomaly(False)
    zero.log()


def test_loaders_under_the_name_of_torch_utils_data():
    assert tg.utils.data.DataLoader is DataLoader is data.DataLoader
    loader = DataLoader(TensorDataset(tg.arange(4.0), tg.arange(4)), batch_size=2)
    assert [y.tolist() for _, y in loader] == [[0, 1], [2, 3]]


def test_schedules_under_the_name_of_torch_optim_lr_scheduler():
    schedules = optim.lr_scheduler
    assert all(getattr(optim, name) is getattr(schedules, name) for name in schedules.__all__)
    kinds = [getattr(optim, name) for name in optim.__all__]
    assert {kind for kind in kinds if isinstance(kind, type) and kind.__module__ == schedules.StepLR.__module__} <= {
        getattr(schedules, name) for name in schedules.__all__
    }


def test_unknown_names_say_what_to_write():
    for name, text in {
        "FloatTensor": r"write tg\.tensor\(data, dtype=tg\.float32\)",
        "LongTensor": r"dtype=tg\.int64",
        "set_default_dtype": r"net\.double\(\)",
        "zeross": "did you mean 'zeros'",
        "xyzzy": "tinygrad_mlp has no 'xyzzy'$",
    }.items():
        with pytest.raises(UnknownAttributeError, match=text):
            getattr(tg, name)
    assert not hasattr(tg, "__wrapped__")


def test_the_hint_for_a_median_is_right_for_any_shape():
    with pytest.raises(UnknownAttributeError, match=r"write (.*)$") as error:
        tg.median
    written = str(error.value).split("write ")[1]
    for shape in [(7,), (3, 5), (2, 3, 4)]:
        x = tg.tensor(np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape))
        assert eval(written, {"x": x}).item() == (x.numel() - 1) // 2


def test_rooms_that_are_imported_when_they_are_named():
    code = (
        "import sys, tinygrad_mlp as tg; assert 'tinygrad_mlp.testing' not in sys.modules; assert tg.testing.OpCase; "
        "assert 'tinygrad_mlp.experiments' not in sys.modules; assert tg.experiments.Recipe"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_constants():
    assert (tg.inf, tg.pi) == (math.inf, math.pi)
    assert math.isnan(tg.nan)


def test_a_device_of_a_device():
    for made in (tg.device("cpu"), tg.device("cpu:1"), tg.device("cpu", 2)):
        assert tg.device(made) == made
    with pytest.raises(ArgumentError, match="there is no device '0' here"):
        tg.device(0)


def test_a_softmax_without_dim_says_which_one_pytorch_takes():
    for layer in (tg.nn.Softmax, tg.nn.LogSoftmax):
        with pytest.raises(ArgumentError, match=rf"^{layer.__name__}: got no dim.* is 1 for inputs \(N, C\)"):
            layer()


def test_devices_are_checked_where_tensors_go():
    with pytest.raises(ArgumentError, match="CPU alone"):
        tg.ones(1).to("cuda")
