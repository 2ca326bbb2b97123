"""What each label weighs in the mean loss, and that samples which the loss ignores count nothing."""

from functools import partial

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import data, nn
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.train import predict
from tinygrad_mlp.train.weighting import ignored_label


@pytest.fixture
def net():
    tg.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def weighted_mean(losses, labels, weight, ignored=-100):
    weights = np.where(labels == ignored, 0, np.asarray(weight)[np.where(labels == ignored, 0, labels)])
    return (losses * weights).sum() / weights.sum()


@pytest.mark.parametrize("batch_size", [1, 2, 7, 1000])
@pytest.mark.parametrize("ignored", [-100, 2])
@pytest.mark.parametrize("form", ["module", "partial"])
def test_a_weighted_mean_does_not_depend_on_the_batches(net, train, batch_size, ignored, form):
    points, labels = train.arrays
    marked = labels.copy()
    marked[:10] = ignored  # whole batches, of which the loss is 0/0
    weight = tg.tensor([1.0, 10.0, 0.5])
    settings = {"weight": weight, "ignore_index": ignored}
    loss = nn.CrossEntropyLoss(**settings) if form == "module" else partial(F.cross_entropy, **settings)
    report = tg.evaluate(net, data.TensorDataset(points, marked), batch_size, loss)
    logits = tg.tensor(predict(net, train))
    counted = marked != ignored
    losses = F.cross_entropy(logits, tg.tensor(labels), reduction="none").array
    assert report.loss == pytest.approx(weighted_mean(losses, marked, weight.array, ignored), rel=1e-5)
    assert report.n == counted.sum() < 90
    assert report.accuracy == (logits.array.argmax(1) == labels)[counted].mean()


def test_other_losses_weigh_each_sample_alike(net, train):
    weight = tg.tensor([1.0, 10.0, 0.5])
    logits = tg.tensor(predict(net, train))
    soft = data.TensorDataset(train.arrays[0], logits.softmax(1).array)
    report = tg.evaluate(net, soft, 7, nn.CrossEntropyLoss(weight))  # a probability for each class
    whole = F.cross_entropy(logits, tg.tensor(soft.arrays[1]), weight=weight)
    assert report.loss == pytest.approx(whole.item(), rel=1e-5)
    assert report.n == 90


def test_pixels_that_are_ignored_weigh_nothing():
    """Labels (N, H, W): the mean is over pixels."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(6, 3, 2, 2)).astype(np.float32), random.integers(0, 3, (6, 2, 2))
    y[:2, 0] = -100
    whole = F.cross_entropy(tg.tensor(x), tg.tensor(y)).item()
    report = tg.evaluate(nn.Identity(), data.TensorDataset(x, y), batch_size=2)
    assert report.loss == pytest.approx(whole, rel=1e-6)
    assert report.n == 6


def test_labels_that_are_all_ignored_have_no_loss(net, train):
    nothing = data.TensorDataset(train.arrays[0], np.full(90, -100))
    with pytest.raises(ArgumentError, match=r"weighs no sample of TensorDataset.*every label is its ignore_index"):
        tg.evaluate(net, nothing)


def ignoring(labels, ignored):
    """Every third label is one that the loss ignores."""
    labels = labels.copy()
    labels[::3] = ignored
    return labels


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("ignored", [-100, 1])
def test_ignored_samples_count_nothing_in_training_and_validation(make, train, known, ignored):
    """Of labels in arrays it is looked up whether any is ignored, of other data it is not known."""

    class Unknown(data.TensorDataset):
        pass

    points, labels = train.arrays
    marked = (data.TensorDataset if known else Unknown)(points, ignoring(labels, ignored), split="train")
    loss = nn.CrossEntropyLoss(ignore_index=ignored)
    trainer = make(epochs=2, loss=loss, batch_size=90)
    history = trainer.fit(marked, marked)

    kept = np.flatnonzero(marked.arrays[1] != ignored)
    rest = data.TensorDataset(points[kept], labels[kept], split="train")
    assert history["val_loss"][-1] == pytest.approx(tg.evaluate(trainer.net, rest).loss, rel=1e-6)
    assert history["val_accuracy"][-1] == tg.evaluate(trainer.net, rest).accuracy

    by_hand = make(batch_size=90, loss=loss)
    by_hand.optimizer.zero_grad()
    x, y = (tg.tensor(array[by_hand_order(by_hand, marked)]) for array in marked.arrays)
    output = by_hand.net(x)
    counted = y.array != ignored
    assert 0 < counted.sum() < 90
    assert history["train_accuracy"][0] == (output.array[counted].argmax(1) == y.array[counted]).mean()
    assert history["train_loss"][0] == pytest.approx(loss(output, y).item(), rel=1e-6)


def by_hand_order(trainer, dataset):
    return data.DataLoader(dataset, 90, shuffle=True, seed=trainer.seed).order(0)


def test_whether_labels_are_ignored_is_looked_up(images, train):
    points, labels = train.arrays
    marked = data.TensorDataset(points, ignoring(labels, -100))
    assert ignored_label(F.cross_entropy, train) is None
    assert ignored_label(F.cross_entropy, data.Subset(marked, [0, 1])) == -100
    assert ignored_label(partial(F.nll_loss, ignore_index=2), train) == 2
    assert ignored_label(F.cross_entropy, data.AugmentedImages(images, data.Augmentation(0.5))) is None
    assert ignored_label(nn.CrossEntropyLoss(ignore_index=1), data.AugmentedImages(images, data.Augmentation(0.5))) == 1
    assert ignored_label(nn.CrossEntropyLoss(), [(points[0], 1)]) == -100  # it may hold such
    assert ignored_label(F.mse_loss, marked) is None
