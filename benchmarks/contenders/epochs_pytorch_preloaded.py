"""Epochs in PyTorch without a DataLoader: indices of a random order pick rows of tensors in memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.contenders.common import epoch_commands
from benchmarks.contenders.epochs_pytorch import LoaderEpochs

__all__ = ["COMMANDS", "PreloadedEpochs"]


class PreloadedEpochs(LoaderEpochs):
    """See `common.EpochContender`."""

    def batches(self) -> Iterator[list[torch.Tensor]]:
        """The batches of an epoch."""
        for indices in torch.randperm(len(self.labels)).split(self.workload.batch):
            yield [self.inputs[indices], self.labels[indices]]


COMMANDS = epoch_commands(PreloadedEpochs)
