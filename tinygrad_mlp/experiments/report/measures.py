"""How the numbers of each measure are written: accuracies in percent with two decimals, losses with four."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.runs import Run
from tinygrad_mlp.experiments.statistics import Summary, summarize
from tinygrad_mlp.experiments.tables import Cell

__all__ = ["EMPTY", "Measure", "keys_of", "measure", "measures_in", "summary_of"]

EMPTY = Cell("–")


@dataclass(frozen=True)
class Measure:
    """A measure's words, and how its numbers are written: times `scale`, with `digits` decimals and a `unit`."""

    label: str
    scale: float = 1.0
    digits: int = 4
    unit: str = ""
    whole: bool = False  # of one run it is a whole number, though a mean need not be

    @property
    def heading(self) -> str:
        """Label and unit, for the axis of a figure."""
        return f"{self.label} ({self.unit.strip()})" if self.unit else self.label

    def number(self, value: float, digits: int | None = None) -> str:
        """`87.03`: without its unit, negative with a true minus sign; `–` for a NaN."""
        if math.isnan(value):
            return "–"
        return f"{self.scale * value:,.{self.digits if digits is None else digits}f}".replace("-", "−")

    def words(self, value: float, digits: int | None = None) -> str:
        """`87.03 %`; `–` for a NaN."""
        return "–" if math.isnan(value) else self.number(value, digits) + self.unit

    def interval(self, low: float, high: float) -> str:
        """`[86.44, 88.18]`; `–` where there is none."""
        return "–" if math.isnan(low) or math.isnan(high) else f"[{self.number(low)}, {self.number(high)}]"

    def signed(self, value: float) -> str:
        """A difference: `+0.34`."""
        words = self.number(value)
        return words if words.startswith(("−", "–")) else f"+{words}"

    def cell(self, value: float, runs: tuple[str, ...] = ()) -> Cell:
        """A number of one run."""
        if math.isnan(value):
            return EMPTY
        return Cell(self.words(value, 0 if self.whole else None), value, runs)

    def mean_cell(self, summary: Summary | None, runs: tuple[str, ...]) -> Cell:
        """Mean ± standard deviation over runs; of a single run the number itself."""
        if summary is None:
            return EMPTY
        if summary.n == 1 or (self.whole and summary.sd == 0):
            return self.cell(summary.mean, runs)
        return Cell(f"{self.number(summary.mean)} ± {self.number(summary.sd)}{self.unit}", summary.mean, runs)


def _share(label: str) -> Measure:
    return Measure(label, 100.0, 2, " %")


_KNOWN = {
    "test_accuracy": _share("test accuracy"),
    "val_accuracy": _share("validation accuracy"),
    "train_accuracy": _share("training accuracy"),
    "test_loss": Measure("test loss"),
    "val_loss": Measure("validation loss"),
    "train_loss": Measure("training loss"),
    "epochs": Measure("epochs run", digits=1, whole=True),
    "best_epoch": Measure("best epoch", digits=1, whole=True),
    "parameters": Measure("parameters", digits=0, whole=True),
    "seconds": Measure("seconds", digits=1),
    "diverged": _share("diverged"),
    "dead_units": _share("dead units"),
    "near_zero": _share("weights near zero, abs(w) ≤ 0.001"),
    "within_a_step": _share("weights within a step of zero, abs(w) ≤ lr·λ"),
    "roughness": Measure("roughness of the first layer's weights", digits=3),
}


def measure(name: str) -> Measure:
    """The measure of this name; one that the package does not know is written with four decimals, or as percent."""
    if name in _KNOWN:
        return _KNOWN[name]
    label = name.replace("_", " ")
    return _share(label) if name.endswith("accuracy") else Measure(label)


def measures_in(results: Results) -> tuple[str, ...]:
    """Names of all measures that a run of the results has, the known ones first."""
    found = {name for runs in results.runs.values() for run in runs for name in run.measures}
    return (*(name for name in _KNOWN if name in found), *sorted(found - set(_KNOWN)))


def keys_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Their keys."""
    return tuple(run.key for run in runs)


def summary_of(results: Results, arm: str, name: str) -> tuple[Summary | None, tuple[str, ...]]:
    """Summary of a measure over those runs of an arm in which it is a number, and their keys; None without any.

    A measure may be NaN where it makes no sense: dead units of a net without ReLU, validation without held-out images.
    """
    runs = [run for run in results.runs[arm] if not math.isnan(run.measures.get(name, math.nan))]
    return (summarize([run.measures[name] for run in runs]) if runs else None), keys_of(runs)
