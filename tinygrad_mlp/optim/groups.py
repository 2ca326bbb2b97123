"""What an optimizer is given, taken apart: parameters, pairs of name and parameter, or groups with own options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError
from tinygrad_mlp.kernels.launch import Array

__all__ = ["CHANGED", "GroupParameters", "Member", "Parameters", "as_groups", "check_memory_apart", "members_of"]

Parameters: TypeAlias = "Tensor | Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]"


CHANGED = (
    "the optimizer keeps the parameters that it was given, and a change of the list in param_groups would have no "
    "effect; add parameters by add_param_group, freeze them by requires_grad_(False), or make a new optimizer"
)


class GroupParameters(list[Tensor]):
    """The parameters of a group, a list that refuses to be changed."""

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise ArgumentError(f"optimizer: {CHANGED}")

    append = extend = insert = remove = pop = clear = __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __reduce__(self) -> tuple[type[list[Tensor]], tuple[list[Tensor]]]:
        return list, (list(self),)  # a copy is the user's, and free


@dataclass(frozen=True, slots=True)
class Member:
    """A parameter in its optimizer."""

    position: int  # in the order given, over all groups; state dicts use it
    name: str
    parameter: Tensor
    group: int


def as_groups(owner: str, params: object) -> list[Mapping[str, Any]]:
    """The groups that `params` states; without groups, all parameters are one.

    Raises `ArgumentError` for something else that is easily mistaken for parameters, or for none at all.
    """
    if isinstance(params, Tensor):
        return [{"params": [params]}]
    if hasattr(params, "parameters"):
        raise ArgumentError(f"{owner}: got a {type(params).__name__}; give its parameters, net.parameters()")
    if isinstance(params, str | set | frozenset | Mapping) or not isinstance(params, Iterable):
        raise ArgumentError(
            f"{owner}: got a {type(cast(object, params)).__name__}, expected a sequence of parameters, of pairs "
            "(name, parameter), or of groups, dicts with 'params' and options"
        )
    given = list(cast("Iterable[Any]", params))
    if not given:
        raise ArgumentError(f"{owner}: got no parameters; an iterator that was already used up?")
    if not any(isinstance(item, Mapping) for item in given):
        return [{"params": given}]
    for item in given:
        if not isinstance(item, Mapping) or "params" not in item:
            raise ArgumentError(f"{owner}: got groups, of which one is no dict with 'params'")
    return given


def members_of(owner: str, params: object, group: int, earlier: Sequence[Member]) -> list[Member]:
    """The members of one group, numbered on from the earlier ones.

    Raises
    ------
    ArgumentError
        The group is empty, or a parameter was given before or looks into the memory of another.
    DtypeError
        Something that is no floating-point Tensor.
    GradientError
        A computed tensor: its gradient is not kept, so it cannot be trained.
    """
    if isinstance(params, Tensor):
        params = [params]
    if not isinstance(params, Iterable) or isinstance(params, str | set | frozenset | Mapping):
        raise ArgumentError(f"{owner}: 'params' of a group is {params!r}, expected a sequence of parameters")
    found: list[Member] = []
    for item in cast("Iterable[Any]", params):
        position = len(earlier) + len(found)
        name, parameter = cast("tuple[Any, Any]", item) if _is_pair(item) else (f"parameter {position}", item)
        member = Member(position, str(name), parameter, group)
        _check_trainable(owner, member)
        for other in (*earlier, *found):
            _check_apart(owner, member, other)
        found.append(member)
    if not found:
        raise ArgumentError(f"{owner}: parameter group {group} is empty")
    return found


def _is_pair(item: object) -> bool:
    return isinstance(item, tuple) and len(cast("tuple[Any, ...]", item)) == 2


def _check_trainable(owner: str, member: Member) -> None:
    parameter = member.parameter
    if not isinstance(cast(object, parameter), Tensor):
        raise DtypeError(f"{owner}: {member.name} is a {type(parameter).__name__}, expected a Tensor")
    if parameter.dtype.kind != "f":
        raise DtypeError(f"{owner}: {member.name} has dtype {parameter.dtype}, expected float32 or float64")
    if parameter.node is not None:
        raise GradientError(
            f"{owner}: {member.name} (shape {parameter.shape}) was computed by {parameter.node.name}; only leaves can "
            "be trained: use .detach().requires_grad_()"
        )


def _check_apart(owner: str, member: Member, other: Member) -> None:
    if member.parameter is other.parameter:
        raise ArgumentError(f"{owner}: {member.name} (shape {member.parameter.shape}) was given twice")
    check_memory_apart(owner, (member.name, other.name), member.parameter.array, other.parameter.array)


def check_memory_apart(owner: str, names: tuple[str, str], a: Array, b: Array) -> None:
    """Raise if two parameters share memory: each is moved to memory of its own, so that they would silently part."""
    if np.may_share_memory(a, b) and np.shares_memory(a, b):
        raise ArgumentError(
            f"{owner}: {names[0]} and {names[1]} look into the same memory; to tie weights, use one Parameter "
            "in both places (F.linear(x, weight.T))"
        )
