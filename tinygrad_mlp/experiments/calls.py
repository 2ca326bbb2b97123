"""`Call`: a call of `run` that made runs, which and in what time; `CallLog` keeps it beside the runs."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.train.checkpoint import write_atomically

__all__ = ["Call", "CallLog", "call_from", "calls_that_made", "goes_on", "read_calls"]

_FORMAT = "tinygrad_mlp call 1"


@dataclass(frozen=True)
class Call:
    """A call that made runs. A study that was made in pieces has several.

    Parameters
    ----------
    began:
        UTC, as `2026-11-30T09:40:43.125Z`.
    seconds:
        On the clock, until it ended; until the last run that it finished, if it was killed.
    processes:
        How many worked side by side, where there was enough to do; None where an executor of the user's did it.
    runs:
        Keys of the runs that it finished.
    """

    began: str
    seconds: float
    processes: int | None
    runs: tuple[str, ...]


class CallLog:
    """Writes a call's file anew with each run that it finishes, so that a call that is killed is known, too.

    Raises `CheckpointError` where the file cannot be written.
    """

    def __init__(self, folder: Path, processes: int | None) -> None:
        now = datetime.now(UTC)
        self._began = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z"
        self._path = folder / f"{self._began.replace(':', '-')}-{os.getpid()}.json"
        self._processes = processes
        self._start = time.monotonic()
        self._runs: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._runs:
            return
        try:
            self._write()
        except CheckpointError as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # what was under way is what the caller asks about

    def finished(self, key: str) -> None:
        """Note that this run is there now."""
        self.add(key)
        self._write()

    def add(self, key: str) -> None:
        """Note it, if it was not yet, to be written with the next one or at the end."""
        if key not in self._runs:
            self._runs.append(key)

    def _write(self) -> None:
        seconds = round(time.monotonic() - self._start, 3)
        call = Call(self._began, seconds, self._processes, tuple(self._runs))
        write_atomically(self._path, json.dumps({"format": _FORMAT, **asdict(call)}, indent=1).encode() + b"\n")


def read_calls(folder: Path) -> list[Call]:
    """All calls that are noted there, oldest first. Raises `CheckpointError` for a file that holds something else."""
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def calls_that_made(keys: Iterable[str], calls: Sequence[Call]) -> tuple[Call, ...]:
    """Those of the calls that made the runs of these keys; of a run that was made twice, the later one."""
    makers = {key: place for place, call in enumerate(calls) for key in call.runs}
    places = {makers[key] for key in keys if key in makers}
    return tuple(calls[place] for place in sorted(places))


def goes_on(call: Call, noted: Call) -> bool:
    """Whether a call, as its file has it by now, is the one that was noted, then or when it had gone on."""
    return (
        (call.began, call.processes) == (noted.began, noted.processes)
        and call.seconds >= noted.seconds
        and call.runs[: len(noted.runs)] == noted.runs
    )


def call_from(values: Any) -> Call:
    """A call from what JSON has of it. Raises `ValueError`, `KeyError` or `TypeError` for something else."""
    seconds, processes, runs = float(values["seconds"]), values["processes"], values["runs"]
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"seconds is {seconds}")
    if not (processes is None or (type(processes) is int and processes >= 1)):
        raise ValueError(f"processes is {processes!r}")
    if not (isinstance(runs, list) and all(isinstance(key, str) for key in cast("list[Any]", runs))):
        raise ValueError(f"runs is {runs!r}")
    return Call(str(values["began"]), seconds, processes, tuple(cast("list[str]", runs)))


def _read(path: Path) -> Call:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise ValueError("another format")
        return call_from(values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: it does not say what a call made and how long it took ({error}). Delete it to go on without that"
        ) from error
