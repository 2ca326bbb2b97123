"""`summary`: a table of a net's layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.nn.module import Module

__all__ = ["LayerRow", "Summary", "summary"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerRow:
    """One layer of a summary."""

    path: str
    """Its name as in the state dict, `encoder.0`; empty for the module that was summarised."""
    kind: str
    output_shape: Shape | None
    """Shape of its (last) output; None if the net's forward never called it, or it returned no Tensor."""
    parameters: int
    """Elements of its own parameters; those that an earlier row shares count 0."""
    multiply_adds: int
    """Of all its calls together; see `Module.multiply_adds`."""


@dataclass(frozen=True, repr=False)
class Summary:
    """What `nn.summary` found; `print`, or a notebook, shows it as a table."""

    rows: tuple[LayerRow, ...]
    input_shape: Shape
    trainable_parameters: int

    @property
    def total_parameters(self) -> int:
        """Elements of all parameters, frozen ones included."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply–adds of one forward pass over the input."""
        return sum(row.multiply_adds for row in self.rows)

    def __str__(self) -> str:
        from rich.console import Console  # slow to import, and only needed here
        from rich.table import Table

        table = Table(title=f"input {self.input_shape}", show_footer=True)
        table.add_column("layer", footer="total")
        table.add_column("type")
        table.add_column("output shape")
        table.add_column("parameters", footer=f"{self.total_parameters:,}", justify="right")
        table.add_column("multiply–adds", footer=f"{self.multiply_adds:,}", justify="right")
        for row in self.rows:
            shape = "not called" if row.output_shape is None else str(row.output_shape)
            table.add_row(row.path or "net", row.kind, shape, f"{row.parameters:,}", f"{row.multiply_adds:,}")
        frozen = self.total_parameters - self.trainable_parameters
        console = Console(width=120, force_terminal=False, color_system=None)
        with console.capture() as capture:
            console.print(table)
            if frozen:
                console.print(f"{frozen:,} parameters are frozen")
        return capture.get().rstrip("\n")

    def __repr__(self) -> str:
        return str(self)


def summary(
    module: Module,
    input_shape: Sequence[int] | None = None,
    *,
    input_size: Sequence[int] | None = None,
    dtype: Any = None,
) -> Summary:
    """Run zeros through a net, in eval mode, and list its layers in order: a table when printed.

    Parameters
    ----------
    module:
        Its forward takes one Tensor. Mode and buffers are as before afterwards.
    input_shape:
        Shape of one example, without the batch: `(784,)`. A batch of 1 is run.
    input_size:
        Instead of it, the shape of a whole batch, `(64, 784)`.
    dtype:
        Of the input; by default that of the parameters. A net that starts with an Embedding wants `np.int64`.

    Raises
    ------
    ArgumentError
        Both shapes or none are given.

    >>> print(nn.summary(net, (784,)))
    """
    if (input_shape is None) == (input_size is None):
        raise ArgumentError("summary: give either input_shape (of one example) or input_size (of a batch)")
    shape = tuple(input_size) if input_size is not None else (1, *(input_shape or ()))
    if dtype is None:
        dtype = next((parameter.dtype for parameter in module.parameters()), np.dtype(np.float32))
    shapes: dict[int, Shape] = {}
    work: dict[int, int] = {}

    def note(called: Module, args: tuple[Any, ...], output: object) -> None:
        if isinstance(output, Tensor):
            shapes[id(called)] = output.shape
            work[id(called)] = work.get(id(called), 0) + called.multiply_adds(output.shape)

    _run(module, Tensor(np.zeros(shape, dtype)), note)
    return Summary(
        tuple(_rows(module, shapes, work)),
        shape,
        sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad),
    )


def _run(module: Module, x: Tensor, hook: Any) -> None:
    """One forward pass with a hook on every module; modes and hooks are put back also after an error."""
    modules = list(module.modules())
    modes = [inner.training for inner in modules]
    handles = [inner.register_forward_hook(hook) for inner in modules]
    try:
        module.eval()
        with no_grad():
            module(x)
    finally:
        for inner, mode, handle in zip(modules, modes, handles, strict=True):
            inner.training = mode
            handle.remove()


def _rows(module: Module, shapes: dict[int, Shape], work: dict[int, int]) -> list[LayerRow]:
    """A row for each module that is a leaf or has parameters of its own; mere containers have none."""
    counted: set[int] = set()
    rows: list[LayerRow] = []
    for path, inner in module.named_modules():
        own = list(inner.parameters(recurse=False))
        if any(True for _ in inner.children()) and not own:
            continue
        size = sum(parameter.numel() for parameter in own if id(parameter) not in counted)
        counted.update(id(parameter) for parameter in own)
        key = id(inner)
        rows.append(LayerRow(path, type(inner).__name__, shapes.get(key), size, work.get(key, 0)))
    return rows
