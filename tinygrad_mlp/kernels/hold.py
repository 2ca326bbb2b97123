"""Launches that a recorder lists but holds back: those by which a step, at its end, changes large arrays for good.

A replay is compared with the step on what such launches are given, bit for bit, and on the launches themselves: the
same code on the same memory with the same numbers. So they give the same bits, and run once; weights and an optimizer's
state are as they were until the comparison is made, and nobody needs a copy of them.

A launch that touches what those held back write, or writes what they read, ends the wait: they are run before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_mlp.kernels.launch import Array, is_array
from tinygrad_mlp.kernels.observe import Launch

__all__ = ["HeldBack", "are_alike", "arrays_of", "covers", "written_by"]


class HeldBack:
    """Launches that wait, in their order."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.numbers: list[int] = []
        """Theirs in the recording."""

    def add(self, launch: Launch, number: int) -> None:
        """Have one more wait."""
        self.launches.append(launch)
        self.numbers.append(number)

    def take_first(self) -> Launch:
        """Have the first wait no more."""
        del self.numbers[0]
        return self.launches.pop(0)

    def is_touched_by(self, launch: Launch) -> bool:
        """Whether a launch would find, or leave, something else if those that wait had run before it."""
        return self.write(*arrays_of(launch)) or self.use(*written_by(launch))

    def write(self, *arrays: Array) -> bool:
        """Whether one that waits writes into one of these arrays."""
        return any(_any_shared(arrays, written_by(launch)) for launch in self.launches)

    def use(self, *arrays: Array) -> bool:
        """Whether one that waits reads or writes one of these arrays."""
        return any(_any_shared(arrays, arrays_of(launch)) for launch in self.launches)


def _any_shared(some: Sequence[Array], others: Sequence[Array]) -> bool:
    return any(np.may_share_memory(a, b) for a in some for b in others)


def arrays_of(launch: Launch) -> list[Array]:
    """The arrays that a launch is given, without its status word."""
    args = launch.args[:-1] if launch.checked else launch.args
    return [arg for arg in args if is_array(arg)]


def written_by(launch: Launch) -> list[Array]:
    """The arrays that it writes."""
    return [launch.args[place] for place in launch.writes]


def covers(whole: Array, part: Array) -> bool:
    """Whether an array without gaps holds every byte of another."""
    (low, high), (first, stop) = map(np.lib.array_utils.byte_bounds, (whole, part))
    return high - low == whole.nbytes and low <= first and stop <= high


def are_alike(some: Sequence[Launch], others: Sequence[Launch]) -> bool:
    """Whether launches are the same ones: code, threads, where their arrays lie, and numbers, to the sign of a zero."""
    return [_signature(launch) for launch in some] == [_signature(launch) for launch in others]


def _signature(launch: Launch) -> tuple[Any, ...]:
    args = launch.args[:-1] if launch.checked else launch.args
    return launch.code, launch.threads, [_described(arg) for arg in args]


def _described(arg: Any) -> Any:
    if is_array(arg):
        return arg.__array_interface__["data"][0], arg.shape, arg.strides, arg.dtype
    return repr(arg)
