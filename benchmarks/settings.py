"""What a run of the benchmarks is told: threads, how long, and where the peers live."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from benchmarks.machine import usable_cpus

__all__ = ["Settings"]


def _thread_counts() -> tuple[int, ...]:
    """One thread, and two where there are as many cores: small nets do not pay for more."""
    return (1,) if usable_cpus() == 1 else (1, 2)


@dataclass(frozen=True)
class Settings:
    """One run."""

    quick: bool = False
    """Few and short blocks, to see that everything works."""
    threads: tuple[int, ...] = field(default_factory=_thread_counts)
    """The numbers of threads to measure with, rising."""
    peers_python: str = sys.executable
    """The interpreter that the peers (NumPy, PyTorch, jax) are installed for."""
    contenders: tuple[str, ...] | None = None
    """Which contenders of `training_steps` take part; None: all."""
    workloads: tuple[str, ...] | None = None
    """Which rows of `training_steps` are measured; None: all."""
    rounds: int = 15
    """Blocks of each contender."""
    block_seconds: float = 0.2
    """How long one of them takes."""
    slice_seconds: float = 0.01
    """And one of the slices of which it is the median."""
    foreign_limit: float = 0.15
    """A block is repeated if others took more CPUs than this meanwhile."""
    patience: float = 40.0
    """For so many seconds, for each row, blocks wait until no CPU is slowed down from outside."""
    seed: int = 0
    """Of weights, of the images drawn and of the order of contenders."""
