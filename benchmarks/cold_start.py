"""How long a user waits for the first step: import, kernels compiled anew (cold), and loaded from the cache (warm).

    python benchmarks/cold_start.py                # the default net of examples/fashion_mlp.py, in about a minute
    python benchmarks/cold_start.py --repeats 1

Every process gives one of each figure. The step is the first of `Trainer.fit`, on random images: a batch drawn and
standardised, forward, backward, the metrics, AdamW, the schedule.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if not __package__:  # run as a script: the folder of this file would hide the standard library's `statistics`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import statistics

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]

# Prints the seconds that the import and the step took.
STEP = """
import sys, time
start = time.perf_counter()
import tinygrad_mlp as tg
imported = time.perf_counter()
import numpy as np
sys.path.append("examples")
import fashion_mlp
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (256, 28, 28), np.uint8), rng.integers(0, 10, 256)
training = tg.data.ImageDataset(images, labels, classes=list("0123456789"), standardization="global")
args = fashion_mlp.parse(["--epochs", "1"])
net = fashion_mlp.make_net(args, 784, 10)
optimizer = fashion_mlp.make_optimizer(args, net)
schedule = fashion_mlp.make_schedule(args, optimizer, 1)
trainer = tg.Trainer(net, optimizer, schedule=schedule, epochs=1, batch_size=args.batch_size, progress=False)
begin = time.perf_counter()
trainer.fit(training)
print(imported - start, time.perf_counter() - begin)
"""


def measure(cache: Path) -> tuple[float, float, float]:
    """Seconds of the import, of the first step, and of the whole process, start of Python and all."""
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", STEP],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.exit(result.stderr)
    imported, step = map(float, result.stdout.split())
    return imported, step, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="processes for each figure (default: 3)")
    repeats = max(1, parser.parse_args().repeats)
    with tempfile.TemporaryDirectory() as folder:
        caches = [Path(folder, str(number)) for number in range(repeats)]
        cold = [measure(cache) for cache in caches]
        warm = [measure(cache) for cache in caches]
    table = Table(title="Seconds until the first step is done: 784-512-256-10, ReLU, dropout, AdamW, batch of 256")
    table.add_column("")
    for heading in ("median", "least", "most", "aim"):
        table.add_column(heading, justify="right")
    rows = (
        ("import tinygrad_mlp", [imported for imported, _, _ in warm], "0.8"),
        ("first step, cold cache", [step for _, step, _ in cold], "15"),
        ("first step, warm cache", [step for _, step, _ in warm], "2"),
        ("whole process, cold cache", [whole for _, _, whole in cold], ""),
        ("whole process, warm cache", [whole for _, _, whole in warm], ""),
    )
    for name, seconds, aim in rows:
        table.add_row(name, *[f"{f(seconds):.2f}" for f in (statistics.median, min, max)], aim)
    Console().print(table)


if __name__ == "__main__":
    main()
