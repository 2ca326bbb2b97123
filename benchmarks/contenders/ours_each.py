"""tinygrad_mlp with a captured step that is made many times in one call: what its Trainer does by itself."""

from __future__ import annotations

from benchmarks.contenders.common import commands
from benchmarks.contenders.ours_captured import CapturedStep

__all__ = ["COMMANDS", "EachStep"]


class EachStep(CapturedStep):
    """See `common.Contender`."""

    def run(self, count: int) -> None:
        """Steps on random images."""
        self.captured.each(self.random.integers(0, len(self.train), (count, self.batch)))


COMMANDS = commands(EachStep)
