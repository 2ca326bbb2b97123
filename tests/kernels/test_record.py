"""Arrays in a recording: whose memory they look into, also where NumPy does not say so."""

from __future__ import annotations

import mmap

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tests.kernels.test_program import gradient_of, names, recorded
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.observe import observed
from tinygrad_mlp.kernels.program import Program, _rounded
from tinygrad_mlp.kernels.record import Recorder, owner_of


def window(made: np.ndarray) -> np.ndarray:
    """A part of an array (2, 3) as matmul reads its operands."""
    return as_strided(made[:, 1:], (2, 2), made.strides)


def test_the_owner_of_views_windows_and_memory_that_is_no_array() -> None:
    x = np.arange(6.0).reshape(2, 3).copy()
    for view in (x, x[1:], x.T, window(x), window(x)[1:], as_strided(window(x), (2,), (8,))):
        assert owner_of(view) is x
    for memory in (bytearray(48), memoryview(bytearray(48)), mmap.mmap(-1, 48)):
        array = np.frombuffer(memory)
        assert owner_of(array) is owner_of(array[1:]) is array


def test_a_window_of_a_temporary_keeps_it_no_longer_than_a_view_does() -> None:
    x, sums = np.arange(6.0).reshape(2, 3), np.empty((2, 2))
    recorder, _ = recorded(lambda: launch(np.add, window(gradient_of(x)), 1.0, sums))
    program = Program(recorder)
    assert program.size == _rounded(x.nbytes)
    x += 5
    program.run()
    np.testing.assert_array_equal(sums, (x * x)[:, 1:] + 1)


def test_a_window_of_the_gradient_of_a_leaf_moves_along() -> None:
    x, target, sums = np.arange(6.0).reshape(2, 3), np.zeros((2, 3)), np.empty((2, 2))
    recorder = Recorder()
    with observed(recorder):
        gradient = gradient_of(x)
        launch(np.add, window(gradient), 1.0, sums)
        launch(copy, gradient, target)
    recorder.mark_gradient(gradient)
    recorder.finish()
    program = Program(recorder)
    assert names(program) == ["multiply", "add"]
    x += 5
    program.run()
    np.testing.assert_array_equal(target, x * x)
    np.testing.assert_array_equal(sums, (x * x)[:, 1:] + 1)
