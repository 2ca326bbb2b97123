"""`tables.tex`: the tables with booktabs, to be included in a paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tinygrad_mlp.experiments.report.text import escape_latex as escape
from tinygrad_mlp.experiments.tables import Cell, Table

__all__ = ["latex_table", "render_latex"]

_LONG = 36  # characters; a column with more wraps
_LINE = 40  # of those, at least so many to a line
_PAGE = 45  # lines
_CAPTION = 400
_LEFT_OUT = ("runs", "failures")  # for a table on a page too long, or nothing for a paper


def render_latex(tables: Iterable[Table], title: str) -> str:
    """The text of tables.tex."""
    head = (
        f"% Tables of: {' '.join(title.split())}\n"
        "% In the preamble: \\usepackage{booktabs,graphicx,textcomp} and \\usepackage[T1]{fontenc}\n"
        "% Every single run is in results.csv.\n"
    )
    return "\n".join([head, *(latex_table(table) for table in tables if table.name not in _LEFT_OUT)])


def latex_table(table: Table) -> str:
    """Floating tables, made narrower where they would be wider than the line; as many as a long one needs pages.

    A note that is too long for a caption is a paragraph behind them.
    """
    pages = list(_pages(table))
    title, note = escape(table.title.rstrip(".")), escape(table.note)
    short = not note or len(note) <= _CAPTION
    label = "".join(letter for letter in table.name if letter.isascii() and (letter.isalnum() or letter == "-"))
    floats: list[str] = []
    for page, rows in enumerate(pages):
        caption = f"{title}." if page == 0 else f"{title}, continued."
        if page == 0 and note and short:
            caption += f" {note}"
        mark = f"\\label{{tab:{label}}}\n" if page == 0 else ""
        floats.append(_float(table, rows, f"\\caption{{{caption}}}\n{mark}"))
    if not short:
        floats.append(f"\\par{{\\footnotesize\\noindent {title}: {note}\\par}}\n")
    return "\n".join(floats)


def _float(table: Table, rows: Sequence[tuple[Cell, ...]], heading: str) -> str:
    columns = "".join(_column(table, place) for place in range(len(table.columns)))
    body = "\n".join(_row([cell.words for cell in row]) for row in rows)
    return rf"""\begin{{table}}[htbp]
\centering
{heading}\resizebox{{\ifdim\width>\linewidth \linewidth\else \width\fi}}{{!}}{{%
\begin{{tabular}}{{@{{}}{columns}@{{}}}}
\toprule
{_row(table.columns)}
\midrule
{body}
\bottomrule
\end{{tabular}}}}
\end{{table}}
"""


def _row(cells: Sequence[str]) -> str:
    """A line of the table. LaTeX would take a [ or * at its beginning for an argument of what ends the line before."""
    words = " & ".join(map(escape, cells))
    return ("{}" if words.startswith(("[", "*")) else "") + words + r" \\"


def _pages(table: Table) -> Iterator[list[tuple[Cell, ...]]]:
    """Its rows, a float's worth at a time: LaTeX cuts off what is longer than a page."""
    page: list[tuple[Cell, ...]] = []
    lines = 0
    for row in table.rows:
        own = max(-(-len(cell.words) // _LINE) for cell in row) or 1
        if page and lines + own > _PAGE:
            yield page
            page, lines = [], 0
        page.append(row)
        lines += own
    yield page


def _column(table: Table, place: int) -> str:
    cells = [row[place] for row in table.rows]
    if any(len(cell.words) > _LONG for cell in cells):
        return r"p{0.4\linewidth}"
    return "r" if any(cell.number is not None for cell in cells) else "l"
