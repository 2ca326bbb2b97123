"""Real runs of small recipes: same seed, same bits; pairs share what they can; divergence is a result."""

import math

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.experiments.made import SMALL
from tinygrad_mlp.data import Augmentation
from tinygrad_mlp.experiments.nets import dead_units, make_net, near_zero, roughness
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.runs import MEASURES, Run
from tinygrad_mlp.experiments.training import _seed_of, load_splits, make_trainer, train_run
from tinygrad_mlp.nn import functional as F


def same(first: Run, second: Run) -> bool:
    """Whether all numbers are equal but the times that it took."""
    clock = ("seconds", "images_per_second")

    def without(values: dict) -> dict:
        return {name: value for name, value in values.items() if name not in clock and value == value}

    return (
        without(dict(first.measures)) == without(dict(second.measures))
        and [without(row) for row in first.history] == [without(row) for row in second.history]
        and bool((first.predictions == second.predictions).all())
    )


def test_the_same_seed_gives_the_same_bits() -> None:
    recipe = SMALL.replace(dropout=0.2, augmentation=Augmentation(horizontal_flip=0.5, shift=1), ema=0.9)
    first = train_run(recipe, 1)
    tg.manual_seed(99)
    assert same(first, train_run(recipe, 1))
    assert not same(first, train_run(recipe, 2))


def test_what_a_run_holds() -> None:
    run = train_run(SMALL.replace(l2=1e-3), 0)
    assert len(run.history) == run.measures["epochs"] == 2
    assert run.measures["parameters"] == 784 * 8 + 8 + 8 * 10 + 10
    test = load_splits("synthetic-fashion", "global", 0.2, 0).test
    assert run.measures["test_accuracy"] == np.mean(run.predictions == test.labels)
    assert 0 < run.measures["within_a_step"] < run.measures["near_zero"] < 1  # 1e-4 and 1e-3
    assert set(run.measures) == set(MEASURES)
    assert run.facts["test_uses"] == 1
    assert run.stop_reason is None
    assert run.measures["diverged"] == 0
    assert run.measures["best_epoch"] in (1, 2)


def test_each_run_uses_the_test_data_once() -> None:
    test = load_splits("synthetic-fashion", "global", 0.2, 0).test
    before = test.uses
    train_run(SMALL, 0)
    assert test.uses == before + 1


def test_pairs_share_split_order_and_first_weights() -> None:
    first, second = (make_trainer(recipe, 3, 100) for recipe in (SMALL, SMALL.replace(lr=0.5, activation="tanh")))
    for one, other in zip(first.net.parameters(), second.net.parameters(), strict=True):
        np.testing.assert_array_equal(one.array, other.array)
    assert first.seed == second.seed == 3
    assert load_splits("synthetic-fashion", "global", 0.2, 3) is load_splits("synthetic-fashion", "global", 0.2, 3)


def test_best_and_last_epoch() -> None:
    """A rate at which the validation loss soon rises: the two differ, and the best has the lower validation loss."""
    recipe = SMALL.replace(epochs=6, lr=1.5, batch_size=50)
    best, last = train_run(recipe, 0), train_run(recipe.replace(keep="last"), 0)
    rows = [row["val_loss"] for row in best.history]
    assert best.measures["best_epoch"] == 1 + rows.index(min(rows)) < 6
    assert math.isclose(best.measures["val_loss"], min(rows), rel_tol=1e-5)
    assert math.isclose(last.measures["val_loss"], rows[-1], rel_tol=1e-5)
    assert best.measures["val_loss"] < last.measures["val_loss"]


def test_seeds_share_the_test_images_but_not_the_split() -> None:
    first, second = (load_splits("synthetic-fashion", "global", 0.2, seed) for seed in (1, 2))
    np.testing.assert_array_equal(first.test.labels, second.test.labels)
    np.testing.assert_array_equal(first.test.images[:50], second.test.images[:50])
    assert not np.array_equal(first.train.labels, second.train.labels)
    assert (len(first.train), len(first.validation), len(first.test)) == (48_000, 12_000, 10_000)


def test_early_stopping() -> None:
    run = train_run(SMALL.replace(epochs=50, lr=1.5, batch_size=50, patience=2), 0)
    assert run.measures["epochs"] == run.measures["best_epoch"] + 2 < 50
    assert run.stop_reason is not None


def test_without_validation_the_last_epoch_is_tested() -> None:
    run = train_run(SMALL.replace(validation=0.0, keep="last"), 0)
    assert "val_loss" not in run.measures
    assert run.measures["best_epoch"] == 2


def test_cross_validation() -> None:
    assert len({_seed_of(seed, fold) for seed in range(20) for fold in range(10)}) == 200
    assert [_seed_of(seed, 0) for seed in range(20)] == list(range(20))  # a pair with the run that has no folds
    run = train_run(SMALL.replace(folds=3), 0)
    folds = run.facts["folds"]
    assert len(folds) == run.facts["test_uses"] == 3
    assert len({fold["test_accuracy"] for fold in folds}) > 1
    for name in ("test_accuracy", "val_loss"):
        assert math.isclose(run.measures[name], np.mean([fold[name] for fold in folds]))
    best = min(folds, key=lambda fold: fold["val_loss"])
    labels = load_splits("synthetic-fashion", "global", 0.2, 0).test.labels
    assert np.mean(run.predictions == labels) == best["test_accuracy"]


def test_a_measure_that_no_fold_has_is_kept_as_such() -> None:
    run = train_run(SMALL.replace(folds=2, activation="tanh", epochs=1), 0)
    back = Run.from_json(run.to_json(), "here")
    assert math.isnan(back.measures["dead_units"])
    assert [fold["dead_units"] for fold in back.facts["folds"]] == [None, None]


def test_a_fold_standardises_test_images_by_its_own_training_part() -> None:
    splits = load_splits("synthetic-fashion", "feature", 0.2, 0)
    few = splits.train.subset(50).divide(np.arange(25), np.arange(25, 50))[0]
    assert splits.test.standardized_as(few).standardization == few.standardization != splits.test.standardization
    np.testing.assert_array_equal(splits.test.standardized_as(few).images, splits.test.images)


def test_divergence_is_a_result() -> None:
    run = train_run(SMALL.replace(lr=1e30), 0)
    assert run.measures["diverged"] == 1
    assert run.stop_reason is not None
    assert run.stop_reason.startswith("diverged: training stopped in epoch 1")
    assert run.history == ()
    assert 0 <= run.measures["test_accuracy"] < 0.4  # of the first weights
    Run.from_json(run.to_json(), "here")


def test_two_softmaxes() -> None:
    """Cross-entropy of probabilities: at least ln(e + 9) - 1 = 1.4612, however sure the net is."""
    run = train_run(SMALL.replace(output_softmax=True), 0)
    assert 1.461 < run.measures["test_loss"] < math.log(10)
    certain = tg.tensor([[1.0] + [0.0] * 9])
    assert math.isclose(F.cross_entropy(certain, tg.tensor([0])).item(), math.log(math.e + 9) - 1, rel_tol=1e-6)


def test_what_is_measured_in_a_net() -> None:
    net = make_net(Recipe(hidden=(4,)))
    first, last = (layer.weight for layer in net if hasattr(layer, "weight"))
    with tg.no_grad():
        first.fill_(0.5)
        last.fill_(0.0)
        net[1].bias.copy_(tg.tensor([1.0, -1e9, 1.0, -1e9]))
    assert near_zero(net, 0.0) == 40 / (784 * 4 + 40)
    assert near_zero(net, 0.5) == 1
    assert roughness(net) == 0  # all pixels alike
    assert dead_units(net.eval(), load_splits("synthetic-fashion", "global", 0.2, 0).validation.subset(100)) == 0.5
    noise = tg.randn(4, 784)
    with tg.no_grad():
        first.copy_(noise)
    assert roughness(net) == pytest.approx(math.sqrt(2), rel=0.1)
    assert math.isnan(roughness(make_net(Recipe(conv=(2,)))))
    assert math.isnan(
        dead_units(
            make_net(Recipe(activation="tanh")).eval(),
            load_splits("synthetic-fashion", "global", 0.2, 0).validation.subset(10),
        )
    )
