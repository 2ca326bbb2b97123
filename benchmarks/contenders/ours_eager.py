"""tinygrad_mlp as its README writes it: the data set of uint8 images draws and standardises a batch in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from benchmarks.contenders.common import Handout, commands
from benchmarks.workloads import Workload
from tinygrad_mlp import data, nn, optim

__all__ = ["COMMANDS", "EagerStep", "make_dataset", "make_net", "make_optimizer"]


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


_LAYERS: dict[str | int, Callable[..., nn.Module]] = {
    "linear": nn.Linear,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "conv": _conv,
    "batch_norm": nn.BatchNorm2d,
    "max_pool": nn.MaxPool2d,
    "flatten": nn.Flatten,
    "residual": nn.ResidualBlock,
    "average_pool": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
}


def make_net(workload: Workload, handout: Handout) -> nn.Sequential:
    """The net with the handed-out weights."""
    layers = [_LAYERS[kind](*sizes) for kind, *sizes in workload.layers]
    net = nn.Sequential(*layers) if workload.is_convolutional else nn.Sequential(nn.Flatten(), *layers)
    with tg.no_grad():
        for parameter, weight in zip(net.parameters(), handout.weights, strict=True):
            parameter.copy_(tg.from_numpy(weight))
    return net


def make_dataset(handout: Handout) -> data.ImageDataset:
    """The images, as they are: uint8. A Trainer knows their hashes, as those of images that it is given by name."""
    return data.ImageDataset(
        handout.images.reshape(-1, 28, 28),
        handout.labels,
        classes=[str(label) for label in range(10)],
        standardization="global",
        sha256=handout.sha256,
    )


def make_optimizer(workload: Workload, net: nn.Module) -> optim.Optimizer:
    """As in PyTorch."""
    parameters = net.parameters()
    if workload.optimizer == "adam":
        return optim.Adam(parameters, lr=workload.lr, eps=workload.eps, weight_decay=workload.weight_decay)
    return optim.SGD(parameters, lr=workload.lr, momentum=workload.momentum, weight_decay=workload.weight_decay)


class EagerStep:
    """See `common.Contender`."""

    holds: ClassVar[str] = "uint8, standardised in the step"
    packages: ClassVar[tuple[str, ...]] = ("tinygrad_mlp", "numpy", "numba", "llvmlite")

    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        tg.set_num_threads(threads)
        self.workload, self.handout, self.batch = workload, handout, workload.batch
        self.random = np.random.default_rng(0)
        self.train = make_dataset(handout)

    def build(self) -> None:
        """Net and optimizer."""
        self.net = make_net(self.workload, self.handout)
        self.optimizer = make_optimizer(self.workload, self.net)

    def step(self, indices: NDArray[np.int64]) -> tg.Tensor:
        """One training step; the loss is on its way back."""
        x, y = self.train.batch(indices)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def step_on(self, indices: NDArray[np.int64]) -> float:
        """One step on given images."""
        return self.step(indices).item()

    def run(self, count: int) -> None:
        """Steps on random images."""
        for indices in self.random.integers(0, len(self.train), (count, self.batch)):
            self.step(indices)


COMMANDS = commands(EagerStep)
