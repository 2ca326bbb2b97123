"""The losses that all contenders are held against: every net in NumPy, in float64, as plainly as its formulae.

A layer is a rule: it takes its input and its parameters, as PyTorch shapes them, and returns its output and the way
back, from the gradient of the output to those of the input and of each parameter. Images are (N, H, W, C) here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.common import Handout
from benchmarks.workloads import Layer, Workload, parameters_of

__all__ = ["Reference"]

Array: TypeAlias = NDArray[np.float64]
Backward: TypeAlias = Callable[[Array], "list[Array]"]
Rule: TypeAlias = Callable[..., tuple[Array, Backward]]

_BETA1, _BETA2 = 0.9, 0.999  # of Adam
_NORM_EPSILON = 1e-5


# Layers ----------------------------------------------------------------------------------------------------------


def _linear(x: Array, weight: Array, bias: Array) -> tuple[Array, Backward]:
    return x @ weight.T + bias, lambda grad: [grad @ weight, grad.T @ x, grad.sum(0)]


def _relu(x: Array) -> tuple[Array, Backward]:
    return np.maximum(x, 0), lambda grad: [grad * (x > 0)]


def _tanh(x: Array) -> tuple[Array, Backward]:
    out = np.tanh(x)
    return out, lambda grad: [grad * (1 - out**2)]


def _sigmoid(x: Array) -> tuple[Array, Backward]:
    out = 1 / (1 + np.exp(-x))
    return out, lambda grad: [grad * out * (1 - out)]


def _conv(stride: int) -> Rule:
    """Tap by tap: each is a matrix product over all pixels; padding is half the kernel."""

    def rule(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Backward]:
        outputs, inputs, kernel, _ = weight.shape
        pad = kernel // 2
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        height, width = ((size + 2 * pad - kernel) // stride + 1 for size in x.shape[1:3])
        taps = list(product(range(kernel), repeat=2))

        def seen(images: Array, row: int, column: int) -> Array:
            """What one tap meets at each place of the output, (N, height, width, in)."""
            return images[:, row : row + stride * height : stride, column : column + stride * width : stride]

        out = np.zeros((len(x) * height * width, outputs))
        for row, column in taps:
            out += seen(padded, row, column).reshape(-1, inputs) @ weight[:, :, row, column].T
        if bias is not None:
            out += bias

        def backward(grad: Array) -> list[Array]:
            pixels = grad.reshape(-1, outputs)
            padded_grad, weight_grad = np.zeros_like(padded), np.empty_like(weight)
            for row, column in taps:
                met = seen(padded_grad, row, column)
                met += (pixels @ weight[:, :, row, column]).reshape(met.shape)
                weight_grad[:, :, row, column] = pixels.T @ seen(padded, row, column).reshape(-1, inputs)
            x_grad = padded_grad[:, pad : pad + x.shape[1], pad : pad + x.shape[2]]
            return [x_grad, weight_grad] if bias is None else [x_grad, weight_grad, pixels.sum(0)]

        return out.reshape(len(x), height, width, outputs), backward

    return rule


def _batch_norm(x: Array, weight: Array, bias: Array) -> tuple[Array, Backward]:
    """Of training: by the statistics of the batch."""
    all_but_channels = (0, 1, 2)
    centered = x - x.mean(all_but_channels)
    scale = 1 / np.sqrt((centered**2).mean(all_but_channels) + _NORM_EPSILON)
    normalized = centered * scale

    def backward(grad: Array) -> list[Array]:
        weight_grad, bias_grad = (grad * normalized).sum(all_but_channels), grad.sum(all_but_channels)
        pixels = math.prod(grad.shape[:3])
        x_grad = weight * scale * (grad - bias_grad / pixels - normalized * (weight_grad / pixels))
        return [x_grad, weight_grad, bias_grad]

    return weight * normalized + bias, backward


def _max_pool(size: int) -> Rule:
    """Of sizes that it divides. The gradient goes to the first of equals."""

    def rule(x: Array) -> tuple[Array, Backward]:
        count, height, width, channels = x.shape
        split = (count, height // size, size, width // size, size, channels)
        windows = x.reshape(split).transpose(0, 1, 3, 5, 2, 4).reshape(*split[:2], split[3], channels, size * size)
        chosen = windows.argmax(-1)[..., None]

        def backward(grad: Array) -> list[Array]:
            spread = np.zeros_like(windows)
            np.put_along_axis(spread, chosen, grad[..., None], -1)
            apart = spread.reshape(*split[:2], split[3], channels, size, size)
            return [apart.transpose(0, 1, 4, 2, 5, 3).reshape(x.shape)]

        return np.take_along_axis(windows, chosen, -1)[..., 0], backward

    return rule


def _flatten(x: Array) -> tuple[Array, Backward]:
    """To (N, C · H · W), as PyTorch orders it."""
    count, height, width, channels = x.shape

    def backward(grad: Array) -> list[Array]:
        return [grad.reshape(count, channels, height, width).transpose(0, 2, 3, 1)]

    return x.transpose(0, 3, 1, 2).reshape(count, -1), backward


def _average_pool(x: Array) -> tuple[Array, Backward]:
    pixels = x.shape[1] * x.shape[2]
    return x.mean((1, 2)), lambda grad: [np.broadcast_to(grad[:, None, None] / pixels, x.shape)]


def _chain(*rules: tuple[Rule, int]) -> Rule:
    """Layers one after the other, each with its number of parameters, as one."""

    def rule(x: Array, *parameters: Array) -> tuple[Array, Backward]:
        backwards: list[Backward] = []
        start = 0
        for layer, count in rules:
            x, backward = layer(x, *parameters[start : start + count])
            backwards.append(backward)
            start += count

        def back(grad: Array) -> list[Array]:
            grads: list[Array] = []
            for backward in reversed(backwards):
                grad, *of_layer = backward(grad)
                grads[:0] = of_layer
            return [grad, *grads]

        return x, back

    return rule


def _residual(stride: int) -> Rule:
    main = _chain((_conv(stride), 1), (_batch_norm, 2), (_relu, 0), (_conv(1), 1), (_batch_norm, 2))
    shortcut = _chain((_conv(stride), 1), (_batch_norm, 2))

    def rule(x: Array, *parameters: Array) -> tuple[Array, Backward]:
        straight, back_straight = main(x, *parameters[:6])
        beside, back_beside = shortcut(x, *parameters[6:]) if parameters[6:] else (x, lambda grad: [grad])
        out, back_out = _relu(straight + beside)

        def backward(grad: Array) -> list[Array]:
            (grad,) = back_out(grad)
            x_grad, *grads = back_straight(grad)
            x_grad_beside, *grads_beside = back_beside(grad)
            return [x_grad + x_grad_beside, *grads, *grads_beside]

        return out, backward

    return rule


_RULES: dict[str, Rule] = {
    "linear": _linear,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "batch_norm": _batch_norm,
    "flatten": _flatten,
    "average_pool": _average_pool,
}


def _rule(layer: Layer) -> Rule:
    kind, *sizes = layer
    if kind == "conv":
        return _conv(1)
    if kind == "max_pool":
        return _max_pool(int(sizes[0]))
    if kind == "residual":
        return _residual(int(sizes[2]))
    return _RULES[str(kind)]


# Training --------------------------------------------------------------------------------------------------------


def _cross_entropy(logits: Array, labels: NDArray[np.int64]) -> tuple[float, Array]:
    """The mean over the batch, and its gradient."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    grad = np.exp(log_softmax)
    grad[rows, labels] -= 1
    return float(-log_softmax[rows, labels].mean()), grad / len(labels)


class Reference:
    """A net, its optimizer and the data; `step_on` as `common.Contender` describes it."""

    def __init__(self, workload: Workload, handout: Handout) -> None:
        self.workload = workload
        inputs = handout.standardized()
        self.inputs = inputs.reshape(-1, 28, 28, 1) if workload.is_convolutional else inputs
        self.labels = handout.labels
        self.parameters = [weight.astype(np.float64) for weight in handout.weights]
        self.net = _chain(*((_rule(layer), len(parameters_of(layer))) for layer in workload.layers))
        self.first, self.second = ([np.zeros_like(value) for value in self.parameters] for _ in range(2))
        self.steps = 0

    def step_on(self, indices: NDArray[np.int64]) -> float:
        """Train one step on these images; return the loss before it."""
        logits, backward = self.net(self.inputs[indices].astype(np.float64), *self.parameters)
        loss, grad = _cross_entropy(logits, self.labels[indices])
        self._update(backward(grad)[1:])
        return loss

    def _update(self, grads: Sequence[Array]) -> None:
        workload = self.workload
        self.steps += 1
        change = self._adam if workload.optimizer == "adam" else self._sgd
        for value, grad, first, second in zip(self.parameters, grads, self.first, self.second, strict=True):
            value -= workload.lr * change(grad + workload.weight_decay * value, first, second)

    def _sgd(self, grad: Array, velocity: Array, _: Array) -> Array:
        velocity *= self.workload.momentum
        velocity += grad
        return velocity

    def _adam(self, grad: Array, mean: Array, square: Array) -> Array:
        """Kingma & Ba 2015, with PyTorch's place of epsilon."""
        mean += (1 - _BETA1) * (grad - mean)
        square += (1 - _BETA2) * (grad**2 - square)
        size: Any = np.sqrt(square / (1 - _BETA2**self.steps)) + self.workload.eps
        return mean / (1 - _BETA1**self.steps) / size
