"""Backpropagation by hand in NumPy: every array is made once, every step works in place.

Parameters and gradients lie end to end in one buffer each, so that the optimizer is a few passes over one vector.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.common import Handout, commands
from benchmarks.workloads import Workload

Array = NDArray[np.floating[Any]]

_BETA1, _BETA2 = 0.9, 0.999


class NumpyStep:
    """See `common.Contender`. It has no convolutions."""

    holds: ClassVar[str] = "float32, standardised before"
    packages: ClassVar[tuple[str, ...]] = ("numpy",)

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        self.workload, self.handout = workload, handout
        self.inputs = handout.standardized()
        self.labels = handout.labels
        self.random = np.random.default_rng(0)

    def build(self) -> None:
        """Parameters, and an array for everything that a step computes."""
        self.activation = str(self.workload.layers[1][0])
        self._make_parameters(self.handout.weights)
        batch = self.workload.batch
        self.x = np.empty((batch, self.inputs.shape[1]), np.float32)
        self.y = np.empty(batch, np.int64)
        self.rows = np.arange(batch)
        # Outputs of each layer, and the gradients in front of each, (batch, out).
        self.outputs = [np.empty((batch, len(bias)), np.float32) for _, bias in self.layers]
        self.deltas = [np.empty_like(output) for output in self.outputs]
        slope_dtype = bool if self.activation == "relu" else np.float32
        self.slopes = [np.empty(output.shape, slope_dtype) for output in self.outputs[:-1]]
        self.column = np.empty((batch, 1), np.float32)
        self.ones = np.ones(batch, np.float32)

    def _make_parameters(self, weights: list[NDArray[np.float32]]) -> None:
        sizes = [weight.size for weight in weights]
        ends = np.cumsum([0, *sizes])
        self.values, self.grads = np.zeros(ends[-1], np.float32), np.zeros(ends[-1], np.float32)
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)
        self.scratch = np.empty_like(self.values)
        self.steps = 0
        views: list[list[Array]] = []
        for buffer in (self.values, self.grads):
            parts = [buffer[start:end] for start, end in pairwise(ends)]
            # Weights lie (in, out): both the forward product and their gradient then read rows as they lie.
            views.append(
                [
                    part.reshape(weight.T.shape) if weight.ndim == 2 else part
                    for part, weight in zip(parts, weights, strict=True)
                ]
            )
        for view, weight in zip(views[0], weights, strict=True):
            view[...] = weight.T
        self.layers = list(zip(views[0][::2], views[0][1::2], strict=True))
        self.layer_grads = list(zip(views[1][::2], views[1][1::2], strict=True))

    def step_on(self, indices: NDArray[np.int64]) -> float:
        """One step; "clip" needs no buffer, and the indices are in range."""
        np.take(self.inputs, indices, axis=0, out=self.x, mode="clip")
        np.take(self.labels, indices, out=self.y, mode="clip")
        self._forward()
        loss = self._loss()
        self._backward()
        if self.workload.optimizer == "adam":
            self._adam()
        else:
            self._sgd()
        return loss

    def run(self, count: int) -> None:
        """Steps on random images."""
        for indices in self.random.integers(0, len(self.inputs), (count, self.workload.batch)):
            self.step_on(indices)

    def _forward(self) -> None:
        x = self.x
        last = len(self.layers) - 1
        for place, ((weight, bias), out) in enumerate(zip(self.layers, self.outputs, strict=True)):
            np.matmul(x, weight, out=out)  # (batch, in) @ (in, out) -> (batch, out)
            out += bias
            if place != last:
                self._activate(out)
            x = out

    def _activate(self, out: Array) -> None:
        if self.activation == "tanh":
            np.tanh(out, out=out)
        elif self.activation == "relu":
            np.maximum(out, 0, out=out)
        else:  # 1 / (1 + exp(-x))
            np.negative(out, out=out)
            np.exp(out, out=out)
            out += 1
            np.reciprocal(out, out=out)

    def _loss(self) -> float:
        """Mean cross-entropy; its gradient by the logits, (softmax - one-hot) / batch, goes to the last delta."""
        logits, delta = self.outputs[-1], self.deltas[-1]
        np.max(logits, axis=1, keepdims=True, out=self.column)
        logits -= self.column
        np.exp(logits, out=delta)
        np.sum(delta, axis=1, keepdims=True, out=self.column)
        delta /= self.column
        np.log(self.column, out=self.column)
        loss = (self.column.sum() - logits[self.rows, self.y].sum()) / len(self.y)
        delta[self.rows, self.y] -= 1
        delta *= 1 / len(self.y)
        return float(loss)

    def _backward(self) -> None:
        for place in range(len(self.layers) - 1, -1, -1):
            delta, (weight_grad, bias_grad) = self.deltas[place], self.layer_grads[place]
            x = self.outputs[place - 1] if place else self.x
            np.matmul(x.T, delta, out=weight_grad)  # (in, batch) @ (batch, out) -> (in, out)
            np.matmul(self.ones, delta, out=bias_grad)
            if place:
                below, slope = self.deltas[place - 1], self.slopes[place - 1]
                np.matmul(delta, self.layers[place][0].T, out=below)  # (batch, out) @ (out, in) -> (batch, in)
                self._slope(x, slope)
                below *= slope

    def _slope(self, output: Array, slope: NDArray[Any]) -> None:
        """The derivative of the activation, from its output."""
        if self.activation == "relu":
            np.greater(output, 0, out=slope)
        elif self.activation == "tanh":
            np.square(output, out=slope)
            np.subtract(1, slope, out=slope)
        else:
            np.square(output, out=slope)
            np.subtract(output, slope, out=slope)

    def _sgd(self) -> None:
        workload, step = self.workload, self.grads
        if workload.weight_decay:
            np.multiply(self.values, workload.weight_decay, out=self.scratch)
            step += self.scratch
        if workload.momentum:
            self.first *= workload.momentum
            self.first += step
            step = self.first
        np.multiply(step, workload.lr, out=self.scratch)
        self.values -= self.scratch

    def _adam(self) -> None:
        """Kingma & Ba 2015, with PyTorch's place of epsilon."""
        self.steps += 1
        scratch = self.scratch
        np.multiply(self.grads, 1 - _BETA1, out=scratch)
        self.first *= _BETA1
        self.first += scratch
        np.square(self.grads, out=scratch)
        scratch *= 1 - _BETA2
        self.second *= _BETA2
        self.second += scratch
        np.sqrt(self.second, out=scratch)
        scratch *= 1 / math.sqrt(1 - _BETA2**self.steps)
        scratch += self.workload.eps
        np.divide(self.first, scratch, out=scratch)
        scratch *= self.workload.lr / (1 - _BETA1**self.steps)
        self.values -= scratch


COMMANDS = commands(NumpyStep)
