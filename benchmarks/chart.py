"""The picture of a run: how long a training step takes with each contender, one panel for each net.

    python -m benchmarks.chart runs/speed/results.json picture.png

Bars start at zero and each panel has a scale of its own, so that lengths compare what is to be compared: the contenders
on one net. Numbers at the bars say how many times as long as ours a peer takes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.statistics import ENOUGH, quantile

__all__ = ["Bar", "Panel", "Picture", "draw", "draw_picture"]

# Vermilion stands out from greys for all eyes (Okabe & Ito 2008); pale, it is for other ways to use the same.
_OURS, _VARIANT, _FASTEST, _PEER, _INK, _FAINT = "#d55e00", "#f2c19d", "#6e6e6e", "#b8b8b8", "#222222", "#707070"
OURS = "ours"  # its name in the results
_CHARACTER = 0.048  # of the width of the narrowest panel
_WIDTH, _DPI = 10.0, 200  # inches; twice the 1000 pixels of a README, for dense screens
_MOST_IN_A_ROW = 5  # panels
_MILLISECONDS_FROM = 10_000  # microseconds


@dataclass(frozen=True)
class Bar:
    """Microseconds of a step: the median, and the ends of its whisker."""

    contender: str
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """One net and its bars, in any order."""

    name: str
    subtitle: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Picture:
    """All that is drawn; `ours` is the contender that the others are compared with."""

    ours: str
    title: str
    subtitle: str
    footnote: str
    contenders: Sequence[str]
    """From top to bottom, but ours comes first; those without a bar in any panel are named all the same."""
    panels: Sequence[Panel]


def _time(microseconds: float) -> str:
    """As a label: 97.3 µs, 412 µs, 1,050 µs, 25.3 ms."""
    if microseconds >= _MILLISECONDS_FROM:
        return f"{microseconds / 1000:,.1f} ms"
    return f"{microseconds:,.0f} µs" if microseconds >= 100 else f"{microseconds:.3g} µs"


def _label(bar: Bar, mine: Bar | None) -> str:
    if mine is None or bar is mine:
        return _time(bar.median)
    ratio = bar.median / mine.median
    return f"{ratio:.1f}×" if ratio >= 1 else f"{ratio:.2f}×"


def _draw_bars(axes: Axes, panel: Panel, contenders: Sequence[str], ours: str) -> None:
    by_name = {bar.contender: bar for bar in panel.bars}
    mine = by_name.get(ours)
    peers = [bar for bar in panel.bars if not bar.contender.startswith(ours)]  # "tinygrad_mlp, eager" is none
    fastest = min((bar.median for bar in peers), default=0.0)
    # Every label has its place to the right of its bar.
    limit = max((bar.high / (0.93 - _CHARACTER * len(_label(bar, mine))) for bar in panel.bars), default=1.0)
    for place, name in enumerate(contenders):
        bar = by_name.get(name)
        if bar is None:
            axes.text(0.02 * limit, place, "not measured", va="center", color=_FAINT, fontsize=7, style="italic")
            continue
        stands_out = bar is mine or (bar in peers and bar.median == fastest)
        color = _OURS if bar is mine else _FASTEST if stands_out else _PEER if bar in peers else _VARIANT
        whiskers = [[bar.median - bar.low], [bar.high - bar.median]]
        error_style = {"ecolor": _INK, "lw": 0.9, "capsize": 1.5}
        axes.barh(place, bar.median, 0.72, color=color, xerr=whiskers, error_kw=error_style)
        ink, weight = _OURS if bar is mine else _INK, "bold" if stands_out else "normal"
        label_at = bar.high + 0.025 * limit
        axes.text(label_at, place, _label(bar, mine), va="center", color=ink, fontsize=8.5, weight=weight)
    axes.set_xlim(0, limit)


def _dress(axes: Axes, panel: Panel, contenders: Sequence[str], ours: str, is_first: bool) -> None:
    """Title, scale, and the contenders' names beside the first panel."""
    axes.set_ylim(len(contenders) - 0.45, -0.55)
    axes.set_yticks(range(len(contenders)), contenders if is_first else [""] * len(contenders))
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=_INK)
    for label in axes.get_yticklabels():
        if label.get_text() == ours:
            label.set_color(_OURS)
            label.set_fontweight("bold")
    in_milliseconds = max((bar.median for bar in panel.bars), default=0.0) >= _MILLISECONDS_FROM
    title = f"{panel.name} (ms)" if in_milliseconds else panel.name
    axes.set_title(title, loc="left", fontsize=10, weight="bold", color=_INK, pad=24)
    axes.text(
        0, 1.02, panel.subtitle, transform=axes.transAxes, va="bottom", fontsize=6.2, color=_FAINT, linespacing=1.25
    )
    axes.locator_params(axis="x", nbins=3)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}" if in_milliseconds else f"{value:,.0f}")
    axes.tick_params(axis="x", labelsize=7, colors=_FAINT, length=2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_PEER)


def draw_picture(picture: Picture) -> Figure:
    """A figure 1000 pixels wide at 100 dpi; save it at twice that for dense screens."""
    contenders = sorted(picture.contenders, key=lambda name: name != picture.ours)
    rows = max(1, math.ceil(len(picture.panels) / _MOST_IN_A_ROW))
    columns = max(1, math.ceil(len(picture.panels) / rows))
    bars, between = 0.1 + 0.27 * len(contenders), 0.78  # inches: of a panel, and from one to the title of the next
    height = 1.79 + rows * bars + (rows - 1) * between
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.0072 * max(map(len, contenders), default=0),
        right=0.995,
        top=1 - 1.13 / height,
        bottom=0.66 / height,
        wspace=0.1,
        hspace=between / bars,
    )
    for place, axes in enumerate(grid.flat):
        if place >= len(picture.panels):
            axes.set_axis_off()
            continue
        _draw_bars(axes, picture.panels[place], contenders, picture.ours)
        _dress(axes, picture.panels[place], contenders, picture.ours, is_first=place % columns == 0)
    figure.text(0.008, 1 - 0.1 / height, picture.title, va="top", fontsize=13, weight="bold", color=_INK)
    figure.text(0.008, 1 - 0.37 / height, picture.subtitle, va="top", fontsize=8.5, color=_FAINT)
    figure.text(0.008, 0.08 / height, picture.footnote, va="bottom", fontsize=7.5, color=_FAINT)
    return figure


def draw(results: Mapping[str, Any]) -> Figure:
    """The chart of the training steps in the results of `speed`, as its JSON file holds them.

    We stand there with the most threads that were measured, each peer with the number that suits it best.
    """
    steps: Mapping[str, Any] = results["training_steps"]
    rows: Mapping[str, Any] = steps["rows"]
    threads = max(results["settings"]["threads"])
    titles: Mapping[str, str] = {name: title for row in rows.values() for name, title in row["titles"].items()}
    rounds = max((len(row["rounds"]["order"]) for row in rows.values() if row["rounds"]), default=0)
    whiskers = "quartiles" if rounds >= ENOUGH else "lowest to highest"
    ours = titles.get(OURS, OURS)
    used = f"{threads} threads" if threads > 1 else "1 thread"
    beside = f" Peers on as many threads, up to {threads}, as are fastest for them." if threads > 1 else ""
    return draw_picture(
        Picture(
            ours=ours,
            title="Microseconds for one training step, or milliseconds where it says (ms): shorter is better",
            subtitle=f"{results['machine']['cpu']}, {used} · {steps['data']['name']}, "
            "every step on images drawn at random",
            footnote=f"Bars: median of {rounds} interleaved rounds; whiskers: {whiskers}. Numbers: how many times as "
            f"long as {ours}; dark: the fastest peer; pale: {ours} used in other ways.\n"
            f"Each panel has its own scale.{beside}",
            contenders=[titles[name] for name in titles],
            panels=[_panel(name, rows[name]) for name in sorted(rows)],
        )
    )


def _panel(name: str, row: Mapping[str, Any]) -> Panel:
    bars: list[Bar] = []
    for contender, by_threads in row["microseconds"].items():
        if by_threads:
            threads = max(by_threads, key=int) if contender == OURS else min(by_threads, key=by_threads.__getitem__)
            times = [1e6 * seconds for seconds in row["rounds"]["seconds"][f"{contender}@{threads}"]]
            ends = (0.25, 0.75) if len(times) >= ENOUGH else (0.0, 1.0)
            low, middle, high = (quantile(times, part) for part in (ends[0], 0.5, ends[1]))
            bars.append(Bar(row["titles"][contender], middle, low, high))
    net, _, training = row["title"].partition(", ")
    return Panel(name, f"{net}\n{training}", bars)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the chart of a JSON file of benchmarks/speed.py.")
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path, nargs="?", help="default: beside the results")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    target = arguments.picture or arguments.results.with_suffix(".png")
    draw(results).savefig(target)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
