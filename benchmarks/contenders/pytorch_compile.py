"""torch.compile over net and loss, forward and backward, with the fused optimizer."""

from __future__ import annotations

import torch

from benchmarks.contenders.common import Handout, commands
from benchmarks.contenders.pytorch_best import FusedStep
from benchmarks.workloads import Workload

__all__ = ["COMMANDS", "CompiledStep"]


class CompiledStep(FusedStep):
    """See `common.Contender`."""

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        super().__init__(workload, handout, threads)
        self.compiled = torch.compile(super().forward, dynamic=False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of a batch."""
        return self.compiled(x, y)


COMMANDS = commands(CompiledStep)
