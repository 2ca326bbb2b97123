"""The kernels one by one: every product of the nets' training steps, elementwise functions, optimizers and the like.

    python -m benchmarks.kernel_table --peers-python /opt/other/bin/python

Ours stand beside PyTorch's and NumPy's, and beside the limits that `peak` measures. All get the same numbers, and must
compute the same results, before they are timed. How: see `kernel_calls.sweep`; a figure is the median of blocks that
were interleaved with those of the other contenders.

- Products: our kernel, `torch.mm(out=)` and `np.matmul(out=)`, in GFLOP/s, on operands that lie in memory as those of
  our linear layer do (weights as (in, out)): NN is the forward product, TN the weight gradient, NT the input gradient.
- Convolutions, their gradients, norms and pools, as users write them, beside PyTorch in both of its memory formats
  (`python benchmarks/speed.py --only conv` measures these alone): in GFLOP/s of the direct method, or in GB/s.
- All else as users write it, in GB/s of the arrays that the call must at least read and write. Operands stay in the
  cache from call to call, but for the images of which batches are drawn.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table

from benchmarks import peak
from benchmarks.kernel_calls import image_cases
from benchmarks.kernel_calls.case import Case
from benchmarks.kernel_calls.cases import CASES
from benchmarks.processes import MissingError, Worker, Workers
from benchmarks.rounds import Block
from benchmarks.rounds import measure as measure_rounds
from benchmarks.settings import Settings
from benchmarks.statistics import bootstrap, median

__all__ = ["CONTENDERS", "KernelTable", "Timing", "is_of_images", "measure"]

OURS = "tinygrad_mlp"
# Names of contenders, their modules, and whether they live in the peers' Python.
CONTENDERS = {
    OURS: ("benchmarks.kernel_calls.by_ours", False),
    "PyTorch": ("benchmarks.kernel_calls.by_torch", True),
    "channels_last": ("benchmarks.kernel_calls.by_torch_channels_last", True),
    "NumPy": ("benchmarks.kernel_calls.by_numpy", True),
}
_TOLERANCE = 2e-5  # of the sum of sizes, between sums of float32 results


# Of each table: its title, the contenders and how its columns call them, and with which PyTorch we compare ourselves.
_PLAIN = (
    "Kernels: GFLOP/s of products, GB/s of all else\n× : how many times as fast as PyTorch; % : of the machine's limit",
    {OURS: "ours", "PyTorch": "torch", "NumPy": "NumPy"},
    "PyTorch",
)
_OF_IMAGES = (
    "Kernels on images: GFLOP/s of convolutions (as by the direct method), GB/s of pools and norms\n"
    "× : how many times as fast as PyTorch in channels_last; % : of the machine's limit",
    {OURS: "ours", "PyTorch": "NCHW", "channels_last": "ch_last"},
    "channels_last",
)


def is_of_images(case: Case) -> bool:
    """Whether it is a convolution, a pool or a norm of images."""
    return case.group in image_cases.GROUPS


class DifferentResultsError(Exception):
    """Two contenders do not compute the same."""


@dataclass(frozen=True)
class Sweep(Block):
    """A block of one call after another; `cases` has the seconds of one call of each."""

    cases: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Timing:
    """One call of one contender on some threads: seconds, round by round."""

    case: Case
    contender: str
    threads: int
    seconds: tuple[float, ...]

    @property
    def rate(self) -> float:
        """GFLOP/s or GB/s, from the median."""
        return self.case.work / median(self.seconds) / 1e9

    def as_json(self) -> dict[str, Any]:
        return {
            "case": self.case.name,
            "nets": self.case.nets,
            "contender": self.contender,
            "threads": self.threads,
            "unit": self.case.unit,
            "rate": self.rate,
            "best_rate": self.case.work / min(self.seconds) / 1e9,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class KernelTable:
    """All timings, the limits, and which peers were not there."""

    timings: tuple[Timing, ...]
    peaks: peak.Peaks
    missing: Mapping[str, str]

    def find(self, case: str, contender: str, threads: int) -> Timing | None:
        """The timing of a call, if this contender has it."""
        wanted = (case, contender, threads)
        return next((t for t in self.timings if (t.case.name, t.contender, t.threads) == wanted), None)

    def limit(self, case: Case, threads: int) -> float:
        """What the machine can do, in the case's unit: multiply-adds, or the triad in the cache that holds it all."""
        if case.unit == "GFLOP/s":
            return self.peaks.flops(threads)
        return self.peaks.bandwidth(self.peaks.place_of(case.reach / threads), threads)

    def ratios(self, case: str, threads: int) -> dict[str, list[float]]:
        """For each peer how many times its time is ours, round by round."""
        ours = self.find(case, OURS, threads)
        found: dict[str, list[float]] = {}
        for peer in CONTENDERS:
            theirs = self.find(case, peer, threads)
            if peer != OURS and ours is not None and theirs is not None:
                found[peer] = [a / b for a, b in zip(theirs.seconds, ours.seconds, strict=True)]
        return found

    def table(self) -> Group:
        names = dict.fromkeys(timing.case.name for timing in self.timings)
        plain = [CASES[name] for name in names if not is_of_images(CASES[name])]
        of_images = [CASES[name] for name in names if is_of_images(CASES[name])]
        tables = [self._table(cases, *layout) for cases, layout in ((plain, _PLAIN), (of_images, _OF_IMAGES)) if cases]
        return Group(*tables, *self._lines())

    def _table(self, cases: Sequence[Case], title: str, headings: Mapping[str, str], rival: str) -> Table:
        """Rows for these cases; `headings` has the columns of contenders, of which `rival` is compared with us."""
        threads = sorted({timing.threads for timing in self.timings})
        table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
        table.add_column("call", no_wrap=True)
        table.add_column("nets")
        for count in threads:
            for name in (*headings.values(), "×", "%"):
                above = f"{count} thread{'s' if count > 1 else ''}" if name == "ours" else ""
                table.add_column(f"{above}\n{name}", justify="right", no_wrap=True)
        for above, case in zip([None, *cases], cases, strict=False):
            if above is not None and above.group != case.group:
                table.add_section()
            cells = [cell for count in threads for cell in self._cells(case, count, list(headings), rival)]
            table.add_row(case.name, case.nets, *cells)
        return table

    def _cells(self, case: Case, threads: int, contenders: Sequence[str], rival: str) -> list[str]:
        found = [self.find(case.name, contender, threads) for contender in contenders]
        rates = ["–" if timing is None else f"{timing.rate:.3g}" for timing in found]
        ratios = self.ratios(case.name, threads).get(rival)
        ours = found[0]
        share = "–" if ours is None else f"{100 * ours.rate / self.limit(case, threads):.0f}"
        return [*rates, f"{median(ratios):.2f}" if ratios else "–", share]

    def _lines(self) -> list[str]:
        if not self.missing:
            return []
        return ["Not measured: " + ", ".join(f"{name} (no {package})" for name, package in self.missing.items())]

    def as_json(self) -> dict[str, Any]:
        speedups: list[dict[str, Any]] = []
        for case, threads in dict.fromkeys((t.case.name, t.threads) for t in self.timings):
            for peer, ratios in self.ratios(case, threads).items():
                found = bootstrap(ratios)
                speedups.append(
                    {
                        "case": case,
                        "threads": threads,
                        "peer": peer,
                        "ratio": found.value,
                        "interval": [found.low, found.high],
                        "rounds": found.rounds,
                    }
                )
        return {
            "timings": [timing.as_json() for timing in self.timings],
            "speedups": speedups,
            "peaks": self.peaks.as_json(),
            "missing": dict(self.missing),
        }


# Measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entrant:
    """A contender on some threads, its process, and what it computed in each call that it has."""

    contender: str
    threads: int
    worker: Worker
    results: Mapping[str, Sequence[Sequence[float]]]

    def sweep(self, counts: Mapping[str, int]) -> Sweep:
        return Sweep(**self.worker.call("sweep", counts=counts))


def _enter(workers: Workers, settings: Settings, names: Sequence[str]) -> tuple[list[_Entrant], dict[str, str]]:
    """A process for each contender and number of threads; also: which are missing, and what they lack."""
    started: list[tuple[str, int, Worker]] = []
    for threads in settings.threads:
        for contender, (module, is_peer) in CONTENDERS.items():
            python = settings.peers_python if is_peer else sys.executable
            worker = workers.start(f"{contender}, {threads} threads", module, python=python, threads=threads)
            worker.send("prepare", names=names)  # all at once: this takes seconds
            started.append((contender, threads, worker))
    entrants: list[_Entrant] = []
    missing: dict[str, str] = {}
    for contender, threads, worker in started:
        try:
            entrants.append(_Entrant(contender, threads, worker, worker.receive()))
        except MissingError as error:
            missing[contender] = error.package
            workers.stop(worker)
    return entrants, missing


def check_alike(entrants: Iterable[_Entrant]) -> None:
    """Raise `DifferentResultsError` unless all computed the same in every call, as far as float32 sums tell."""
    first: dict[str, tuple[str, Sequence[Sequence[float]]]] = {}
    for entrant in entrants:
        for name, prints in entrant.results.items():
            expected_by, expected = first.setdefault(name, (entrant.worker.name, prints))
            for theirs, given in zip(expected, prints, strict=True):
                limit = _TOLERANCE * theirs[-1]
                if not all(abs(a - b) <= limit for a, b in zip(theirs, given, strict=True)):
                    raise DifferentResultsError(
                        f"{name}: sums of the results are {given} by {entrant.worker.name}, {theirs} by {expected_by}"
                    )


def measure(
    settings: Settings, limits: peak.Peaks | None = None, select: Callable[[Case], bool] = lambda _case: True
) -> KernelTable:
    """Time every selected case by every contender that is there; `limits` saves measuring them again.

    Raises `DifferentResultsError` if two contenders do not compute the same.
    """
    limits = limits or peak.measure(settings)
    names = [name for name, case in CASES.items() if select(case)]
    block, rounds = (0.0005, 2) if settings.quick else (0.004, 25)
    seconds: dict[tuple[str, str, int], tuple[float, ...]] = {}
    with Workers() as workers:
        entrants, missing = _enter(workers, settings, names)
        check_alike(entrants)
        timers: dict[str, Callable[[], Block]] = {}
        members: dict[str, tuple[_Entrant, list[str]]] = {}
        for group in dict.fromkeys(CASES[name].group for name in names):
            for entrant in entrants:
                some = [name for name in names if CASES[name].group == group and name in entrant.results]
                if some:
                    key = f"{group}: {entrant.worker.name}"
                    members[key] = (entrant, some)
                    timers[key] = partial(entrant.sweep, entrant.worker.call("count", names=some, seconds=block))
        measured = measure_rounds(timers, rounds, seed=settings.seed, foreign_limit=settings.foreign_limit)
    for key, (entrant, some) in members.items():
        sweeps = [sweep.cases for sweep in measured.blocks[key] if isinstance(sweep, Sweep)]
        for name in some:
            seconds[name, entrant.contender, entrant.threads] = tuple(cases[name] for cases in sweeps)
    timings = [
        Timing(CASES[name], contender, threads, seconds[name, contender, threads])
        for name in names
        for threads in settings.threads
        for contender in CONTENDERS
        if (name, contender, threads) in seconds
    ]
    return KernelTable(tuple(timings), limits, missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers-python", default=Settings().peers_python)
    parser.add_argument("--only", default="", help="cases whose group or name contains this")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = Settings(quick=arguments.quick, peers_python=arguments.peers_python)
    result = measure(settings, select=lambda case: arguments.only in f"{case.group} {case.name}")
    Console(width=150).print(result.table())
    if arguments.json:
        arguments.json.write_text(json.dumps(result.as_json(), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
