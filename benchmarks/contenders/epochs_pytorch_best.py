"""Epochs in PyTorch without a DataLoader, with the fused optimizer and rows taken by `index_select`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from benchmarks.contenders.common import epoch_commands
from benchmarks.contenders.epochs_pytorch_preloaded import PreloadedEpochs

__all__ = ["COMMANDS", "FusedEpochs"]


class FusedEpochs(PreloadedEpochs):
    """See `common.EpochContender`."""

    fused: ClassVar[bool | None] = True

    def batches(self) -> Iterator[list[torch.Tensor]]:
        """The batches of an epoch."""
        for indices in torch.randperm(len(self.labels)).split(self.workload.batch):
            yield [self.inputs.index_select(0, indices), self.labels.index_select(0, indices)]


COMMANDS = epoch_commands(FusedEpochs)
