"""`pad`: more entries at the borders of a tensor, or fewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.checks import check_choice
from tinygrad_mlp.autodiff.ops.dims import sizes
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import Array, launch

__all__ = ["add_along", "pad", "pad_along", "pad_constant"]

Widths = tuple[tuple[int, int], ...]


@op
def pad_constant(x: Tensor, widths: Widths, value: float) -> tuple[Array, Backward]:
    """Before and after each dimension so many entries more, of one value; fewer for negative widths."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return pad_constant(grad, tuple([(-before, -after) for before, after in widths]), 0.0)

    shape = tuple([size + before + after for size, (before, after) in zip(x.shape, widths, strict=True)])
    array = np.empty_like(x.array, shape=shape)
    launch(copy, np.asarray(value, x.dtype), array)
    kept = [
        (max(-before, 0), size - max(-after, 0), max(before, 0))
        for size, (before, after) in zip(x.shape, widths, strict=True)
    ]
    source = tuple([slice(start, stop) for start, stop, _ in kept])
    target = tuple([slice(place, place + stop - start) for start, stop, place in kept])
    launch(copy, x.array[(*source, Ellipsis)], array[(*target, Ellipsis)])
    return array, backward


@op
def pad_along(x: Tensor, dim: int, sources: tuple[int, ...], before: int) -> tuple[Array, Backward]:
    """The entries of a dimension that `sources` names, in its order: all of them but at the borders.

    Entry i of x becomes entry before + i, if there is one.
    """

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return add_along(grad, dim, sources, before, x.shape[dim])

    array = np.empty_like(x.array, shape=(*x.shape[:dim], len(sources), *x.shape[dim + 1 :]))
    inner, outer, borders = _parts(len(sources), before, x.shape[dim])
    launch(copy, _entries(x.array, dim, inner), _entries(array, dim, outer))
    for place in borders:
        launch(copy, _entry(x.array, dim, sources[place]), _entry(array, dim, place))
    return array, backward


@op
def add_along(grad: Tensor, dim: int, sources: tuple[int, ...], before: int, size: int) -> tuple[Array, Backward]:
    """The gradient of `pad_along`, whose input has `size` entries: each one's is the sum of those of its copies."""

    def backward(outer: Tensor, out: Tensor) -> Tensor:
        return pad_along(outer, dim, sources, before)

    array = np.empty_like(grad.array, shape=(*grad.shape[:dim], size, *grad.shape[dim + 1 :]))
    inner, outer, borders = _parts(len(sources), before, size)
    if inner != slice(0, size):
        launch(copy, np.zeros((), grad.dtype), array)
    launch(copy, _entries(grad.array, dim, outer), _entries(array, dim, inner))
    for place in borders:
        target = _entry(array, dim, sources[place])
        launch(np.add, target, _entry(grad.array, dim, place), target)
    return array, backward


def _parts(count: int, before: int, size: int) -> tuple[slice, slice, list[int]]:
    """Of `size` entries those that stay, where they stand among `count`, and the places of the others."""
    first, last = max(-before, 0), min(size, count - before)
    outer = slice(first + before, max(last, first) + before)
    return slice(first, max(last, first)), outer, [*range(outer.start), *range(outer.stop, count)]


def _entries(array: Array, dim: int, part: slice) -> Array:
    return array[(*[slice(None)] * dim, part)]


def _entry(array: Array, dim: int, place: int) -> Array:
    return _entries(array, dim, slice(place, place + 1))


def _reflected(positions: Array, size: int) -> Array:
    return size - 1 - np.abs(size - 1 - np.abs(positions))


def _nearest(positions: Array, size: int) -> Array:
    return np.clip(positions, 0, size - 1)


# Where an entry at a position outside 0 to size - 1 is taken from, and how far outside that works.
_BORDERS: dict[str, tuple[Callable[[Array, int], Array], Callable[[int], float]]] = {
    "reflect": (_reflected, lambda size: size - 1),
    "replicate": (_nearest, lambda size: float("inf") if size else 0),
    "circular": (np.mod, lambda size: size),
}


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """More entries at the borders, as `torch.nn.functional.pad`.

    Parameters
    ----------
    input:
        Any shape.
    pad:
        (before, after) of the last dimension, then of the one before it, and so on: (left, right, top, bottom) for
        images. Negative numbers cut off.
    mode:
        "constant" fills with `value`; "reflect" mirrors at the border entry, "replicate" repeats it, "circular"
        goes on at the other side.
    value:
        0 if None; for mode "constant" only.

    Raises
    ------
    ArgumentError
        An odd number of widths, an unknown mode, or a value given to a mode that has none.
    ShapeError
        More widths than dimensions, or wider than the mode or the tensor's size allows.
    """
    check_choice("pad", "mode", mode, ("constant", *_BORDERS))
    flat = sizes("pad", [pad])
    if len(flat) % 2:
        raise ArgumentError(f"pad: expected pairs (before, after), got {len(flat)} numbers: {flat}")
    pairs = list(zip(flat[::2], flat[1::2], strict=True))[::-1]
    if len(pairs) > input.ndim:
        raise ShapeError(f"pad: {len(pairs)} pairs of widths for a tensor of shape {input.shape}")
    widths: Widths = ((0, 0),) * (input.ndim - len(pairs)) + tuple(pairs)
    if any(
        size + before + after < 0 or size + min(before, 0) + min(after, 0) < 0
        for size, (before, after) in zip(input.shape, widths, strict=True)
    ):
        raise ShapeError(f"pad: widths {flat} cut more off than shape {input.shape} has")
    if mode == "constant":
        return pad_constant(input, widths, 0.0 if value is None else value)
    if value is not None:
        raise ArgumentError(f"pad: value belongs to mode 'constant', not to {mode!r}")
    if mode == "circular" and min(flat, default=0) < 0:  # what is cut off does not come back at the other side
        input = pad_constant(input, tuple([(min(before, 0), min(after, 0)) for before, after in widths]), 0.0)
        widths = tuple([(max(before, 0), max(after, 0)) for before, after in widths])
    source, widest = _BORDERS[mode]
    for dim, (before, after) in enumerate(widths):
        if max(before, after) > max(widest(input.shape[dim]), 0):
            raise ShapeError(f"pad: mode {mode!r} cannot pad dim {dim} of shape {input.shape} by {(before, after)}")
    for dim, (before, after) in enumerate(widths):
        if before or after:
            size = input.shape[dim]
            input = pad_along(input, dim, tuple(source(np.arange(-before, size + after), size).tolist()), before)
    return input
