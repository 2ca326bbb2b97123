"""Indexing, index assignment, gather and its kin, sort, topk, nonzero, one_hot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.ops.gather import gather, index_select, take_along_dim
from tinygrad_mlp.autodiff.ops.order import argsort, bincount, nonzero, one_hot, sort, topk, unique
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, IndexRangeError, ShapeError

BASE = rng(1).normal(size=(4, 3, 5))
ROWS = np.array([True, False, True, True])

BASIC = [
    0,
    -1,
    np.int64(2),
    slice(1, 3),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(5, 1),
    (slice(None), 1),
    (Ellipsis, 2),
    (1, Ellipsis, -1),
    (0, 1, 2),
    (0, 1, 2, Ellipsis),
    (None, 0, None),
    (slice(None), None, slice(1, None)),
    Ellipsis,
    (),
    None,
]
ADVANCED = [
    [0, 2],
    [[0, 1], [2, -1]],
    np.array([1, 1, 1]),
    np.array([1, 3], np.uint8),
    ([0, 2], slice(None), [1, 3]),
    (slice(None), [0, 2], [1, 3]),
    (slice(None), [[0], [2]], [1, 3, 3]),
    (slice(1, 3), [2, 0]),
    (None, [2, 0]),
    (Ellipsis, [2, 0, 2]),
    ([1, 0], None, [2, 2]),
    ROWS,
    (ROWS, slice(1, None)),
    (slice(None), np.array([True, False, True])),
    BASE > 0,
    BASE[:, :, 0] > 0,
    (slice(None), BASE[0] > 0),
    (ROWS, [0, 1, 1]),
    np.zeros(4, bool),
    np.empty(0, int),
    [],
    range(3),
]


def as_tensors(index):
    """The index with Tensors in the place of arrays."""
    if isinstance(index, tuple):
        return tuple(as_tensors(item) for item in index)
    return Tensor(index) if isinstance(index, np.ndarray) else index


def as_arrays(index):
    """The index as NumPy takes it."""
    return np.empty(0, int) if isinstance(index, list) and not index else index


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
def test_getitem_is_numpys(index, order):
    x = Tensor(np.array(BASE, order=order))
    expected = BASE[as_arrays(index)]
    np.testing.assert_array_equal(x[index].array, expected)
    np.testing.assert_array_equal(x[as_tensors(index)].array, expected)
    assert x[index].shape == np.shape(expected)


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
def test_gradients_of_getitem(index):
    check_gradients(lambda x: x[index].sin(), BASE)


def test_an_integer_beside_arrays_is_taken_first_as_in_pytorch():
    x = Tensor(BASE)
    expected = BASE[0][:, [0, 1]]  # NumPy would put the dimension of the list first
    np.testing.assert_array_equal(x[0, :, [0, 1]].array, expected)
    np.testing.assert_array_equal(x[Tensor(np.array(0)), :, [0, 1]].array, expected)
    check_gradients(lambda x: x[0, :, [0, 1]].sin(), BASE)


def test_a_single_bool_is_a_mask_over_a_new_dimension():
    x = Tensor(BASE)
    assert x[True].shape == (1, 4, 3, 5)
    assert x[False].shape == (0, 4, 3, 5)
    assert x[:, True].shape == (4, 1, 3, 5)
    assert Tensor(np.array(2.0))[Tensor(np.array(True))].tolist() == [2.0]


@pytest.mark.parametrize("index", BASIC, ids=str)
def test_basic_indexing_is_a_view(index):
    x = Tensor(BASE.copy())
    out = x[index]
    assert np.shares_memory(out.array, x.array) or not out.array.size
    x.zero_()
    assert out.version == 1


@pytest.mark.parametrize("index", ADVANCED, ids=str)
def test_index_arrays_copy(index):
    x = Tensor(BASE.copy())
    out = x[index]
    assert not np.shares_memory(out.array, x.array)
    x.zero_()
    assert out.version == 0


def test_rows_keep_the_memory_order_of_permuted_images():
    images = np.ascontiguousarray(rng(0).normal(size=(6, 5, 4, 3))).transpose(0, 3, 1, 2)
    out = Tensor(images)[[4, 0]].array
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous


def test_repeated_indices_add_their_gradients():
    x = Tensor(np.zeros(3, np.float32), requires_grad=True)
    x[[0, 0, 2, 0]].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 0.0, 1.0]
    assert x.grad.dtype == np.float32


def test_a_changed_index_is_noticed():
    x, index = Tensor(np.arange(3.0), requires_grad=True), Tensor(np.array([0, 1]))
    out = x[index].sum()
    index.fill_(2)
    with pytest.raises(GradientError, match=r"index_at: argument 1 .* was changed in place"):
        out.backward()


def test_iteration_and_tensor_bounds():
    x = Tensor(np.arange(6).reshape(3, 2))
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    assert x[Tensor(np.array(1)) :].tolist() == [[2, 3], [4, 5]]
    assert len(list(x)) == len(x)


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        (4, IndexRangeError, r"getitem: index 4 is out of range for dim 0 of shape \(4, 3, 5\); expected -4 to 3"),
        ((0, -4), IndexRangeError, "index -4 is out of range for dim 1"),
        ((0, 0, 0, 0), IndexRangeError, "4 indices for a tensor of shape"),
        ((Ellipsis, 0, Ellipsis), IndexRangeError, "more than one"),
        ([0, 4], IndexRangeError, r"shape \(4, 3, 5\): index 4 is out of bounds"),
        ((slice(None), [-4]), IndexRangeError, "index -4 is out of bounds for axis 1"),
        (np.array([True]), ShapeError, r"mask of shape \(1,\) does not fit shape \(4, 3, 5\) from dim 0: \(4,\)"),
        ((0, np.ones((3, 4), bool)), ShapeError, r"mask of shape \(3, 4\)"),
        (([0, 1], [0, 1, 2]), ShapeError, "do not broadcast together"),
        ([0.5], DtypeError, "must hold integers or bools, got float64"),
        (Tensor(np.ones(2)), DtypeError, "must hold integers or bools"),
        (1.0, DtypeError, r"1\.0 is no index"),
        ("rows", DtypeError, "'rows' is no index"),
        (slice(0.5, None), DtypeError, "bounds of a slice"),
        (slice(None, None, 0), ArgumentError, "step of a slice cannot be 0"),
    ],
    ids=str,
)
def test_bad_indices(index, error, text):
    with pytest.raises(error, match=text):
        Tensor(BASE)[index]
    with pytest.raises(error):
        Tensor(BASE.copy())[index] = 0.0


# Assignment


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
def test_setitem_writes_in_place_as_numpy(index, order):
    values = rng(2).normal(size=BASE[as_arrays(index)].shape)
    for value in (values, Tensor(values), values[..., :1] if values.ndim else values, 2.5, 3):
        expected = BASE.copy()
        expected[as_arrays(index)] = value.array if isinstance(value, Tensor) else value
        x = Tensor(np.array(BASE, order=order))
        memory = x.array
        x[index] = value
        np.testing.assert_array_equal(x.array, expected)
        assert x.array is memory
        assert x.version == 1
        assert x.node is None


def unique_selection(index):
    """Whether no element is selected twice (which of two values stays has no gradient to speak of)."""
    places = np.arange(BASE.size).reshape(BASE.shape)[as_arrays(index)]
    return len(np.unique(places)) == places.size


@pytest.mark.parametrize("index", [i for i in BASIC + ADVANCED if unique_selection(i)], ids=str)
@pytest.mark.parametrize("broadcast", [False, True])
def test_gradients_of_setitem(index, broadcast):
    shape = BASE[as_arrays(index)].shape

    def assigned(x, value):
        out = x * 1.0
        out[index] = value
        return out.sin()

    check_gradients(assigned, BASE, rng(3).normal(size=(1, *shape[1:]) if broadcast and shape else shape))


def test_values_with_leading_ones_and_of_another_dtype_are_taken():
    x = Tensor(np.zeros((2, 3), np.float32))
    x[0] = np.array([[[1.0, 2.0, 3.0]]])
    x[1, 1:] = Tensor(np.array([7]))
    assert x.tolist() == [[1.0, 2.0, 3.0], [0.0, 7.0, 7.0]]
    value = Tensor(np.ones((1, 3)), requires_grad=True)
    x[0] = value
    assert x.dtype == np.float32
    x.sum().backward()
    assert value.grad is not None
    assert value.grad.dtype == np.float64
    assert value.grad.shape == (1, 3)


def test_an_output_can_be_filled_row_by_row():
    weight, out = Tensor(np.array([1.0, 2.0]), requires_grad=True), Tensor(np.zeros((3, 2)))
    for t in range(3):
        out[t] = weight * float(t)
    assert out.requires_grad
    (out * out).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [10.0, 20.0]


def test_assignment_after_an_op_that_needs_its_result_keeps_that_result():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = x.exp()
    y[0] = 5.0
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.array, [0.0, np.exp(2.0)])


def test_what_was_computed_before_the_assignment_raises_in_backward():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = x * 2.0
    before = (y * y).sum()
    y[0] = 0.0
    (y * y).sum().backward(retain_graph=True)
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 16.0]
    with pytest.raises(GradientError, match=r"op mul: argument 0 .* was changed in place"):
        before.backward()


def test_a_leaf_that_requires_grad_is_written_under_no_grad_only():
    x = Tensor(np.zeros(3), requires_grad=True)
    with pytest.raises(GradientError, match="setitem: a leaf that requires grad cannot be written in place"):
        x[0] = 1.0
    with no_grad():
        x[0] = 1.0
    assert x.tolist() == [1.0, 0.0, 0.0]
    assert x.version == 1
    assert x.is_leaf


def test_no_gradient_is_lost_through_a_view():
    value = Tensor(np.array(1.0), requires_grad=True)
    x = Tensor(np.zeros((2, 2)))
    with pytest.raises(GradientError, match=r"shares its memory with another one.*x\[0, 1\] = v, not x\[0\]\[1\] = v"):
        x[0][1] = value
    row = x[0]
    with pytest.raises(GradientError, match="shares its memory"):
        x[0] = value
    del row
    x[0] = value
    assert x.requires_grad
    computed = value * Tensor(np.ones((2, 2)))
    with pytest.raises(GradientError, match="shares its memory"):
        computed[0][1] = 0.0


def test_without_gradients_a_view_writes_into_its_base():
    x = Tensor(np.zeros((2, 2)))
    x[0][1] = 3.0
    x[1][:] = Tensor(np.array([4.0, 5.0]))
    assert x.tolist() == [[0.0, 3.0], [4.0, 5.0]]


def test_operators_in_place_on_a_part():
    x = Tensor(np.zeros((2, 2)))
    x[0] += 1.0
    x[:, 1] *= 3.0
    assert x.tolist() == [[1.0, 3.0], [0.0, 0.0]]
    leaf = Tensor(np.zeros(2), requires_grad=True)
    with no_grad():
        leaf[0] += 1.0
    assert leaf.tolist() == [1.0, 0.0]


def test_parts_of_a_tensor_are_made_of_its_other_parts():
    weight = Tensor(np.array([2.0, 3.0]), requires_grad=True)
    x = Tensor(np.ones((4, 2)))
    for t in range(1, 4):
        x[t] = x[t - 1] * weight  # weight ** t
    x[0] += weight
    x[[1, 3], 0] *= weight[0]
    x[1:, 1] -= weight[1] * weight[1]
    w = weight.array
    expected = np.array([1 + w, w, w**2, w**3])
    expected[[1, 3], 0] *= w[0]
    expected[1:, 1] -= w[1] ** 2
    np.testing.assert_allclose(x.array, expected)
    (x.sum() + (x * x).sum()).backward()
    slopes = np.array([[1, 1], [2 * w[0], 1 - 2 * w[1]], [2 * w[0], 0], [4 * w[0] ** 3, 3 * w[1] ** 2 - 2 * w[1]]])
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.array, (slopes * (1 + 2 * expected)).sum(axis=0))


def test_a_part_that_someone_else_sees_is_not_left_behind():
    weight = Tensor(np.array(2.0), requires_grad=True)
    for change in (lambda part: part * weight, lambda part: -part * weight, lambda part: weight - part):
        x = Tensor(np.ones(3))
        part = x[0]
        with pytest.raises(GradientError, match="shares its memory"):
            x[0] = change(part)
        del part
        x[0] = change(x[0])
        part = x[0]
        with pytest.raises(GradientError, match="shares its memory"):
            x[1] = change(part)
    x = Tensor(np.ones(3)) * weight
    copied = x[[0, 1]]
    x[[0, 1]] = copied * weight
    (x.sum() + copied.sum()).backward()
    assert weight.grad is not None
    assert weight.grad.item() == 2 * (2 * 2.0) + 1 + 2


def test_overlapping_parts_are_copied_as_if_at_once():
    x = Tensor(np.arange(5))
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.__setitem__(0, np.zeros(4)), ShapeError, r"value of shape \(4,\) does not broadcast into \(3,\)"),
        (lambda x: x.__setitem__(0, np.zeros((2, 3))), ShapeError, r"does not broadcast into \(3,\)"),
        (lambda x: x.__setitem__([0, 1], np.zeros((3, 3))), ShapeError, r"does not broadcast into \(2, 3\)"),
        (lambda x: x.expand(4, 2, 3).__setitem__(0, 1.0), ArgumentError, "read-only"),
        (lambda x: x.to("uint8").__setitem__(0, -1), DtypeError, "setitem: -1 does not fit into a tensor of uint8"),
        (lambda x: x.__setitem__(0, "a"), DtypeError, "setitem: 'a' does not fit into a tensor of float64"),
        (lambda x: x.__setitem__(0, [[1.0], [1.0, 2.0]]), DtypeError, "does not fit into a tensor of float64"),
    ],
)
def test_bad_assignments(call, error, text):
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(error, match=text):
        call(x)
    assert x.version == 0
    assert x.array.all()


# Gather and its kin


@given(st.data())
@settings(max_examples=60)
def test_gather_and_back(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    axis = dim % len(shape)
    wanted = tuple(data.draw(st.integers(0, 5) if d == axis else st.integers(0, size)) for d, size in enumerate(shape))
    index = data.draw(hnp.arrays(np.int64, wanted, elements=st.integers(0, shape[axis] - 1)))
    array = rng(*shape).normal(size=shape)
    x = Tensor(array, requires_grad=True)
    out = gather(x, dim, Tensor(index))
    weights = rng(7).normal(size=wanted)
    (out * Tensor(weights)).sum().backward()
    expected, gradient = np.empty(wanted), np.zeros(shape)
    for place in np.ndindex(wanted):
        source = (*place[:axis], index[place], *place[axis + 1 :])
        expected[place] = array[source]
        gradient[source] += weights[place]
    np.testing.assert_array_equal(out.array, expected)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.array, gradient, rtol=1e-12, atol=1e-15)


def test_gradients_of_gather_and_its_kin():
    index = Tensor(rng(4).integers(0, 3, (4, 2, 5)))
    check_gradients(lambda x: gather(x, 1, index).sin(), BASE)
    check_gradients(lambda x: x.take_along_dim(Tensor(np.array([[[0, 3]]])), 2), BASE)
    check_gradients(lambda x: take_along_dim(x, index, 1), rng(5).normal(size=(1, 3, 1)))
    check_gradients(lambda x: take_along_dim(x, Tensor(np.array([[7, 7], [0, 2]]))), BASE)
    check_gradients(lambda x: index_select(x, -1, Tensor(np.array([4, 0, 4]))).sin(), BASE)
    check_gradients(lambda x: gather(x, 0, Tensor(np.array(0))).sin(), np.array(2.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_values_of_gather_and_its_kin(dtype):
    array = (BASE * 3).astype(dtype)
    x = Tensor(array)
    order = np.argsort(array, 1)
    np.testing.assert_array_equal(x.take_along_dim(Tensor(order), 1).array, np.take_along_axis(array, order, 1))
    flat = Tensor(np.array([59, 0]))
    np.testing.assert_array_equal(take_along_dim(x, flat).array, array.reshape(-1)[[59, 0]])
    np.testing.assert_array_equal(x.index_select(1, Tensor(np.array([2, 0]))).array, array[:, [2, 0]])
    assert x.index_select(0, Tensor(np.array(3))).shape == (1, 3, 5)
    assert Tensor(np.array(7.0)).index_select(0, Tensor(np.array([0]))).item() == 7.0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.gather(0, Tensor(np.zeros(4, int))), ShapeError, "as many dimensions"),
        (lambda x: x.gather(0, Tensor(np.zeros((1, 3, 6), int))), ShapeError, "at most these sizes but along dim 0"),
        (lambda x: x.gather(0, Tensor(np.zeros((1, 1, 1)))), DtypeError, "gather: the index must hold integers"),
        (
            lambda x: x.gather(1, Tensor(np.array([[[0], [3]]]))),
            IndexRangeError,
            r"index 3 at \(0, 1, 0\) is out of range along dim 1 of shape \(4, 3, 5\); .* 0 to 2",
        ),
        (lambda x: x.gather(1, Tensor(np.array([[[-1]]]))), IndexRangeError, "index -1"),
        (lambda x: x.gather(3, Tensor(np.zeros((1, 1, 1), int))), ShapeError, "gather: dim 3"),
        (lambda x: x.take_along_dim(Tensor(np.zeros(4, int)), 0), ShapeError, "as many dimensions"),
        (lambda x: x.take_along_dim(Tensor(np.zeros((1, 2, 1), int)), 0), ShapeError, "do not broadcast outside dim 0"),
        (lambda x: x.index_select(0, Tensor(np.zeros((1, 1), int))), ShapeError, "must be 1-d"),
        (lambda x: x.index_select(0, Tensor(np.array([0, 4]))), IndexRangeError, "index 4 is out of range for dim 0"),
        (lambda x: x.index_select(0, Tensor(np.array([-1]))), IndexRangeError, "index -1"),
        (lambda x: x.index_select(0, Tensor(np.array([True]))), DtypeError, "must hold integers"),
        (lambda x: x.scatter(0, Tensor(np.zeros(4, int)), 1.0), ShapeError, "scatter: an index of shape"),
        (lambda x: x.scatter(1, Tensor(np.array([[[3]]])), 1.0), IndexRangeError, "index 3 at .* along dim 1"),
        (lambda x: x.scatter(0, Tensor(np.array([[[0]]])), [1.0]), DtypeError, "a Tensor or a number, got list"),
        (lambda x: x.scatter(0, Tensor(np.array([[[0]]])), x.float()), DtypeError, "src is float32, expected float64"),
        (lambda x: x.scatter(0, Tensor(np.zeros((4, 1, 1), int)), x[:2]), ShapeError, "expected at least .4, 1, 1."),
        (lambda x: x.long().scatter_(0, Tensor(np.array([[[0]]])), 0.5), DtypeError, "0.5 does not fit into int64"),
        (lambda x: x.scatter_add(0, Tensor(np.array([[[0]]])), 1.0), DtypeError, "src must be a Tensor"),
    ],
)
def test_errors_of_gather_and_its_kin(call, error, text):
    with pytest.raises(error, match=text):
        call(Tensor(BASE))


def test_scatter_of_a_number_makes_one_hot_rows_and_a_0d_tensor_has_place_0():
    labels = Tensor(np.array([1, 0, 2]))
    rows = Tensor(np.zeros((3, 3))).scatter_(1, labels.unsqueeze(1), 1.0)
    np.testing.assert_array_equal(rows.array, np.eye(3)[[1, 0, 2]])
    np.testing.assert_array_equal(one_hot(labels, 3).array, rows.array)
    assert Tensor(np.array(2.0)).scatter(0, Tensor(np.array(0)), 5.0).item() == 5.0


def test_scatter_in_place_counts_as_a_change_and_loses_no_gradient():
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    first = Tensor(np.zeros((2, 1), int))
    squares = x * 1.0
    loss = (squares * squares).sum()
    with no_grad():
        squares.scatter_(1, first, 3.0)
    with pytest.raises(GradientError, match="changed in place"):
        loss.backward()
    with pytest.raises(GradientError, match="scatter_: the written value requires grad"):
        Tensor(np.ones((2, 2))).scatter_(1, first, x)
    with pytest.raises(GradientError, match="scatter_: a leaf that requires grad"):
        x.scatter_(1, first, 1.0)


# Order


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
        elements={"min_value": -2, "max_value": 2},
    ),
    st.booleans(),
    st.data(),
)
@settings(max_examples=80)
def test_sort_is_stable_both_ways(array, descending, data):
    dim = data.draw(st.integers(-max(array.ndim, 1), max(array.ndim, 1) - 1))
    values, indices = sort(Tensor(array), dim, descending)
    assert indices.dtype == np.int64
    assert values.dtype == array.dtype
    rows = np.moveaxis(np.atleast_1d(array), dim, -1)
    found = np.moveaxis(np.atleast_1d(indices.array), dim, -1)
    for place in np.ndindex(rows.shape[:-1]):
        row = rows[place].tolist()
        assert found[place].tolist() == sorted(range(len(row)), key=lambda i: row[i], reverse=descending) or descending
        if descending:
            assert found[place].tolist() == sorted(range(len(row)), key=lambda i: -row[i])
    np.testing.assert_array_equal(Tensor(array).argsort(dim, descending).array, indices.array)


def test_nan_counts_as_the_greatest():
    x = Tensor(np.array([1.0, np.nan, 3.0]))
    assert argsort(x).tolist() == [0, 2, 1]
    assert argsort(x, descending=True).tolist() == [1, 2, 0]


def test_topk():
    x = Tensor(np.array([[1.0, 3.0, 3.0, 0.0], [5.0, 4.0, 6.0, 4.0]]))
    values, indices = topk(x, 2)
    assert values.tolist() == [[3.0, 3.0], [6.0, 5.0]]
    assert indices.tolist() == [[1, 2], [2, 0]]
    assert x.topk(2, largest=False).indices.tolist() == [[3, 0], [1, 3]]
    assert x.topk(1, dim=0).values.tolist() == [[5.0, 4.0, 6.0, 4.0]]
    assert x.topk(0).values.shape == (2, 0)
    assert Tensor(np.array(3.0)).topk(1).values.item() == 3.0
    with pytest.raises(ShapeError, match="k must lie in 0 to 4"):
        x.topk(5)


def test_gradients_of_sort_and_topk():
    check_gradients(lambda x: x.sort(1, descending=True).values.sin(), BASE)
    check_gradients(lambda x: x.topk(2, dim=0).values, BASE)
    check_gradients(lambda x: x.sort().values, np.array(1.5))


def test_nonzero():
    array = np.array([[0, 2], [3, 0]])
    assert nonzero(Tensor(array)).tolist() == [[0, 1], [1, 0]]
    assert [part.tolist() for part in Tensor(array).nonzero(as_tuple=True)] == [[0, 1], [1, 0]]
    assert nonzero(Tensor(np.array(1.0))).shape == (1, 0)
    assert nonzero(Tensor(array)).dtype == np.int64


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_one_hot(dtype):
    labels = Tensor(np.array([[0, 2], [1, 0]], dtype))
    expected = np.eye(3, dtype=np.int64)[labels.array]
    np.testing.assert_array_equal(one_hot(labels).array, expected)
    assert one_hot(labels, 5).shape == (2, 2, 5)
    assert one_hot(labels).dtype == np.int64
    assert one_hot(Tensor(np.array(1)), 2).tolist() == [0, 1]
    assert one_hot(Tensor(np.empty(0, int)), 2).shape == (0, 2)


@pytest.mark.parametrize(
    ("labels", "classes", "error", "text"),
    [
        ([0, 3], 3, IndexRangeError, r"label 3 at \(1,\) is out of range; labels must lie in 0 to 2"),
        ([0, -1], -1, IndexRangeError, "label -1"),
        ([0.0], 3, DtypeError, "labels must be integers, got float64"),
        ([True], 3, DtypeError, "labels must be integers, got bool"),
        ([0], 0, ArgumentError, "num_classes must be at least 1"),
    ],
)
def test_errors_of_one_hot(labels, classes, error, text):
    with pytest.raises(error, match=text):
        one_hot(Tensor(np.array(labels)), classes)
    with pytest.raises(ArgumentError, match="give num_classes"):
        one_hot(Tensor(np.empty(0, int)))


def test_unique_with_its_inverse_and_counts():
    x = Tensor(np.array([[3, 1], [1, 2]]))
    values, inverse, counts = unique(x, return_inverse=True, return_counts=True)
    assert values.tolist() == [1, 2, 3]
    assert counts.tolist() == [2, 1, 1]
    np.testing.assert_array_equal(values.array[inverse.array], x.array)
    assert unique(Tensor(np.array([0.5, 0.5]))).tolist() == [0.5]


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (np.array([0.5]), DtypeError, "bincount: labels must be integers, got float64"),
        (np.array([[1]]), ShapeError, r"bincount: expected labels \(N,\), got shape \(1, 1\)"),
        (np.array([1, -2]), IndexRangeError, "label -2 at position 1 is negative"),
    ],
)
def test_errors_of_bincount(labels, error, text):
    with pytest.raises(error, match=text):
        bincount(Tensor(labels))
