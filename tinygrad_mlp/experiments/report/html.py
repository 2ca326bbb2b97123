"""`report.html`: one page that needs no network, in light and dark, with tables that sort and figures as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_mlp.experiments.report.document import HOW_TO_JUDGE, VERIFY, Document
from tinygrad_mlp.experiments.report.figures import Picture
from tinygrad_mlp.experiments.tables import Cell, Table

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render_html"]

# From good to bad, which is also how a column of verdicts sorts.
_VERDICTS = (
    *("reproduced", "exceeded", "better", "higher", "equivalent", "undecided", "underspecified", "worse", "lower"),
    *("not reproduced", "not run"),
)
_LONG = 36  # characters; text beyond wraps
_NARROW = 16  # and on a phone the first column, which stays in sight, beyond this


@dataclass(frozen=True)
class _CellView:
    """A cell as the page shows it."""

    words: str
    sort: str = ""  # what its column is sorted by; empty goes last
    href: str = ""
    runs: str = ""  # numbers of rows in the table of runs: "1-10 14"
    css: str = ""
    badge: str = ""


@dataclass(frozen=True)
class _ColumnView:
    words: str
    css: str


@dataclass(frozen=True)
class _RowView:
    cells: list[_CellView]
    id: str = ""
    number: int = 0


@dataclass(frozen=True)
class _TableView:
    name: str
    title: str
    note: str
    columns: list[_ColumnView]
    rows: list[_RowView]


@dataclass(frozen=True)
class _PictureView:
    name: str
    caption: str
    svg: str


@dataclass(frozen=True)
class _SectionView:
    title: str
    anchor: str
    words: str
    blocks: list[_TableView | _PictureView]


def render_html(document: Document, pictures: Mapping[str, str], folder: Path, runs_folder: str) -> str:
    """The page, to be in `folder`. `pictures` are SVG elements by name; links lead from there to the files of runs."""
    numbers = _numbers_of_runs(document)
    sections: list[_SectionView] = []
    for section in document.sections:
        blocks: list[_TableView | _PictureView] = []
        for block in section.blocks:
            if isinstance(block, Picture):
                blocks.append(_PictureView(block.name, block.caption, pictures[block.name]))
            else:
                blocks.append(_table(block, numbers, folder, runs_folder))
        sections.append(_SectionView(section.title, section.anchor, section.words, blocks))
    return _template().render(document=document, sections=sections, how_to_judge=HOW_TO_JUDGE, verify=VERIFY)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["badge"] = _badge
    return environment.get_template("template.html")


def _numbers_of_runs(document: Document) -> dict[str, int]:
    """Each run's number on the page, in the order of the table of runs."""
    keys = [row[0].runs[0] for table in document.tables if table.name == "runs" for row in table.rows]
    return {key: number for number, key in enumerate(dict.fromkeys(keys), start=1)}


def _table(table: Table, numbers: Mapping[str, int], folder: Path, runs_folder: str) -> _TableView:
    columns = [_ColumnView(words, _column_css(table, place)) for place, words in enumerate(table.columns)]
    rows: list[_RowView] = []
    shown: set[str] = set()
    for row in table.rows:
        cells = [_cell(cell, column.words, column.css, numbers) for cell, column in zip(row, columns, strict=True)]
        if table.name == "runs":
            key = row[0].runs[0]
            path = Path(runs_folder, f"{key}.json")
            cells = [_CellView(cell.words, cell.sort, css=cell.css, badge=cell.badge) for cell in cells]
            href = path.as_posix() if (folder / path).is_file() else ""
            cells[0] = _CellView(row[0].words, key, href, css="run")
            # Arms with the same recipe share their runs; an id stands on a page once.
            rows.append(_RowView(cells, "" if key in shown else f"run-{key}", numbers[key]))
            shown.add(key)
        else:
            rows.append(_RowView(cells))
    return _TableView(table.name, table.title, table.note, columns, rows)


def _column_css(table: Table, place: int) -> str:
    cells = [row[place] for row in table.rows if row[place].words != "–"]
    if cells and sum(cell.number is not None and _is_short(cell.words) for cell in cells) * 2 > len(cells):
        return "number"
    if not all(_is_short(cell.words) for cell in cells):
        return "long"
    return "name" if place == 0 and any(len(cell.words) > _NARROW for cell in cells) else ""


def _is_short(words: str) -> bool:
    return len(words) <= _LONG


def _cell(cell: Cell, column: str, css: str, numbers: Mapping[str, int]) -> _CellView:
    badge = _badge(cell.words) if column == "verdict" else ""
    known = [key for key in cell.runs if key in numbers]
    href = f"#run-{known[0]}" if known else ""
    return _CellView(cell.words, _sort_key(cell, badge), href, _ranges([numbers[key] for key in known]), css, badge)


def _sort_key(cell: Cell, badge: str) -> str:
    if badge:
        return str(
            next((place for place, words in enumerate(_VERDICTS) if cell.words.startswith(words)), len(_VERDICTS))
        )
    if cell.number is not None:
        return "" if math.isnan(cell.number) else repr(cell.number)
    return "" if cell.words == "–" else cell.words


def _badge(words: str) -> str:
    """Name of a verdict's style: `not-reproduced`."""
    return next((word.replace(" ", "-") for word in _VERDICTS if words.startswith(word)), "other")


def _ranges(numbers: list[int]) -> str:
    """1, 2, 3, 7 -> `1-3 7`."""
    ordered, parts = sorted(set(numbers)), list[list[int]]()
    for number in ordered:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
