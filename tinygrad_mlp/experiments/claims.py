"""`Claim`: a published number, or a sentence as a predicate; `judge` says what our runs make of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.experiments.statistics import Summary, judge_published

if TYPE_CHECKING:
    from tinygrad_mlp.experiments.results import Results

__all__ = [
    "Claim",
    "Finding",
    "Predicate",
    "Reading",
    "Sentence",
    "Verdict",
    "VerdictWord",
    "all_hold",
    "is_better",
    "is_equivalent",
    "judge",
]

VerdictWord: TypeAlias = Literal["reproduced", "exceeded", "not reproduced", "underspecified", "undecided", "not run"]
_WIDEST = 0.04  # of a prediction interval of shares: ±2 points
_WHOLE = 0.5  # epochs and the like are whole numbers


@dataclass(frozen=True)
class Finding:
    """What a predicate found: a verdict, and in words why; of a sentence with several readings, also for each.

    `more_seeds` is about how many more would decide what is undecided, as far as that can be said.
    """

    verdict: VerdictWord
    words: str
    readings: tuple[tuple[str, Finding], ...] = ()
    more_seeds: int | None = None


Predicate: TypeAlias = "Callable[[Results], Finding]"


@dataclass(frozen=True)
class Sentence:
    """A predicate, and what it reads of a study, which can so be missed before anything is trained.

    `comparisons` are (first, second, measure), to be listed in the study; `measures` are (arm, measure).
    """

    predicate: Predicate
    comparisons: tuple[tuple[str, str, str], ...] = ()
    measures: tuple[tuple[str, str], ...] = ()

    def __call__(self, results: Results) -> Finding:
        """What the predicate finds."""
        return self.predicate(results)

    @classmethod
    def of(cls, predicate: Predicate, *parts: Predicate | None) -> Sentence:
        """A predicate that asks these, as far as they say what they read."""
        told = [part for part in parts if isinstance(part, Sentence)]
        return cls(
            predicate,
            tuple(one for part in told for one in part.comparisons),
            tuple(one for part in told for one in part.measures),
        )

    @property
    def arms(self) -> set[str]:
        """The arms that it names so."""
        return {arm for first, second, _ in self.comparisons for arm in (first, second)} | {
            arm for arm, _ in self.measures
        }


@dataclass(frozen=True)
class Claim:
    """Something published, to be judged by runs.

    Parameters
    ----------
    id, text, source:
        "B4"; what is claimed; where it stands.
    arms:
        For a number: its plausible readings, each an arm. For a sentence: the arms that its predicate looks at.
    published, measure:
        The number, as a share where it is published in percent, and which measure of a run it is.
    digits:
        How many digits after the point it was published with: 4 for 0.8703.
    tolerance:
        How far the 95 % prediction interval of one run may reach to each side and still reproduce the number; where it
        reaches further, the claim is underspecified. By default 0.02 (2 points) for accuracies, and without limit for
        others.
    predicate:
        Of a sentence: makes a `Finding` of the results.

    Raises `ArgumentError` unless it has either a number or a predicate, and a number at least one arm.

    >>> Claim("B4", "sigmoid reaches 87.03 %", "table, p. 4", ("sigmoid",), published=0.8703)
    >>> Claim("A4", "ReLU is best", "section 4", ("relu", "tanh"), predicate=is_better("relu", "tanh"))
    """

    id: str
    text: str
    source: str = ""
    arms: tuple[str, ...] = ()
    published: float | None = None
    measure: str = "test_accuracy"
    digits: int = 4
    predicate: Predicate | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if (self.published is None) == (self.predicate is None):
            raise ArgumentError(f"Claim {self.id}: expected a published number or a predicate, one of the two")
        if self.published is not None and not self.arms:
            raise ArgumentError(f"Claim {self.id}: the published number needs an arm that it is a claim about")
        if self.tolerance is not None and not (self.published is not None and self.tolerance > 0):
            raise ArgumentError(
                f"Claim {self.id}: tolerance={self.tolerance}, expected a number above 0, and a published one beside it"
            )


@dataclass(frozen=True)
class Reading:
    """A published number against the runs of one arm."""

    arm: str
    summary: Summary
    verdict: VerdictWord


@dataclass(frozen=True)
class Verdict:
    """What became of a claim: the verdict, in words why, and each reading: of a number, or of a sentence."""

    claim: Claim
    verdict: VerdictWord
    words: str
    readings: tuple[Reading, ...] = ()
    sentences: tuple[tuple[str, Finding], ...] = ()


def judge(claims: Iterable[Claim], results: Results) -> list[Verdict]:
    """A verdict for each claim; "not run" where an arm that it needs has no finished run.

    A number with several readings is reproduced if it is in one of them, which the words name; exceeded or not
    reproduced if all readings agree on that; else underspecified, since what the report leaves open decides.
    """
    verdicts: list[Verdict] = []
    for claim in claims:
        missing = [name for name in claim.arms if not results.runs.get(name)]
        if missing:
            verdicts.append(Verdict(claim, "not run", f"no finished run of {', '.join(missing)}"))
        elif claim.predicate is not None:
            finding = claim.predicate(results)
            verdicts.append(Verdict(claim, finding.verdict, finding.words, sentences=finding.readings))
        else:
            verdicts.append(_judge_number(claim, results))
    return verdicts


def _judge_number(claim: Claim, results: Results) -> Verdict:
    assert claim.published is not None
    readings = tuple(_read(claim, claim.published, arm, results) for arm in claim.arms)
    words = "; ".join(f"{reading.arm}: {_interval(claim, reading)}" for reading in readings)
    found: list[VerdictWord] = [reading.verdict for reading in readings]
    by = [reading.arm for reading in readings if reading.verdict == "reproduced"]
    if by and len(readings) > 1:
        words = f"by the reading {' and '.join(by)}: {words}"
    verdict: VerdictWord = found[0] if len(set(found)) == 1 else "underspecified"
    if by:
        verdict = "reproduced"
    elif "undecided" in found:
        verdict = "undecided"
    return Verdict(claim, verdict, words, readings)


def _read(claim: Claim, published: float, arm: str, results: Results) -> Reading:
    values = results.values(arm, claim.measure)
    summary = results.summary(arm, claim.measure)
    rounding = 0.5 * 10.0**-claim.digits
    widest = None if claim.tolerance is None else 2 * claim.tolerance
    if claim.measure.endswith("accuracy"):
        judgement = judge_published(published, values, kind="higher", widest=widest or _WIDEST, rounding=rounding)
    elif claim.measure.endswith("loss"):
        judgement = judge_published(published, values, kind="lower", widest=widest, rounding=rounding)
    else:
        judgement = judge_published(published, values, kind="inside", widest=None, rounding=_WHOLE)
    return Reading(arm, summary, judgement.verdict)


def _interval(claim: Claim, reading: Reading) -> str:
    """Mean and prediction interval in the measure's units: 87.31 % [86.44, 88.18]."""
    summary = reading.summary
    scale, digits, unit = (100, 2, " %") if claim.measure.endswith("accuracy") else (1, 4, "")
    if claim.measure in ("epochs", "best_epoch"):
        digits = 1
    mean = f"{scale * summary.mean:.{digits}f}{unit}"
    if math.isnan(summary.prediction_low):
        return f"{mean} (one run)"
    return f"{mean} [{scale * summary.prediction_low:.{digits}f}, {scale * summary.prediction_high:.{digits}f}]"


# Sentences ----------------------------------------------------------------------------------------------------------


def is_better(first: str, second: str, measure: str = "test_accuracy") -> Predicate:
    """The sentence "first is better than second", decided by the study's comparison of the two in this measure.

    "Better" is higher, of losses lower.
    """

    def predicate(results: Results) -> Finding:
        found = results.comparison(first, second, measure)
        decided: VerdictWord = "reproduced" if found.verdict == "better" else "not reproduced"
        verdict: VerdictWord = "undecided" if found.verdict == "undecided" else decided
        return Finding(verdict, difference_words(results, first, second, measure), more_seeds=found.more_seeds)

    return Sentence(predicate, ((first, second, measure),))


def is_equivalent(first: str, second: str, measure: str = "test_accuracy") -> Predicate:
    """The sentence "first and second are about the same": the interval lies within the margin of their comparison.

    So it holds also where a small difference is significant; it does not where one is that may be larger.
    """

    def predicate(results: Results) -> Finding:
        found = results.comparison(first, second, measure)
        verdict: VerdictWord = "undecided" if found.verdict == "undecided" else "not reproduced"
        words = difference_words(results, first, second, measure)
        if not found.inside:
            return Finding(verdict, words, more_seeds=found.more_seeds)
        return Finding("reproduced", words + (", within the margin" if found.verdict != "equivalent" else ""))

    return Sentence(predicate, ((first, second, measure),))


def all_hold(*predicates: Predicate) -> Predicate:
    """Several sentences at once: reproduced if all are, not reproduced if one is not, else undecided."""

    def predicate(results: Results) -> Finding:
        findings = [one(results) for one in predicates]
        words = "; ".join(finding.words for finding in findings)
        verdicts = {finding.verdict for finding in findings}
        left = [finding.more_seeds for finding in findings if finding.verdict == "undecided"]
        more = max((count for count in left if count is not None), default=None) if None not in left else None
        for verdict in ("not reproduced", "undecided", "underspecified"):
            if verdict in verdicts:
                return Finding(verdict, words, more_seeds=more if verdict == "undecided" else None)
        return Finding("reproduced", words)

    return Sentence.of(predicate, *predicates)


def difference_words(results: Results, first: str, second: str, measure: str = "test_accuracy") -> str:
    """`relu − tanh: +0.34 points [0.21, 0.47], p 0.012, better`; of losses the other way round, `tanh − relu`."""
    comparison = results.comparison(first, second, measure)
    scale, digits, unit = (100, 2, " points") if measure.endswith("accuracy") else (1, 4, "")
    names = f"{second} − {first}" if measure.endswith("loss") else f"{first} − {second}"
    words = f"{names}: {scale * comparison.difference:+.{digits}f}{unit}"
    if comparison.n > 1:
        words += f" [{scale * comparison.low:.{digits}f}, {scale * comparison.high:.{digits}f}]"
    if comparison.decidable:
        words += f", p {comparison.adjusted_p:.3g}"
    more = "" if comparison.more_seeds is None else f" (about {comparison.more_seeds} more seeds)"
    return f"{words}, {comparison.verdict}{more}"
