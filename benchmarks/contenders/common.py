"""What all contenders share: the data that they are handed, and the commands by which they are driven.

Standard library and NumPy only: workers import this in Python environments without this package.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import ResidentMemory, versions
from benchmarks.rounds import timed_command
from benchmarks.workloads import WORKLOADS, Workload

__all__ = ["Contender", "EpochContender", "Handout", "commands", "epoch_commands", "read_handout", "write_handout"]


@dataclass(frozen=True)
class Handout:
    """What every contender of a workload gets."""

    images: NDArray[np.uint8]
    """(N, 784)."""
    labels: NDArray[np.int64]
    """(N,)."""
    mean: float
    std: float
    """Inputs are (image - mean) / std in float32."""
    weights: list[NDArray[np.float32]]
    """Of each layer, from the first on, as `Workload.parameters` lists them."""
    batches: NDArray[np.int64]
    """Indices for the check of losses, (steps, batch)."""
    sha256: dict[str, str]
    """Hashes of the files that images and labels come from."""

    def standardized(self) -> NDArray[np.float32]:
        """All images as inputs, (N, 784) float32."""
        inputs = self.images.astype(np.float32)
        inputs -= np.float32(self.mean)
        inputs *= np.float32(1 / self.std)
        return inputs


def write_handout(folder: Path, name: str, handout: Handout) -> None:
    """Write it to files for the workload of this name; images and labels are written once for all."""
    if not (folder / "images.npy").exists():
        np.save(folder / "images.npy", handout.images)
        np.save(folder / "labels.npy", handout.labels)
        inputs = {"mean": handout.mean, "std": handout.std, "sha256": handout.sha256}
        (folder / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    np.save(folder / f"{name}-batches.npy", handout.batches)
    np.savez(folder / f"{name}-weights.npz", *handout.weights)


def read_handout(folder: Path, name: str) -> Handout:
    """What `write_handout` has written for the workload of this name."""
    inputs = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
    with np.load(folder / f"{name}-weights.npz") as archive:
        weights = [archive[f"arr_{place}"] for place in range(len(archive.files))]
    return Handout(
        np.load(folder / "images.npy"),
        np.load(folder / "labels.npy"),
        inputs["mean"],
        inputs["std"],
        weights,
        np.load(folder / f"{name}-batches.npy"),
        inputs["sha256"],
    )


class Contender(Protocol):
    """The data in memory, and after `build` a net and its optimizer, ready to train."""

    holds: ClassVar[str]
    """How it holds the images."""
    packages: ClassVar[tuple[str, ...]]
    """Whose versions matter."""

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None: ...

    def build(self) -> None:
        """Make the net, with the weights handed out, and the optimizer."""
        ...

    def step_on(self, indices: NDArray[np.int64]) -> float:
        """Train one step on these images; return the loss before it."""
        ...

    def run(self, count: int) -> None:
        """Train so many steps, each on images drawn at random within it, and wait until all is done."""
        ...


class EpochContender(Protocol):
    """A net, its optimizer and the data, ready to train whole epochs."""

    packages: ClassVar[tuple[str, ...]]

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None: ...

    def run(self, count: int) -> None:
        """Train so many epochs, each in an order of its own, and add up mean loss and accuracy."""
        ...


def epoch_commands(contender: type[EpochContender]) -> dict[str, Callable[..., Any]]:
    """The commands of a worker that times epochs of this contender."""
    ready: list[EpochContender] = []

    def prepare(workload: str, folder: str, threads: int) -> dict[str, Any]:
        handout = read_handout(Path(folder), workload)
        ready[:] = [contender(WORKLOADS[workload], handout, threads)]
        return {"versions": versions(*contender.packages)}

    def run(count: int) -> None:
        ready[0].run(count)

    return {"prepare": prepare, "timed": timed_command(run)}


def commands(contender: type[Contender]) -> dict[str, Callable[..., Any]]:
    """The commands of a worker that times this contender."""
    ready: list[Contender] = []

    def with_data(workload: Workload, folder: str, threads: int) -> tuple[Contender, Handout]:
        handout = read_handout(Path(folder), workload.name)
        return contender(workload, handout, threads), handout

    def check(workload: str, folder: str, threads: int) -> list[float]:
        """The losses of steps on given batches."""
        trained, handout = with_data(WORKLOADS[workload].for_check(), folder, threads)
        trained.build()
        return [trained.step_on(indices) for indices in handout.batches]

    def prepare(workload: str, folder: str, threads: int) -> dict[str, Any]:
        ready[:] = [with_data(WORKLOADS[workload], folder, threads)[0]]
        ready[0].build()
        return {"holds": contender.holds, "versions": versions(*contender.packages)}

    def memory(workload: str, folder: str, threads: int, steps: int) -> dict[str, int]:
        """Bytes by which so many steps, and the net and optimizer, raise the peak of resident memory; see `memory`."""
        contending, _ = with_data(WORKLOADS[workload], folder, threads)
        before = ResidentMemory.now()
        contending.build()
        contending.run(steps)
        return {"data": before.resident, "growth": before.growth()}

    def run(count: int) -> None:
        ready[0].run(count)

    return {"check": check, "prepare": prepare, "timed": timed_command(run), "memory": memory}
