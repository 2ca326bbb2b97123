"""Rounds of a program: tables in and out, faults, helpers that fall asleep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels.test_program import recorded
from tests.kernels.test_team import count_tasks, on
from tinygrad_mlp.errors import NonFiniteError
from tinygrad_mlp.kernels import threads as threads_module
from tinygrad_mlp.kernels.elementwise import check_finite
from tinygrad_mlp.kernels.launch import kernel, launch
from tinygrad_mlp.kernels.loop import Loop, has_loop
from tinygrad_mlp.kernels.program import Failure, Program
from tinygrad_mlp.kernels.record import about_to_write, replayed
from tinygrad_mlp.kernels.team import Team
from tinygrad_mlp.kernels.update import average_step, count_up


def checked_sum(x: np.ndarray, total: np.ndarray, counts: np.ndarray) -> Program:
    """total ← (total + x) / 2 after a check of x, and a count of how often."""
    about_to_write(total, counts)
    half = np.array([10**9])

    def run() -> None:
        about_to_write(total, counts)
        launch(check_finite, x)
        launch(average_step, total, x, half, 0.5)
        launch(count_up, counts)

    return Program(recorded(run)[0])


@pytest.mark.parametrize("is_native", [True, False])
def test_each_round_gets_its_rows_and_leaves_its_results(is_native: bool) -> None:
    x, total, counts, before = np.zeros(3), np.zeros(3), np.zeros(1, np.int64), np.zeros(3)
    loop = Loop(checked_sum(x, total, counts), [x], [total], [(before, total)])
    total[:], counts[:] = 0, 0
    if not is_native:
        loop._native = None
    rows, results = np.arange(15.0).reshape(5, 3), np.empty((5, 3))
    loop.run([rows], [results])
    expected = np.zeros(3)
    for row, result in zip(rows, results, strict=True):
        assert loop.finished == counts[0] == 5
        before_it, expected = expected, (expected + row) / 2
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(before, before_it)


@pytest.mark.parametrize("is_native", [True, False])
def test_a_fault_ends_it_after_the_rounds_that_are_finished(is_native: bool) -> None:
    x, total, counts = np.zeros(3), np.zeros(3), np.zeros(1, np.int64)
    loop = Loop(checked_sum(x, total, counts), [x], [], [])
    total[:], counts[:] = 0, 0
    if not is_native:
        loop._native = None
    rows = np.ones((6, 3))
    rows[4, 1] = np.nan
    with pytest.raises(Failure) as caught:
        loop.run([rows], [])
    assert isinstance(caught.value.error, NonFiniteError)
    assert (caught.value.number, loop.finished, counts[0]) == (0, 4, 4)
    np.testing.assert_array_equal(total, np.full(3, 1 - 0.5**4))
    loop.run([rows[:2]], [])
    assert (loop.finished, counts[0]) == (2, 6)


def test_python_that_may_do_anything_has_no_loop() -> None:
    numbers = np.zeros(1)

    def run(**known: Any) -> Program:
        return Program(recorded(lambda: replayed(print, numbers, **known))[0])

    assert has_loop(run(writes=(0,)))
    assert not has_loop(run())


@pytest.mark.skipif(threads_module.get_num_threads() == 1, reason="needs two threads: NUMBA_NUM_THREADS=2")
def test_helpers_that_fall_asleep_in_a_round_are_woken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, large, x = np.zeros(8, np.int64), np.zeros(4_000_000), np.zeros(1)
    counting = kernel(writes=("counts",), parallel=True)(count_tasks)
    counting.threaded_code = on(threads_module.team(), count_tasks, counts)

    def run() -> None:
        launch(counting, counts, work=10**9)
        launch(check_finite, large)  # some milliseconds on one thread

    program = Program(recorded(run)[0])
    loop, woken, gather = Loop(program, [x], [], []), [], Team.gather
    assert loop._native is not None

    def noted(self: Team, threads: int) -> None:
        woken.append(threads)
        gather(self, threads)

    monkeypatch.setattr(Team, "gather", noted)
    counts[:] = 0
    loop.run([np.zeros((20, 1))], [])
    assert loop.finished == 20
    assert (counts == 20).all()
    assert len(woken) > 1  # without a look at who is awake, once
