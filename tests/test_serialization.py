"""save and load: everything comes back, nothing is pickled, damage is noticed."""

from __future__ import annotations

import math
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_mlp as tg
from tinygrad_mlp import nn, optim
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.train.checkpoint import save_checkpoint

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5))
ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]), hnp.array_shapes(min_dims=0, min_side=0)
)
KEYS = st.one_of(st.text("ab.", max_size=3), st.integers(0, 3))
TREES = st.recursive(
    st.one_of(SCALARS, ARRAYS, ARRAYS.map(tg.Tensor)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, (tg.Tensor, np.ndarray)):
        first, second = [x.array if isinstance(x, tg.Tensor) else x for x in (found, expected)]
        assert first.dtype == second.dtype
        assert first.shape == second.shape
        np.testing.assert_array_equal(first, second)
    elif isinstance(expected, float) and math.isnan(expected):
        assert math.isnan(found)
    else:
        assert found == expected


@given(tree=TREES)
def test_whatever_is_saved_comes_back(tree, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    tg.save(tree, path)
    assert_same(tg.load(path), tree)


def step(net, optimizer, x):
    optimizer.zero_grad()
    net(x).square().mean().backward()
    optimizer.step()


def test_training_goes_on_from_a_file_as_if_it_had_not_stopped(tmp_path):
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer, x = optim.AdamW(net.parameters(), lr=0.1), tg.randn(5, 3)
    step(net, optimizer, x)
    path = str(tmp_path / "run.pt")
    tg.save({"epoch": 1, "net": net.state_dict(), "optimizer": optimizer.state_dict()}, path)
    step(net, optimizer, x)

    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    again = optim.AdamW(other.parameters(), lr=0.5)
    state = tg.load(path, map_location="cpu", weights_only=True)
    assert state["epoch"] == 1
    other.load_state_dict(state["net"])
    again.load_state_dict(state["optimizer"])
    step(other, again, x)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].array, value.array)


def test_a_loaded_tensor_is_a_leaf_that_may_be_written(tmp_path):
    x = tg.ones(2, requires_grad=True)
    tg.save([x * 2.0, tg.ones(3, 2).T], tmp_path / "x")
    doubled, transposed = tg.load(tmp_path / "x")
    assert doubled.is_leaf
    assert not doubled.requires_grad
    assert transposed.shape == (2, 3)
    doubled.zero_()
    assert doubled.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("start", [b"\x80\x02", b"PK"])
def test_a_file_whose_first_bytes_are_by_chance_those_of_a_pickle_is_loaded(start, tmp_path):
    """They say how long the header is: 640 bytes, or 19280."""
    path, length = tmp_path / "x", int.from_bytes(start, "little")
    tg.save({"note": "", "w": tg.ones(3)}, path)
    note = "x" * (length - int.from_bytes(path.read_bytes()[:8], "little"))
    tg.save({"note": note, "w": tg.ones(3)}, path)
    assert path.read_bytes()[:8] == length.to_bytes(8, "little")
    assert tg.load(path)["note"] == note


def test_a_state_dict_keeps_its_names_in_the_file(tmp_path):
    from safetensors.numpy import load_file

    net = nn.Linear(3, 2)
    tg.save(net.state_dict(), tmp_path / "net.safetensors")
    assert set(load_file(tmp_path / "net.safetensors")) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (nn.Linear(2, 1), r"save: the object is of type Linear; .*; save its state_dict\(\)"),
        ({"net": [nn.Linear(2, 1)]}, r"save: net\.0 is of type Linear"),
        ({"f": print}, "save: f is of type builtin_function_or_method"),
        ({"words": np.array(["a"])}, "save: words is of type ndarray; expected .* arrays of numbers"),
        ({(1, 2): 3}, "save: a key of the object is of type tuple"),
    ],
)
def test_what_cannot_be_saved(value, text, tmp_path):
    with pytest.raises(ArgumentError, match=text):
        tg.save(value, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_loaded(tmp_path):
    path = Path(tmp_path / "x")
    with pytest.raises(FileNotFoundError, match="there is no such file") as raised:
        tg.load(path)
    assert isinstance(raised.value, CheckpointError)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"")
    with pytest.raises(CheckpointError, match=r"is a pickle of PyTorch's.*safetensors\.torch\.save_file"):
        tg.load(path)
    path.write_bytes(pickle.dumps({}, protocol=2))
    with pytest.raises(CheckpointError, match="is a pickle"):
        tg.load(path)
    save_checkpoint(path, {}, {"epoch": 1})
    with pytest.raises(CheckpointError, match="the checkpoint of a training run"):
        tg.load(path)
    tg.save({"x": tg.ones(3)}, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not fit its SHA-256"):
        tg.load(path)
    with pytest.raises(ArgumentError, match="load: there is no device 'cuda'"):
        tg.load(path, map_location="cuda")
    with pytest.raises(ArgumentError, match="save: the path must be text or a Path, got int"):
        tg.save({}, 3)
