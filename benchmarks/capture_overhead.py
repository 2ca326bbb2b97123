"""What a captured step costs beyond its kernels: the step as it is called, beside its kernels in one compiled function.

    python -m benchmarks.capture_overhead --workload W1

Both run in turns in one process, on the same memory; figures are medians over blocks. What lies between is Python's:
arguments copied in, guards, the optimizer's options, results copied out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console

from benchmarks.contenders.common import read_handout, write_handout
from benchmarks.contenders.ours_captured import CapturedStep
from benchmarks.machine import usable_cpus
from benchmarks.training_steps import Images
from benchmarks.workloads import WORKLOADS
from tinygrad_mlp.kernels.native import NativeCalls, is_native

__all__ = ["overhead"]

_STEPS = 200  # of a block


def overhead(workload: str, threads: int, blocks: int) -> tuple[float, float]:
    """Seconds of a captured step, and of its kernels alone."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        write_handout(Path(folder), workload, Images.load().handout(WORKLOADS[workload], 0))
        training = CapturedStep(WORKLOADS[workload], read_handout(Path(folder), workload), threads)
    training.build()
    numbers = np.random.default_rng(0)
    batches = [numbers.integers(0, len(training.train), training.batch) for _ in range(_STEPS)]
    for indices in batches:
        training.step(indices)
    program = training.captured.recordings[0].program
    kernels = NativeCalls([launch for launch in program.launches if is_native(launch)], program.status)
    steps: list[float] = []
    alone: list[float] = []
    for _ in range(blocks):
        steps.append(_timed(lambda: [training.step(indices) for indices in batches]))
        alone.append(_timed(lambda: [kernels.run() for _ in batches]))
    return median(steps), median(alone)


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) / _STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=[name for name, one in WORKLOADS.items() if not one.is_convolutional])
    parser.add_argument("--threads", type=int, choices=range(1, usable_cpus() + 1), default=1)
    parser.add_argument("--blocks", type=int, default=25)
    parser.set_defaults(workload="W1")
    arguments = parser.parse_args()
    step, alone = overhead(arguments.workload, arguments.threads, arguments.blocks)
    Console().print(
        f"{arguments.workload}, {arguments.threads} thread(s): captured step {step * 1e6:.1f} us, its kernels in one "
        f"function {alone * 1e6:.1f} us, between them {(step - alone) * 1e6:.1f} us"
    )


if __name__ == "__main__":
    main()
