"""Draw the recorded graph behind a tensor: what flowed through which ops, and in which shapes."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_mlp.autodiff.layout import Box, Edge, lay_out
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, GradientError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

# Sizes in inches, fonts in points.
_PADDING_X, _PADDING_Y, _BESIDE_LINE = 0.13, 0.08, 0.07
_LINE, _FONT, _SMALL, _TINY = 0.185, 10.0, 8.5, 7.5
_LEGEND_WIDTH, _LEGEND_HEIGHT = 4.2, 0.35
_MAX_OPS = 1000

# kind: (fill, border, name in the legend)
_STYLES = {
    "leaf": ("#fdeed3", "#c77f0a", "leaf that gets a gradient"),
    "constant": ("#f0f1f3", "#8b939c", "no gradient"),
    "op": ("#deebf8", "#3576b3", "op"),
    "result": ("#dff2e1", "#37894b", "result"),
}
_INK, _LINES = "#1d242c", "#5b6570"


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
    for box in boxes:
        _measure(box)
    width, height = lay_out(boxes, edges)
    figure = _figure(boxes, edges, width, height)
    if path is not None:
        figure.savefig(path)
    return figure


# The graph


_Memory = tuple[Any, ...]


def _memory(tensor: Tensor) -> _Memory:
    """What an array looks at: a `.detach()` or another wrapper of a named tensor has its name, too."""
    return tensor.array.__array_interface__["data"][0], tensor.shape, tensor.array.strides


def _graph(root: Tensor, names: dict[_Memory, str]) -> tuple[list[Edge], list[Box]]:
    """Boxes and edges, arguments before the ops that use them."""
    if root.node is None:
        raise GradientError("draw: this tensor was not computed by a recorded op, so there is no graph behind it")
    boxes: dict[int, Box] = {}
    edges: list[Edge] = []
    for tensor in _arguments_first(root):
        box = boxes[id(tensor)] = _box(tensor, names.get(_memory(tensor)))
        inputs = () if tensor.node is None else tensor.node.inputs
        edges.extend([boxes[id(argument)], box] for argument in inputs if argument is not None)
    name = names.get(_memory(root), "result")
    scalar = root.ndim == 0
    result = Box("result", [f"{name} = {root.item():.4g}"] if scalar else [name, _shape_text(root)])
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


def _box(tensor: Tensor, name: str | None) -> Box:
    shape = _shape_text(tensor)
    if tensor.node is not None:
        return Box("op", [tensor.node.name], shape if name is None else f"{name} {shape}")
    kind = "leaf" if tensor.requires_grad else "constant"
    if name is None:
        name = f"{tensor.item():.4g}" if kind == "constant" and tensor.ndim == 0 else type(tensor).__name__
    return Box(kind, [name, shape])


def _shape_text(tensor: Tensor) -> str:
    text = str(tensor.shape)
    return text if tensor.dtype == np.float32 else f"{text} {tensor.dtype}"


# The figure


def _measure(box: Box) -> None:
    title, *rest = box.lines
    lines = max(_text_width(title, _FONT, "bold"), *[_text_width(line, _SMALL) for line in rest], 0.0)
    box.width = max(0.6, lines + 2 * _PADDING_X)
    box.height = _LINE * len(box.lines) + 2 * _PADDING_Y
    box.room = max(box.width, 2 * (_text_width(box.shape, _TINY) + _BESIDE_LINE))


def _text_width(text: str, size: float, weight: str = "normal") -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return (
        TextPath((0, 0), text, prop=FontProperties(weight=weight, size=size)).get_extents().width / 72 if text else 0.0
    )


def _figure(boxes: list[Box], edges: list[Edge], width: float, height: float) -> Figure:
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


def _draw_edge(axes: Axes, edge: Edge) -> None:
    """A smooth curve that leaves and arrives vertically, with an arrow head."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    sides = [(box.x, box.y + side * box.height / 2) for box in edge for side in (-1, 1)]
    stops = sides[1:-1]  # from below the first box, past the bends, to the top of the last
    vertices, codes = [stops[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(stops):
        vertices += [(x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2), (x1, y1)]
        codes += [Curve.CURVE4] * 3
    curve = Curve(vertices, np.array(codes, np.uint8))
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0, "zorder": 1}
    axes.add_patch(FancyArrowPatch(path=curve, color=_LINES, linewidth=0.9, **style))


def _draw_box(axes: Axes, box: Box) -> None:
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
        x, side = (box.x - _BESIDE_LINE, "right") if to_the_right else (box.x + _BESIDE_LINE, "left")
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
