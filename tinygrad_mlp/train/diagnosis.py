"""A NaN or an infinity stopped training: say where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinygrad_mlp.autodiff.mode import anomaly_mode, enable_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.paths import is_file
from tinygrad_mlp.errors import NonFiniteError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.train.evaluation import Loss

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["check_overflow", "explained", "first_cause", "last_checkpoint"]


def explained(trainer: Trainer, error: NonFiniteError, x: Tensor, y: Tensor) -> NonFiniteError:
    """The error of a step, with everything that helps to find its cause. The net is left as it was before the step."""
    first = trainer.batch * trainer.batch_size
    stop = first + len(y)
    samples = trainer.loader.order(trainer.epoch)[first:stop]
    listed = ", ".join(str(sample) for sample in samples[:10]) + (", …" if len(samples) > 10 else "")
    trainer.undo.take_back()  # so that the batch gets the same dropout masks again
    cause = first_cause(trainer.net, trainer.loss, x, y, samples)
    trainer.undo.take_back()
    return NonFiniteError(
        f"training stopped in epoch {trainer.epoch + 1}, step {trainer.batch + 1} of {len(trainer.loader)}: {error}\n"
        f"  first cause: {cause}\n"
        f"  batch: samples {listed} of the training data, trainer.loader.order({trainer.epoch})[{first}:{stop}]\n"
        f"  the weights are those before this step{last_checkpoint(trainer)}\n"
        "  what often helps: a lower learning rate, clip_norm=1, standardised inputs"
    )


def check_overflow(trainer: Trainer) -> None:
    """Raise `NonFiniteError` if a step has left a weight or a running statistic that is NaN or infinite.

    Steps check gradients before they use them; what they add up may still overflow.
    """
    for name, tensor in trainer.net.state_dict().items():
        array = tensor.array
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise NonFiniteError(
                f"training stopped in epoch {trainer.epoch + 1} after step {trainer.batch} of {len(trainer.loader)}: "
                f"{name} of shape {array.shape} is {array[index]} at index {index}; it has overflowed in this step or "
                f"one before{last_checkpoint(trainer)}\n"
                "  what often helps: a lower learning rate, standardised inputs"
            )


def last_checkpoint(trainer: Trainer) -> str:
    """Where the last good state is, as the end of a message; empty where nothing was saved."""
    if trainer.folder is None or not is_file(trainer.folder.checkpoint):
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
