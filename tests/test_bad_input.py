"""What the package refuses, and in which words: what was got, what was expected, where. One short test for each."""

from __future__ import annotations

import errno
import gzip
import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import data, nn, optim, train
from tinygrad_mlp.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    DtypeError,
    GradientError,
    IndexRangeError,
    NonFiniteError,
    ShapeError,
)


def refuses(error: type[Exception], *parts: str) -> Any:
    """`pytest.raises`, with all of these parts in the message, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, parts)))


# Wrong shapes in every layer ----------------------------------------------------------------------------------------

WRONG_SHAPES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "Linear": (lambda: nn.Linear(4, 3), (5, 6), "linear: input has shape (5, 6), expected (…, 4)"),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (5, 3), "BatchNorm1d: input has shape (5, 3), expected (N, 4)"),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), (5, 4), "BatchNorm2d: input has shape (5, 4), expected (N, 4, H, W)"),
    "MaxPool2d": (
        lambda: nn.MaxPool2d(2),
        (5, 4),
        "max_pool2d: input has shape (5, 4), expected (N, C, H, W) or (C, H",
    ),
    "AvgPool2d": (
        lambda: nn.AvgPool2d(2),
        (2, 3, 1, 4),
        "avg_pool2d: a window of 2 x 2 pixels is larger than the padded",
    ),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(2), (5, 4), "adaptive_avg_pool2d: input has shape (5, 4), exp"),
    "Conv1d": (
        lambda: nn.Conv1d(4, 3, 2),
        (5, 3, 6),
        "Conv1d: input has shape (5, 3, 6), expected (N, 4, L) or (4, L)",
    ),
    "Conv2d": (
        lambda: nn.Conv2d(4, 3, 2),
        (5, 4),
        "Conv2d: input has shape (5, 4), expected (N, 4, H, W) or (4, H, W)",
    ),
    "ConvTranspose1d": (
        lambda: nn.ConvTranspose1d(4, 3, 2),
        (5, 3, 6),
        "ConvTranspose1d: input has shape (5, 3, 6), expected (N, 4, L) or (4, L)",
    ),
    "ConvTranspose2d": (
        lambda: nn.ConvTranspose2d(4, 3, 2),
        (5, 4),
        "ConvTranspose2d: input has shape (5, 4), expected (N, 4, H, W) or (4, H, W)",
    ),
    "MaxPool1d": (lambda: nn.MaxPool1d(7), (5, 4), "max_pool1d: a window of 7 is larger than the padded sequence of 4"),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), (5,), "avg_pool1d: input has shape (5,), expected (N, C, L) or (C, L)"),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(2), (5,), "adaptive_avg_pool1d: input has shape (5,), expected"),
    "Upsample": (lambda: nn.Upsample(2), (5, 4), "interpolate: input has shape (5, 4), expected (N, C, H, W) or (N, C"),
    "PReLU": (lambda: nn.PReLU(3), (5, 4), "prelu: weight has shape (3,), expected (1,) or (4,) for (5, 4)"),
    "ResidualBlock": (
        lambda: nn.ResidualBlock(4),
        (5, 6),
        "ResidualBlock: input has shape (5, 6), expected (N, 4, H, W)",
    ),
    "Dropout1d": (lambda: nn.Dropout1d(0.2), (5, 4, 3, 2), "dropout1d: input has shape (5, 4, 3, 2), expected (N, C"),
    "Dropout2d": (
        lambda: nn.Dropout2d(0.2),
        (5, 4),
        "Dropout2d: input has shape (5, 4), expected images (N, C, H, W); for features (N, C) use nn.Dropout",
    ),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(1), (5, 4), "ZeroPad2d: input has shape (5, 4), expected (N, C, H, W) or (C"),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d(2), (5, 4, 3, 2), "mode 'reflect' cannot pad dim 3 of shape (5, 4,"),
    "ReplicationPad2d": (lambda: nn.ReplicationPad2d(1), (5, 4), "ReplicationPad2d: input has shape (5, 4), expected"),
    "CircularPad2d": (
        lambda: nn.CircularPad2d(3),
        (5, 4, 3, 2),
        "mode 'circular' cannot pad dim 3 of shape (5, 4, 3, 2)",
    ),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (5, 3), "GroupNorm: input has shape (5, 3), expected (N, 4, …)"),
    "LayerNorm": (lambda: nn.LayerNorm(4), (5, 3), "layer_norm: input has shape (5, 3), expected (…, *"),
    "Flatten": (lambda: nn.Flatten(2), (5,), "flatten: dim 2 is out of range for shape (5,); expected -1 to 0"),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), (5, 7), "(5, 7)"),
    "Softmax": (lambda: nn.Softmax(dim=2), (3, 4), "softmax: dim 2 is out of range for shape (3, 4); expected -2 to 1"),
    "LogSoftmax": (lambda: nn.LogSoftmax(dim=2), (3, 4), "log_softmax: dim 2 is out of range for shape (3, 4)"),
}
TAKE_ANY_SHAPE = {
    *("ELU", "GELU", "Hardtanh", "LeakyReLU", "LogSigmoid", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh"),
    *("Dropout", "Embedding", "Identity"),
}
NOT_LAYERS = {"Module", "ModuleDict", "ModuleList", "Parameter", "ParameterList", "Sequential"}


@pytest.mark.parametrize("layer", WRONG_SHAPES)
def test_wrong_shape_in_a_layer(layer: str):
    make, shape, words = WRONG_SHAPES[layer]
    with refuses(ShapeError, words) as caught:
        make()(tg.randn(*shape))
    assert layer in caught.value.__notes__[0]  # `in Linear(4, 3), input (5, 6) float32`
    assert f"input {shape} float32" in caught.value.__notes__[0]


def test_the_path_of_the_layer_is_named():
    net = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(2, 5)))
    with refuses(ShapeError, "input has shape (7, 3), expected (…, 2)") as caught:
        net(tg.randn(7, 4))
    assert caught.value.__notes__ == ["in net.1.1: Linear(2, 5), input (7, 3) float32"]


def test_every_layer_and_every_loss_has_its_row():
    classes = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    losses = {name for name in classes if name.endswith("Loss")}
    assert classes - losses - NOT_LAYERS == {*WRONG_SHAPES, *TAKE_ANY_SHAPE}
    assert losses == {*VALUE_LOSSES, *LABEL_LOSSES}


# Losses -------------------------------------------------------------------------------------------------------------

VALUE_LOSSES = {
    "MSELoss": nn.MSELoss(),
    "L1Loss": nn.L1Loss(),
    "SmoothL1Loss": nn.SmoothL1Loss(),
    "HuberLoss": nn.HuberLoss(),
    "BCELoss": nn.BCELoss(),
    "BCEWithLogitsLoss": nn.BCEWithLogitsLoss(),
    "KLDivLoss": nn.KLDivLoss(),
}
LABEL_LOSSES = {"CrossEntropyLoss": nn.CrossEntropyLoss(), "NLLLoss": nn.NLLLoss()}


@pytest.mark.parametrize("loss", VALUE_LOSSES)
def test_wrong_shape_in_a_loss(loss: str):
    with refuses(ShapeError, "input has shape (5, 2), target (5, 3)", "must be equal"):
        VALUE_LOSSES[loss](tg.rand(5, 2), tg.rand(5, 3))


@pytest.mark.parametrize("loss", VALUE_LOSSES)
@pytest.mark.parametrize("shapes", [((5, 1), (5,)), ((5,), (5, 1))])
def test_n_against_n_1_in_a_loss(loss: str, shapes: Any):
    with refuses(ShapeError, f"input has shape {shapes[0]}, target {shapes[1]}", "nothing broadcasts in a loss"):
        VALUE_LOSSES[loss](tg.rand(*shapes[0]), tg.rand(*shapes[1]))


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_wrong_number_of_labels(loss: str):
    with refuses(ShapeError, "labels have shape (4,), expected (5,) for input of shape (5, 3)"):
        LABEL_LOSSES[loss](tg.randn(5, 3), tg.tensor([0, 1, 2, 0]))


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_labels_in_a_column(loss: str):
    with refuses(ShapeError, "labels have shape (2, 1), expected (2,)", "use target.squeeze(1)"):
        LABEL_LOSSES[loss](tg.randn(2, 3), tg.tensor([[0], [1]]))


@pytest.mark.parametrize("loss", LABEL_LOSSES)
@pytest.mark.parametrize("label", [3, -1])
def test_label_out_of_range(loss: str, label: int):
    with refuses(IndexRangeError, f"label {label} at position 1 is out of range; labels must lie in 0 to 2"):
        LABEL_LOSSES[loss](tg.randn(3, 3), tg.tensor([0, label, 1]))


@pytest.mark.parametrize("loss", LABEL_LOSSES)
def test_float_labels(loss: str):
    with refuses(DtypeError, "labels must be integers of shape (3,), got float32 (3,)", "convert labels with .long()"):
        LABEL_LOSSES[loss](tg.randn(3, 3), tg.tensor([0.0, 1.0, 2.0]))


@pytest.mark.parametrize("loss", [*VALUE_LOSSES.values(), *LABEL_LOSSES.values()], ids=repr)
def test_empty_batch_in_a_loss(loss: nn.Module):
    of_labels = loss in LABEL_LOSSES.values()
    target = tg.tensor(np.empty(0, np.int64)) if of_labels else tg.rand(0, 3)
    with refuses(ArgumentError, "the mean over an empty batch", "does not exist"):
        loss(tg.rand(0, 3), target)


# Dtypes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mix"),
    [
        ("add", lambda single, double: single + double),
        ("mul", lambda single, double: single * double.numpy()),  # NumPy's own default
        ("matmul", lambda single, double: single @ double),
        ("linear", lambda single, double: nn.Linear(3, 2)(double)),
        ("mse_loss", F.mse_loss),
        ("cross_entropy", F.cross_entropy),
        ("where", lambda single, double: tg.where(single > 0, single, double)),
        ("cat", lambda single, double: tg.cat([single, double])),
    ],
)
def test_mixed_float32_and_float64(name: str, mix: Callable[..., Any]):
    with refuses(DtypeError, f"{name}: float32 and float64 do not mix", "convert", "with .float() or .double()"):
        mix(tg.rand(3, 3), tg.rand(3, 3).double())


# Data ---------------------------------------------------------------------------------------------------------------


def test_nan_in_data():
    points = np.zeros((4, 2), np.float32)
    points[2, 1] = np.nan
    with refuses(DataError, "tensor 0 of shape (4, 2) holds nan at index [2, 1] (1 of 8 values are not finite)"):
        data.TensorDataset(points, np.arange(4))


def test_nan_in_samples_of_ones_own_data_set():
    samples: Any = [(np.float32([1, 2]), 0), (np.float32([np.inf, 2]), 1)]
    with refuses(DataError, "field 0 of sample 1 holds inf at index [0]"):
        list(data.DataLoader(samples, batch_size=2))


def test_nan_in_training():
    points = np.zeros((4, 2), np.float32)
    points[2, 1] = np.nan
    bad = data.TensorDataset(points, np.array([0, 1, 0, 1]), finite=False)
    with refuses(NonFiniteError, "epoch 1, step 1 of 1", "the input of sample(s) 2 holds a NaN"):
        trainer(None).fit(bad)


def test_empty_batch():
    with refuses(DataError, "empty batch: the indices select none of 4 samples"):
        data.TensorDataset(np.zeros((4, 2)))[[]]
    with refuses(DataError, "collate: empty batch: there are no samples to stack"):
        data.collate([])


def test_empty_data_set():
    with refuses(DataError, "TensorDataset(tensors, no split, 0 samples) is empty"):
        data.DataLoader(data.TensorDataset(np.zeros((0, 2))), 4)


def test_batch_norm_of_one_sample():
    with refuses(ShapeError, "training needs at least two values per channel, got 1", "drop_last=True"):
        nn.BatchNorm1d(4)(tg.randn(1, 4))


def test_training_on_the_test_split():
    locked = data.TensorDataset(np.zeros((4, 2), np.float32), np.arange(4), split="test")
    with refuses(DataError, "test, 4 samples) to train on, but the test split is locked"):
        trainer(None).fit(locked)


# Backward -----------------------------------------------------------------------------------------------------------


def test_backward_twice():
    x = tg.randn(3, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    with refuses(GradientError, "freed by an earlier backward()", "pass retain_graph=True to the first"):
        loss.backward()


def test_input_changed_before_backward():
    x = tg.randn(3, requires_grad=True)
    loss = (x * x).sum()
    with tg.no_grad():
        x.add_(1.0)
    with refuses(GradientError, "op mul: argument 0 (shape (3,)) was changed in place after the forward pass"):
        loss.backward()


def test_optimizer_step_before_backward():
    layer = nn.Linear(3, 2)
    x = tg.randn(4, 3, requires_grad=True)
    first, second = layer(x).sum(), layer(x).sum()
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    first.backward()
    optimizer.step()
    with refuses(GradientError, "op linear", "was changed in place after the forward pass"):
        second.backward()


# Files of data ------------------------------------------------------------------------------------------------------


@pytest.fixture
def idx(tmp_path: Path) -> Path:
    path = tmp_path / "images.idx"
    data.write_idx(path, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    return path


def test_truncated_idx_file(idx: Path):
    idx.write_bytes(idx.read_bytes()[:-5])
    with refuses(DataError, str(idx), "35 bytes", "shape (2, 3, 4) of uint8 needs 40"):
        data.read_idx(idx)


def test_idx_file_truncated_in_its_header(idx: Path):
    idx.write_bytes(idx.read_bytes()[:9])
    with refuses(DataError, str(idx), "9 bytes, truncated inside its header of 16 bytes"):
        data.read_idx(idx)


def test_idx_file_with_bytes_too_many(idx: Path):
    idx.write_bytes(idx.read_bytes() + b"??")
    with refuses(DataError, str(idx), "42 bytes", "needs 40"):
        data.read_idx(idx)


def test_what_is_no_idx_file(idx: Path):
    idx.write_bytes(b"PK\x03\x04 and so on")
    with refuses(DataError, str(idx), "starts with bytes 50 4b 03 04, which is no IDX file"):
        data.read_idx(idx)


def test_damaged_gzip(idx: Path):
    packed = idx.with_suffix(".gz")
    packed.write_bytes(gzip.compress(idx.read_bytes())[:-4])
    with refuses(DataError, str(packed), "damaged or truncated gzip"):
        data.read_idx(packed)


def test_missing_idx_file(tmp_path: Path):
    with refuses(DataError, str(tmp_path / "nothing.idx"), "cannot be read (No such file or directory)"):
        data.read_idx(tmp_path / "nothing.idx")


def fashion_files(root: Path, sizes: dict[str, int]) -> Path:
    """A folder of four files of zeros, of the right sizes unless told otherwise."""
    folder = root / "fashion-mnist"
    folder.mkdir()
    right = {"train-images-idx3": 47_040_016, "train-labels-idx1": 60_008, "t10k-images-idx3": 7_840_016}
    for name, size in {**right, "t10k-labels-idx1": 10_008, **sizes}.items():
        with (folder / f"{name}-ubyte").open("wb") as file:
            file.truncate(size)  # a hole: takes no room
    return folder


def test_hash_mismatch(tmp_path: Path):
    folder = fashion_files(tmp_path, {})
    with refuses(DataError, str(folder / "train-images-idx3-ubyte"), "SHA-256", "expected c59f468a2f67", "To repair"):
        data.fashion_mnist(tmp_path, synthetic="never", download=False)


def test_truncated_file_of_fashion_mnist(tmp_path: Path):
    folder = fashion_files(tmp_path, {"train-images-idx3": 1000})
    with refuses(DataError, str(folder), "truncated: 1000 bytes (decompressed), expected 47040016", "To repair"):
        data.fashion_mnist(tmp_path, synthetic="never", download=False)


def test_missing_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "TINYGRAD_MLP_DATA"):
        monkeypatch.setenv(name, str(tmp_path))
    if Path("/usr/share/datasets/fashion-mnist").exists():
        pytest.skip("the system has the data")
    with refuses(DataError, "fashion-mnist: data not found. Tried:", str(tmp_path), "set TINYGRAD_MLP_DATA"):
        data.fashion_mnist(synthetic="never", download=False)


# Checkpoints --------------------------------------------------------------------------------------------------------

POINTS = data.TensorDataset(np.eye(4, 2, dtype=np.float32), np.array([0, 1, 0, 1]), split="train")


def trainer(out: Path | None, hidden: int = 5, **options: Any) -> tg.Trainer:
    net = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, 2))
    optimizer = optim.Adam(net.named_parameters())
    return tg.Trainer(net, optimizer, out=out, **{"epochs": 1, "batch_size": 4, "progress": False, **options})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run."""
    monkeypatch.setattr(train.RunFolder, "draw", lambda *arguments: None)  # figures are of no interest here
    trainer(tmp_path / "run").fit(POINTS)
    return tmp_path / "run"


def test_checkpoint_of_another_architecture(run: Path):
    with refuses(CheckpointError, str(run / "checkpoint.safetensors"), "net: was", "(2, 5)", "is", "(2, 6)"):
        trainer(run, hidden=6, resume=True).fit(POINTS)


def test_checkpoint_of_another_run(run: Path):
    with refuses(CheckpointError, str(run / "checkpoint.safetensors"), "batch_size: was 4, is 3"):
        trainer(run, batch_size=3, resume=True).fit(POINTS)


def test_truncated_checkpoint(run: Path):
    checkpoint = run / "checkpoint.safetensors"
    content = checkpoint.read_bytes()
    for length in (0, 7, len(content) // 2, len(content) - 1):
        checkpoint.write_bytes(content[:length])
        with refuses(CheckpointError, str(checkpoint), "truncated or damaged", "Delete it to start anew"):
            trainer(run, resume=True).fit(POINTS)


@pytest.mark.parametrize("seed", range(5))
def test_flipped_byte_in_a_checkpoint(run: Path, seed: int):
    checkpoint = run / "checkpoint.safetensors"
    content = bytearray(checkpoint.read_bytes())
    rng = np.random.default_rng(seed)
    content[rng.integers(len(content))] ^= int(rng.integers(1, 256))
    checkpoint.write_bytes(content)
    with refuses(CheckpointError, str(checkpoint), "Delete it to start anew"):
        trainer(run, resume=True).fit(POINTS)


def test_missing_checkpoint(tmp_path: Path):
    with refuses(CheckpointError, str(tmp_path / "checkpoint.safetensors"), "there is no such file"):
        train.load_checkpoint(tmp_path / "checkpoint.safetensors")


def test_model_in_place_of_a_checkpoint(run: Path):
    with refuses(CheckpointError, str(run / "model.safetensors"), "weights alone, is read by load_model"):
        train.load_checkpoint(run / "model.safetensors")


def test_model_of_another_architecture(run: Path):
    with refuses(CheckpointError, "model.safetensors", "0.weight: got shape (5, 2), expected (6, 2)"):
        train.load_model(run / "model.safetensors", trainer(None, hidden=6).net)


def test_state_dict_of_another_net():
    with refuses(
        CheckpointError, "missing: bias (3,)", "unexpected: bais", "weight: got shape (3, 5), expected (3, 4)"
    ):
        nn.Linear(4, 3).load_state_dict({"weight": tg.zeros(3, 5), "bais": tg.zeros(3)})


def test_folder_that_holds_a_run_already(run: Path):
    with refuses(ArgumentError, str(run), "holds a run already", "resume=True"):
        trainer(run).fit(POINTS)


def test_read_only_run_folder(run: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint = run / "checkpoint.safetensors"
    before = checkpoint.read_bytes()
    opened = Path.open

    def open_for_reading(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wax+"):  # what the system says; root, as whom tests may run, is not stopped by permissions
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_for_reading)
    with refuses(CheckpointError, str(run), "it could not be saved (Permission denied)"):
        trainer(run, epochs=2, resume=True).fit(POINTS)
    assert checkpoint.read_bytes() == before


def test_run_folder_beneath_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with refuses(CheckpointError, str(tmp_path / "file" / "run"), "it could not be saved"):
        trainer(tmp_path / "file" / "run").fit(POINTS)


def test_full_disk_while_saving(run: Path, monkeypatch: pytest.MonkeyPatch):
    class FillDisk(train.Callback):
        def on_step_end(self, trainer: tg.Trainer) -> None:
            monkeypatch.setattr(os, "fsync", no_space)

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = (run / "checkpoint.safetensors").read_bytes()
    with refuses(CheckpointError, "checkpoint.safetensors", "No space left on device", "the one from before is still"):
        trainer(run, epochs=2, resume=True, callbacks=[FillDisk()]).fit(POINTS)
    assert (run / "checkpoint.safetensors").read_bytes() == before
    monkeypatch.undo()
    monkeypatch.setattr(train.RunFolder, "draw", lambda *arguments: None)
    assert len(trainer(run, epochs=2, resume=True).fit(POINTS).rows) == 2


# Names and numbers --------------------------------------------------------------------------------------------------


def test_unknown_activation():
    with refuses(ArgumentError, "unknown activation 'rleu', did you mean 'relu'?; known are ", *nn.ACTIVATIONS):
        nn.activation("rleu")


def test_unknown_optimizer():
    with refuses(ArgumentError, "unknown optimizer 'adma', did you mean 'adam'", "known are ", *optim.OPTIMIZERS):
        optim.make_optimizer("adma", nn.Linear(2, 2).parameters())


def test_unknown_schedule():
    with refuses(ArgumentError, "unknown schedule 'cosin', did you mean 'cosine'?; known are ", *optim.SCHEDULES):
        optim.make_schedule("cosin", optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1))


def test_unknown_initialiser():
    with refuses(ArgumentError, "unknown initialiser 'he'", "known are ", *nn.init.INITIALIZERS):
        nn.init.initializer("he")


@pytest.mark.parametrize("optimizer", optim.OPTIMIZERS.values())
@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf")])
def test_negative_learning_rate(optimizer: Any, rate: float):
    with refuses(ArgumentError, f"{optimizer.__name__}: lr={rate!r}, expected a finite number at least 0"):
        optimizer(nn.Linear(2, 2).parameters(), lr=rate)


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_hidden_size_0(size: Any):
    with refuses(ArgumentError, f"Linear: out_features must be a whole number of at least 1, got {size}"):
        nn.Linear(4, size)
    with refuses(ArgumentError, f"Linear: in_features must be a whole number of at least 1, got {size}"):
        nn.Linear(size, 4)


def test_typo_in_an_attribute():
    with refuses(AttributeError, "Linear has no attribute 'wieght', did you mean 'weight'?"):
        nn.Linear(2, 2).wieght  # type: ignore[attr-defined]


# The example's command line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--hidden 50 0", "--hidden: expected a whole number of at least 1, got '0'"),
        (
            "--activation rleu",
            f"unknown activation 'rleu', did you mean 'relu'?; known are {', '.join(nn.ACTIVATIONS)}",
        ),
        ("--optimizer adma", f"known are {', '.join(optim.OPTIMIZERS)}"),
        ("--lr -1", "AdamW: lr=-1.0, expected a finite number at least 0"),
        ("--epochs 0", "--epochs: expected a whole number of at least 1, got '0'"),
    ],
)
def test_the_example_says_it_in_one_line(
    flags: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    example = load_example()
    monkeypatch.setitem(example.DATA, "synthetic-fashion", lambda **options: data.synthetic_fashion(50, 10, **options))
    try:
        status = example.main(["--data", "synthetic-fashion", *flags.split()])
    except SystemExit as left:
        status = left.code
    assert status == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert words in said
    assert list(tmp_path.iterdir()) == []


def load_example() -> Any:
    path = Path(__file__).parents[1] / "examples" / "fashion_mlp.py"
    spec = importlib.util.spec_from_file_location("fashion_mlp", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
