"""`@op` makes a differentiable op of a rule: a function that returns its result and how to go back.

>>> @tg.op
... def cube(x):
...     def backward(grad, out):
...         return grad * 3.0 * x * x
...     return x.array ** 3, backward

The rule gets its arguments as they were passed (Tensors stay Tensors) and returns an ndarray and a closure. The closure
gets the gradient of the result and the result itself, and returns one gradient for each argument, in order (None for
one that has none; a single one need not be a tuple; those after the last that requires grad may be left out). It
computes with ops on Tensors, so that it can be differentiated in turn. It must not hold the result itself, a cycle that
would keep every forgotten forward pass alive.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from inspect import BoundArguments, Signature, signature
from typing import Any, ParamSpec, TypeVar, cast, overload

import numpy as np

from tinygrad_mlp.autodiff.mode import anomaly, grad_enabled, module_stack
from tinygrad_mlp.autodiff.tensor import Backward, Node, Tensor, note_made, wrap
from tinygrad_mlp.errors import DtypeError, NonFiniteError
from tinygrad_mlp.kernels.launch import Array, is_array
from tinygrad_mlp.kernels.observe import thread_state
from tinygrad_mlp.kernels.record import recorder

__all__ = ["OPS", "needs_grad", "numpy_names", "op"]

P = ParamSpec("P")
R = TypeVar("R")
Rule = Callable[P, tuple[Array, Backward]]

OPS: dict[str, Callable[..., Tensor]] = {}
"""Every op of this package by name; the tests demand a row of the case table for each."""


@overload
def op(rule: Rule[P]) -> Callable[P, Tensor]: ...
@overload
def op(*, view: bool) -> Callable[[Rule[P]], Callable[P, Tensor]]: ...
def op(rule: Callable[..., Any] | None = None, *, view: bool = False) -> Callable[..., Any]:
    """Make a differentiable op of a rule (see this module's text).

    `view=True` says that the result looks into the memory of the first argument, so that a write to one counts as a
    change of the other.
    """
    if rule is None:
        return partial(_make, view=view)
    return _make(rule, view)


def _make(rule: Callable[..., tuple[Array, Backward]], view: bool) -> Callable[..., Tensor]:
    name = rule.__name__
    parameters = signature(rule)
    own = (rule.__module__ or "").startswith("tinygrad_mlp.")
    run = rule if own else _with_checked_result(name, rule)
    # Of a user's rule that leaves out its defaults, each is an argument, too: backward gives as many gradients.
    fewest = 0 if own else sum(each.kind is each.POSITIONAL_OR_KEYWORD for each in parameters.parameters.values())
    refusal = "" if own else f"op {name} is a rule in Python, which a replay cannot run"

    @wraps(rule)
    def apply(*args: Any, **kwargs: Any) -> Tensor:
        if kwargs or len(args) < fewest:  # a Tensor given by name is an input like any other
            bound = _bound(name, parameters, args, kwargs)
            args, kwargs = bound.args, bound.kwargs
        if refusal and (recording := recorder()) is not None:
            recording.refuse(refusal)
        array, backward = run(*args, **kwargs)
        # NumPy's sums and its arithmetic on 0-d arrays give scalars.
        out = wrap(array) if is_array(array) else Tensor(np.asarray(array))
        if view:
            out.counter = args[0].counter
        if thread_state.observer is not None:
            note_made(out)
        if anomaly.get():
            _check_output(name, out.array, args)
        if grad_enabled.get():
            for arg in args:
                if isinstance(arg, Tensor) and arg.wants_grad:
                    out.node = Node(name, args, backward, out)
                    out.wants_grad = True
                    break
        return out

    if own:
        OPS[name] = apply
    return apply


def _with_checked_result(name: str, rule: Callable[..., Any]) -> Callable[..., tuple[Array, Backward]]:
    """A user's rule that says so if it returns something else than a pair of numbers and a function."""

    def run(*args: Any, **kwargs: Any) -> tuple[Array, Backward]:
        result: Any = rule(*args, **kwargs)
        pair = cast("tuple[Any, ...]", result if isinstance(result, tuple) else ())
        if len(pair) != 2 or not callable(pair[1]):
            raise DtypeError(
                f"op {name}: a rule returns its result and the function that goes back, `return array, backward`; got "
                f"{type(cast(object, result)).__name__}"
            )
        return cast("tuple[Array, Backward]", result)

    return run


_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def _bound(name: str, parameters: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BoundArguments:
    """The arguments by parameter, defaults included; `TypeError` names the op."""
    if any(given not in parameters.parameters for given in kwargs):
        kwargs = {_NUMPY_NAMES.get(given, given): value for given, value in kwargs.items()}
    try:
        bound = parameters.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}: {error}; its arguments are {', '.join(parameters.parameters)}") from None
    bound.apply_defaults()
    return bound


def numpy_names(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function that is no op take NumPy's `axis` and `keepdims` for `dim` and `keepdim`, as ops do."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not kwargs:
            return function(*args, **kwargs)
        return function(*args, **{_NUMPY_NAMES.get(given, given): value for given, value in kwargs.items()})  # pyright: ignore[reportCallIssue]

    return call


def needs_grad(argument: object) -> bool:
    """Whether a rule's argument is a Tensor that wants a gradient: backward closures skip the work for all others."""
    return isinstance(argument, Tensor) and argument.wants_grad


def _check_output(name: str, array: Array, args: tuple[Any, ...]) -> None:
    """Anomaly mode: an op that makes the first NaN or infinity raises."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    shapes = ", ".join(str(arg.shape) for arg in args if isinstance(arg, Tensor))
    path = module_stack.path()
    where = f" in {path}" if path else ""
    raise NonFiniteError(
        f"op {name}{where}: its output holds {array[index]} at index {index}; output shape {array.shape}, "
        f"input shapes {shapes}"
    )
