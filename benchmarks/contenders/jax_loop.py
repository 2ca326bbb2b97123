"""jax with a loop of steps within the compiled function, where nobody wants to see a step's loss."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

from benchmarks.contenders.common import commands
from benchmarks.contenders.jax_jit import JaxStep

__all__ = ["COMMANDS", "JaxLoop"]


class JaxLoop(JaxStep):
    """See `common.Contender`."""

    def build(self) -> None:
        """As for single steps, and the loop over them; of any length, so that it is compiled once."""
        super().build()
        step = self._draw_and_update

        @partial(jax.jit, donate_argnums=(0, 1, 2))
        def many(parameters: Any, state: Any, key: Any, inputs: Any, labels: Any, count: Any) -> Any:
            def body(_: Any, carried: Any) -> Any:
                parameters, state, key = carried
                parameters, state, _, key = step(parameters, state, key, inputs, labels)
                return parameters, state, key

            return jax.lax.fori_loop(0, count, body, (parameters, state, key))

        self._many = many

    def run(self, count: int) -> None:
        """Steps on random images."""
        carried = self._many(self.parameters, self.state, self.key, self.inputs, self.labels, count)
        self.parameters, self.state, self.key = jax.block_until_ready(carried)


COMMANDS = commands(JaxLoop)
