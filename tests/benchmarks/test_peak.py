"""The measured limits: the loops do the work that they are credited with, and nothing optimises it away."""

import json
import platform
import re

import numba
import numpy as np
import pytest
from rich.console import Console

from benchmarks import peak
from benchmarks.settings import Settings
from tinygrad_mlp.kernels.launch import get_num_threads, launch
from tinygrad_mlp.kernels.simd import TARGET


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_every_multiply_add_is_done(dtype: type, parts: int) -> None:
    lanes = TARGET.vector_bytes // np.dtype(dtype).itemsize
    start = np.arange(parts * peak.CHAINS * lanes, dtype=dtype)
    sums = start.copy()
    launch(peak.run_chains, parts, 1001, np.ones(2, dtype), sums, work=1 << 40)
    np.testing.assert_array_equal(sums, start + 1001)  # 1 * sum + 1, so often

    halved = start.copy()
    launch(peak.run_chains, parts, 2, np.array([0.5, 3], dtype), halved)
    np.testing.assert_array_equal(halved, (start / 2 + 3) / 2 + 3)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64") or TARGET.vector_bytes < 32, reason="needs AVX2")
def test_loop_of_multiply_adds_touches_registers_only() -> None:
    compiled = numba.njit(fastmath={"contract"}, error_model="numpy")(peak.run_chains.function)
    compiled(1, 1, np.ones(2, np.float32), np.ones(peak.CHAINS * TARGET.vector_bytes // 4, np.float32))
    (assembly,) = compiled.inspect_asm().values()
    blocks = [block for block in re.split(r"^\.LBB\w+:", assembly, flags=re.MULTILINE) if "vfmadd" in block]
    register = "zmm" if TARGET.vector_bytes == 64 else "ymm"
    assert blocks
    for block in blocks:
        instructions = [line.split() for line in block.splitlines() if "\tv" in line]
        assert all(name.startswith("vfmadd") for name, *_ in instructions[: peak.CHAINS])
        multiply_adds = [line for line in block.splitlines() if "vfmadd" in line]
        assert len(multiply_adds) % peak.CHAINS == 0
        assert all(line.count(register) == 3 for line in multiply_adds)  # no memory operand
        assert len({line.split("%")[-1] for line in multiply_adds}) == peak.CHAINS  # each chain in its own register


@pytest.mark.parametrize("parts", [1, 2])
def test_streams_compute_what_they_say(parts: int) -> None:
    size = parts * 3 * peak.UNROLL * TARGET.vector_bytes // 4
    x, y = np.random.default_rng(0).standard_normal((2, size)).astype(np.float32)
    out = np.zeros(size + 16, np.float32)  # and nothing behind the end
    launch(peak.run_copy, parts, 2, x, out[:size], work=1 << 40)
    np.testing.assert_array_equal(out, np.append(x, np.zeros(16, np.float32)))
    launch(peak.run_triad, parts, 1, x, y, np.full(1, 0.5, np.float32), out[:size], work=1 << 40)
    np.testing.assert_array_equal(out, np.append(x + np.float32(0.5) * y, np.zeros(16, np.float32)))


def test_caches_grow_and_hold() -> None:
    caches = peak.cache_bytes()
    assert list(caches.values()) == sorted(caches.values())
    assert list(caches)[:2] == ["L1", "L2"]
    peaks = peak.Peaks((), 512, {"L1": 100, "L2": 1000})
    assert [peaks.place_of(size) for size in (1, 100, 101, 1000, 1001)] == ["L1", "L1", "L2", "L2", "memory"]


def test_rates_follow_from_the_work_and_the_fastest_block() -> None:
    loop = peak._Loop("copy", "L1", 1, "GB/s", work=4e9, run=lambda repeats: None)
    rate = peak._rate(loop, repeats=2, times=[1.0, 0.5, 2.0])
    assert (rate.best, rate.median) == (16.0, 8.0)  # 8e9 bytes in 0.5 s and in 1 s


def test_measure() -> None:
    before = get_num_threads()
    peaks = peak.measure(Settings(quick=True))
    assert get_num_threads() == before
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
