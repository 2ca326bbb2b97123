"""Where the boxes of a layered drawing lie: in which layer, in which order, at which x and y.

After Sugiyama, Tagawa and Toda (1981): everything lies in a layer above all that uses it, and as low as that allows;
within the layers barycentres reduce crossings; then every box moves as near to the mean of its neighbours as the boxes
beside it allow, what much was computed for before leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

__all__ = ["Box", "Edge", "crossings", "lay_out", "uncross"]

# In inches.
_MARGIN, _GAP_BESIDE, _GAP_BELOW = 0.3, 0.2, 0.42
_SWEEPS = 12
_LONG = 6  # layers


@dataclass(eq=False)
class Box:
    """A leaf, an op or the result; or (kind "bend") a place where a long edge passes a layer."""

    kind: str
    lines: list[str]
    shape: str = ""
    """What leaves it, written beside its edges; empty where a line says it."""
    pull: float = 8.0
    """How strongly others are drawn to it."""
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    room: float = 0.0
    """Its width with a shape beside its edges, on either side."""
    above: list[Box] = field(default_factory=list)
    below: list[Box] = field(default_factory=list)


Edge = list[Box]
"""A tensor on its way: where it comes from, the bends that it passes, and where it goes."""


def lay_out(boxes: list[Box], edges: list[Edge]) -> tuple[float, float]:
    """Set x and y (downwards, in inches) of boxes whose sizes are known; the width and height of the whole.

    `boxes` has arguments before what uses them, and gets more where leaves are repeated; edges get bends.
    """
    layers = _in_layers(boxes, edges)
    uncross(layers)
    return _place(layers)


def _in_layers(boxes: list[Box], edges: list[Edge]) -> list[list[Box]]:
    """Give each box its layer, and each edge a bend in every layer that it passes; the layers, from the top."""
    for source, target in edges:
        target.layer = max(target.layer, source.layer + 1)  # arguments come first: the source has its layer
    for box in boxes:
        box.pull = 1.0 + box.layer**2  # what much was computed for makes a straight trunk; leaves stand beside it
    uses: dict[Box, list[Box]] = {box: [] for box in boxes}
    for source, target in edges:
        uses[source].append(target)
    for box in reversed(boxes):
        box.layer = min([use.layer - 1 for use in uses[box]], default=box.layer)
    _repeat_leaves(boxes, edges)
    layers: list[list[Box]] = [[] for _ in range(1 + max(box.layer for box in boxes))]
    for box in boxes:
        layers[box.layer].append(box)
    for edge in edges:
        source, target = edge
        edge[1:1] = [Box("bend", [], layer=layer) for layer in range(source.layer + 1, target.layer)]
        for bend in edge[1:-1]:
            layers[bend.layer].append(bend)
        for upper, lower in pairwise(edge):
            upper.below.append(lower)
            lower.above.append(upper)
    return layers


def _repeat_leaves(boxes: list[Box], edges: list[Edge]) -> None:
    """A leaf that is used again many layers below its first use stands there once more: no line crosses the drawing."""
    copies: dict[tuple[Box, int], Box] = {}
    for edge in edges:
        source, target = edge
        layer = target.layer - 1
        if source.kind in ("leaf", "constant") and layer - source.layer > _LONG:
            if (source, layer) not in copies:
                copies[source, layer] = replace(source, layer=layer, above=[], below=[])
                boxes.append(copies[source, layer])
            edge[0] = copies[source, layer]


def uncross(layers: list[list[Box]]) -> None:
    """Order each layer by the mean place of its neighbours, downwards and upwards in turn; keep the best order seen."""
    best, fewest = [list(layer) for layer in layers], crossings(layers)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for fixed, layer in pairwise(layers if down else layers[::-1]):
            rank = {box: float(i) for i, box in enumerate(fixed)}
            mean = {box: float(i) for i, box in enumerate(layer)}
            for box in layer:
                if near := box.above if down else box.below:
                    mean[box] = sum(rank[other] for other in near) / len(near)
            layer.sort(key=mean.__getitem__)
        count = crossings(layers)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    for layer, ordered in zip(layers, best, strict=True):
        layer[:] = ordered


def crossings(layers: list[list[Box]]) -> int:
    """How many pairs of edges between neighbouring layers cross."""
    count = 0
    for upper, lower in pairwise(layers):
        rank = {box: i for i, box in enumerate(lower)}
        ends = [rank[target] for box in upper for target in sorted(box.below, key=rank.__getitem__)]
        count += sum(earlier > later for i, later in enumerate(ends) for earlier in ends[:i])
    return count


def _place(layers: list[list[Box]]) -> tuple[float, float]:
    """Set x and y; a bend is as high as its layer, so that its edge passes the boxes beside it straight."""
    y = _MARGIN
    for layer in layers:
        height = max(box.height for box in layer)
        for box in layer:
            box.y = y + height / 2
            if box.kind == "bend":
                box.height = height
        y += height + _GAP_BELOW
    for layer in layers:
        _set_apart(layer, [0.0] * len(layer))
    for sweep in range(4 * _SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            _set_apart(layer, [_wanted_x(box) for box in layer])
    left = min(box.x - box.room / 2 for layer in layers for box in layer)
    right = max(box.x + box.room / 2 for layer in layers for box in layer)
    for layer in layers:
        for box in layer:
            box.x += _MARGIN - left
    return right - left + 2 * _MARGIN, y - _GAP_BELOW + _MARGIN


def _wanted_x(box: Box) -> float:
    """The mean place of the neighbours."""
    near = [*box.above, *box.below]
    return sum(other.pull * other.x for other in near) / sum(other.pull for other in near)


def _set_apart(layer: list[Box], wanted: list[float]) -> None:
    """As near as possible, by least squares, to where the boxes want to be, in their order and without touching.

    Pool adjacent violators (Ayer et al. 1955): boxes that would touch join to a block, which stands at its mean.
    """
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + (left.room + right.room) / 2 + _GAP_BESIDE)
    blocks: list[tuple[float, float, int]] = []  # mean of wanted - offset, weight, number of boxes
    for box, target, offset in zip(layer, wanted, offsets, strict=True):
        mean, weight, count = target - offset, box.pull, 1
        while blocks and blocks[-1][0] > mean:
            other_mean, other_weight, other_count = blocks.pop()
            total = weight + other_weight
            mean, weight, count = (mean * weight + other_mean * other_weight) / total, total, count + other_count
        blocks.append((mean, weight, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    for box, mean, offset in zip(layer, means, offsets, strict=True):
        box.x = mean + offset
