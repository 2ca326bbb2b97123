"""tinygrad_mlp with a captured step that copies gradients to the optimizer, as an eager one does."""

from __future__ import annotations

import tinygrad_mlp as tg
from benchmarks.contenders.common import commands
from benchmarks.contenders.ours_each import EachStep

__all__ = ["COMMANDS", "UnfusedStep"]


class UnfusedStep(EachStep):
    """See `common.Contender`."""

    def build(self) -> None:
        """Net and optimizer, and a step that is recorded when it first runs."""
        super().build()
        self.captured = tg.capture(self.captured.step, fuse=False)


COMMANDS = commands(UnfusedStep)
