"""`python -m tinygrad_mlp verify FOLDER`: check a report against its runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tinygrad_mlp.errors import TinygradError
from tinygrad_mlp.experiments.verify import read_study, verify

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0 where all that can be checked is as reported, 1 where not, 2 where nothing can be."""
    args = _parse(argv)
    failed, left_out, count = 0, 0, 0
    try:
        study = None if args.study is None else read_study(args.study)
        for check in verify(args.folder, study=study, rerun=args.rerun, choice=args.choice):
            count += 1
            failed += not check.ok
            left_out += check.left_out
            if not check.ok or args.verbose or not check.subject.startswith("run ") or "again" in check.subject:
                mark = "FAILED" if not check.ok else "part  " if check.left_out else "ok    "
                print(f"{mark}  {check.subject}: {check.words}", flush=True)
    except TinygradError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if failed:
        print(f"{count} checks, {failed} failed")
    elif left_out:
        why = "the study's code judges these: --study FILE" if study is None else "see above"
        print(f"{count} checks: what was computed is as reported; {left_out} left something out ({why})")
    else:
        print(f"{count} checks: all is as reported")
    return 1 if failed else 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tinygrad_mlp", description=__doc__)
    parser.error = lambda message: parser.exit(2, f"error: {message}\n")  # one line, without the usage
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("verify", help="compute the numbers of a report anew from its stored runs")
    command.error = parser.error
    command.add_argument("folder", type=Path, help="where report and runs are")
    command.add_argument(
        "--study", type=Path, metavar="FILE", help="the study's Python file: sentences are judged, too"
    )
    command.add_argument("--rerun", type=_count, default=0, metavar="K", help="train K of the runs again")
    command.add_argument("--choice", type=int, metavar="SEED", help="of which runs (default: other ones each time)")
    command.add_argument("--verbose", action="store_true", help="a line for each run")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
