"""Nothing that somebody writes into a name or a sentence is taken for markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.experiments.sample import NASTY, some_results
from tinygrad_mlp.experiments.report import all_tables, markdown_table
from tinygrad_mlp.experiments.report.latex import latex_table, render_latex
from tinygrad_mlp.experiments.report.text import escape_latex, escape_markdown
from tinygrad_mlp.experiments.tables import Cell, Table


def a_table(words: str) -> Table:
    return Table(words, ("a", words), ((Cell(words), Cell("1", 1.0)), (Cell("b"), Cell("–"))), words, "t")


def assert_balanced(tex: str) -> None:
    """Braces, dollars and environments come in pairs; each row of a tabular has as many cells as the others."""
    bare = re.sub(r"\\[\\{}$&#%_]", "", tex)
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    begun, ended = re.findall(r"\\begin\{(\w+)\}", tex), re.findall(r"\\end\{(\w+)\}", tex)
    assert sorted(begun) == sorted(ended)


def test_markdown_of_a_nasty_sentence():
    assert escape_markdown("a|b_c & <script> $x$ 5 % *d* `e` [f](g) #1\n2") == (
        r"a\|b\_c &amp; &lt;script&gt; <span>$</span>x<span>$</span> 5 % \*d\* \`e\` \[f\](g) \#1 2"
    )


@given(st.text(max_size=40))
def test_a_row_of_markdown_has_its_cells(words: str):
    lines = markdown_table(a_table(words)).split("\n")
    assert len(lines) == 4
    for line in lines:
        unescaped = re.sub(r"\\.", "", line)
        assert unescaped.count("|") == 3
        assert "<script" not in line


def test_markdown_numbers_are_flush_right():
    assert markdown_table(a_table("x")).split("\n")[1] == "| --- | ---: |"


def test_latex_of_a_nasty_sentence():
    assert escape_latex("5 % of $x_i$ & #1 {y}") == r"5 \% of \$x\_i\$ \& \#1 \{y\}"
    assert escape_latex("\\ ~ ^") == r"\textbackslash{} \textasciitilde{} \textasciicircum{}"
    assert escape_latex("<z>\r\n\x00\x0b|") == r"\textless{}z\textgreater{} \textbar{}"
    assert escape_latex("95\u00a0%, 2\u202f000") == r"95~\%, 2\,000"
    assert escape_latex("λ = −0.1 ± 2, 3×3 – …") == r"$\lambda$ = $-$0.1 $\pm$ 2, 3$\times$3 -- \ldots{}"


def test_latex_of_rows_that_begin_as_an_argument_would():
    rows = (
        tuple(map(Cell, ("[86.4, 88.2]", "2″ ≪ 3·10⁻¹"))),
        tuple(map(Cell, ("*", "a"))),
        tuple(map(Cell, ("a", "["))),
    )
    tex = latex_table(Table("Arms", ("[low, high]", "size"), rows, "", "arms"))
    body = tex.split(r"\toprule")[1].split(r"\bottomrule")[0].strip().splitlines()
    size = r"2$^{\prime\prime}$ $\ll$ 3$\cdot$10$^-$$^1$"
    assert body == [
        r"{}[low, high] & size \\",
        r"\midrule",
        rf"{{}}[86.4, 88.2] & {size} \\",
        r"{}* & a \\",
        r"a & [ \\",
    ]


@given(st.text(max_size=40))
def test_latex_is_balanced(words: str):
    tex = latex_table(a_table(words))
    assert_balanced(tex)
    assert tex.count("\n\n") == 0  # an empty line would end the paragraph, inside a caption an error


def test_tables_of_a_report_are_booktabs_with_whole_rows():
    tables = all_tables(some_results(2))
    tex = render_latex(tables, NASTY + "\n\\input{evil}")
    assert_balanced(re.sub(r"(?m)^%.*$", "", tex))
    assert all(line.startswith("%") for line in tex.split("\n")[:3])
    assert "evil" in tex.split("\n")[0]  # a title of two lines does not leave its comment
    assert tex.count(r"\toprule") == tex.count(r"\bottomrule") == tex.count(r"\midrule") == tex.count(r"\begin{table}")
    assert tex.count(r"\begin{table}") == sum(table.name not in ("runs", "failures") for table in tables)
    for body in re.findall(r"\\toprule\n(.*?)\\bottomrule", tex, re.DOTALL):
        rows = [row for row in body.replace("\\midrule\n", "").split("\n") if row]
        assert all(row.endswith(r" \\") for row in rows)
        assert len({re.sub(r"\\&", "", row).count("&") for row in rows}) == 1


@pytest.mark.parametrize("letters", ["ABC äöü éñ", "0123 ()[]/+=*.,;:!?'@-"])
def test_latex_leaves_plain_letters_alone(letters: str):
    assert escape_latex(letters) == letters


def test_a_long_table_has_as_many_floats_as_it_needs_pages():
    """LaTeX sets a float that is longer than a page, and cuts it off."""
    rows = tuple((Cell(f"arm {place}"), Cell("w" * (400 if place == 50 else 5))) for place in range(100))
    tex = latex_table(Table("Arms", ("arm", "words"), rows, "A note. " * 200, "arms"))
    floats = tex.split(r"\begin{table}")[1:]
    assert len(floats) == 3  # 100 rows, one of which is of 10 lines
    assert all(part.count(r" \\") <= 46 for part in floats)
    assert [f"arm {place} &" in tex for place in range(100)] == [True] * 100
    assert tex.count(r"\label{tab:arms}") == 1
    assert tex.count(r"\caption{Arms, continued.}") == 2
    assert tex.count("A note.") == 200
    assert "A note." not in "".join(part.split(r"\end{table}")[0] for part in floats)
    short = latex_table(Table("Arms", ("arm", "words"), rows[:3], "A note.", "arms"))
    assert r"\caption{Arms. A note.}" in short
    assert short.count(r"\begin{table}") == 1
