"""Machine code for the calls of a program: where it is made."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.test_program import recorded
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.elementwise import check_finite
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.memory import empty
from tinygrad_mlp.kernels.native import NativeCalls
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
