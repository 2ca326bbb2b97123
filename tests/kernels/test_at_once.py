"""Kernels in several threads and processes: right bits, no hang, no abort; the same bits on 1, 2 and 4 threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(part: str, **environment: str) -> list[str]:
    """What a part of `at_once` prints, in a process that ends within five minutes, most of them for compiling."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.kernels.at_once", part],
        cwd=ROOT,
        env={**os.environ, "NUMBA_NUM_THREADS": "2", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "No threading layer could be loaded" in result.stderr:
        pytest.skip(f"Numba has no such threading layer here: {environment}")
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


in_both_layers = pytest.mark.parametrize("layer", ["omp", "workqueue"])


@in_both_layers
def test_python_threads_launch_large_and_small_kernels_at_once(layer: str) -> None:
    assert run("python_threads", NUMBA_THREADING_LAYER=layer) == ["True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@in_both_layers
def test_a_forked_child_computes_the_same(layer: str) -> None:
    assert run("fork", NUMBA_THREADING_LAYER=layer) == ["0 True True"]


def test_spawned_processes_compute_the_same() -> None:
    assert run("spawn") == ["True"]


def test_every_parallel_kernel_gives_the_same_bits_on_one_two_and_four_threads() -> None:
    assert run("all_parallel_kernels", NUMBA_NUM_THREADS="4") == [
        "not on several threads: []",
        "other bits on 4 threads than on one: []",
        "other bits on 2 threads than on one: []",
    ]
