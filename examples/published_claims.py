"""All claims of the published reports with their verdicts, from what the studies in examples/reports have published.

python examples/published_claims.py                              # tables in Markdown, as the README has them
python examples/published_claims.py --picture runs/claims.png    # accuracies, ours beside the published ones
"""

import argparse
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tinygrad_mlp import plot

RESULTS = Path(__file__).parent / "reports" / "results"
ACCURACY = re.compile(r"(?P<mean>[\d.]+) % \\\[(?P<low>[\d.]+), (?P<high>[\d.]+)\\\]")
WIDEST = 110  # characters of what was found, in a table


@dataclass(frozen=True)
class Row:
    """A row of a report's table of claims."""

    id: str
    claim: str
    published: str
    ours: str
    n: str
    verdict: str


def read_claims(path: Path) -> tuple[str, list[Row]]:
    """The title of a study's published Markdown, and its table of claims."""
    text = path.read_text(encoding="utf-8")
    _, found, rest = text.partition("\n## Claims\n")
    lines = [line for line in rest.partition("\nOurs:")[0].splitlines() if line.startswith("|")]
    if not found or len(lines) < 3:
        raise SystemExit(f"{path}: it has no table of claims; make it with the study's --publish {path.parent}")
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]
    return text.splitlines()[0].removeprefix("# "), [Row(*row[:6]) for row in cells]


def as_markdown(title: str, rows: list[Row]) -> str:
    """A report's claims, folded beneath how many have which verdict."""
    verdicts = ["reproduced", "exceeded", "not reproduced", "underspecified", "undecided", "not run"]
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in verdicts}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    lines = [
        "| | claim | published | ours, and the 95 % interval of one run | n | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours = textwrap.shorten(row.ours, WIDEST, placeholder=" …")
        lines.append(f"| {row.id} | {row.claim} | {row.published} | {ours} | {row.n} | {row.verdict} |")
    return "\n".join([f"<details><summary>{title}: {summary}</summary>", "", *lines, "", "</details>", ""])


def label(row: Row) -> str:
    """A claim's id, its net where that is not in the id, and what it is an accuracy of where that is not testing."""
    net = row.claim.partition(":")[0]
    words = row.id if net in row.id else f"{row.id}  {net}"
    return f"{words} (validation)" if "validation" in row.claim and "(validation)" not in words else words


def draw_accuracies(reports: list[tuple[str, list[Row]]], path: Path) -> int:
    """Draw every published accuracy beside ours; returns how many there are."""
    found = [
        (row, match)
        for _, rows in reports
        for row in rows
        if row.published.endswith("%") and (match := ACCURACY.match(row.ours))
    ]
    figure = plot.against_published(
        [label(row) for row, _ in found],
        [float(row.published.removesuffix("%")) for row, _ in found],
        *([float(match[part]) for _, match in found] for part in ("mean", "low", "high")),
        "Accuracies of published reports, and ours",
        data="fashion-mnist, mnist",
        label="%",
    )
    plot.save(figure, path)
    return len(found)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the accuracies, in place of the tables")
    arguments = parser.parse_args(argv)
    reports = [read_claims(path) for path in sorted(RESULTS.glob("*.md"))]
    if arguments.picture is None:
        print("\n".join(as_markdown(*report) for report in reports), end="")
    else:
        print(f"{draw_accuracies(reports, arguments.picture)} accuracies in {arguments.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
