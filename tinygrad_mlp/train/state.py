"""All that training needs in order to go on: gathered from a Trainer into arrays and plain numbers, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.train.evaluation import has_labels
from tinygrad_mlp.train.history import History
from tinygrad_mlp.train.interrupt import say
from tinygrad_mlp.train.settings import differences, listed

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["EpochSums", "Undo", "copy_of_weights", "gather", "generators_of", "restore", "resume"]


@dataclass
class EpochSums:
    """What an epoch has added up so far; its means are what progress shows and the history keeps."""

    loss_sum: float = 0.0
    right: int = 0
    labelled: int = 0
    """Samples with a class label; 0 where targets are none."""
    samples: int = 0
    seconds: float = 0.0

    def add(self, loss: Tensor, output: Tensor, target: Tensor) -> None:
        """Add a batch: its mean loss, and how many of its labels the output is right about."""
        self.loss_sum += loss.item() * len(target)
        self.samples += len(target)
        if has_labels(output, target):
            self.labelled += len(target)
            self.right += int(np.count_nonzero(output.array.argmax(1) == target.array))

    @property
    def loss(self) -> float:
        """Mean over the samples so far."""
        return self.loss_sum / self.samples if self.samples else 0.0

    @property
    def accuracy(self) -> float | None:
        """Share of samples classified correctly so far; None where there are no labels."""
        return self.right / self.labelled if self.labelled else None

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
        "sums": asdict(trainer.sums),
        "history": trainer.history.rows,
        "stop_reason": trainer.stop_reason,
        "optimizer": _gather_optimizer(trainer.optimizer, arrays),
    }
    if trainer.schedule is not None:
        info["schedule"] = trainer.schedule.state_dict()
    if trainer.average is not None:
        average = trainer.average.state_dict()
        info["average_updates"] = average["updates"]
        arrays |= {f"average/{name}": array for name, array in average["average"].items()}
    return arrays, info


def resume(trainer: Trainer, arrays: Mapping[str, Array], info: Mapping[str, Any]) -> None:
    """Bring a new Trainer to where a checkpoint was taken.

    Raises `CheckpointError` for the checkpoint of a run with other settings or data. Another number of epochs is fine,
    with a schedule made for it.
    """
    assert trainer.folder is not None
    where = f"checkpoint {trainer.folder.checkpoint}"
    if not isinstance(info.get("settings"), dict):
        raise CheckpointError(f"{where} was not written by a Trainer")
    epochs = info["settings"]["epochs"]
    allowed = {} if epochs == trainer.epochs else {name: info["settings"][name] for name in ("epochs", "schedule")}
    changed = differences(info["settings"], {**trainer.settings, **allowed})
    if changed:
        raise CheckpointError(f"{where} is of a run with other settings: {listed(changed)}")
    if epochs != trainer.epochs:
        say(
            f"the run was begun with {epochs} epochs and goes on to {trainer.epochs}; if its schedule depends on that, "
            "the result differs from that of an uninterrupted run"
        )
    try:
        restore(trainer, arrays, info)
    except (CheckpointError, ArgumentError) as error:
        raise CheckpointError(f"{where}: {error}") from error


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
    trainer.sums = EpochSums(**info["sums"])
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
        self._generators = list(generators_of(net).values())
        self._buffers = list(net.buffers())
        self.remember()

    def remember(self) -> None:
        """Note how everything is before a step."""
        self._states = [generator.get_state() for generator in self._generators]
        self._values = [buffer.array.copy() for buffer in self._buffers]

    def take_back(self) -> None:
        """Make everything as it was."""
        for generator, state in zip(self._generators, self._states, strict=True):
            generator.set_state(state)
        with no_grad():
            for buffer, value in zip(self._buffers, self._values, strict=True):
                buffer.copy_(Tensor(value))


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
            if isinstance(value, int | float):
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
