"""What is in an optimizer's state dict, on its way out and back in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.kernels.launch import is_array
from tinygrad_mlp.optim.groups import Member
from tinygrad_mlp.optim.own_step import OwnState

if TYPE_CHECKING:
    from tinygrad_mlp.optim.optimizer import Optimizer

__all__ = ["check_entry", "checked_groups", "loaded_state", "saved_state"]


def checked_groups(
    optimizer: Optimizer, saved: Sequence[Mapping[str, Any]], beside: Set[str], *, takes_others: bool
) -> list[dict[str, Any]]:
    """The options of each saved group, once they are known to fit the optimizer's; `CheckpointError` if they do not.

    A group may have options `beside` those of the optimizer, and with `takes_others` any.
    """
    owner = type(optimizer).__name__
    theirs = [len(group["params"]) for group in saved]
    ours = [len(group["params"]) for group in optimizer.param_groups]
    if ours != theirs:
        raise CheckpointError(f"{owner}: groups of {theirs} parameters cannot be loaded into groups of {ours}")
    groups: list[dict[str, Any]] = []
    for group in saved:
        options: dict[str, Any] = {  # JSON turns tuples (betas) into lists
            name: tuple(cast("list[Any]", value)) if isinstance(value, list) else value
            for name, value in group.items()
            if name != "params"
        }
        others = set(options) - beside - set(optimizer.defaults)
        if not set(optimizer.defaults) <= set(options) or (others and not takes_others):
            raise CheckpointError(
                f"{owner}: saved options {sorted(options)} do not fit {sorted(optimizer.defaults)}; the state of "
                "another optimizer?"
            )
        try:
            optimizer.check_group(options)
        except ArgumentError as error:
            raise CheckpointError(f"{owner}: the saved options are impossible: {error}") from error
        groups.append(options)
    return groups


def check_entry(
    owner: str, position: int, entry: Mapping[str, Any], members: Sequence[Member], state_names: Sequence[str]
) -> None:
    """Raise `CheckpointError` unless this is the saved state of the parameter at this position."""
    expected = {*state_names, "step"}
    if not 0 <= position < len(members) or set(entry) != expected:
        raise CheckpointError(
            f"{owner}: saved state of parameter {position} is {sorted(entry)}, expected {sorted(expected)} of "
            f"parameters 0 to {len(members) - 1}"
        )
    member = members[position]
    for name in state_names:
        if np.shape(entry[name]) != member.parameter.shape:
            raise CheckpointError(
                f"{owner}: saved {name} of {member.name} has shape {np.shape(entry[name])}, expected "
                f"{member.parameter.shape}"
            )


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
    if isinstance(value, np.generic):
        return cast("np.generic[Any]", value).item()
    if value is None or isinstance(value, bool | int | float):
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
        parameter = parameters[position]
        state[parameter] = {name: _loaded(value, parameter) for name, value in entry.items()}
    return state


def _loaded(value: Any, parameter: Tensor) -> Any:
    if isinstance(value, list):  # an array that went through JSON
        return Tensor(np.array(value, parameter.dtype))
    if isinstance(value, Tensor):
        return value.detach().clone()
    return Tensor(np.array(value, order="K")) if is_array(value) else value
