"""The training steps as tables for the screen, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group
from rich.table import Table

from benchmarks.settings import Settings
from benchmarks.statistics import Interval, geometric_mean_of_medians, interval_name
from benchmarks.step_results import CONTENDERS, Row, Run
from benchmarks.workloads import LOSS_TOLERANCE

__all__ = ["TrainingSteps"]


@dataclass
class TrainingSteps:
    """All rows that were measured, on which data."""

    rows: list[Row]
    settings: Settings
    data: str
    source: str
    limits: Mapping[int, float]
    """GFLOP/s of multiply-adds that this machine has reached, by number of threads."""

    @property
    def contenders(self) -> list[str]:
        """Those that were asked for, in the order of the table."""
        return [name for name in CONTENDERS if name in (self.settings.contenders or CONTENDERS)]

    @property
    def missing(self) -> dict[str, str]:
        """The package that each missing contender lacks."""
        return {name: package for row in self.rows for name, package in row.missing.items()}

    @property
    def troubles(self) -> list[str]:
        """Contenders that were refused or failed: a run with such is no success."""
        told: list[str] = []
        for row in self.rows:
            told += [
                f"{row.workload.name}: {run.title} computes something else: its losses differ from the reference's by "
                f"up to {row.loss_errors[run]:.1e} of them, {LOSS_TOLERANCE:.0e} is allowed. It was not timed."
                for run in row.refused
            ]
            told += [f"{row.workload.name}: {run.title} failed: {what}" for run, what in row.failed.items()]
        return told

    def geometric_mean(self) -> Interval | None:
        """Over rows, how many times as fast as PyTorch with its defaults."""
        groups = [ratios for row in self.rows if (ratios := row.default_speedups())]
        return geometric_mean_of_medians(groups) if groups else None

    def table(self) -> Group:
        """For the screen."""
        return Group(self._times(), self._ratios(), *self._lines())

    def _times(self) -> Table:
        threads = " / ".join(map(str, self.settings.threads))
        table = self._empty_table(f"One training step: microseconds on {threads} threads; {self.data}")
        for name in self.contenders:
            table.add_row(CONTENDERS[name].title, *(self._cell(row, name) for row in self.rows))
        return table

    def _empty_table(self, title: str) -> Table:
        table = Table(title=title)
        table.add_column("")
        for row in self.rows:
            table.add_column(row.workload.name, justify="right")
        return table

    def _cell(self, row: Row, name: str) -> str:
        if not CONTENDERS[name].does(row.workload):
            return "–"
        if name in row.missing:
            return "missing"
        cells: list[str] = []
        for threads in self.settings.threads:
            run = Run(name, threads)
            if run in row.runs:
                cells.append(f"{row.seconds(run) * 1e6:,.0f}")
            else:
                cells.append("REFUSED" if run in row.refused else "FAILED")
        return " / ".join(cells)

    def _ratios(self) -> Table:
        interval = interval_name(min((row.rounds.count for row in self.rows if row.rounds), default=0))
        table = self._empty_table(f"How many times as fast tinygrad_mlp is: median over rounds, {interval}")
        most, least = self.settings.threads[-1], self.settings.threads[0]
        peers = [row.fastest_peer() for row in self.rows]
        cells: dict[str, list[str]] = {
            "fastest peer": [peer.title.replace(", ", "\n") if peer else "none" for peer in peers],
            "as the fastest peer": [_text(row.against_fastest()) for row in self.rows],
            "wanted": [f"{row.workload.target:.1f}" if row.workload.target else "" for row in self.rows],
            "as PyTorch default": [_text(row.against_default()) for row in self.rows],
            "least time of its multiply-adds": [f"{1e6 * self.least_seconds(row, most):,.0f} us" for row in self.rows],
            "as a part of our time": [self._share(row) for row in self.rows],
            f"our time, {most} by {least} threads": [_text(row.thread_ratio()) for row in self.rows],
            "largest spread": [f"±{100 * row.spread():.1f} %" for row in self.rows],
            "blocks repeated": [
                f"{row.rounds.repeated} of {row.rounds.total}" if row.rounds else "" for row in self.rows
            ],
        }
        for name, row_cells in cells.items():
            if any(row_cells):
                table.add_row(name, *row_cells)
        return table

    def least_seconds(self, row: Row, threads: int) -> float:
        """What a step's multiply-adds take at the machine's limit."""
        return 2 * row.workload.multiply_adds / self.limits[threads] / 1e9

    def _share(self, row: Row) -> str:
        ours = row.of("ours")
        return f"{100 * self.least_seconds(row, ours[-1].threads) / row.seconds(ours[-1]):.0f} %" if ours else ""

    def _lines(self) -> list[str]:
        lines = [f"{row.workload.name}: {row.workload.title}" for row in self.rows]
        if mean := self.geometric_mean():
            lines.append(
                f"Geometric mean of all rows: {mean} times as fast as PyTorch default ({interval_name(mean.rounds)})."
            )
        reached = " / ".join(f"{self.limits[threads]:.0f}" for threads in self.settings.threads)
        lines.append(
            f"Multiply-adds in registers reach {reached} GFLOP/s here; those of convolutions are counted as of the "
            "direct sum, of which Winograd's transform needs fewer than half."
        )
        if any(row.rounds for row in self.rows):
            lines.append(
                f"A figure is the median of {self.settings.rounds} blocks of {self.settings.block_seconds:g} s, each "
                f"the median of slices of {self.settings.slice_seconds:g} s; means are in the JSON file."
            )
        if nets := {row.workload.name for row in self.rows if row.workload.is_convolutional}:
            lacking = [CONTENDERS[name].title for name in self.contenders if not CONTENDERS[name].convolutions]
            lines += [f"{title} is left out of nets with convolutions: {', '.join(sorted(nets))}." for title in lacking]
        steps = " or ".join(map(str, sorted({row.workload.check_steps for row in self.rows}, reverse=True)))
        lines.append(
            f"Before, all trained {steps} steps from the same weights on the same batches; losses agreed with "
            f"float64 within {max((row.largest_error() for row in self.rows), default=0):.0e} ({LOSS_TOLERANCE:.0e} "
            "is allowed)."
        )
        holds = {name: how for row in self.rows for name, how in row.holds.items()}
        for how in dict.fromkeys(holds.values()):
            named = ", ".join(CONTENDERS[name].title for name in holds if holds[name] == how)
            lines.append(f"Images in memory as {how}: {named}.")
        told = [versions for row in self.rows for versions in row.versions.values()]
        found = {f"{package} {number}" for versions in told for package, number in versions.items()}
        lines.append(f"Versions of the contenders: {', '.join(sorted(found))}.")
        if self.missing:
            named = ", ".join(f"{CONTENDERS[name].title} (no {package})" for name, package in self.missing.items())
            lines.append(f"Missing: {named}. Install them here, or name their Python with --peers-python.")
        measured = [row.rounds for row in self.rows if row.rounds]
        if any(not rounds.foreign_known for rounds in measured):
            lines.append("What other processes took meanwhile is unknown on this system; no block was repeated.")
        if waited := sum(rounds.waited for rounds in measured):
            late = sum(rounds.began_slow for rounds in measured)
            lines.append(
                f"Blocks waited {waited:.0f} s in all for CPUs that were slowed down from outside; {late} of "
                f"{sum(rounds.total for rounds in measured)} began all the same."
            )
        if kept := sum(rounds.kept_disturbed for rounds in measured):
            lines.append(f"{kept} blocks stand although others took more than {self.settings.foreign_limit} CPUs.")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Every number, and what the tables derive from them."""
        mean = self.geometric_mean()
        return {
            "data": {"name": self.data, "source": self.source},
            "multiply_add_gflops": {str(threads): rate for threads, rate in self.limits.items()},
            "rows": {row.workload.name: self._row_as_json(row) for row in self.rows},
            "geometric_mean_over_pytorch_default": asdict(mean) if mean else None,
            "missing": self.missing,
            "troubles": self.troubles,
        }

    def _row_as_json(self, row: Row) -> dict[str, Any]:
        peer = row.fastest_peer()
        intervals = {
            "times_as_fast_as_fastest_peer": row.against_fastest(),
            "times_as_fast_as_pytorch_default": row.against_default(),
            "time_by_threads": row.thread_ratio(),
        }
        return {
            "title": row.workload.title,
            "target": row.workload.target,
            "multiply_adds": row.workload.multiply_adds,
            "microseconds": {
                name: {str(run.threads): row.seconds(run) * 1e6 for run in row.of(name)} for name in self.contenders
            },
            "titles": {name: CONTENDERS[name].title for name in self.contenders},
            "fastest_peer": {"contender": peer.contender, "threads": peer.threads} if peer else None,
            **{name: asdict(interval) if interval else None for name, interval in intervals.items()},
            "spread": {run.name: row.rounds.spread(run.name) for run in row.runs} if row.rounds else {},
            "loss_errors": {run.name: error for run, error in row.loss_errors.items()},
            "holds": row.holds,
            "versions": row.versions,
            "rounds": row.rounds.as_json() if row.rounds else None,
        }


def _text(interval: Interval | None) -> str:
    """In two lines, which keeps columns narrow."""
    return f"{interval.value:.2f}\n{interval.low:.2f}–{interval.high:.2f}" if interval else ""
