"""The manifest of a run: with what it was made, for whoever wants to make it again."""

from __future__ import annotations

import os
import platform
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tinygrad_mlp.kernels.simd import TARGET
from tinygrad_mlp.kernels.threads import get_num_threads

__all__ = ["describe_machine", "describe_origin"]

_PACKAGES = ("tinygrad_mlp", "numpy", "numba", "llvmlite", "matplotlib", "safetensors")


def describe_machine() -> dict[str, Any]:
    """Versions, operating system, CPU and threads."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "target": f"vectors of {TARGET.vector_bytes} bytes",
        "logical_cpus": os.cpu_count(),
        "threads": get_num_threads(),
        "command": sys.argv,
    }


@lru_cache(maxsize=1)
def describe_origin() -> dict[str, str]:
    """What the bits of a run depend on beside its settings: the same seed gives the same bits while this is equal."""
    return {"tinygrad_mlp": _version("tinygrad_mlp"), "numba": _version("numba"), "cpu": _cpu()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _cpu() -> str:
    """The CPU's name as its maker calls it, where the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
