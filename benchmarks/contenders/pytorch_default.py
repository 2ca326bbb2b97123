"""PyTorch as its tutorials write it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.contenders.common import Handout, commands
from benchmarks.contenders.pytorch_nets import make_net
from benchmarks.workloads import Workload

__all__ = ["COMMANDS", "PytorchStep"]


class PytorchStep:
    """See `common.Contender`."""

    holds: ClassVar[str] = "float32, standardised before"
    packages: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.workload, self.handout, self.batch = workload, handout, workload.batch
        self.inputs = torch.from_numpy(handout.standardized())
        if workload.is_convolutional:
            self.inputs = self.inputs.view(-1, 1, 28, 28)
        self.labels = torch.from_numpy(handout.labels)

    def build(self) -> None:
        """Net, loss and optimizer."""
        self.net = make_net(self.workload, self.handout)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = self.make_optimizer(self.workload)

    def make_optimizer(self, workload: Workload) -> torch.optim.Optimizer:
        """With every option that is not the workload's as it is by default."""
        parameters = self.net.parameters()
        if workload.optimizer == "adam":
            return torch.optim.Adam(parameters, lr=workload.lr, eps=workload.eps, weight_decay=workload.weight_decay)
        return torch.optim.SGD(
            parameters, lr=workload.lr, momentum=workload.momentum, weight_decay=workload.weight_decay
        )

    def step(self, indices: torch.Tensor) -> torch.Tensor:
        """One training step; the loss is on its way back."""
        x, y = self.inputs[indices], self.labels[indices]
        self.optimizer.zero_grad()
        loss = self.loss(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def step_on(self, indices: NDArray[np.int64]) -> float:
        """One step on given images."""
        return self.step(torch.from_numpy(indices)).item()

    def run(self, count: int) -> None:
        """Steps on random images."""
        for indices in torch.randint(0, len(self.inputs), (count, self.batch)):
            self.step(indices)


COMMANDS = commands(PytorchStep)
