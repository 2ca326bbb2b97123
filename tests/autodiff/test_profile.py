"""Tables of kernels: of eager code, and of a captured step, which they leave as it was."""

from __future__ import annotations

import time

import numpy as np
import pytest

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import nn, optim, plot
from tinygrad_mlp.errors import ArgumentError, CaptureError

X, Y = np.random.default_rng(0).normal(size=(16, 20)).astype(np.float32), np.arange(16) % 5


class Training:
    """A small net with dropout, its optimizer, and a step."""

    def __init__(self) -> None:
        tg.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(20, 12), nn.Tanh(), nn.Dropout(0.2), nn.Linear(12, 5))
        self.optimizer = optim.Adam(self.net.parameters(), lr=0.01)
        self.schedule = optim.ExponentialLR(self.optimizer, 0.9)

    def step(self, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss


def test_each_launch_of_a_captured_step_is_timed() -> None:
    training = Training()
    step = tg.capture(training.step)
    step(tg.Tensor(X), tg.Tensor(Y))
    times = step.explain(repeats=3)
    names = [kernel.name for kernel in times.kernels]
    assert names.count("matmul_tiles") == 5  # two forward, two weight gradients, one input gradient
    assert "adam_step" in names and "dropout" in names and "check_finite" in names
    assert "_write_options" not in names  # Python's part
    assert all(kernel.seconds > 0 and kernel.calls == 1 for kernel in times.kernels)
    assert times.peak > 0 and times.seconds > 0
    # 16 x 20 @ 20 x 12 and 16 x 12 @ 12 x 5, their weight gradients, and the second one's input gradient
    assert sum(kernel.multiply_adds for kernel in times.kernels) == 16 * (2 * 20 * 12 + 3 * 12 * 5)
    first = next(kernel for kernel in times.kernels if kernel.name == "matmul_tiles")
    assert first.path == "net.0: Linear(20, 12)"
    assert first.bytes >= 4 * (16 * 20 + 20 * 12 + 16 * 12)


def trained(explains: bool) -> tuple[list[float], Training]:
    training = Training()  # seeds the generator that dropout draws from
    step, x, y = tg.capture(training.step), tg.Tensor(X), tg.Tensor(Y)
    losses: list[float] = []
    for number in range(6):
        losses.append(step(x, y).item())
        if explains and number % 2:
            step.explain(repeats=2)
    return losses, training


def test_explaining_changes_nothing() -> None:
    (losses, explained), (expected, plain) = trained(explains=True), trained(explains=False)
    assert losses == expected
    assert explained.schedule.last_epoch == plain.schedule.last_epoch == 6
    for a, b in zip(explained.net.parameters(), plain.net.parameters(), strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    assert repr(explained.optimizer.state_dict()["state"]) == repr(plain.optimizer.state_dict()["state"])


def test_explaining_puts_back_the_whole_where_a_part_of_it_that_begins_there_is_written_later() -> None:
    training = Training()

    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = training.step(x, y)
        with tg.no_grad():
            training.net[0].weight.clamp_(-1.0, 1.0)  # at the beginning of what the optimizer writes
        return loss

    captured = tg.capture(step)
    for _ in range(2):
        captured(tg.Tensor(X), tg.Tensor(Y))
    before = [parameter.array.copy() for parameter in training.net.parameters()]
    captured.explain(repeats=2)
    for parameter, expected in zip(training.net.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.array, expected)


def test_the_table_says_what_the_rows_say() -> None:
    training = Training()
    step = tg.capture(training.step)
    step(tg.Tensor(X), tg.Tensor(Y))
    text = str(step.explain(repeats=1))
    for words in ("matmul_tiles", "net.3: Linear(12, 5)", "adam_step", "GFLOP/s", "Python, between kernels", "peak"):
        assert words in text


def test_explain_wants_a_recording_and_a_repeat() -> None:
    training = Training()
    step = tg.capture(training.step)
    with pytest.raises(CaptureError, match="call it first"):
        step.explain()
    step(tg.Tensor(X), tg.Tensor(Y))
    with pytest.raises(ArgumentError, match="repeats is 0"):
        step.explain(repeats=0)


def test_profile_puts_launches_from_one_place_together() -> None:
    x = tg.Tensor(X)
    x.exp()  # compiled before
    with tg.profile() as times:
        for _ in range(4):
            x.exp()
        time.sleep(0.01)  # counts as Python's
    (row,) = times.result.kernels
    assert (row.name, row.calls, row.bytes) == ("exp", 4, 4 * 2 * X.nbytes)
    assert row.source.startswith("autodiff/ops/")
    assert times.result.seconds > row.seconds + 0.009
    assert "exp" in str(times) and "Python, between kernels" in str(times)


def test_rows_that_are_drawn_count_as_what_is_drawn() -> None:
    images = np.zeros((1000, 28, 28), np.uint8)
    dataset = tg.data.ImageDataset(images, np.zeros(1000, np.int64), classes=["a", "b"], standardization="none")
    dataset.batch([0, 1])
    with tg.profile() as times:
        dataset.batch([0, 1])
    gather = next(row for row in times.result.kernels if row.name == "gather_standardize")
    assert gather.bytes < 4 * 2 * 28 * 28 * 4  # and not 1000 images


def test_a_captured_step_is_seen_kernel_by_kernel_in_a_profile() -> None:
    training = Training()
    step = tg.capture(training.step)
    x, y = tg.Tensor(X), tg.Tensor(Y)
    step(x, y)
    with tg.profile() as times:
        step(x, y)
    assert {"matmul_tiles", "adam_step"} <= {row.name for row in times.result.kernels}


def test_an_error_inside_passes_and_what_ran_before_is_there() -> None:
    with pytest.raises(ZeroDivisionError), tg.profile() as times:
        tg.Tensor(X).exp()
        raise ZeroDivisionError
    assert [row.name for row in times.result.kernels] == ["exp"]
    tg.Tensor(X).exp()
    assert times.result.kernels[0].calls == 1  # it no longer watches


def test_the_picture_has_a_bar_for_each_kernel_and_one_for_python() -> None:
    training = Training()
    step = tg.capture(training.step)
    step(tg.Tensor(X), tg.Tensor(Y))
    times = step.explain(repeats=1)
    figure = plot.step_times(times)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[-1] == "Python, between kernels"
    assert set(names[:-1]) == {kernel.name for kernel in times.kernels}
    few = plot.step_times(times, count=2)
    assert len(few.axes[0].patches) == 4  # two, the others, Python
    with pytest.raises(ArgumentError, match="step_times"):
        plot.step_times(times, count=0)
