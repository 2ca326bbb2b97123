"""Run a program round after round: mostly as one function of machine code, with no Python between the rounds.

A program may call Python functions, too: an optimizer's options are written to where its kernel reads them, a schedule
moves on. What these write depends on Python alone, so it is worked out ahead, for all rounds, and each round gets its
row of a table. Where a program has kernels that are no machine code, it is run from Python, round by round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.native import NativeCalls, is_native
from tinygrad_mlp.kernels.program import Failure, Program
from tinygrad_mlp.kernels.status import status_error
from tinygrad_mlp.kernels.threads import OnThreads, gather, parallel_lock, team

__all__ = ["Loop", "has_loop"]


def has_loop(program: Program) -> bool:
    """Whether a program's rounds may follow each other: it calls no Python function that might do anything."""
    return all(
        bool(launch.writes) or call.rewinds is not None
        for call, launch in zip(program.calls, program.launches, strict=True)
        if launch.is_python
    )


class Loop:
    """The rounds of a program for which `has_loop` holds.

    Parameters
    ----------
    program:
        What to run.
    given, taken:
        Arrays that each round gets anew, and its results.
    kept:
        (target, source): what each round copies before it begins.
    """

    def __init__(
        self, program: Program, given: Sequence[Array], taken: Sequence[Array], kept: Sequence[tuple[Array, Array]]
    ) -> None:
        self._program, self._given, self._taken, self._kept = program, given, taken, kept
        self.finished = 0
        """How many rounds the last call of `run` has run to their end."""
        self._numbers = [number for number, launch in enumerate(program.launches) if not launch.is_python]
        self._python = [(number, launch) for number, launch in enumerate(program.launches) if launch.is_python]
        self._rewinds = [call.rewinds for call in program.calls if call.rewinds is not None]
        self._options: list[Array] = [launch.args[place] for _, launch in self._python for place in launch.writes]
        launches = [program.launches[number] for number in self._numbers]
        copied = [*given, *taken, *(array for pair in kept for array in pair)]
        self._native: NativeCalls | None = None
        if all(map(is_native, launches)) and all(array.flags.c_contiguous for array in copied):
            helpers = (team().awake_at, program.threads - 1) if program.threads > 1 else None
            self._native = NativeCalls(launches, program.status, kept, [*given, *self._options], taken, helpers)

    def run(self, given: Sequence[Array], taken: Sequence[Array]) -> None:
        """Run a round for each row of the tables: all, or those before one in which a Python function raises.

        Raises `Failure` at a launch that finds fault; what Python's functions move is then where it would be if they
        had been called in turn.
        """
        self.finished = 0
        if self._native is None:
            self._run_from_python(given, taken)
        else:
            self._run_native(self._native, [np.ascontiguousarray(table) for table in given], taken)

    def _run_from_python(self, given: Sequence[Array], taken: Sequence[Array]) -> None:
        for row in range(len(given[0])):
            for target, source in self._kept:
                np.copyto(target, source)
            for memory, table in zip(self._given, given, strict=True):
                np.copyto(memory, table[row])
            self._program.run()
            for table, result in zip(taken, self._taken, strict=True):
                table[row] = result
            self.finished += 1

    def _run_native(self, native: NativeCalls, given: Sequence[Array], taken: Sequence[Array]) -> None:
        program, rounds = self._program, len(given[0])
        go_back = [rewinds() for rewinds in self._rewinds]
        try:
            options, possible = self._ahead(rounds)
            tables = [*given, *options, *taken]
            if program.threads > 1:
                with parallel_lock, OnThreads(program.threads):
                    ended = self._go_on_to(native, possible, tables)
            else:
                ended = self._go_on_to(native, possible, tables)
        finally:
            if self.finished < rounds:
                self._go_on_from(go_back)
        if program.status[0]:
            number = self._numbers[ended]
            self._move(number)
            raise Failure(number, status_error(program.launches[number].name, program.status))

    def _go_on_to(self, native: NativeCalls, rounds: int, tables: Sequence[Array]) -> int:
        """Run so many rounds, or up to a launch that sets the status word; returns the number of the last launch."""
        program, ended = self._program, 0
        while self.finished < rounds and not program.status[0]:
            if self.finished and program.threads > 1:
                gather(program.threads)  # helpers that fell asleep in a round
            ended = self._go_on(native, rounds, tables)
        return ended

    def _go_on(self, native: NativeCalls, rounds: int, tables: Sequence[Array]) -> int:
        """Run what is left of so many rounds, as far as it goes; returns the number of the last launch."""
        done = self.finished
        try:
            return native.run_many(rounds - done, [table[done:] for table in tables])
        finally:
            self.finished = done + native.finished

    def _ahead(self, rounds: int) -> tuple[list[Array], int]:
        """A table of what Python writes in each round, and for how many rounds it does so without an error.

        The error is raised when that round is run by itself.
        """
        tables = [np.empty((rounds, *option.shape), option.dtype) for option in self._options]
        together = 1 if self._rewinds else rounds  # where nothing moves, all rounds are alike
        for done in range(0, rounds, together):
            try:
                for _, launch in self._python:
                    launch.code(*launch.args)
            except Exception:  # also one of the user's, whose function a schedule may call
                return tables, done
            for table, option in zip(tables, self._options, strict=True):
                table[done : done + together] = option
        return tables, rounds

    def _go_on_from(self, go_back: Sequence[Callable[[], object]]) -> None:
        """Put what Python's functions move to where it is after the rounds that are finished."""
        for rewind in go_back:
            rewind()
        for _ in range(self.finished):
            self._move(len(self._program.launches))

    def _move(self, number: int) -> None:
        """Move on what Python's functions move in the first so many calls of a round."""
        for place, launch in self._python:
            if place < number and not launch.writes:
                launch.code(*launch.args)
