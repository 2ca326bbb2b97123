import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp.data import plain_folds, plain_split, stratified_folds, stratified_split
from tinygrad_mlp.data.permutation import Purpose, permutation, random_words
from tinygrad_mlp.data.splits import stratified_pick
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=80).map(np.array)


@given(count=st.integers(0, 300), seed=st.integers(0, 2**64 - 1), counter=st.integers(0, 10**6))
def test_a_permutation_holds_each_number_once_and_repeats(count, seed, counter):
    order = permutation(count, seed, Purpose.SHUFFLE, counter)
    assert order.dtype == np.int64 and sorted(order) == list(range(count))
    np.testing.assert_array_equal(order, permutation(count, seed, Purpose.SHUFFLE, counter))


def test_orders_are_the_same_in_every_version():
    assert permutation(8, seed=0, purpose=Purpose.SHUFFLE).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]
    assert permutation(8, seed=0, purpose=Purpose.SHUFFLE, counter=1).tolist() == [1, 2, 3, 5, 0, 4, 7, 6]


def test_streams_of_different_purpose_or_counter_share_nothing():
    streams = [random_words(1000, 3, purpose, counter) for purpose in Purpose for counter in (0, 1, 2)]
    assert len(np.unique(np.concatenate(streams))) == 12000


def test_positions_are_uniform():
    # 2000 permutations of 6: each number in each place about 333 times; chi-square with 25 degrees of freedom.
    counts = np.zeros((6, 6))
    for counter in range(2000):
        counts[np.arange(6), permutation(6, 1, Purpose.SHUFFLE, counter)] += 1
    assert ((counts - 2000 / 6) ** 2 / (2000 / 6)).sum() < 52.6  # the 0.1 % point


@given(labels=LABELS, fraction=st.floats(0, 0.99), seed=st.integers(0, 1000))
def test_a_stratified_split_takes_the_share_of_each_class(labels, fraction, seed):
    training, validation = stratified_split(labels, fraction, seed)
    chosen = round(fraction * len(labels))
    assert len(validation) == chosen
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(len(labels)))
    assert (np.diff(training) > 0).all() and (np.diff(validation) > 0).all()
    for label in np.unique(labels):
        share = np.sum(labels == label) * chosen / len(labels)
        assert abs(np.sum(labels[validation] == label) - share) <= 1


@given(labels=LABELS, folds=st.integers(2, 10), seed=st.integers(0, 1000))
def test_stratified_folds_deal_out_each_class_evenly(labels, folds, seed):
    folds = min(folds, len(labels))
    parts = stratified_folds(labels, folds, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([part[1] for part in parts])), np.arange(len(labels)))
    sizes = [len(validation) for _, validation in parts]
    assert max(sizes) - min(sizes) <= 1
    for training, validation in parts:
        np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(len(labels)))
    for label in np.unique(labels):
        counts = [np.sum(labels[validation] == label) for _, validation in parts]
        assert max(counts) - min(counts) <= 1


@given(count=st.integers(2, 100), seed=st.integers(0, 1000))
def test_plain_split_and_folds_are_complete(count, seed):
    training, validation = plain_split(count, 0.25, seed)
    assert len(validation) == round(0.25 * count)
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(count))
    parts = plain_folds(count, 2, seed)
    np.testing.assert_array_equal(parts[0][0], parts[1][1])
    np.testing.assert_array_equal(parts[0][1], parts[1][0])
    assert abs(len(parts[0][0]) - len(parts[0][1])) <= 1


def test_splits_depend_on_the_seed_alone():
    labels = np.arange(100) % 10
    np.testing.assert_array_equal(stratified_split(labels, 0.2, 5)[1], stratified_split(labels, 0.2, 5)[1])
    assert not np.array_equal(stratified_split(labels, 0.2, 5)[1], stratified_split(labels, 0.2, 6)[1])
    assert not np.array_equal(plain_split(100, 0.2, 5)[1], plain_split(100, 0.2, 6)[1])


def test_a_stratified_pick_takes_exactly_so_many():
    labels = np.repeat([0, 1], [75, 25])
    chosen = stratified_pick(labels, 20, seed=1)
    assert np.bincount(labels[chosen]).tolist() == [15, 5]


def test_bad_arguments():
    labels = np.arange(10)
    for fraction in (-0.1, 1, float("nan")):
        with pytest.raises(ArgumentError, match="fraction is"):
            stratified_split(labels, fraction)
        with pytest.raises(ArgumentError, match="fraction is"):
            plain_split(10, fraction)
    for folds in (1, 11):
        with pytest.raises(ArgumentError, match=f"folds is {folds}, expected 2 to 10"):
            stratified_folds(labels, folds)
        with pytest.raises(ArgumentError, match=f"folds is {folds}, expected 2 to 10"):
            plain_folds(10, folds)
    with pytest.raises(DtypeError, match="labels are float64"):
        stratified_split(labels.astype(float), 0.2)
    with pytest.raises(ShapeError, match=r"labels have shape \(5, 2\)"):
        stratified_folds(labels.reshape(5, 2), 2)
    for seed in (-1, 2**64, 1.5, True, None):
        with pytest.raises(ArgumentError, match="seed is"):
            plain_split(10, 0.2, seed)
