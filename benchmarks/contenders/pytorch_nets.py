"""The nets of the workloads in PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import relu

from benchmarks.contenders.common import Handout
from benchmarks.workloads import Workload

__all__ = ["make_net"]


class _Residual(nn.Module):
    """Two convolutions 3 × 3 with norms, added to the shortcut; see `workloads.Layer`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        straight = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(straight + self.shortcut(x))


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
    "residual": _Residual,
    "average_pool": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
}


def make_net(workload: Workload, handout: Handout) -> nn.Sequential:
    """The net with the handed-out weights."""
    net = nn.Sequential(*(_LAYERS[kind](*sizes) for kind, *sizes in workload.layers))
    with torch.no_grad():
        for parameter, weight in zip(net.parameters(), handout.weights, strict=True):
            parameter.copy_(torch.from_numpy(weight))
    return net
