"""Epochs of tinygrad_mlp's Trainer, as `examples/fashion_mlp.py` makes them, without validation."""

from __future__ import annotations

from typing import ClassVar

import tinygrad_mlp as tg
from benchmarks.contenders.common import Handout, epoch_commands
from benchmarks.contenders.ours_eager import make_dataset, make_net
from benchmarks.workloads import Workload
from tinygrad_mlp import optim

__all__ = ["COMMANDS", "TrainerEpochs"]


class TrainerEpochs:
    """See `common.EpochContender`."""

    packages: ClassVar[tuple[str, ...]] = ("tinygrad_mlp", "numpy", "numba", "llvmlite")

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        tg.set_num_threads(threads)
        self.workload, self.train = workload, make_dataset(handout)
        self.net = make_net(workload, handout)
        self.optimizer = optim.SGD(
            self.net.parameters(), lr=workload.lr, momentum=workload.momentum, weight_decay=workload.weight_decay
        )

    def run(self, count: int) -> None:
        """So many epochs, with their mean loss and accuracy; what the Trainer needs to begin is part of it."""
        trainer = tg.Trainer(self.net, self.optimizer, epochs=count, batch_size=self.workload.batch, progress=False)
        trainer.fit(self.train)


COMMANDS = epoch_commands(TrainerEpochs)
