"""First runs: two processes that compile at once, and a disk that is full while machine code is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core.registry import cpu_target

from tinygrad_mlp.kernels.cache import kernel_cache
from tinygrad_mlp.kernels.elementwise import check_finite

ROOT = Path(__file__).parents[2]
COMPILING = "compiling kernels"

# One small kernel for two dtypes: two compilations, of which only the first is announced, in files of their own.
STEP = """
import tinygrad_mlp as tg
x = tg.linspace(-2, 2, 35)
print(x.sigmoid().array.tobytes().hex(), x.double().sigmoid().array.tobytes().hex())
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
    assert [path.suffix for path in files(tmp_path)] == [".code"] * 2, "an unfinished file was left"
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    assert finish(start(STEP, tmp_path)) == (bits, 0)
    assert {path: path.stat().st_mtime_ns for path in files(tmp_path)} == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of this kind")
def test_a_full_disk_costs_only_time(tmp_path: Path, bits: str) -> None:
    assert finish(start(FULL_DISK + STEP, tmp_path)) == (bits, 1)
    assert files(tmp_path) == [], "part of a file was left"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("OPT", 0),
        ("LOOP_VECTORIZE", 0),
        ("SLP_VECTORIZE", 1),
        ("BOUNDSCHECK", 1),
        ("DEBUGINFO_DEFAULT", 1),
        ("USING_SVML", "another"),
    ],
)
def test_code_made_under_other_settings_of_numba_lies_in_a_file_of_its_own(
    setting: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = kernel_cache(check_finite.function, "parallel=False")

    def path() -> Path:
        return cache._file((numba.float32[::1],), cpu_target.target_context.codegen())._path

    usual = path()
    assert path() == usual
    monkeypatch.setattr(numba.config, setting, value)
    assert path() != usual
