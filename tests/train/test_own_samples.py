"""Data sets whose `__getitem__` is overridden are trained on and evaluated as it says; and joined data sets."""

import json

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import data, nn, optim
from tinygrad_mlp.errors import ArgumentError, DataError


class Moved(data.TensorDataset):
    """Puts each cloud of points elsewhere, sample by sample."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return 3 - x, (y + 1) % 3


def moved(dataset):
    """The same done to whole arrays."""
    points, labels = dataset.arrays
    return data.TensorDataset(3 - points, (labels + 1) % 3, split=dataset.split)


def fitted(make, train, val, **options):
    trainer = make(epochs=2, **options)
    history = trainer.fit(train, val)
    return [history[name] for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")]


def test_training_and_evaluation_draw_what_getitem_returns(make, train, val):
    net = nn.Sequential(nn.Linear(4, 3))
    own, own_val = Moved(*train.arrays, split="train"), Moved(*val.arrays, split="validation")
    assert tg.evaluate(net, own).loss == tg.evaluate(net, moved(train)).loss != tg.evaluate(net, train).loss
    np.testing.assert_array_equal(tg.train.predict(net, own), tg.train.predict(net, moved(train)))

    expected = fitted(make, moved(train), moved(val))
    assert fitted(make, own, own_val) == expected
    parts = data.Subset(own, np.arange(90)), data.Subset(own_val, np.arange(30))
    assert fitted(make, *parts) == expected


def test_also_where_a_class_between_may_be_captured(make, train, val, capsys):
    class Captured(data.TensorDataset):
        is_capturable = True

    class Own(Moved, Captured):
        pass

    own, own_val = Own(*train.arrays, split="train"), Own(*val.arrays, split="validation")
    assert fitted(make, own, data.Subset(own_val, np.arange(30))) == fitted(make, moved(train), moved(val))
    assert "without capture" not in "".join(capsys.readouterr())


def test_labels_that_getitem_changes_are_not_taken_from_the_arrays(make, train):
    """Whether any label is ignored is looked up where labels are in arrays; here they are not what is drawn."""

    class Ignoring(data.TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x, (y if index % 2 else -100)

    marked = np.where(np.arange(90) % 2, train.arrays[1], -100)
    loss = nn.CrossEntropyLoss()
    expected = fitted(make, *[data.TensorDataset(train.arrays[0], marked, split="train")] * 2, loss=loss)
    for own in (Ignoring(*train.arrays, split="train"), data.Subset(Ignoring(*train.arrays), np.arange(90), "train")):
        assert fitted(make, own, own, loss=loss) == expected


def test_several_views_of_images_that_getitem_changes(images):
    class Negative(data.ImageDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return -x, y

    negative = Negative(images.images, images.labels, classes=images.classes, standardization=images.standardization)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    x = -images[:][0].array
    expected = (net(tg.tensor(x)).detach().array + net(tg.tensor(x[..., ::-1].copy())).detach().array) / 2
    np.testing.assert_allclose(tg.train.predict(net, negative, flip=True), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ArgumentError, match="shift=1: got a Negative, expected an ImageDataset"):
        tg.train.predict(net, negative, shift=1)


def test_evaluation_names_the_method_that_a_data_set_lacks():
    class NoLength(data.Dataset):
        def __getitem__(self, index):
            return tg.ones(4), 0

    with pytest.raises(ArgumentError, match="NoLength has no __len__, which a data set needs"):
        tg.evaluate(nn.Linear(4, 3), NoLength())


def test_joined_data_sets_train_as_one(make, train, val, test_part):
    points, labels = train.arrays
    halves = [data.TensorDataset(points[part], labels[part], split="train") for part in (slice(40), slice(40, None))]
    assert fitted(make, halves[0] + halves[1], val + val) == fitted(
        make, train, data.TensorDataset(*[np.concatenate([array, array]) for array in val.arrays])
    )
    with pytest.raises(DataError, match="the test split is locked"):
        make().fit(halves[0] + test_part)
    tg.evaluate(nn.Linear(4, 3), test_part + halves[0])
    assert test_part.uses == 1


def test_joined_data_sets_are_described(train, val):
    description = tg.train.settings.describe_dataset(train + data.Subset(val, [0]))
    assert [part["samples"] for part in description["parts"]] == [90, 1] and "sha256" in description["parts"][0]
    json.dumps(description)


def test_joined_augmented_images_do_not_validate(images):
    augmented = data.AugmentedImages(images, data.Augmentation(shift=1))
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    trainer = tg.Trainer(net, optim.SGD(net.parameters(), lr=0.1), epochs=1, batch_size=10)
    with pytest.raises(DataError, match="only training images are augmented"):
        trainer.fit(images, images + augmented)
