"""Finite differences: quotients of a function's outputs while its inputs are moved, and how they judge a gradient.

The numeric derivative is the central difference (f(x + ε) − f(x − ε)) / 2ε, whose error is O(ε²) where f is smooth.
Where it disagrees with backprop, smaller steps tell a wrong gradient from a kink (ReLU at 0): the difference quotients
to the left and to the right approach each other as the step shrinks where f is smooth, and stay apart at a kink.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.errors import ShapeError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.random import Generator

__all__ = [
    "AGREES",
    "CLOSER",
    "DIFFERS",
    "DIFFERS_AT_KINK",
    "KINK",
    "Comparison",
    "FrozenGenerators",
    "Outputs",
    "Probe",
    "direction_mover",
    "element_mover",
]

Outputs = list[Array]
_FINER = (4.0, 16.0, 64.0, 256.0, 1024.0)  # by how much the step is divided where backprop and numeric disagree


AGREES = "agrees"
CLOSER = "agrees for smaller ε"
KINK = "kink"  # backprop lies between the derivatives to the left and to the right
DIFFERS = "DIFFERS"
DIFFERS_AT_KINK = "DIFFERS at a kink"  # where many kinks meet, as in a ReLU layer of zeros, it may yet be right


@dataclass(frozen=True, slots=True)
class Comparison:
    """One derivative from both sides."""

    name: str
    """Of the tensor."""
    index: tuple[int, ...] | None
    """Of the element; None for the derivative along a direction through all elements."""
    backprop: float
    numeric: float
    """The central difference with the step that was asked for."""
    verdict: str
    """What was found: one of the verdicts above."""

    @property
    def difference(self) -> float:
        """|backprop − numeric|."""
        return abs(self.backprop - self.numeric)

    @property
    def relative(self) -> float:
        """The difference over the larger of the two; 0 where both are 0."""
        scale = max(abs(self.backprop), abs(self.numeric))
        return self.difference / scale if scale else 0.0

    @property
    def passed(self) -> bool:
        """Whether backprop is right here."""
        return self.verdict in (AGREES, CLOSER, KINK)

    @property
    def label(self) -> str:
        """`weight[3, 0]`, or `weight[all]` for a direction."""
        return f"{self.name}[{'all' if self.index is None else ', '.join(map(str, self.index))}]"


class Probe:
    """Difference quotients of a function's weighted outputs while one number in its inputs is moved.

    `outputs_at(h)` are the arrays that the function gives with that number moved by h.
    """

    def __init__(self, outputs_at: Callable[[float], Outputs], weights: Outputs) -> None:
        self._outputs_at = outputs_at
        self._weights = weights

    def central(self, step: float) -> tuple[float, float]:
        """The quotient from −step to step, and how much of it may be the rounding of the outputs."""
        return self._quotient(self._outputs_at(step), self._outputs_at(-step), 2 * step)

    def sides(self, step: float) -> tuple[float, float, float]:
        """The quotients from −step to −step/2 and from step/2 to step, and how much of them may be rounding.

        The middle is left out, so that a jump there (of a gradient, at a kink) does not count.
        """
        left, left_noise = self._quotient(self._outputs_at(-step / 2), self._outputs_at(-step), step / 2)
        right, right_noise = self._quotient(self._outputs_at(step), self._outputs_at(step / 2), step / 2)
        return left, right, left_noise + right_noise

    def change(self, step: float) -> float:
        """How much more the weighted outputs are at step than at −step; NaN becomes 0."""
        return float(np.nan_to_num(self._quotient(self._outputs_at(step), self._outputs_at(-step), 1.0)[0]))

    def _quotient(self, upper: Outputs, lower: Outputs, distance: float) -> tuple[float, float]:
        total = magnitude = 0.0
        for high, low, weight in zip(upper, lower, self._weights, strict=True):
            if high.shape != low.shape:
                raise ShapeError(f"gradcheck: the output's shape depends on its input: {high.shape} and {low.shape}")
            moved = high != low  # where both are inf there is no difference; NaN stays NaN
            total += float(((high[moved] - low[moved]) * weight[moved]).sum())
            magnitude += float((np.maximum(np.abs(high), np.abs(low))[moved] * weight[moved]).sum())
        return total / distance, 4 * float(np.finfo(np.float64).eps) * magnitude / distance

    def compare(
        self, name: str, index: tuple[int, ...] | None, backprop: float, step: float, rtol: float, atol: float
    ) -> Comparison:
        """Judge a derivative from backprop: right if within rtol·|value| + atol of the numeric one, or at a kink."""
        numeric, noise = self.central(step)

        def judged(verdict: str) -> Comparison:
            return Comparison(name, index, backprop, numeric, verdict)

        if not math.isfinite(backprop):
            return judged(DIFFERS)
        if _close(backprop, numeric, rtol, atol + noise):
            return judged(AGREES)
        verdict, gap_before = DIFFERS, math.inf
        roughest = 10 * (atol + rtol * max(abs(backprop), abs(numeric)))
        for divisor in _FINER:
            left, right, noise = self.sides(step / divisor)
            if noise > roughest:  # rounding would hide what is wrong
                break
            if _close(backprop, (left + right) / 2, rtol, atol + noise):
                return judged(CLOSER)
            low, high = min(left, right), max(left, right)
            slack = atol + noise + rtol * max(abs(low), abs(high))
            # A step of a quarter makes a quarter of the gap where the function is smooth, but not at a kink.
            if high - low > max(0.6 * gap_before, 10 * slack):
                # A direction may cross many kinks at once, and their slopes add up to no bound; elements are bounded.
                if index is None or low - slack <= backprop <= high + slack:
                    return judged(KINK)
                verdict = DIFFERS_AT_KINK
            gap_before = high - low
        return judged(verdict)


def _close(backprop: float, numeric: float, rtol: float, atol: float) -> bool:
    return abs(backprop - numeric) <= atol + rtol * max(abs(backprop), abs(numeric))


class FrozenGenerators:
    """Random generators whose states are put back before every evaluation, so that dropout masks stand still."""

    def __init__(self, generators: Iterable[Generator]) -> None:
        self._states = [(generator, generator.get_state()) for generator in (default_generator, *generators)]

    def restore(self) -> None:
        """Put every state back."""
        for generator, state in self._states:
            generator.set_state(state)


def element_mover(array: Array, index: tuple[int, ...], evaluate: Callable[[], Any]) -> Callable[[float], Any]:
    """h -> what `evaluate` gives with one element of the array moved by h, and put back."""

    def evaluate_at(step: float) -> Any:
        kept = array[index]
        array[index] = kept + step
        try:
            return evaluate()
        finally:
            array[index] = kept

    return evaluate_at


def direction_mover(
    arrays: Sequence[Array], directions: Sequence[Array], evaluate: Callable[[], Any]
) -> Callable[[float], Any]:
    """h -> what `evaluate` gives with every array moved by h times its direction, and put back."""

    def evaluate_at(step: float) -> Any:
        kept = [array.copy() for array in arrays]
        for array, direction in zip(arrays, directions, strict=True):
            array += step * direction
        try:
            return evaluate()
        finally:
            for array, values in zip(arrays, kept, strict=True):
                array[...] = values

    return evaluate_at
