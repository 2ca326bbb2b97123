"""All that training needs in order to go on: gathered from a Trainer into arrays and plain numbers, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.kernels.record import about_to_write
from tinygrad_mlp.kernels.score import add_loss, add_scores
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.train.evaluation import has_labels
from tinygrad_mlp.train.history import History
from tinygrad_mlp.train.weighting import add_scores_of_counted

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["EpochSums", "Undo", "copy_of_weights", "gather", "generators_of", "restore"]


class EpochSums:
    """What an epoch has added up so far; its means are what progress shows and the history keeps.

    It stands in arrays, to which a captured step adds.
    """

    def __init__(self) -> None:
        self._loss_sum = np.zeros(1)
        self._counts = np.zeros(3, np.int64)
        self.seconds = 0.0
        self.ignored: int | None = None
        """The label of samples that are to count nothing, where there may be such: see `weighting.ignored_label`."""

    def add(self, loss: Tensor, output: Tensor, target: Tensor) -> None:
        """Add a batch: its mean loss, and how many of its labels the output is right about."""
        about_to_write(self._loss_sum, self._counts)
        mean = loss.array.reshape(1)
        if has_labels(output, target) and self.ignored is not None:
            sums = (self._loss_sum, self._counts)
            launch(add_scores_of_counted, mean, output.array, target.array, self.ignored, *sums)
        elif has_labels(output, target):
            launch(add_scores, mean, output.array, target.array, self._loss_sum, self._counts)
        else:
            launch(add_loss, mean, len(target), self._loss_sum, self._counts)

    def clear(self) -> None:
        """Begin another epoch."""
        self.load({"loss_sum": 0.0, "right": 0, "labelled": 0, "samples": 0, "seconds": 0.0})

    def as_dict(self) -> dict[str, Any]:
        """All sums, as a checkpoint keeps them."""
        right, labelled, samples = self._counts.tolist()
        return {
            "loss_sum": self._loss_sum.item(),
            "right": right,
            "labelled": labelled,
            "samples": samples,
            "seconds": self.seconds,
        }

    def load(self, sums: Mapping[str, Any]) -> None:
        """Take over what `as_dict` gave."""
        self._loss_sum[0] = sums["loss_sum"]
        self._counts[:] = sums["right"], sums["labelled"], sums["samples"]
        self.seconds = sums["seconds"]

    @property
    def samples(self) -> int:
        """How many there were so far."""
        return self._counts[2].item()

    @property
    def loss(self) -> float:
        """Mean over the samples so far."""
        return self._loss_sum.item() / self.samples if self.samples else 0.0

    @property
    def accuracy(self) -> float | None:
        """Share of samples classified correctly so far; None where there are no labels."""
        right, labelled, _ = self._counts.tolist()
        return right / labelled if labelled else None

    @property
    def samples_per_second(self) -> float:
        """Speed so far."""
        return self.samples / self.seconds if self.seconds else 0.0


def gather(trainer: Trainer) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and JSON-able numbers from which `restore` brings a Trainer to the same state, bit for bit."""
    arrays = {f"net/{name}": tensor.array for name, tensor in trainer.net.state_dict().items()}
    arrays |= {f"best/{name}": array for name, array in trainer.best_weights.items()}
    arrays |= {f"random/{name}": generator.get_state() for name, generator in generators_of(trainer.net).items()}
    info: dict[str, Any] = {
        "settings": trainer.settings,
        "epoch": trainer.epoch,
        "batch": trainer.batch,
        "sums": trainer.sums.as_dict(),
        "history": trainer.history.rows,
        "stop_reason": trainer.stop_reason,
        "made_with": trainer.made_with,
        "optimizer": _gather_optimizer(trainer.optimizer, arrays),
    }
    if trainer.schedule is not None:
        info["schedule"] = trainer.schedule.state_dict()
    if trainer.average is not None:
        average = trainer.average.state_dict()
        info["average_updates"] = average["updates"]
        arrays |= {f"average/{name}": array for name, array in average["average"].items()}
    return arrays, info


def restore(trainer: Trainer, arrays: Mapping[str, Array], info: Mapping[str, Any]) -> None:
    """Bring a Trainer to the state that `gather` saw. Raises `CheckpointError` where something does not fit it."""
    generators, states = generators_of(trainer.net), _below("random", arrays)
    if set(generators) != set(states):
        raise CheckpointError(f"random generators {sorted(states)} were saved, but the net has {sorted(generators)}")
    trainer.net.load_state_dict(_below("net", arrays))
    trainer.optimizer.load_state_dict(_optimizer_state(info["optimizer"], arrays))
    if trainer.schedule is not None:
        trainer.schedule.load_state_dict(info["schedule"])
    if trainer.average is not None:
        trainer.average.load_state_dict({"updates": info["average_updates"], "average": _below("average", arrays)})
    for name, generator in generators.items():
        generator.set_state(states[name])
    trainer.best_weights = _below("best", arrays)
    trainer.epoch, trainer.batch = info["epoch"], info["batch"]
    trainer.sums.load(info["sums"])
    trainer.history = History(info["history"])
    trainer.stop_reason = info["stop_reason"]


def generators_of(net: Module) -> dict[str, Generator]:
    """The default generator, and those that modules hold themselves, as `Dropout(generator=...)` does, by name."""
    found = {"default": default_generator}
    for path, module in net.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Generator) and value is not default_generator:
                found[f"{path}.{name}"] = value
    return found


class Undo:
    """Takes back what a step did before it failed: drew random numbers, moved running statistics. Weights it left."""

    def __init__(self, net: Module) -> None:
        self._buffers = list(net.buffers())
        sources = [generator.state for generator in generators_of(net).values()]
        sources += [buffer.array for buffer in self._buffers]
        self.copies: list[tuple[Array, Array]] = [(np.empty_like(source), source) for source in sources]
        """What to copy before each step: (target, source)."""
        self.remember()

    def remember(self) -> None:
        """Note how everything is before a step."""
        for target, source in self.copies:
            np.copyto(target, source)

    def take_back(self) -> None:
        """Make everything as it was."""
        for kept, state in self.copies:
            np.copyto(state, kept)
        for buffer in self._buffers:
            buffer.counter[0] += 1


def copy_of_weights(net: Module) -> dict[str, Array]:
    """The net's state dict as arrays of its own."""
    return {name: tensor.array.copy(order="K") for name, tensor in net.state_dict().items()}


def _gather_optimizer(optimizer: Optimizer, arrays: dict[str, Array]) -> dict[str, Any]:
    """Put the arrays of the optimizer's state into `arrays`; return its numbers."""
    state = optimizer.state_dict()
    numbers: dict[str, dict[str, Any]] = {}
    for position, entry in state["state"].items():
        numbers[str(position)] = {}
        for name, value in entry.items():
            if value is None or isinstance(value, int | float):
                numbers[str(position)][name] = value
            else:
                arrays[f"optimizer/{position}/{name}"] = value.array if isinstance(value, Tensor) else value
    return {"state": numbers, "param_groups": state["param_groups"]}


def _optimizer_state(saved: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """What `_gather_optimizer` took apart, together again."""
    state = {position: dict(numbers) for position, numbers in saved["state"].items()}
    for key, array in _below("optimizer", arrays).items():
        position, name = key.split("/", 1)
        state[position][name] = array
    return {"state": state, "param_groups": saved["param_groups"]}


def _below(kind: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays named `kind/…`, without that prefix."""
    return {name.removeprefix(f"{kind}/"): array for name, array in arrays.items() if name.startswith(f"{kind}/")}
