"""PyTorch with what a careful user switches on.

Fused optimizers, rows taken by `index_select`, and for images channels_last, which weights and thereby all that is
computed from them have (an image of one channel lies alike in both orders).
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from benchmarks.contenders.common import commands
from benchmarks.contenders.pytorch_default import PytorchStep
from benchmarks.workloads import Workload

__all__ = ["COMMANDS", "FusedStep"]


class FusedStep(PytorchStep):
    """See `common.Contender`."""

    def build(self) -> None:
        """Net, loss and optimizer."""
        super().build()
        self.net = self.net.to(memory_format=torch.channels_last)

    def make_optimizer(self, workload: Workload) -> torch.optim.Optimizer:
        """The optimizer that updates all parameters in one call."""
        parameters = self.net.parameters()
        if workload.optimizer == "adam":
            return torch.optim.Adam(
                parameters, lr=workload.lr, eps=workload.eps, weight_decay=workload.weight_decay, fused=True
            )
        return torch.optim.SGD(
            parameters, lr=workload.lr, momentum=workload.momentum, weight_decay=workload.weight_decay, fused=True
        )

    def step(self, indices: torch.Tensor) -> torch.Tensor:
        """One training step."""
        x, y = self.inputs.index_select(0, indices), self.labels.index_select(0, indices)
        loss = self.forward(x, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of a batch."""
        return cross_entropy(self.net(x), y)


COMMANDS = commands(FusedStep)
