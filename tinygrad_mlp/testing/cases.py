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
from tinygrad_mlp.autodiff.gradcheck import gradcheck, gradgradcheck
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels.launch import Array, is_array
from tinygrad_mlp.testing.strategies import relaid

__all__ = ["Arguments", "Constant", "OpCase", "arguments", "check_case", "check_example"]

# The first call compiles kernels, and an example is many calls.
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
        Bound of the float32 values: 2⁻²³ · (ulps · |value| + absolute). `absolute` is for sums, whose terms may cancel.
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

    @settings(deadline=None, suppress_health_check=_UNCHECKED, **options)  # the first call compiles
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
    call = _Call(case, inputs)
    expected = [np.asarray(array) for array in _listed(case.reference(*call.arrays(), **call.arrays_by_name()))]
    _check_values(case, call, np.dtype(np.float64), expected)
    if call.has_floats:
        _check_values(case, call, np.dtype(np.float32), expected)
    if case.differentiable:
        _check_sharing(case, call)
        _check_gradients(case, call)


class _Call:
    """One call of an op, with arrays for its reference and Tensors for itself."""

    def __init__(self, case: OpCase, inputs: Any) -> None:
        self.case = case
        if isinstance(inputs, Arguments):
            self._arguments = inputs
        else:
            self._arguments = Arguments(cast("tuple[Any, ...]", inputs) if isinstance(inputs, tuple) else (inputs,))
        entries = [*self._arguments.args, *self._arguments.kwargs.values()]
        given = [entry.array if isinstance(entry, Constant) else entry for entry in entries]
        self.has_floats = any(is_array(entry) and entry.dtype.kind == "f" for entry in given)

    def arrays(self) -> list[Any]:
        """Positional arguments for the reference, arrays in plain row-major memory."""
        return [_plain(entry) for entry in self._arguments.args]

    def arrays_by_name(self) -> dict[str, Any]:
        """Keyword arguments for the reference."""
        return {name: _plain(entry) for name, entry in self._arguments.kwargs.items()}

    def bind(self, dtype: np.dtype[Any]) -> tuple[Callable[[], list[Tensor]], list[Tensor]]:
        """A function that runs the op on new Tensors, and those of them that require grad."""
        args = [_tensor(entry, dtype) for entry in self._arguments.args]
        kwargs = {name: _tensor(entry, dtype) for name, entry in self._arguments.kwargs.items()}
        tensors = [entry for entry in (*args, *kwargs.values()) if isinstance(entry, Tensor)]
        return lambda: _listed(self.case.op(*args, **kwargs)), [tensor for tensor in tensors if tensor.requires_grad]


def _plain(entry: Any) -> Any:
    array = entry.array if isinstance(entry, Constant) else entry
    return np.array(array, order="C") if is_array(array) else array


def _tensor(entry: Any, dtype: np.dtype[Any]) -> Any:
    array = entry.array if isinstance(entry, Constant) else entry
    if not is_array(array):
        return array
    is_float = array.dtype.kind == "f"
    return Tensor(
        relaid(array, dtype if is_float else None), requires_grad=is_float and not isinstance(entry, Constant)
    )


def _listed(outputs: Any) -> list[Any]:
    return list(cast("Sequence[Any]", outputs)) if isinstance(outputs, (tuple, list)) else [outputs]


def _check_values(case: OpCase, call: _Call, dtype: np.dtype[Any], expected: list[Array]) -> None:
    run, leaves = call.bind(dtype)
    before = [leaf.array.copy() for leaf in leaves]
    with no_grad():
        outputs, again = run(), run()
    assert len(outputs) == len(expected), f"{case}: {len(outputs)} outputs, expected {len(expected)}"
    for output, repeated, wanted in zip(outputs, again, expected, strict=True):
        what = f"{case} in {dtype}"
        assert output.shape == wanted.shape, f"{what}: shape {output.shape}, expected {wanted.shape}"
        np.testing.assert_array_equal(output.array, repeated.array, f"{what}: the same call gave other bits")
        if wanted.dtype.kind != "f":
            kind = output.dtype.kind
            assert kind == wanted.dtype.kind, f"{what}: dtype {output.dtype}, expected one like {wanted.dtype}"
            np.testing.assert_array_equal(output.array, wanted, what)
            continue
        assert output.dtype == (dtype if call.has_floats else output.dtype), f"{what}: dtype became {output.dtype}"
        if output.dtype == np.float64:
            largest = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
            np.testing.assert_allclose(output.array, wanted, case.rtol, case.rtol * largest, err_msg=what)
        else:
            eps = float(np.finfo(np.float32).eps)
            np.testing.assert_allclose(output.array, wanted, case.ulps * eps, case.absolute * eps + 1e-37, err_msg=what)
    for leaf, values in zip(leaves, before, strict=True):
        np.testing.assert_array_equal(leaf.array, values, f"{case}: the op changed its input")


def _check_sharing(case: OpCase, call: _Call) -> None:
    """An output in an input's memory has its version; an output that is forgotten goes."""
    run, leaves = call.bind(np.dtype(np.float64))
    outputs = run()
    for output in outputs:
        for leaf in leaves:
            if output.array.size and np.shares_memory(output.array, leaf.array):
                same = output.counter is leaf.counter
                assert same, f"{case}: the result shares memory with an input but not its version; use @op(view=True)"
    watched = [weakref.ref(output) for output in outputs if not any(output is leaf for leaf in leaves)]
    del outputs
    output = None
    assert all(reference() is None for reference in watched), (
        f"{case}: something holds the result: backward, in a cycle?"
    )


def _check_gradients(case: OpCase, call: _Call) -> None:
    run, leaves = call.bind(np.dtype(np.float64))
    assert leaves, f"{case}: no argument is an array of floats; pass differentiable=False"

    def f(*_: Tensor) -> list[Tensor]:
        return run()

    gradcheck(f, leaves)
    if case.second:
        gradgradcheck(f, leaves, fast_mode=True)
    joint = _gradients_of_sum(run, leaves)
    for layout in (_ones, _reversed_ones):
        for ours, theirs in zip(_gradients_of_sum(run, leaves, layout), joint, strict=True):
            _assert_alike(case, "depends on the layout of the arriving gradient", ours, theirs, 1e-12)
    for position, leaf in enumerate(leaves):
        for other in leaves:
            other.requires_grad = other is leaf
        (alone,) = _gradients_of_sum(run, [leaf])
        _assert_alike(case, f"{position} changes when the others are not asked for", alone, joint[position], 1e-12)
    in_single, single_leaves = call.bind(np.dtype(np.float32))
    for single, double in zip(_gradients_of_sum(in_single, single_leaves), joint, strict=True):
        assert single.dtype == np.float32, f"{case}: the gradient of a float32 input is {single.dtype}"
        _assert_alike(case, "in float32 is far from the one in float64", single, double, 1e-4)


def _gradients_of_sum(
    run: Callable[[], list[Tensor]], leaves: list[Tensor], seed: Callable[[Array], Array] | None = None
) -> list[Array]:
    """Gradients of the sum of all outputs; what arrives at them is one number repeated, or made by `seed`."""
    outputs = [output for output in run() if output.requires_grad]
    if seed is None:
        weights = [Tensor(np.broadcast_to(output.dtype.type(1), output.shape)) for output in outputs]
    else:
        weights = [Tensor(seed(output.array)) for output in outputs]
    found = engine.grad(outputs, leaves, weights, allow_unused=True) if outputs else [None] * len(leaves)
    return [
        np.zeros(leaf.shape, leaf.dtype) if gradient is None else gradient.array.copy()
        for leaf, gradient in zip(leaves, found, strict=True)
    ]


def _ones(array: Array) -> Array:
    return np.ones(array.shape, array.dtype)


def _reversed_ones(array: Array) -> Array:
    """Ones in memory whose axes run in the other order, with gaps."""
    wide = np.full([2 * size for size in array.shape[::-1]], np.nan, array.dtype)
    ones = wide[(*[slice(None, None, 2)] * array.ndim, Ellipsis)].T
    ones[...] = 1
    return ones


def _assert_alike(case: OpCase, what: str, ours: Array, theirs: Array, tolerance: float) -> None:
    largest = float(np.abs(theirs).max(initial=0.0))
    np.testing.assert_allclose(
        ours, theirs, rtol=tolerance, atol=tolerance * largest, err_msg=f"{case}: the gradient {what}"
    )
