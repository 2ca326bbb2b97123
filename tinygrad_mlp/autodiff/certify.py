"""`certify`: the backprop of a whole model against finite differences, as a table for a report."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np

from tinygrad_mlp.autodiff.differences import (
    AGREES,
    CLOSER,
    Comparison,
    FrozenGenerators,
    Probe,
    direction_mover,
    element_mover,
)
from tinygrad_mlp.autodiff.mode import enable_grad, no_grad
from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.random import Generator

__all__ = ["Certificate", "certify"]

Index = tuple[int, ...]
Loss = Callable[[Tensor, Tensor], Tensor]

# Relative, and of the parameter's largest gradient. Rounding in backprop is relative to the terms of its sums.
_TOLERANCES = {"float32": (2e-4, 2e-6), "float64": (1e-6, 1e-9)}


class Model(Protocol):
    """What `certify` needs of a module."""

    def __call__(self, *args: Any) -> Tensor: ...
    def named_parameters(self) -> Iterable[tuple[str, Tensor]]: ...
    def modules(self) -> Iterable[Any]: ...
    def double(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Certificate:
    """Result of `certify`: the comparisons; printed, a table of them."""

    epsilon: float
    rows: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        """Whether backprop is right in every row."""
        return all(row.passed for row in self.rows)

    @property
    def within_epsilon_squared(self) -> bool:
        """Whether every difference is at most ε², the criterion of many course reports.

        A kink within ε of a weight may break it though backprop is right; and where gradients are as small as ε² it
        says nothing. The verdicts do not depend on it.
        """
        return all(row.difference <= self.epsilon**2 for row in self.rows)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        width = max([len("weight"), *[len(row.label) for row in self.rows]])
        header = f"{'weight':<{width}}  {'backprop':>14}  {'numeric':>14}  {'difference':>10}  {'≤ ε²':>4}  verdict"
        lines = [header, "─" * len(header)]
        for row in self.rows:
            small = "yes" if row.difference <= self.epsilon**2 else "no"
            lines.append(
                f"{row.label:<{width}}  {row.backprop:>14.7e}  {row.numeric:>14.7e}  {row.difference:>10.1e}  "
                f"{small:>4}  {row.verdict}"
            )
        right = sum(row.passed for row in self.rows)
        largest = max((row.difference for row in self.rows), default=0.0)
        lines.append(
            f"{right} of {len(self.rows)} derivatives are right; largest difference {largest:.1e}, "
            f"ε = {self.epsilon:g}, ε² = {self.epsilon**2:g}"
        )
        return "\n".join(lines)


def certify(
    model: Model,
    loss: Loss,
    batch: tuple[Tensor, Tensor],
    *,
    epsilon: float = 1e-4,
    samples: int = 4,
    seed: int = 0,
    weights: Mapping[str, Sequence[Index]] | None = None,
) -> Certificate:
    """Check the gradients of a model's parameters: its own backprop against finite differences.

    For each parameter, sampled weights are moved one by one, and then all of them together along a random direction of
    length ε, which shows an error in any of them. Backprop runs in the model's dtype; the differences in a float64
    copy, so that ε may be small. The model, its gradients, running statistics and random numbers stay as they
    are; dropout masks stand still.

    Parameters
    ----------
    model:
        A module. Parameters that do not require grad are left out.
    loss:
        `loss(model(x), y)` must be a scalar: a function of `nn.functional`, a loss module, or one of your own.
    batch:
        (x, y); ten samples are plenty.
    epsilon:
        Step of the central difference (1e-2 in many course reports).
    samples:
        Weights per parameter: half of them with a gradient that is not 0, the others from all.
    seed:
        Of the samples and directions.
    weights:
        Instead of samples: names of parameters and indices into them, `{"0.weight": [(0, 0), (1, 1)]}`.

    Returns
    -------
    Certificate
        True if all derivatives are right; printed, a table of backprop, numeric, difference and verdict. A difference
        counts as right up to the rounding of backprop and the error of the difference quotient itself (about ε²); at a
        kink, if backprop lies between the derivatives to the left and to the right. Where several kinks meet (a ReLU
        layer of zeros) that says too little: certify the model with other weights.

    Raises
    ------
    ArgumentError
        ε or `samples` is not positive, the model has no parameter that requires grad, or `weights` names none of its.
    IndexRangeError
        An index in `weights` is out of range.

    >>> print(tg.certify(net, F.cross_entropy, train[:10]))
    """
    if not 0 < epsilon < math.inf or samples < 1:
        raise ArgumentError(f"certify: got epsilon={epsilon}, samples={samples}; both must be positive")
    frozen = FrozenGenerators([])
    try:
        # Both copies are made before either runs: from one state of the model's own generators.
        own, exact = copy.deepcopy(model), copy.deepcopy(model)
        gradients = _own_gradients(own, loss, batch)
        chosen = _chosen(gradients, weights, samples, np.random.Generator(np.random.Philox(key=[seed, 0])))
        frozen.restore()
        exact.double()
        return Certificate(epsilon, tuple(_rows(exact, loss, batch, gradients, chosen, epsilon, seed)))
    finally:
        frozen.restore()


def _own_gradients(model: Model, loss: Loss, batch: tuple[Tensor, Tensor]) -> dict[str, Array]:
    """Gradient of the loss by every parameter that requires grad, from the model's own backprop."""
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not wanted:
        raise ArgumentError("certify: the model has no parameter that requires grad")
    for parameter in wanted.values():
        parameter.grad = None
    x, y = batch
    with enable_grad():
        loss(model(x.detach()), y.detach()).backward()
    return {
        name: np.zeros(parameter.shape, parameter.dtype) if parameter.grad is None else parameter.grad.array
        for name, parameter in wanted.items()
    }


def _chosen(
    gradients: dict[str, Array],
    weights: Mapping[str, Sequence[Index]] | None,
    samples: int,
    rng: np.random.Generator,
) -> dict[str, list[Index]]:
    """The indices to check in each parameter: those asked for, or sampled ones."""
    if weights is None:
        return {name: _sample(gradient, samples, rng) for name, gradient in gradients.items()}
    for name, indices in weights.items():
        if name not in gradients:
            known = ", ".join(gradients)
            raise ArgumentError(f"certify: there is no parameter {name!r} that requires grad; there are {known}")
        shape = gradients[name].shape
        for index in indices:
            if len(index) != len(shape) or not all(-n <= i < n for i, n in zip(index, shape, strict=True)):
                raise IndexRangeError(f"certify: index {tuple(index)} is out of range for {name!r} of shape {shape}")
    return {name: [tuple(index) for index in indices] for name, indices in weights.items()}


def _sample(gradient: Array, samples: int, rng: np.random.Generator) -> list[Index]:
    """Indices to check: half from the elements with a gradient that is not 0, the rest from all."""
    flat = gradient.reshape(-1)
    live = np.flatnonzero(flat)
    chosen = rng.choice(live, size=min((samples + 1) // 2, live.size), replace=False)
    others = np.setdiff1d(np.arange(flat.size), chosen)
    more = rng.choice(others, size=min(samples - chosen.size, others.size), replace=False)
    positions: list[int] = np.sort(np.concatenate([chosen, more])).tolist()
    return [tuple([int(i) for i in np.unravel_index(position, gradient.shape)]) for position in positions]


def _rows(
    exact: Model,
    loss: Loss,
    batch: tuple[Tensor, Tensor],
    gradients: dict[str, Array],
    chosen: dict[str, list[Index]],
    epsilon: float,
    seed: int,
) -> list[Comparison]:
    """Compare gradients with differences of the loss of `exact`, the float64 copy of the model."""
    evaluate = _loss_of(exact, loss, batch)
    parameters = dict(exact.named_parameters())
    largest = max(float(np.abs(gradient).max(initial=0.0)) for gradient in gradients.values())
    rows: list[Comparison] = []
    for position, (name, indices) in enumerate(chosen.items()):
        gradient, array = gradients[name], parameters[name].array
        rtol, atol = _TOLERANCES[gradient.dtype.name]
        # What should cancel to 0 (a bias in front of batch norm) leaves rounding of the gradients elsewhere.
        floor = 4 * float(np.finfo(gradient.dtype).eps) * largest
        scale = float(np.abs(gradient).max(initial=0.0))
        for index in indices:
            probe = Probe(element_mover(array, index, evaluate), [np.ones(())])
            judged = probe.compare(name, index, float(gradient[index]), epsilon, rtol, atol * scale + floor)
            rows.append(_with_curvature(judged, probe, epsilon))
        if gradient.size > 1:
            direction = _direction(gradient.shape, np.random.Generator(np.random.Philox(key=[seed, 1 + position])))
            backprop = float((gradient * direction).sum(dtype=np.float64))
            length = float(np.sqrt(np.square(gradient, dtype=np.float64).sum()))
            probe = Probe(direction_mover([array], [direction], evaluate), [np.ones(())])
            judged = probe.compare(name, None, backprop, epsilon, rtol, atol * length + floor)
            rows.append(_with_curvature(judged, probe, epsilon))
    return rows


def _with_curvature(judged: Comparison, probe: Probe, epsilon: float) -> Comparison:
    """A difference that smaller steps explain agrees, if it is no more than the error that a central difference has.

    That is about its change from ε to ε/2, and at most about ε².
    """
    if judged.verdict != CLOSER:
        return judged
    change = abs(probe.central(epsilon)[0] - probe.central(epsilon / 2)[0])
    return replace(judged, verdict=AGREES) if judged.difference <= 2 * min(change, epsilon**2) else judged


def _direction(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A random direction of length 1."""
    direction = rng.standard_normal(shape)
    return direction / np.sqrt(np.square(direction).sum())


def _loss_of(exact: Model, loss: Loss, batch: tuple[Tensor, Tensor]) -> Callable[[], list[Array]]:
    """A function that gives the loss of the float64 model for its weights of the moment."""
    x, y = (_doubled(tensor) for tensor in batch)
    own: Any = loss
    if hasattr(own, "double"):  # a loss module, maybe with class weights
        own = copy.deepcopy(own).double()
    frozen = FrozenGenerators(_generators(exact))

    def evaluate() -> list[Array]:
        frozen.restore()
        try:
            with no_grad():
                return [own(exact(x), y).array]
        except DtypeError as error:
            error.add_note("certify runs a float64 copy of the model: tensors inside it must be parameters or buffers")
            raise

    return evaluate


def _generators(model: Model) -> list[Generator]:
    """The random generators that modules hold as attributes."""
    found: list[Generator] = []
    for module in model.modules():
        attributes = cast("dict[str, Any]", vars(module))
        found.extend(value for value in attributes.values() if isinstance(value, Generator))
    return found


def _doubled(tensor: Tensor) -> Tensor:
    return wrap(tensor.array.astype(np.float64)) if tensor.dtype.kind == "f" else tensor.detach()
