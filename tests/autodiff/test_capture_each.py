"""`Captured.each`: many steps in one call leave the bits of as many calls, wherever one of them fails."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.test_capture import small_cnn
from tests.autodiff.twins import Training, bits, check_alike, mlp, twins
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.capture import Captured, capture
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CaptureError, DtypeError, IndexRangeError, NonFiniteError, ShapeError
from tinygrad_mlp.nn import functional as F

STEPS = 60


def wide() -> Training:
    """Its products run on several threads; a schedule moves on in each step."""
    training = mlp()
    training.net = nn.Sequential(
        nn.Linear(12, 900), nn.ReLU(), nn.Dropout(0.3, generator=training.generator), nn.Linear(900, 4)
    )
    return scheduled(training, lambda optimizer: optim.LinearLR(optimizer, total_iters=STEPS))


def scheduled(training: Training, schedule: Callable[[Any], Any] | None = None) -> Training:
    """Steps that move a schedule on; by default one-cycle, which changes momentum, too."""
    training.optimizer = optim.SGD(training.net.named_parameters(), lr=0.05, momentum=0.9)
    make = schedule or (lambda optimizer: optim.OneCycleLR(optimizer, max_lr=0.1, total_steps=2 * STEPS))
    training.schedule = make(training.optimizer)

    def step(x: Tensor, y: Tensor) -> Tensor:
        training.optimizer.zero_grad()
        loss = F.cross_entropy(training.net(x), y)
        loss.backward()
        training.optimizer.step()
        training.schedule.step()
        return loss

    training.step = step
    return training


def clipped(prepare: Callable[[Tensor], Tensor] = lambda x: x) -> Training:
    """Gradients are limited, and weights, statistics and counts averaged."""
    training = mlp()
    training.average = optim.ExponentialMovingAverage(training.net, decay=0.9)

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Any]]:
        training.optimizer.zero_grad()
        loss = F.cross_entropy(training.net(prepare(x)), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(training.net.parameters(), 0.3)
        training.optimizer.step()
        training.average.update()
        return loss, {"norm": norm, "three": 3}

    training.step = step
    return training


def with_numpy_kernels() -> Training:
    """NumPy sorts, so that rounds are run from Python."""
    return clipped(lambda x: x.sort(1)[0])


def tables(steps: int = STEPS, shape: tuple[int, ...] = (16, 12), classes: int = 4) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(72)
    x = Tensor(rng.normal(size=(steps, *shape)).astype(np.float32))
    return x, Tensor(rng.integers(0, classes, (steps, shape[0])))


def called(step: Callable[..., Any], x: Tensor, y: Tensor) -> list[Any]:
    return [bits(step(x[row], y[row])) for row in range(len(x))]


def rows_of(results: Any, steps: int) -> list[Any]:
    """Stacked results taken apart again."""

    def row(value: Any, number: int) -> Any:
        if isinstance(value, Tensor):
            return bits(Tensor(np.asarray(value.array[number])))
        if isinstance(value, tuple):
            return tuple, [row(item, number) for item in value]
        return {name: row(item, number) for name, item in value.items()} if isinstance(value, dict) else value

    return [row(results, number) for number in range(steps)]


def is_native(captured: Captured[..., Any]) -> bool:
    loop = captured.recordings[-1]._loop
    assert loop is not None, "the steps have to be run by a loop for this test to say anything"
    return loop[1]._native is not None


@pytest.mark.parametrize(
    ("make", "native"),
    [(mlp, True), (wide, True), (lambda: scheduled(mlp()), True), (clipped, True), (with_numpy_kernels, False)],
)
def test_many_steps_give_the_bits_of_as_many_calls(make: Callable[[], Training], native: bool, threads: int) -> None:
    eager, other, captured = twins(make)
    by_calls = make()
    x, y = tables()
    expected = called(eager.step, x, y)
    first, rest = captured.each(x[:35], y[:35]), captured.each(x[35:], y[35:])
    assert captured.finished == STEPS - 35
    assert rows_of(first, 35) + rows_of(rest, STEPS - 35) == expected
    check_alike(eager, other)
    assert is_native(captured) is native
    called(capture(by_calls.step), x, y)
    assert versions(other) == versions(by_calls)


def versions(training: Training) -> list[int]:
    """How often each parameter was changed."""
    return [parameter.counter[0] for parameter in training.net.parameters()]


def test_convolutions() -> None:
    eager, other, captured = twins(small_cnn)
    x, y = tables(40, (16, 1, 8, 8), 10)
    expected = called(eager.step, x, y)
    results = captured.each(x, y)
    assert [
        bits({name: Tensor(np.asarray(value.array[row])) for name, value in results.items()}) for row in range(40)
    ] == expected
    check_alike(eager, other)


@pytest.mark.parametrize("step", [0, 25, 41, 59])
@pytest.mark.parametrize("make", [mlp, lambda: scheduled(mlp()), wide, with_numpy_kernels])
def test_a_bad_label_stops_before_its_step(make: Callable[[], Training], step: int) -> None:
    eager, other, captured = twins(make)
    x, y = tables()
    y.array[step, 3] = 4
    by_calls = capture(eager.step)
    with pytest.raises(IndexRangeError) as expected:
        called(by_calls, x, y)
    with pytest.raises(IndexRangeError) as caught:
        captured.each(x, y)
    assert captured.finished == step
    assert str(caught.value) == str(expected.value)
    check_alike(eager, other)
    y.array[step, 3] = 0
    assert rows_of(captured.each(x[step:], y[step:]), STEPS - step) == called(by_calls, x[step:], y[step:])
    check_alike(eager, other)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("make", [mlp, lambda: scheduled(mlp()), with_numpy_kernels])
def test_a_nan_stops_before_its_step(make: Callable[[], Training], bad: float) -> None:
    eager, other, captured = twins(make)
    x, y = tables()
    x.array[44, 3, 5] = bad
    by_calls = capture(eager.step)
    with pytest.raises(NonFiniteError) as expected:
        called(by_calls, x, y)
    with pytest.raises(NonFiniteError) as caught:
        captured.each(x, y)
    assert captured.finished == 44
    assert str(caught.value) == str(expected.value)
    check_alike(eager, other)


def test_a_gradient_that_overflows_is_named_and_the_schedule_has_not_moved() -> None:
    def make() -> Training:
        training = scheduled(mlp())
        plain = training.step
        training.step = lambda x, y: plain(x * 1e19, y)  # squared in the backward pass of batch norm's variance
        training.net = nn.Sequential(nn.Linear(12, 4, bias=False))
        return scheduled(training)

    eager, other, captured = twins(make)
    by_calls = capture(eager.step)
    x, y = tables()
    x.array[:50] *= 1e-3
    x.array[50:, :, 2] = 3e38
    with pytest.raises(NonFiniteError) as expected:
        called(by_calls, x, y)
    with pytest.raises(NonFiniteError) as caught:
        captured.each(x, y)
    assert captured.finished == 50
    assert str(caught.value) == str(expected.value)
    check_alike(eager, other)


def falls_below_zero(step: int) -> float:
    return 1.0 - step / 40.5


def runs_out(step: int) -> float:
    return [1.0 - step / 50 for step in range(42)][step]


@pytest.mark.parametrize(
    ("rate", "error", "words"), [(falls_below_zero, ArgumentError, "lr"), (runs_out, IndexError, "list index")]
)
def test_a_schedule_that_fails_leaves_what_calls_leave(
    rate: Callable[[int], float], error: type[Exception], words: str
) -> None:
    eager, other, captured = twins(lambda: scheduled(mlp(), lambda optimizer: optim.LambdaLR(optimizer, rate)))
    by_calls = capture(eager.step)
    x, y = tables()
    for run in (lambda: called(by_calls, x, y), lambda: captured.each(x, y)):
        with pytest.raises(error, match=words):
            run()
    assert captured.finished == 41
    assert is_native(captured)
    check_alike(eager, other)
    assert versions(other) == versions(eager)


def test_ctrl_c_while_a_schedule_is_worked_out_ahead_leaves_it_where_the_weights_are() -> None:
    heard: list[int] = []

    def rate(step: int) -> float:
        if step == 45 and not heard:
            heard.append(step)
            raise KeyboardInterrupt
        return 1.0 / (1 + step)

    eager, other, captured = twins(lambda: scheduled(mlp(), lambda optimizer: optim.LambdaLR(optimizer, rate)))
    x, y = tables()
    with pytest.raises(KeyboardInterrupt):
        captured.each(x, y)
    done = captured.finished
    assert is_native(captured)
    assert 0 < done < 45
    called(eager.step, x[:done], y[:done])
    check_alike(eager, other)
    captured.each(x[done:], y[done:])
    called(eager.step, x[done:], y[done:])
    check_alike(eager, other)


def test_what_is_kept_is_what_was_before_the_step_that_fails() -> None:
    eager, other, captured = twins()
    mean = dict(other.net.named_buffers())["1.running_mean"].array
    kept = [(np.zeros_like(mean), mean), (np.zeros(2, np.uint64), other.generator.state)]
    x, y = tables()
    y.array[50, 0] = -7
    with pytest.raises(IndexRangeError):
        captured.each(x, y, kept=kept)
    called(capture(eager.step), x[:50], y[:50])
    assert kept[0][0].tobytes() == dict(eager.net.named_buffers())["1.running_mean"].array.tobytes()
    assert kept[1][0].tobytes() == eager.generator.state.tobytes()
    assert kept[1][0].tobytes() != other.generator.state.tobytes()  # the step has drawn before it failed


def test_changes_between_calls_are_noticed() -> None:
    eager, other, captured = twins()
    x, y = tables()
    for number in range(3):
        for training in (eager, other):
            training.optimizer.param_groups[0]["lr"] = 0.1 / (1 + number)
            training.net[3].p = 0.1 * number
        assert rows_of(captured.each(x, y), STEPS) == called(eager.step, x, y)
        check_alike(eager, other)
    assert len(captured.recordings) == 3


def test_a_step_that_cannot_be_captured_is_called_one_by_one() -> None:
    def hooked() -> Training:
        training = mlp()
        training.net.register_forward_hook(lambda *_: None)
        return training

    eager, other, captured = twins(hooked)
    x, y = tables(30)
    with pytest.warns(tg.CaptureWarning, match="hook"):
        results = captured.each(x, y)
    assert rows_of(results, 30) == called(eager.step, x, y)
    assert captured.finished == 30
    check_alike(eager, other)


def test_python_that_reads_raises_before_anything_is_done() -> None:
    captured = capture(lambda x: x if x.sum().item() > 0 else -x)
    with pytest.raises(CaptureError, match="test_capture_each"):
        captured.each(tg.ones(30, 2))
    assert captured.finished == 0


def test_tables_of_numbers_of_arrays_and_without_gaps_or_with() -> None:
    def step(scale: Tensor, rows: np.ndarray, x: Tensor) -> tuple[Tensor, Any]:
        return scale * 2.0 + rows.sum(), (x + 1.0).T

    x = tg.randn(40, 3, 2)
    scales, rows = tg.randn(80)[::2], np.random.default_rng(0).integers(0, 9, (5, 40)).T

    def plain(scale: Tensor, x: Tensor) -> tuple[Tensor, Any]:
        return scale * 2.0, (x + 1.0).T

    captured = capture(plain)
    doubled, turned = captured.each(scales, x.transpose(1, 2))
    np.testing.assert_array_equal(doubled.array, scales.array * 2)
    np.testing.assert_array_equal(turned.array, x.array + 1)
    assert captured.recordings[0]._loop is not None
    with pytest.raises(CaptureError):  # an array's own sum is a number that Python has read
        capture(step).each(scales, rows, x)


def test_a_step_that_runs_no_kernel() -> None:
    captured, x = capture(lambda x: x[0]), tg.randn(40, 3, 2)
    np.testing.assert_array_equal(captured.each(x).array, x.array[:, 0])
    assert captured.finished == 40
    assert is_native(captured)


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((0, 2),), ((),)])
def test_tables_of_different_lengths_or_none(shapes: tuple[tuple[int, ...], ...]) -> None:
    captured = capture(lambda *arguments: arguments[0] + 1.0)
    with pytest.raises(ShapeError, match="expected one length of at least 1"):
        captured.each(*[tg.zeros(*shape) for shape in shapes])
    with pytest.raises(ShapeError):
        captured.each()


def test_what_is_no_table() -> None:
    with pytest.raises(DtypeError, match="each: got a list, expected Tensors or arrays"):
        capture(lambda x: x + 1.0).each([1.0, 2.0])


def test_ctrl_c_is_heard_between_steps() -> None:
    _, other, captured = twins()
    by_calls = mlp()
    row, labels = tables(1)
    x, y = (Tensor(np.broadcast_to(table.array[0], (10**6, *table.shape[1:]))) for table in (row, labels))
    captured.each(x[:40], y[:40])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            captured.each(x, y)
    finally:
        signal.signal(signal.SIGINT, before)
    assert is_native(captured)
    assert 0 < captured.finished < 10**6
    step = capture(by_calls.step)
    for _ in range(40 + captured.finished):
        step(row[0], labels[0])
    check_alike(by_calls, other)
