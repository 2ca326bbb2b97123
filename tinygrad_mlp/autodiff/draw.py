"""Draw the recorded graph behind a tensor: what flowed through which ops, and in which shapes.

Layered drawing after Sugiyama, Tagawa and Toda (1981): everything lies in a layer above all that uses it, and as low as
that allows; within the layers barycentres reduce crossings; then every box moves as near to the mean of its neighbours
as the boxes beside it allow, what much was computed for before leaves.
"""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, GradientError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

# Sizes in inches, fonts in points.
_MARGIN, _GAP_BESIDE, _GAP_BELOW = 0.3, 0.28, 0.42
_PADDING_X, _PADDING_Y = 0.13, 0.08
_LINE, _FONT, _SMALL, _TINY = 0.185, 10.0, 8.5, 7.5
_LEGEND_WIDTH, _LEGEND_HEIGHT = 4.2, 0.35
_MAX_OPS = 1000
_SWEEPS = 12
_LONG = 6  # layers

# kind: (fill, border, name in the legend)
_STYLES = {
    "leaf": ("#fdeed3", "#c77f0a", "leaf that gets a gradient"),
    "constant": ("#f0f1f3", "#8b939c", "no gradient"),
    "op": ("#deebf8", "#3576b3", "op"),
    "result": ("#dff2e1", "#37894b", "result"),
}


_INK, _LINES = "#1d242c", "#5b6570"


@dataclass(eq=False)
class _Box:
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
    above: list[_Box] = field(default_factory=list)
    below: list[_Box] = field(default_factory=list)


_Edge = list[_Box]
"""A tensor on its way: where it comes from, the bends that it passes, and where it goes."""


def draw(
    tensor: Tensor, path: str | Path | None = None, *, names: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] = ()
) -> Figure:
    """Draw the graph that computed a tensor: leaves with names and shapes, ops, and the shapes that flow between them.

    Parameters
    ----------
    tensor:
        The result of recorded ops, such as a loss; before its `backward()`, which frees the graph.
    path:
        Where to save the figure; the suffix (.png, .svg, .pdf) tells the format.
    names:
        Names of tensors in the graph: `net.named_parameters()`, or a dict such as `{"x": x, "y": y}`.

    Raises
    ------
    GradientError
        There is no recorded graph, or it was freed.
    ArgumentError
        It has more than 1000 ops, too many to read.

    >>> loss = F.cross_entropy(net(x), y)
    >>> tg.draw(loss, "graph.png", names=net.named_parameters())
    """
    known = {_memory(named): name for name, named in dict(names).items()}
    edges, boxes = _graph(tensor, known)
    layers = _layered(boxes, edges)
    _uncross(layers)
    _measure(boxes)
    width, height = _place(layers)
    figure = _figure(boxes, edges, width, height)
    if path is not None:
        figure.savefig(path)
    return figure


# The graph


_Memory = tuple[Any, ...]


def _memory(tensor: Tensor) -> _Memory:
    """What an array looks at: a `.detach()` or another wrapper of a named tensor has its name, too."""
    return tensor.array.__array_interface__["data"][0], tensor.shape, tensor.array.strides


def _graph(root: Tensor, names: dict[_Memory, str]) -> tuple[list[_Edge], list[_Box]]:
    """Boxes and edges, arguments before the ops that use them."""
    if root.node is None:
        raise GradientError("draw: this tensor was not computed by a recorded op, so there is no graph behind it")
    boxes: dict[int, _Box] = {}
    edges: list[_Edge] = []
    for tensor in _arguments_first(root):
        box = boxes[id(tensor)] = _box(tensor, names.get(_memory(tensor)))
        inputs = () if tensor.node is None else tensor.node.inputs
        edges.extend([boxes[id(argument)], box] for argument in inputs if argument is not None)
    name = names.get(_memory(root), "result")
    scalar = root.ndim == 0
    result = _Box("result", [f"{name} = {root.item():.4g}"] if scalar else [name, _shape_text(root)])
    boxes[id(root)].shape = ""
    edges.append([boxes[id(root)], result])
    return edges, [*boxes.values(), result]


def _arguments_first(root: Tensor) -> list[Tensor]:
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [(root, False)]
    ops = 0
    while stack:
        tensor, arguments_done = stack.pop()
        if arguments_done:
            order.append(tensor)
            continue
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        stack.append((tensor, True))
        if tensor.node is None:
            continue
        ops += 1
        if ops > _MAX_OPS:
            raise ArgumentError(f"draw: the graph has more than {_MAX_OPS} ops, too many to read; draw a part of it")
        if tensor.node.backward is None:
            raise GradientError(
                f"draw: the graph behind op {tensor.node.name} was freed by backward(); draw before it, or call "
                "backward(retain_graph=True)"
            )
        stack.extend((argument, False) for argument in reversed(tensor.node.inputs) if argument is not None)
    return order


def _box(tensor: Tensor, name: str | None) -> _Box:
    shape = _shape_text(tensor)
    if tensor.node is not None:
        return _Box("op", [tensor.node.name], shape if name is None else f"{name} {shape}")
    kind = "leaf" if tensor.requires_grad else "constant"
    if name is None:
        name = f"{tensor.item():.4g}" if kind == "constant" and tensor.ndim == 0 else type(tensor).__name__
    return _Box(kind, [name, shape])


def _shape_text(tensor: Tensor) -> str:
    text = str(tensor.shape)
    return text if tensor.dtype == np.float32 else f"{text} {tensor.dtype}"


# Layers


def _layered(boxes: list[_Box], edges: list[_Edge]) -> list[list[_Box]]:
    """Give each box its layer, and each edge a bend in every layer that it passes; the layers, from the top."""
    for source, target in edges:
        target.layer = max(target.layer, source.layer + 1)  # arguments come first: the source has its layer
    for box in boxes:
        box.pull = 1.0 + box.layer**2  # what much was computed for makes a straight trunk; leaves stand beside it
    uses: dict[_Box, list[_Box]] = {box: [] for box in boxes}
    for source, target in edges:
        uses[source].append(target)
    for box in reversed(boxes):
        box.layer = min([use.layer - 1 for use in uses[box]], default=box.layer)
    _repeat_leaves(boxes, edges)
    layers: list[list[_Box]] = [[] for _ in range(1 + max(box.layer for box in boxes))]
    for box in boxes:
        layers[box.layer].append(box)
    for edge in edges:
        source, target = edge
        edge[1:1] = [_Box("bend", [], layer=layer) for layer in range(source.layer + 1, target.layer)]
        for bend in edge[1:-1]:
            layers[bend.layer].append(bend)
        for upper, lower in pairwise(edge):
            upper.below.append(lower)
            lower.above.append(upper)
    return layers


def _repeat_leaves(boxes: list[_Box], edges: list[_Edge]) -> None:
    """A leaf that is used again many layers below its first use stands there once more: no line crosses the drawing."""
    copies: dict[tuple[_Box, int], _Box] = {}
    for edge in edges:
        source, target = edge
        place = target.layer - 1
        if source.kind in ("leaf", "constant") and place - source.layer > _LONG:
            if (source, place) not in copies:
                copies[source, place] = _Box(source.kind, source.lines, pull=source.pull, layer=place)
                boxes.append(copies[source, place])
            edge[0] = copies[source, place]


def _uncross(layers: list[list[_Box]]) -> None:
    """Order each layer by the mean place of its neighbours, downwards and upwards in turn; keep the best order seen."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for fixed, layer in pairwise(layers if down else layers[::-1]):
            place = {box: float(i) for i, box in enumerate(fixed)}
            mean = {box: float(i) for i, box in enumerate(layer)}
            for box in layer:
                if near := box.above if down else box.below:
                    mean[box] = sum(place[other] for other in near) / len(near)
            layer.sort(key=mean.__getitem__)
        crossings = _crossings(layers)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    for layer, ordered in zip(layers, best, strict=True):
        layer[:] = ordered


def _crossings(layers: list[list[_Box]]) -> int:
    count = 0
    for upper, lower in pairwise(layers):
        place = {box: i for i, box in enumerate(lower)}
        ends = [place[target] for box in upper for target in sorted(box.below, key=place.__getitem__)]
        count += sum(earlier > later for i, later in enumerate(ends) for earlier in ends[:i])
    return count


# Coordinates, in inches


def _measure(boxes: list[_Box]) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    for box in boxes:
        fonts = [FontProperties(weight="bold", size=_FONT), *[FontProperties(size=_SMALL)] * (len(box.lines) - 1)]
        extents = [
            TextPath((0, 0), line, prop=font).get_extents().width for line, font in zip(box.lines, fonts, strict=True)
        ]
        box.width = max(0.6, max(extents) / 72 + 2 * _PADDING_X)
        box.height = _LINE * len(box.lines) + 2 * _PADDING_Y


def _place(layers: list[list[_Box]]) -> tuple[float, float]:
    """Set x and y (downwards) of all boxes; the width and height of the drawing."""
    y = _MARGIN
    for layer in layers:
        height = max(box.height for box in layer)
        for box in layer:
            box.y = y + height / 2
        y += height + _GAP_BELOW
    for layer in layers:
        _set_apart(layer, [0.0] * len(layer))
    for sweep in range(4 * _SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            _set_apart(layer, [_wanted_x(box) for box in layer])
    left = min(box.x - box.width / 2 for layer in layers for box in layer)
    right = max(box.x + box.width / 2 for layer in layers for box in layer)
    for layer in layers:
        for box in layer:
            box.x += _MARGIN - left
    return right - left + 2 * _MARGIN, y - _GAP_BELOW + _MARGIN


def _wanted_x(box: _Box) -> float:
    """The mean place of the neighbours."""
    near = [*box.above, *box.below]
    return sum(other.pull * other.x for other in near) / sum(other.pull for other in near)


def _set_apart(layer: list[_Box], wanted: list[float]) -> None:
    """As near as possible, by least squares, to where the boxes want to be, in their order and without touching.

    Pool adjacent violators (Ayer et al. 1955): boxes that would touch join to a block, which stands at its mean.
    """
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + _GAP_BESIDE)
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


# The figure


def _figure(boxes: list[_Box], edges: list[_Edge], width: float, height: float) -> Figure:
    """A figure in which one unit is one inch, y downwards."""
    from matplotlib.figure import Figure

    size = (max(width, _LEGEND_WIDTH), height + _LEGEND_HEIGHT)
    figure = Figure(figsize=size, dpi=150, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim((width - size[0]) / 2, (width + size[0]) / 2)
    axes.set_ylim(size[1], 0)
    for edge in edges:
        _draw_edge(axes, edge)
    for box in boxes:
        _draw_box(axes, box)
    _draw_legend(axes, {box.kind for box in boxes}, width / 2, height + _LEGEND_HEIGHT / 2 - 0.08)
    return figure


def _draw_edge(axes: Axes, edge: _Edge) -> None:
    """A smooth curve that leaves and arrives vertically, with an arrow head."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    first, last = edge[0], edge[-1]
    stops = np.array([(box.x, box.y) for box in edge])
    stops[0, 1] += first.height / 2
    stops[-1, 1] -= last.height / 2
    slopes = np.gradient(stops, axis=0)
    slopes[[0, -1], 0] = 0.0
    vertices, codes = [stops[0]], [Curve.MOVETO]
    for (start, slope), (end, end_slope) in pairwise(zip(stops, slopes, strict=True)):
        vertices += [start + slope / 2, end - end_slope / 2, end]
        codes += [Curve.CURVE4] * 3
    curve = Curve(np.array(vertices), np.array(codes, np.uint8))
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0, "zorder": 1}
    axes.add_patch(FancyArrowPatch(path=curve, color=_LINES, linewidth=0.9, **style))


def _draw_box(axes: Axes, box: _Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    fill, border, _ = _STYLES[box.kind]
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = f"round,pad=0,rounding_size={box.height / 2 if box.kind == 'op' else 0.06}"
    axes.add_patch(
        FancyBboxPatch(corner, box.width, box.height, boxstyle=style, facecolor=fill, edgecolor=border, zorder=3)
    )
    for number, line in enumerate(box.lines):
        y = box.y + (number - (len(box.lines) - 1) / 2) * _LINE
        size, weight = (_FONT, "bold") if number == 0 else (_SMALL, "normal")
        axes.text(
            box.x, y, line, fontsize=size, fontweight=weight, color=_INK, ha="center", va="center_baseline", zorder=4
        )
    if box.shape:
        y = box.y + box.height / 2 + 0.13
        to_the_right = sum(other.x - box.x for other in box.below) > 0.1
        x, side = (box.x - 0.07, "right") if to_the_right else (box.x + 0.07, "left")
        background = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
        axes.text(x, y, box.shape, fontsize=_TINY, color=_LINES, ha=side, va="center", bbox=background, zorder=2)


def _draw_legend(axes: Axes, kinds: set[str], x: float, y: float) -> None:
    from matplotlib.patches import Patch

    shown = [style for kind, style in _STYLES.items() if kind in kinds]
    axes.legend(
        handles=[Patch(facecolor=fill, edgecolor=border, label=name) for fill, border, name in shown],
        loc="center",
        bbox_to_anchor=(x, y),
        bbox_transform=axes.transData,
        ncols=len(shown),
        frameon=False,
        fontsize=_TINY,
        handlelength=1.2,
        columnspacing=1.2,
    )
