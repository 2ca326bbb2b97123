"""The calls of the kernel table by PyTorch: into given memory where that is its fastest way, optimizers fused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F

from benchmarks.kernel_calls import operands
from benchmarks.kernel_calls.images_by_torch import image_builders
from benchmarks.kernel_calls.sweep import Call, commands
from benchmarks.workloads import IMAGES

__all__ = ["COMMANDS"]


def _tensor(array: operands.Array) -> torch.Tensor:
    """In PyTorch's own, aligned memory, with the strides of the array."""
    return torch.from_numpy(array).clone(memory_format=torch.preserve_format)


def _matmul(form: str, m: int, k: int, n: int) -> Call:
    a, b = map(_tensor, operands.matrices(form, m, k, n))
    out = torch.empty(m, n)
    return Call(partial(torch.mm, a, b, out=out), lambda: [out.numpy()])


_ELEMENTWISE = {
    "exp": torch.exp,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "log": torch.log,
    "gelu": F.gelu,
    "erf": torch.erf,
    "softplus": F.softplus,
    "relu": torch.relu,
}


def _elementwise(operation: str, shape: Sequence[int]) -> Call:
    call = partial(_ELEMENTWISE[operation], _tensor(operands.elementwise_input(operation, shape)))
    return Call(call, lambda: [call().numpy()])


def _reduction(operation: str, dim: int | None, shape: Sequence[int]) -> Call:
    call = partial({"sum": torch.sum, "mean": torch.mean}[operation], _tensor(operands.elementwise_input("", shape)))
    if dim is not None:
        call = partial(call, dim=dim)
    return Call(call, lambda: [call().numpy()])


def _loss(rows: int) -> Call:
    numbers, labels = operands.logits_and_labels(rows)
    logits, target = _tensor(numbers).requires_grad_(), torch.from_numpy(labels)

    def make() -> None:
        logits.grad = None
        F.cross_entropy(logits, target).backward()

    def results() -> list[operands.Array]:
        assert logits.grad is not None
        return [logits.grad.numpy()]

    return Call(make, results)


def _dropout(shape: Sequence[int]) -> Call:
    x = _tensor(operands.elementwise_input("dropout", shape))
    return Call(partial(F.dropout, x, 0.3, training=True), list)


def _optimizer(optimizer: str, net: str) -> Call:
    parameters: list[torch.nn.Parameter] = []
    for value, grad in operands.parameters(net):
        parameters.append(torch.nn.Parameter(_tensor(value)))
        parameters[-1].grad = _tensor(grad)
    if optimizer == "momentum":
        step = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9, fused=True).step
    else:
        step = torch.optim.Adam(parameters, lr=1e-4, fused=True).step
    return Call(step, lambda: [p.detach().numpy() for p in parameters])


def _batch(rows: int) -> Call:
    pixels, labels = torch.from_numpy(operands.images()), torch.zeros(IMAGES, dtype=torch.int64)
    drawn = [torch.from_numpy(indices) for indices in operands.drawn_rows(rows)]
    turns = itertools.cycle(drawn)

    def batch(indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = pixels[indices].float().sub_(operands.MEAN).mul_(1 / operands.STD)
        return x, labels[indices]

    return Call(lambda: batch(next(turns)), lambda: [batch(drawn[0])[0].numpy()])


COMMANDS = commands(
    {
        "matmul": _matmul,
        "elementwise": _elementwise,
        "reduction": _reduction,
        "loss": _loss,
        "dropout": _dropout,
        "optimizer": _optimizer,
        "batch": _batch,
        **image_builders(torch.contiguous_format),
    }
)
