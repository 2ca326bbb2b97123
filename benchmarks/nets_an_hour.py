"""How many small nets a machine trains in an hour: one process a core, one thread each, all side by side.

    python -m benchmarks.nets_an_hour --peers-python /opt/other/bin/python

A search over seeds and settings trains hundreds of nets, and nobody waits for one of them; so the cores are best used
by as many processes. Here each process trains W1 (784-50-50-10, batch 64) for one epoch of 48,000 images, while its
siblings do the same; the epoch is as long as the slowest of them took. A net is taken to be 110 such epochs, without
validation: nets an hour = processes × 3600 s / (110 × seconds of an epoch).

Every contender gets as many processes as there are cores, and rounds are interleaved: one contender's processes work at
a time, the others sleep.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.contenders.common import write_handout
from benchmarks.machine import usable_cpus
from benchmarks.processes import MissingError, Worker, Workers
from benchmarks.rounds import Block, Rounds
from benchmarks.rounds import measure as measure_rounds
from benchmarks.settings import Settings
from benchmarks.statistics import bootstrap, interval_name
from benchmarks.step_results import CONTENDERS
from benchmarks.training_steps import Images
from benchmarks.workloads import IMAGES, WORKLOADS

__all__ = ["EPOCHS", "NetsAnHour", "measure", "nets_an_hour"]

WORKLOAD = "W1"
EPOCHS = 110
OURS = "ours"
CONTESTED_BY = (OURS, "torch", "torch-best")
"""Names in `step_results.CONTENDERS`."""
_STEPS = IMAGES // WORKLOADS[WORKLOAD].batch  # of an epoch


def nets_an_hour(processes: int, seconds_of_step: float) -> float:
    """From the seconds that a step takes in each of the processes."""
    return processes * 3600 / (EPOCHS * _STEPS * seconds_of_step)


@dataclass(frozen=True)
class NetsAnHour:
    """What the contenders reached; `rounds` has, round by round, the seconds of a step in the slowest process."""

    rounds: Rounds
    processes: int
    missing: Mapping[str, str]

    def nets(self, contender: str) -> float:
        """Nets an hour, from the median."""
        return nets_an_hour(self.processes, self.rounds.median(contender))

    def table(self) -> Table:
        table = Table(
            title=f"Nets an hour: {self.processes} at once, one process a core, one thread each\n"
            f"({WORKLOADS[WORKLOAD].title}; {EPOCHS} epochs of {IMAGES:,} images each)"
        )
        headings = (
            "contender",
            "nets an hour",
            "seconds of an epoch",
            f"{CONTENDERS[OURS].title} is … times as fast\n({interval_name(self.rounds.count)})",
        )
        for heading in headings:
            table.add_column(heading, justify="left" if heading == "contender" else "right")
        for name in self.rounds.blocks:
            epoch = f"{_STEPS * self.rounds.median(name):.2f} ± {100 * self.rounds.spread(name):.0f} %"
            ratio = "" if name == OURS else str(bootstrap(self.rounds.ratios(name, OURS)))
            table.add_row(CONTENDERS[name].title, f"{self.nets(name):,.0f}", epoch, ratio)
        for name, package in self.missing.items():
            table.add_row(CONTENDERS[name].title, "–", f"no {package}", "")
        return table

    def as_json(self) -> dict[str, Any]:
        ratios = {name: bootstrap(self.rounds.ratios(name, OURS)) for name in self.rounds.blocks if name != OURS}
        return {
            "workload": WORKLOAD,
            "processes": self.processes,
            "epochs_of_a_net": EPOCHS,
            "steps_of_an_epoch": _STEPS,
            "nets_an_hour": {name: self.nets(name) for name in self.rounds.blocks},
            "speedups": {
                name: {"ratio": ratio.value, "interval": [ratio.low, ratio.high], "rounds": ratio.rounds}
                for name, ratio in ratios.items()
            },
            "rounds": self.rounds.as_json(),
            "missing": dict(self.missing),
        }


def combine(blocks: Sequence[Block]) -> Block:
    """The blocks of processes that worked side by side as one: as long as the longest of them.

    What each calls foreign is what all CPUs did but for its own share, so it counts its siblings. As n processes keep n
    CPUs busy, their shares and the true foreigners add up to n, and the n numbers to n·n − n plus the true foreigners.
    """
    count = len(blocks)
    slowest = max(blocks, key=lambda block: block.seconds)
    steals = [block.steal for block in blocks if block.steal is not None]
    foreigns = [block.foreign for block in blocks if block.foreign is not None]
    foreign = max(0.0, sum(foreigns) - count * (count - 1)) if len(foreigns) == count else None
    return Block(slowest.seconds, slowest.units, foreign, max(steals) if steals else None)


def _together(workers: Sequence[Worker], steps: int) -> Block:
    """Let every process train so many steps, all at the same time."""
    for worker in workers:
        worker.send("timed", count=steps)
    return combine([Block(**worker.receive()) for worker in workers])


def _enter(
    workers: Workers, settings: Settings, processes: int, folder: Path
) -> tuple[dict[str, list[Worker]], dict[str, str]]:
    """As many processes for each contender, ready to train; also: which are missing, and what they lack."""
    teams: dict[str, list[Worker]] = {}
    missing: dict[str, str] = {}
    for name in CONTESTED_BY:
        entry = CONTENDERS[name]
        python = sys.executable if entry.ours else settings.peers_python
        team = [
            workers.start(f"{entry.title}, process {place}", entry.module, python=python, threads=1)
            for place in range(1, processes + 1)
        ]
        for worker in team:
            worker.send("prepare", workload=WORKLOAD, folder=str(folder), threads=1)
        try:
            for worker in team:
                worker.receive()
        except MissingError as error:
            missing[name] = error.package
            for worker in team:
                workers.stop(worker)
        else:
            teams[name] = team
    return teams, missing


def measure(settings: Settings) -> NetsAnHour:
    """Train side by side, contender after contender, round by round."""
    processes = usable_cpus()
    steps, rounds = (20, 2) if settings.quick else (_STEPS, settings.rounds)
    with tempfile.TemporaryDirectory(prefix="nets-") as folder, Workers() as workers:
        handout = Images.load().handout(WORKLOADS[WORKLOAD], settings.seed)
        write_handout(Path(folder), WORKLOAD, handout)
        teams, missing = _enter(workers, settings, processes, Path(folder))
        for team in teams.values():
            _together(team, min(steps, 100))
        timers = {name: partial(_together, team, steps) for name, team in teams.items()}
        measured = measure_rounds(timers, rounds, seed=settings.seed, foreign_limit=settings.foreign_limit * processes)
        return NetsAnHour(measured, processes, missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers-python", default=Settings().peers_python)
    arguments = parser.parse_args()
    Console().print(measure(Settings(quick=arguments.quick, peers_python=arguments.peers_python)).table())


if __name__ == "__main__":
    main()
