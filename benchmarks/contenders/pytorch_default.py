"""PyTorch as its tutorials write it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.contenders.common import Handout, commands
from benchmarks.workloads import Workload

__all__ = ["COMMANDS", "PytorchStep", "make_net"]

_LAYERS: dict[str | int, Any] = {"linear": nn.Linear, "tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def make_net(workload: Workload, handout: Handout) -> nn.Sequential:
    """The net with the handed-out weights."""
    net = nn.Sequential(*(_LAYERS[kind](*sizes) for kind, *sizes in workload.layers))
    with torch.no_grad():
        for parameter, weight in zip(net.parameters(), handout.weights, strict=True):
            parameter.copy_(torch.from_numpy(weight))
    return net


class PytorchStep:
    """See `common.Contender`."""

    holds: ClassVar[str] = "float32, standardised before"
    packages: ClassVar[tuple[str, ...]] = ("torch", "numpy")

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.batch = workload.batch
        self.inputs = torch.from_numpy(handout.standardized())
        self.labels = torch.from_numpy(handout.labels)
        self.net = make_net(workload, handout)
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = self.make_optimizer(workload)

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
        images = len(self.inputs)
        for _ in range(count):
            self.step(torch.randint(0, images, (self.batch,)))


COMMANDS = commands(PytorchStep)
