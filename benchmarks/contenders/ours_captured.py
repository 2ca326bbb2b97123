"""tinygrad_mlp with `tg.capture` around the step, batch and all, called step by step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import tinygrad_mlp as tg
from benchmarks.contenders.common import commands
from benchmarks.contenders.ours_eager import EagerStep

__all__ = ["COMMANDS", "CapturedStep"]


class CapturedStep(EagerStep):
    """See `common.Contender`."""

    def build(self) -> None:
        """Net and optimizer, and a step that is recorded when it first runs."""
        super().build()
        self.captured = tg.capture(super().step)

    def step(self, indices: NDArray[np.int64]) -> tg.Tensor:
        """One training step; the loss is on its way back."""
        return self.captured(indices)


COMMANDS = commands(CapturedStep)
