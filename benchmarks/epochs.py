"""Seconds of an epoch of a small net: our Trainer beside its bare steps, and PyTorch with and without a DataLoader.

    python -m benchmarks.epochs --peers-python /opt/other/bin/python

The net is a published course report's, 784-50-50-10 (W1), batch 64, 48,000 images of Fashion-MNIST. Every epoch has an
order of its own, and adds up mean loss and accuracy, as users do. A block is five epochs, with all that is needed to
begin: our Trainer records its step anew in each block.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.all_cpus import AllCpus
from benchmarks.calm import Calm
from benchmarks.contenders.common import write_handout
from benchmarks.machine import usable_cpus
from benchmarks.processes import MissingError, Workers
from benchmarks.rounds import Rounds, timed
from benchmarks.rounds import measure as measure_rounds
from benchmarks.settings import Settings
from benchmarks.statistics import bootstrap, interval_name
from benchmarks.training_steps import Images
from benchmarks.workloads import IMAGES, WORKLOADS

__all__ = ["CONTENDERS", "Epochs", "measure"]

WORKLOAD = "W1"
OURS = "tinygrad_mlp"
BARE = "its captured steps alone"
CONTENDERS = {
    OURS: "benchmarks.contenders.epochs_ours",
    BARE: "benchmarks.contenders.epochs_bare",
    "PyTorch, DataLoader": "benchmarks.contenders.epochs_pytorch",
    "PyTorch, tensors in memory": "benchmarks.contenders.epochs_pytorch_preloaded",
    "PyTorch best, tensors in memory": "benchmarks.contenders.epochs_pytorch_best",
}
_BLOCK = 5  # epochs


@dataclass(frozen=True)
class Epochs:
    """What was measured; `missing` are contenders that lack a package."""

    rounds: Rounds
    threads: int
    missing: dict[str, str]

    def table(self) -> Table:
        """A row for each contender."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        title = f"Seconds of an epoch of {IMAGES:,} images, {threads}\n{WORKLOADS[WORKLOAD].title}"
        table = Table(title=title)
        interval = interval_name(self.rounds.count)
        for heading in ("contender", "seconds", f"{OURS} is … times as fast\n({interval})"):
            table.add_column(heading, justify="left" if heading == "contender" else "right")
        for name in self.rounds.blocks:
            seconds = f"{self.rounds.median(name):.3f} ± {100 * self.rounds.spread(name):.0f} %"
            ratio = "" if name == OURS else str(bootstrap(self.rounds.ratios(name, OURS)))
            table.add_row(name, seconds, ratio)
        for name, package in self.missing.items():
            table.add_row(name, "–", f"no {package}")
        return table


def measure(settings: Settings, threads: int) -> Epochs:
    """Train in turns, block by block."""
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="epochs-") as folder, Workers() as workers:
        write_handout(Path(folder), WORKLOAD, Images.load().handout(WORKLOADS[WORKLOAD], settings.seed))
        timers = {}
        for name, module in CONTENDERS.items():
            python = sys.executable if name in (OURS, BARE) else settings.peers_python
            worker = workers.start(name, module, python=python, threads=threads)
            try:
                worker.call("prepare", workload=WORKLOAD, folder=folder, threads=threads)
            except MissingError as error:
                missing[name] = error.package
                workers.stop(worker)
                continue
            timed(worker, 1)  # compiles
            timers[name] = partial(timed, worker, 1 if settings.quick else _BLOCK)
        cpus = AllCpus()
        rounds = measure_rounds(
            timers,
            2 if settings.quick else settings.rounds,
            seed=settings.seed,
            foreign_limit=settings.foreign_limit,
            calm=Calm(settings.patience, cpus, cpus.alone),
        )
        return Epochs(rounds, threads, missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=Settings().rounds)
    parser.add_argument("--threads", type=int, choices=range(1, usable_cpus() + 1), default=usable_cpus())
    parser.add_argument("--peers-python", default=Settings().peers_python)
    arguments = parser.parse_args()
    settings = Settings(quick=arguments.quick, peers_python=arguments.peers_python, rounds=arguments.rounds)
    Console().print(measure(settings, arguments.threads).table())


if __name__ == "__main__":
    main()
