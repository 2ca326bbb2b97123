"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_mlp.errors import ArgumentError, CheckpointError, DtypeError, ShapeError
from tinygrad_mlp.kernels.copy import copy, flat_view, memory_order
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.record import about_to_write, recorder
from tinygrad_mlp.kernels.update import average_step, count_up
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.optim.checks import check_range

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """A moving average of a module's weights: a ← d·a + (1 − d)·w, the weights to evaluate with.

    In update t = 1, 2, … the decay d is min(decay, (1 + t)/(10 + t)), so that early weights are soon forgotten.
    Floating-point buffers (running statistics) are averaged as well; integer ones are copied. Raises `ArgumentError`
    unless 0 <= decay < 1.

    >>> average = optim.ExponentialMovingAverage(net, decay=0.999)
    >>> average.update()              # after each optimizer.step()
    >>> with average.applied():       # the net has the averaged weights in here
    ...     tg.evaluate(net, val)
    """

    def __init__(self, module: Module, decay: float = 0.999) -> None:
        self.decay = check_range("ExponentialMovingAverage", "decay", decay, 0.0, 1.0)
        self._module = module
        self._updates = np.zeros(1, np.int64)
        self._average = {name: tensor.array.copy(order="K") for name, tensor in module.state_dict().items()}

    @property
    def updates(self) -> int:
        """How many updates were made."""
        return int(self._updates[0])

    def update(self) -> None:
        """Take one step towards the module's present weights.

        Raises, with nothing changed, `DtypeError` or `ShapeError` if they changed dtype or shape since, `ArgumentError`
        if there are others.
        """
        weights = {name: tensor.array for name, tensor in self._module.state_dict().items()}
        self._check(weights)
        recording, decay = recorder(), self.decay
        if recording is not None:
            recording.guards.append(lambda: self.decay == decay)
        about_to_write(self._updates)
        launch(count_up, self._updates)
        for name, weight in weights.items():
            average = self._average[name]
            about_to_write(average)
            if average.dtype.kind != "f":
                launch(copy, weight, average)
                continue
            order = memory_order(average)
            if not weight.transpose(order).flags.c_contiguous:  # it lies in memory as its average no longer does
                weight = np.empty_like(average)
                launch(copy, weights[name], weight)
            launch(average_step, flat_view(average, order), flat_view(weight, order), self._updates, self.decay)

    def _check(self, weights: Mapping[str, Array]) -> None:
        """Raise unless these can be averaged with what is there."""
        if weights.keys() != self._average.keys():
            new, gone = (sorted(a.keys() - b.keys()) for a, b in ((weights, self._average), (self._average, weights)))
            raise ArgumentError(
                f"ExponentialMovingAverage: the net has other weights than at first: new are {new}, gone are {gone}; "
                "make the average after changing the net"
            )
        for name, weight in weights.items():
            average = self._average[name]
            if average.dtype != weight.dtype:
                raise DtypeError(
                    f"ExponentialMovingAverage: {name} was {average.dtype} and is now {weight.dtype}; make the average "
                    "after changing the net"
                )
            if average.shape != weight.shape:
                raise ShapeError(
                    f"ExponentialMovingAverage: {name} had shape {average.shape} and now has {weight.shape}; make the "
                    "average after changing the net"
                )

    @contextmanager
    def applied(self) -> Generator[None]:
        """Give the module the averaged weights, and its own back on leaving, also by an exception."""
        own = {name: tensor.array.copy(order="K") for name, tensor in self._module.state_dict().items()}
        self._module.load_state_dict(self._average)
        try:
            yield
        finally:
            self._module.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """The number of updates, and copies of the averages by name."""
        return {"updates": self.updates, "average": {name: value.copy() for name, value in self._average.items()}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` gave. Raises `CheckpointError`, with nothing changed, for another net's."""
        if set(state_dict) != {"updates", "average"}:
            raise CheckpointError(
                f"ExponentialMovingAverage: a state has 'updates' and 'average', this one {sorted(state_dict)}"
            )
        saved: dict[str, Array] = {name: np.asarray(value) for name, value in state_dict["average"].items()}
        misfits = [
            name
            for name in sorted({*saved, *self._average})
            if name not in saved or name not in self._average or saved[name].shape != self._average[name].shape
        ]
        if misfits:
            raise CheckpointError(
                f"ExponentialMovingAverage: missing, unexpected or of another shape than this module's: {misfits}"
            )
        self._updates[0] = int(state_dict["updates"])
        for name, value in saved.items():
            self._average[name][...] = value
