"""jax.jit over the whole step, the draw of the batch included; weights and optimizer state are donated."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from benchmarks.contenders.common import Handout, commands
from benchmarks.contenders.jax_nets import apply, make_parameters
from benchmarks.workloads import Workload

__all__ = ["COMMANDS", "JaxStep"]


def _limit_threads(threads: int) -> None:
    """XLA makes as many threads as the process may use CPUs when it starts, and has no other setting that holds."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _make_optimizer(workload: Workload) -> optax.GradientTransformation:
    if workload.optimizer == "adam":
        rule = optax.adam(workload.lr, eps=workload.eps)
    else:
        rule = optax.sgd(workload.lr, workload.momentum or None)
    return optax.chain(optax.add_decayed_weights(workload.weight_decay), rule) if workload.weight_decay else rule


class JaxStep:
    """See `common.Contender`."""

    holds: ClassVar[str] = "float32, standardised before, on the device"
    packages: ClassVar[tuple[str, ...]] = ("jax", "jaxlib", "optax", "numpy")

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        _limit_threads(threads)
        self.workload, self.handout = workload, handout
        inputs = handout.standardized()
        self.inputs = jnp.asarray(inputs.reshape(-1, 28, 28, 1) if workload.is_convolutional else inputs)
        self.labels = jnp.asarray(handout.labels.astype(np.int32))

    def build(self) -> None:
        """Parameters and the two steps, on given images and on random ones."""
        workload = self.workload
        optimizer = _make_optimizer(workload)
        self.parameters = make_parameters(workload, self.handout)
        self.state = optimizer.init(self.parameters)
        self.key = jax.random.key(0)
        images, batch = len(self.inputs), workload.batch

        def loss_of(parameters: Any, x: Any, y: Any) -> Any:
            logits = apply(workload.layers, parameters, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        def update(parameters: Any, state: Any, inputs: Any, labels: Any, indices: Any) -> Any:
            loss, grads = jax.value_and_grad(loss_of)(parameters, inputs[indices], labels[indices])
            updates, state = optimizer.update(grads, state, parameters)
            return optax.apply_updates(parameters, updates), state, loss

        @partial(jax.jit, donate_argnums=(0, 1, 2))
        def draw_and_update(parameters: Any, state: Any, key: Any, inputs: Any, labels: Any) -> Any:
            key, now = jax.random.split(key)
            indices = jax.random.randint(now, (batch,), 0, images)
            return *update(parameters, state, inputs, labels, indices), key

        self._update = jax.jit(update, donate_argnums=(0, 1))
        self._draw_and_update = draw_and_update

    def step_on(self, indices: NDArray[np.int64]) -> float:
        """One step on given images."""
        places = jnp.asarray(indices.astype(np.int32))
        updated = self._update(self.parameters, self.state, self.inputs, self.labels, places)
        self.parameters, self.state, loss = updated
        return float(loss)

    def run(self, count: int) -> None:
        """Steps on random images."""
        parameters, state, key = self.parameters, self.state, self.key
        inputs, labels = self.inputs, self.labels
        for _ in range(count):
            parameters, state, _, key = self._draw_and_update(parameters, state, key, inputs, labels)
        self.parameters, self.state, self.key = jax.block_until_ready((parameters, state, key))


COMMANDS = commands(JaxStep)
