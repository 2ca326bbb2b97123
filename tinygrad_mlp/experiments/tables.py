"""`Table`: rows of text and numbers, which every format of a report shows in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tinygrad_mlp.errors import ShapeError

__all__ = ["Cell", "Table", "loss", "percent"]


@dataclass(frozen=True)
class Cell:
    """What stands in a table: words, the number to sort by (if it is one), and the runs that it was computed from."""

    words: str
    number: float | None = None
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A titled table; all rows have a cell for each column.

    Raises `ShapeError` for a row of another length.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    name: str = field(default="")

    def __post_init__(self) -> None:
        for place, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ShapeError(
                    f"Table {self.title!r}: row {place} has {len(row)} cells, expected {len(self.columns)}"
                )

    def cells(self) -> Iterator[Cell]:
        """All cells, row by row."""
        return (cell for row in self.rows for cell in row)


def percent(share: float, runs: tuple[str, ...] = ()) -> Cell:
    """A share as percent with two decimals: 0.8703 -> 87.03 %."""
    return Cell("–" if share != share else f"{100 * share:.2f} %", share, runs)  # noqa: PLR0124  NaN


def loss(value: float, runs: tuple[str, ...] = ()) -> Cell:
    """A loss with four decimals."""
    return Cell("–" if value != value else f"{value:.4f}", value, runs)  # noqa: PLR0124
