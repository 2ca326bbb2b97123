"""`capture(step)`: run a step once while its kernels are recorded, then replay them without Python's part in it.

A step of a small net spends most of its time in Python: ops, the graph, checks. A recording has none of that; it is a
list of kernels on fixed memory (see `kernels.record` and `kernels.program`).

A replay is trusted after two comparisons, bit for bit, with what the step does by itself: on the arguments that it was
recorded with, and on those of the next call. So a number that Python has worked out from the data, and that a replay
would repeat, is found out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from tinygrad_mlp.autodiff.mode import anomaly, grad_enabled
from tinygrad_mlp.autodiff.profile import Profile
from tinygrad_mlp.autodiff.recording import Recording
from tinygrad_mlp.autodiff.structure import flatten_arguments
from tinygrad_mlp.errors import ArgumentError, CaptureError
from tinygrad_mlp.kernels.observe import observer
from tinygrad_mlp.kernels.threads import get_num_threads, is_forked

__all__ = ["CaptureWarning", "Captured", "capture"]

P = ParamSpec("P")
R = TypeVar("R")

_MOST = 8  # recordings of one step


class CaptureWarning(UserWarning):
    """A captured step runs as it would without capture, and is no faster."""


def capture(step: Callable[P, R]) -> Captured[P, R]:
    """Record what a step launches at its first call, and replay that at the next ones.

    Parameters
    ----------
    step:
        A function of Tensors, arrays and plain values (also in tuples, lists and dicts) that returns the like. What it
        does to a net, an optimizer, a schedule or a moving average is part of it. Its Python code runs at the first
        two calls only: a `print` in it, or a list that it appends to, sees no other.

    Returns
    -------
    A function that gives the same bits. Tensors among its results are copies, without a graph; a `.grad` is the same
    memory in each replay, so clone one that is to be kept. It records anew when shapes, dtypes, training mode,
    parameters, options in use or the number of threads change; after eight different recordings it warns once, and
    runs the step as it is.

    Raises
    ------
    CaptureError
        When called: the step reads a tensor's numbers in Python (`.item()`, `if loss > 1`), or a replay gives other
        bits than the step. Nothing is changed then, but for gradients that the step forgets.

    As the step does: for a bad label, an index out of range, a NaN or an infinity, with the weights as they were.

    >>> @tg.capture
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = F.cross_entropy(net(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    """
    return Captured(step)


class Captured(Generic[P, R]):
    """A step and its recordings; `capture` makes it."""

    def __init__(self, step: Callable[P, R], warn: Callable[[str], object] | None = None) -> None:
        self.step = step
        self._warn = warn
        self.recordings: list[Recording] = []
        self._last: Recording
        self.stays_eager = False
        """Whether the step runs as it is, since it cannot be replayed."""
        self.__doc__ = step.__doc__
        self.__wrapped__ = step

    def __repr__(self) -> str:
        return f"<captured {getattr(self.step, '__qualname__', self.step)!r}, {len(self.recordings)} recordings>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step: by a replay, if there is a recording that fits."""
        if self.stays_eager or anomaly.get() or observer() is not None or is_forked():
            return self.step(*args, **kwargs)
        leaves, outline = flatten_arguments(args, kwargs)
        key = outline, grad_enabled.get(), get_num_threads()
        for recording in self.recordings:
            if recording.fits(key, leaves):
                self._last = recording
                return recording.replay(self.step, leaves)
        if len(self.recordings) == _MOST:
            self.stay_eager(f"it was recorded in {_MOST} different ways; what changes from call to call?")
            return self.step(*args, **kwargs)
        recording = Recording(key, leaves, self.recordings)
        result = recording.record(self.step, leaves)
        if recording.refusal:
            self.stay_eager(recording.refusal)
        else:
            self.recordings.append(recording)
            self._last = recording
        return result

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        """The step as a method: each object's calls are recorded apart."""
        return self if owner is None else partial(self, owner)

    def explain(self, repeats: int = 20) -> Profile:
        """What the last recording that was replayed launches, with the time of each kernel: `print` shows a table.

        Kernels are timed in `repeats` replays on the arguments of the last call; what these write is put back.

        Raises
        ------
        CaptureError
            There is no recording yet.
        ArgumentError
            `repeats` is below 1.
        """
        if repeats < 1:
            raise ArgumentError(f"explain: repeats is {repeats}, expected 1 or more")
        if not self.recordings:
            why = "stays without" if self.stays_eager else "has not been called, and has no"
            raise CaptureError(f"explain: {self!r} {why} recording; call it first")
        return self._last.explain(repeats)

    def stay_eager(self, reason: str) -> None:
        """Run the step as it is from now on, and say so once."""
        self.stays_eager, self.recordings = True, []
        if self._warn is not None:
            self._warn(reason)
            return
        name = getattr(self.step, "__qualname__", repr(self.step))
        warnings.warn(f"capture: {name} runs without capture from now on: {reason}", CaptureWarning, stacklevel=3)
