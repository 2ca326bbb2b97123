"""The training steps that are timed. Standard library only: workers import this in other Python environments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

__all__ = ["CHECK_STEPS", "IMAGES", "LOSS_TOLERANCE", "WORKLOADS", "Layer", "Workload"]

IMAGES = 48_000
"""Training images held in memory, 28 x 28."""

CHECK_STEPS = 20
"""So many steps on given batches must give every contender the same losses before any is timed."""

LOSS_TOLERANCE = 1e-4
"""How far a float32 loss may be from the one computed in float64, as a part of it."""

Layer: TypeAlias = "tuple[str | int, ...]"
"""Its kind and sizes: ("linear", 784, 50) or ("tanh",). A contender that does not know a kind says so."""


@dataclass(frozen=True)
class Workload:
    """A net and how it is trained, with cross-entropy, in float32; each step on images drawn at random."""

    name: str
    title: str
    layers: tuple[Layer, ...]
    batch: int
    optimizer: str
    """"sgd" or "adam", as PyTorch defines them."""
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    """λ of the L2 penalty: λw joins the gradient of every parameter, as in PyTorch."""
    eps: float = 1e-8
    """Of Adam."""
    target: float | None = None
    """How many times as fast as its fastest peer the package wants to be."""

    def for_check(self) -> Workload:
        """With a penalty so large that a contender that forgets it is noticed within `CHECK_STEPS`.

        And with a large epsilon: Adam's first steps are as long as the learning rate however small the gradient, so
        that whatever rounding decides, the sign of a gradient or on which side of zero a ReLU lies, grows in later
        steps, up to 0.005 of the loss. With this epsilon such losses agree within 0.00005, while a learning rate that
        is wrong by 1 % shows as 0.0007 or more.
        """
        return replace(self, weight_decay=self.weight_decay * 100, eps=1e-2)

    @property
    def linear_shapes(self) -> list[tuple[int, int]]:
        """(in, out) of each linear layer."""
        return [(int(layer[1]), int(layer[2])) for layer in self.layers if layer[0] == "linear"]


def _mlp(widths: tuple[int, ...], activation: str) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for inputs, outputs in pairwise(widths):
        layers += [("linear", inputs, outputs), (activation,)]
    return tuple(layers[:-1])


_W1 = Workload(
    "W1",
    "784-50-50-10 tanh, batch 64, SGD momentum 0.9, L2",
    _mlp((784, 50, 50, 10), "tanh"),
    batch=64,
    optimizer="sgd",
    lr=0.01,
    momentum=0.9,
    weight_decay=1e-4,
    target=3.0,
)
_W2 = Workload(
    "W2",
    "784-128-64-10 ReLU, batch 64, Adam",
    _mlp((784, 128, 64, 10), "relu"),
    batch=64,
    optimizer="adam",
    lr=1e-3,
    target=2.5,
)
_W3 = Workload(
    "W3",
    "784-512-128-64-10 ReLU, batch 64, Adam",
    _mlp((784, 512, 128, 64, 10), "relu"),
    batch=64,
    optimizer="adam",
    lr=1e-3,
    target=1.7,
)
_W4 = Workload(
    "W4",
    "784-128-10 ReLU, batch 512, SGD",
    _mlp((784, 128, 10), "relu"),
    batch=512,
    optimizer="sgd",
    lr=0.01,
    target=2.0,
)
_W7 = replace(
    _W1,
    name="W7",
    title="784-100-10 sigmoid, batch 64, SGD momentum 0.9, L2",
    layers=_mlp((784, 100, 10), "sigmoid"),
)

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (_W1, _W2, _W3, _W4, _W7)}
