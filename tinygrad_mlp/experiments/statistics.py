"""What may be said from a few runs: intervals, paired tests, and verdicts on published numbers.

Values are one number a run (a test accuracy as a share, a loss, a number of epochs); differences are one number a seed,
of two arms that shared it. Nothing here knows of nets. scipy is imported where it is used, not with the package.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev  # exact: the deviation of equal values is 0, not a rounding error
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_mlp.errors import ArgumentError, DtypeError, NonFiniteError, ShapeError

__all__ = [
    "Comparison",
    "Judgement",
    "McNemar",
    "Summary",
    "compare",
    "holm",
    "judge_published",
    "mcnemar",
    "seeds_to_place",
    "sign_flip_p",
    "summarize",
]

Floats: TypeAlias = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)
ComparisonVerdict: TypeAlias = Literal["better", "worse", "equivalent", "undecided"]
PublishedVerdict: TypeAlias = Literal["reproduced", "exceeded", "not reproduced", "underspecified", "undecided"]
Kind: TypeAlias = Literal["higher", "lower", "inside"]

_REVERSED: dict[ComparisonVerdict, ComparisonVerdict] = {"better": "worse", "worse": "better"}

CONFIDENCE = 0.95
POWER = 0.8
EXACT_PAIRS = 20  # 2¹⁹ sums, 4 MB; beyond, signs are drawn
RESAMPLES = 99_999  # near p = 0.05 the standard error of the drawn p is 0.0007
RESAMPLE_SEED = 0
TIE = 1e-9  # of the sum of sizes: far above rounding (0.8703 - 0.8691 is no multiple of 1e-4), far below one image
MOST_PAIRS = 10_000  # with so many seeds a forecast says no more than "not this way"


@dataclass(frozen=True)
class Summary:
    """`n` values of one arm: mean, standard deviation and 95 % intervals; see `summarize` for the formulas."""

    n: int
    mean: float
    sd: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float

    @property
    def lower_bound(self) -> float:
        """One-sided 95 % lower bound of the mean, mean - t(0.95, n - 1)·sd/√n; NaN when n = 1."""
        if self.n < 2:
            return math.nan
        return self.mean - _t_quantile(CONFIDENCE, self.n - 1) * self.sd / math.sqrt(self.n)


def summarize(values: ArrayLike) -> Summary:
    """Mean, standard deviation, 95 % interval of the mean, 95 % prediction interval of one further run.

    sd = √(Σ(x - mean)² / (n - 1)); with t = t(0.975, n - 1), Student's quantile,
    [low, high] = mean ± t·sd/√n (Student 1908, The probable error of a mean), and
    [prediction_low, prediction_high] = mean ± t·sd·√(1 + 1/n), which holds one further value in 95 % of cases (Hahn and
    Meeker 1991, Statistical intervals, chapter 4). Both take the values to be independent and roughly normal.

    With n = 1 nothing is known of the spread: sd and all four bounds are NaN.

    Raises `ArgumentError` for no values, `ShapeError` unless they are (n,), `DtypeError` unless they are real numbers,
    `NonFiniteError` for a NaN or an infinity.

    >>> print(summarize([1.0, 2.0, 3.0]).mean)
    2.0
    """
    return _summary(_numbers("summarize", "values", values))


def sign_flip_p(differences: ArrayLike) -> float:
    """Two-sided p-value of the paired sign-flip test: how well chance alone explains the mean difference.

    If neither arm is better, each difference is as likely to have come out with the other sign. p is the share of the
    2ⁿ choices of signs for which |Σ ±d| ≥ |Σ d| (Fisher 1935, The design of experiments, chapter III), at least 2/2ⁿ.
    Exact for n ≤ 20; beyond, (1 + hits) / (1 + 99,999) over choices drawn with a fixed seed, which errs to the larger
    side (Phipson and Smyth 2010, Permutation p-values should never be zero).

    Sums that differ by less than 1e-9 Σ|d| count as equal: differences of shares carry rounding errors, and a tie that
    is missed makes p too small. All differences 0 give 1.

    Errors as for `summarize`.

    >>> sign_flip_p([0.01, 0.02, 0.01, 0.03, 0.02, 0.01])
    0.03125
    """
    return _sign_flip_p(_numbers("sign_flip_p", "differences", differences))


def holm(p_values: Sequence[float] | Floats) -> list[float]:
    """Adjusted p-values, in the order given: those below α may all be called significant, with error rate α for all.

    With p₁ ≤ … ≤ pₘ the k-th is max over j ≤ k of min(1, (m - j + 1)·pⱼ) (Holm 1979, A simple sequentially rejective
    multiple test procedure). None in, none out.

    Raises `ArgumentError` for a p-value outside 0 to 1, and otherwise as `summarize`.

    >>> holm([0.5, 0.125, 0.25])
    [0.5, 0.375, 0.5]
    """
    ps = _numbers("holm", "p_values", p_values, least=0)
    if ((ps < 0) | (ps > 1)).any():
        raise ArgumentError(f"holm: p_values are {ps.tolist()}; expected each from 0 to 1")
    order = np.argsort(ps, kind="stable")
    factors = np.arange(len(ps), 0, -1, dtype=np.float64)
    adjusted = np.empty_like(ps)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, factors * ps[order]))
    return adjusted.tolist()


@dataclass(frozen=True)
class Comparison:
    """One arm against another over `n` paired seeds; see `compare`.

    `difference` is the mean difference, [`low`, `high`] its 95 % t interval, `p` that of the sign-flip test and
    `adjusted_p` after Holm's correction within the table. `more_seeds` is about how many more pairs would decide, None
    when decided or when that cannot be said. `decidable` tells whether so few pairs could have shown "better" or
    "worse" at all; if not, the interval alone speaks. `inside` tells whether the interval lies strictly inside the
    margin, whatever the verdict: a difference may be real and small.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float
    adjusted_p: float
    verdict: ComparisonVerdict
    more_seeds: int | None
    decidable: bool
    inside: bool

    def reversed(self) -> Comparison:
        """The second arm against the first."""
        verdict = _REVERSED.get(self.verdict, self.verdict)
        return replace(self, difference=-self.difference, low=-self.high, high=-self.low, verdict=verdict)


def compare(differences: Mapping[Key, ArrayLike], margin: float = 0.003, alpha: float = 0.05) -> dict[Key, Comparison]:
    """Verdicts on a table of comparisons: each key's paired differences, signed so that **positive is better**.

    For accuracies that is first - second, for losses second - first. The table is one family for Holm's correction, so
    it must hold all comparisons that were listed beforehand: those with no pairs yet count too, with p = 1.

    - "better", "worse": the sign-flip p, Holm-corrected, is below `alpha`. This goes before "equivalent": a difference
      may be both real and inside the margin, and then the interval shows that it is small.
    - "equivalent": the 95 % t interval of the mean difference lies strictly inside ±`margin` (two one-sided tests,
      Schuirmann 1987, at 2.5 % each: stricter than the usual 5 %).
    - "undecided": neither, or fewer than 2 pairs. Equal differences in 2 or more pairs have an interval of no width.

    `decidable`: with n pairs p is at least 2/2ⁿ. It is false where even the least p-values that this table's numbers
    of pairs allow, Holm-corrected together, are not below `alpha`; "better" and "worse" are then out of reach.

    `more_seeds` is N - n for the least N > n that would probably decide in either direction, d and s being the mean
    and standard deviation so far (Chow, Shao and Wang 2008, Sample size calculations in clinical research, chapter 3,
    with t quantiles of N - 1 degrees in place of normal ones):
    - (t(1 - α'/2) + t(0.8))·s / √N < |d| and 2/2ᴺ < α': an effect of d is found with power 0.8 at the level
      α' = alpha / (comparisons in the table not yet better or worse), Holm's for the next of them; or
    - (t(0.975) + t(0.9))·s / √N < margin - |d|: the interval fits inside the margin with probability of at least 0.8
      (without t(0.9) it would fit only if the mean stayed at d; for d = 0 it then hardly ever fits).
    A forecast, no promise, and no rule for stopping: seeds are to be chosen before their results are seen.
    None with fewer than 2 pairs, or where N - n would exceed 10,000.

    Raises `ArgumentError` unless margin > 0 and 0 < alpha < 1, and as `summarize` for differences, of which there may
    be none.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise ArgumentError(f"compare: margin is {margin}; expected a finite number above 0, in the differences' unit")
    if not 0 < alpha < 1:
        raise ArgumentError(f"compare: alpha is {alpha}; expected a number between 0 and 1")
    table = {key: _numbers("compare", f"differences of {key!r}", d, least=0) for key, d in differences.items()}
    ps = [_sign_flip_p(d) if len(d) else 1.0 for d in table.values()]
    adjusted_ps = holm(ps)
    # Holm's adjusted p-values rise with every raw one: from the least raw ones come the least adjusted ones.
    least_ps = holm([_least_p(len(d)) for d in table.values()])
    level = alpha / max(1, sum(p >= alpha for p in adjusted_ps))
    return {
        key: _comparison(d, p, adjusted, margin=margin, alpha=alpha, level=level, decidable=least < alpha)
        for (key, d), p, adjusted, least in zip(table.items(), ps, adjusted_ps, least_ps, strict=True)
    }


@dataclass(frozen=True)
class Judgement:
    """A verdict on a published number, and the summary of our runs that it rests on."""

    verdict: PublishedVerdict
    summary: Summary


def judge_published(
    published: float, values: ArrayLike, *, kind: Kind = "higher", widest: float | None = 0.04, rounding: float = 0.0
) -> Judgement:
    """Whether our runs' `values` reproduce a `published` number, taken as the result of one run.

    The published number was rounded: it stands for published ± `rounding` (0.00005 for 87.03 %). Against the 95 %
    prediction interval of one run (see `summarize`), bounds included, it is
    - "reproduced" when the two overlap and the interval is at most `widest` wide (0.04: ±2 points of accuracy; None: no
      limit, for losses), "underspecified" when they overlap and it is wider;
    - "exceeded" when our whole interval is better, however wide: above with `kind` "higher" (accuracies), below with
      "lower" (losses);
    - "not reproduced" when it is worse; with "inside" (epochs) whenever they do not overlap. "inside" gives no other
      verdict than this and "reproduced": `widest` is not looked at;
    - "undecided" after a single run, which has no interval.

    Raises `ArgumentError` for a published number that is not finite, an unknown kind, or a negative `widest` or
    `rounding`; for values as `summarize`.
    """
    if not math.isfinite(published):
        raise ArgumentError(f"judge_published: published is {published}; expected a finite number")
    if kind not in get_args(Kind):
        raise ArgumentError(f"judge_published: kind is {kind!r}; expected one of {', '.join(get_args(Kind))}")
    if not (math.isfinite(rounding) and rounding >= 0):
        raise ArgumentError(f"judge_published: rounding is {rounding}; expected a finite number of at least 0")
    if widest is not None and not widest >= 0:
        raise ArgumentError(f"judge_published: widest is {widest}; expected at least 0, or None for no limit")
    summary = _summary(_numbers("judge_published", "values", values))
    return Judgement(_published_verdict(published, summary, kind, widest, rounding), summary)


@dataclass(frozen=True)
class McNemar:
    """How many cases only the first model got right, how many only the second, and whether that is chance."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """Exact McNemar test of one trained model against another on the same test images.

    If both are equally good, a case that only one gets right is a fair coin: p is the two-sided binomial
    min(1, 2·P(X ≤ min(only_first, only_second))), X ~ B(only_first + only_second, 1/2) (McNemar 1947, Note on the
    sampling error of the difference between correlated proportions; Dietterich 1998, Approximate statistical tests for
    comparing supervised classification learning algorithms). No such case gives 1. It speaks of these two trained
    models, not of the recipes behind them: for those use `compare`.

    `first_right` and `second_right` are (N,), True where the model is right.

    Raises `ShapeError` unless both have one shape (N,) with at least one case, `DtypeError` unless they are boolean.

    >>> mcnemar([True, True, True, False], [False, False, True, False])
    McNemar(only_first=2, only_second=0, p=0.5)
    """
    first, second = np.asarray(first_right), np.asarray(second_right)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise ShapeError(
            f"mcnemar: first_right has shape {first.shape}, second_right {second.shape}; "
            "expected (N,) for both, of the same test images, at least one"
        )
    for name, right in (("first_right", first), ("second_right", second)):
        if right.dtype != np.bool_:
            raise DtypeError(f"mcnemar: {name} has dtype {right.dtype}; expected bool: pass predictions == labels")
    only_first, only_second = int(np.count_nonzero(first & ~second)), int(np.count_nonzero(second & ~first))
    return McNemar(only_first, only_second, _fair_coin_p(only_first, only_second))


def _numbers(caller: str, what: str, values: ArrayLike, least: int = 1) -> Floats:
    """(n,), float64, finite, at least `least` of them."""
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"{caller}: {what} have shape {array.shape}; expected (n,), one number a run")
    if len(array) < least:
        raise ArgumentError(f"{caller}: there are no {what}; expected at least {least}")
    if array.dtype.kind not in "fiu":
        raise DtypeError(f"{caller}: {what} have dtype {array.dtype}; expected real numbers")
    finite = np.isfinite(array)
    if not finite.all():
        position = int((~finite).argmax())
        raise NonFiniteError(
            f"{caller}: {what} hold {array[position]} at position {position}; "
            "leave out, and report, runs that did not finish"
        )
    return array.astype(np.float64)


def _summary(values: Floats) -> Summary:
    n, middle = len(values), mean(values.tolist())
    if n == 1:
        return Summary(n, middle, *[math.nan] * 5)
    sd = stdev(values.tolist())
    of_mean = _t_quantile((1 + CONFIDENCE) / 2, n - 1) * sd / math.sqrt(n)
    of_run = of_mean * math.sqrt(n + 1)  # √(1 + 1/n) = √(n + 1) / √n
    return Summary(n, middle, sd, middle - of_mean, middle + of_mean, middle - of_run, middle + of_run)


def _t_quantile(probability: float, freedom: int) -> float:
    from scipy.special import stdtrit  # that of scipy.stats.t.ppf, without the second that scipy.stats takes to import

    return float(stdtrit(freedom, probability))


def _fair_coin_p(heads: int, tails: int) -> float:
    from scipy.special import bdtr  # P(X ≤ k); for a fair coin twice the smaller tail is scipy.stats.binomtest's p

    return min(1.0, 2 * float(bdtr(min(heads, tails), heads + tails, 0.5)))


def _sign_flip_p(differences: Floats) -> float:
    # Not scipy.stats.permutation_test: its tolerance for ties, 2e-14 of the mean, is below the rounding error of
    # differences of shares, so that it misses ties and says too small a p.
    largest = np.abs(differences).max()
    if not largest:
        return 1.0
    d: Floats = differences / largest
    n, reached = len(d), abs(d.sum()) - TIE * np.abs(d).sum()
    if n <= EXACT_PAIRS:
        sums = d[:1]  # flipping all signs keeps |Σ|: the first sign may stay
        for each in d[1:]:
            sums = np.concatenate([sums + each, sums - each])
        return int(np.count_nonzero(np.abs(sums) >= reached)) / len(sums)
    generator = np.random.default_rng(RESAMPLE_SEED)
    hits = 0
    for start in range(0, RESAMPLES, 10_000):  # in parts, for memory
        flips = generator.random((min(10_000, RESAMPLES - start), n)) < 0.5
        hits += int(np.count_nonzero(np.abs(np.where(flips, -d, d).sum(1)) >= reached))
    return (1 + hits) / (1 + RESAMPLES)


def _least_p(pairs: int) -> float:
    """The smallest p that `sign_flip_p` can give."""
    return min(1.0, 2.0 ** (1 - pairs)) if pairs <= EXACT_PAIRS else 1 / (1 + RESAMPLES)


def _comparison(
    differences: Floats, p: float, adjusted_p: float, *, margin: float, alpha: float, level: float, decidable: bool
) -> Comparison:
    summary = _summary(differences) if len(differences) else Summary(0, *[math.nan] * 6)
    inside = -margin < summary.low and summary.high < margin  # false for the NaN of fewer than 2 pairs
    verdict: ComparisonVerdict
    if adjusted_p < alpha:
        verdict = "better" if summary.mean > 0 else "worse"
    elif inside:
        verdict = "equivalent"
    else:
        verdict = "undecided"
    more_seeds = _more_seeds(summary, margin, level) if verdict == "undecided" and summary.n >= 2 else None
    interval = (summary.mean, summary.low, summary.high)
    return Comparison(summary.n, *interval, p, adjusted_p, verdict, more_seeds, decidable, inside)


def _more_seeds(so_far: Summary, margin: float, level: float) -> int | None:
    effect, sd = abs(so_far.mean), so_far.sd

    def decides(pairs: int) -> bool:  # once true, it stays true for more pairs
        error = sd / math.sqrt(pairs)
        to_find = _t_quantile(1 - level / 2, pairs - 1) + _t_quantile(POWER, pairs - 1)
        to_fit = _t_quantile((1 + CONFIDENCE) / 2, pairs - 1) + _t_quantile((1 + POWER) / 2, pairs - 1)
        return (to_find * error < effect and _least_p(pairs) < level) or to_fit * error < margin - effect

    return _least_more(so_far.n, decides)


def seeds_to_place(so_far: Summary, low: float, high: float) -> int | None:
    """About how many more seeds bring the 95 % interval of the mean to one side of the bounds that it lies across.

    N - n for the least N with (t(0.975) + t(0.8))·s / √N below the distance of the mean from the nearer bound: a mean
    that stays where it is, is then placed with probability 0.8. A forecast as that of `compare`; None with one seed, or
    where N - n would exceed 10,000.
    """
    if so_far.n < 2:
        return None
    distance = min(abs(so_far.mean - low), abs(so_far.mean - high))

    def decides(seeds: int) -> bool:
        quantiles = _t_quantile((1 + CONFIDENCE) / 2, seeds - 1) + _t_quantile(POWER, seeds - 1)
        return quantiles * so_far.sd / math.sqrt(seeds) < distance

    return _least_more(so_far.n, decides)


def _least_more(count: int, decides: Callable[[int], bool]) -> int | None:
    """How many more than `count` the least number is that decides; once one does, all greater ones do."""
    more = range(1, MOST_PAIRS + 1)
    place = bisect_left(more, True, key=lambda extra: decides(count + extra))
    return more[place] if place < len(more) else None


def _published_verdict(
    published: float, ours: Summary, kind: Kind, widest: float | None, rounding: float
) -> PublishedVerdict:
    if ours.n < 2:
        return "undecided"
    low, high = ours.prediction_low, ours.prediction_high
    above, below = low > published + rounding, high < published - rounding
    if not (above or below):
        too_wide = kind != "inside" and widest is not None and high - low > widest
        return "underspecified" if too_wide else "reproduced"
    exceeded = (above and kind == "higher") or (below and kind == "lower")
    return "exceeded" if exceeded else "not reproduced"
