"""The calls of the kernel table on images: convolutions, pools and norms as the nets of the workloads have them.

A convolution's work is that of the direct method, whatever method is used; an algorithm with fewer multiplications
(Winograd's) may so exceed the machine's limit. Standard library only.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from benchmarks.kernel_calls.case import FLOAT, Case

__all__ = ["GROUPS", "IMAGE_CASES"]

GROUPS = ("convolutions", "pools and norms")


class _Conv(NamedTuple):
    """Of (batch, inputs, size, size), padded by kernel // 2."""

    batch: int
    size: int
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    nets: str = ""


_CONVS = (
    _Conv(64, 28, 1, 32, nets="W5"),
    _Conv(128, 28, 1, 32, nets="W6 W8"),
    _Conv(64, 28, 32, 32, nets="W5"),
    _Conv(128, 14, 32, 32, nets="W8"),
    _Conv(128, 14, 32, 64, nets="W6"),
    _Conv(128, 14, 32, 64, stride=2, nets="W8"),
    _Conv(128, 7, 64, 64, nets="W8"),
    _Conv(128, 14, 32, 64, kernel=1, stride=2, nets="W8"),
    _Conv(64, 28, 32, 64, kernel=1),
)
# What is computed, and how many times the work of the forward pass that is; "dx dw" is what a training step does.
_PASSES = {"forward": 1, "dx": 1, "dw": 1, "dx dw": 2}
_WAYS = ("forward", "backward")


def _convolutions() -> list[Case]:
    cases: list[Case] = []
    for conv in _CONVS:
        passes = _PASSES if conv.inputs > 1 else {"forward": 1, "dw": 1}  # images need no gradient
        out_size = (conv.size + 2 * (conv.kernel // 2) - conv.kernel) // conv.stride + 1
        x = conv.batch * conv.size**2 * conv.inputs
        out = conv.batch * out_size**2 * conv.outputs
        weight = conv.kernel**2 * conv.inputs * conv.outputs
        flops = 2.0 * out * conv.kernel**2 * conv.inputs
        sizes = f"{conv.batch}·{conv.size}² {conv.inputs}→{conv.outputs} {conv.kernel}×{conv.kernel}"
        shape = conv._asdict()
        del shape["nets"]
        for which, times in passes.items():
            name = f"conv {which}: {sizes}" + (f" /{conv.stride}" if conv.stride > 1 else "")
            arguments = {**shape, "which": which}
            reach = FLOAT * (x + weight + out) * times
            cases.append(Case(GROUPS[0], name, "conv", arguments, times * flops, "GFLOP/s", reach, conv.nets))
    return cases


def _others() -> list[Case]:
    """Bytes are what must at least be read and written: x and out forward; grad, x and its gradient backward."""
    layers = (
        ("batch norm", "batch_norm", (2, 3)),
        ("batch norm + relu", "batch_norm_relu", (2, 3)),
        ("max pool 2×2", "max_pool", (1.25, 1.25)),  # which of four was the maximum need not be read as a float
    )
    cases: list[Case] = []
    for batch, channels, size in ((128, 32, 28), (128, 64, 14)):
        nets = "W6 W8" if channels == 32 else "W6"
        for title, kind, arrays in layers:
            for which, count in zip(_WAYS, arrays, strict=True):
                shape = [batch, channels, size, size]
                cases.append(_of_bytes(f"{title} {which}", kind, which, shape, count, nets))
    shape = [128, 64, 7, 7]
    pools = [_of_bytes(f"average pool {which}", "average_pool", which, shape, 1, "W8") for which in _WAYS]
    return [*cases, *pools]


def _of_bytes(title: str, kind: str, which: str, shape: list[int], arrays: float, nets: str) -> Case:
    """A call that moves so many arrays of this shape."""
    moved = FLOAT * math.prod(shape) * arrays
    name = f"{title}: {shape[0]}·{shape[2]}² {shape[1]}"
    arguments: dict[str, Any] = {"which": which, "shape": shape}
    return Case(GROUPS[1], name, kind, arguments, moved, "GB/s", int(moved), nets)


IMAGE_CASES = [*_convolutions(), *_others()]
