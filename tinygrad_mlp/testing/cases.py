"""`OpCase`: all that is needed to check an op; `check_case` does it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_mlp.autodiff import engine
from tinygrad_mlp.autodiff.gradcheck import gradcheck, gradgradcheck, spread_weights
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels.launch import Array, is_array
from tinygrad_mlp.testing.strategies import relaid

__all__ = ["Arguments", "Constant", "OpCase", "arguments", "check_case", "check_example"]

# An example is many calls.
_UNCHECKED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@dataclass(frozen=True)
class Constant:
    """An argument that is a Tensor without a gradient: targets, class weights."""

    array: Array


@dataclass(frozen=True)
class Arguments:
    """What an op is called with. Arrays become Tensors; those of floats require grad unless they are `Constant`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])

    def expected(self, reference: Callable[..., Any]) -> list[Array]:
        """What the reference gives for them, from arrays in plain row-major memory."""
        named = {name: _plain(entry) for name, entry in self.kwargs.items()}
        return [np.asarray(array) for array in _listed(reference(*map(_plain, self.args), **named))]

    def bind(self, op: Callable[..., Any], dtype: Any) -> tuple[Callable[[], list[Tensor]], list[Tensor]]:
        """A function that runs the op on new Tensors whose floats are of this dtype, and those Tensors."""
        args = [_tensor(entry, np.dtype(dtype)) for entry in self.args]
        kwargs = {name: _tensor(entry, np.dtype(dtype)) for name, entry in self.kwargs.items()}
        return lambda: _listed(op(*args, **kwargs)), [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]


def arguments(*args: Any, **kwargs: Any) -> st.SearchStrategy[Arguments]:
    """`Arguments` whose entries are drawn from strategies, or are given as they are."""

    def strategy(entry: Any) -> st.SearchStrategy[Any]:
        return cast("st.SearchStrategy[Any]", entry) if isinstance(entry, st.SearchStrategy) else st.just(entry)

    named = {name: strategy(entry) for name, entry in kwargs.items()}
    return st.builds(Arguments, st.tuples(*[strategy(entry) for entry in args]), st.fixed_dictionaries(named))


@dataclass(frozen=True)
class OpCase:
    """One op, or function of tensors, with all that is needed to check it.

    Parameters
    ----------
    name:
        For messages.
    op:
        Called with Tensors; returns one, or several.
    reference:
        The same in NumPy, called with float64 arrays.
    inputs:
        A strategy for an array, a tuple of arguments, or `Arguments`. Its numbers should stay away from jumps, and, if
        second derivatives are checked, from kinks.
    differentiable:
        False: there are values to check alone.
    second:
        Whether derivatives of the gradient are checked.
    rtol:
        Tolerance of the float64 values, relative to the largest.
    ulps, absolute:
        Bound of the float32 values: 2⁻²³ · (ulps · |value| + absolute). `absolute` is for sums, whose terms may cancel
        (in float64 too, where it counts in 2⁻⁵²).
    """

    name: str
    op: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: st.SearchStrategy[Any]
    differentiable: bool = True
    second: bool = True
    rtol: float = 1e-13
    ulps: float = 4.0
    absolute: float = 0.0

    def __str__(self) -> str:
        return self.name


def check_case(case: OpCase, max_examples: int | None = None) -> None:
    """Check an op over drawn inputs: as many as the hypothesis profile says, or `max_examples`.

    For each: `check_example`. Raises `AssertionError` or `GradientError` with the smallest inputs found that fail.
    """
    options: dict[str, Any] = {} if max_examples is None else {"max_examples": max_examples}

    # Without a deadline, since the first call compiles.
    @settings(deadline=None, report_multiple_bugs=False, suppress_health_check=_UNCHECKED, **options)
    @given(inputs=case.inputs)
    def check(inputs: Any) -> None:
        check_example(case, inputs)

    check()


def check_example(case: OpCase, inputs: Any) -> None:
    """Check an op on one set of inputs.

    - Its values in float64 and float32 against the reference; they keep the dtype, and repeat bit for bit.
    - It leaves its inputs alone; memory that it shares with one has that one's version; nothing keeps its result alive.
    - Its gradient against finite differences in float64, for all inputs at once and for each alone, whatever the memory
      layout of the arriving gradient; and in float32 against float64.
    - The derivatives of its gradient along a random direction.
    """
    if isinstance(inputs, Arguments):
        call = inputs
    else:
        call = Arguments(cast("tuple[Any, ...]", inputs) if isinstance(inputs, tuple) else (inputs,))
    expected = call.expected(case.reference)
    _check_values(case, call, np.float64, expected)
    _check_values(case, call, np.float32, expected)
    if case.differentiable:
        _check_sharing(case, call)
        _check_gradients(case, call)


def _plain(entry: Any) -> Any:
    """An argument for the reference: arrays in row-major memory."""
    array = entry.array if isinstance(entry, Constant) else entry
    return np.array(_rounded(array), order="C") if is_array(array) else array


def _tensor(entry: Any, dtype: np.dtype[Any]) -> Any:
    """An argument for the op: arrays as Tensors that lie in memory as they do."""
    array = entry.array if isinstance(entry, Constant) else entry
    if not is_array(array):
        return array
    if array.dtype.kind != "f":
        return Tensor(relaid(array))
    return Tensor(relaid(_rounded(array), dtype), requires_grad=not isinstance(entry, Constant))


def _rounded(array: Array) -> Array:
    """Floats as float32 holds them, so that an op gets the same numbers in either dtype."""
    return relaid(relaid(array, np.float32), np.float64) if array.dtype.kind == "f" else array


def _listed(outputs: Any) -> list[Any]:
    return list(cast("Sequence[Any]", outputs)) if isinstance(outputs, (tuple, list)) else [outputs]


def _check_values(case: OpCase, call: Arguments, dtype: Any, expected: list[Array]) -> None:
    run, tensors = call.bind(case.op, dtype)
    before = [tensor.array.copy() for tensor in tensors]
    what = f"{case} in {np.dtype(dtype)}"
    with no_grad():
        outputs = run()
        for tensor, values in zip(tensors, before, strict=True):
            np.testing.assert_array_equal(tensor.array, values, f"{what}: the op changed its input")
        again = run()
    assert len(outputs) == len(expected), f"{what}: {len(outputs)} outputs, expected {len(expected)}"
    for output, repeated, wanted in zip(outputs, again, expected, strict=True):
        assert output.shape == wanted.shape, f"{what}: shape {output.shape}, expected {wanted.shape}"
        np.testing.assert_array_equal(output.array, repeated.array, f"{what}: the same call gave other bits")
        kind = output.dtype.kind
        assert kind == wanted.dtype.kind, f"{what}: dtype {output.dtype}, expected one like {wanted.dtype}"
        if kind == "f":
            from_floats = any(tensor.dtype.kind == "f" for tensor in tensors)
            assert output.dtype == dtype or not from_floats, f"{what}: the result is {output.dtype}"
            _assert_close(case, what, output.array, wanted)
        else:
            np.testing.assert_array_equal(output.array, wanted, what)


def _assert_close(case: OpCase, what: str, output: Array, wanted: Array) -> None:
    eps = float(np.finfo(output.dtype).eps)
    rtol, atol = case.ulps * eps, case.absolute * eps + 1e-37  # subnormal numbers may become 0
    if output.dtype == np.float64:  # where the reference itself carries rounding
        rtol, atol = case.rtol, atol + case.rtol * float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
    np.testing.assert_allclose(output, wanted, rtol, atol, err_msg=what)


def _check_sharing(case: OpCase, call: Arguments) -> None:
    """An output in an input's memory has its version; an output that is forgotten goes."""
    run, tensors = call.bind(case.op, np.float64)
    outputs = run()
    for output in outputs:
        for tensor in tensors:
            if output.array.size and np.shares_memory(output.array, tensor.array):
                same = output.counter is tensor.counter
                assert same, f"{case}: the result shares memory with an input but not its version; use @op(view=True)"
    watched = [weakref.ref(output) for output in outputs if not any(output is tensor for tensor in tensors)]
    del outputs
    output = None
    assert all(reference() is None for reference in watched), (
        f"{case}: something holds the result: backward, in a cycle?"
    )


def _check_gradients(case: OpCase, call: Arguments) -> None:
    run, leaves = _bound(case, call, np.float64)
    assert leaves, f"{case}: no argument is an array of floats; pass differentiable=False"

    def f(*_: Tensor) -> list[Tensor]:
        return run()

    gradcheck(f, leaves)
    if case.second:
        gradgradcheck(f, leaves, fast_mode=True)
    joint = _gradients(run, leaves)
    scale = max(float(np.abs(gradient).max(initial=0.0)) for gradient in joint)
    for ours, theirs in zip(_gradients(run, leaves, _other_way_round), joint, strict=True):
        _assert_alike(case, "depends on the memory layout of what arrives", ours, theirs, 1e-12, scale)
    for ours, theirs in zip(_gradients(run, leaves, _one_repeated), _gradients(run, leaves, np.ones_like), strict=True):
        _assert_alike(case, "is another where one number arrives, repeated", ours, theirs, 1e-12, scale)
    for position, leaf in enumerate(leaves):
        for other in leaves:
            other.requires_grad = other is leaf
        (alone,) = _gradients(run, [leaf])
        _assert_alike(
            case, f"{position} changes when the others are not asked for", alone, joint[position], 1e-12, scale
        )
    run_in_single, single_leaves = _bound(case, call, np.float32)
    for single, double in zip(_gradients(run_in_single, single_leaves), joint, strict=True):
        assert single.dtype == np.float32, f"{case}: the gradient of a float32 input is {single.dtype}"
        _assert_alike(case, "in float32 is far from the one in float64", single, double, 1e-4, scale)


def _bound(case: OpCase, call: Arguments, dtype: Any) -> tuple[Callable[[], list[Tensor]], list[Tensor]]:
    """A function that runs the op, and the Tensors that require grad."""
    run, tensors = call.bind(case.op, dtype)
    return run, [tensor for tensor in tensors if tensor.requires_grad]


def _gradients(
    run: Callable[[], list[Tensor]], leaves: list[Tensor], seed: Callable[[Array], Array] = np.array
) -> list[Array]:
    """Gradients of the outputs, each element weighted by a number of its own; `seed` says how those lie in memory."""
    outputs = run()
    weights = spread_weights([output.array for output in outputs])
    live = [(output, weight) for output, weight in zip(outputs, weights, strict=True) if output.requires_grad]
    roots = [output for output, _ in live]
    arriving = [Tensor(seed(weight.astype(output.dtype))) for output, weight in live]
    found = engine.grad(roots, leaves, arriving, allow_unused=True) if live else [None] * len(leaves)
    return [
        np.zeros(leaf.shape, leaf.dtype) if gradient is None else gradient.array.copy()
        for leaf, gradient in zip(leaves, found, strict=True)
    ]


def _other_way_round(array: Array) -> Array:
    """A copy in memory whose axes run in the other order, with gaps."""
    wide = np.full([2 * size for size in array.shape[::-1]], np.nan, array.dtype)
    view = wide[(*[slice(None, None, 2)] * array.ndim, Ellipsis)].T
    view[...] = array
    return view


def _one_repeated(array: Array) -> Array:
    return np.broadcast_to(array.dtype.type(1), array.shape)


def _assert_alike(case: OpCase, what: str, ours: Array, theirs: Array, tolerance: float, scale: float) -> None:
    np.testing.assert_allclose(
        ours, theirs, rtol=tolerance, atol=tolerance * max(scale, 0.1), err_msg=f"{case}: the gradient {what}"
    )
