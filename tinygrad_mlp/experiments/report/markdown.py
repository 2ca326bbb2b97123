"""`report.md`: the report as GitHub shows it."""

from __future__ import annotations

from tinygrad_mlp.experiments.report.document import HOW_TO_JUDGE, VERIFY, Document
from tinygrad_mlp.experiments.report.figures import Picture
from tinygrad_mlp.experiments.report.text import escape_markdown as escape
from tinygrad_mlp.experiments.tables import Table

__all__ = ["markdown_table", "render_markdown"]

_FOLDED = 40  # rows; a longer table of runs is shown on demand


def render_markdown(document: Document, pictures: bool = True) -> str:
    """The text of report.md; without pictures it is whole in one file."""
    lines = [f"# {escape(document.title)}"]
    if document.source:
        lines.append(escape(document.source))
    if document.failed:
        lines.append(f"> **{document.failed} run(s) failed.** They are listed under Failed runs, and in no number.")
    if document.missing:
        lines.append(f"> **Without a finished run:** {escape(', '.join(document.missing))}.")
    if document.unfinished:
        lines.append(f"> **Not all runs are finished:** {escape('; '.join(document.unfinished))}.")
    if document.notes:
        lines.append(escape(document.notes))
    if document.tally:
        lines.append("**" + ", ".join(f"{count} {verdict}" for verdict, count in document.tally) + "**")
    lines.append("\n".join(f"- {escape(label)}: {_fact(label, words)}" for label, words in document.facts))
    for section in document.sections:
        if not pictures and all(isinstance(block, Picture) for block in section.blocks):
            continue
        lines.append(f"## {escape(section.title)}")
        if section.words:
            lines.append(escape(section.words))
        for block in section.blocks:
            if isinstance(block, Picture) and not pictures:
                continue
            if isinstance(block, Picture):
                lines += [f"![{escape(block.alt)}](figures/{block.name}.png)", escape(block.caption)]
            else:
                lines.append(_block(block, section.title))
    lines += ["## Settings", escape(document.settings)]
    lines.append("\n".join(f"- {escape(line)}" for line in document.settings_lines))
    lines += ["## How claims are judged", *(f"**{escape(what)}** {escape(words)}" for what, words in HOW_TO_JUDGE)]
    lines.append(
        f"Every number can be computed again from its runs, in the folder of this report: `{VERIFY}`, where FILE is "
        "the Python file of the study; without it, sentences are not judged again."
    )
    return "\n\n".join(lines) + "\n"


def _fact(label: str, words: str) -> str:
    # In code nothing is escaped, and a backtick would end it.
    return f"`{words}`" if label == "Command" and "`" not in words else escape(words)


def _block(table: Table, section: str) -> str:
    heading = "" if table.title == section else f"### {escape(table.title)}\n\n"
    body = markdown_table(table)
    if len(table.rows) > _FOLDED:
        body = f"<details><summary>{len(table.rows)} rows</summary>\n\n{body}\n\n</details>"
    return f"{heading}{body}" + (f"\n\n{escape(table.note)}" if table.note else "")


def markdown_table(table: Table) -> str:
    """Its rows alone, numbers flush right."""
    numeric = [
        any(row[place].number is not None for row in table.rows)
        and all(len(row[place].words) < 40 for row in table.rows)
        for place in range(len(table.columns))
    ]
    rows = [
        [escape(words) for words in table.columns],
        ["---:" if right else "---" for right in numeric],
        *([escape(cell.words) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
