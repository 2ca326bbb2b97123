"""Epochs in PyTorch as its tutorials write them: a DataLoader hands out the batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contenders.common import Handout, epoch_commands
from benchmarks.contenders.pytorch_nets import make_net
from benchmarks.workloads import Workload

__all__ = ["COMMANDS", "LoaderEpochs"]


class LoaderEpochs:
    """See `common.EpochContender`."""

    packages: ClassVar[tuple[str, ...]] = ("torch", "numpy")
    fused: ClassVar[bool | None] = None
    """Whether the optimizer updates all parameters in one call; None: PyTorch's default."""

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.workload = workload
        self.inputs, self.labels = torch.from_numpy(handout.standardized()), torch.from_numpy(handout.labels)
        self.net, self.loss = make_net(workload, handout), nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=workload.lr,
            momentum=workload.momentum,
            weight_decay=workload.weight_decay,
            fused=self.fused,
        )
        self.loader = DataLoader(TensorDataset(self.inputs, self.labels), workload.batch, shuffle=True)

    def batches(self) -> Iterator[list[torch.Tensor]]:
        """The batches of an epoch."""
        return iter(self.loader)

    def run(self, count: int) -> None:
        """So many epochs, with their mean loss and accuracy."""
        for _ in range(count):
            loss_sum, right = 0.0, 0
            for x, y in self.batches():
                self.optimizer.zero_grad()
                logits = self.net(x)
                loss = self.loss(logits, y)
                loss.backward()
                self.optimizer.step()
                loss_sum += loss.item() * len(y)
                right += int((logits.argmax(1) == y).sum())
            if not 0 <= loss_sum / len(self.labels) < 100 or right > len(self.labels):
                raise ValueError(f"the epoch's mean loss is {loss_sum / len(self.labels)}")


COMMANDS = epoch_commands(LoaderEpochs)
