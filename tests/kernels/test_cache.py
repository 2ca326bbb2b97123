"""First runs: two processes that compile at once, and a disk that is full while machine code is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILING = "compiling kernels"

STEP = """
import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
x = tg.linspace(-2, 2, 35).reshape(5, 7).requires_grad_()
F.gelu(x).sigmoid().square().sum().backward()
print(x.grad.array.tobytes().hex())
"""
# Every write beyond the first 1000 bytes of a file fails, as on a full disk.
FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))"


def start(script: str, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, int]:
    """What it printed, and how often it said that it compiles."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output, errors.count(COMPILING)


def files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


pytestmark = pytest.mark.xdist_group("cache")  # all in one process: what they share is made once


@pytest.fixture(scope="module")
def bits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The right result, from a process that compiles all alone."""
    return finish(start(STEP, tmp_path_factory.mktemp("alone")))[0]


def test_two_processes_may_compile_at_once(tmp_path: Path, bits: str) -> None:
    both = [start(STEP, tmp_path) for _ in range(2)]
    assert [finish(process) for process in both] == [(bits, 1)] * 2
    assert {path.suffix for path in files(tmp_path)} == {".code"}, "an unfinished file was left"
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    assert finish(start(STEP, tmp_path)) == (bits, 0)
    assert {path: path.stat().st_mtime_ns for path in files(tmp_path)} == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of this kind")
def test_a_full_disk_costs_only_time(tmp_path: Path, bits: str) -> None:
    assert finish(start(FULL_DISK + STEP, tmp_path)) == (bits, 1)
    assert files(tmp_path) == [], "part of a file was left"
