"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.kernels.copy import copy, flat_view, memory_order
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.update import average_step
from tinygrad_mlp.nn import Module
from tinygrad_mlp.optim.optimizer import check_range

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """A moving average of a module's weights: a ← d·a + (1 − d)·w, the weights to evaluate with.

    In update t the decay d is min(decay, (1 + t)/(10 + t)), so that early weights are soon forgotten. Floating-point
    buffers (running statistics) are averaged as well; integer ones are copied.

    >>> average = optim.ExponentialMovingAverage(net, decay=0.999)
    >>> average.update()              # after each optimizer.step()
    >>> with average.applied():       # the net has the averaged weights in here
    ...     tg.evaluate(net, val)
    """

    def __init__(self, module: Module, decay: float = 0.999) -> None:
        check_range("ExponentialMovingAverage", "decay", decay, 0.0, 1.0)
        self.decay = decay
        self.updates = 0
        self._module = module
        self._average = {name: tensor.array.copy(order="K") for name, tensor in module.state_dict().items()}

    def update(self) -> None:
        """Take one step towards the module's present weights."""
        self.updates += 1
        decay = np.array([min(self.decay, (1 + self.updates) / (10 + self.updates))])
        for name, tensor in self._module.state_dict().items():
            average = self._average[name]
            if average.dtype.kind == "f":
                order = memory_order(average)
                launch(average_step, flat_view(average, order), flat_view(tensor.array, order), decay)
            else:
                launch(copy, tensor.array, average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the module the averaged weights, and its own back on leaving."""
        own = {name: tensor.array.copy(order="K") for name, tensor in self._module.state_dict().items()}
        self._module.load_state_dict(self._average)
        try:
            yield
        finally:
            self._module.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """The averages by name, and the number of updates."""
        return {"updates": self.updates, "average": {name: value.copy() for name, value in self._average.items()}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict()` gave; raises `CheckpointError` for another net's."""
        average: Mapping[str, Array] = state_dict["average"]
        if {n: a.shape for n, a in average.items()} != {n: a.shape for n, a in self._average.items()}:
            raise CheckpointError("ExponentialMovingAverage: the saved averages do not fit this module")
        self.updates = int(state_dict["updates"])
        for name, value in average.items():
            self._average[name][...] = value
