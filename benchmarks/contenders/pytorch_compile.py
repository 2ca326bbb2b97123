"""torch.compile over net and loss, forward and backward, with the fused optimizer."""

from __future__ import annotations

import torch

from benchmarks.contenders.common import commands
from benchmarks.contenders.pytorch_best import FusedStep

__all__ = ["COMMANDS", "CompiledStep"]


class CompiledStep(FusedStep):
    """See `common.Contender`."""

    def build(self) -> None:
        """Net, loss and optimizer."""
        super().build()
        self.compiled = torch.compile(super().forward, dynamic=False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of a batch."""
        return self.compiled(x, y)


COMMANDS = commands(CompiledStep)
