"""`Results`: the finished runs of a study, and the numbers that claims and reports take from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.errors import ArgumentError, CheckpointError, DataError
from tinygrad_mlp.experiments import statistics
from tinygrad_mlp.experiments.calls import Call, calls_that_made, read_calls
from tinygrad_mlp.experiments.claims import Verdict, judge
from tinygrad_mlp.experiments.runs import Run, RunStore, run_key
from tinygrad_mlp.experiments.study import Comparison, Study
from tinygrad_mlp.experiments.training import load_splits
from tinygrad_mlp.train.metrics import confusion_matrix

__all__ = ["Failure", "Results", "load_results"]

Floats = NDArray[np.float64]
_MARGIN = 0.003  # of accuracies: so close, two recipes count as equivalent
_NO_MARGIN = 1e-9  # of other measures, for which no such margin was fixed beforehand: none are


@dataclass(frozen=True)
class Failure:
    """A run that could not be finished: which, why, and where its worker's log is."""

    arm: str
    seed: int
    error: str
    log: str = ""


class Results:
    """Runs by arm, each arm's in the order of their seeds.

    Raises `ArgumentError` where an arm has no finished run in what is asked for, or does not exist.
    """

    def __init__(
        self,
        study: Study,
        runs: Mapping[str, Iterable[Run]],
        failed: Iterable[Failure] = (),
        seeds: int | None = None,
        calls: Iterable[Call] = (),
    ) -> None:
        self.study = study
        self.seeds = seeds
        """How many were asked for; None if nobody said."""
        self.calls = tuple(calls)
        """The calls that made the runs, as far as that was kept."""
        self.runs = {arm.name: tuple(sorted(runs.get(arm.name, ()), key=lambda run: run.seed)) for arm in study.arms}
        self.failed = tuple(failed)

    # Numbers --------------------------------------------------------------------------------------------------------

    def of(self, arm: str) -> tuple[Run, ...]:
        """The finished runs of an arm, at least one."""
        runs = self.runs.get(self.study[arm].name, ())
        if not runs:
            raise ArgumentError(f"study {self.study.name}: arm {arm!r} has no finished run")
        return runs

    @property
    def by_key(self) -> dict[str, Run]:
        """Each finished run once: arms of the same recipe share theirs."""
        return {run.key: run for runs in self.runs.values() for run in runs}

    def values(self, arm: str, measure: str = "test_accuracy") -> Floats:
        """A measure of each finished run: (seeds,)."""
        runs = self.of(arm)
        if measure not in runs[0].measures:
            raise ArgumentError(
                f"study {self.study.name}: no measure {measure!r}; there are {sorted(runs[0].measures)}"
            )
        return np.array([run.measures[measure] for run in runs])

    def paired(self, first: str, second: str, measure: str = "test_accuracy") -> Floats:
        """By how much `first` is better, for each seed that both have finished: of losses, by how much it is lower."""
        sign = -1.0 if measure.endswith("loss") else 1.0
        mine = dict(zip((run.seed for run in self.of(first)), self.values(first, measure), strict=True))
        others = dict(zip((run.seed for run in self.of(second)), self.values(second, measure), strict=True))
        return sign * np.array([mine[seed] - others[seed] for seed in mine if seed in others], np.float64)

    def summary(self, arm: str, measure: str = "test_accuracy") -> statistics.Summary:
        """Mean, standard deviation and intervals over the seeds."""
        return statistics.summarize(self.values(arm, measure))

    def comparison(self, first: str, second: str, measure: str = "test_accuracy") -> statistics.Comparison:
        """How two arms compare, corrected for all that is in the same table of the study's comparisons.

        The study may list it the other way round, second against first: it is the same test.

        Raises `ArgumentError` for a comparison that the study does not list: it was not said beforehand.
        """
        for listed in self.study.comparisons:
            if (listed.first, listed.second, listed.measure) == (first, second, measure):
                return self.compared(listed.table)[listed]
        for listed in self.study.comparisons:
            if (listed.second, listed.first, listed.measure) == (first, second, measure):
                return self.compared(listed.table)[listed].reversed()
        raise ArgumentError(
            f"study {self.study.name}: the comparison of {first!r} with {second!r} in {measure} is not in its list; "
            "say beforehand what is to be compared: Study(comparisons=...)"
        )

    def compared(self, table: str) -> dict[Comparison, statistics.Comparison]:
        """All comparisons of a table, corrected together."""
        listed = [one for one in self.study.comparisons if one.table == table]
        shares = all(one.measure.endswith("accuracy") for one in listed)
        differences = {
            one: self.paired(one.first, one.second, one.measure) if self._ran(one) else np.empty(0) for one in listed
        }
        return statistics.compare(differences, _MARGIN if shares else _NO_MARGIN)

    @property
    def unfinished(self) -> dict[str, tuple[int, int]]:
        """The arms that have some of the runs that were asked for: how many there are, and how many there should be."""
        if self.seeds is None:
            return {}
        counts = {
            arm.name: (len(self.runs[arm.name]), len(self.study.seeds_of(arm, self.seeds))) for arm in self.study.arms
        }
        return {name: (have, wanted) for name, (have, wanted) in counts.items() if 0 < have < wanted}

    def _ran(self, one: Comparison) -> bool:
        """Whether both arms have a finished run."""
        return bool(self.runs[one.first] and self.runs[one.second])

    def curve(self, arm: str, column: str) -> Floats:
        """A column of the histories, (seeds, epochs); NaN after a run has ended."""
        rows = [[row.get(column) for row in run.history] for run in self.of(arm)]
        curve = np.full((len(rows), max(map(len, rows))), np.nan)
        for place, values in enumerate(rows):
            curve[place, : len(values)] = [np.nan if value is None else value for value in values]
        return curve

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """On the study's claims, judged once: some sentences take derivatives of a net to be judged."""
        return judge(self.study.claims, self)

    # Test data ------------------------------------------------------------------------------------------------------

    @property
    def test_uses(self) -> int:
        """How often the test data were used: once by each finished run, with folds once a fold."""
        return sum(int(run.facts["test_uses"]) for run in self.by_key.values())

    @property
    def data(self) -> str:
        """Name of the data set. Raises `ArgumentError` where the arms have several."""
        names = {arm.recipe.data for arm in self.study.arms}
        if len(names) > 1:
            raise ArgumentError(f"study {self.study.name}: its arms have several data sets: {', '.join(sorted(names))}")
        return names.pop()

    @cached_property
    def _test(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        test = load_splits(self.data, "none", 0.2, 0).test
        return test.labels, tuple(test.classes)

    @property
    def labels(self) -> NDArray[np.int64]:
        """True classes of the test images, (N,)."""
        return self._test[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names."""
        return self._test[1]

    def confusion(self, arm: str) -> NDArray[np.int64]:
        """Confusion matrix (C, C) of all runs of an arm together, rows true."""
        return sum(
            (confusion_matrix(self.labels, run.predictions, len(self.classes)) for run in self.of(arm)),
            np.zeros((len(self.classes), len(self.classes)), np.int64),
        )

    def right(self, run: Run) -> NDArray[np.bool_]:
        """Which test images a run is right about, (N,). Raises `DataError` for a run on other data."""
        if run.predictions.shape != self.labels.shape:
            raise DataError(f"run {run.key}: {len(run.predictions)} predictions for {len(self.labels)} test images")
        return run.predictions == self.labels


def load_results(
    study: Study,
    store: RunStore,
    seeds: int | None = None,
    failed: Iterable[Failure] = (),
) -> Results:
    """The results that a store holds of a study by now; runs that are not finished are left out.

    Raises `CheckpointError` for a damaged run, or record of a call.
    """
    runs: dict[str, list[Run]] = {}
    for arm in study.arms:
        keys = [run_key(arm.recipe, seed) for seed in study.seeds_of(arm, seeds)]
        runs[arm.name] = [store.load(key) for key in keys if key in store]
        for run in runs[arm.name]:
            if run.recipe != arm.recipe:
                raise CheckpointError(f"{store.path(run.key)}: it is a run of another recipe than arm {arm.name!r}")
    calls = calls_that_made((run.key for of in runs.values() for run in of), read_calls(store.calls))
    return Results(study, runs, failed, study.seeds if seeds is None else seeds, calls)
