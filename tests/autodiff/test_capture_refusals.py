"""`capture`: what it cannot replay. It says so, with everything as before the call, or runs the step eagerly."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.test_capture_guards import with_average
from tests.autodiff.twins import Training, batch, bits, check_alike, mlp, run_batches, run_both, twins
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.capture import CaptureWarning, capture
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import CaptureError, NonFiniteError
from tinygrad_mlp.nn import functional as F

# Numbers that Python reads

READERS: dict[str, Callable[[Tensor, Training], object]] = {
    "item": lambda loss, _: loss.item(),
    "tolist": lambda loss, _: loss.tolist(),
    "numpy": lambda loss, _: loss.detach().numpy(),
    "asarray": lambda loss, _: np.asarray(loss.detach()),
    "if": lambda loss, _: 1 if loss > 1 else 0,
    "float": lambda loss, _: float(loss),
    "int": lambda loss, _: int(loss),
    "format": lambda loss, _: f"{loss:.3f}",
    "repr": lambda loss, _: repr(loss),
    "dlpack": lambda loss, _: np.from_dlpack(loss.detach()),
    "clip": lambda _, it: nn.utils.clip_grad_norm_(it.net.parameters(), 1.0, error_if_nonfinite=True),
    "in": lambda loss, _: loss.item() in [1.0],
}


def with_everything() -> Training:
    """Dropout, running statistics, momentum, a schedule and a moving average: all that a step may change."""
    training = mlp()
    training.step = with_average(training)
    training.schedule = optim.OneCycleLR(training.optimizer, max_lr=0.1, total_steps=50)
    return training


def and_then(training: Training, read: Callable[[Tensor, Training], object]) -> Callable[..., Any]:
    """The usual step, the schedule, and then something that a replay could not do."""

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = training.step(x, y)
        training.schedule.step()
        read(loss, training)
        return loss

    return step


def without_gradients(training: Training) -> dict[str, Any]:
    return {name: value for name, value in training.state().items() if not name.startswith("gradient")}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_reading_a_number_raises_names_the_line_and_changes_nothing(read: Callable[[Tensor, Training], object]) -> None:
    training = with_everything()
    for number in range(2):
        training.step(*batch(number))
    before = without_gradients(training)
    captured = capture(and_then(training, read))
    line = re.escape(f"{__file__}:{read.__code__.co_firstlineno} ")
    for _ in range(2):
        with pytest.raises(CaptureError, match=line):
            captured(*batch(2))
        assert without_gradients(training) == before
    assert captured.recordings == []


def test_gradients_that_were_there_are_there_again_after_a_number_was_read() -> None:
    eager, other = mlp(), mlp()

    def step(x: Tensor, y: Tensor) -> None:
        loss = F.cross_entropy(other.net(x), y)
        loss.backward()
        loss.item()

    captured = capture(step)
    for number in range(2):  # at first without, then with a gradient
        with pytest.raises(CaptureError):
            captured(*batch(9))
        for training in (eager, other):
            training.generator.manual_seed(number)
            F.cross_entropy(training.net(batch(number)[0]), batch(number)[1]).backward()
        check_alike(eager, other)


def test_reading_is_free_outside_of_the_step_and_in_replays_of_another() -> None:
    eager, other, captured = twins()
    for number in range(4):
        loss = run_both(eager, other, captured, *batch(number))
        assert float(loss) == loss.item()
        assert repr(loss).startswith("tensor(")


# Numbers that Python invents


def numpy_noise() -> Callable[[Tensor], Tensor]:
    rng = np.random.default_rng(0)
    return lambda loss: loss * float(rng.normal())


def numpy_array() -> Callable[[Tensor], Tensor]:
    rng = np.random.default_rng(0)
    return lambda loss: (loss * Tensor(rng.normal(size=3).astype(np.float32))).sum()


def counter() -> Callable[[Tensor], Tensor]:
    calls = itertools.count(1)
    return lambda loss: loss * float(next(calls))


@pytest.mark.parametrize("invent", [numpy_noise, numpy_array, counter])
def test_numbers_that_python_invents_are_found_out_at_the_second_call(invent: Any) -> None:
    training = with_everything()
    factor = invent()

    def step(x: Tensor, y: Tensor) -> Tensor:
        training.optimizer.zero_grad()
        loss = factor(F.cross_entropy(training.net(x), y))
        loss.backward()
        training.optimizer.step()
        training.average.update()
        training.schedule.step()
        return loss

    captured = capture(step)
    captured(*batch(0))
    before = without_gradients(training)
    with pytest.raises(CaptureError, match="other bits"):
        captured(*batch(1))
    assert without_gradients(training) == before


@pytest.mark.parametrize(
    "result", [lambda number: number, lambda number: {"a": [number]}, lambda number: [None] * number]
)
def test_plain_results_that_python_invents_are_found_out_at_the_second_call(result: Callable[[int], Any]) -> None:
    training, calls = with_everything(), itertools.count(1)
    captured = capture(lambda x, y: (training.step(x, y), result(next(calls))))
    captured(*batch(0))
    before = without_gradients(training)
    with pytest.raises(CaptureError, match="other plain values"):
        captured(*batch(1))
    assert without_gradients(training) == before


def test_what_only_the_recorded_run_wrote_is_put_back() -> None:
    totals, calls = [Tensor(np.zeros(3, np.float32)) for _ in range(2)], itertools.count()

    def step(x: Tensor) -> Tensor:
        with tg.no_grad():
            totals[next(calls) % 2].add_(x)
        return x * 2.0

    captured = capture(step)
    x = Tensor(np.ones(3, np.float32))
    captured(x)
    with pytest.raises(CaptureError, match="other bits"):
        captured(x)
    assert [total.tolist() for total in totals] == [[1.0] * 3, [0.0] * 3]


# Steps that stay eager


@op
def tripled(x: Tensor) -> Any:
    """A user's op."""
    return x.array * np.float32(3), lambda grad, _: grad * 3.0


def with_user_op(training: Training) -> Callable[..., Any]:
    def step(x: Tensor, y: Tensor) -> Tensor:
        training.optimizer.zero_grad()
        loss = F.cross_entropy(tripled(training.net(x)), y)
        loss.backward()
        training.optimizer.step()
        return loss

    return step


def check_stays_eager(eager: Training, other: Training, captured: Any, match: str, *numbers: int) -> None:
    """One warning, and then eager steps without another."""
    with pytest.warns(CaptureWarning, match=match) as caught:
        run_batches(eager, other, captured, *numbers)
    assert len(caught) == 1
    assert caught[0].filename == __file__ or caught[0].filename.endswith("twins.py")  # where the step was called
    assert captured.stays_eager
    run_batches(eager, other, captured, *numbers)


def test_a_users_op_stays_eager() -> None:
    check_stays_eager(*twins(step=with_user_op), "op tripled", 0, 1, 2)


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("which", ["", "3"], ids=["net", "a part of it"])
def test_a_forward_hook_stays_eager_and_is_called(which: str, at: int) -> None:
    eager, other, captured = twins()
    run_batches(eager, other, captured, *range(at))
    seen: list[list[int]] = [[], []]
    for training, calls in zip((eager, other), seen, strict=True):
        module = dict(training.net.named_modules())[which]
        module.register_forward_hook(lambda _m, _x, out, calls=calls: calls.append(1) or out * 1.5)
    check_stays_eager(eager, other, captured, "a module has a hook", 3, 4, 5)
    assert seen[0] == seen[1] == [1] * 6


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_hook_on_a_parameter_stays_eager_and_is_called(at: int) -> None:
    eager, other, captured = twins()
    run_batches(eager, other, captured, *range(at))
    seen: list[list[int]] = [[], []]
    for training, calls in zip((eager, other), seen, strict=True):
        training.net[0].weight.register_hook(lambda grad, calls=calls: calls.append(1) or grad * 1.5)
    check_stays_eager(eager, other, captured, "hook on a tensor", 3, 4, 5)
    assert seen[0] == seen[1] == [1] * 6


def test_a_hook_that_does_not_run_is_no_reason_to_stay_eager() -> None:
    eager, other, captured = twins(step=lambda training: training.net)
    for training in (eager, other):
        training.net.eval()
        training.net[0].weight.register_hook(lambda grad: grad * 2.0)
    with tg.no_grad():
        for number in range(12):
            run_both(eager, other, captured, batch(number)[0])
    assert len(captured.recordings) == 1


def test_more_than_eight_recordings_warn_once_and_stay_eager() -> None:
    eager, other, captured = twins()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in range(4, 12):
            run_both(eager, other, captured, *batch(size, size=size))
    assert len(captured.recordings) == 8
    with pytest.warns(CaptureWarning, match="8 different ways") as caught:
        for size in range(12, 16):
            run_both(eager, other, captured, *batch(size, size=size))
    assert len(caught) == 1
    assert captured.stays_eager
    run_both(eager, other, captured, *batch(0, size=4))


def test_an_argument_that_requires_grad_stays_eager() -> None:
    def step(weight: Tensor) -> Tensor:
        loss = weight.square().sum()
        loss.backward()
        return loss

    weight = Tensor(np.ones(3, np.float32), requires_grad=True)
    captured = capture(step)
    with pytest.warns(CaptureWarning, match="requires grad"):
        captured(weight)
    captured(weight)
    assert weight.grad is not None
    assert weight.grad.tolist() == [4.0] * 3


def test_an_argument_that_begins_to_require_grad_stays_eager() -> None:
    x = Tensor(np.ones(3, np.float32))
    captured = capture(lambda x: x * 2.0)
    for _ in range(3):
        assert not captured(x).requires_grad
    with pytest.warns(CaptureWarning, match="requires grad"):
        assert captured(x.requires_grad_()).requires_grad


@dataclass
class Outputs:
    loss: Tensor


def test_a_result_of_a_kind_that_no_replay_could_make_anew_stays_eager() -> None:
    captured = capture(lambda x: [Outputs(x.sum())])
    with pytest.warns(CaptureWarning, match="returns a Outputs"):
        results = [captured(Tensor(np.full(2, number)))[0].loss.item() for number in range(4)]
    assert results == [0.0, 2.0, 4.0, 6.0]


def test_anomaly_mode_and_the_recording_of_another_step_run_the_step_itself() -> None:
    eager, other, captured = twins()
    outer = capture(lambda x, y: captured(x, y) * 2.0)
    for number in range(4):
        assert bits(outer(*batch(number))) == bits(eager.step(*batch(number)) * 2.0)
        check_alike(eager, other)
    assert captured.recordings == []
    assert len(outer.recordings) == 1
    run_batches(eager, other, captured, 5, 6, 7)
    x = Tensor(np.full((16, 12), np.nan, np.float32))
    with tg.anomaly_mode(), pytest.raises(NonFiniteError, match="op linear"):
        captured(x, batch(0)[1])
