"""A captured step beside its kernels alone."""

from __future__ import annotations

from benchmarks import capture_overhead


def test_a_step_and_its_kernels_alone_are_measured(few_images) -> None:
    step, alone = capture_overhead.overhead("W1", threads=1, blocks=1)
    assert 0 < step < 1 and 0 < alone < 1
