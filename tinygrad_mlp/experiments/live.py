"""How a study shows where it is: in a terminal a table of its arms, in a file or pipe a line per run."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tinygrad_mlp.experiments.runs import RunStore
from tinygrad_mlp.experiments.workers import Job, Outcome

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Live", "make_live"]


class Live:
    """Counts of runs by arm; this one shows nothing. Test scores are not shown before the report is made."""

    def __init__(self, names: Iterable[tuple[str, int]], done: Mapping[tuple[str, int], Outcome]) -> None:
        self.total: dict[str, int] = {}
        for arm, _ in names:
            self.total[arm] = self.total.get(arm, 0) + 1
        self.done: dict[str, list[Outcome]] = {arm: [] for arm in self.total}
        for (arm, _), outcome in done.items():
            self.done[arm].append(outcome)
        self.before = {arm: len(outcomes) for arm, outcomes in self.done.items()}  # finished earlier
        self.started = time.monotonic()

    @property
    def count(self) -> int:
        """Runs that are done, with those that failed."""
        return sum(map(len, self.done.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass

    def finished(self, arm: str, seed: int, outcome: Outcome) -> None:
        """Note what became of a run, and show it."""
        self.done[arm].append(outcome)
        self.show(arm, seed, outcome)

    def show(self, arm: str, seed: int, outcome: Outcome) -> None:
        """Show a run that has just ended."""

    def time_left(self) -> str:
        """From the mean seconds of an arm's finished runs, and the pace until now: `about 12 min left`."""
        made = {arm: len(outcomes) - self.before[arm] for arm, outcomes in self.done.items()}
        left = {arm: self.total[arm] - len(outcomes) for arm, outcomes in self.done.items()}
        known = [outcome.seconds for outcomes in self.done.values() for outcome in outcomes if outcome.error is None]
        if not (known and any(made.values()) and any(left.values())):
            return ""
        typical = sum(known) / len(known)
        cost = {
            arm: _mean([one.seconds for one in outcomes if one.error is None], typical)
            for arm, outcomes in self.done.items()
        }
        # How long a second of this call's runs takes, all workers together; runs that were there already say nothing.
        pace = (time.monotonic() - self.started) / max(sum(cost[arm] * made[arm] for arm in cost), 1e-9)
        seconds = pace * sum(cost[arm] * left[arm] for arm in cost)
        minutes = math.ceil(seconds / 60)
        return f"about {minutes // 60} h {minutes % 60} min left" if minutes >= 60 else f"about {minutes} min left"


class Lines(Live):
    """A line per finished run."""

    def show(self, arm: str, seed: int, outcome: Outcome) -> None:
        """Write the line; an error in full."""
        count = f"{self.count:>4}/{sum(self.total.values())}"
        print(f"{count}  {arm}, seed {seed}: {_words(outcome)}  {self.time_left()}".rstrip(), flush=True)


class LiveTable(Live):
    """A table of the arms, drawn anew after each run."""

    def __enter__(self) -> Self:
        from rich.live import Live as RichLive

        self._live = RichLive(self._table(), auto_refresh=False, transient=True)
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._live.stop()

    def show(self, arm: str, seed: int, outcome: Outcome) -> None:
        """Draw the table; an error, or that a worker died, stays above it."""
        if outcome.error is not None or outcome.died:
            self._live.console.print(f"{arm}, seed {seed}: {_words(outcome)}", markup=False, highlight=False)
        self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=f"{self.count} of {sum(self.total.values())} runs  {self.time_left()}".rstrip())
        table.add_column("arm")
        for heading in ("runs", "validation accuracy", "seconds a run"):
            table.add_column(heading, justify="right")
        for arm, outcomes in self.done.items():
            right = [one for one in outcomes if one.error is None]
            failed = len(outcomes) - len(right)
            scores = [one.val_accuracy for one in right if not math.isnan(one.val_accuracy)]
            table.add_row(
                escape(arm),
                f"{len(right)}/{self.total[arm]}" + (f" [red]{failed} failed[/]" if failed else ""),
                f"{100 * _mean(scores):.2f} %" if scores else "–",
                f"{_mean([one.seconds for one in right]):.1f}" if right else "–",
            )
        return table


def make_live(jobs: Mapping[tuple[str, int], Job], store: RunStore, wanted: bool) -> Live:
    """The right kind for where the output goes, with the runs that are finished already."""
    done: dict[tuple[str, int], Outcome] = {}
    for name, job in jobs.items():
        if job.key in store:
            measures = store.load(job.key).measures
            done[name] = Outcome(job.key, measures.get("val_accuracy", math.nan), measures["seconds"])
    if not wanted:
        return Live(jobs, done)
    return LiveTable(jobs, done) if sys.stdout.isatty() else Lines(jobs, done)


def _mean(values: list[float], otherwise: float = math.nan) -> float:
    return sum(values) / len(values) if values else otherwise


def _words(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"FAILED: {outcome.error.splitlines()[0]}"  # the rest is in its log
    score = "" if math.isnan(outcome.val_accuracy) else f"validation {100 * outcome.val_accuracy:.2f} %, "
    died = f"; a worker died of it at first ({outcome.died}), see {outcome.key}.log" if outcome.died else ""
    return f"{score}{outcome.seconds:.1f} s{died}"
