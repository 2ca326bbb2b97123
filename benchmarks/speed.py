"""How fast tinygrad_mlp trains small nets, beside NumPy by hand, PyTorch, torch.compile and jax, on this machine.

    python benchmarks/speed.py                                  # everything; about 15 minutes
    python benchmarks/speed.py --only W1 W2 --threads 2
    python benchmarks/speed.py --peers-python ~/torch/bin/python  # peers that live in another environment
    python benchmarks/speed.py --quick                          # does it all work? less than a minute, rough figures

Each contender is a process of its own, one works at a time, in rounds that take turns; what others took of the machine
meanwhile is recorded, and a disturbed block is timed again. Contenders must first show the same losses. The figures go
to the screen, and to a JSON file and a bar chart.
"""

import argparse
import json
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

if not __package__:  # run as a script: the folder of this file would hide the standard library's `statistics`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console

from benchmarks import training_steps
from benchmarks.machine import describe, usable_cpus, versions
from benchmarks.settings import Settings
from benchmarks.step_results import CONTENDERS
from benchmarks.workloads import WORKLOADS
from tinygrad_mlp.errors import TinygradError

_QUICK = {"quick": True, "rounds": 3, "block_seconds": 0.03}


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = _fail  # one line, without the usage
    option = parser.add_argument
    option("--only", nargs="+", choices=list(WORKLOADS), metavar="ROW", help=f"rows: {', '.join(WORKLOADS)}")
    option("--contenders", nargs="+", choices=list(CONTENDERS), metavar="NAME", help=", ".join(CONTENDERS))
    option("--threads", nargs="+", type=_count, help="numbers of threads (default: 1 2, as far as there are cores)")
    option("--peers-python", metavar="PATH", help="the Python that the peers are installed for (default: this one)")
    option("--rounds", type=_count, help="timed blocks of each contender (default: 15)")
    option("--seed", type=int, default=0, help="of weights, images drawn and the order of contenders")
    option(
        "--json", type=Path, metavar="PATH", help="default: runs/speed/<date and time>.json; the chart lies beside it"
    )
    option("--quick", action="store_true", help="few and short blocks")
    args = parser.parse_args(argv)
    if args.threads and max(args.threads) > usable_cpus():
        _fail(f"--threads {max(args.threads)}: this process may use {usable_cpus()} CPUs")
    if args.peers_python and shutil.which(args.peers_python) is None:
        _fail(f"--peers-python: there is no program {args.peers_python}")
    return args


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _settings(args: argparse.Namespace) -> Settings:
    chosen: dict[str, Any] = {
        "threads": tuple(sorted(set(args.threads))) if args.threads else None,
        "peers_python": args.peers_python,
        "contenders": tuple(args.contenders) if args.contenders else None,
        "workloads": tuple(args.only) if args.only else None,
        "rounds": args.rounds,
        "seed": args.seed,
    }
    settings = replace(Settings(), **_QUICK) if args.quick else Settings()
    return replace(settings, **{name: value for name, value in chosen.items() if value is not None})


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _run(args: argparse.Namespace) -> int:
    settings, console, start = _settings(args), Console(), time.perf_counter()
    path = args.json or Path("runs", "speed", time.strftime("%Y-%m-%d-%H%M%S") + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = describe()
    console.print(
        f"{machine['cpu']}, {machine['usable_cpus']} CPUs ({', '.join(machine['features'])}), "
        f"{machine['memory_gib']} GiB, {machine['system']}",
        f"Foreign CPU time: {machine['foreign_cpu_time']}.",
        sep="\n",
        highlight=False,
    )
    with Console(stderr=True).status("starting") as status:
        steps = training_steps.measure(settings, status.update)
    console.print(steps.table(), highlight=False)
    results = {
        "machine": machine,
        "versions": versions("tinygrad_mlp", "numpy", "numba", "llvmlite"),
        "settings": vars(settings),
        "command": sys.argv,
        "training_steps": steps.as_json(),
    }
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")
    console.print(f"{time.perf_counter() - start:.0f} s; all numbers are in {path}", highlight=False)
    return 1 if steps.troubles else 0


def main(argv: list[str]) -> int:
    """Run the benchmarks; 1 if a contender was refused or failed, 2 for wrong arguments, 130 after Ctrl-C."""
    args = _parse(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(args)
    except KeyboardInterrupt:
        print("\nstopped; all workers have ended, and nothing was written", file=sys.stderr)
        return 130
    except (TinygradError, OSError) as error:
        _fail(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
