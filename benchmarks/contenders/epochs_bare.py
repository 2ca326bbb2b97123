"""Epochs of captured steps and nothing else: what the Trainer adds to them is what it costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from benchmarks.contenders.common import epoch_commands
from benchmarks.contenders.epochs_ours import TrainerEpochs

__all__ = ["COMMANDS", "BareEpochs"]


class BareEpochs(TrainerEpochs):
    """See `common.EpochContender`; without the sums, which the Trainer makes in its steps."""

    def run(self, count: int) -> None:
        """So many epochs; the step is recorded anew, as the Trainer does."""
        batch = self.workload.batch
        orders = np.random.default_rng(0)
        captured = tg.capture(self._step)
        for _ in range(count):
            captured.each(orders.permutation(len(self.train)).reshape(-1, batch))

    def _step(self, indices: NDArray[np.int64]) -> None:
        x, y = self.train.batch(indices)
        self.optimizer.zero_grad()
        F.cross_entropy(self.net(x), y).backward()
        self.optimizer.step()


COMMANDS = epoch_commands(BareEpochs)
