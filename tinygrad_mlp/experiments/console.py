"""`main`: the command line of a study; every file of examples/reports ends with it."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_mlp.errors import ArgumentError, TinygradError
from tinygrad_mlp.experiments.report import write_report, write_summary
from tinygrad_mlp.experiments.results import load_results
from tinygrad_mlp.experiments.runner import run
from tinygrad_mlp.experiments.runs import RunStore

if TYPE_CHECKING:
    from rich.table import Table

    from tinygrad_mlp.experiments.claims import Verdict
    from tinygrad_mlp.experiments.results import Results
    from tinygrad_mlp.experiments.study import Study

__all__ = ["main", "verdict_table"]

_WHY = 200  # characters


def main(study: Study, argv: Sequence[str]) -> int:
    """Run a study as the arguments say, write its report, print the verdicts; returns the exit status.

    It is 0, or 1 where a run failed, 2 for wrong arguments or data, 130 after Ctrl-C. Runs that were finished by an
    earlier call are not made again.

    >>> if __name__ == "__main__":
    ...     sys.exit(experiments.main(STUDY, sys.argv[1:]))
    """
    try:
        args = _parser(study).parse_args(argv)
    except SystemExit as leaving:  # --help or a wrong flag: argparse has said what is wrong
        return leaving.code if isinstance(leaving.code, int) else 2
    command = shlex.join(["python", *sys.argv[:1], *argv])
    start = time.perf_counter()
    try:
        _check_publish(study, args)
        part = study if args.only is None else study.with_claims(args.only)
        part = part.quick() if args.quick else part
        out: Path = args.out or Path("runs", study.name + ("-quick" if args.quick else ""))
        if args.so_far:
            results = load_results(part, RunStore(out / "runs"), args.seeds)
            if args.publish is not None and (results.unfinished or not all(results.runs.values())):
                raise ArgumentError("--publish with --so-far: not all runs are finished")
        else:
            results = run(part, out=out, seeds=args.seeds, workers=args.workers)
        seconds = time.perf_counter() - start
        report = out if args.only is None else out / re.sub(r"[^\w.-]", "-", f"only-{'-'.join(args.only)}")
        write_report(results, report, command=command, runs=out / "runs")
        if args.publish is not None:
            write_summary(results, args.publish, command=command)
    except (TinygradError, OSError) as error:  # the latter: a folder or file of the report cannot be written
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted; finished runs are kept. To go on:\n  {command}", file=sys.stderr)
        return 130
    return _say(results, report, seconds)


def _check_publish(study: Study, args: argparse.Namespace) -> None:
    """Raise `ArgumentError` where part of a study would take the place of the whole."""
    if args.publish is None:
        return
    for flag, is_part in (
        ("--only", args.only is not None),
        ("--quick", args.quick),
        (f"--seeds {args.seeds}", args.seeds is not None and args.seeds < study.seeds),
    ):
        if is_part:
            raise ArgumentError(f"--publish with {flag}: it would take the place of the whole study's numbers")
    if args.publish.exists() and not args.publish.is_dir():
        raise ArgumentError(f"--publish {args.publish}: expected a folder, there is a file")


def _parser(study: Study) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=f"{study.title}\n{study.source}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.error = lambda message: parser.exit(2, f"error: {message}\n")  # one line, without the usage
    add = parser.add_argument
    add("--quick", action="store_true", help="one seed, 2 epochs, 2,000 images: to see that it runs")
    add("--seeds", type=_count, help=f"how many (default: {study.seeds})")
    add(
        "--only",
        nargs="+",
        metavar="CLAIM",
        help=f"what these claims need, of {', '.join(claim.id for claim in study.claims)}; B7 stands for B7-…",
    )
    add("--workers", type=_count, help="processes, each with one thread (default: one per CPU)")
    add("--so-far", action="store_true", help="train nothing: report on the runs that are finished")
    add("--out", type=Path, help=f"folder of runs and report (default: runs/{study.name})")
    add("--publish", type=Path, metavar="DIR", help="write all numbers there, too, as CSV and Markdown")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _say(results: Results, report: Path, seconds: float) -> int:
    """Verdicts and failures on the screen."""
    from rich.console import Console

    console = Console()
    if results.study.claims:
        console.print(verdict_table(results.verdicts, results.study.title))
    for failure in results.failed:
        log = f"\n  log: {failure.log}" if failure.log else ""
        print(f"FAILED: {failure.arm}, seed {failure.seed}: {failure.error}{log}", file=sys.stderr)
    runs = sum(map(len, results.runs.values()))
    print(f"{runs} runs, {results.test_uses} uses of the test data, {seconds:.1f} s; report: {report / 'report.html'}")
    return 1 if results.failed else 0


def verdict_table(verdicts: Sequence[Verdict], title: str) -> Table:
    """A rich table of claims and what became of them."""
    from rich.markup import escape
    from rich.table import Table

    colours = {"reproduced": "green", "exceeded": "green", "not reproduced": "red"}
    table = Table(title=escape(title), show_lines=True)
    for heading in ("", "claim", "verdict", "why"):
        table.add_column(heading)
    for verdict in verdicts:
        colour = colours.get(verdict.verdict, "yellow")
        table.add_row(
            escape(verdict.claim.id),
            escape(verdict.claim.text),
            f"[{colour}]{verdict.verdict}[/]",
            escape(textwrap.shorten(verdict.words, _WHY, placeholder=" …")),  # the report has it in full
        )
    return table
