"""Creation from data, filled and counted up; dtype names; devices; NumPy's and DLPack's memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp.autodiff import creation, dtypes
from tinygrad_mlp.autodiff.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    is_tensor,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from tinygrad_mlp.autodiff.device import device
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        (2, "int64"),
        (True, "bool"),
        ([], "float32"),
        ([[1, 2], [3, 4]], "int64"),
        ([1, 2.5], "float32"),
        ([True, False], "bool"),
        (((1.0,), (2.0,)), "float32"),
        (range(3), "int64"),
        (np.array([1.0]), "float64"),
        (np.array([1.0], np.float32), "float32"),
        (np.array([1], np.uint8), "uint8"),
        ([np.array([1.0]), np.array([2.0])], "float64"),
        (np.float64(1.0), "float64"),
        ([np.float32(1.0)], "float32"),
        (Tensor(np.array([1.0])), "float64"),
        ([Tensor(np.array(1.0, np.float32)), Tensor(np.array(2.0, np.float32))], "float32"),
    ],
    ids=str,
)
def test_dtype_of_data(data, dtype):
    out = tensor(data)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.array, np.asarray(data))
    assert tensor(data, dtype="float64").dtype == np.float64


def test_tensor_copies_and_keeps_the_memory_order():
    array = np.asfortranarray(np.ones((2, 3)))
    out = tensor(array, requires_grad=True)
    array[:] = 0
    assert out.array.all()
    assert out.array.flags.f_contiguous
    assert out.requires_grad
    assert out.is_leaf
    copied = tensor(out)
    assert not np.shares_memory(copied.array, out.array)
    assert not copied.requires_grad


def test_as_tensor_and_from_numpy_share_memory():
    array = np.zeros(3)
    shared, also = from_numpy(array), as_tensor(array)
    array[0] = 1.0
    assert shared.tolist() == also.tolist() == [1.0, 0.0, 0.0]
    assert as_tensor(shared) is shared
    assert as_tensor(shared, dtypes.float32).dtype == np.float32
    assert as_tensor([1.0]).dtype == np.float32
    assert as_tensor([1], dtype="float64").dtype == np.float64


def test_is_tensor():
    assert is_tensor(zeros(1))
    assert not is_tensor(np.zeros(1))


def test_dlpack_both_ways():
    x = tensor([1.0, 2.0])
    there = np.from_dlpack(x)
    back = from_dlpack(x)
    with_no_copy = [np.shares_memory(there, x.array), np.shares_memory(back.array, x.array)]
    assert with_no_copy == [True, True]
    assert back.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("function", "value"), [(zeros, 0), (ones, 1)])
def test_filled(function, value):
    for out in (function(2, 3), function((2, 3)), function([2, 3]), function(size=(2, 3)), function(size=[2, 3])):
        assert out.shape == (2, 3)
        assert out.dtype == np.float32
        assert (out.array == value).all()
    assert function().shape == function(()).shape == ()
    assert function(0, 3).shape == (0, 3)
    assert function(2, dtype=dtypes.int64).dtype == np.int64
    assert function(2, dtype="bool").tolist() == [bool(value)] * 2
    assert function(2, requires_grad=True).requires_grad


def test_full_takes_the_dtype_of_the_value():
    assert full((2, 2), 1.5).dtype == np.float32
    assert full(3, 7).tolist() == [7, 7, 7]
    assert full((1,), 7).dtype == np.int64
    assert full((1,), True).dtype == np.bool_
    assert full((1,), 7, dtype="float64").dtype == np.float64


def test_likes_take_shape_dtype_and_memory_order():
    x = Tensor(np.asfortranarray(np.ones((2, 3))))
    likes = [
        zeros_like(x),
        ones_like(x),
        empty_like(x),
        full_like(x, 2.5),
    ]
    for out in likes:
        assert out.shape == x.shape
        assert out.dtype == np.float64
        assert out.array.flags.f_contiguous
    assert not likes[0].array.any()
    assert likes[1].array.all()
    assert (likes[3].array == 2.5).all()
    assert ones_like(x, dtype=np.int32).dtype == np.int32
    assert full_like(zeros(2, dtype="int64"), 3.7).tolist() == [3, 3]


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 5), st.sampled_from([1, -1]))
def test_arange_is_pythons_range(start, end, step, sign):
    step *= sign
    if (end - start) * step < 0:
        with pytest.raises(ArgumentError, match="does not lead"):
            arange(start, end, step)
        return
    assert arange(start, end, step).tolist() == list(range(start, end, step))
    halves = arange(start / 2, end / 2, step / 2)
    assert halves.dtype == np.float32
    assert halves.tolist() == [i / 2 for i in range(start, end, step)]


def test_counted_up():
    assert arange(3).dtype == np.int64
    assert arange(3.0).dtype == np.float32
    assert arange(3, dtype="float64").tolist() == [0.0, 1.0, 2.0]
    assert linspace(0, 1, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert linspace(0, 1, 1).tolist() == [0.0]
    assert linspace(0, 1, 0).shape == (0,)
    assert eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert eye(2, dtype="int64").tolist() == [[1, 0], [0, 1]]
    assert empty(2, 3).shape == empty(size=(2, 3)).shape == (2, 3)
    assert zeros(size=3).shape == (3,)
    assert zeros(size=()).shape == ()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: tensor([[1, 2], [3]]), ShapeError, "nested lists do not form an array"),
        (lambda: tensor("text"), DtypeError, "expected numbers or bools, got str"),
        (lambda: tensor([1j]), DtypeError, "complex128"),
        (lambda: tensor(None), DtypeError, "expected numbers or bools"),
        (lambda: tensor(np.zeros(1, np.float16)), DtypeError, "float16"),
        (lambda: tensor([1, 2], requires_grad=True), DtypeError, "only floating-point tensors have gradients"),
        (lambda: from_numpy([1.0]), DtypeError, "wraps an ndarray, got list"),
        (lambda: zeros(2, -1), ShapeError, r"zeros: sizes must not be negative, got \(2, -1\)"),
        (lambda: zeros(2, size=(3,)), ArgumentError, r"zeros: got size twice, as 2 and as size=\(3,\)"),
        (lambda: ones(size=(-1,)), ShapeError, "ones: sizes must not be negative"),
        (lambda: zeros(2.5), ArgumentError, "zeros: expected integers"),
        (lambda: zeros(2, dtype="float16"), DtypeError, "zeros: dtype 'float16' is not supported"),
        (lambda: ones_like(zeros(2), dtype="complex64"), DtypeError, "ones_like: dtype 'complex64' is not supported"),
        (lambda: arange(0, 5, 0), ArgumentError, "a step of 0"),
        (lambda: linspace(0, 1, -1), ArgumentError, "steps must not be negative"),
        (lambda: eye(-1), ShapeError, "must not be negative"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_dtype_names():
    assert dtypes.float is dtypes.float32
    assert dtypes.double == np.float64 == dtypes.float64
    assert dtypes.long == np.int64 == dtypes.int64
    assert dtypes.int == np.int32
    assert dtypes.bool == np.bool_
    assert zeros(1).dtype == dtypes.float32
    assert dtypes.as_dtype("op", "uint8") is dtypes.uint8


@pytest.mark.parametrize(
    "make",
    [
        lambda **named: tensor([1.0], **named),
        lambda **named: as_tensor(np.ones(1), **named),
        lambda **named: zeros(1, **named),
        lambda **named: full((1,), 2.0, **named),
        lambda **named: arange(1.0, **named),
        lambda **named: linspace(0, 1, 1, **named),
        lambda **named: eye(1, **named),
        lambda **named: ones_like(zeros(1), **named),
        lambda **named: zeros(1).to(**named),
    ],
)
def test_the_cpu_is_the_only_device(make):
    for name in ("cpu", "cpu:0", device("cpu"), device("cpu:0"), zeros(1).device, None):
        assert make(device=name).device == device("cpu")
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(ArgumentError, match=rf"there is no device '{name}' here; this package computes on the CPU"):
            make(device=name)


def test_devices_as_text():
    assert [str(device("cpu")), str(device("cpu:1")), str(device("cpu", 1))] == ["cpu", "cpu:1", "cpu:1"]
    assert zeros(1).to(device("cpu")).to("cpu", dtypes.float64).dtype == np.float64
    for name in ("cuda", "cpu:x", "", "tpu"):
        with pytest.raises(ArgumentError, match=f"device: there is no device '{name}'"):
            device(name)


def test_every_public_function_is_tested_here():
    assert set(creation.__all__) - {"new_array", "array_like", "given_size"} <= set(globals())
