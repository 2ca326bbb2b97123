"""What is measured of training steps: a row for each workload, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.rounds import Rounds
from benchmarks.statistics import Interval, bootstrap
from benchmarks.workloads import LOSS_TOLERANCE, Workload

__all__ = ["CONTENDERS", "Entry", "Row", "Run"]


class Entry(NamedTuple):
    """A contender: the module that trains, whether it runs in this Python or in that of the peers, and what it does."""

    title: str
    module: str
    ours: bool = False
    convolutions: bool = True

    def does(self, workload: Workload) -> bool:
        """Whether it has the layers."""
        return self.convolutions or not workload.is_convolutional


CONTENDERS: dict[str, Entry] = {
    "ours": Entry("tinygrad_mlp", "benchmarks.contenders.ours_each", ours=True),
    "ours-calls": Entry("tinygrad_mlp, by calls", "benchmarks.contenders.ours_captured", ours=True),
    "ours-unfused": Entry("tinygrad_mlp, nothing fused", "benchmarks.contenders.ours_unfused", ours=True),
    "ours-eager": Entry("tinygrad_mlp, eager", "benchmarks.contenders.ours_eager", ours=True),
    "numpy": Entry("NumPy by hand", "benchmarks.contenders.numpy_by_hand", convolutions=False),
    "torch": Entry("PyTorch default", "benchmarks.contenders.pytorch_default"),
    "torch-best": Entry("PyTorch best", "benchmarks.contenders.pytorch_best"),
    "torch-compile": Entry("torch.compile", "benchmarks.contenders.pytorch_compile"),
    "jax": Entry("jax.jit + optax", "benchmarks.contenders.jax_jit"),
    # XLA's convolutions take 40 times as long within a loop on a CPU.
    "jax-loop": Entry("jax loop + optax", "benchmarks.contenders.jax_loop", convolutions=False),
}


class Run(NamedTuple):
    """A contender with a number of threads."""

    contender: str
    threads: int

    @property
    def name(self) -> str:
        """By which `rounds` knows it."""
        return f"{self.contender}@{self.threads}"

    @property
    def title(self) -> str:
        """By which readers know it."""
        return f"{CONTENDERS[self.contender].title}, {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass
class Row:
    """One workload, measured."""

    workload: Workload
    loss_errors: dict[Run, float] = field(default_factory=dict)
    """How far each one's losses were from the reference's."""
    missing: dict[str, str] = field(default_factory=dict)
    """The package that a contender lacks."""
    failed: dict[Run, str] = field(default_factory=dict)
    """What a contender died of."""
    holds: dict[str, str] = field(default_factory=dict)
    """How each holds the images."""
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    rounds: Rounds | None = None
    runs: list[Run] = field(default_factory=list)
    """Those that were timed."""

    @property
    def refused(self) -> list[Run]:
        """Those that compute something else."""
        return [run for run, error in self.loss_errors.items() if not error <= LOSS_TOLERANCE]

    def of(self, contender: str) -> list[Run]:
        """What was timed of a contender, by number of threads."""
        return sorted(run for run in self.runs if run.contender == contender)

    def seconds(self, run: Run) -> float:
        """The median of a step."""
        assert self.rounds is not None
        return self.rounds.median(run.name)

    def spread(self) -> float:
        """The largest spread of a contender."""
        return max((self.rounds.spread(run.name) for run in self.runs), default=0.0) if self.rounds else 0.0

    def fastest_peer(self) -> Run | None:
        """Over all peers and numbers of threads."""
        peers = [run for run in self.runs if not CONTENDERS[run.contender].ours]
        return min(peers, key=self.seconds, default=None)

    def speedups(self, peer: Run, ours: str = "ours") -> list[float] | None:
        """How many times as fast as a peer, round by round, with as many threads as may be."""
        mine = self.of(ours)
        return self.rounds.ratios(peer.name, mine[-1].name) if self.rounds and mine else None

    def against_fastest(self) -> Interval | None:
        """How many times as fast as the fastest peer."""
        peer = self.fastest_peer()
        ratios = self.speedups(peer) if peer else None
        return bootstrap(ratios) if ratios else None

    def default_speedups(self) -> list[float] | None:
        """How many times as fast as PyTorch with its defaults, which are as many threads as may be; round by round."""
        runs = self.of("torch")
        return self.speedups(runs[-1]) if runs else None

    def against_default(self) -> Interval | None:
        """How many times as fast as PyTorch with its defaults."""
        ratios = self.default_speedups()
        return bootstrap(ratios) if ratios else None

    def largest_error(self) -> float:
        """Of the losses of those that were timed."""
        return max((self.loss_errors[run] for run in self.runs), default=0.0)

    def thread_ratio(self) -> Interval | None:
        """Our time with the most threads by that with the fewest."""
        runs = self.of("ours")
        if self.rounds is None or len(runs) < 2:
            return None
        return bootstrap(self.rounds.ratios(runs[-1].name, runs[0].name))
