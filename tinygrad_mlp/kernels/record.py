"""Record what a step launches, so that it can be replayed over the same memory without Python's part in it.

A `Recorder` watches the launches of one run of a step. Of each array that a kernel gets it notes into which memory the
array looks, and where; it keeps the memory itself alive only where the step must find it again:

- What was there before the step (weights, an optimizer's state, inputs), or outlives it (results, gradients), stays at
  its place. So do constants, which are read and never written.
- The rest are temporaries: they come into being by a kernel that writes them, and die when the last array that looks
  into them is gone. A replay puts them into memory of its own, in which one takes the place of another that died
  before (see `program`), as the allocator did in the run that was watched.

What a step changes for good must be put back for the replay with which it is compared, so a copy of it is kept. Weights
and an optimizer's state are large, and mostly it is the last thing that a step does to change them: such launches are
held back, and run once, after the comparison of all that they read (see `hold`). No copy is needed then.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, cast

import numpy as np

from tinygrad_mlp.kernels.hold import HeldBack, covers, written_by
from tinygrad_mlp.kernels.launch import Array, is_array
from tinygrad_mlp.kernels.memory import SMALLEST, empty_like, is_block
from tinygrad_mlp.kernels.observe import Launch, observer

__all__ = [
    "Buffer",
    "Call",
    "Place",
    "Recorder",
    "Saved",
    "about_to_write",
    "address_of",
    "owner_of",
    "recorder",
    "replayed",
    "source_of_launch",
]


@dataclass(slots=True, eq=False)
class Buffer:
    """The memory of one array that owns its own, from the first launch that gets it to its death."""

    address: int
    size: int
    born: int
    """Number of the first call that gets it."""
    is_written_first: bool
    """Whether that call writes it: what it held before is of no matter."""
    died: int | None = None
    """Number of the first call that is made when no array looks into it any more."""
    holder: object = None
    """What keeps it alive, for memory that stays; None for a temporary."""
    is_gradient: bool = False
    """Whether it outlives the step as the gradient of a leaf alone, so that it may move elsewhere."""
    owner: weakref.ref[Array] | None = None


@dataclass(slots=True, eq=False)
class Place:
    """An array that a kernel was given: where in which buffer, and its shape."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    def array(self, address: int, holder: object) -> Array:
        """The array, for a buffer at this address that the holder keeps alive."""
        return np.asarray(_Memory(address + self.offset, self, holder))


class _Memory:
    """What NumPy asks for an array on given memory; the array keeps it alive, and it the holder."""

    def __init__(self, address: int, place: Place, holder: object) -> None:
        self.holder = holder
        self.__array_interface__ = {
            "version": 3,
            "data": (address, False),
            "shape": place.shape,
            "strides": place.strides,
            "typestr": place.dtype.str,
        }


@dataclass(slots=True, eq=False)
class Call:
    """One call of a recording: a launch, or a Python function that must run at each replay, too."""

    launch: Launch
    """Its arguments hold a `Place` for each array."""
    source: str
    """Where it was launched: `ops/linear.py, linear`."""
    path: str = ""
    """The modules in which it was launched."""
    explain: Callable[[Any, Exception], Exception] | None = None
    """Makes the error of a failed launch from its first argument and from what the status word says."""
    rewinds: Callable[[], Callable[[], object]] | None = None
    """For a Python function that moves something on: notes where that is, and returns what moves it back there."""


@dataclass(slots=True, eq=False)
class Saved:
    """An array that lived before the step and is written by it, and what it held."""

    array: Array
    before: Array

    def restore(self) -> None:
        """Put back what it held."""
        np.copyto(self.array, self.before)


@dataclass(eq=False)
class Recorder:
    """An observer that lists the calls of a step. `path` says in which modules the step is."""

    path: Callable[[], str] = str
    calls: list[Call] = field(default_factory=list[Call])
    saved: list[Saved] = field(default_factory=list[Saved])
    held: HeldBack = field(default_factory=HeldBack)
    """Launches that are listed, and not yet run."""
    refusal: str = ""
    """Why the step cannot be replayed; empty as long as it can."""
    guards: list[Callable[[], bool]] = field(default_factory=list[Callable[[], bool]])
    """What must hold at a replay."""
    counters: list[list[int]] = field(default_factory=list[list[int]])
    """Version counters of tensors that the step writes in place."""
    restores: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])
    """What puts back Python's state that the step has changed, a schedule's."""
    leaves: dict[int, tuple[Any, Any]] = field(default_factory=dict[int, tuple[Any, Any]])
    """Tensors that get a gradient, by identity, and the gradient that each had when the first arrived."""
    forgotten: set[int] = field(default_factory=set[int])
    """Identities of tensors whose gradient the step has set to None."""
    tensors: list[weakref.ref[Any]] = field(default_factory=list[weakref.ref[Any]])
    """What ops have given."""
    _buffers: dict[int, Buffer] = field(default_factory=dict[int, Buffer])
    _announced: dict[tuple[int, int], Array] = field(default_factory=dict[tuple[int, int], Array])
    """Arrays from before the step that it may write, by address and size."""
    _uncopied: dict[tuple[int, int], Array] = field(default_factory=dict[tuple[int, int], Array])
    """Large ones among them that nothing has written yet."""

    def launched(self, launch: Launch) -> None:
        """List a launch, and run it or hold it back."""
        args = list(launch.args)
        written = set(launch.writes)
        for place, arg in enumerate(args):
            if is_array(arg):
                if not (launch.checked and place == len(args) - 1):
                    args[place] = self._place(arg, place in written)
            elif isinstance(arg, tuple):
                args[place] = self._kept(cast("tuple[Any, ...]", arg))
        self.calls.append(Call(replace(launch, args=tuple(args)), source_of_launch(), self.path()))
        if self._may_wait(launch):
            self.held.add(launch, len(self.calls) - 1)
            return
        if self.held.is_touched_by(launch):
            self.run_held()
        self._run(launch)

    def _may_wait(self, launch: Launch) -> bool:
        """Whether it changes what was there before the step and nothing else, and something large or held back."""
        keys = [_key(array) for array in written_by(launch)]
        if self.refusal or not all(key in self._announced for key in keys):
            return False
        return any(key in self._uncopied for key in keys) or self.held.is_touched_by(launch)

    def run_held(self) -> None:
        """Run what is held back, with a copy of what it changes: for who comes next, it must have run."""
        while self.held.launches:
            self._run(self.held.take_first())

    def _run(self, launch: Launch) -> None:
        written = written_by(launch)
        large_first = sorted(self._uncopied.values(), key=lambda array: -array.nbytes)
        for array in large_first:  # then parts of one that is copied need no copy
            if any(np.may_share_memory(array, other) for other in written):
                self._copy(array)
        launch.run()

    def _kept(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """A tuple as it is: tables, which nothing changes, and numbers."""
        for value in values:
            if is_array(value):
                self._place(value, is_written=False)
        return values

    def call(
        self,
        function: Callable[..., object],
        *args: Any,
        writes: tuple[int, ...] = (),
        rewinds: Callable[[], Callable[[], object]] | None = None,
    ) -> None:
        """List a Python function that a replay must call, too.

        One that only fills small arrays among its arguments, by what Python knows, names them in `writes`. One that
        only moves on something of Python's, such as a schedule, has `rewinds`: see `Call`. Others may do anything.
        """
        code = cast("Callable[..., None]", function)
        launch = Launch(getattr(function, "__name__", "call"), code, args, writes, is_python=True)
        self.calls.append(Call(launch, source_of_launch(), self.path(), rewinds=rewinds))
        if rewinds is not None:
            self.restores.append(rewinds())

    def explain(self, explain: Callable[[Any, Exception], Exception]) -> None:
        """Have the error of the last launch, if it fails in a replay, made by this function of its first argument."""
        self.calls[-1].explain = explain

    def save(self, array: Array, at_once: bool = False) -> None:
        """Have an array that lived before the step, and is about to be written, put back by `undo`.

        A large one is copied by the launch that writes it, unless the copy is wanted at once.
        """
        at_once = at_once or array.nbytes < SMALLEST
        if at_once and self.held.use(array):
            self.run_held()
        key, buffer = _key(array), self._buffers.get(id(owner_of(array)))
        if key not in self._announced:
            if buffer is not None and buffer.is_written_first:
                return
            self._announced[key] = self._uncopied[key] = array
        if at_once and key in self._uncopied:
            self._copy(array)

    def _copy(self, array: Array) -> None:
        del self._uncopied[_key(array)]
        if any(covers(saved.array, array) for saved in self.saved):
            return
        before = empty_like(array)
        np.copyto(before, array)
        self.saved.append(Saved(array, before))

    @property
    def changed(self) -> list[Array]:
        """The arrays from before the step that it writes, or says that it will."""
        return list(self._announced.values())

    def has_made(self, array: Array) -> bool:
        """Whether an array looks into memory that the step has filled, and that was not there before."""
        buffer = self._buffers.get(id(owner_of(array)))
        if buffer is None or buffer.holder is not None:
            return False
        return not any(np.may_share_memory(array, other) for other in self.changed)

    def refuse(self, reason: str) -> None:
        """Say why this step cannot be replayed; the first reason counts. Python may read anything from here on."""
        self.refusal = self.refusal or reason
        self.run_held()

    def undo(self) -> None:
        """Put back everything that the step has written and that was there before it; drop what is held back."""
        self.held = HeldBack()
        for saved in reversed(self.saved):  # of two that overlap the first knows what was there before
            saved.restore()
        for restore in reversed(self.restores):
            restore()

    def _place(self, array: Array, is_written: bool) -> Place:
        owner = owner_of(array)
        buffer = self._buffers.get(id(owner))
        if buffer is None:
            buffer = self._new_buffer(owner, is_written)
        return Place(buffer, address_of(array) - buffer.address, array.shape, array.strides, array.dtype)

    def _new_buffer(self, owner: Array, is_written: bool) -> Buffer:
        low, high = np.lib.array_utils.byte_bounds(owner)
        buffer = Buffer(low, high - low, len(self.calls), is_written)
        is_own = owner.flags.owndata or is_block(owner)
        if not is_own:
            buffer.holder = owner.base  # another's memory: an optimizer's buffer that was lent, a memory map
        elif not is_written:
            buffer.holder = owner  # was there before, or is a constant
        key = id(owner)
        self._buffers[key] = buffer
        buffer.owner = weakref.ref(owner, lambda _: self._forget(key, buffer))
        return buffer

    def _forget(self, key: int, buffer: Buffer) -> None:
        buffer.died = len(self.calls)
        if self._buffers.get(key) is buffer:
            del self._buffers[key]

    def place_of(self, array: Array) -> Place:
        """Where an array lies that outlives the step: a result, or a gradient."""
        return self._place(array, is_written=False)

    def mark_gradient(self, array: Array) -> Place:
        """The same for the gradient of a leaf, which a replay may have written elsewhere."""
        place = self._place(array, is_written=False)
        place.buffer.is_gradient = place.buffer.holder is None
        return place

    def finish(self) -> None:
        """The step is over: what it wrote first and is still alive outlives it, and stays at its place."""
        for buffer in list(self._buffers.values()):
            owner = None if buffer.owner is None else buffer.owner()
            if buffer.holder is None and owner is not None:
                buffer.holder = owner
            buffer.owner = None
        self._buffers = {}


def owner_of(array: Array) -> Array:
    """The array whose memory it looks into."""
    while True:
        base = array.base
        if not is_array(base):
            base = getattr(base, "base", None)  # of `as_strided`: an object that only holds the array it began with
        if not is_array(base):
            return array
        array = base


def address_of(array: Array) -> int:
    """Where its first element lies."""
    return array.__array_interface__["data"][0]


def _key(array: Array) -> tuple[int, int]:
    return address_of(array), array.nbytes


def about_to_write(*arrays: Array) -> None:
    """Tell a recorder, if one watches, that arrays which may have been there before the step are written next.

    Large ones must be written by launches.
    """
    watching = observer()
    if isinstance(watching, Recorder):
        for array in arrays:
            watching.save(array)


def replayed(function: Callable[..., object], *args: Any, writes: tuple[int, ...] = ()) -> None:
    """Call a Python function, and have replays call it at this point, too; see `Recorder.call`."""
    watching = observer()
    if isinstance(watching, Recorder):
        watching.call(function, *args, writes=writes)
    function(*args)


def recorder() -> Recorder | None:
    """The recorder that watches this Python thread, if one does."""
    watching = observer()
    return watching if isinstance(watching, Recorder) else None


def source_of_launch() -> str:
    """The function that launched: the innermost one outside this folder."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_back is not None and _is_here(frame):
        frame = frame.f_back
    if frame is None:  # a Python that does not tell
        return ""
    name = frame.f_code.co_filename.replace("\\", "/").rsplit("/tinygrad_mlp/", 1)[-1]
    return f"{name}, {frame.f_code.co_qualname}"


def _is_here(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").startswith("tinygrad_mlp.kernels.")
