"""`ConcatDataset`, and `a + b`."""

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import data
from tinygrad_mlp.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError


def points(first, count, split=None, name="points"):
    numbers = np.arange(first, first + count)
    return data.TensorDataset(np.float32(numbers), numbers, split=split, name=name)


class Own(data.Dataset):
    """A user's data set: samples one by one."""

    def __init__(self, first, count):
        self.first, self.count = first, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return float(self.first + index), self.first + index


def test_samples_by_position():
    parts = [points(0, 3), Own(3, 2), points(5, 4)]
    whole = data.ConcatDataset(iter(parts))
    assert tg.utils.data.ConcatDataset is data.ConcatDataset
    assert whole.datasets == parts and whole.cumulative_sizes == [3, 5, 9] and len(whole) == 9
    assert [int(y) for _, y in whole] == list(range(9))
    assert [int(whole[i][1]) for i in (-1, -9, np.int64(4))] == [8, 0, 4]
    assert type(whole[3][0]) is float  # the data set's own sample
    for outside in (9, -10, [0, 9]):
        with pytest.raises(IndexRangeError, match="out of range for 9 samples"):
            whole[outside]


def test_batches_keep_their_order():
    whole = data.ConcatDataset([points(0, 3), Own(3, 2), points(5, 4)])
    chosen = [8, 0, -6, 4, 1, 8]
    x, y = whole.batch(chosen)
    np.testing.assert_array_equal(y.array, np.arange(9)[chosen])
    np.testing.assert_array_equal(x.array, np.arange(9)[chosen])
    assert x.dtype == np.float32 and y.dtype == np.int64
    assert whole[[1, 0]][1].tolist() == [1, 0]
    assert sorted(int(y) for _, batch in data.DataLoader(whole, 4, shuffle=True, seed=1) for y in batch) == list(
        range(9)
    )


def test_each_part_draws_whole_batches_where_it_can():
    class Counted(data.TensorDataset):
        calls = 0

        def batch(self, indices):
            type(self).calls += 1
            return super().batch(indices)

    parts = [Counted(np.arange(3)), Counted(np.arange(3, 6))]
    (x,) = data.ConcatDataset(parts).batch([5, 0, 4, 1])
    assert x.tolist() == [5, 0, 4, 1] and Counted.calls == 2


def test_single_fields_and_nested():
    class One(Own):
        def __getitem__(self, index):
            return self.first + index

    whole = One(0, 2) + One(2, 2) + data.ConcatDataset([One(4, 1)])
    assert type(whole) is data.ConcatDataset and whole.cumulative_sizes == [4, 5]
    assert whole.batch([4, 1, 2]).tolist() == [4, 1, 2]
    assert (points(0, 2) + Own(2, 1)).batch([2, 0])[1].tolist() == [2, 0]
    assert (Own(0, 2) + points(2, 1)).batch([2, 0])[1].tolist() == [2, 0]


def test_roles():
    train, val, test = (points(0, 2, split) for split in ("train", "validation", "test"))
    assert (train + train).split == "train" and (train + val).split is None and (train + Own(0, 1)).split is None
    assert data.ConcatDataset([train, val], split="train").split == "train"
    for parts in ([train, test], [test, test], [train, train + test], [Own(0, 1), data.Subset(test, [0])]):
        assert data.ConcatDataset(parts).split == "test"
        with pytest.raises(DataError, match="holds a test split cannot become 'train': it is locked"):
            data.ConcatDataset(parts, split="train")
        with pytest.raises(DataError, match="shuffle=True is for training"):
            data.DataLoader(data.ConcatDataset(parts), shuffle=True)
    assert (points(0, 1, name="a") + points(0, 1, name="b")).name == "a + b"
    assert (points(0, 1) + points(0, 1)).name == "points"


def test_uses_count_once_for_the_whole_and_for_each_part():
    test, other = points(0, 4, "test"), points(0, 2, "test")
    halves = [data.Subset(test, [0, 1]), data.Subset(test, [2, 3])]
    whole = data.ConcatDataset([*halves, other, Own(0, 1)])
    whole.record_use()
    assert [each.uses for each in (whole, test, *halves, other)] == [1, 1, 1, 1, 1]
    data.Subset(whole, [0]).record_use()
    assert [each.uses for each in (whole, test, other)] == [2, 2, 2]
    halves[0].record_use()
    assert [each.uses for each in (whole, test, other)] == [3, 3, 2]


def test_parts_are_told_the_epoch(images):
    augmented = data.AugmentedImages(images, data.Augmentation(shift=1))
    whole = augmented + images
    data.Subset(whole, [0]).set_epoch(3)
    assert augmented.epoch == 3
    x, _ = whole.batch([50, 0])
    np.testing.assert_array_equal(x.array[0], images[0][0].array)
    np.testing.assert_array_equal(x.array[1], augmented[0][0].array)


def test_what_does_not_fit():
    floats, numbers = data.TensorDataset(np.zeros((2, 3))), data.TensorDataset(np.zeros((2, 3), np.int64))
    wide, pair = data.TensorDataset(np.zeros((2, 4))), data.TensorDataset(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(DtypeError, match="field 0 of data set 1 is int64, of data set 0 float64"):
        (floats + numbers).batch([0, 2])
    with pytest.raises(ShapeError, match=r"field 0 of data set 1 has samples of shape \(4,\), of data set 0 \(3,\)"):
        (floats + wide).batch([0, 2])
    with pytest.raises(ShapeError, match=r"samples of data set 1 have 2 field\(s\), those of data set 0 1"):
        (floats + pair).batch([0, 2])
    with pytest.raises(ArgumentError, match="got no data sets"):
        data.ConcatDataset([])
    with pytest.raises(ArgumentError, match="int has no __len__"):
        floats + 3
