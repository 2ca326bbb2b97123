"""`capture` of large nets: updates wait for the comparison, so that nothing large is copied, and all is as eagerly."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.test_capture import inputs
from tests.autodiff.test_capture_gradients import large_mlp
from tests.autodiff.test_capture_guards import with_average
from tests.autodiff.twins import Training, check_alike, run_both, twins
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.capture import CaptureWarning, capture
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CaptureError, IndexRangeError
from tinygrad_mlp.kernels import record
from tinygrad_mlp.nn import functional as F

WEIGHT = 300 * 240 * 4  # bytes of the large weight of `large_mlp`


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes of each copy that recorders make of arrays, to put them back."""
    sizes: list[int] = []
    plain = record.empty_like

    def counted(array: np.ndarray) -> np.ndarray:
        sizes.append(array.nbytes)
        return plain(array)

    monkeypatch.setattr(record, "empty_like", counted)
    return sizes


def data(number: int) -> tuple[Tensor, Tensor]:
    return inputs((16, 300), number)


def run(eager: Training, other: Training, captured: Any, *numbers: int) -> None:
    for number in numbers:
        run_both(eager, other, captured, *data(number))


@pytest.mark.parametrize("average", [False, True])
def test_weights_state_and_moving_average_are_not_copied(average: bool, copied: list[int]) -> None:
    eager, other, captured = twins(large_mlp, with_average if average else None)
    run(eager, other, captured, 0, 1, 2)
    assert captured.recordings
    assert sum(copied) < WEIGHT / 2  # small arrays, twice


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad, optim.Adadelta])
def test_nor_with_any_optimizer_and_clipping(kind: type[optim.Optimizer], copied: list[int]) -> None:
    def make() -> Training:
        training = large_mlp()
        training.optimizer = kind([{"params": [p], "l2": 0.01} for p in training.net.parameters()], lr=0.01)
        return training

    def step_of(training: Training) -> Callable[..., Any]:
        def step(x: Tensor, y: Tensor) -> Any:
            training.optimizer.zero_grad()
            loss = F.cross_entropy(training.net(x), y)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(training.net.parameters(), 0.1)
            training.optimizer.step()
            return loss, norm

        return step

    eager, other, captured = twins(make, step_of)
    run(eager, other, captured, 0, 1, 2, 3)
    assert sum(copied) < WEIGHT / 2  # small arrays, twice


def test_an_update_that_is_read_later_in_the_step_is_copied_and_right(copied: list[int]) -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        plain = training.step

        def step(x: Tensor, y: Tensor) -> Any:
            loss = plain(x, y)
            return loss, plain(x, y), training.net[0].weight.square().sum()

        return step

    eager, other, captured = twins(large_mlp, step_of)
    run(eager, other, captured, 0, 1, 2)
    assert sum(copied) >= 3 * WEIGHT  # weight and Adam's two moments


def test_results_that_are_weights_are_those_after_the_update() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        plain = training.step
        return lambda x, y: (plain(x, y), training.net[0].weight.detach())

    eager, other, captured = twins(large_mlp, step_of)
    run(eager, other, captured, 0, 1, 2)


def test_a_difference_leaves_everything_as_before() -> None:
    calls = itertools.count()

    def step_of(training: Training) -> Callable[..., Any]:
        plain = training.step
        return lambda x, y: plain(x * float(next(calls)), y)

    _, other, captured = twins(large_mlp, step_of)
    captured(*data(0))
    before = {name: value for name, value in other.state().items() if not name.startswith("gradient")}
    with pytest.raises(CaptureError, match="other bits"):
        captured(*data(1))
    after = {name: value for name, value in other.state().items() if not name.startswith("gradient")}
    assert after == before


def test_a_number_of_pythons_in_an_update_that_waits_is_found_out() -> None:
    """What the kernel reads is the same in both calls; what it is told is not."""
    total, calls = Tensor(np.ones((300, 300), np.float32)), itertools.count(2)

    def step(x: Tensor) -> Tensor:
        with tg.no_grad():
            total.mul_(float(next(calls)))
        return x * 2.0

    captured = capture(step)
    x = Tensor(np.ones(3, np.float32))
    captured(x)
    assert set(total.array.ravel()) == {2.0}
    with pytest.raises(CaptureError, match="other bits"):
        captured(x)
    assert set(total.array.ravel()) == {2.0}


@pytest.mark.parametrize("read", [False, True], ids=["waits", "is read"])
def test_updates_of_other_memory_than_the_recorded_ones_are_found_out_and_put_back(read: bool) -> None:
    totals, calls = [Tensor(np.zeros((300, 300), np.float32)) for _ in range(2)], itertools.count()

    def step(x: Tensor) -> Tensor:
        total = totals[next(calls) % 2]
        with tg.no_grad():
            total.add_(1.0)
        return x * 2.0 + (total.sum() * 0.0 if read else 0.0)

    captured = capture(step)
    x = Tensor(np.ones(3, np.float32))
    captured(x)
    with pytest.raises(CaptureError, match="other bits"):
        captured(x)
    assert [set(total.array.ravel()) for total in totals] == [{1.0}, {0.0}]


def test_an_update_that_only_the_second_call_makes_is_found_out_and_put_back() -> None:
    total, calls = Tensor(np.zeros((300, 300), np.float32)), itertools.count()

    def step(x: Tensor) -> Tensor:
        if next(calls):
            with tg.no_grad():
                total.add_(1.0)
        return x * 2.0

    captured = capture(step)
    x = Tensor(np.ones(3, np.float32))
    captured(x)
    with pytest.raises(CaptureError, match="other bits"):
        captured(x)
    assert set(total.array.ravel()) == {0.0}


def test_gradients_are_compared_also_where_the_step_forgets_them_after_the_update() -> None:
    calls = itertools.count(1)

    def step_of(training: Training) -> Callable[..., Any]:
        def step(x: Tensor, y: Tensor) -> Tensor:
            loss = F.cross_entropy(training.net(x), y)
            (loss * float(next(calls))).backward()
            training.optimizer.step()
            training.optimizer.zero_grad()
            return loss

        return step

    _, other, captured = twins(large_mlp, step_of)
    captured(*data(0))
    before = other.state()
    with pytest.raises(CaptureError, match="other bits"):
        captured(*data(1))
    assert other.state() == before


def test_a_large_argument_that_the_step_writes_is_written_as_eagerly() -> None:
    def step(total: Tensor) -> Tensor:
        with tg.no_grad():
            total.add_(1.0)
        return total[0, 0] * 1.0

    total = Tensor(np.zeros((300, 300), np.float32))
    captured = capture(step)
    with pytest.warns(CaptureWarning, match="writes into an argument"):
        assert [captured(total).item() for _ in range(3)] == [1.0, 2.0, 3.0]


def test_a_large_argument_that_an_update_at_the_end_writes_is_written_as_eagerly() -> None:
    def step(total: Tensor) -> None:
        with tg.no_grad():
            total.add_(1.0)

    total = Tensor(np.zeros((300, 300), np.float32))
    captured = capture(step)
    with pytest.warns(CaptureWarning, match="writes into an argument"):
        for _ in range(3):
            captured(total)
    assert set(total.array.ravel()) == {3.0}


def test_a_launch_more_that_ends_the_wait_in_one_of_the_two_calls_does_no_harm() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        plain, calls = training.step, itertools.count()

        def step(x: Tensor, y: Tensor) -> Tensor:
            loss = plain(x, y)
            if next(calls) % 2:
                training.net[0].weight.sum()
            return loss

        return step

    for first in (0, 1):
        eager, other, captured = twins(large_mlp, step_of)
        for _ in range(first):
            other.step(*data(9))
            eager.step(*data(9))
        run(eager, other, captured, 0, 1, 2, 3)
        assert len(captured.recordings) == 1


@pytest.mark.parametrize("call", [0, 1, 2, 3])
def test_an_error_after_the_update_leaves_what_it_leaves_eagerly(call: int) -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        plain = training.step

        def step(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
            loss = plain(x, y)
            return loss + F.cross_entropy(x[:, :4], z)

        return step

    eager, other, captured = twins(large_mlp, step_of)
    good, bad = Tensor(np.zeros(16, np.int64)), Tensor(np.full(16, 7))
    for number in range(call):
        run_both(eager, other, captured, *data(number), good)
    for step in (eager.step, captured):
        with pytest.raises(IndexRangeError):
            step(*data(40), bad)
    check_alike(eager, other)
    for number in range(3):
        run_both(eager, other, captured, *data(50 + number), good)


def test_a_schedule_at_its_end_leaves_the_update_made() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        training.schedule = optim.OneCycleLR(training.optimizer, max_lr=0.01, total_steps=2)
        plain = training.step

        def step(x: Tensor, y: Tensor) -> Tensor:
            loss = plain(x, y)
            training.schedule.step()
            return loss

        return step

    for calls in (0, 1, 2):
        eager, other, captured = twins(large_mlp, step_of)
        for training in (eager, other):
            for number in range(2 - calls):
                training.step(*data(number))
        run(eager, other, captured, *range(calls))
        for step in (eager.step, captured):
            with pytest.raises(ArgumentError):
                step(*data(4))
        check_alike(eager, other)


@op
def same(x: Tensor) -> Any:
    """A user's op, which reads numbers."""
    return x.array.copy(), lambda grad, _: grad


def test_a_users_op_sees_the_update() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        plain = training.step
        return lambda x, y: (plain(x, y), same(training.net[0].weight.detach()))

    eager, other, captured = twins(large_mlp, step_of)
    with pytest.warns(CaptureWarning, match="op same"):
        run(eager, other, captured, 0)
    run(eager, other, captured, 1, 2)


def test_a_result_that_no_replay_could_make_anew_comes_with_the_update() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        plain = training.step
        return lambda x, y: (plain(x, y), {1, 2})

    eager, other, captured = twins(large_mlp, step_of)
    with pytest.warns(CaptureWarning, match="returns a set"):
        captured(*data(0))
    eager.step(*data(0))
    check_alike(eager, other)
