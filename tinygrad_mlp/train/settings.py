"""What makes a run what it is, as plain JSON: kept in config.json and in the checkpoint, compared on resume."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.augmentation import AugmentedImages
from tinygrad_mlp.data.concat import ConcatDataset
from tinygrad_mlp.data.dataset import Dataset, Subset, TensorDataset
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.optim.plateau import ReduceLROnPlateau
from tinygrad_mlp.optim.schedules import LRScheduler

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["describe_dataset", "describe_loss", "describe_run", "describe_schedule", "differences", "listed"]


def describe_run(trainer: Trainer, train: Dataset, val: Dataset | None) -> dict[str, Any]:
    """All that a run's numbers depend on, as far as it can be told: two runs of which this is equal give equal bits."""
    optimizer, average = trainer.optimizer, trainer.average
    return {
        "net": repr(trainer.net),
        "parameters": sum(parameter.numel() for parameter in trainer.net.parameters()),
        "loss": describe_loss(trainer.loss),
        "optimizer": {"type": type(optimizer).__name__, "groups": [_options(group) for group in trainer.first_groups]},
        "schedule": trainer.first_schedule,
        "augmentation": None if trainer.augmentation is None else trainer.augmentation.describe(),
        "flip_to_predict": trainer.flip_to_predict,
        "shift_to_predict": trainer.shift_to_predict,
        "average": None if average is None else {"type": type(average).__name__, "decay": average.decay},
        "clip_norm": trainer.clip_norm,
        "patience": trainer.patience,
        "stop_on": trainer.stop_on,
        "keep": trainer.keep,
        "epochs": trainer.epochs,
        "batch_size": trainer.batch_size,
        "drop_last": trainer.drop_last,
        "seed": trainer.seed,
        "train": describe_dataset(train),
        "validation": None if val is None else describe_dataset(val),
    }


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Name, role and size of a data set, and hashes of what is in it where that is cheap to say."""
    if isinstance(dataset, AugmentedImages):
        augmentation = {**dataset.augmentation.describe(), "seed": dataset.seed}
        return {**describe_dataset(dataset.dataset), "augmentation": augmentation}
    if isinstance(dataset, ImageDataset):
        facts = {name: value for name, value in dataset.describe().items() if name != "source"}  # may move
        if not dataset.sha256:  # data made in memory, not read from files whose hashes are known
            facts["images_sha256"] = _sha256(dataset.images)
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
    elif isinstance(dataset, ConcatDataset):
        description["parts"] = [describe_dataset(part) for part in dataset.datasets]
    return description


def describe_schedule(schedule: LRScheduler | ReduceLROnPlateau | None, every: str) -> dict[str, Any] | None:
    """Its class and all its settings. Call it before the first step: settings and state are not told apart."""
    return None if schedule is None else {"every": every, **_plain(schedule)}


def describe_loss(loss: object) -> str:
    """`cross_entropy`, `CrossEntropyLoss(reduction='mean', label_smoothing=0.1)`, `partial(huber_loss, delta=2.0)`."""
    if isinstance(loss, partial):
        made = cast("partial[Any]", loss)
        given = [*map(repr, made.args), *(f"{name}={value!r}" for name, value in made.keywords.items())]
        return f"partial({', '.join([describe_loss(made.func), *given])})"
    if isinstance(loss, Module):
        settings = {name: value for name, value in _plain(loss).items() if name not in ("type", "training")}
        return f"{type(loss).__name__}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"
    return getattr(loss, "__qualname__", type(loss).__name__)


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """What differs between two JSON values, in words: `batch_size: was 64, is 128`."""
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        paths = {key: f"{path}.{key}" if path else key for key in [*before, *after]}
        parts = [(before.get(key), after.get(key), inner) for key, inner in paths.items()]
    elif isinstance(old, list) and isinstance(new, list) and len(cast("list[Any]", old)) == len(cast("list[Any]", new)):
        pairs = zip(cast("list[Any]", old), cast("list[Any]", new), strict=True)
        parts = [(before, after, f"{path}[{place}]") for place, (before, after) in enumerate(pairs)]
    else:
        return [] if old == new else [f"{path}: {_change(old, new)}"]
    return [change for part in parts for change in differences(*part)]


def listed(changes: list[str], most: int = 5) -> str:
    """The first few differences."""
    return "; ".join(changes[:most]) + (f"; and {len(changes) - most} more" if len(changes) > most else "")


def _change(old: Any, new: Any) -> str:
    """What was and what is; of long words the part around the place where they begin to differ."""
    was, now = repr(old), repr(new)
    place = next((place for place, (before, after) in enumerate(zip(was, now, strict=False)) if before != after), 0)
    return f"was {_part(was, place)}, is {_part(now, place)}"


def _part(words: str, place: int, length: int = 80) -> str:
    if len(words) <= length:
        return words
    start = max(0, place - length // 4)
    return ("…" if start else "") + words[start : start + length] + ("…" if start + length < len(words) else "")


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group's options, and the number of its parameters."""
    return {name: len(value) if name == "params" else _json(value) for name, value in group.items()}


def _plain(thing: object) -> dict[str, Any]:
    """Class and attributes of an object, as far as they are numbers, words, functions, or lists of such."""
    attributes = {name.lstrip("_"): _json(value) for name, value in vars(thing).items()}
    return {"type": type(thing).__name__, **{name: value for name, value in attributes.items() if value is not None}}


def _json(value: Any) -> Any:
    """A setting as JSON gives it back; None for what is no setting."""
    if isinstance(value, np.number | np.bool_):
        return cast(Any, value).item()
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_json(part) for part in cast("list[Any]", value)]
    if isinstance(value, LRScheduler):
        return _plain(value)
    if isinstance(value, Tensor):  # such as a loss's weights of the classes
        return value.tolist()
    return getattr(value, "__qualname__", None)


def _sha256(array: Array) -> str:
    content = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{content.dtype.str} {content.shape}".encode())
    digest.update(content.data)
    return digest.hexdigest()
