"""Kernels are compiled for the CPU that is meant: vectors as wide as it has them, and no wider.

`.ci/targets` runs the kernel tests for other CPUs than this one, and says how wide their vectors are.
"""

import os
import platform
import re
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest

from tinygrad_mlp.kernels.simd import TARGET

EXPECTED = "TINYGRAD_MLP_EXPECTED_VECTOR_BYTES"


def expected_bytes() -> int:
    """What the environment says, or else what this CPU has."""
    if EXPECTED in os.environ:
        return int(os.environ[EXPECTED])
    if "NUMBA_CPU_NAME" in os.environ:
        pytest.skip(f"NUMBA_CPU_NAME is set, but {EXPECTED} does not say how wide its vectors are")
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


def test_vectors_are_as_wide_as_expected() -> None:
    assert TARGET.vector_bytes == expected_bytes()


def test_no_numba_is_allowed_whose_llvm_takes_other_arguments_for_masked_loads() -> None:
    """They are written for LLVM 22, which took the alignment out of them; Numba has it since 0.66."""
    lowest = re.search(r'"numba>=(\d+)\.(\d+)"', (Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert lowest is not None
    assert (int(lowest[1]), int(lowest[2])) >= (0, 66)
    assert llvm.llvm_version_info >= (22,)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of registers of x86-64")
def test_machine_code_uses_no_wider_registers() -> None:
    @numba.njit  # type: ignore[misc]
    def scale(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = x[i] * np.float32(3)

    scale(np.ones(9, np.float32), np.empty(9, np.float32))
    (code,) = scale.inspect_asm().values()
    registers = {16: "xmm", 32: "ymm", 64: "zmm"}
    assert "mulps" in code, "the loop was not turned into vector code"
    for width, name in registers.items():
        assert name not in code or width <= expected_bytes(), f"{name} holds {width} bytes"
    if expected_bytes() > 16:
        assert "ymm" in code or "zmm" in code
