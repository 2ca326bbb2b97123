"""Learning-rate schedules, under PyTorch's names: make one after the optimizer, call `step()` after `optimizer.step()`.

A schedule that has a formula states it as `rate(step, base)`: the learning rate at a step, counted from 0, for a group
whose base rate is `base`. So a schedule can be resumed from its step alone, and composed (see `compose.py`). What
looks at the metric instead is in `plateau.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.kernels.record import recorder
from tinygrad_mlp.optim.checks import check_count, check_range
from tinygrad_mlp.optim.optimizer import Optimizer

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "StepLR",
    "check_optimizer",
]


def check_optimizer(owner: str, optimizer: object) -> None:
    """Raise `ArgumentError` unless it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"{owner}: got a {type(optimizer).__name__}, expected an optimizer")


class LRScheduler:
    """Base of the schedules that are a function of the step; a subclass gives `rate`.

    Parameters
    ----------
    optimizer:
        Its groups' `lr` is set now, and by every `step()`. The base rate of a group is its `lr` when its first
        schedule is made, kept in the group as `initial_lr`; or its `lr` now, if that was set otherwise since.
    last_epoch:
        The last step that was made, to go on from there without a state dict; -1 to begin.
    base_lrs:
        The base rates, where they are not to be the optimizer's own; kept as `initial_lr`.

    A schedule owns the learning rate: `step()` raises if something else changed it since, another schedule included.

    Raises
    ------
    ArgumentError
        No optimizer, numbers out of range, or `last_epoch` given and a group without `initial_lr`.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1, *, base_lrs: Sequence[float] | None = None) -> None:
        check_optimizer(self._name, optimizer)
        check_count(self._name, "last_epoch", last_epoch, low=-1)
        self.optimizer = optimizer
        self.last_epoch = last_epoch
        self.base_lrs: list[float] = self._bases() if base_lrs is None else list(base_lrs)
        for group, base in zip(optimizer.param_groups, self.base_lrs, strict=True):
            group["initial_lr"] = base
        self._written: list[float] = []
        self.go_to(last_epoch + 1)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _bases(self) -> list[float]:
        """The base rates that the optimizer's groups have, to begin from or to go on with."""
        groups = self.optimizer.param_groups
        if self.last_epoch == -1:
            return list(map(self.optimizer.base_lr, range(len(groups))))
        for index, group in enumerate(groups):
            if "initial_lr" not in group:
                raise ArgumentError(
                    f"{self._name}: last_epoch={self.last_epoch}, but group {index} has no 'initial_lr'; give it one, "
                    "or load the state of an optimizer that had a schedule"
                )
        return [float(group["initial_lr"]) for group in groups]

    def rate(self, step: int, base: float) -> float:
        """The learning rate at this step, for a group whose base rate is `base`."""
        raise NotImplementedError(f"{self._name} has no rate(self, step, base): state its formula there")

    def rates(self, step: int, bases: Sequence[float]) -> list[float]:
        """The learning rate of each group at this step, from the groups' base rates."""
        return [self.rate(step, base) for base in bases]

    def step(self) -> None:
        """Go on to the next step and set the learning rates.

        Raises `ArgumentError`, with nothing changed, if a learning rate is not what this schedule set last.
        """
        if (recording := recorder()) is not None:
            recording.call(self._step, rewinds=self._rewind)
        self._step()

    def _rewind(self) -> Callable[[], None]:
        """What brings it back to where it is now."""
        return partial(self.go_to, self.last_epoch)

    def _step(self) -> None:
        now = self.get_last_lr()
        if len(now) == len(self._written) and not all(map(math.isclose, now, self._written)):
            raise ArgumentError(
                f"{self._name}: the learning rate was set to {now} since this schedule set it to {self._written}; "
                "scale schedule.base_lrs instead, or compose schedules by SequentialLR or ChainedScheduler"
            )
        self.go_to(self.last_epoch + 1)

    def go_to(self, step: int) -> None:
        """Set the learning rates of this step, whatever they are now."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            raise ArgumentError(
                f"{self._name}: the optimizer has {len(groups)} groups, this schedule knows {len(self.base_lrs)}; "
                "append the new group's rate to schedule.base_lrs, or make a new schedule"
            )
        self.write(step)
        self.last_epoch = step
        self._written = self.get_last_lr()
        self.optimizer.scheduled_lrs.update(enumerate(self._written))

    def write(self, step: int) -> None:
        """Write into the optimizer's groups what they shall have at this step."""
        for group, rate in zip(self.optimizer.param_groups, self.rates(step, self.base_lrs), strict=True):
            group["lr"] = rate

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, as plain names and numbers. Its settings are not in it."""
        return {"type": self._name, "last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go to where `state_dict()` was taken. Raises `CheckpointError`, with nothing changed, if it does not fit."""
        self.check_state(state_dict)
        self.base_lrs = [float(base) for base in state_dict["base_lrs"]]
        self.go_to(int(state_dict["last_epoch"]))

    def check_state(self, state_dict: Mapping[str, Any]) -> None:
        """Raise `CheckpointError` for a state of another kind of schedule, or of other groups."""
        expected = self.state_dict()
        if set(state_dict) != set(expected) or state_dict["type"] != self._name:
            raise CheckpointError(
                f"{self._name}: got the state {dict(state_dict)!r}, expected one like {expected!r}; another schedule's?"
            )
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise CheckpointError(
                f"{self._name}: the state is of {len(state_dict['base_lrs'])} groups, expected {len(self.base_lrs)}"
            )


class LambdaLR(LRScheduler):
    """lr = base · f(t), with a function of your own for all groups, or one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("LambdaLR", optimizer)
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ArgumentError(f"LambdaLR: {len(self.lr_lambdas)} functions for {groups} parameter groups")
        super().__init__(optimizer, last_epoch)

    def rates(self, step: int, bases: Sequence[float]) -> list[float]:
        """base · f(step), each group by its function."""
        return [base * function(step) for base, function in zip(bases, self.lr_lambdas, strict=True)]


class StepLR(LRScheduler):
    """lr = base · gamma^⌊t / step_size⌋."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = check_count("StepLR", "step_size", step_size)
        self.gamma = check_range("StepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """base · gamma^⌊step / step_size⌋."""
        return base * self.gamma ** (step // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = base · gamma^(number of milestones at or before t)."""

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(check_count("MultiStepLR", "milestones", step, low=0) for step in milestones)
        self.gamma = check_range("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """base · gamma^(milestones passed)."""
        return base * self.gamma ** bisect_right(self.milestones, step)


class ExponentialLR(LRScheduler):
    """lr = base · gamma^t."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = check_range("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """base · gamma^step."""
        return base * self.gamma**step


class ConstantLR(LRScheduler):
    """lr = base · factor during the first `total_iters` steps, then base."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor = check_range("ConstantLR", "factor", factor, 0.0, 1.0, closed=True)
        self.total_iters = check_count("ConstantLR", "total_iters", total_iters, low=0)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """base · factor, then base."""
        return base * self.factor if step < self.total_iters else base


class LinearLR(LRScheduler):
    """Linear warm-up: lr goes from base · start_factor to base · end_factor in `total_iters` steps, then stays."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = check_range("LinearLR", "start_factor", start_factor, 0.0, 1.0, closed=True)
        self.end_factor = check_range("LinearLR", "end_factor", end_factor, 0.0, 1.0, closed=True)
        self.total_iters = check_count("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """On the line from start to end, or at its end."""
        share = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (base − eta_min)·(1 + cos(π·t/T_max))/2 (Loshchilov & Hutter 2017, eq. 5).

    Beyond T_max it rises again along the same wave, as in PyTorch.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = check_count("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = check_range("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        """Half a cosine wave from base to eta_min."""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2
