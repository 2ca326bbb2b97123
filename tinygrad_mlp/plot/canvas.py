"""What all figures share: one style, a title line with the data's name, saving, and a few ways to write text."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import functools
import io
import os
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "EDGE",
    "GRID",
    "INK",
    "MARKERS",
    "MUTED",
    "PALETTE",
    "VERMILION",
    "Floats",
    "Integers",
    "blank_figure",
    "check_classes",
    "check_count",
    "longest_line",
    "message",
    "note",
    "percent",
    "plain",
    "save",
    "styled",
    "wrapped",
]

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# Okabe and Ito's palette, which stays distinct under every common form of colour blindness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
BLUE, VERMILION = PALETTE[:2]
MUTED = "#666666"
INK = "#222222"
EDGE = "#999999"
GRID = "#E3E3E3"

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": EDGE,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "tinygrad_mlp",  # else the ids in an SVG are drawn at random
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5 note"
    "xtick.color": EDGE,
    "xtick.labelcolor": INK,
    "ytick.color": EDGE,
    "ytick.labelcolor": INK,
}

# What savefig would stamp into a file of each format, left out so that the same figure gives the same bytes.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}


def styled(draw: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Run a function under this module's style, starting from matplotlib's defaults, and put the user's style back."""

    @functools.wraps(draw)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        from matplotlib import style

        with style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return wrapper


@functools.cache
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A Figure that a notebook shows even where pyplot was never imported."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            _write(self, buffer, "png", dpi=100)
            return buffer.getvalue()

    return NotebookFigure


def blank_figure(
    width: float,
    height: float,
    title: str,
    data: str,
    caption: str = "",
    layout: Literal["constrained", "compressed"] = "constrained",
) -> Figure:
    """A figure of this size in inches with its title line and, at its foot, a caption; `compressed` is for images."""
    figure = _figure_class()(figsize=(width, height), layout=layout)
    figure.suptitle(" · ".join(part for part in (title, data) if part), x=0.012, ha="left", wrap=True)
    if caption:
        figure.supxlabel(caption, x=0.012, ha="left", fontsize=8, color=MUTED, wrap=True)
    return figure


@styled
def _write(figure: Figure, file: IO[bytes], format: str, dpi: int) -> None:
    figure.savefig(file, format=format, dpi=dpi, metadata=_METADATA[format])


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> Path:
    """Write `figure` to `path` (.png, .pdf or .svg) and return the path; the same figure gives the same bytes.

    Creates the folder. Writes under a temporary name first and renames, so that a file at `path` is always whole.
    Raises `ArgumentError` for another suffix, `OSError` where the folder cannot be written to.
    """
    path = Path(path)
    format = path.suffix.lower().removeprefix(".")
    if format not in _METADATA:
        raise ArgumentError(f"save: {path.name!r} ends in {path.suffix!r}; expected one of .{', .'.join(_METADATA)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            _write(figure, file, format, dpi)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def message(words: str, title: str, data: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = blank_figure(6.6, 1.6, title, data)
    ax = figure.subplots()
    ax.set_axis_off()
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color=MUTED)
    return figure


def note(
    ax: Axes,
    words: str,
    at: tuple[float, float],
    coords: str | tuple[str, str],
    offset: tuple[float, float],
    **style: Any,
) -> None:
    """Text at a place given in `coords` (of the data, or fractions of the axes), moved by `offset` points."""
    ax.annotate(words, at, xytext=offset, xycoords=coords, textcoords="offset points", **style)


def plain(ax: Axes) -> None:
    """Take frame, grid and tick marks away."""
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def percent(share: float) -> str:
    """A share as per cent; never rounded to a certainty or an impossibility that it is not."""
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def wrapped(name: str, width: int = 20, lines: int = 2) -> str:
    """A name on a limited number of lines, its end cut off with an ellipsis if it does not fit."""
    return "\n".join(textwrap.wrap(name, width, max_lines=lines, placeholder="…"))


def longest_line(names: Sequence[str]) -> int:
    """How many characters the longest line of several names has."""
    return max(len(line) for name in names for line in name.split("\n"))


def check_count(caller: str, count: int) -> None:
    """Raise `ArgumentError` unless `count` is at least 1."""
    if count < 1:
        raise ArgumentError(f"{caller}: count is {count}; expected at least 1")


def check_classes(caller: str, what: str, labels: ArrayLike, length: int, number: int) -> Integers:
    """Class numbers as int64 (length,).

    Raises `ShapeError` for another shape, `DtypeError` unless they are integers, `IndexRangeError` for one outside 0 to
    number - 1.
    """
    array = np.asarray(labels)
    if array.shape != (length,):
        raise ShapeError(f"{caller}: {what} has shape {array.shape}; expected ({length},), one class number each")
    if array.dtype.kind not in "iu":
        raise DtypeError(f"{caller}: {what} has dtype {array.dtype}; expected whole numbers, the index of each class")
    outside = np.flatnonzero((array < 0) | (array >= number))
    if outside.size:
        position = int(outside[0])
        raise IndexRangeError(
            f"{caller}: {what} holds {array[position]} at position {position}; "
            f"with {number} classes they must lie in 0 to {number - 1}"
        )
    return array.astype(np.int64)
