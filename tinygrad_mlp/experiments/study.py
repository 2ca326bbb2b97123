"""`Study`: arms, each a recipe that is run with the same seeds, what is compared, and what is claimed of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.experiments.claims import Sentence
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.runs import MEASURES
from tinygrad_mlp.names import did_you_mean
from tinygrad_mlp.optim.checks import check_count

if TYPE_CHECKING:
    from tinygrad_mlp.experiments.claims import Claim
    from tinygrad_mlp.experiments.tables import Table

__all__ = ["Arm", "Comparison", "Curves", "Study"]

_PART = (
    "A part of the study: comparisons are corrected for those that are left of their tables, so that a difference may "
    "be significant here and not in the whole study. Only the claims {ids}."
)


@dataclass(frozen=True)
class Arm:
    """A recipe under a name.

    `source` says where it comes from: lines of a report, such as "A2", or "good recipe", or "control". `note` says what
    was chosen where that leaves something open. `seeds` is the most that this arm is run with, where a run takes long.
    """

    name: str
    recipe: Recipe
    source: str = ""
    note: str = ""
    seeds: int | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w .,+×x=/()-]+", self.name):
            raise ArgumentError(f"Arm: name={self.name!r}, expected letters, digits and . , + x = / ( ) -")
        if self.seeds is not None:
            check_count("Arm", "seeds", self.seeds)


@dataclass(frozen=True)
class Comparison:
    """`first` against `second`, arms by name, in one measure; corrected for all that is in the same `table`."""

    first: str
    second: str
    measure: str = "test_accuracy"
    table: str = ""


@dataclass(frozen=True)
class Curves:
    """A figure of learning curves of some arms; the title says which figure of a report it answers to."""

    title: str
    arms: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """Arms × seeds, and the questions that are put to them.

    Parameters
    ----------
    name, title:
        For files and for readers.
    arms:
        Recipes by name. Runs of two arms with one seed are a pair: see `train_run`.
    seeds:
        How many; they are 0, 1, 2, ….
    comparisons:
        What is to be compared, said beforehand, so that it can be corrected for how much was looked at.
    claims:
        Published numbers and sentences, to be judged.
    curves:
        Figures of learning curves. By default one for each arm.
    tables:
        Further tables by title, made when the report is: such as `gradient_table`.
    source, notes:
        What is reproduced, and what a reader should know.

    Raises `ArgumentError` for arms of the same name, for names of arms and measures that do not exist, and for a claim
    of a comparison that is not listed.

    >>> study = Study("width", "How wide?", tuple(Arm(f"{n} units", Recipe(hidden=(n,))) for n in (32, 64, 128)))
    >>> results = experiments.run(study)
    """

    name: str
    title: str
    arms: tuple[Arm, ...]
    seeds: int = 10
    comparisons: tuple[Comparison, ...] = ()
    claims: tuple[Claim, ...] = ()
    curves: tuple[Curves, ...] = ()
    tables: Mapping[str, Callable[[], Table]] = field(default_factory=dict[str, "Callable[[], Table]"])
    source: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        check_count("Study", "seeds", self.seeds)
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ArgumentError(f"Study: name={self.name!r}, expected letters, digits, _ and -: it names a folder")
        if not self.arms and not self.claims:
            raise ArgumentError(f"Study {self.name}: it has no arms, and no claims that need none")
        names = [arm.name for arm in self.arms]
        for what, used in (
            ("arms", [name for name in names if names.count(name) > 1]),
            ("claims", [claim.id for claim in self.claims if [other.id for other in self.claims].count(claim.id) > 1]),
        ):
            if used:
                raise ArgumentError(f"Study {self.name}: two {what} are called {used[0]!r}")
        for comparison in self.comparisons:
            for name in (comparison.first, comparison.second):
                self._check(name, "a comparison")
                self._check_measure(comparison.measure, name, "a comparison")
        listed = {(one.first, one.second, one.measure) for one in self.comparisons}
        for claim in self.claims:
            for name in claim.arms:
                self._check(name, f"claim {claim.id}")
                if claim.published is not None:
                    self._check_measure(claim.measure, name, f"claim {claim.id}")
            if not isinstance(claim.predicate, Sentence):
                continue
            for arm, measure in claim.predicate.measures:
                self._check(arm, f"claim {claim.id}")
                self._check_measure(measure, arm, f"claim {claim.id}")
            for first, second, measure in claim.predicate.comparisons:
                if not {(first, second, measure), (second, first, measure)} & listed:
                    raise ArgumentError(
                        f"Study {self.name}: claim {claim.id} needs the comparison of {first!r} with {second!r} in "
                        f"{measure}, which is not listed; say beforehand what is to be compared: Study(comparisons=...)"
                    )
        for figure in self.curves:
            for name in figure.arms:
                self._check(name, f"the curves {figure.title!r}")

    def _check(self, name: str, where: str) -> None:
        names = [arm.name for arm in self.arms]
        if name not in names:
            raise ArgumentError(
                f"Study {self.name}: {where} names the arm {name!r}{did_you_mean(name, names)}; there are {names}"
            )

    def _check_measure(self, measure: str, arm: str, where: str) -> None:
        """Raise unless runs of the arm will have this measure."""
        if measure not in MEASURES:
            raise ArgumentError(
                f"Study {self.name}: {where} names the measure {measure!r}{did_you_mean(measure, MEASURES)}; there are "
                f"{', '.join(MEASURES)}"
            )
        recipe = self[arm].recipe
        without = ""
        if measure.startswith("val_") and recipe.validation == 0 and recipe.folds is None:
            without = "validation images"
        elif measure == "dead_units" and (recipe.activation != "relu" or not (recipe.hidden or recipe.conv)):
            without = "ReLU"
        elif measure == "roughness" and recipe.conv:
            without = "first layer on all pixels"
        if without:
            raise ArgumentError(
                f"Study {self.name}: {where} names {measure} of the arm {arm!r}, which has no {without}"
            )

    def __getitem__(self, name: str) -> Arm:
        """The arm of this name."""
        self._check(name, "somebody")
        return next(arm for arm in self.arms if arm.name == name)

    def seeds_of(self, arm: Arm, seeds: int | None = None) -> range:
        """The seeds that an arm is run with, when the study has so many."""
        wanted = self.seeds if seeds is None else seeds
        return range(wanted if arm.seeds is None else min(wanted, arm.seeds))

    def with_arms(self, names: Sequence[str]) -> Study:
        """The study of these arms alone, with the comparisons, claims and curves that need no others."""
        for name in names:
            self._check(name, "somebody")
        keep = set(names)
        figures = [(figure.title, tuple(name for name in figure.arms if name in keep)) for figure in self.curves]
        return replace(
            self,
            arms=tuple(arm for arm in self.arms if arm.name in keep),
            comparisons=tuple(one for one in self.comparisons if {one.first, one.second} <= keep),
            claims=tuple(claim for claim in self.claims if _arms_of(claim) <= keep),
            curves=tuple(Curves(title, left) for title, left in figures if left),
        )

    def with_claims(self, ids: Sequence[str]) -> Study:
        """The part of the study that these claims need; "B7" stands for "B7-wide" and "B7-deep", unless there is a B7.

        Raises `ArgumentError` for a claim that does not exist.
        """
        known = [claim.id for claim in self.claims]
        wanted: set[str] = set()
        for name in ids:
            found = {name} if name in known else {id for id in known if id.startswith(f"{name}-")}
            if not found:
                raise ArgumentError(
                    f"Study {self.name}: there is no claim {name!r}{did_you_mean(name, known)}; there are {known}"
                )
            wanted |= found
        chosen = tuple(claim for claim in self.claims if claim.id in wanted)
        if len(chosen) == len(self.claims):
            return self
        part = replace(self, claims=chosen)  # without arms a study needs claims
        part = part.with_arms([arm.name for arm in self.arms if any(arm.name in _arms_of(claim) for claim in chosen)])
        notes = f"{_PART.format(ids=', '.join(claim.id for claim in chosen))} {self.notes}"
        return replace(part, claims=chosen, notes=notes.strip())

    def quick(self) -> Study:
        """The same with one seed, two epochs and 2,000 images: shows that it runs, and nothing else."""
        arms = tuple(replace(arm, recipe=_shortened(arm.recipe)) for arm in self.arms)
        notes = "A quick run, with few images and epochs: its numbers and verdicts mean nothing. " + self.notes
        return replace(self, arms=arms, seeds=1, notes=notes.strip())

    @classmethod
    def grid(cls, name: str, base: Recipe, fields: Mapping[str, Sequence[Any]], **options: Any) -> Study:
        """An arm for each combination of values; options go to the constructor.

        >>> study = Study.grid("width and rate", Recipe(), {"hidden": [(64,), (128,)], "lr": [0.03, 0.1]}, seeds=5)
        >>> [arm.name for arm in study.arms]
        ['hidden=64 lr=0.03', 'hidden=64 lr=0.1', 'hidden=128 lr=0.03', 'hidden=128 lr=0.1']
        """
        combinations = [dict(zip(fields, values, strict=True)) for values in itertools.product(*fields.values())]
        return cls(_as_name(name), name, tuple(_arm(base, changes) for changes in combinations), **options)

    @classmethod
    def random(
        cls,
        name: str,
        base: Recipe,
        fields: Mapping[str, Sequence[Any] | Callable[[np.random.Generator], Any]],
        count: int,
        seed: int = 0,
        **options: Any,
    ) -> Study:
        """`count` arms with values drawn at random: of a list one, of a function what it makes of the generator.

        >>> study = Study.random("rates", Recipe(), {"lr": lambda g: 10 ** g.uniform(-3, 0), "dropout": [0.0, 0.5]}, 20)
        """
        generator = np.random.default_rng(seed)
        arms: dict[str, Arm] = {}
        for _ in range(check_count("Study.random", "count", count)):
            changes = {
                field: values(generator) if callable(values) else values[int(generator.integers(len(values)))]
                for field, values in fields.items()
            }
            arm = _arm(base, {field: _plain(value) for field, value in changes.items()})
            arms.setdefault(arm.name, arm)  # of a few lists the same may be drawn twice: it is run once
        return cls(_as_name(name), name, tuple(arms.values()), **options)


def _arms_of(claim: Claim) -> set[str]:
    """The arms that a claim needs."""
    return set(claim.arms) | (claim.predicate.arms if isinstance(claim.predicate, Sentence) else set())


def _arm(base: Recipe, changes: Mapping[str, Any]) -> Arm:
    return Arm(" ".join(f"{field}={_words(value)}" for field, value in changes.items()), base.replace(**changes))


def _plain(value: Any) -> Any:
    """A NumPy number as Python's, with the six digits that its arm's name shows."""
    plain: Any = cast(Any, value).item() if isinstance(value, np.generic) else value
    return float(f"{plain:.6g}") if isinstance(plain, float) else plain


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "x".join(str(part) for part in cast("Sequence[Any]", value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _as_name(words: str) -> str:
    return re.sub(r"[^\w-]+", "-", words).strip("-") or "study"


def _shortened(recipe: Recipe) -> Recipe:
    folds = None if recipe.folds is None else 2
    limit = min(recipe.limit or recipe.images, 2000)
    return recipe.replace(epochs=min(recipe.epochs, 2), limit=limit, folds=folds)
