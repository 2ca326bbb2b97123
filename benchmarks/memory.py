"""How much memory training takes: what a net, its optimizer and 20 steps add to imports and data.

    python benchmarks/memory.py                                   # W5 and W6, in about two minutes
    python benchmarks/memory.py --workloads W8 --runs 3
    python benchmarks/memory.py --peers-python ~/torch/bin/python # peers that live in another environment

Each run is a process of its own, which imports its library and loads the images into memory as it trains on them. Then
its peak of resident memory is set back to what is resident (Linux: 5 to /proc/self/clear_refs), net and optimizer are
made, and 20 steps are trained on images drawn at random. The growth is the peak (VmHWM) less what was resident (VmRSS)
before. It includes all that a library allocates late: compiled kernels loaded, scratch memory, threads. A figure is the
median of the runs; one run before them, not counted, fills the cache of compiled kernels.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: the folder of this file would hide the standard library's `statistics`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from benchmarks.contenders.common import write_handout
from benchmarks.machine import usable_cpus
from benchmarks.processes import MissingError, Workers
from benchmarks.settings import Settings
from benchmarks.statistics import median
from benchmarks.step_results import CONTENDERS
from benchmarks.training_steps import Images
from benchmarks.workloads import WORKLOADS

__all__ = ["Memory", "measure"]

OURS = "ours"
MEASURED = (OURS, "ours-eager", "torch", "torch-best")
"""Names in `step_results.CONTENDERS`."""
STEPS = 20
_MIB = 2**20


@dataclass
class Memory:
    """Bytes of growth, run by run, by workload and contender."""

    threads: int
    growth: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    data: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """What was resident before."""
    missing: dict[str, str] = field(default_factory=dict)
    """The package that a contender lacks."""

    def ratio(self, workload: str, peer: str) -> float | None:
        """Our growth by that of a peer, of the medians."""
        by_name = self.growth[workload]
        return median(by_name[OURS]) / median(by_name[peer]) if peer in by_name and OURS in by_name else None

    def table(self) -> Table:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        table = Table(title=f"Memory that net, optimizer and {STEPS} steps add at their peak, MiB ({threads})")
        for heading in ("net", "contender", "growth", "least to most", "we take … times as much", "before"):
            table.add_column(heading, justify="left" if heading in ("net", "contender") else "right")
        for workload, by_name in self.growth.items():
            table.add_section()
            for name, growths in by_name.items():
                ratio = None if name == OURS else self.ratio(workload, name)
                table.add_row(
                    workload,
                    CONTENDERS[name].title,
                    f"{median(growths) / _MIB:.1f}",
                    f"{min(growths) / _MIB:.1f}–{max(growths) / _MIB:.1f}",
                    "" if ratio is None else f"{ratio:.2f}",
                    f"{median(self.data[workload][name]) / _MIB:.0f}",
                )
        for name, package in self.missing.items():
            table.add_row("", CONTENDERS[name].title, "–", "", "", f"no {package}")
        return table

    def as_json(self) -> dict[str, Any]:
        return {
            "steps": STEPS,
            "threads": self.threads,
            "bytes_of_growth": self.growth,
            "bytes_before": self.data,
            "ratios": {
                workload: {name: self.ratio(workload, name) for name in by_name if name != OURS}
                for workload, by_name in self.growth.items()
            },
            "missing": self.missing,
        }


def measure(settings: Settings, workloads: Sequence[str] = ("W5", "W6"), runs: int = 5) -> Memory:
    """Run every contender on every workload, taking turns; with the most threads of the settings."""
    images = Images.load()
    result = Memory(max(settings.threads))
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        for workload in workloads:
            write_handout(Path(folder), workload, images.handout(WORKLOADS[workload], settings.seed))
            for run in range(runs + 1):
                for name in MEASURED:
                    if name not in result.missing:
                        _add_run(result, workload, name, folder, settings, is_counted=run > 0)
    return result


def _add_run(result: Memory, workload: str, name: str, folder: str, settings: Settings, is_counted: bool) -> None:
    entry = CONTENDERS[name]
    python = sys.executable if entry.ours else settings.peers_python
    with Workers() as workers:
        worker = workers.start(name, entry.module, python=python, threads=result.threads)
        try:
            told = worker.call("memory", workload=workload, folder=folder, threads=result.threads, steps=STEPS)
        except MissingError as error:
            result.missing[name] = error.package
            return
    if is_counted:
        for kept, key in ((result.growth, "growth"), (result.data, "data")):
            kept.setdefault(workload, {}).setdefault(name, []).append(told[key])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), metavar="NAME", default=["W5", "W6"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, choices=range(1, usable_cpus() + 1), default=max(Settings().threads))
    parser.add_argument("--peers-python", default=Settings().peers_python)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = Settings(threads=(arguments.threads,), peers_python=arguments.peers_python)
    result = measure(settings, arguments.workloads, arguments.runs)
    Console().print(result.table())
    if arguments.json:
        arguments.json.write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
