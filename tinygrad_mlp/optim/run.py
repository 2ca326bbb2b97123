"""How parameters split into runs: the stretches of the flat buffers that one kernel call updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.optim.flat import FlatBuffer
from tinygrad_mlp.optim.groups import Member

__all__ = ["Block", "Run"]


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbours in a flat buffer that one kernel call updates: of one group, all with a gradient."""

    weight: Array
    grad: Array
    state: tuple[Array, ...]
    options: Array
    """float64: lr, λ of the terms λ·w, λ of λ·sign(w), then the optimizer's own numbers (see kernels/update.py)."""
    steps: Array
    """int64: how many steps each parameter has made, all equal."""
    group: int
    penalised: bool
    """Whether the group's `l1` and `l2` apply: to parameters with two or more dimensions."""
    members: tuple[Member, ...]


class Block:
    """The parameters of one dtype: their flat buffer, and the optimizer's state in buffers of the same layout.

    Parameters
    ----------
    members:
        In the order in which they are to lie.
    state_names:
        The optimizer's state, one buffer each.
    option_count:
        Length of `Run.options`.
    """

    def __init__(self, members: Sequence[Member], state_names: Sequence[str], option_count: int) -> None:
        self.members = list(members)
        self.flat = FlatBuffer([m.parameter for m in members], [m.name for m in members])
        self.state = {name: self.flat.zeros() for name in state_names}
        self.state_views = {name: self.flat.views(buffer) for name, buffer in self.state.items()}
        self.steps = np.zeros(len(members), np.int64)
        self._option_count = option_count
        self._key: object = None
        self._runs: list[Run] = []

    def runs(self, groups: Sequence[dict[str, Any]]) -> list[Run]:
        """Gather the gradients and give the runs, the same ones as long as the same parameters have gradients."""
        self.flat.pack()
        present = self.flat.gather_gradients()
        penalties = tuple([bool(group["l1"] or group["l2"]) for group in groups])
        key = (present, penalties, id(self.flat.grads))
        if key != self._key:
            self._runs = self._split(present, penalties)
            self._key = key
        return self._runs

    def layout(self) -> object:
        """What stays the same object as long as the runs do."""
        return self._runs if self._key is not None else None

    def forget_runs(self) -> None:
        """Split anew at the next step: step counts have changed from outside."""
        self._key = None

    def _split(self, present: tuple[bool, ...], with_penalty: tuple[bool, ...]) -> list[Run]:
        """Longest stretches of neighbours with a gradient, of one group, one step count, and alike in penalties."""
        runs: list[Run] = []
        first = 0
        kinds = [
            (m.group, with_penalty[m.group] and m.parameter.ndim >= 2, int(steps)) if has_gradient else None
            for m, has_gradient, steps in zip(self.members, present, self.steps, strict=True)
        ]
        for place, kind in enumerate(kinds):
            if place + 1 == len(kinds) or kinds[place + 1] != kind:
                if kind is not None:
                    group, penalised, _ = kind
                    runs.append(self._run(first, place + 1, group, penalised))
                first = place + 1
        return runs

    def _run(self, first: int, stop: int, group: int, penalised: bool) -> Run:
        part = slice(self.flat.starts[first], self.flat.stops[stop - 1])
        return Run(
            weight=self.flat.values[part],
            grad=self.flat.grads[part],
            state=tuple(buffer[part] for buffer in self.state.values()),
            options=np.zeros(self._option_count),
            steps=self.steps[first:stop],
            group=group,
            penalised=penalised,
            members=tuple(self.members[first:stop]),
        )
