"""Backprop against finite differences, for a function of tensors: `gradcheck`, and `gradgradcheck` for its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_mlp.autodiff import engine
from tinygrad_mlp.autodiff.differences import (
    DIFFERS_AT_KINK,
    Comparison,
    FrozenGenerators,
    Outputs,
    Probe,
    direction_mover,
    element_mover,
)
from tinygrad_mlp.autodiff.mode import enable_grad
from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.random import Generator

__all__ = ["gradcheck", "gradgradcheck", "spread_weights"]

# Backprop's own, in terms that should add up to 0, for numbers of about 1. Gradients as small as that count as 0.
_ROUNDING_OF_BACKPROP = 1e-14


def gradcheck(
    func: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Tensor | Sequence[Tensor],
    *,
    eps: float = 1e-5,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    generators: Iterable[Generator] = (),
    fast_mode: bool = False,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradient of `func(*inputs)` with central differences, for every element of every input.

    Each element of the outputs gets a weight of its own, and they are added up. Random numbers of the default generator
    and of `generators` are the same in every evaluation, so that dropout masks stand still. At a kink, any value
    between the derivatives to the left and to the right is right.

    Parameters
    ----------
    func:
        Returns a Tensor or several; those of integers and bools are left out. It may also use the inputs as it
        finds them, such as the parameters of a net: they are moved in place, and put back.
    inputs:
        Those that require grad, float64 all, are checked; the others are passed on.
    eps:
        Step of the difference.
    rtol, atol:
        Tolerance: rtol·|value| + atol·(largest gradient), and the rounding of the outputs.
    generators:
        Further random generators that `func` draws from.
    fast_mode:
        Compare only one number: the derivative along a random direction through all inputs.
    raise_exception:
        Whether wrong gradients raise; else the result is False.

    Raises
    ------
    GradientError
        The gradients differ. A line for each element: input, index, both values, relative error.
    DtypeError
        An input or output is float32, in which rounding would hide errors.
    ArgumentError
        No input requires grad, one cannot be written, or there is no output.

    >>> x = tg.randn(3, dtype=tg.float64, requires_grad=True)
    >>> tg.gradcheck(lambda x: x.tanh().sum(), x)
    True
    """
    arguments = _checked_inputs("gradcheck", inputs)
    frozen = FrozenGenerators(generators)

    def evaluate() -> list[Tensor]:
        frozen.restore()
        with enable_grad():
            return _float_outputs(func(*arguments))

    names = {position: f"input {position}" for position, tensor in enumerate(arguments) if tensor.requires_grad}
    leaves = {names[position]: arguments[position] for position in names}
    try:
        failures = _described(_failures(evaluate, evaluate, leaves, eps, rtol, atol, fast_mode))
    finally:
        frozen.restore()
    return _concluded("gradcheck", failures, raise_exception)


def gradgradcheck(
    func: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Tensor | Sequence[Tensor],
    *,
    eps: float = 1e-5,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    generators: Iterable[Generator] = (),
    fast_mode: bool = False,
    raise_exception: bool = True,
) -> bool:
    """`gradcheck` of the gradient of `func`: by the inputs, and by the gradient that arrives at the outputs.

    Also compares the gradient that is recorded under `create_graph` with the one that is not, which may come from other
    kernels. Parameters and errors are those of `gradcheck`.
    """
    arguments = _checked_inputs("gradgradcheck", inputs)
    frozen = FrozenGenerators(generators)
    leaves = {f"input {position}": tensor for position, tensor in enumerate(arguments) if tensor.requires_grad}

    def evaluate() -> list[Tensor]:
        frozen.restore()
        with enable_grad():
            return _float_outputs(func(*arguments))

    weights = [Tensor(weight, requires_grad=True) for weight in spread_weights([output.array for output in evaluate()])]

    def gradients(create_graph: bool) -> list[Tensor]:
        found = _gradients(evaluate(), list(leaves.values()), weights, create_graph)
        return [
            wrap(np.zeros(leaf.shape)) if gradient is None else gradient
            for leaf, gradient in zip(leaves.values(), found, strict=True)
        ]

    moved = {**leaves, **{f"gradient of output {position}": weight for position, weight in enumerate(weights)}}
    try:
        failures = _unlike(gradients(True), gradients(False), list(leaves))
        if not failures:
            plain, recorded = (lambda: gradients(False)), (lambda: gradients(True))
            failures = _described(_failures(recorded, plain, moved, eps, rtol, atol, fast_mode))
    finally:
        frozen.restore()
    return _concluded("gradgradcheck", failures, raise_exception)


def _checked_inputs(name: str, inputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not any(tensor.requires_grad for tensor in arguments):
        raise ArgumentError(f"{name}: no input requires grad; make them with requires_grad=True")
    for position, tensor in enumerate(arguments):
        if not tensor.requires_grad:
            continue
        if tensor.dtype != np.float64:
            raise DtypeError(
                f"{name}: input {position} is {tensor.dtype}, expected float64 (use .double()): in float32 rounding "
                "is as large as the errors to be found"
            )
        if not tensor.array.flags.writeable:
            raise ArgumentError(
                f"{name}: input {position} is read-only memory, or memory repeated by expand, and its elements are to "
                "be moved one by one; pass a .clone()"
            )
    return arguments


def _float_outputs(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """The floating-point ones of what a function returned."""
    listed = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    floats = [output for output in listed if output.dtype.kind == "f"]
    if not floats:
        raise ArgumentError("gradcheck: the function returned no floating-point tensor")
    for output in floats:
        if output.dtype != np.float64:
            raise DtypeError(f"gradcheck: the function computed in {output.dtype}, expected float64 all the way")
    return floats


def spread_weights(outputs: Outputs) -> Outputs:
    """A weight for each element of each output, all different: an error in one element shows in the sum.

    Multiples of the golden ratio are spread evenly over 0 to 1, so the weights are over 0.5 to 1.5.
    """
    weights: Outputs = []
    start = 1
    for output in outputs:
        count = np.arange(start, start + output.size)
        weights.append(0.5 + (count * 0.6180339887498949) % 1.0)
        start += output.size
    return [weight.reshape(output.shape) for weight, output in zip(weights, outputs, strict=True)]


def _gradients(
    outputs: list[Tensor], leaves: list[Tensor], weights: list[Tensor], create_graph: bool
) -> list[Tensor | None]:
    """d (weights · outputs) / d leaves; None for a leaf that they do not depend on."""
    live = [position for position, output in enumerate(outputs) if output.requires_grad]
    if not live:
        return [None] * len(leaves)
    # The graph behind a leaf that was itself computed is the caller's, so it is kept.
    return list(
        engine.grad(
            [outputs[position] for position in live],
            leaves,
            [weights[position] for position in live],
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    )


def _failures(
    recorded: Callable[[], list[Tensor]],
    plain: Callable[[], list[Tensor]],
    leaves: dict[str, Tensor],
    eps: float,
    rtol: float,
    atol: float,
    fast_mode: bool,
) -> list[Comparison]:
    """Derivatives of `recorded` by backprop that differ from difference quotients of `plain`."""
    tensors = list(leaves.values())
    outputs = recorded()
    weights = spread_weights([output.array for output in outputs])
    found = _gradients(outputs, tensors, [wrap(weight) for weight in weights], create_graph=False)
    gradients = [
        np.zeros(leaf.shape) if gradient is None else gradient.array
        for leaf, gradient in zip(tensors, found, strict=True)
    ]

    def outputs_now() -> Outputs:
        return [output.array.copy() for output in plain()]

    _check_repeats(outputs_now)
    if fast_mode:
        checks = [_direction_check(outputs_now, weights, tensors, gradients, rtol)]
    else:
        checks = list(_element_checks(outputs_now, weights, leaves, gradients))
    largest = max(
        (float(np.abs(gradient[np.isfinite(gradient)]).max(initial=0.0)) for gradient in gradients), default=0.0
    )
    tolerance = max(atol * largest, _ROUNDING_OF_BACKPROP)
    failing = [check for check in checks if not check.judge(eps, rtol, tolerance).passed]
    if not failing:
        return []
    tolerance += _rounding(outputs_now, weights, tensors, eps)
    return [judged for check in failing if not (judged := check.judge(eps, rtol, tolerance)).passed]


@dataclass(frozen=True, slots=True)
class _Check:
    """A derivative by backprop, to be compared with difference quotients."""

    probe: Probe
    name: str
    index: tuple[int, ...] | None
    backprop: float
    count: int = 1
    """How many elements it sums up, each with the tolerance of one."""
    extra: float = 0.0
    """What these may differ by more."""

    def judge(self, eps: float, rtol: float, atol: float) -> Comparison:
        return self.probe.compare(self.name, self.index, self.backprop, eps, rtol, atol * self.count + self.extra)


def _element_checks(
    outputs_now: Callable[[], Outputs], weights: Outputs, leaves: dict[str, Tensor], gradients: list[Array]
) -> Iterator[_Check]:
    """One check for each element."""
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        for index in np.ndindex(leaf.shape):
            probe = Probe(element_mover(leaf.array, index, outputs_now), weights)
            yield _Check(probe, name, index, float(gradient[index]))


def _direction_check(
    outputs_now: Callable[[], Outputs], weights: Outputs, leaves: list[Tensor], gradients: list[Array], rtol: float
) -> _Check:
    """One check for all elements: along a random direction."""
    rng = np.random.Generator(np.random.Philox(key=0))
    arrays = [leaf.array for leaf in leaves]
    directions = [rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1.0, 1.0], array.shape) for array in arrays]
    terms = np.concatenate([(g * d).reshape(-1) for g, d in zip(gradients, directions, strict=True)])
    extra = rtol * float(np.abs(terms[np.isfinite(terms)]).sum())
    probe = Probe(direction_mover(arrays, directions, outputs_now), weights)
    return _Check(probe, "all inputs", None, float(terms.sum()), max(terms.size, 1), extra)


def _check_repeats(outputs_now: Callable[[], Outputs]) -> None:
    """Raise `GradientError` if the function gives other values when it is called again."""
    for once, again in zip(outputs_now(), outputs_now(), strict=True):
        if not np.array_equal(once, again, equal_nan=True):
            raise GradientError(
                "gradcheck: the function gives other values when it is called again; if it draws random numbers from "
                "generators of its own, pass them as generators="
            )


def _rounding(outputs_now: Callable[[], Outputs], weights: Outputs, leaves: list[Tensor], eps: float) -> float:
    """What rounding inside the function makes of a difference quotient: large where large terms cancel.

    It shows when the inputs are moved by so little that their derivatives cannot.
    """
    rng = np.random.Generator(np.random.Philox(key=1))
    arrays = [leaf.array for leaf in leaves]
    size = max(float(np.abs(array).max(initial=eps)) for array in arrays)
    unit = float(np.finfo(np.float64).eps) * size
    directions = [rng.uniform(-1, 1, array.shape) for array in arrays]
    probe = Probe(direction_mover(arrays, directions, outputs_now), weights)
    changes = [abs(probe.change(4 * unit * count)) for count in range(1, 9)]
    return 4 * max(change if change < 1e5 * unit else 0.0 for change in changes) / eps  # more is a jump, not rounding


def _unlike(recorded: list[Tensor], plain: list[Tensor], names: list[str]) -> list[str]:
    """Elements in which the recorded gradient is not the one that is not recorded."""
    failures: list[str] = []
    for name, ours, theirs in zip(names, recorded, plain, strict=True):
        scale = float(np.abs(theirs.array).max(initial=0.0))
        close = np.isclose(
            ours.array, theirs.array, rtol=1e-9, atol=1e-11 * scale + _ROUNDING_OF_BACKPROP, equal_nan=True
        )
        for position in np.argwhere(~close):
            index = tuple(int(i) for i in position)
            failures.append(
                f"gradient of {name}{list(index)}: {ours.array[index]:.10g} under create_graph, "
                f"{theirs.array[index]:.10g} without"
            )
    return failures


def _described(failures: list[Comparison]) -> list[str]:
    return [
        f"{failure.label}: backprop {failure.backprop:.10g}, numeric {failure.numeric:.10g}, "
        f"relative error {failure.relative:.3g}" + (", at a kink" if failure.verdict == DIFFERS_AT_KINK else "")
        for failure in failures
    ]


def _concluded(name: str, failures: list[str], raise_exception: bool) -> bool:
    if failures and raise_exception:
        shown = [*failures[:10], *([f"… and {len(failures) - 10} more"] if len(failures) > 10 else [])]
        raise GradientError("\n  ".join([f"{name}: {len(failures)} derivative(s) are wrong", *shown]))
    return not failures
