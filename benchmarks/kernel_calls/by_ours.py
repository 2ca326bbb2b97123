"""The calls of the kernel table by this package: products by its kernel, all else as its users write it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from benchmarks.kernel_calls import operands
from benchmarks.kernel_calls.images_by_ours import IMAGE_BUILDERS
from benchmarks.kernel_calls.sweep import Call, commands
from tinygrad_mlp import data, nn, optim
from tinygrad_mlp.kernels.matmul import matmul as matmul_kernel

__all__ = ["COMMANDS"]


def _unrecorded(call: partial[tg.Tensor]) -> Call:
    return Call(call, lambda: [call().numpy()])


def _matmul(form: str, m: int, k: int, n: int) -> Call:
    a, b = operands.matrices(form, m, k, n)
    out = np.empty((m, n), np.float32)
    return Call(partial(matmul_kernel, a, b, out), lambda: [out])


_ELEMENTWISE = {
    "exp": tg.exp,
    "tanh": tg.tanh,
    "sigmoid": tg.sigmoid,
    "log": tg.log,
    "gelu": F.gelu,
    "erf": tg.erf,
    "softplus": F.softplus,
    "relu": F.relu,
}


def _elementwise(operation: str, shape: Sequence[int]) -> Call:
    x = tg.from_numpy(operands.elementwise_input(operation, shape))
    return _unrecorded(partial(_ELEMENTWISE[operation], x))


def _reduction(operation: str, dim: int | None, shape: Sequence[int]) -> Call:
    x = tg.from_numpy(operands.elementwise_input(operation, shape))
    return _unrecorded(partial({"sum": tg.sum, "mean": tg.mean}[operation], x, dim))


def _loss(rows: int) -> Call:
    numbers, labels = operands.logits_and_labels(rows)
    logits, target = tg.from_numpy(numbers).requires_grad_(), tg.from_numpy(labels)

    def make() -> None:
        logits.grad = None
        F.cross_entropy(logits, target).backward()

    def results() -> list[operands.Array]:
        assert logits.grad is not None
        return [logits.grad.numpy()]

    return Call(make, results)


def _dropout(shape: Sequence[int]) -> Call:
    x = tg.from_numpy(operands.elementwise_input("dropout", shape))
    return Call(partial(F.dropout, x, 0.3, training=True), list)


def _optimizer(optimizer: str, net: str) -> Call:
    parameters: list[nn.Parameter] = []
    for value, grad in operands.parameters(net):
        parameters.append(nn.Parameter(value.T))  # logically (out, in), in memory (in, out), as in nn.Linear
        parameters[-1].grad = tg.from_numpy(grad.T)
    kinds = {"momentum": partial(optim.SGD, lr=1e-4, momentum=0.9), "Adam": partial(optim.Adam, lr=1e-4)}
    return Call(kinds[optimizer](parameters).step, lambda: [p.detach().numpy().T for p in parameters])


def _batch(rows: int) -> Call:
    pixels = operands.images().reshape(-1, 28, 28)
    grey_levels = (np.full((1, 1), level / 255) for level in (operands.MEAN, operands.STD))
    standardization = data.Standardization("global", *grey_levels)
    labels = np.zeros(len(pixels), np.int64)
    dataset = data.ImageDataset(pixels, labels, classes=["any"], standardization=standardization)
    turns = itertools.cycle(operands.drawn_rows(rows))
    first = operands.drawn_rows(rows)[0]
    return Call(lambda: dataset.batch(next(turns)), lambda: [dataset.batch(first)[0].numpy()])


def _serve() -> dict[str, Any]:
    builders = {
        "matmul": _matmul,
        "elementwise": _elementwise,
        "reduction": _reduction,
        "loss": _loss,
        "dropout": _dropout,
        "optimizer": _optimizer,
        "batch": _batch,
        **IMAGE_BUILDERS,
    }
    return commands(builders)


COMMANDS = _serve()
