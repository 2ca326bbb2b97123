"""The measured limits: the loops do the work that they are credited with, and nothing optimises it away."""

import json
import os
import platform
import re
import threading
import time

import numba
import numpy as np
import pytest
from rich.console import Console

from benchmarks import peak, peak_loops
from benchmarks.settings import Settings
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.simd import TARGET


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_multiply_add_is_done(dtype: type) -> None:
    start = np.arange(peak_loops.CHAINS * TARGET.vector_bytes // np.dtype(dtype).itemsize, dtype=dtype)
    sums = start.copy()
    launch(peak_loops.run_chains, 1001, np.ones(2, dtype), sums)
    np.testing.assert_array_equal(sums, start + 1001)  # 1 * sum + 1, so often

    halved = start.copy()
    launch(peak_loops.run_chains, 2, np.array([0.5, 3], dtype), halved)
    np.testing.assert_array_equal(halved, (start / 2 + 3) / 2 + 3)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64") or TARGET.vector_bytes < 32, reason="needs AVX2")
def test_loop_of_multiply_adds_touches_registers_only() -> None:
    compiled = numba.njit(fastmath={"contract"}, error_model="numpy")(peak_loops.run_chains.function)
    compiled(1, np.ones(2, np.float32), np.ones(peak_loops.CHAINS * TARGET.vector_bytes // 4, np.float32))
    (assembly,) = compiled.inspect_asm().values()
    blocks = [block for block in re.split(r"^\.LBB\w+:", assembly, flags=re.MULTILINE) if "vfmadd" in block]
    register = "zmm" if TARGET.vector_bytes == 64 else "ymm"
    assert blocks
    for block in blocks:
        instructions = [line.split() for line in block.splitlines() if "\tv" in line]
        assert all(name.startswith("vfmadd") for name, *_ in instructions[: peak_loops.CHAINS])
        multiply_adds = [line for line in block.splitlines() if "vfmadd" in line]
        assert len(multiply_adds) % peak_loops.CHAINS == 0
        assert all(line.count(register) == 3 for line in multiply_adds)  # no memory operand
        assert (
            len({line.split("%")[-1] for line in multiply_adds}) == peak_loops.CHAINS
        )  # each chain in its own register


def test_streams_compute_what_they_say() -> None:
    size = 3 * peak_loops.UNROLL * TARGET.vector_bytes // 4
    x, y = np.random.default_rng(0).standard_normal((2, size)).astype(np.float32)
    behind = np.zeros(16, np.float32)
    out = np.zeros(size + behind.size, np.float32)
    launch(peak_loops.run_copy, 2, x, out[:size])
    np.testing.assert_array_equal(out, np.append(x, behind))
    launch(peak_loops.run_triad, 1, x, y, np.full(1, 0.5, np.float32), out[:size])
    np.testing.assert_allclose(out, np.append(x + np.float32(0.5) * y, behind), rtol=1e-6)


def test_threads_work_at_the_same_time() -> None:
    """Each part waits for the other: one after the other, they would wait for ever."""
    meeting = threading.Barrier(2, timeout=30)
    cores: list[set[int]] = []

    def run(repeats: int) -> None:
        meeting.wait()
        if hasattr(os, "sched_getaffinity"):
            cores.append(os.sched_getaffinity(0))
        time.sleep(0.01 * repeats)

    team = peak._Team(2)
    try:
        assert team.seconds(peak._Loop("copy", "L1", "GB/s", 1.0, [run, run]), 2) >= 0.02
    finally:
        team.close()
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        assert [len(core) for core in cores] == [1, 1]
        assert cores[0] != cores[1]


def test_caches_grow_and_hold() -> None:
    caches = peak.cache_bytes()
    assert list(caches.values()) == sorted(caches.values())
    assert list(caches)[:2] == ["L1", "L2"]
    peaks = peak.Peaks((), 512, {"L1": 100, "L2": 1000})
    assert [peaks.place_of(size) for size in (1, 100, 101, 1000, 1001)] == ["L1", "L1", "L2", "L2", "memory"]


def test_rates_follow_from_the_work_and_the_fastest_block() -> None:
    loop = peak._Loop("copy", "L1", "GB/s", work=4e9, runs=[lambda repeats: None])
    rate = peak._rate(loop, repeats=2, times=[1.0, 0.5, 2.0])
    assert (rate.best, rate.median) == (16.0, 8.0)  # 8e9 bytes in 0.5 s and in 1 s


def test_measure() -> None:
    peaks = peak.measure(Settings(quick=True))
    for threads in Settings().threads:
        assert peaks.flops(threads) > 0
        assert peaks.flops(threads, "float64") > 0
        assert peaks.bandwidth("memory", threads) > 0
        assert peaks.bandwidth("L1", threads, "copy") > 0
    assert json.loads(json.dumps(peaks.as_json()))["rates"]

    console = Console(width=120)
    with console.capture() as capture:
        console.print(peaks.table())
    assert "multiply-add, float64" in capture.get()
