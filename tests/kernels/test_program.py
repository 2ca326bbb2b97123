"""Recordings of launches, and programs made of them: where temporaries lie, which copies are left out, faults."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp.errors import NonFiniteError
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.elementwise import check_finite
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.memory import SMALLEST, empty
from tinygrad_mlp.kernels.observe import observed
from tinygrad_mlp.kernels.program import Failure, Program, _rounded, arranged, blocks
from tinygrad_mlp.kernels.record import Buffer, Recorder, about_to_write, replayed

# Where temporaries lie


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of one shape and dtype hold the same bits: NaN is like itself, and 0 unlike -0."""
    if a.dtype.kind == "f":
        kind = np.dtype(f"u{a.itemsize}")
        return bool((np.ascontiguousarray(a).view(kind) == np.ascontiguousarray(b).view(kind)).all())
    return bool((a == b).all())


@st.composite
def lifetimes(draw: st.DrawFn) -> list[Buffer]:
    """Buffers of drawn sizes, each in use from one call to another, or (died None) to the end."""
    buffers: list[Buffer] = []
    for _ in range(draw(st.integers(0, 12))):
        size, born, calls = draw(st.integers(0, 1000)), draw(st.integers(0, 20)), draw(st.integers(1, 8))
        died = None if draw(st.integers(0, 9)) == 0 else born + calls
        buffers.append(Buffer(0, size, born, is_written_first=True, died=died))
    return buffers


def are_alive_together(a: Buffer, b: Buffer) -> bool:
    ends = [np.inf if buffer.died is None else buffer.died for buffer in (a, b)]
    return max(a.born, b.born) < min(ends)


@given(buffers=lifetimes())
def test_buffers_that_live_at_the_same_time_do_not_overlap(buffers: list[Buffer]) -> None:
    offsets, size = arranged(buffers)
    assert set(offsets) == set(buffers)
    for i, a in enumerate(buffers):
        assert offsets[a] % 64 == 0
        assert 0 <= offsets[a] <= offsets[a] + a.size <= size
        for b in buffers[:i]:
            if are_alive_together(a, b) and a.size and b.size:
                assert offsets[a] + a.size <= offsets[b] or offsets[b] + b.size <= offsets[a]


@given(buffers=lifetimes())
def test_the_arena_is_no_larger_than_all_buffers_and_no_smaller_than_those_alive_at_one_time(
    buffers: list[Buffer],
) -> None:
    _, size = arranged(buffers)
    assert size <= sum(_rounded(buffer.size) for buffer in buffers)
    for call in range(30):
        alive = [b for b in buffers if b.born <= call and (b.died is None or call < b.died)]
        assert sum(_rounded(buffer.size) for buffer in alive) <= size


@given(buffers=lifetimes())
def test_blocks_hold_one_living_buffer_each_which_fills_half_of_it_or_more(buffers: list[Buffer]) -> None:
    numbers, sizes = blocks(buffers)
    assert set(numbers) == set(buffers)
    assert sorted(set(numbers.values())) == list(range(len(sizes)))
    for i, a in enumerate(buffers):
        assert a.size <= sizes[numbers[a]] <= 2 * a.size
        assert all(numbers[a] != numbers[b] for b in buffers[:i] if are_alive_together(a, b))


def test_large_temporaries_share_blocks_and_their_memory_is_given_back_and_got_again() -> None:
    x = np.arange(float(SMALLEST))

    def run() -> np.ndarray:
        value = x
        for _ in range(10):
            made = empty(x.shape, x.dtype)
            launch(np.add, value, 1.0, made)
            value = made
        return value

    recorder, result = recorded(run)
    program = Program(recorder)
    assert program.size == 2 * x.nbytes
    for _ in range(2):
        x += 5
        program.run()
        np.testing.assert_array_equal(result, x + 10)
        program.release()
        program.build()


def test_buffers_one_after_another_share_their_memory() -> None:
    buffers = [Buffer(0, 100, born, is_written_first=True, died=born + 1) for born in range(10)]
    assert arranged(buffers)[1] == 128


# Programs do what was recorded


def recorded(run: Callable[[], Any]) -> tuple[Recorder, Any]:
    """What a function launches. It returns the arrays that are to outlive it."""
    recorder = Recorder()
    with observed(recorder):
        result = run()
    recorder.finish()
    return recorder, result


def names(program: Program | Recorder) -> list[str]:
    return [call.launch.name for call in program.calls]


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Steps of a calculation on a pool of arrays: the operation, which two it takes, and which one is let go then."""
    step = st.tuples(st.sampled_from(["add", "multiply", "transposed", "copy"]), *[st.integers(0, 50)] * 3)
    return draw(st.lists(step, min_size=1, max_size=15))


def calculate(chain: list[tuple[str, int, int, int]], x: np.ndarray, y: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Run a chain: temporaries come and go. The last is written to `out`, and their sum is returned."""
    pool = [x, y]
    for operation, first, second, gone in chain:
        a, b = pool[first % len(pool)], pool[second % len(pool)]
        made = empty(a.shape, a.dtype)
        if operation == "copy":
            launch(copy, a, made)
        else:
            launch(np.multiply if operation == "multiply" else np.add, a, b.T if operation == "transposed" else b, made)
        pool.append(made)
        del a, b, made
        if len(pool) > 3:
            del pool[gone % len(pool)]
    launch(copy, pool[-1], out)
    total = np.empty_like(x)
    launch(np.add, pool[0], pool[-1], total)
    return total


@given(chain=chains(), large=st.booleans())
def test_a_program_repeats_what_was_recorded_on_other_numbers(
    chain: list[tuple[str, int, int, int]], large: bool
) -> None:
    side = 260 if large else 5  # large arrays lie on blocks that are lent, and lent again
    rng = np.random.default_rng(8)
    x, y = (rng.uniform(-1, 1, (side, side)).astype(np.float32) for _ in range(2))
    out = np.zeros_like(x)
    recorder, total = recorded(lambda: calculate(chain, x, y, out))
    place = recorder.place_of(total)
    program = Program(recorder)
    for _ in range(3):
        x[...], y[...] = rng.uniform(-1, 1, (2, side, side))
        out[...] = total[...] = -1.0
        program.run()
        found = program.array(place).copy(), out.copy()
        expected_out = np.empty_like(out)
        expected = calculate(chain, x, y, expected_out)
        assert same_bits(found[0], expected)
        assert same_bits(found[1], expected_out)


def test_temporaries_need_no_more_memory_than_two_at_a_time() -> None:
    x = np.arange(1000.0)

    def run() -> np.ndarray:
        value = x
        for _ in range(20):
            made = np.empty_like(value)
            launch(np.add, value, 1.0, made)
            value = made
        return value

    recorder, result = recorded(run)
    program = Program(recorder)
    assert program.size == 2 * _rounded(x.nbytes)
    x += 5
    program.run()
    np.testing.assert_array_equal(result, np.arange(1000.0) + 25)


def test_python_functions_are_called_at_their_place() -> None:
    seen: list[float] = []
    x, total = np.ones(3), np.zeros(3)

    def run() -> None:
        replayed(lambda: seen.append(total[0]))
        launch(np.add, total, x, total)
        replayed(lambda: seen.append(total[0]))

    program = Program(recorded(run)[0])
    program.run()
    assert seen == [0.0, 1.0, 1.0, 2.0]


# Copies that are left out


X = np.arange(6.0).reshape(2, 3) + 1


def gradient_of(x: np.ndarray) -> np.ndarray:
    made = np.empty(x.shape)
    launch(np.multiply, x, x, made)
    return made


def test_a_temporary_that_is_only_copied_is_written_where_it_is_copied() -> None:
    target = np.zeros((4, 3))

    def run() -> None:
        launch(copy, gradient_of(X), target[1:3])

    recorder, _ = recorded(run)
    program = Program(recorder)
    assert names(recorder) == ["multiply", "copy"]
    assert names(program) == ["multiply"]
    target[...] = 7.0
    program.run()
    np.testing.assert_array_equal(target, [[7, 7, 7], *(X * X), [7, 7, 7]])


def test_views_of_a_temporary_move_along() -> None:
    target = np.zeros((4, 3))

    def run() -> None:
        made = gradient_of(X)
        launch(np.add, made[1], 5.0, made[1])
        launch(copy, made, target[2:])

    program = Program(recorded(run)[0])
    assert names(program) == ["multiply", "add"]
    target[...] = 7.0
    program.run()
    np.testing.assert_array_equal(target, [[7] * 3, [7] * 3, X[0] * X[0], X[1] * X[1] + 5])


def read_later(target: np.ndarray) -> Any:
    made, other = gradient_of(X), np.empty((2, 3))
    launch(copy, made, target)
    launch(np.add, target, 1.0, target)
    launch(np.add, made, 1.0, other)
    return other


def target_read_before(target: np.ndarray) -> Any:
    made, other = gradient_of(X), np.empty((2, 3))
    launch(np.add, target, 1.0, other)
    launch(copy, made, target)
    return other


def target_written_before(target: np.ndarray) -> Any:
    made = gradient_of(X)
    launch(np.add, X, 1.0, target)
    launch(np.add, made, made, made)
    launch(copy, made, target)


def is_a_part(target: np.ndarray) -> Any:
    launch(copy, gradient_of(np.concatenate([X, X]))[1:3], target)


def in_another_order(target: np.ndarray) -> Any:
    launch(copy, gradient_of(np.ascontiguousarray(X.T)).T, target)


def of_another_dtype(target: np.ndarray) -> Any:
    made = np.empty((2, 3), np.int64)  # of the same strides
    launch(np.multiply, X.astype(np.int64), 3, made)
    launch(copy, made, target)


def repeated(target: np.ndarray) -> Any:
    launch(copy, gradient_of(X[:1]), target)


def is_copied_to_a_temporary(target: np.ndarray) -> Any:
    made, again = gradient_of(X), np.empty((2, 3))
    launch(copy, made, again)
    launch(np.add, again, 1.0, target)


def is_a_result(target: np.ndarray) -> Any:
    made = gradient_of(X)
    launch(copy, made, target)
    return made


@pytest.mark.parametrize(
    "run",
    [
        read_later,
        target_read_before,
        target_written_before,
        is_a_part,
        in_another_order,
        of_another_dtype,
        repeated,
        is_copied_to_a_temporary,
        is_a_result,
    ],
)
def test_a_copy_is_kept_where_leaving_it_out_would_show(run: Callable[[np.ndarray], Any]) -> None:
    target = np.full((2, 3), 0.5)
    recorder, result = recorded(lambda: run(target))
    place = None if result is None else recorder.place_of(result)
    program = Program(recorder)
    assert names(program) == names(recorder)
    for start in (0.5, -3.0):
        expected = np.full((2, 3), start)
        expected_result = run(expected)
        target[...] = start
        program.run()
        np.testing.assert_array_equal(target, expected)
        if place is not None:
            np.testing.assert_array_equal(program.array(place), expected_result)


def test_the_gradient_of_a_leaf_moves_to_where_it_is_copied_though_it_outlives_the_step() -> None:
    target = np.zeros((2, 3))
    recorder = Recorder()
    with observed(recorder):
        gradient = gradient_of(X)
        launch(copy, gradient, target)
    place = recorder.mark_gradient(gradient)
    recorder.finish()
    program = Program(recorder)
    assert names(program) == ["multiply"]
    gradient[...] = 0
    program.run()
    np.testing.assert_array_equal(target, X * X)
    assert np.shares_memory(program.array(place), target)
    assert not gradient.any()


def test_two_copies_of_one_temporary_leave_the_second_reading_the_first() -> None:
    targets = np.zeros((2, 2, 3))

    def run() -> None:
        made = gradient_of(X)
        launch(copy, made, targets[0])
        launch(copy, made, targets[1])

    program = Program(recorded(run)[0])
    targets[...] = 0
    program.run()
    np.testing.assert_array_equal(targets, [X * X] * 2)


# Faults


def test_a_fault_names_its_call_runs_nothing_after_it_and_leaves_the_program_good() -> None:
    x, total = np.ones(4), np.zeros(4)

    def run() -> None:
        launch(np.add, total, x, total)
        launch(check_finite, x)
        launch(np.add, total, 10.0, total)

    program = Program(recorded(run)[0])
    x[2] = np.inf
    total[...] = 0
    with pytest.raises(Failure) as caught:
        program.run()
    assert caught.value.number == 1
    assert isinstance(caught.value.error, NonFiniteError)
    assert str(caught.value.error) == "check_finite: element 2 of 4 is NaN or infinite"
    np.testing.assert_array_equal(total, x)
    x[2], total[...] = 1.0, 0.0
    program.run()
    np.testing.assert_array_equal(total, [11.0] * 4)


# What a recording puts back


def test_undo_puts_back_what_was_there_and_leaves_temporaries_alone() -> None:
    x, total = np.ones(4), np.arange(4.0)
    recorder = Recorder()
    with observed(recorder):
        made = np.empty(4)
        launch(np.add, x, 1.0, made)
        about_to_write(total, made)
        launch(np.add, total, made, total)
        launch(np.add, made, 1.0, made)
    assert len(recorder.saved) == 1
    recorder.undo()
    np.testing.assert_array_equal(total, np.arange(4.0))
    np.testing.assert_array_equal(made, [3.0] * 4)


def test_undo_puts_back_a_part_that_was_written_before_the_whole_was_saved() -> None:
    total = np.arange(4.0)
    recorder = Recorder()
    with observed(recorder):
        about_to_write(total[:2])
        launch(np.add, total[:2], 1.0, total[:2])
        about_to_write(total)
        launch(np.add, total, 1.0, total)
    recorder.undo()
    np.testing.assert_array_equal(total, np.arange(4.0))


def test_same_bits_tells_zeros_apart_and_nan_is_like_itself() -> None:
    assert same_bits(np.array([0.0, np.nan]), np.array([0.0, np.nan]))
    assert not same_bits(np.array([0.0]), np.array([-0.0]))
    assert same_bits(np.array([1, 2]), np.array([1, 2]))
    assert not same_bits(np.array([True]), np.array([False]))


def test_memory_that_the_step_has_made_and_lost_is_not_kept_alive() -> None:
    x = np.ones((300, 300))
    recorder, _ = recorded(lambda: gradient_of(x) is None)
    gc.collect()
    (temporary,) = [call.launch.args[-1].buffer for call in recorder.calls]
    assert temporary.holder is None
    assert temporary.died == 1
