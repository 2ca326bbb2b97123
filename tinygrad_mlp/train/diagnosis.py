"""A NaN or an infinity stopped training: say where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinygrad_mlp.autodiff.mode import anomaly_mode, enable_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import NonFiniteError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.train.evaluation import Loss

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["explained", "first_cause", "last_checkpoint"]


def explained(trainer: Trainer, error: NonFiniteError, x: Tensor, y: Tensor, randomness: list[Array]) -> NonFiniteError:
    """The error of a step, with everything that helps to find its cause.

    `randomness` has the states that the trainer's generators had before the step, so that the same dropout masks can be
    drawn again.
    """
    for generator, state in zip(trainer.generators, randomness, strict=True):
        generator.set_state(state)
    first = trainer.batch * trainer.batch_size
    stop = first + len(y)
    samples = trainer.loader.order(trainer.epoch)[first:stop]
    listed = ", ".join(str(sample) for sample in samples[:10]) + (", …" if len(samples) > 10 else "")
    return NonFiniteError(
        f"training stopped in epoch {trainer.epoch + 1}, step {trainer.batch + 1} of {len(trainer.loader)}: {error}\n"
        f"  first cause: {first_cause(trainer.net, trainer.loss, x, y, samples)}\n"
        f"  batch: samples {listed} of the training data, trainer.loader.order({trainer.epoch})[{first}:{stop}]\n"
        f"  the weights are those before this step{last_checkpoint(trainer)}\n"
        "  what often helps: a lower learning rate, clip_norm=1, standardised inputs"
    )


def last_checkpoint(trainer: Trainer) -> str:
    """Where the last good state is, as the end of a message; empty where nothing was saved."""
    if trainer.folder is None or not trainer.folder.checkpoint.exists():
        return ""
    return f"; the last good checkpoint is {trainer.folder.checkpoint}"


def first_cause(net: Module, loss: Loss, x: Tensor, y: Tensor, samples: Array) -> str:
    """Go through one batch again under `anomaly_mode()` and say what first held a NaN or an infinity.

    `samples` (B,) are the batch's positions in its data set. Gradients are left empty.
    """
    for name, tensor in (("input", x), ("target", y)):
        rows = _bad_rows(tensor.array)
        if rows.size:
            listed = ", ".join(str(samples[row]) for row in rows[:5]) + (", …" if rows.size > 5 else "")
            return f"the data themselves: the {name} of sample(s) {listed} holds a NaN or an infinity"
    net.zero_grad()
    try:
        with enable_grad(), anomaly_mode():
            loss(net(x), y).backward()
    except NonFiniteError as error:
        return str(error)
    finally:
        net.zero_grad()
    return "no op of this batch by itself; its gradients, or what is added to them, overflow when they are put together"


def _bad_rows(array: Array) -> Array:
    """Rows of (B, …) that hold a NaN or an infinity."""
    if array.dtype.kind != "f":
        return np.empty(0, np.int64)
    return np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))
