import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_mlp.data import read_idx, write_idx
from tinygrad_mlp.data.idx import parse_idx
from tinygrad_mlp.errors import DataError, DtypeError, ShapeError

DTYPES = st.sampled_from([np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))


@given(array=ARRAYS, suffix=st.sampled_from(["", ".gz"]))
def test_what_is_written_is_read(array, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / f"file{suffix}"
    write_idx(path, array)
    found = read_idx(path)
    assert found.dtype == array.dtype and found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_the_layout_is_that_of_the_format(tmp_path):
    write_idx(tmp_path / "x", np.array([[1, -2, 3]], np.int16))
    assert (tmp_path / "x").read_bytes() == bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 1, 0xFF, 0xFE, 0, 3])


def test_big_endian_and_strided_arrays_are_written_by_value(tmp_path):
    array = np.arange(12, dtype=">i4").reshape(3, 4).T
    write_idx(tmp_path / "x", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "x"), array)


def test_gzip_is_known_by_content_and_gives_the_same_bytes_each_time(tmp_path):
    array = np.arange(9, dtype=np.uint8)
    write_idx(tmp_path / "a.gz", array)
    write_idx(tmp_path / "b.gz", array)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    (tmp_path / "a.gz").rename(tmp_path / "plain-name")
    np.testing.assert_array_equal(read_idx(tmp_path / "plain-name"), array)


@given(keep=st.integers(0, 21))
def test_a_file_cut_anywhere_is_refused(keep, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / "cut"
    write_idx(path, np.arange(10, dtype=np.uint8).reshape(2, 5))
    content = path.read_bytes()
    assert len(content) == 22
    path.write_bytes(content[:keep])
    with pytest.raises(DataError, match=rf"cut: {keep} bytes"):
        read_idx(path)


def test_surplus_bytes_are_refused():
    with pytest.raises(DataError, match="longer than its header says"):
        parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 6, 7]), "surplus")


@pytest.mark.parametrize(
    "content",
    [b"\1\0\x08\1", b"\0\0\x0a\1", b"\0\0\x08\0", b"PK\3\4" * 9],
    ids=["not zero", "type", "no dims", "zip"],
)
def test_another_format_is_refused(content):
    with pytest.raises(DataError, match=r"thing: starts with bytes .* no IDX file"):
        parse_idx(content, "thing")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.*cannot be read") as raised:
        read_idx(tmp_path / "absent")
    assert isinstance(raised.value, DataError)


@pytest.mark.parametrize("damage", ["cut", "flipped", "garbage"])
def test_damaged_gzip_is_named(damage, tmp_path):
    content = bytearray(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 4, 0]) + bytes(range(256)) * 4))
    if damage == "cut":
        content = content[:-20]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    else:
        content[10:] = b"\xff" * 40
    (tmp_path / "bad.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.gz: \d+ bytes of damaged or truncated gzip"):
        read_idx(tmp_path / "bad.gz")


def test_what_idx_cannot_hold_is_refused(tmp_path):
    with pytest.raises(DtypeError, match="int64 does not fit"):
        write_idx(tmp_path / "x", np.zeros(3, np.int64))
    with pytest.raises(ShapeError, match="1 to 255 dimensions"):
        write_idx(tmp_path / "x", np.array(3, np.uint8))
    assert not (tmp_path / "x").exists()


@pytest.mark.real_data
def test_the_real_test_labels(real_data):
    labels = read_idx(real_data / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz")
    assert np.bincount(labels).tolist() == [1000] * 10
