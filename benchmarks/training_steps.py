"""Microseconds of one training step, for each workload and contender, side by side.

For each workload, all contenders with each number of threads are processes that sleep until they are called. First each
trains from the same weights on the same batches: whose losses differ from those of a reference in float64 is refused.
The others are timed in interleaved rounds (see `rounds`), every step on images that it draws itself.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.all_cpus import AllCpus
from benchmarks.calm import Calm
from benchmarks.contenders.common import Handout, write_handout
from benchmarks.peak import measure_multiply_adds
from benchmarks.reference import Reference
from benchmarks.rounds import MissingError, Timer, Worker, WorkerError, Workers, steps_per_block, timed
from benchmarks.rounds import measure as measure_rounds
from benchmarks.settings import Settings
from benchmarks.step_results import CONTENDERS, Row, Run
from benchmarks.step_tables import TrainingSteps
from benchmarks.workloads import IMAGES, LOSS_TOLERANCE, WORKLOADS, Workload
from tinygrad_mlp import data

__all__ = ["Images", "loss_error", "measure"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Images:
    """What is trained on."""

    name: str
    source: str
    train: data.ImageDataset

    @classmethod
    def load(cls) -> Images:
        """The training part of Fashion-MNIST; where it cannot be had, drawn look-alikes, said loudly on stderr."""
        train, _, _ = data.fashion_mnist(standardize="global")
        assert len(train) == IMAGES
        return cls(train.name, train.source, train)

    def handout(self, workload: Workload, seed: int) -> Handout:
        """Images, and weights and batches that depend on the workload and the seed."""
        numbers = np.random.default_rng(seed)
        weights = [
            (spec.center + spec.bound * numbers.uniform(-1, 1, spec.shape)).astype(np.float32)
            for spec in workload.parameters
        ]
        standardization = self.train.standardization
        assert standardization.mean is not None and standardization.std is not None
        return Handout(
            self.train.images.reshape(len(self.train), -1),
            self.train.labels,
            standardization.mean.item() * 255,
            standardization.std.item() * 255,
            weights,
            numbers.integers(0, len(self.train), (workload.check_steps, workload.batch)),
            self.train.sha256,
        )


def loss_error(losses: Sequence[float], reference: Sequence[float]) -> float:
    """The largest distance between two curves of losses, as a part of the second; infinite for NaN or other lengths."""
    if len(losses) != len(reference):
        return math.inf
    distances = [abs(loss / right - 1) for loss, right in zip(losses, reference, strict=True)]
    return max(distance if math.isfinite(distance) else math.inf for distance in distances)


def measure(settings: Settings, say: Say = lambda text: None) -> TrainingSteps:
    """Measure the workloads that the settings name; `say` is told what is going on."""
    images = Images.load()
    limits = measure_multiply_adds(settings)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        for workload in (WORKLOADS[name] for name in settings.workloads or WORKLOADS):
            handout = images.handout(workload, settings.seed)
            write_handout(Path(folder), workload.name, handout)
            rows.append(_measure_row(workload, Path(folder), _reference(workload, handout), settings, say))
    return TrainingSteps(rows, settings, images.name, images.source, limits)


def _reference(workload: Workload, handout: Handout) -> list[float]:
    """The losses of the check, computed in float64."""
    reference = Reference(workload.for_check(), handout)
    return [reference.step_on(indices) for indices in handout.batches]


def _measure_row(workload: Workload, folder: Path, reference: list[float], settings: Settings, say: Say) -> Row:
    row = Row(workload)
    ask = {"workload": workload.name, "folder": str(folder)}
    with Workers() as workers:
        started = {run: _start(workers, run, settings) for run in _runs(workload, settings)}
        say(f"{workload.name}: {len(started)} contenders start, and show their losses")
        checked = _check(row, started, reference, ask)
        timers: dict[str, Timer] = {}
        for run, worker in checked.items():
            say(f"{workload.name}: {run.name} warms up")
            try:
                told = worker.call("prepare", threads=run.threads, **ask)
                timers[run.name] = partial(timed, worker, *_sliced(worker, settings))
            except WorkerError as error:
                row.failed[run] = str(error)
                continue
            row.runs.append(run)
            row.holds[run.contender], row.versions[run.contender] = told["holds"], told["versions"]
        if timers:
            cpus = AllCpus()
            row.rounds = measure_rounds(
                timers,
                settings.rounds,
                seed=settings.seed,
                foreign_limit=settings.foreign_limit,
                calm=Calm(settings.patience, cpus, cpus.alone),
                progress=lambda number: say(f"{workload.name}: round {number} of {settings.rounds}"),
            )
    return row


def _sliced(worker: Worker, settings: Settings) -> tuple[int, int]:
    """How many steps make a slice, and how many slices a block."""
    steps = steps_per_block(worker, settings.block_seconds)
    of_slice = max(1, round(steps * settings.slice_seconds / settings.block_seconds))
    return of_slice, max(1, round(steps / of_slice))


def _runs(workload: Workload, settings: Settings) -> list[Run]:
    names = [name for name in settings.contenders or CONTENDERS if CONTENDERS[name].does(workload)]
    return [Run(name, threads) for name in names for threads in settings.threads]


def _start(workers: Workers, run: Run, settings: Settings) -> Worker:
    entry = CONTENDERS[run.contender]
    python = sys.executable if entry.ours else settings.peers_python
    return workers.start(run.name, entry.module, python=python, threads=run.threads)


def _check(
    row: Row, started: Mapping[Run, Worker], reference: list[float], ask: Mapping[str, str]
) -> dict[Run, Worker]:
    """Those whose losses are the reference's; the row says what became of the others."""
    for run, worker in started.items():
        worker.send("check", threads=run.threads, **ask)
    agreed: dict[Run, Worker] = {}
    for run, worker in started.items():
        try:
            losses = worker.receive()
        except MissingError as error:
            row.missing[run.contender] = error.package
        except WorkerError as error:
            row.failed[run] = str(error)
        else:
            row.loss_errors[run] = loss_error(losses, reference)
            if row.loss_errors[run] <= LOSS_TOLERANCE:
                agreed[run] = worker
    return agreed
