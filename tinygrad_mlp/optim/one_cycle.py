"""The one-cycle schedule: learning rate up and down once, momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.optim.checks import check_count, check_flag, check_range
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.schedules import LRScheduler, check_optimizer

__all__ = ["OneCycleLR"]


class OneCycleLR(LRScheduler):
    """One cycle (Smith & Topin 2018): warm up to `max_lr`, anneal far below the start; momentum moves the other way.

    From max_lr/div_factor up to max_lr in the first `pct_start` of the steps, then down to
    max_lr/div_factor/final_div_factor; with `three_phase`, first back down as it came. With `cycle_momentum`,
    `momentum` (or the first of `betas`) goes from max_momentum to base_momentum and back. Step it after every batch;
    it ends with step number `total_steps`.

    >>> optimizer = optim.AdamW(net.parameters())
    >>> schedule = optim.OneCycleLR(optimizer, max_lr=2e-3, epochs=20, steps_per_epoch=len(loader))

    Parameters
    ----------
    max_lr:
        One number, or one for each group; the optimizer's own `lr` plays no part.
    total_steps:
        Batches in all; or give `epochs` and `steps_per_epoch`.
    pct_start:
        The share, in 0 to 1, of the steps that go up.
    anneal_strategy:
        "cos" or "linear".

    Raises
    ------
    ArgumentError
        No length given, numbers out of range, a step beyond `total_steps`, or momentum to cycle where there is none.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        name = "OneCycleLR"
        check_optimizer(name, optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = check_count(name, "epochs", epochs) * check_count(name, "steps_per_epoch", steps_per_epoch)
        if anneal_strategy not in _ANNEAL:
            raise ArgumentError(f"OneCycleLR: anneal_strategy={anneal_strategy!r}, expected one of {sorted(_ANNEAL)}")
        self.total_steps = check_count(name, "total_steps", total_steps)
        self.div_factor = _above_zero("div_factor", div_factor)
        self.cycle_momentum = check_flag(name, "cycle_momentum", cycle_momentum)
        self._anneal = _ANNEAL[anneal_strategy]
        self._phases = _phases(
            self.total_steps,
            check_range(name, "pct_start", pct_start, 0.0, 1.0, closed=True),
            check_flag(name, "three_phase", three_phase),
            self.div_factor,
            _above_zero("final_div_factor", final_div_factor),
            check_range(name, "base_momentum", base_momentum, 0.0, 1.0),
            check_range(name, "max_momentum", max_momentum, 0.0, 1.0),
        )
        groups = optimizer.param_groups
        if self.cycle_momentum and not all("momentum" in group or "betas" in group for group in groups):
            raise ArgumentError(
                f"OneCycleLR: {type(optimizer).__name__} has no momentum to cycle; pass cycle_momentum=False"
            )
        peaks = list(max_lr) if isinstance(max_lr, Sequence) else [max_lr] * len(groups)
        if len(peaks) != len(groups):
            raise ArgumentError(f"OneCycleLR: {len(peaks)} values of max_lr for {len(groups)} parameter groups")
        for peak in peaks:
            check_range(name, "max_lr", peak)
        super().__init__(optimizer, last_epoch, base_lrs=[peak / self.div_factor for peak in peaks])

    def rate(self, step: int, base: float) -> float:
        """The share of this step in the peak base · div_factor."""
        if step > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR: step {step} of a schedule of {self.total_steps}; total_steps is the number of batches of "
                "all epochs together"
            )
        return base * self.div_factor * self._at(step, _START, _END)

    def write(self, step: int) -> None:
        """Set learning rates and, if it is cycled, momentum."""
        super().write(step)
        if self.cycle_momentum:
            momentum = self._at(step, _MOMENTUM_START, _MOMENTUM_END)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, group["betas"][1])
                else:
                    group["momentum"] = momentum

    def _at(self, step: int, start: int, end: int) -> float:
        """Go from column `start` to column `end` of the phase that holds this step."""
        begin = 0.0
        phase = self._phases[0]
        for phase in self._phases:
            if step <= phase[_LAST]:
                break
            if phase is not self._phases[-1]:
                begin = phase[_LAST]
        length = phase[_LAST] - begin
        share = (step - begin) / length if length else 1.0
        return self._anneal(phase[start], phase[end], share)


# A phase: its last step; learning rate from, to, as shares of the peak; momentum from, to.
_Phase: TypeAlias = tuple[float, float, float, float, float]
_LAST, _START, _END, _MOMENTUM_START, _MOMENTUM_END = range(5)


def _phases(
    total: int, pct_start: float, three_phase: bool, div: float, final_div: float, low: float, high: float
) -> list[_Phase]:
    start, end = 1 / div, 1 / (div * final_div)
    top = pct_start * total - 1
    if three_phase:
        return [(top, start, 1.0, high, low), (2 * top, 1.0, start, low, high), (total - 1, start, end, high, high)]
    return [(top, start, 1.0, high, low), (total - 1, 1.0, end, low, high)]


def _above_zero(name: str, value: float) -> float:
    if check_range("OneCycleLR", name, value) == 0:
        raise ArgumentError(f"OneCycleLR: {name}=0, expected a number above 0")
    return float(value)


def _anneal_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _anneal_linear(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


_ANNEAL: dict[str, Callable[[float, float, float], float]] = {"cos": _anneal_cosine, "linear": _anneal_linear}
