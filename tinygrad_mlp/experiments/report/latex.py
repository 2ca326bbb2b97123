"""`tables.tex`: the tables with booktabs, to be included in a paper."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_mlp.experiments.report.text import escape_latex as escape
from tinygrad_mlp.experiments.tables import Table

__all__ = ["latex_table", "render_latex"]

_LONG = 36  # characters; a column with more wraps
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
    """A floating table, made narrower where it would be wider than the line."""
    columns = "".join(_column(table, place) for place in range(len(table.columns)))
    rows = "\n".join(" & ".join(escape(cell.words) for cell in row) + r" \\" for row in table.rows)
    note = f" {escape(table.note)}" if table.note else ""
    title = escape(table.title.rstrip("."))
    return rf"""\begin{{table}}[htbp]
\centering
\caption{{{title}.{note}}}
\label{{tab:{"".join(letter for letter in table.name if letter.isascii() and (letter.isalnum() or letter == "-"))}}}
\resizebox{{\ifdim\width>\linewidth \linewidth\else \width\fi}}{{!}}{{%
\begin{{tabular}}{{@{{}}{columns}@{{}}}}
\toprule
{" & ".join(escape(words) for words in table.columns)} \\
\midrule
{rows}
\bottomrule
\end{{tabular}}}}
\end{{table}}
"""


def _column(table: Table, place: int) -> str:
    cells = [row[place] for row in table.rows]
    if any(len(cell.words) > _LONG for cell in cells):
        return r"p{0.4\linewidth}"
    return "r" if any(cell.number is not None for cell in cells) else "l"
