"""Machine code for the calls of a program: where it is made."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.test_program import recorded
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.elementwise import check_finite
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.memory import empty
from tinygrad_mlp.kernels.native import NativeCalls, is_native
from tinygrad_mlp.kernels.program import Program
from tinygrad_mlp.kernels.update import average_step


@pytest.mark.parametrize(("size", "is_machine_code"), [(1000, True), (1 << 20, False)])
def test_calls_become_machine_code_only_where_they_are_noticed(size: int, is_machine_code: bool) -> None:
    x, out = np.ones(size), np.zeros(size)

    def run() -> None:
        made = empty(x.shape, x.dtype), empty(x.shape, x.dtype)
        launch(copy, x, made[0])
        launch(check_finite, made[0])
        launch(average_step, made[1], made[0], np.ones(1, np.int64), 0.5)
        launch(average_step, out, made[1], np.ones(1, np.int64), 0.5)

    program = Program(recorded(run)[0])
    for _ in range(25):
        program.run()
    assert any(isinstance(part, NativeCalls) for _, part in program._parts) == is_machine_code


def test_rounds_without_a_call_copy_what_is_given_and_taken() -> None:
    x, rows, results = np.zeros(3), np.arange(12.0).reshape(4, 3), np.zeros((4, 2))
    native = NativeCalls([], np.zeros(4, np.int64), given=[x], taken=[x[1:]])
    assert native.run_many(4, [rows, results]) == 0
    assert native.finished == 4
    np.testing.assert_array_equal(results, rows[:, 1:])


def test_plain_copies_are_machine_code() -> None:
    """Of one dtype and one order of axes; NumPy makes all others."""
    x, counts = np.arange(12.0).reshape(3, 4), np.arange(5)
    copies, counts_copied, turned = np.zeros((3, 4)), np.zeros(5, np.int64), np.zeros((3, 4), order="F")
    other_order, other_dtype, spread = np.zeros((3, 4)), np.zeros((3, 4), np.float32), np.zeros((3, 4))

    def run() -> None:
        for source, target in (
            (x, copies),
            (counts, counts_copied),
            (x.T, turned.T),
            (turned, other_order),
            (x, other_dtype),
            (x[0], spread),
        ):
            launch(copy, source, target)

    program = Program(recorded(run)[0])
    assert [is_native(one) for one in program.launches] == [True, True, False, False, False, False]
    for _ in range(25):
        for array in (copies, counts_copied, turned, other_order, other_dtype, spread):
            array[:] = -1
        program.run()
        for array in (copies, turned, other_order, other_dtype):
            np.testing.assert_array_equal(array, x)
        np.testing.assert_array_equal(counts_copied, counts)
        np.testing.assert_array_equal(spread, np.broadcast_to(x[0], (3, 4)))
    assert [type(part) for _, part in program._parts].count(NativeCalls) == 1
