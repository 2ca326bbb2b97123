"""Schedules made of schedules: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.optim.checks import check_count
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.schedules import LRScheduler

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Composed(LRScheduler):
    """A schedule that moves others, its `members`; step it alone."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], last_epoch: int) -> None:
        self.members = list(schedulers)
        for member in self.members:
            if not isinstance(cast(object, member), LRScheduler):
                raise ArgumentError(f"{self._name}: a {type(member).__name__} is no function of the step")
            if member.optimizer is not optimizer:
                raise ArgumentError(f"{self._name}: the schedules belong to different optimizers")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Its own state, and that of the members."""
        return {**super().state_dict(), "members": [member.state_dict() for member in self.members]}

    def check_state(self, state_dict: Mapping[str, Any]) -> None:
        """Raise `CheckpointError` unless the state fits, also that of every member."""
        super().check_state(state_dict)
        if len(state_dict["members"]) != len(self.members):
            raise CheckpointError(
                f"{self._name}: the state is of {len(state_dict['members'])} schedules, expected {len(self.members)}"
            )
        for member, state in zip(self.members, state_dict["members"], strict=True):
            member.check_state(state)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go to where `state_dict()` was taken. Raises `CheckpointError`, with nothing changed, if it does not fit."""
        self.check_state(state_dict)
        for member, state in zip(self.members, state_dict["members"], strict=True):
            member.load_state_dict(state)
        super().load_state_dict(state_dict)


class SequentialLR(_Composed):
    """One schedule after another: schedule number k begins, at its step 0, at step `milestones[k - 1]`.

    >>> warm_up = optim.LinearLR(optimizer, start_factor=0.01, total_iters=500)
    >>> decay = optim.CosineAnnealingLR(optimizer, T_max=9500)
    >>> schedule = optim.SequentialLR(optimizer, [warm_up, decay], milestones=[500])

    Raises `ArgumentError` for milestones that do not increase or are not one fewer than the schedules, for schedules of
    another optimizer, and for `ReduceLROnPlateau`, which is no function of the step.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.milestones = [check_count("SequentialLR", "milestones", step) for step in milestones]
        if self.milestones != sorted(set(self.milestones)):
            raise ArgumentError(f"SequentialLR: milestones={self.milestones}, expected increasing numbers")
        if len(schedulers) != len(self.milestones) + 1:
            raise ArgumentError(
                f"SequentialLR: {len(schedulers)} schedules and {len(self.milestones)} milestones, expected one fewer "
                "milestones than schedules"
            )
        super().__init__(optimizer, schedulers, last_epoch)

    def _at(self, step: int) -> tuple[LRScheduler, int]:
        """The schedule in force, and its own count of steps."""
        place = bisect_right(self.milestones, step)
        return self.members[place], step - (self.milestones[place - 1] if place else 0)

    def rates(self, step: int, bases: Sequence[float]) -> list[float]:
        """Those of the schedule in force."""
        member, own_step = self._at(step)
        return member.rates(own_step, bases)

    def write(self, step: int) -> None:
        """Move the schedule in force, which writes from its own base rates."""
        member, own_step = self._at(step)
        member.go_to(own_step)


class ChainedScheduler(_Composed):
    """All schedules at once, one on top of the other: each takes what the one before it gives as its base rate.

    >>> halving = optim.StepLR(optimizer, step_size=30, gamma=0.5)
    >>> warm_up = optim.LinearLR(optimizer, total_iters=5)
    >>> schedule = optim.ChainedScheduler([halving, warm_up])
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ArgumentError("ChainedScheduler: got no schedules")
        super().__init__(optimizer or schedulers[0].optimizer, schedulers, -1)

    def rates(self, step: int, bases: Sequence[float]) -> list[float]:
        """The members' formulas, one applied to the result of the other."""
        rates = list(bases)
        for member in self.members:
            rates = member.rates(step, rates)
        return rates

    def write(self, step: int) -> None:
        """Move every member, for what it sets beside learning rates, then set those of the chain."""
        for member in self.members:
            member.go_to(step)
        super().write(step)
