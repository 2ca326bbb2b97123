"""`capture`: the same bits as eager training, results that belong to the caller, arguments, gradients."""

from __future__ import annotations

import gc
import math
import weakref
from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.twins import Training, batch, bits, check_alike, run_batches, run_both, twins
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.capture import CaptureWarning, capture
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import CaptureError
from tinygrad_mlp.nn import functional as F

# Long trainings


def wide_mlp() -> Training:
    """Wide enough for its products to run on several threads."""
    tg.manual_seed(1)
    generator = tg.Generator(5)
    layers = [nn.Linear(64, 96), nn.ReLU(), nn.Dropout(0.2, generator=generator), nn.Linear(96, 10)]
    net = nn.Sequential(*layers)
    training = Training(net, optim.SGD(net.parameters(), lr=0.05, momentum=0.9), generator)

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        training.optimizer.zero_grad()
        logits = net(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        training.optimizer.step()
        return loss, logits

    training.step = step
    return training


def small_cnn() -> Training:
    tg.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 10),
    )
    training = Training(net, optim.AdamW(net.parameters(), weight_decay=0.01), tg.Generator(0))
    training.schedule = optim.OneCycleLR(training.optimizer, max_lr=3e-3, total_steps=510)
    training.average = optim.ExponentialMovingAverage(net, decay=0.99)

    def step(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        training.optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        training.optimizer.step()
        training.average.update()
        training.schedule.step()
        return {"loss": loss, "norm": norm}

    training.step = step
    return training


def inputs(shape: tuple[int, ...], number: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng([71, number])
    return Tensor(rng.normal(size=shape).astype(np.float32)), Tensor(rng.integers(0, 10, shape[0]))


@pytest.mark.parametrize(("make", "shape"), [(wide_mlp, (48, 64)), (small_cnn, (16, 1, 8, 8))], ids=["mlp", "cnn"])
def test_500_steps_give_the_bits_of_eager_training(
    make: Callable[[], Training], shape: tuple[int, ...], threads: int
) -> None:
    eager, other, captured = twins(make)
    batches = [inputs(shape, number) for number in range(20)]
    expected = [bits(eager.step(*batches[step % 20])) for step in range(500)]
    for step in range(500):
        assert bits(captured(*batches[step % 20])) == expected[step], f"step {step}"
    check_alike(eager, other)
    assert len(captured.recordings) == 1


# Results and arguments


class Pair(NamedTuple):
    loss: Any
    rest: Any


def test_results_keep_their_structure() -> None:
    plain = namedtuple("plain", "a b")

    def step(x: Tensor, y: np.ndarray) -> Any:
        return Pair(x * 2.0, {"none": None, "list": [x.sum(), 3], "inner": (1.5, "text", True)}), plain(y, x + 1.0)

    captured = capture(step)
    x, y = batch(0)
    for number in range(4):
        x = batch(number)[0]
        expected, got = step(x, y.numpy()), captured(x, y.numpy())
        assert bits(got) == bits(expected)
        assert type(got[0]) is Pair
        assert type(got[1]) is plain
        assert type(got[1].a) is np.ndarray


@pytest.mark.parametrize("empty", [None, (), [], {}])
def test_a_step_may_return_nothing_much(empty: Any) -> None:
    weight = nn.Parameter(np.ones(3, np.float32))
    optimizer = optim.SGD([weight], lr=0.5)

    def step(x: Tensor) -> Any:
        optimizer.zero_grad()
        (weight * x).sum().backward()
        optimizer.step()
        return empty

    captured = capture(step)
    for number in range(1, 5):
        assert captured(Tensor(np.ones(3, np.float32))) == empty
        np.testing.assert_array_equal(weight.array, 1 - 0.5 * number)


def test_a_result_is_the_callers_own() -> None:
    eager, other, captured = twins()
    kept = [run_both(eager, other, captured, *batch(number)) for number in range(5)]
    before = [loss.item() for loss in kept]
    for loss in kept:
        assert not loss.requires_grad
        assert loss.is_leaf
        loss.array[...] = math.nan
    run_batches(eager, other, captured, 5, 6)
    assert all(math.isnan(loss.item()) for loss in kept)  # and replays do not write into what they have given away
    assert len(set(before)) == 5


def test_results_that_are_weights_arguments_or_gradients_are_copies_of_what_the_step_leaves() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        def step(x: Tensor, y: Tensor) -> Any:
            loss = training_step(x, y)
            return loss, x, training.net[0].weight.detach(), training.net[0].weight.grad

        training_step = training.step
        return step

    eager, other, captured = twins(step=step_of)
    for number in range(5):
        _, x, weight, gradient = run_both(eager, other, captured, *batch(number))
        for tensor in (x, weight, gradient):
            tensor.array[...] = 0
    check_alike(eager, other)


def test_arguments_may_be_nested_and_named() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        def step(pair: Any, *, scale: float, more: dict[str, Any]) -> Tensor:
            training.optimizer.zero_grad()
            outputs = training.net(pair[0] * scale) + more["shift"][0] + Tensor(more["array"])
            loss = F.cross_entropy(outputs, pair[1])
            loss.backward()
            training.optimizer.step()
            return loss

        return step

    eager, other, captured = twins(step=step_of)
    for number in range(5):
        x, y = batch(number)
        shift, array = Tensor(np.float32([number, 0, 1, 2])), np.float32([1, 0, number, 0])
        more = {"shift": [shift], "array": array}
        run_both(eager, other, captured, Pair(x, y), scale=0.5, more=more)
    assert len(captured.recordings) == 1
    run_both(eager, other, captured, more=more, scale=0.5, pair=Pair(x, y))  # by name: another recording
    assert len(captured.recordings) == 2


def test_a_tensor_or_array_changed_in_place_between_calls_is_seen() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        def step(x: Tensor, y: Tensor, noise: np.ndarray) -> Tensor:
            return training_step(x + Tensor(noise), y)

        training_step = training.step
        return step

    eager, other, captured = twins(step=step_of)
    x, y = batch(0)
    noise = np.zeros((16, 12), np.float32)
    for number in range(6):
        run_both(eager, other, captured, x, y, noise)
        x.detach().add_(0.25 * number)
        y.copy_((y + 1) % 4)
        noise[number] = 1.0
        run_both(eager, other, captured, x, y, noise)
    assert len(captured.recordings) == 1


def test_a_tensor_on_the_same_memory_with_a_version_counter_of_its_own_is_seen() -> None:
    captured = capture(lambda x: x * 2.0)
    memory = np.zeros(3, np.float32)
    for number in range(6):
        memory[...] = number
        np.testing.assert_array_equal(captured(Tensor(memory)).array, 2.0 * number)


def test_memory_of_a_tensor_that_numpy_has_changed_is_seen() -> None:
    captured = capture(lambda x: x * 2.0)
    memory = np.zeros(3, np.float32)
    x = tg.from_numpy(memory)
    for number in range(4):
        memory[...] = number
        np.testing.assert_array_equal(captured(x).array, 2.0 * number)


def test_an_argument_that_the_step_writes_is_written_as_eagerly() -> None:
    def step(total: Tensor, x: Tensor) -> Tensor:
        with tg.no_grad():
            total.add_(x)
        return total * 1.0

    total, x = Tensor(np.zeros(3, np.float32)), Tensor(np.ones(3, np.float32))
    with pytest.warns(CaptureWarning, match="writes into an argument"):
        captured = capture(step)
        results = [captured(total, x).tolist() for _ in range(4)]
    assert results == [[1.0] * 3, [2.0] * 3, [3.0] * 3, [4.0] * 3]
    assert total.tolist() == [4.0] * 3


# Methods


class Student:
    def __init__(self, seed: int) -> None:
        tg.manual_seed(seed)
        self.net = nn.Linear(5, 3)
        self.optimizer = optim.SGD(self.net.parameters(), lr=0.1)

    def eager_step(self, x: Tensor, y: Tensor) -> Tensor:
        """One step."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    step = capture(eager_step)


def test_a_method_is_captured_for_each_object_apart() -> None:
    """As many objects as one likes: more than one step may have recordings."""
    tg.manual_seed(0)
    x, y = tg.randn(30, 4, 5), tg.randint(0, 3, (30, 4))
    for seed in range(10):
        one, other = Student(seed), Student(seed)
        losses = [one.eager_step(*row).item() for row in zip(x, y, strict=True)]
        assert other.step.each(x, y).tolist() == losses
        assert other.step.finished == 30
        assert len(other.step.recordings) == 1
        assert bits(one.net.state_dict()) == bits(other.net.state_dict())
    assert len(Student.step.recordings) == 0
    assert other.step.explain(1).kernels
    assert (repr(other.step), other.step.__doc__) == ("<captured 'Student.eager_step', 1 recordings>", "One step.")


def test_a_captured_method_keeps_its_object_alive_no_longer_than_a_method_does() -> None:
    assert isinstance(Student(0).step(tg.ones(2, 5), tg.tensor([0, 1])), Tensor)  # while it is called
    student = Student(0)
    for _ in range(3):
        student.step(tg.ones(2, 5), tg.tensor([0, 1]))
    gone = weakref.ref(student)
    del student
    gc.collect()
    assert gone() is None


class Slotted:
    __slots__ = ("net",)

    @capture
    def step(self, x: Tensor) -> Tensor:
        return x


def test_a_method_of_objects_that_cannot_be_watched() -> None:
    with pytest.raises(CaptureError, match="a method of Slotted, to whose objects no weak reference can be made"):
        Slotted().step(tg.ones(1))


# Fusions


def test_without_fusions_a_replay_launches_all_that_the_step_launches(threads: int) -> None:
    """Gradients are copied to the optimizer's buffer, kernel by kernel; with the same bits."""
    names: dict[bool, list[str]] = {}
    for fuse in (True, False):
        eager, other, _ = twins(wide_mlp)
        captured = capture(other.step, fuse=fuse)
        for number in range(30):
            run_both(eager, other, captured, *batch(number, 64, 64))
        names[fuse] = [kernel.name for kernel in captured.explain(1).kernels]
    assert names[False].count("copy") == names[True].count("copy") + 4  # two weights, two biases
    assert [name for name in names[False] if name != "copy"] == [name for name in names[True] if name != "copy"]
