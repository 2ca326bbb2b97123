"""Make a recording into a program: a list of calls on fixed memory that runs without graph, checks or allocation.

Of the temporaries one takes the place of others that died before it was born, as the allocator gave it out in the run
that was watched. Large ones lie in blocks like those that were lent in that run (see `memory`), and get the same ones;
so a replay needs no more memory. Small ones share one block, the arena.

A gradient that a kernel writes into a temporary, only to be copied into the optimizer's buffer, is written there at
once, and the copy is left out, unless `fuse` is off. That changes no bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from tinygrad_mlp.errors import TinygradError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.memory import SMALLEST, empty
from tinygrad_mlp.kernels.native import NativeCalls, is_native
from tinygrad_mlp.kernels.observe import Launch
from tinygrad_mlp.kernels.record import Buffer, Call, Place, Recorder, address_of
from tinygrad_mlp.kernels.status import status_error
from tinygrad_mlp.kernels.threads import OnThreads, gather, parallel_lock

__all__ = ["Failure", "Program", "arranged", "blocks"]

_ALIGNMENT = 64  # a line of the cache
_NATIVE_FROM = 20  # runs: until then machine code of its own has not paid
_NATIVE_UP_TO = 1 << 23  # bytes of temporaries: to fill them takes so long that no call is noticed, and code takes 3 MB


_Part: TypeAlias = "tuple[int, Launch | NativeCalls]"  # with the number of its first launch


class Failure(Exception):  # noqa: N818  never seen by users: a capture raises what it holds
    """A launch of a program has found fault: its number, and the error."""

    def __init__(self, number: int, error: TinygradError) -> None:
        super().__init__(str(error))
        self.number = number
        self.error = error


class Program:
    """The calls of a recording, ready to run again and again.

    `calls` are those of the recording that are left, in the order of `launches`, which have arrays for places.
    """

    def __init__(self, recorder: Recorder, fuse: bool = True) -> None:
        self.moved: dict[Buffer, Place] = {}
        self.calls = self._without_copies(recorder.calls) if fuse else list(recorder.calls)
        self.status: Array = np.zeros(4, np.int64)
        self.threads = max([call.launch.threads for call in self.calls], default=1)
        temporaries = self._temporaries()
        self._block_of, self._block_sizes = blocks([buffer for buffer in temporaries if buffer.size >= SMALLEST])
        self._offsets, self._arena_size = arranged([buffer for buffer in temporaries if buffer.size < SMALLEST])
        self.launches: list[Launch] = []
        self.build()

    @property
    def size(self) -> int:
        """Bytes of all temporaries together."""
        return self._arena_size + sum(self._block_sizes)

    @property
    def wants_machine_code(self) -> bool:
        """Whether machine code of its own pays from the next run on."""
        return self.runs >= _NATIVE_FROM - 1 and self.is_small

    @property
    def is_small(self) -> bool:
        """Whether machine code of its own can pay at all."""
        return self.size <= _NATIVE_UP_TO

    def _temporaries(self) -> list[Buffer]:
        seen: dict[Buffer, None] = {}
        for call in self.calls:
            for place in _places(call):
                if place.buffer.holder is None:
                    seen[place.buffer] = None
        return list(seen)

    def build(self) -> None:
        """Get memory, and put the calls on it."""
        self._blocks = [empty((size,), np.uint8) for size in self._block_sizes]
        self._arena = np.empty(self._arena_size + _ALIGNMENT, np.uint8)
        start = address_of(self._arena)
        self._base = start + -start % _ALIGNMENT
        self.launches = [self._launch(call.launch) for call in self.calls]
        self._parts: list[_Part] = [(number, launch) for number, launch in enumerate(self.launches)]
        self.runs = 0
        """How often it has run since."""

    def release(self) -> None:
        """Give the memory back, until `build` is called."""
        self._blocks, self.launches, self._parts = [], [], []
        self._arena = np.empty(0, np.uint8)

    def numbers_of(self, calls: Sequence[Call]) -> list[int]:
        """The numbers of these calls, of those that are left."""
        return [number for number, call in enumerate(self.calls) if call in calls]

    def _launch(self, launch: Launch) -> Launch:
        args = [self.array(arg) if isinstance(arg, Place) else arg for arg in launch.args]
        if launch.checked:
            args[-1] = self.status
        return replace(launch, args=tuple(args))

    def _final(self, place: Place) -> Place:
        """Where a place is, if its buffer was moved."""
        target = self.moved.get(place.buffer)
        if target is None:
            return place
        return Place(target.buffer, target.offset + place.offset, place.shape, place.strides, place.dtype)

    def array(self, place: Place) -> Array:
        """The array of a recording's place, as the program has it."""
        place = self._final(place)
        if place.buffer.holder is not None:
            return place.array(place.buffer.address, place.buffer.holder)
        number = self._block_of.get(place.buffer)
        if number is not None:
            return place.array(address_of(self._blocks[number]), self._blocks[number])
        return place.array(self._base + self._offsets[place.buffer], self._arena)

    def run(self, numbers: Sequence[int] | None = None) -> None:
        """Run all calls, or those of these numbers.

        Raises `Failure` at a launch that finds fault; nothing after it is run.
        """
        if self.runs == _NATIVE_FROM - 1 and self.wants_machine_code:
            self._parts = _with_native(self.launches, self.status)
        self.runs += 1
        parts = self._parts if numbers is None else [(number, self.launches[number]) for number in numbers]
        if self.threads > 1:
            with parallel_lock, OnThreads(self.threads):
                self._run(parts)
        else:
            self._run(parts)

    def _run(self, parts: Sequence[_Part]) -> None:
        status = self.status
        for number, part in parts:
            if part.threads > 1:
                gather(part.threads)  # helpers may have fallen asleep since the step began
            if isinstance(part, NativeCalls):
                ended = number + part.run()
            else:
                part.code(*part.args)
                ended = number
                if not part.checked:
                    continue
            if status[0]:
                raise Failure(ended, status_error(self.launches[ended].name, status))

    def _without_copies(self, calls: list[Call]) -> list[Call]:
        """The calls without copies of a temporary that might as well have been written to where it is copied."""
        kept = list(calls)
        for call in calls:
            if call.launch.name == "copy" and self._redirect(call, kept):
                kept.remove(call)
        return kept

    def _redirect(self, copying: Call, calls: list[Call]) -> bool:
        source, target = copying.launch.args[:2]
        if not isinstance(source, Place) or not isinstance(target, Place):
            return False
        buffer = source.buffer
        is_free = buffer.holder is None or buffer.is_gradient
        is_alike = source.dtype == target.dtype and source.shape == target.shape and _same_order(source, target)
        is_whole = source.offset == 0 and _nbytes(source) == buffer.size
        if not (is_free and is_alike and is_whole) or target.buffer.holder is None:
            return False
        users = [i for i, call in enumerate(calls) if any(place.buffer is buffer for place in _places(call))]
        last = calls.index(copying)
        if users[-1] != last:
            return False
        for call in calls[users[0] : last]:
            if any(_overlap(self._final(place), target) for place in _places(call)):
                return False
        self.moved[buffer] = target
        return True


def _with_native(launches: list[Launch], status: Array) -> list[_Part]:
    """Neighbouring kernels as one function; what is no compiled kernel stays between."""
    parts: list[_Part] = []
    numbered = enumerate(launches)
    for is_together, group in itertools.groupby(numbered, key=lambda pair: is_native(pair[1])):
        members = list(group)
        if is_together and len(members) > 1:
            parts.append((members[0][0], NativeCalls([launch for _, launch in members], status)))
        else:
            parts += members
    return parts


def _places(call: Call) -> Iterator[Place]:
    return (arg for arg in call.launch.args if isinstance(arg, Place))


def _nbytes(place: Place) -> int:
    return int(np.prod(place.shape)) * place.dtype.itemsize


def _same_order(a: Place, b: Place) -> bool:
    """Whether both fill their memory in the same order of axes; axes of length 1 have any stride."""
    return all(size == 1 or x == y for size, x, y in zip(a.shape, a.strides, b.strides, strict=True))


def _overlap(a: Place, b: Place) -> bool:
    """Whether two places of memory that stays have bytes in common."""
    if a.buffer.holder is None or b.buffer.holder is None or 0 in a.shape or 0 in b.shape:
        return False
    (a_low, a_high), (b_low, b_high) = _bounds(a), _bounds(b)
    return a_low < b_high and b_low < a_high


def _bounds(place: Place) -> tuple[int, int]:
    """Addresses of the first byte and of the one after the last."""
    low = high = place.buffer.address + place.offset
    for size, stride in zip(place.shape, place.strides, strict=True):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high + place.dtype.itemsize


def blocks(buffers: list[Buffer]) -> tuple[dict[Buffer, int], list[int]]:
    """The number of a block for each buffer, one for several that do not live at the same time; and the blocks' sizes.

    As the allocator does it: a buffer that is born takes the smallest free block that it fills by half or more.
    """
    numbers: dict[Buffer, int] = {}
    sizes: list[int] = []
    free: list[int] = []
    living: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda buffer: buffer.born):
        dead = [other for other in living if _death(other) <= buffer.born]
        free += [numbers[other] for other in dead]
        living = [other for other in living if other not in dead]
        fitting = [number for number in free if buffer.size <= sizes[number] <= 2 * buffer.size]
        if fitting:
            number = min(fitting, key=sizes.__getitem__)
            free.remove(number)
        else:
            number = len(sizes)
            sizes.append(buffer.size)
        numbers[buffer] = number
        living.append(buffer)
    return numbers, sizes


def arranged(buffers: list[Buffer]) -> tuple[dict[Buffer, int], int]:
    """Offsets of buffers in an arena, such that those that live at the same time do not overlap; and its size."""
    offsets: dict[Buffer, int] = {}
    for buffer in sorted(buffers, key=lambda buffer: -buffer.size):  # large ones first leave small gaps
        neighbours = sorted(
            (offset, offset + _rounded(other.size))
            for other, offset in offsets.items()
            if other.born < _death(buffer) and buffer.born < _death(other)
        )
        place = 0
        for start, stop in neighbours:
            if start - place >= _rounded(buffer.size):
                break
            place = max(place, stop)
        offsets[buffer] = place
    return offsets, max((offset + _rounded(buffer.size) for buffer, offset in offsets.items()), default=0)


def _death(buffer: Buffer) -> float:
    return float("inf") if buffer.died is None else buffer.died


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
