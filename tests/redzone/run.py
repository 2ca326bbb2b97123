"""Run one part of the red-zone tests: `python -m tests.redzone.run PART NOTE`; prints, as JSON, which sizes were seen.

NOTE is a file whose text says which kernel is running, for the report after a segmentation fault.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings

import tinygrad_mlp as tg
from tests.autodiff.cases import CASES
from tests.redzone.drivers import back
from tests.redzone.families import DRIVERS, large
from tests.redzone.guard import Guard
from tests.redzone.hostile import bad_indices, misfits
from tests.redzone.planted import find_planted_faults
from tinygrad_mlp.kernels.launch import KERNELS
from tinygrad_mlp.testing import Arguments, OpCase

EXAMPLES = 4  # of each row of the case table


def sizes(guard: Guard, dtype: Any) -> None:
    for driver in DRIVERS:
        driver(dtype)


def cases(guard: Guard) -> None:
    """Every row of the case table, forward and backward and twice backward."""
    for case in CASES:
        run_case(case)


def run_case(case: OpCase) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs=case.inputs)
    def run(inputs: Any) -> None:
        entries = inputs if isinstance(inputs, tuple) else (inputs,)
        call = inputs if isinstance(inputs, Arguments) else Arguments(entries)
        for dtype in (np.float32, np.float64):
            forward, tensors = call.bind(case.op, dtype)
            back(*forward())
            leaves = [tensor for tensor in tensors if tensor.requires_grad]
            if case.differentiable and case.second:
                outputs = [output.sum() for output in forward() if output.requires_grad]
                slopes = tg.grad(outputs, leaves, create_graph=True, allow_unused=True) if outputs else ()
                back(sum([slope.sum() for slope in slopes if slope is not None], tg.zeros((), dtype=np.dtype(dtype))))

    run()


def hostile(guard: Guard) -> None:
    bad_indices()
    misfits()


PARTS: dict[str, Any] = {
    "large": lambda guard: large(np.float32),
    "float32": lambda guard: sizes(guard, np.float32),
    "float64": lambda guard: sizes(guard, np.float64),
    "cases": cases,
    "hostile": hostile,
    "planted": find_planted_faults,
}


def main() -> None:
    part, note = sys.argv[1:]
    faulthandler.enable()
    guard = Guard(os.open(note, os.O_RDWR | os.O_CREAT))
    guard.install()
    PARTS[part](guard)
    compiled = [kernel for kernel in KERNELS.values() if kernel.compiled]
    found = {
        "launches": guard.launches,
        "kernels": [kernel.name for kernel in compiled],
        "parallel": [kernel.name for kernel in compiled if kernel.parallel],
        "threaded": sorted(guard.threaded),
        "seen": {
            name: {place: sorted(sizes) for place, sizes in places.items()} for name, places in guard.seen.items()
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
