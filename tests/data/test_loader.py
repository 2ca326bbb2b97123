from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp.autodiff.random_state import default_generator, manual_seed
from tinygrad_mlp.data import DataLoader, ImageDataset, Subset, TensorDataset, random_split
from tinygrad_mlp.errors import ArgumentError, CheckpointError, DataError, DtypeError, NonFiniteError
from tinygrad_mlp.kernels.random import Generator


def _numbers(count: int = 10, **kwargs: object) -> TensorDataset:
    return TensorDataset(np.arange(count), **kwargs)


def _epoch(loader: DataLoader) -> list[list[int]]:
    return [field.tolist() for (field,) in loader]


@given(count=st.integers(1, 30), batch_size=st.integers(1, 12), shuffle=st.booleans(), drop_last=st.booleans())
def test_an_epoch_holds_every_sample_once(count, batch_size, shuffle, drop_last):
    if drop_last and count < batch_size:
        count = batch_size
    loader = DataLoader(_numbers(count), batch_size, shuffle, drop_last=drop_last, seed=3)
    batches = _epoch(loader)
    assert len(batches) == len(loader)
    seen = list(chain.from_iterable(batches))
    assert len(set(seen)) == len(seen) == (count - count % batch_size if drop_last else count)
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    if not shuffle:
        assert seen == list(range(len(seen)))


def test_the_order_is_a_function_of_seed_and_epoch():
    loader = DataLoader(_numbers(), 3, shuffle=True, seed=1)
    epochs = [_epoch(loader) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] and loader.epoch == 3
    for epoch in (2, 0, 1):  # in any order, in another loader
        other = DataLoader(_numbers(), 3, shuffle=True, seed=1)
        other.set_epoch(epoch)
        assert _epoch(other) == epochs[epoch]
        assert list(chain.from_iterable(epochs[epoch])) == other.order(epoch).tolist()
    assert _epoch(DataLoader(_numbers(), 3, shuffle=True, seed=2)) != epochs[0]


def test_numpys_global_state_is_neither_used_nor_changed():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = _epoch(DataLoader(_numbers(), 3, shuffle=True, seed=1))
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(1)
    assert _epoch(DataLoader(_numbers(), 3, shuffle=True, seed=1)) == first


@given(steps=st.integers(0, 12), drop_last=st.booleans())
def test_a_run_interrupted_after_any_batch_goes_on_as_if_it_had_not_been(steps, drop_last):
    def loader() -> DataLoader:
        return DataLoader(_numbers(14), 3, shuffle=True, seed=5, drop_last=drop_last)

    whole, uninterrupted = [], loader()
    for _ in range(4):
        whole += _epoch(uninterrupted)

    interrupted, done = loader(), []
    saved = interrupted.state_dict()
    while len(done) < steps:
        for (field,) in interrupted:
            done.append(field.tolist())
            saved = interrupted.state_dict()  # inside the loop body, as a checkpoint is saved
            if len(done) == steps:
                break

    resumed = DataLoader(_numbers(14), 3, shuffle=True, seed=99, drop_last=drop_last)
    resumed.load_state_dict(saved)
    while len(done) < len(whole):
        done += _epoch(resumed)
    assert done == whole


def test_after_the_last_batch_only_the_end_of_the_epoch_is_left():
    loader = DataLoader(_numbers(6), 3, shuffle=True, seed=5)
    for _ in loader:
        saved = loader.state_dict()
    assert saved["epoch"] == 0 and saved["next_batch"] == len(loader) == 2
    assert loader.state_dict() == {**saved, "epoch": 1, "next_batch": 0}
    resumed = DataLoader(_numbers(6), 3, shuffle=True, seed=5)
    resumed.load_state_dict(saved)
    assert _epoch(resumed) == [] and resumed.epoch == 1


def test_a_pass_that_was_broken_off_uses_up_its_epoch():
    loader = DataLoader(_numbers(), 3, shuffle=True, seed=1)
    firsts = [next(iter(loader))[0].tolist() for _ in range(3)]
    assert firsts == [loader.order(epoch)[:3].tolist() for epoch in range(3)]


def test_two_passes_at_a_time_do_not_disturb_each_other():
    loader = DataLoader(_numbers(), 5, shuffle=True, seed=1)
    pairs = [(a.tolist(), b.tolist()) for (a,), (b,) in zip(loader, loader, strict=True)]
    assert [a for a, _ in pairs] == [loader.order(0)[:5].tolist(), loader.order(0)[5:].tolist()]
    assert [b for _, b in pairs] == [loader.order(1)[:5].tolist(), loader.order(1)[5:].tolist()]


def test_a_state_of_another_loader_is_refused():
    state = DataLoader(_numbers(), 3, shuffle=True, seed=1).state_dict()
    with pytest.raises(CheckpointError, match="has batch_size 3, this loader 4"):
        DataLoader(_numbers(), 4, shuffle=True).load_state_dict(state)
    with pytest.raises(CheckpointError, match="has samples 10, this loader 9"):
        DataLoader(_numbers(9), 3, shuffle=True).load_state_dict(state)
    with pytest.raises(CheckpointError, match="has shuffle True, this loader False"):
        DataLoader(_numbers(), 3).load_state_dict(state)


@pytest.mark.parametrize("make", [np.random.default_rng, Generator], ids=["numpy", "own"])
def test_a_generator_gives_the_seed(make):
    def order(generator: Generator | np.random.Generator) -> list[list[int]]:
        return _epoch(DataLoader(_numbers(), 3, shuffle=True, generator=generator))

    assert order(make(1)) == order(make(1)) != order(make(2))
    generator = make(1)
    assert order(generator) != order(generator)  # each loader draws one


def test_without_a_seed_the_order_follows_manual_seed():
    before = default_generator.get_state()
    try:
        orders = []
        for seed in (1, 1, 2):
            manual_seed(seed)
            DataLoader(_numbers(), 3)  # draws nothing: there is no order to choose
            orders.append(_epoch(DataLoader(_numbers(), 3, shuffle=True)))
            orders.append(random_split(_numbers(), [5, 5])[0].indices.tolist())
            assert default_generator.get_state().tolist() == [seed, 2]
        assert orders[:2] == orders[2:4]
        assert orders[0] != orders[4] and orders[1] != orders[5]
    finally:
        default_generator.set_state(before)


def test_bad_arguments():
    for size in (0, -1):
        with pytest.raises(ArgumentError, match=f"batch_size is {size}, expected 1 or more"):
            DataLoader(_numbers(), size)
    for size in (2.0, "4", True, None):
        with pytest.raises(DtypeError, match="expected a whole number"):
            DataLoader(_numbers(), size)
    with pytest.raises(DataError, match="is empty"):
        DataLoader(Subset(_numbers(), []))
    with pytest.raises(DataError, match="drop_last leaves no batch: the data set has 3 samples, a batch 4"):
        DataLoader(_numbers(3), 4, drop_last=True)
    with pytest.raises(ArgumentError, match="a seed and a generator"):
        DataLoader(_numbers(), shuffle=True, seed=1, generator=np.random.default_rng(0))
    loader = DataLoader(_numbers(), 4)
    for epoch, batch in ((-1, 0), (0, 4), (0, -1)):
        with pytest.raises(
            ArgumentError, match=f"epoch {epoch}, next batch {batch}; expected epoch 0 or more, batch 0 to 3"
        ):
            loader.set_epoch(epoch, batch)


def test_what_scripts_pass_for_worker_processes_changes_nothing():
    options = {
        "num_workers": 2,
        "pin_memory": True,
        "timeout": 10,
        "worker_init_fn": print,
        "prefetch_factor": 4,
        "persistent_workers": True,
        "sampler": None,
        "batch_sampler": None,
    }
    assert _epoch(DataLoader(_numbers(), 4, **options)) == _epoch(DataLoader(_numbers(), 4))
    for name in ("sampler", "batch_sampler"):
        with pytest.raises(
            ArgumentError, match=rf"{name} is a list, expected None; give data\.Subset\(dataset, indices"
        ):
            DataLoader(_numbers(), 4, **{name: [3, 1]})


def test_the_test_split_is_read_in_order_only():
    test = _numbers(split="test")
    assert _epoch(DataLoader(test, 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for locked in (test, Subset(test, [1, 2])):
        with pytest.raises(DataError, match="shuffle=True is for training"):
            DataLoader(locked, shuffle=True)


def test_a_users_data_set_is_stacked():
    samples = [(np.full(2, i, np.float32), i) for i in range(5)]
    (x, y), (last, _) = DataLoader(samples, 3, num_workers=2, pin_memory=True)
    np.testing.assert_array_equal(x.array, [[0, 0], [1, 1], [2, 2]])
    np.testing.assert_array_equal(y.array, [0, 1, 2])
    assert last.shape == (2, 2) and y.dtype == np.int64


def test_nan_in_a_users_data_set_names_the_sample():
    samples = [(np.zeros(2, np.float32), i) for i in range(5)]
    samples[4][0][1] = np.nan
    with pytest.raises(DataError, match=r"field 0 of sample 4 holds nan at index \[1\]"):
        list(DataLoader(samples, 2))
    assert not issubclass(DataError, NonFiniteError)


def test_collate_fn_gets_the_samples():
    assert list(DataLoader([1, 2, 3], 2, collate_fn=sum)) == [3, 3]
    assert list(DataLoader(_numbers(3), 2, collate_fn=len)) == [2, 1]


def test_batches_of_images(images: ImageDataset):
    loader = DataLoader(images, 20, shuffle=True, seed=1)
    batches = list(loader)
    assert [x.shape for x, _ in batches] == [(20, 1, 4, 3), (20, 1, 4, 3), (10, 1, 4, 3)]
    x, y = images.batch(loader.order(0)[20:40])
    np.testing.assert_array_equal(batches[1][0].array, x.array)
    np.testing.assert_array_equal(batches[1][1].array, y.array)
