"""The figures of a report: which there are, what they show in words, and how each is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_mlp import plot
from tinygrad_mlp.experiments.claims import Claim, Reading
from tinygrad_mlp.experiments.report.claim_tables import published_words
from tinygrad_mlp.experiments.report.measures import measure, summary_of
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.study import Curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "confusion_picture", "curve_pictures", "published_pictures", "weights_picture"]

_COLUMNS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
_MOST_LINES = 60  # more rows of claims would not fit a page


@dataclass(frozen=True)
class Picture:
    """A figure with its file's name, what stands beneath it, what it shows to those who cannot see it."""

    name: str
    caption: str
    alt: str
    draw: Callable[[], Figure]


def _data(results: Results, *arms: str) -> str:
    """Names of the data sets behind a figure, for its title line."""
    return ", ".join(dict.fromkeys(results.study[arm].recipe.data for arm in arms))


# Ours against published ---------------------------------------------------------------------------------------------


def published_pictures(results: Results) -> list[Picture]:
    """Published numbers beside ours, a figure for each measure; none without claims of a number."""
    verdicts = results.verdicts
    readings = [(verdict.claim, reading) for verdict in verdicts for reading in verdict.readings]
    pictures: list[Picture] = []
    for name in dict.fromkeys(claim.measure for claim, _ in readings):
        chosen = [(claim, reading) for claim, reading in readings if claim.measure == name]
        for start in range(0, len(chosen), _MOST_LINES):
            part = "" if start == 0 else f"-{start // _MOST_LINES + 1}"
            pictures.append(_published(results, name, chosen[start : start + _MOST_LINES], part))
    return pictures


def _published(results: Results, name: str, chosen: list[tuple[Claim, Reading]], part: str) -> Picture:
    kind = measure(name)
    claims, readings = [claim for claim, _ in chosen], [reading for _, reading in chosen]
    summaries = [reading.summary for reading in readings]
    published = [kind.scale * (claim.published or 0.0) for claim in claims]
    means = [kind.scale * summary.mean for summary in summaries]
    low = [kind.scale * summary.prediction_low for summary in summaries]
    high = [kind.scale * summary.prediction_high for summary in summaries]
    bars = "Of a single run there is no interval."
    if any(summary.n > 1 for summary in summaries):
        bars = "Bars: 95 % prediction interval of one run, which holds 95 % of what single runs of that recipe give."
    reproduced = sum(reading.verdict == "reproduced" for reading in readings)
    data = _data(results, *(reading.arm for reading in readings))

    def draw() -> Figure:
        return plot.against_published(
            [f"{claim.id}  {reading.arm}" for claim, reading in chosen],
            published,
            means,
            low,
            high,
            f"Ours against published: {kind.label}",
            data=data,
            label=kind.heading,
            decimals=kind.digits,
            published_words=[published_words(claim).removesuffix(kind.unit) for claim in claims],
        )

    return Picture(
        f"published-{name.replace('_', '-')}{part}",
        f"Published {kind.label} (diamonds) and ours, the mean over seeds (dots). {bars}",
        f"Published values of {kind.label} beside our means with prediction intervals; "
        f"{reproduced} of {len(chosen)} are reproduced.",
        draw,
    )


# Learning curves ----------------------------------------------------------------------------------------------------


def curve_pictures(results: Results) -> list[Picture]:
    """The study's figures of learning curves, by default one per arm; without arms that have no finished run."""
    figures = results.study.curves or tuple(Curves(arm.name, (arm.name,)) for arm in results.study.arms)
    finished = [(one.title, tuple(arm for arm in one.arms if results.runs[arm])) for one in figures]
    chosen = [(title, arms) for title, arms in finished if arms]
    return [_curve(results, f"curves-{place:02d}", title, arms) for place, (title, arms) in enumerate(chosen, start=1)]


def _curve(results: Results, name: str, title: str, arms: tuple[str, ...]) -> Picture:
    counts = sorted({len(results.runs[arm]) for arm in arms})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    of = f" of {arms[0]}" if len(arms) == 1 and title != arms[0] else ""
    band = (
        "the only seed." if counts[-1] == 1 else f"mean over {seeds} seeds; band: from the lowest to the highest seed."
    )
    caption = f"Loss and accuracy{of} in training and validation. Line: {band}"
    if any(len({len(run.history) for run in results.runs[arm]}) > 1 for arm in arms):
        caption += " Runs stop at different epochs: the line is thin where it is the mean over those that went on."
    folds = [results.study[arm].recipe.folds for arm in arms]
    if any(folds):
        caption += " Of each cross-validated run, its first fold."
    caption += " Training values are means over an epoch while the net learned, with dropout where there is any."
    data = _data(results, *arms)

    def draw() -> Figure:
        curves = {arm: {column: results.curve(arm, column) for column in _COLUMNS} for arm in arms}
        return plot.seed_curves(curves, title, data=data)

    final = "; ".join(f"{arm} ends at {_final(results, arm)}" for arm in arms)
    alt = f"{title}: curves of loss and accuracy against the epoch for training and validation. Validation: {final}."
    return Picture(name, caption, alt, draw)


def _final(results: Results, arm: str) -> str:
    accuracies = results.curve(arm, "val_accuracy")
    ends = [row[np.isfinite(row)][-1] for row in accuracies if np.isfinite(row).any()]
    return measure("val_accuracy").words(float(np.mean(ends))) if ends else "an accuracy that was not measured"


# The best arm, and penalties ----------------------------------------------------------------------------------------


def confusion_picture(results: Results) -> Picture | None:
    """Confusion matrix of the arm that is best in validation; None where no arm was validated, or data sets differ."""
    means = {
        arm: summary.mean
        for arm in results.runs
        if (summary := summary_of(results, arm, "val_accuracy")[0]) is not None
    }
    if not means or len({arm.recipe.data for arm in results.study.arms}) > 1:
        return None
    best = max(means, key=lambda arm: means[arm])
    count = len(results.runs[best])
    runs = "1 run" if count == 1 else f"{count} runs"

    def draw() -> Figure:
        title = f"Confusion matrix: {best}, {runs}"
        return plot.confusion(results.confusion(best), results.classes, title, data=results.data)

    return Picture(
        "confusion",
        f"Test images of each class and what they were taken for, all {runs} of {best} together: the arm with the "
        f"highest mean validation accuracy ({measure('val_accuracy').words(means[best])}), so that the test data did "
        "not choose it.",
        f"Confusion matrix of {best} over {runs}: rows are true classes, columns predicted ones.",
        draw,
    )


def weights_picture(results: Results) -> Picture | None:
    """Share of weights near zero of arms with a penalty, beside the same without; None where no arm has one."""

    def bare(name: str) -> object:
        return results.study[name].recipe.replace(l1=0.0, l2=0.0)

    recipes = {arm.name: arm.recipe for arm in results.study.arms}
    penalised = [bare(name) for name, recipe in recipes.items() if recipe.l1 or recipe.l2]
    found = {arm: summary_of(results, arm, "near_zero")[0] for arm in recipes if bare(arm) in penalised}
    summaries = {arm: summary for arm, summary in found.items() if summary is not None}
    if not summaries:
        return None
    kind = measure("near_zero")
    means = [kind.scale * summary.mean for summary in summaries.values()]
    # A single run has no interval, and is drawn as a dot.
    low = [kind.scale * (one.mean if one.n == 1 else one.low) for one in summaries.values()]
    high = [kind.scale * (one.mean if one.n == 1 else one.high) for one in summaries.values()]
    data = _data(results, *summaries)

    def draw() -> Figure:
        title = "Weights near zero, by penalty"
        return plot.bars_with_intervals(list(summaries), means, low, high, title, data=data, label=kind.heading)

    return Picture(
        "weights-near-zero",
        "Share of the weights (biases apart) with abs(w) ≤ 0.001 at the end: mean over seeds and its 95 % interval, "
        "for arms with an L1 or L2 penalty and the same recipe without.",
        "Share of weights near zero: " + "; ".join(f"{arm} {kind.words(one.mean)}" for arm, one in summaries.items()),
        draw,
    )
