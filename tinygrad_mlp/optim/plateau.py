"""A schedule that looks at the metric: reduce the learning rate when it no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.optim.checks import check_count, check_range
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.schedules import check_optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau:
    """Multiply the learning rate by `factor` once the metric has not improved for more than `patience` epochs.

    >>> schedule = optim.ReduceLROnPlateau(optimizer, patience=3)
    >>> schedule.step(validation_loss)   # after each epoch

    Parameters
    ----------
    mode:
        "min": smaller is better; "max": greater is.
    threshold, threshold_mode:
        What counts as better than the best so far. "rel": by the share `threshold` of it; "abs": by `threshold`.
    cooldown:
        Epochs after a reduction in which nothing is counted.
    min_lr:
        Where it stops, one number or one for each group.
    eps:
        A reduction by no more than this is not made.

    A NaN is never better. Raises `ArgumentError` for an impossible option.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        if mode not in ("min", "max"):
            raise ArgumentError(f"{name}: mode={mode!r}, expected 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(f"{name}: threshold_mode={threshold_mode!r}, expected 'rel' or 'abs'")
        check_optimizer(name, optimizer)
        groups = len(optimizer.param_groups)
        self.optimizer = optimizer
        self.mode = mode
        self.factor = check_range(name, "factor", factor, 0.0, 1.0)
        self.patience = check_count(name, "patience", patience, low=0)
        self.threshold = check_range(name, "threshold", threshold)
        self.threshold_mode = threshold_mode
        self.cooldown = check_count(name, "cooldown", cooldown, low=0)
        self.min_lrs = list(min_lr) if isinstance(min_lr, Sequence) else [min_lr] * groups
        self.eps = check_range(name, "eps", eps)
        if len(self.min_lrs) != groups:
            raise ArgumentError(f"{name}: {len(self.min_lrs)} values of min_lr for {groups} parameter groups")
        for low in self.min_lrs:
            check_range(name, "min_lr", low)
        self.last_epoch = 0
        self.best: float | None = None
        self.num_bad_epochs = 0
        self.cooldown_counter = 0

    def step(self, metrics: SupportsFloat) -> None:
        """Take in the metric of one more epoch, and reduce the learning rate if it is time."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, current: float) -> bool:
        if self.best is None:
            return math.isfinite(current)
        margin = self.threshold * (self.best if self.threshold_mode == "rel" else 1.0)
        return current < self.best - margin if self.mode == "min" else current > self.best + margin

    def _reduce(self) -> None:
        for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lower = max(group["lr"] * self.factor, low)
            if group["lr"] - lower > self.eps:
                group["lr"] = lower

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What it has seen, and the learning rates, as plain names and numbers."""
        return {
            "type": "ReduceLROnPlateau",
            "last_epoch": self.last_epoch,
            "best": self.best,
            "num_bad_epochs": self.num_bad_epochs,
            "cooldown_counter": self.cooldown_counter,
            "lrs": self.get_last_lr(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go to where `state_dict()` was taken. Raises `CheckpointError`, with nothing changed, if it does not fit."""
        expected = self.state_dict()
        if set(state_dict) != set(expected) or len(state_dict["lrs"]) != len(expected["lrs"]):
            raise CheckpointError(
                f"ReduceLROnPlateau: got the state {dict(state_dict)!r}, expected one like {expected!r}"
            )
        self.last_epoch = int(state_dict["last_epoch"])
        self.best = None if state_dict["best"] is None else float(state_dict["best"])
        self.num_bad_epochs = int(state_dict["num_bad_epochs"])
        self.cooldown_counter = int(state_dict["cooldown_counter"])
        for group, lr in zip(self.optimizer.param_groups, state_dict["lrs"], strict=True):
            group["lr"] = float(lr)
