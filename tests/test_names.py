"""The names that scripts written for PyTorch reach for, beside those of tensors, layers and optimizers."""

from __future__ import annotations

import importlib
import math
import re
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import autograd, data, missing, nn, optim
from tinygrad_mlp.errors import (
    ArgumentError,
    DtypeError,
    GradientError,
    NonFiniteError,
    UnknownAttributeError,
    UnknownImportError,
)
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
        "FloatTensor": r"write tg\.tensor\(data, dtype=tg\.float32\), or x\.float\(\)",
        "LongTensor": r"dtype=tg\.int64\), or x\.long\(\)",
        "accelerator": r'write tg\.device\("cpu"\)',
        "set_default_dtype": r"net\.double\(\)",
        "zeross": "did you mean 'zeros'",
        "xyzzy": "tinygrad_mlp has no 'xyzzy'$",
    }.items():
        with pytest.raises(UnknownAttributeError, match=text):
            getattr(tg, name)
    assert not hasattr(tg, "__wrapped__")


@pytest.mark.parametrize(
    ("module", "name", "text"),
    [
        (nn, "UpsamplingNearest2d", r"tinygrad_mlp\.nn has no 'UpsamplingNearest2d': write nn\.Upsample"),
        (nn, "Linaer", "did you mean 'Linear'"),
        (nn, "xyzzy", r"tinygrad_mlp\.nn has no 'xyzzy'; README.md lists what is here, under Port from PyTorch$"),
        (nn.functional, "relu6", r"write F\.hardtanh\(x, 0\.0, 6\.0\)"),
        (nn.functional, "sigmoyd", "did you mean 'sigmoid'"),
        (optim, "NAdam", r"optim\.AdamW"),
        (optim.lr_scheduler, "PolynomialLR", "write LambdaLR"),
        (tg.utils.data, "WeightedRandomSampler", r"write data\.Subset\(dataset, tg\.multinomial"),
        (data, "SubsetRandomSampler", r"data\.Subset\(dataset, indices\) with shuffle=True"),
        (autograd, "Function", r"write a function under @tg\.op"),
        (tg.Tensor, "cuda", r"Tensor has no attribute 'cuda': there is no GPU here.*x\.to\(\"cpu\"\)"),
        (tg.ones(2), "cuda", "there is no GPU here"),
        (nn.Parameter(tg.ones(2)), "half", r"x\.float\(\)"),
        (nn.Linear(1, 1), "register_forward_pre_hook", r"Linear has no attribute.*nn\.Sequential\(first, net\)"),
        (nn.Linear(1, 1), "cuda", "there is no GPU here"),
        (nn.Linear(1, 1), "wieght", "did you mean 'weight'"),
    ],
)
def test_so_do_those_of_modules_and_tensors(module, name, text):
    with pytest.raises(UnknownAttributeError, match=text):
        getattr(module, name)
    assert not hasattr(module, name)


def test_an_import_says_so_too():
    with pytest.raises(ImportError, match=r"write data\.Subset") as raised:
        from tinygrad_mlp.utils.data import WeightedRandomSampler  # noqa: F401
    assert isinstance(raised.value, UnknownImportError)
    with pytest.raises(ImportError, match="did you mean 'Linear'"):
        from tinygrad_mlp.nn import Linaer  # noqa: F401
    with pytest.raises(ImportError, match="has no 'xyzzy'"):
        from tinygrad_mlp import xyzzy  # noqa: F401
    with pytest.raises(ModuleNotFoundError):
        import tinygrad_mlp.xyzzy  # noqa: F401


def test_no_hint_is_for_a_name_that_is_there():
    for namespace, table in missing._TABLES.items():
        owner = nn.Module if namespace == "Module" else importlib.import_module(namespace)
        assert [name for name in table if hasattr(owner, name)] == []
    assert [name for name in missing._TENSOR if hasattr(tg.Tensor, name)] == []


def _written(namespace, name):
    return re.search(r"(?:write|by) (.*?)(?:, which|, anew|$)", missing.instead(namespace, name)).group(1)


def test_hints_are_right():
    """Those that say how to compute something: they run, and give what the name means."""
    x = tg.tensor(np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype(np.float32))
    array = x.numpy()
    names = {"x": x, "y": x + 1, "q": x, "k": x, "v": x, "F": nn.functional, "nn": nn, "dim": 1, "tg": tg, "data": data}
    names |= {
        "channels": 4,
        "math": math,
        "optim": optim,
        "T_0": 4,
        "total": 8,
        "power": 2,
        "LambdaLR": optim.lr_scheduler.LambdaLR,
    }

    def value(namespace, name):
        return eval(_written(namespace, name), names)

    functional = "tinygrad_mlp.nn.functional"
    np.testing.assert_allclose(value(functional, "mish").numpy(), array * np.tanh(np.log1p(np.exp(array))), rtol=1e-5)
    np.testing.assert_allclose(value(functional, "softsign").numpy(), array / (1 + abs(array)), rtol=1e-6)
    np.testing.assert_allclose(value(functional, "relu6").numpy(), array.clip(0, 6))
    np.testing.assert_allclose(value(functional, "softmin").numpy().sum(1), 1, rtol=1e-5)
    scores = array @ array.swapaxes(-2, -1) / math.sqrt(5)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    attended = value(functional, "scaled_dot_product_attention").numpy()
    np.testing.assert_allclose(attended, weights @ array, rtol=1e-4, atol=1e-6)
    normal = value("tinygrad_mlp.nn", "InstanceNorm2d")(x).numpy()
    np.testing.assert_allclose(normal, value(functional, "instance_norm").numpy(), atol=1e-6)
    np.testing.assert_allclose(normal.mean((2, 3)), 0, atol=1e-6)
    assert value("tinygrad_mlp.nn", "ReLU6")(x * 100).max() == 6
    names |= {"dataset": data.TensorDataset(x), "weights": tg.tensor([0.0, 1.0]), "count": 5}
    assert value("tinygrad_mlp.data", "WeightedRandomSampler").indices.tolist() == [1] * 5
    names["optimizer"] = optim.SGD([nn.Parameter(tg.ones(1))], lr=1.0)
    schedule = value("tinygrad_mlp.optim.lr_scheduler", "PolynomialLR")
    names["optimizer"].step()
    schedule.step()
    assert names["optimizer"].param_groups[0]["lr"] == pytest.approx((7 / 8) ** 2)


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


def test_a_tensor_of_lists_or_sizes_says_what_to_write():
    for argument in ([[0, 1], [1, 0]], 2, 2.5, (2, 3), tg.ones(2)):
        with pytest.raises(DtypeError, match=rf"got {type(argument).__name__}; write tg\.tensor\(.*tg\.empty\(2, 3\)"):
            tg.Tensor(argument)
    with pytest.raises(DtypeError, match=r"got int; write .* tg\.empty\(2, 3\)"):
        tg.Tensor(2, 3)


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
