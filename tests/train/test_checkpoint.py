"""Checkpoint files: whole, checked, and never in the way of an older one."""

import errno
import os
import resource
import stat
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tinygrad_mlp import nn
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.train import load_checkpoint, load_model, save_checkpoint, save_model

ARRAYS = {
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(10, dtype=np.float32)[::2],
    "scalar": np.array(3, np.int64),
    "empty": np.empty((0, 4), np.float32),
    "words": np.array([2**63, 1], np.uint64),
}
INFO = {"epoch": 3, "losses": [0.1, 1 / 3], "name": "größer"}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "checkpoint.safetensors"
    save_checkpoint(path, ARRAYS, INFO)
    return path


def test_arrays_and_numbers_come_back(path):
    arrays, info = load_checkpoint(path)
    assert info == INFO
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].shape == array.shape


def test_it_is_a_plain_safetensors_file(path):
    np.testing.assert_array_equal(load_file(path)["transposed"], ARRAYS["transposed"])


def test_no_other_file_is_left_and_others_may_read_it(path):
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_numpy_numbers_become_plain_ones_and_other_things_are_refused(path):
    save_checkpoint(path, {}, {"lr": np.float32(0.5), "flag": np.bool_(True)})
    assert load_checkpoint(path)[1] == {"lr": 0.5, "flag": True}
    with pytest.raises(ArgumentError, match="no JSON value"):
        save_checkpoint(path, {}, {"what": object()})


def test_every_flipped_bit_is_noticed(path):
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors"):
            load_checkpoint(path)


def test_every_truncation_is_noticed(path):
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="truncated or damaged"):
            load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file") as raised:
        load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert isinstance(raised.value, CheckpointError)


def test_weights_alone_are_no_checkpoint(tmp_path):
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"its format is None.*load_model"):
        load_checkpoint(tmp_path / "model.safetensors")


@contextmanager
def small_disk():
    """Files may not grow beyond 1000 bytes. Not a fixture: those outlast the test, and pytest writes a log as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_when_the_disk_is_full_the_old_checkpoint_survives(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"small": np.arange(3)}, {})
    with (
        small_disk(),
        pytest.raises(CheckpointError, match=r"could not be saved .*; the one from before is still there, unharmed"),
    ):
        save_checkpoint(path, {"large": np.arange(1000)}, {})
    np.testing.assert_array_equal(load_checkpoint(path)[0]["small"], np.arange(3))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_when_the_disk_fails_only_in_the_end_the_old_checkpoint_survives(path, monkeypatch, code):
    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match=os.strerror(code)):
        save_checkpoint(path, {}, {})
    assert load_checkpoint(path)[1] == INFO
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_a_folder_that_cannot_be_synced_is_no_failure(path, monkeypatch, code):
    """As on some shares over a network: the file is synced and in its place."""
    failing_sync_of_folders(monkeypatch, code)
    save_checkpoint(path, {}, {"new": True})
    assert load_checkpoint(path)[1] == {"new": True}


def test_a_folder_whose_sync_fails_is_said_and_the_new_file_is_not_called_the_old(path, monkeypatch):
    failing_sync_of_folders(monkeypatch, errno.EIO)
    with pytest.raises(CheckpointError, match=r"it was saved, but its folder could not be synced \(Input/output error"):
        save_checkpoint(path, {}, {"new": True})
    assert load_checkpoint(path)[1] == {"new": True}


def failing_sync_of_folders(monkeypatch, code):
    synced = os.fsync

    def sync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", sync)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(path):
    path.parent.chmod(0o500)
    with pytest.raises(CheckpointError, match=r"Permission denied.*unharmed"):
        save_checkpoint(path, {}, {})


def test_where_no_folder_can_be_made_the_error_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"could not be saved \((Not a directory|File exists)\)$"):
        save_checkpoint(tmp_path / "file" / "checkpoint.safetensors", {}, {})


def test_a_net_there_and_back(tmp_path):
    net, other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    path = tmp_path / "model.safetensors"
    save_model(path, net)
    first = path.read_bytes()
    load_model(path, other)
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].array, tensor.array)
    save_model(path, other)
    assert path.read_bytes() == first


def test_weights_of_another_net_are_refused_with_a_list_of_misfits(tmp_path):
    save_model(tmp_path / "model.safetensors", nn.Linear(3, 4))
    with pytest.raises(
        CheckpointError, match=r"model .*model\.safetensors: (.|\n)*weight: got shape \(4, 3\), expected \(4, 5\)"
    ):
        load_model(tmp_path / "model.safetensors", nn.Linear(5, 4))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 4)
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_model(tmp_path / "model.safetensors", nn.Linear(5, 4))
