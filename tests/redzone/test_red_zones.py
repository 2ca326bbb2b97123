"""No public call lets a kernel read or write outside its arrays: everything runs between pages that nobody may touch.

A stray access ends a process, so each part runs in one of its own (see `run`), two at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("large", "float32", "float64", "cases", "hostile", "planted")
# Channels, of which there are 16 or more.
WINOGRAD_CHANNELS = {
    "winograd_kernel": ("x, dimension 3", "bias, dimension 0", "out, dimension 3"),
    "winograd_backward_kernel": (
        *[f"{name}, dimension 3" for name in ("grad", "out", "x", "grad_x")],
        "grad_bias, dimension 0",
    ),
}
# Sizes that never come to a kernel, or as an argument: one row has no variance, a batch of nothing is refused, an empty
# product and the sum of one are done without it, and an optimizer has parameters.
NEVER = {
    "augment_standardize": {0},
    "batch_norm_statistics": {0, 1},
    "batch_norm_backward": {0, 1},
    "group_norm_forward, mean, dimension 1": {0},  # there is a group always
    "group_norm_forward, inv_std, dimension 1": {0},
    "group_norm_backward, mean, dimension 1": {0},
    "group_norm_backward, inv_std, dimension 1": {0},
    "batch_norm_relu_backward": {0, 1},
    **{
        f"norm_relu_pool_{way}, {array}, dimension 0": {0}
        for way in ("forward", "backward")
        for array in ("x", "out", "taps", "grad", "grad_x")
    },
    "convolve": {0},
    "convolve_backward": {0},
    "copy_rows": {0},
    "copy_rows, x, dimension 1": set(range(71)),  # it copies long rows alone: of 256 to 326 bytes
    "copy_rows, out, dimension 1": set(range(71)),
    "draw_augmentation": {0},
    "gather_standardize": {0},
    "labelled_mean": {0},
    "matmul_tiles": {0},
    "take_numbers": {0},
    "share_of_mean": {0},  # the mean of nothing raises
    "sum_reduce": {1},
    "winograd_kernel": {0},
    "winograd_backward_kernel": {0},
    **{f"winograd_kernel, {place}": set(range(16)) for place in WINOGRAD_CHANNELS["winograd_kernel"]},
    **{f"winograd_backward_kernel, {place}": set(range(16)) for place in WINOGRAD_CHANNELS["winograd_backward_kernel"]},
    "winograd_kernel, weight, dimension 2": set(range(71)),  # 256 and more
    **{f"winograd_backward_kernel, {name}, dimension 2": set(range(71)) for name in ("weight", "grad_weight")},
    "transpose_matrices": {0},
    **{f"transpose_matrices, {array}, dimension {axis}": set(range(16)) for array in ("x", "out") for axis in (1, 2)},
    "steps, dimension 0": {0},
}
ALWAYS_DOUBLE = {"draw_augmentation"}  # it has float64 arrays for images of either dtype
ALWAYS_SINGLE = {"winograd_kernel", "winograd_backward_kernel"}

# Images hold a pixel, and of windows of 2 a row and a column of their own; so do the results, of sliding windows.
NEVER |= {
    f"{kernel}, {array}, dimension {axis}": never
    for axis in (1, 2)
    for kernel, arrays in {
        "max_pool": {"x": {0}, "out": {0}, "taps": {0}},
        "max_pool_backward": {"grad": {0}, "taps": {0}, "grad_x": {0}},
        "max_pool_halving": {"x": {0, 1}, "out": {0}, "taps": {0}},
        "max_pool_halving_backward": {"grad": {0}, "taps": {0}, "grad_x": {0, 1}},
        "norm_relu_pool_forward": {"x": {0, 1}, "out": {0}, "taps": {0}},
        "norm_relu_pool_backward": {"grad": {0}, "taps": {0}, "x": {0, 1}, "grad_x": {0, 1}},
        "average_pool": {"x": {0}},
        "average_pool_backward": {"row_covers": {0}, "column_covers": {0}, "grad_x": {0}},
    }.items()
    for array, never in arrays.items()
}

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="pages are protected by mprotect"),
    pytest.mark.xdist_group("red zones"),  # all in one process, so that the parts are run once
]


def run(part: str, folder: Path) -> dict[str, Any]:
    note = folder / part
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.redzone.run", part, str(note)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    last = note.read_text().strip() if note.exists() else "none"
    assert result.returncode == 0, f"{part} ended with {result.returncode}; last kernel: {last}\n{result.stderr}"
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("notes")
    with ThreadPoolExecutor(2) as pool:
        yield {part: pool.submit(run, part, folder) for part in PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_leaves_its_arrays(results: dict[str, Future[dict[str, Any]]], part: str) -> None:
    """Through all sizes, the case table, bad labels and indices, misfits; and planted faults are found."""
    assert results[part].result()["launches"] > 0


def test_every_kernel_was_run_with_every_size(results: dict[str, Future[dict[str, Any]]]) -> None:
    """Each dimension of each array of each compiled kernel went through 0 to 70, if it is not of one size always."""
    gaps: list[str] = []
    for dtype in ("float32", "float64"):
        found = results[dtype].result()
        for name in found["kernels"]:
            if name in ALWAYS_SINGLE and dtype == "float64":
                continue
            own = "float64" if name in ALWAYS_DOUBLE else dtype
            places = found["seen"].get(f"{name}, {own}") or found["seen"].get(f"{name}, any dtype")
            assert places, f"{name} was not run in {dtype}: let tests/redzone/drivers.py call what launches it"
            for place, sizes in places.items():
                never = set[int]().union(*[NEVER.get(key, set()) for key in (name, place, f"{name}, {place}")])
                missing = set(range(71)) - set(sizes) - never
                is_fixed = len(sizes) == 1 and sizes[0] < 10  # a state, options, one number
                if missing and not is_fixed:
                    gaps.append(f"{name}, {dtype}: {place} never was {sorted(missing)}")
    assert not gaps


def test_every_parallel_kernel_was_run_on_several_threads(results: dict[str, Future[dict[str, Any]]]) -> None:
    found = results["large"].result()
    assert set(found["parallel"]) <= set(found["threaded"]), "let `large` in tests/redzone/drivers.py make it large"
