"""`capture(step)`: run a step once while its kernels are recorded, then replay them without Python's part in it.

A step of a small net spends most of its time in Python: ops, the graph, checks. A recording has none of that; it is a
list of kernels on fixed memory (see `kernels.record` and `kernels.program`).

A replay is trusted after two comparisons, bit for bit, with what the step does by itself: on the arguments that it was
recorded with, and on those of the next call. So a number that Python has worked out from the data, and that a replay
would repeat, is found out.
"""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numpy as np

from tinygrad_mlp.autodiff.mode import anomaly, grad_enabled
from tinygrad_mlp.autodiff.profile import Profile
from tinygrad_mlp.autodiff.recording import Recording
from tinygrad_mlp.autodiff.structure import flatten, flatten_arguments, unflatten
from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, CaptureError, DtypeError, ShapeError
from tinygrad_mlp.kernels.launch import Array, is_array
from tinygrad_mlp.kernels.observe import observer
from tinygrad_mlp.kernels.threads import get_num_threads, is_forked

__all__ = ["CaptureWarning", "Captured", "capture"]

P = ParamSpec("P")
R = TypeVar("R")

_MOST = 8  # recordings of one step
# So many seconds of steps are run in one loop, and then the next: between two of them Python hears Ctrl-C.
_LOOP_SECONDS = 0.05


class CaptureWarning(UserWarning):
    """A captured step runs as it would without capture, and is no faster."""


def capture(step: Callable[P, R], *, fuse: bool = True) -> Captured[P, R]:
    """Record what a step launches at its first call, and replay that at the next ones.

    Parameters
    ----------
    step:
        A function of Tensors, arrays and plain values (also in tuples, lists and dicts) that returns the like. What it
        does to a net, an optimizer, a schedule or a moving average is part of it. Its Python code runs at the first
        two calls only: a `print` in it, or a list of numbers that it appends to, sees no other. If it keeps a Tensor
        that it has made, or gives a variable outside of it another value, it runs as it is, with a warning.
    fuse:
        Whether gradients are written straight to where the optimizer reads them. Without, a replay launches all that
        the step launches, a copy of each gradient included: to see in `explain()` what that takes. Same bits.

    Returns
    -------
    A function that gives the same bits. Tensors among its results are copies, without a graph; a `.grad` is the same
    memory in each replay, so clone one that is to be kept. It records anew when shapes, dtypes, training mode,
    parameters, options in use or the number of threads change, and when a variable that its code reads does: one of
    its module or of a function around it, or an attribute or dict entry that the code names. The code of functions and
    methods of its module that it uses counts, too, and so does that of the `forward` of its nets. What changes
    elsewhere, such as in a list, must be an argument, a Tensor that is written in place, or an attribute of a net's
    modules. After eight different recordings it warns once, and runs the step as it is.

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
    return Captured(step, fuse=fuse)


class Captured(Generic[P, R]):
    """A step and its recordings; `capture` makes it."""

    def __init__(
        self,
        step: Callable[P, R],
        warn: Callable[[str], object] | None = None,
        *,
        fuse: bool = True,
        reads: Sequence[Callable[..., Any]] = (),
    ) -> None:
        self.step = step
        self._fuse = fuse
        self._reads = reads  # functions that the step calls, and that may be a user's, where the step is not
        self._warn = warn
        self.recordings: list[Recording] = []
        self._last: Recording
        self.stays_eager = False
        """Whether the step runs as it is, since it cannot be replayed."""
        self.finished = 0
        """How many steps the last call of `each` has made."""
        self._in_a_loop = 32  # steps
        self._of: dict[int, Captured[..., Any]] = {}  # of a method, by the object
        self.__doc__ = step.__doc__
        self.__wrapped__ = step

    def __repr__(self) -> str:
        return f"<captured {getattr(self.step, '__qualname__', self.step)!r}, {len(self.recordings)} recordings>"

    @property
    def is_small(self) -> bool:
        """Whether its recordings take so little memory that calls between kernels are noticed, and left out."""
        return all(recording.program.is_small for recording in self.recordings)

    @property
    def _is_off(self) -> bool:
        return self.stays_eager or anomaly.get() or observer() is not None or is_forked()

    def _fitting(self, leaves: list[Any], key: Any) -> Recording | None:
        """The recording that fits these arguments, if there is one; it is the last one then."""
        for recording in self.recordings:
            if recording.fits(key, leaves):
                self._last = recording
                return recording
        return None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step: by a replay, if there is a recording that fits."""
        if self._is_off:
            return self.step(*args, **kwargs)
        leaves, outline = flatten_arguments(args, kwargs)
        key = outline, grad_enabled.get(), get_num_threads()
        fitting = self._fitting(leaves, key)
        if fitting is not None:
            return fitting.replay(self.step, leaves)
        if len(self.recordings) == _MOST:
            changed = self.recordings[-1].variables.changed()
            what = f"{changed!r} has changed now" if changed else "what changes from call to call?"
            self.stay_eager(f"it was recorded in {_MOST} different ways; {what}")
            return self.step(*args, **kwargs)
        recording = Recording(key, leaves, self.recordings, self._fuse)
        result = recording.record(self.step, leaves, self._reads)
        if recording.refusal:
            self.stay_eager(recording.refusal)
        else:
            self.recordings.append(recording)
            self._last = recording
        return result

    def each(self, *tables: Tensor | Array, kept: Sequence[tuple[Array, Array]] = ()) -> Any:
        """Run the step on row after row of the tables, as calls would: with no Python between the steps where it can.

        Small nets gain most, and most on several threads. The first 20 steps, and those of a step that cannot be
        replayed, are called one by one.

        Parameters
        ----------
        tables:
            The step's arguments, Tensors or arrays, each with one more dimension in front: how many steps, at least 1.
        kept:
            Pairs (target, source) of arrays of one shape: copied before each step, so that after an error the target
            says what the source was before the step that failed.

        Returns
        -------
        What the step returns, with the results of all steps stacked: a Tensor () becomes one of (steps,).

        Raises
        ------
        ShapeError, DtypeError
            Tables of different lengths, or of none; something else than a Tensor or an array.

        Whatever the step raises, with all as it was before that step; `finished` says how many were made before.

        >>> losses = step.each(tg.randn(100, 64, 784), tg.randint(0, 10, (100, 64)))        # 100 steps
        """
        self.finished = 0
        arrays = list(map(_table, tables))
        lengths = {len(array) if array.ndim else 0 for array in arrays}
        if len(lengths) != 1 or 0 in lengths:
            raise ShapeError(
                f"each: got tables of shapes {[array.shape for array in arrays]}, expected one length of at least 1"
            )
        steps, outline, parts, by_itself = lengths.pop(), None, list[list[Any]](), False
        call = cast("Callable[..., Any]", self)
        while self.finished < steps:
            left = [array[self.finished : self.finished + self._in_a_loop] for array in arrays]
            row = [
                wrap(first) if isinstance(table, Tensor) else first
                for table, first in zip(tables, [array[:1].reshape(array.shape[1:]) for array in left], strict=True)
            ]
            looping = None if by_itself else self._looping(row)
            if looping is None:
                for target, source in kept:
                    np.copyto(target, source)
                results, outline = flatten(call(*row))
                parts.append([_one_row(result) for result in results])
                self.finished, by_itself = self.finished + 1, False
            else:
                outline, results = self._loop(looping, left, kept)
                parts.append(results)
                by_itself = looping.finished < len(left[0])  # the next step then says why
        return unflatten(outline, map(_joined, zip(*parts, strict=True)))

    def _loop(self, looping: Recording, tables: list[Array], kept: Sequence[tuple[Array, Array]]) -> Any:
        """The outline and the results of steps that follow each other; sees to how many come next."""
        start = time.perf_counter()
        try:
            return looping.replay_each(tables, kept)
        finally:
            self.finished += looping.finished
            pace = (time.perf_counter() - start) / len(tables[0])
            self._in_a_loop = max(1, min(4 * self._in_a_loop, int(_LOOP_SECONDS / pace)))

    def _looping(self, row: list[Any]) -> Recording | None:
        """The recording that runs steps on rows like this one with no Python between them, if there is one."""
        if self._is_off:
            return None
        leaves, outline = flatten_arguments(tuple(row), {})
        fitting = self._fitting(leaves, (outline, grad_enabled.get(), get_num_threads()))
        return fitting if fitting is not None and fitting.wants_loop else None

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        """The step as a method: a captured step for each object, which lasts as long as that."""
        if owner is None:
            return self
        captured = self._of.get(id(owner))
        if captured is None:
            try:
                weakref.finalize(owner, self._of.pop, id(owner))
            except TypeError:
                raise CaptureError(
                    f"capture: a method of {type(owner).__name__}, to whose objects no weak reference can be made; "
                    "put '__weakref__' into its __slots__"
                ) from None
            method = cast("Callable[..., Any]", _Method(self.step, owner))
            captured = self._of[id(owner)] = Captured(method, self._warn, fuse=self._fuse)
        return _CapturedMethod(captured, owner)

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


class _CapturedMethod:
    """The captured step of an object, which it keeps alive as a method does."""

    def __init__(self, captured: Captured[..., Any], owner: object) -> None:
        self._captured, self._owner = captured, owner
        self.__doc__, self.__wrapped__ = captured.__doc__, captured.__wrapped__

    def __repr__(self) -> str:
        return repr(self._captured)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._captured(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._captured, name)


class _Method:
    """A function bound to an object that it does not keep alive."""

    def __init__(self, function: Callable[..., Any], owner: object) -> None:
        self._function, self._owner = function, weakref.ref(owner)
        update_wrapper(self, function)

    @property
    def __self__(self) -> object:
        return self._owner()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self._owner(), *args, **kwargs)


def _table(table: Any) -> Array:
    if isinstance(table, Tensor):
        return table.array
    if not is_array(table):
        raise DtypeError(f"each: got a {type(table).__name__}, expected Tensors or arrays with a row for each step")
    return table


def _one_row(result: Any) -> Any:
    return wrap(result.array[None]) if isinstance(result, Tensor) else result[None]


def _joined(parts: tuple[Any, ...]) -> Any:
    """Results of some steps and the next ones, one after the other, without a graph."""
    if isinstance(parts[0], Tensor):
        return wrap(np.concatenate([part.array for part in parts]))
    return np.concatenate(parts)
