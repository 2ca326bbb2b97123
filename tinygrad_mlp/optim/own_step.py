"""What an optimizer needs whose subclass writes `step` itself, in Python, as PyTorch's are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.kernels.launch import is_array
from tinygrad_mlp.optim.groups import Member

__all__ = ["OwnState", "loaded_state", "saved_state", "watched"]


class OwnState(dict[Tensor, dict[str, Any]]):
    """`optimizer.state`: for each parameter a dict, empty at first, of Tensors and numbers."""

    def __missing__(self, parameter: Tensor) -> dict[str, Any]:
        entry = self[parameter] = {}
        return entry


def watched(step: Callable[..., Any], before: Callable[[Any, bool], None]) -> Callable[..., Any]:
    """A step that calls `before(optimizer, whether arguments were given)` first."""

    @wraps(step)
    def watched_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        before(self, bool(args or kwargs))
        return step(self, *args, **kwargs)

    return watched_step


def saved_state(owner: str, state: OwnState, members: Sequence[Member]) -> dict[int, dict[str, Any]]:
    """Copies of the state by the parameter's position, Tensors as arrays.

    Raises `ArgumentError` for what a checkpoint could not hold: a key that is no parameter of the optimizer, a value
    that is neither a Tensor, an array nor a number.
    """
    positions = {id(member.parameter): member for member in members}
    saved: dict[int, dict[str, Any]] = {}
    for parameter, entry in state.items():
        member = positions.get(id(parameter))
        if member is None:
            raise ArgumentError(f"{owner}: state has a key that is none of its parameters: {parameter!r}")
        saved[member.position] = {name: _saved(owner, member, name, value) for name, value in entry.items()}
    return dict(sorted(saved.items()))


def _saved(owner: str, member: Member, name: str, value: object) -> Any:
    if isinstance(value, Tensor):
        return value.array.copy(order="K")
    if is_array(value):
        return value.copy(order="K")
    if isinstance(value, bool | int | float):
        return value
    raise ArgumentError(
        f"{owner}: state[{member.name}][{name!r}] is a {type(value).__name__}; a checkpoint holds Tensors and numbers"
    )


def loaded_state(owner: str, saved: Mapping[int, Mapping[str, Any]], members: Sequence[Member]) -> OwnState:
    """The state that `saved_state` gave, for these parameters. Raises `CheckpointError` for one that is not there."""
    parameters = {member.position: member.parameter for member in members}
    state = OwnState()
    for position, entry in saved.items():
        if position not in parameters:
            raise CheckpointError(
                f"{owner}: the saved state is of a parameter {position}, expected 0 to {len(parameters) - 1}"
            )
        state[parameters[position]] = {name: _loaded(value) for name, value in entry.items()}
    return state


def _loaded(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    return Tensor(np.array(value, order="K")) if is_array(value) else value
