"""`gradient_table`: backprop against central differences for a few named weights, as many reports show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.dtypes import float32, float64
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.random_state import manual_seed
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.errors import ArgumentError, IndexRangeError
from tinygrad_mlp.experiments.claims import Finding, Predicate
from tinygrad_mlp.experiments.nets import make_net
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.tables import Cell, Table
from tinygrad_mlp.experiments.training import load_splits
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.optim.checks import check_count

__all__ = ["GradientRow", "NamedWeight", "compare_gradients", "gradient_table", "gradients_agree"]

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class NamedWeight:
    """One number of a net: which of its layers with weights (from 0, or from the end from -1), which kind, where in it.

    >>> NamedWeight(-1, "bias", (0,)), NamedWeight(0, "weight", (49, 783))
    """

    layer: int
    kind: Literal["weight", "bias"]
    index: tuple[int, ...]

    def in_net(self, net: nn.Module) -> tuple[str, Tensor]:
        """Its name, such as "hidden 1 weight [0, 0]", and the parameter that it is in.

        Raises `ArgumentError` for a layer or kind that the net has not, `IndexRangeError` for an index out of range.
        """
        layers = [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        if not -len(layers) <= self.layer < len(layers):
            raise ArgumentError(
                f"NamedWeight: layer={self.layer}, expected one of the net's {len(layers)} with weights"
            )
        if self.kind not in ("weight", "bias"):
            raise ArgumentError(f"NamedWeight: kind={self.kind!r}, expected 'weight' or 'bias'")
        place = self.layer % len(layers)
        layer = layers[place]
        parameter = layer.weight if self.kind == "weight" else layer.bias
        if parameter is None:
            raise ArgumentError(f"NamedWeight: layer={self.layer} has no bias")
        shape = parameter.shape
        inside = len(self.index) == len(shape) and all(-n <= i < n for i, n in zip(self.index, shape, strict=True))
        if not inside:
            raise IndexRangeError(f"NamedWeight: index={self.index} is out of range for {self.kind} of shape {shape}")
        kind = type(layer)
        number = sum(isinstance(other, kind) for other in layers[: place + 1])
        where = f"hidden {number}" if kind is nn.Linear else f"convolution {number}"
        name = "output" if place == len(layers) - 1 else where
        return f"{name} {self.kind} {list(self.index)}", parameter


@dataclass(frozen=True)
class GradientRow:
    """One derivative from both sides."""

    name: str
    backprop: float
    numerical: float
    bound: float

    @property
    def difference(self) -> float:
        """|backprop - numerical|."""
        return abs(self.backprop - self.numerical)

    @property
    def within(self) -> bool:
        """Whether the difference is at most the bound; not if either is NaN."""
        return self.difference <= self.bound

    @property
    def relative(self) -> float:
        """The difference over the larger of the two; 0 where both are 0."""
        scale = max(abs(self.backprop), abs(self.numerical))
        return self.difference / scale if scale else 0.0


def compare_gradients(
    net: nn.Module,
    batch: tuple[Tensor, Tensor],
    weights: Sequence[NamedWeight],
    epsilon: float = 1e-2,
    bound: float | None = None,
    loss: Loss = F.cross_entropy,
) -> list[GradientRow]:
    """Backprop and (E(w + ε) - E(w - ε)) / 2ε of the mean loss E, for each of the weights; see `gradient_table`.

    Both are computed with the net as it is, in its own dtype and mode, and each weight is put back before the next is
    moved. To find out whether a gradient is right, rather than to show a table, see `tg.certify`.

    Raises `ArgumentError` for a step or bound that is not positive, and for weights as `NamedWeight.in_net`.
    """
    bound = epsilon**2 if bound is None else bound
    for name, value in (("epsilon", epsilon), ("bound", bound)):
        if not 0 < value < float("inf"):
            raise ArgumentError(f"compare_gradients: {name}={value!r}, expected a positive number")
    chosen = [weight.in_net(net) for weight in weights]
    x, y = batch
    net.zero_grad()
    loss(net(x), y).backward()
    rows: list[GradientRow] = []
    for weight, (name, parameter) in zip(weights, chosen, strict=True):
        backprop = 0.0 if parameter.grad is None else float(parameter.grad.array[weight.index])
        before = parameter.array[weight.index]
        losses: list[float] = []
        with no_grad():
            for step in (epsilon, -epsilon):
                parameter.array[weight.index] = before + step
                losses.append(float(loss(net(x), y).item()))
            parameter.array[weight.index] = before
        rows.append(GradientRow(name, backprop, (losses[0] - losses[1]) / (2 * epsilon), bound))
    net.zero_grad()
    return rows


def gradient_table(
    recipe: Recipe,
    seed: int,
    weights: Sequence[NamedWeight],
    samples: int | Literal["one a class"] = "one a class",
    epsilon: float = 1e-2,
    bound: float | None = None,
    dtype: Literal["float32", "float64"] = "float64",
) -> Table:
    """A table of backprop against central differences, for the net of a recipe before it is trained.

    The loss is the mean cross-entropy, without the penalties, which optimizers add to the gradient themselves. The net
    is in eval mode: a new dropout mask for each loss would drown the difference.

    Parameters
    ----------
    recipe, seed:
        Which net on which data; the seed draws its weights, the training part and, of some images, which.
    weights:
        Which of its numbers.
    samples:
        Training images that the loss is of: "one a class", the first of each, or so many at random.
    epsilon:
        Step of the central difference. Its error is about ε²/6 times the third derivative.
    bound:
        Largest difference that counts as agreement; by default ε². It is absolute: where gradients are no larger, a
        wrong one passes, too. So the note states the largest relative difference.
    dtype:
        "float64" shows the error of the difference quotient alone; in "float32" the rounding of the two losses, about
        1e-7 each, is divided by 2ε and added to it.

    Raises `DataError` for missing data, and otherwise as `compare_gradients`.

    >>> gradient_table(Recipe(hidden=(50, 50), activation="tanh"), 0, [NamedWeight(-1, "bias", (0,))])
    """
    if dtype not in ("float32", "float64"):
        raise ArgumentError(f"gradient_table: dtype={dtype!r}, expected 'float32' or 'float64'")
    train = load_splits(recipe.data, recipe.standardize, recipe.validation, seed).train
    x, y = train.batch(_chosen(train, samples, seed))
    manual_seed(seed)
    net = make_net(recipe).to({"float32": float32, "float64": float64}[dtype]).eval()
    batch = (Tensor(x.array.astype(dtype)), y)
    rows = compare_gradients(net, batch, weights, epsilon, bound)
    which = "one image of each class" if samples == "one a class" else f"{samples} random image{'s' * (samples > 1)}"
    limit = epsilon**2 if bound is None else bound
    words = "within ε²" if bound is None else f"within {limit:g}"
    return Table(
        f"Backprop against central differences, {dtype}",
        ("weight", "backprop", "numerical", "absolute difference", words),
        tuple(_cells(row) for row in rows),
        f"{which[0].upper()}{which[1:]} of {recipe.data}; ε = {epsilon:g}, bound {limit:g}; seed {seed}. "
        f"{sum(row.within for row in rows)} of {len(rows)} differences are within the bound; the largest relative "
        f"difference is {max((row.relative for row in rows), default=0.0):.1e}.",
        f"gradients-{dtype}",
    )


def gradients_agree(table: Callable[[], Table], relative: float = 0.01) -> Predicate:
    """The sentence "backprop agrees with the central differences", of a table that `gradient_table` makes.

    Reproduced if every difference is within the table's bound and also at most `relative` times the larger of the two,
    which a gradient of another sign never is; the bound alone would let wrong gradients of its own size pass.
    """

    def predicate(_results: object) -> Finding:
        made = table()
        rows = [GradientRow(row[0].words, _number(row[1]), _number(row[2]), 1.0) for row in made.rows]
        inside = [row[4].words == "yes" for row in made.rows]
        wrong = [row.name for row, good in zip(rows, inside, strict=True) if not (good and row.relative <= relative)]
        largest = max((row.difference for row in rows), default=0.0)
        words = f"{len(rows) - len(wrong)} of {len(rows)} agree; largest difference {largest:.1e}"
        if wrong:
            return Finding("not reproduced", f"{words}; not {', '.join(wrong)}")
        return Finding("reproduced", words)

    return predicate


def _chosen(train: ImageDataset, samples: int | Literal["one a class"], seed: int) -> list[int]:
    """Positions of the images."""
    if samples == "one a class":
        return [int(np.flatnonzero(train.labels == label)[0]) for label in range(len(train.classes))]
    count = check_count("gradient_table", "samples", samples)
    return np.random.default_rng(seed).choice(len(train), size=count, replace=False).tolist()


def _cells(row: GradientRow) -> tuple[Cell, ...]:
    return (
        Cell(row.name),
        Cell(f"{row.backprop:.8f}", row.backprop),
        Cell(f"{row.numerical:.8f}", row.numerical),
        Cell(f"{row.difference:.1e}", row.difference),
        Cell("yes" if row.within else "no", float(row.within)),
    )


def _number(cell: Cell) -> float:
    assert cell.number is not None  # `_cells` gives each of these one
    return cell.number
