import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data import Dataset, Subset, TensorDataset, collate, random_split
from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError


def _tensors(count: int = 10, **kwargs: object) -> TensorDataset:
    x = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    return TensorDataset(Tensor(x), np.arange(count), **kwargs)


class Squares(Dataset):
    """A user's data set: samples one by one."""

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, float, int]:
        return np.float64([index, -index]), float(index) ** 2, index


@pytest.mark.parametrize(
    "index",
    [
        slice(2, 7, 2),
        [3, -1],
        np.array([4, 4]),
        np.array([5, 6], np.uint8),
        Tensor(np.array([9, 0])),
        np.arange(10) > 6,
        slice(None, None, -1),
        [1],
    ],
    ids=["slice", "list", "array", "uint8", "tensor", "mask", "reversed", "one in a list"],
)
def test_several_samples(index):
    x, y = _tensors()[index]
    expected = np.arange(10)[index.array if isinstance(index, Tensor) else index]
    np.testing.assert_array_equal(y.array, expected)
    np.testing.assert_array_equal(x.array[:, 0], expected * 3)
    assert isinstance(x, Tensor) and x.dtype == np.float32 and y.dtype == np.int64


@pytest.mark.parametrize("index", [3, -7, np.int64(3), Tensor(np.array(3))], ids=["int", "negative", "numpy", "tensor"])
def test_one_sample(index):
    x, y = _tensors()[index]
    assert x.shape == (3,) and y.shape == () and y.item() == 3
    assert "abcdefghij"[y] == "d"


def test_iteration_gives_every_sample_once():
    assert [y.item() for _, y in _tensors()] == list(range(10))
    assert [y.item() for _, y in Subset(_tensors(), [3, 1])] == [3, 1]


def test_batches_are_copies_and_the_data_are_not():
    x = np.zeros((4, 2))
    dataset = TensorDataset(x)
    (batch,) = dataset[:2]
    x[0] = 5
    assert batch.array[0, 0] == 0 and batch.dtype == np.float64
    assert dataset[0][0].array[0] == 5


@pytest.mark.parametrize("index", [[], slice(3, 3), np.zeros(10, bool), np.empty(0, np.int64)])
def test_an_empty_batch_is_an_error(index):
    with pytest.raises(DataError, match="points: empty batch: the indices select none of 10 samples"):
        _tensors(name="points")[index]


def test_bad_indices():
    dataset = _tensors()
    for bad in (10, -11, [0, 10]):
        with pytest.raises(IndexRangeError, match="out of range"):
            dataset[bad]
        with pytest.raises(IndexRangeError, match="out of range"):
            Subset(dataset, slice(None))[bad]
    with pytest.raises(ShapeError, match="mask has 3 entries, expected one for each of 10"):
        dataset[np.ones(3, bool)]
    with pytest.raises(ShapeError, match=r"indices have shape \(1, 2\)"):
        dataset[[[1, 2]]]
    with pytest.raises(DtypeError, match="indices are float64"):
        dataset[[1.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_data_that_are_not_finite_name_the_first_bad_index(bad):
    x = np.zeros((5, 3), np.float32)
    x[3, 1] = x[4, 0] = bad
    with pytest.raises(DataError, match=rf"tensor 1 of shape \(5, 3\) holds {bad} at index \[3, 1\] \(2 of 15"):
        TensorDataset(np.arange(5), x)
    assert len(TensorDataset(np.arange(5), x, finite=False)) == 5


def test_the_check_for_nan_happens_once():
    x = np.zeros((5, 3))
    dataset = TensorDataset(x)
    x[2] = np.nan
    assert np.isnan(dataset[2][0].array).all()


def test_bad_tensors():
    with pytest.raises(ShapeError, match=r"\[5, 4\] rows"):
        TensorDataset(np.zeros(5), np.zeros(4))
    with pytest.raises(ShapeError, match="tensor 0 is 0-d"):
        TensorDataset(np.array(3.0))
    with pytest.raises(ArgumentError, match="no tensors"):
        TensorDataset()
    with pytest.raises(DtypeError, match="tensor 1 is list"):
        TensorDataset(np.zeros(2), [1, 2])
    with pytest.raises(DtypeError, match="object"):
        TensorDataset(np.array([None, 1]))
    with pytest.raises(ArgumentError, match="'training', expected one of train, validation, test, or None"):
        _tensors(split="training")


def test_a_subset_of_a_subset():
    part = Subset(Subset(_tensors(), [8, -1, 2, 3]), np.array([0, -1, 1]))
    assert len(part) == 3
    np.testing.assert_array_equal(part[:][1].array, [8, 3, 9])
    assert part[1][1].item() == 3 and part[-1][1].item() == 9


def test_a_subset_of_a_users_data_set():
    part = Subset(Squares(), [4, 2])
    assert part.name == "Squares" and part.split is None
    assert part[1][1] == 4.0
    x, square, index = part[:]
    np.testing.assert_array_equal(x.array, [[4, -4], [2, -2]])
    assert (x.dtype, square.dtype, index.dtype) == (np.float64, np.float32, np.int64)
    with pytest.raises(IndexRangeError, match="index 10 is out of range for 10 samples"):
        Subset(Squares(), [10])


def test_parts_of_a_test_split_stay_locked_and_count_together():
    test = _tensors(split="test")
    part = Subset(test, [1, 2])
    assert part.split == "test"
    part.record_use()
    test.record_use()
    assert test.uses == part.uses == 2
    assert [other.split for other in random_split(test, [0.5, 0.5], seed=0)] == ["test", "test"]
    with pytest.raises(DataError, match="test split is locked"):
        Subset(test, [1], split="train")
    assert Subset(_tensors(split="train"), [1], split="validation").split == "validation"


def test_looking_at_samples_is_no_use():
    test = _tensors(split="test")
    _ = test[0], test[:3], list(test)
    assert test.uses == 0
    assert repr(test) == "TensorDataset(tensors, test, 10 samples)"


@given(count=st.integers(1, 60), parts=st.integers(1, 5), seed=st.integers(0, 99))
def test_random_split_covers_everything_once(count, parts, seed):
    pieces = random_split(Squares(count), [1 / parts] * parts, seed=seed)
    assert sorted(np.concatenate([piece.indices for piece in pieces])) == list(range(count))
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_random_split_follows_its_seed():
    def split(**source: object) -> list[int]:
        return random_split(_tensors(), [7, 3], **source)[0].indices.tolist()

    assert split(seed=1) == split(seed=1) != split(seed=2)
    assert split(generator=np.random.default_rng(5)) == split(generator=np.random.default_rng(5))
    assert split(generator=np.random.default_rng(5)) != split(generator=np.random.default_rng(6))


def test_bad_random_split():
    with pytest.raises(ArgumentError, match=r"\[7, 4\] add up to 11, but there are 10"):
        random_split(_tensors(), [7, 4])
    with pytest.raises(ArgumentError, match="expected 1"):
        random_split(_tensors(), [0.5, 0.4])
    with pytest.raises(ArgumentError, match="no negative"):
        random_split(_tensors(), [11, -1])
    with pytest.raises(ArgumentError, match="one of them"):
        random_split(_tensors(), [7, 3], generator=np.random.default_rng(0), seed=0)


def test_collate_of_tuples_and_single_fields():
    x, flag, number = collate(
        [(Tensor(np.ones(2, np.float32)), True, np.float64(3)), (np.zeros(2, np.float32), False, np.float64(4))]
    )
    assert (x.shape, flag.dtype, number.dtype) == ((2, 2), np.bool_, np.float64)
    np.testing.assert_array_equal(collate([1, 2, 3]).array, [1, 2, 3])
    assert collate([0.5]).dtype == np.float32


def test_bad_samples_are_named():
    with pytest.raises(DataError, match="empty batch"):
        collate([])
    with pytest.raises(ShapeError, match="sample 7 has 1 fields, but sample 5 has 2"):
        collate([(1, 2), (1,)], [5, 7])
    with pytest.raises(ShapeError, match=r"field 0 of sample 7 has shape \(2,\), but field 0 of sample 5 has \(3,\)"):
        collate([(np.zeros(3), 1), (np.zeros(2), 1)], [5, 7])
    with pytest.raises(DtypeError, match="field 1 of sample 1 is float32, but field 1 of sample 0 is int64"):
        collate([(1, 1), (1, 1.0)])
    with pytest.raises(DtypeError, match=r"field 0 of sample 0 is str.*collate_fn"):
        collate([("a", 1)])
    with pytest.raises(DataError, match=r"field 0 of sample 7 holds nan at index \[1\]"):
        collate([(np.zeros(2), 1), (np.array([0, np.nan]), 1)], [5, 7])
    with pytest.raises(DataError, match=r"sample 0 holds inf at index \[0\]"):
        collate([float("inf")])


def test_tensors_of_a_data_set_share_its_memory():
    x = np.zeros((3, 2))
    first, second = TensorDataset(x, np.arange(3)).tensors
    x[0] = 1.0
    assert first.tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert second.tolist() == [0, 1, 2]
