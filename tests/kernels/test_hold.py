"""Launches that a recorder holds back: which, what ends the wait, and what is copied then."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.hold import are_alike, covers
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.memory import SMALLEST
from tinygrad_mlp.kernels.observe import Launch, observed
from tinygrad_mlp.kernels.record import Recorder, about_to_write, replayed

SIZE = SMALLEST // 8  # elements of a float64 array that counts as large


class Step:
    """A recorder that watches, and arrays that were there before: a large weight and its gradient, small counts."""

    def __init__(self) -> None:
        self.weight, self.gradient = np.ones(SIZE), np.full(SIZE, 0.5)
        self.counts, self.options = np.zeros(3), np.full(1, 2.0)
        self.recorder = Recorder()

    def update(self) -> None:
        """What an optimizer does: w ← w + options·g, in two launches."""
        about_to_write(self.weight, self.options)
        launch(np.multiply, self.gradient, self.options, self.gradient)
        launch(np.add, self.weight, self.gradient, self.weight)

    @property
    def copied(self) -> int:
        """Bytes that the recorder keeps to put them back."""
        return sum(saved.before.nbytes for saved in self.recorder.saved)


@pytest.fixture
def step() -> Step:
    return Step()


def waiting(step: Step) -> int:
    return len(step.recorder.held.launches)


def test_an_update_of_large_arrays_waits_and_needs_no_copy(step: Step) -> None:
    with observed(step.recorder):
        step.update()
        launch(np.add, step.counts, 1.0, step.counts)  # has to do with neither
    assert waiting(step) == 1
    assert step.copied == step.options.nbytes
    assert [call.launch.name for call in step.recorder.calls] == ["multiply", "add", "add"]
    assert set(step.weight) == {1.0}
    step.recorder.run_held()
    assert set(step.weight) == {2.0}
    assert step.copied == step.weight.nbytes + step.options.nbytes
    step.recorder.undo()
    assert set(step.weight) == {1.0}


def test_undo_drops_what_waits(step: Step) -> None:
    with observed(step.recorder):
        step.update()
    step.recorder.undo()
    step.recorder.run_held()
    assert set(step.weight) == {1.0}


def test_updates_of_small_arrays_run_at_once(step: Step) -> None:
    with observed(step.recorder):
        about_to_write(step.counts)
        launch(np.add, step.counts, 1.0, step.counts)
    assert waiting(step) == 0
    assert set(step.counts) == {1.0}
    assert step.copied == step.counts.nbytes


def test_a_launch_that_writes_something_unannounced_as_well_runs_at_once(step: Step) -> None:
    made = np.empty(SIZE)

    def code(weight: np.ndarray, out: np.ndarray) -> None:
        weight += 1.0
        out[...] = weight

    with observed(step.recorder):
        about_to_write(step.weight)
        step.recorder.launched(Launch("both", code, (step.weight, made), (0, 1)))
    assert waiting(step) == 0
    assert set(made) == set(step.weight) == {2.0}
    assert step.copied == step.weight.nbytes


def reads_the_weight(step: Step) -> None:
    launch(copy, step.weight[:3], np.empty(3))


def writes_the_gradient(step: Step) -> None:
    launch(np.multiply, step.gradient[:3], 0.0, step.gradient[:3])


def writes_the_weight_unannounced(step: Step) -> None:
    launch(np.multiply, step.weight[:3], 1.0, step.weight[:3])


def writes_the_options(step: Step) -> None:
    about_to_write(step.options)  # Python may write them next


def is_refused(step: Step) -> None:
    step.recorder.refuse("Python may read anything")


@pytest.mark.parametrize(
    "follower", [reads_the_weight, writes_the_gradient, writes_the_weight_unannounced, writes_the_options, is_refused]
)
def test_what_would_notice_ends_the_wait(step: Step, follower: Callable[[Step], None]) -> None:
    with observed(step.recorder):
        about_to_write(step.weight, step.options)
        launch(np.add, step.weight, step.options, step.weight)
        launch(np.add, step.weight, step.gradient, step.weight)
        assert waiting(step) == 2
        follower(step)
    assert waiting(step) == 0
    assert set(step.weight) == {3.5}
    step.recorder.undo()
    assert set(step.weight) == {1.0}


def test_nothing_waits_in_a_step_that_is_refused(step: Step) -> None:
    with observed(step.recorder):
        step.recorder.refuse("a user's op")
        step.update()
    assert waiting(step) == 0
    assert set(step.weight) == {2.0}


def test_what_a_waiting_launch_changes_may_be_changed_again_also_where_that_is_small(step: Step) -> None:
    """As a moving average of weights: a large one, and a small part of it that was announced by itself."""
    with observed(step.recorder):
        step.update()
        about_to_write(step.counts)
        launch(np.add, step.weight[:3], step.counts, step.counts)
    assert waiting(step) == 2
    assert set(step.counts) == {0.0}
    step.recorder.run_held()
    assert set(step.counts) == {2.0}
    step.recorder.undo()
    assert set(step.counts) == {0.0}


def test_a_part_of_what_is_copied_is_not_copied_again(step: Step) -> None:
    step.weight = np.ones(4 * SIZE)
    parts = np.split(step.weight, 2)
    with observed(step.recorder):
        about_to_write(*parts, step.weight)
        launch(np.add, step.weight, 1.0, step.weight)
        step.recorder.run_held()
    assert step.copied == step.weight.nbytes


def test_a_large_array_is_copied_at_once_for_who_asks(step: Step) -> None:
    step.recorder.save(step.weight)
    assert step.copied == 0
    for _ in range(2):
        step.recorder.save(step.weight, at_once=True)
        assert step.copied == step.weight.nbytes


def test_python_functions_run_at_once(step: Step) -> None:
    with observed(step.recorder):
        replayed(lambda: step.counts.fill(5.0))
    assert set(step.counts) == {5.0}


def test_covers() -> None:
    whole = np.zeros((4, 6))
    assert covers(whole, whole)
    assert covers(whole, whole[1:, ::2])
    assert covers(whole.T, whole[2])
    assert not covers(whole[1:], whole)
    assert not covers(whole[:, :3], whole[1, 3:4])  # in a gap
    assert not covers(whole, np.zeros((4, 6)))


def times(factor: float) -> Launch:
    return Launch("times", np.multiply, (WEIGHT, factor, WEIGHT), (2,))


WEIGHT = np.ones((2, 3))


def test_launches_are_alike_by_code_memory_and_numbers() -> None:
    alike = times(0.0)
    assert are_alike([alike], [times(0.0)])
    assert are_alike([alike], [Launch("other", np.multiply, (WEIGHT[:], 0.0, WEIGHT), (2,))])
    assert not are_alike([alike], [])
    assert not are_alike([alike], [times(-0.0)])
    assert not are_alike([alike], [times(0)])
    assert not are_alike([alike], [Launch("times", np.add, alike.args, (2,))])
    assert not are_alike([alike], [Launch("times", np.multiply, alike.args, (2,), threads=2)])
    for other in (WEIGHT.copy(), WEIGHT.reshape(3, 2), WEIGHT[:, ::-1], WEIGHT.view(np.int64)):
        assert not are_alike([alike], [Launch("times", np.multiply, (other, 0.0, WEIGHT), (2,))])


def test_ufuncs_are_alike_though_each_launch_wraps_them_anew(step: Step) -> None:
    with observed(step.recorder):
        about_to_write(step.weight)
        launch(np.add, step.weight, 1.0, step.weight)
        launch(np.add, step.weight, 1.0, step.weight)
        launch(np.multiply, step.weight, 1.0, step.weight)
    first, second, third = step.recorder.held.launches
    assert are_alike([first], [second])
    assert not are_alike([first], [third])
