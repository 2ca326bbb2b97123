"""How fast tinygrad_mlp trains small nets, beside NumPy by hand, PyTorch, torch.compile and jax, on this machine.

    python benchmarks/speed.py                                    # everything: about 20 minutes
    python benchmarks/speed.py --only W1 W2 --threads 2           # two rows of the table of training steps
    python benchmarks/speed.py --only kernels nets                # the table of kernels, and nets trained in an hour
    python benchmarks/speed.py --only conv                        # of the kernels those on images alone
    python benchmarks/speed.py --peers-python ~/torch/bin/python  # peers that live in another environment
    python benchmarks/speed.py --quick                            # does it all work? rough figures in a minute

Each contender is a process of its own, one works at a time, in rounds that take turns; what others took of the machine
meanwhile is recorded, and a disturbed block is timed again. Contenders must first show the same losses. The figures go
to the screen, to a JSON file and to a bar chart beside it. The exit code is 1 if a contender was refused or failed.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Protocol

if not __package__:  # run as a script: the folder of this file would hide the standard library's `statistics`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console, RenderableType
from rich.text import Text

from benchmarks import chart, kernel_table, nets_an_hour, training_steps
from benchmarks.kernel_table import DifferentResultsError
from benchmarks.machine import describe, usable_cpus, versions
from benchmarks.rounds import MissingError, WorkerError
from benchmarks.settings import Settings
from benchmarks.step_results import CONTENDERS
from benchmarks.workloads import WORKLOADS
from tinygrad_mlp.errors import TinygradError

# Others cannot take more CPUs than there are: no block is repeated.
_QUICK = {"quick": True, "rounds": 3, "block_seconds": 0.03, "foreign_limit": float(usable_cpus() + 1), "patience": 0.0}
_WIDTH = 130  # columns of a table that goes to no terminal


class _Result(Protocol):
    """What a part of the benchmarks returns."""

    def table(self) -> RenderableType: ...
    def as_json(self) -> dict[str, Any]: ...


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = _fail  # one line, without the usage
    option = parser.add_argument
    parts = [*WORKLOADS, "kernels", "conv", "nets"]  # conv is a part of kernels
    option("--only", nargs="+", choices=parts, metavar="PART", help=f"of {', '.join(parts)} (default: all)")
    option("--contenders", nargs="+", choices=list(CONTENDERS), metavar="NAME", help=", ".join(CONTENDERS))
    option("--threads", nargs="+", type=_count, help="numbers of threads (default: 1 2, as far as there are cores)")
    option("--peers-python", metavar="PATH", help="the Python that the peers are installed for (default: this one)")
    option("--rounds", type=_count, help="timed blocks of each contender (default: 15)")
    option("--seed", type=int, default=0, help="of weights, images drawn and the order of contenders")
    option("--json", type=Path, metavar="PATH", help="default: runs/speed/<date and time>.json")
    option("--quick", action="store_true", help="few and short blocks")
    args = parser.parse_args(argv)
    if args.threads and max(args.threads) > usable_cpus():
        _fail(f"--threads {max(args.threads)}: this process may use {usable_cpus()} CPUs")
    if args.peers_python and shutil.which(args.peers_python) is None:
        _fail(f"--peers-python: there is no program {args.peers_python}")
    if args.contenders and "ours" not in args.contenders:
        _fail("--contenders: name ours too, since all are compared with it")
    return args


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _settings(args: argparse.Namespace) -> Settings:
    chosen: dict[str, Any] = {
        "threads": tuple(sorted(set(args.threads))) if args.threads else None,
        "peers_python": args.peers_python,
        "contenders": tuple(args.contenders) if args.contenders else None,
        "workloads": tuple(name for name in WORKLOADS if name in args.only) if args.only else None,
        "rounds": args.rounds,
        "seed": args.seed,
    }
    settings = replace(Settings(), **_QUICK) if args.quick else Settings()
    return replace(settings, **{name: value for name, value in chosen.items() if value is not None})


def _parts(settings: Settings, only: list[str] | None, say: Callable[[str], None]) -> dict[str, Callable[[], _Result]]:
    """What is to be measured, by its key in the results."""
    parts: dict[str, Callable[[], _Result]] = {}
    if only is None or settings.workloads:
        parts["training_steps"] = lambda: training_steps.measure(settings, say)
    if only is None or "kernels" in only:
        parts["kernels"] = lambda: kernel_table.measure(settings)
    elif "conv" in only:
        parts["kernels"] = lambda: kernel_table.measure(settings, select=kernel_table.is_of_images)
    if only is None or "nets" in only:
        parts["nets_an_hour"] = lambda: nets_an_hour.measure(settings)
    return parts


def _run(args: argparse.Namespace) -> int:
    settings, start = _settings(args), time.perf_counter()
    path = args.json or Path("runs", "speed", time.strftime("%Y-%m-%d-%H%M%S") + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH
    results: dict[str, Any] = {
        "machine": describe(),
        "versions": versions("tinygrad_mlp", "numpy", "numba", "llvmlite"),
        "settings": vars(settings),
        "command": sys.argv,
    }
    _print_machine(console, results)
    troubles: list[str] = []
    with Console(stderr=True).status("starting") as status:
        for key, measure in _parts(settings, args.only, status.update).items():
            status.update(key.replace("_", " "))
            try:
                result = measure()
            except (WorkerError, MissingError, DifferentResultsError) as error:
                troubles.append(f"{key}: {error}")
                continue
            results[key] = result.as_json()
            troubles += results[key].get("troubles", [])
            path.write_text(json.dumps(results, indent=1), encoding="utf-8")  # what is measured is kept, come what may
            console.print(result.table())
    for trouble in troubles:
        console.print(Text(f"REFUSED OR FAILED  {trouble}", style="bold red"))
    _draw(results, path, console)
    console.print(f"{time.perf_counter() - start:.0f} s; all numbers are in {path}")
    return 1 if troubles else 0


def _print_machine(console: Console, results: Mapping[str, Any]) -> None:
    machine, packages = results["machine"], results["versions"]
    console.print(
        f"{machine['cpu']}, {machine['usable_cpus']} CPUs ({', '.join(machine['features'])}), "
        f"{machine['memory_gib']} GiB, {machine['system']}"
    )
    console.print(", ".join(f"{name} {number}" for name, number in packages.items()))
    console.print(f"CPU time that others take: {machine['foreign_cpu_time']}.")


def _draw(results: Mapping[str, Any], path: Path, console: Console) -> None:
    """The chart of training steps, beside the JSON file."""
    rows = results.get("training_steps", {}).get("rows", {})
    if any(row["rounds"] for row in rows.values()):
        picture = path.with_suffix(".png")
        chart.draw(results).savefig(picture)
        console.print(f"The chart is {picture}.")


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: list[str]) -> int:
    """Run the benchmarks; 1 if a contender was refused or failed, 2 for wrong arguments, 130 after Ctrl-C."""
    args = _parse(argv)
    signal.signal(signal.SIGINT, _interrupt)  # a background job of a shell ignores it otherwise
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(args)
    except KeyboardInterrupt:
        print("\nstopped; all workers have ended, and the part under way is not kept", file=sys.stderr)
        return 130
    except (TinygradError, OSError) as error:
        _fail(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
