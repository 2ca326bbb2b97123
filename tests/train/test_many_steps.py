"""Steps made many at a time: what a run goes through is the same as when somebody looks at each step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.train import small
from tests.train.conftest import garments
from tinygrad_mlp import data, nn, optim, train
from tinygrad_mlp.errors import NonFiniteError
from tinygrad_mlp.kernels.loop import Loop

pytestmark = pytest.mark.usefixtures("no_figures")
EPOCHS = 12


class Looks(train.Callback):
    """Looks at each step; or, as a progress bar does, now and then."""

    def __init__(self, at_each: bool, then: Callable[[tg.Trainer], None] = lambda _: None) -> None:
        self.at_each, self.then = at_each, then
        self.seen: list[int] = []

    @property
    def sees_each_step(self) -> bool:
        return self.at_each

    def on_step_end(self, trainer: tg.Trainer) -> None:
        self.seen.append(small.steps_done(trainer))
        self.then(trainer)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many steps each loop has made."""
    made: list[int] = []
    run = Loop.run

    def noted(self: Loop, given: Any, taken: Any) -> None:
        try:
            run(self, given, taken)
        finally:
            made.append(self.finished)

    monkeypatch.setattr(Loop, "run", noted)
    yield made


def on_images(**options: Any) -> tg.Trainer:
    """A convolutional net on augmented images."""
    tg.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    return tg.Trainer(
        net,
        optim.SGD(net.named_parameters(), lr=0.01, momentum=0.9),
        augmentation=data.Augmentation(horizontal_flip=0.5, shift=1),
        **small.defaults(options),
    )


def parts_of(make: Callable[..., tg.Trainer]) -> tuple[Any, Any]:
    return (garments(70), garments(30, "validation")) if make is on_images else small.parts()


@pytest.mark.parametrize("make", [small.plain, small.everything, on_images])
def test_the_same_bits_as_step_by_step(make: Callable[..., tg.Trainer], rounds: list[int]) -> None:
    results: list[Any] = []
    for at_each in (True, False):
        looks = Looks(at_each)
        trainer = make(epochs=EPOCHS, callbacks=[looks])
        history = trainer.fit(*parts_of(make))
        results.append((small.weights(trainer.net), small.without_clock(history), trainer.optimizer.state_dict()))
        assert (looks.seen == list(range(1, EPOCHS * small.STEPS + 1))) is at_each
        assert max(rounds) == (1 if at_each else small.STEPS - 1)  # the last batch is a smaller one
        rounds.clear()
    assert repr(results[0]) == repr(results[1])


def test_checkpoints_are_written_where_they_are_due(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    trainer = small.plain(epochs=EPOCHS, out=run, checkpoint_every=3)
    save = train.RunFolder.save

    def noted(self: train.RunFolder, arrays: Any, info: Any) -> None:
        saved.append(info["epoch"] * small.STEPS + info["batch"])
        save(self, arrays, info)

    monkeypatch.setattr(train.RunFolder, "save", noted)
    trainer.fit(*small.parts())
    due = {epoch * small.STEPS + batch for epoch in range(EPOCHS) for batch in (3, 5)}
    assert set(saved) == {0, *due}


def bad_from(epoch: int, position: int) -> tuple[data.TensorDataset, Callable[[tg.Trainer], None]]:
    """The clouds, and what makes a sample of one of an epoch's batches NaN when the epoch before ends."""
    points, labels = (array.copy() for array in small.parts()[0].arrays)
    dataset = data.TensorDataset(points, labels, name="clouds", split="train", finite=False)

    def spoil(trainer: tg.Trainer) -> None:
        dataset.arrays[0][trainer.loader.order(epoch)[position], 1] = np.nan

    return dataset, spoil


class AtEpoch(train.Callback):
    def __init__(self, epoch: int, then: Callable[[tg.Trainer], None]) -> None:
        self.epoch, self.then = epoch, then

    def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
        if trainer.epoch == self.epoch:
            self.then(trainer)


@pytest.mark.parametrize("step", [0, 2, 3, 4])
@pytest.mark.parametrize("make", [small.plain, small.everything])
def test_a_nan_is_found_in_its_step_and_all_is_as_before_it(
    make: Callable[..., tg.Trainer], step: int, rounds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in ("tinygrad_mlp.train.steps._AT_A_TIME", "tinygrad_mlp.autodiff.capture._LOOP_SECONDS"):
        monkeypatch.setattr(where, 60.0)  # seconds, so that a stalled machine does not divide an epoch
    found: list[Any] = []
    for at_each in (True, False):
        dataset, spoil = bad_from(8, step * small.BATCH + 1)
        trainer = make(epochs=EPOCHS, callbacks=[AtEpoch(8, spoil), Looks(at_each)])
        with pytest.raises(NonFiniteError) as caught:
            trainer.fit(dataset, small.parts()[1])
        assert f"training stopped in epoch 9, step {step + 1} of {small.STEPS}" in str(caught.value)
        assert (trainer.epoch, trainer.batch) == (8, step)
        generators = [generator.get_state().tolist() for generator in train.state.generators_of(trainer.net).values()]
        state = small.weights(trainer.net), trainer.optimizer.state_dict(), trainer.sums.as_dict() | {"seconds": 0}
        found.append((str(caught.value), state, generators, trainer.schedule and trainer.schedule.state_dict()))
    assert repr(found[0]) == repr(found[1])
    if step < small.STEPS - 1:
        assert rounds[-1] == step


def test_ctrl_c_ends_a_run_between_steps_and_it_goes_on_with_the_same_bits(run: Path) -> None:
    expected = small.everything(epochs=EPOCHS)
    history = expected.fit(*small.parts())

    def press(trainer: tg.Trainer) -> None:
        if small.steps_done(trainer) > 40:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as leaving:
            small.everything(epochs=EPOCHS, out=run, callbacks=[Looks(False, press)]).fit(*small.parts())
    finally:
        signal.signal(signal.SIGINT, before)
    assert leaving.value.code == 130
    resumed = small.everything(epochs=EPOCHS, out=run, resume=True)
    assert small.without_clock(resumed.fit(*small.parts())) == small.without_clock(history)
    assert small.weights(resumed.net) == small.weights(expected.net)


def test_who_has_an_on_step_end_sees_each_step() -> None:
    class Own(train.Callback):
        def on_step_end(self, trainer: tg.Trainer) -> None:
            pass

    assert Own().sees_each_step
    assert not train.Callback().sees_each_step
    assert not train.progress.TerminalProgress().sees_each_step
    assert not train.progress.NotebookProgress().sees_each_step
