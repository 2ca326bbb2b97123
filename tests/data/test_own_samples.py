"""Subclasses that draw samples in a way of their own, by `__getitem__` or by `batch`, and what holds them."""

import numpy as np
import pytest

from tinygrad_mlp import data
from tinygrad_mlp.errors import ArgumentError, DtypeError


class Doubled(data.TensorDataset):
    """Transforms each sample, as scripts for PyTorch do."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x * 2, y


class Negative(data.ImageDataset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return -x, y


class Shifted(data.Subset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + 1, y


class Batched(data.TensorDataset):
    def batch(self, indices):
        x, y = super().batch(indices)
        return x * 2, y


def points(kind=data.TensorDataset, count=6):
    return kind(np.arange(count, dtype=np.float32), np.arange(count))


def drawn(dataset, **options):
    """All inputs that a loader gives."""
    return np.concatenate([x.array for x, _ in data.DataLoader(dataset, 4, **options)])


def test_a_transform_in_getitem_happens_in_a_loader():
    np.testing.assert_array_equal(drawn(points(Doubled)), np.arange(6) * 2)
    assert not points(Doubled).is_capturable


def test_also_in_parts_and_in_parts_of_parts():
    first, second = data.random_split(points(Doubled), [0.5, 0.5], seed=0)
    np.testing.assert_array_equal(np.sort(np.r_[drawn(first), drawn(second)]), np.arange(6) * 2)
    np.testing.assert_array_equal(drawn(data.Subset(data.Subset(points(Doubled), [5, 4, 3]), [2, 0])), [6, 10])
    np.testing.assert_array_equal(drawn(Shifted(points(Doubled), [1, 3])), [3, 7])
    np.testing.assert_array_equal(data.Subset(points(Doubled), [1, 3])[:][0].array, [2, 6])


def test_also_of_images(images):
    negative = Negative(
        images.images, images.labels, classes=images.classes, standardization=images.standardization, split="train"
    )
    np.testing.assert_array_equal(drawn(negative), -drawn(images))
    for lose in (
        lambda: negative.part([0]),
        lambda: negative.astype(np.float64),
        lambda: next(data.k_fold(negative)),
        lambda: data.AugmentedImages(negative, data.Augmentation(shift=1)),
    ):
        with pytest.raises(ArgumentError, match=r"Negative.* in a way of its own"):
            lose()


def test_batch_is_called_where_it_is_the_nearer_one():
    class Counted(Batched):
        calls = 0

        def batch(self, indices):
            type(self).calls += 1
            return super().batch(indices)

    np.testing.assert_array_equal(drawn(points(Counted)), np.arange(6) * 2)
    assert Counted.calls == 2

    class Both(Doubled):
        def batch(self, indices):
            x, y = super().batch(indices)
            return x * 3, y

    np.testing.assert_array_equal(drawn(points(Both)), np.arange(6) * 3)

    class Mixin:
        def __getitem__(self, index):
            return index * 10, index

    np.testing.assert_array_equal(drawn(points(type("Mixed", (Mixin, Batched), {}))), np.arange(6) * 10)


def test_a_data_set_that_lacks_a_method_is_told_which():
    class NoLength(data.Dataset):
        def __getitem__(self, index):
            return (index,)

    class NoItems(data.Dataset):
        def __len__(self):
            return 3

    class NeitherNorBase:
        def __getitem__(self, index):
            return (index,)

    class ForgotReturn(data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            (index,)

    class LengthForgot(ForgotReturn):
        def __len__(self):
            pass

    for kind, method in ((NoLength, "__len__"), (NeitherNorBase, "__len__"), (NoItems, "__getitem__")):
        with pytest.raises(ArgumentError, match=f"{kind.__name__} has no {method}, which a data set needs"):
            list(data.DataLoader(kind()))
    with pytest.raises(DtypeError, match=r"ForgotReturn.__getitem__\(0\) returned None.*return statement missing"):
        list(data.DataLoader(ForgotReturn()))
    with pytest.raises(ArgumentError, match=r"LengthForgot.__len__ returned None.*return statement missing"):
        data.Subset(LengthForgot(), [0])


def test_dataset_is_a_type_to_ask_for_and_to_subscribe():
    class Mine(data.Dataset[tuple]):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return (float(index),)

    assert isinstance(Mine(), data.Dataset) and isinstance(points(), data.Dataset) and isinstance([1], data.Dataset)
    assert not isinstance(3, data.Dataset)
    (x,) = next(iter(data.DataLoader(Mine(), 2)))
    assert x.tolist() == [0.0, 1.0]
