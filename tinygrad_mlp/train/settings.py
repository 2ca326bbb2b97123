"""What makes a run what it is, as plain JSON: kept in config.json and in the checkpoint, compared on resume."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinygrad_mlp.data.dataset import Dataset, Subset, TensorDataset
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn.module import Module

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["describe_dataset", "describe_run", "differences"]


def describe_run(trainer: Trainer, train: Dataset, val: Dataset | None) -> dict[str, Any]:
    """All that a run's numbers depend on, as far as it can be told: two runs of which this is equal give equal bits."""
    optimizer, schedule, average = trainer.optimizer, trainer.schedule, trainer.average
    return {
        "net": repr(trainer.net),
        "parameters": sum(parameter.numel() for parameter in trainer.net.parameters()),
        "loss": _name(trainer.loss),
        "optimizer": {"type": type(optimizer).__name__, "groups": [_options(group) for group in trainer.first_groups]},
        "schedule": None if schedule is None else {"type": type(schedule).__name__, "every": trainer.schedule_every},
        "average": None if average is None else {"type": type(average).__name__, "decay": average.decay},
        "clip_norm": trainer.clip_norm,
        "patience": trainer.patience,
        "stop_on": trainer.stop_on,
        "epochs": trainer.epochs,
        "batch_size": trainer.batch_size,
        "drop_last": trainer.drop_last,
        "seed": trainer.seed,
        "train": describe_dataset(train),
        "validation": None if val is None else describe_dataset(val),
    }


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Name, role and size of a data set, and hashes of what is in it where that is cheap to say."""
    if isinstance(dataset, ImageDataset):
        facts = {name: value for name, value in dataset.describe().items() if name != "source"}  # may move
        return {**facts, "labels_sha256": _sha256(dataset.labels)}
    description: dict[str, Any] = {
        "name": getattr(dataset, "name", type(dataset).__name__),
        "split": getattr(dataset, "split", None),
        "samples": len(dataset),
    }
    if isinstance(dataset, TensorDataset):
        description["sha256"] = {f"tensor {place}": _sha256(array) for place, array in enumerate(dataset.arrays)}
    elif isinstance(dataset, Subset):
        description |= {"part_of": describe_dataset(dataset.dataset), "indices_sha256": _sha256(dataset.indices)}
    return description


def differences(old: object, new: object, path: str = "") -> list[str]:
    """What differs between two JSON values, in words: `batch_size: was 64, is 128`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        before, after = cast("Mapping[str, object]", old), cast("Mapping[str, object]", new)
        return [
            difference
            for key in sorted({*before, *after})
            for difference in differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        ]
    if isinstance(old, list) and isinstance(new, list):
        first, second = cast("list[object]", old), cast("list[object]", new)
        if len(first) == len(second):
            return [
                difference
                for place, (before, after) in enumerate(zip(first, second, strict=True))
                for difference in differences(before, after, f"{path}[{place}]")
            ]
    return [] if old == new else [f"{path}: was {old!r}, is {new!r}"]


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group's options, as JSON gives them back."""
    options: dict[str, Any] = {}
    for name, value in group.items():
        if name == "params":
            options["parameters"] = len(value)
        elif isinstance(value, tuple):
            options[name] = list(cast("tuple[Any, ...]", value))
        else:
            options[name] = value.item() if isinstance(value, np.generic) else value
    return options


def _name(loss: object) -> str:
    """`cross_entropy`, `CrossEntropyLoss(label_smoothing=0.1)`, `partial(cross_entropy, label_smoothing=0.1)`."""
    if isinstance(loss, Module):
        return repr(loss)
    if isinstance(loss, partial):
        made = cast("partial[Any]", loss)
        given = [*map(repr, made.args), *(f"{name}={value!r}" for name, value in made.keywords.items())]
        return f"partial({', '.join([_name(made.func), *given])})"
    return getattr(loss, "__qualname__", type(loss).__name__)


def _sha256(array: Array) -> str:
    content = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{content.dtype.str} {content.shape}".encode())
    digest.update(content.data)
    return digest.hexdigest()
