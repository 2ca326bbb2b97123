"""`Call`: a call of `run` that made runs, which and in what time; `CallLog` keeps it beside the runs."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.train.checkpoint import write_atomically

__all__ = ["Call", "CallLog", "read_calls"]

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
        How many worked side by side; None where an executor of the user's did.
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
        self._path = folder / f"{self._began.replace(':', '-')}.json"
        self._processes = processes
        self._start = time.monotonic()
        self._runs: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._runs:
            self._write()

    def finished(self, key: str) -> None:
        """Note that this run is there now."""
        self._runs.append(key)
        self._write()

    def _write(self) -> None:
        seconds = round(time.monotonic() - self._start, 3)
        call = Call(self._began, seconds, self._processes, tuple(self._runs))
        write_atomically(self._path, json.dumps({"format": _FORMAT, **asdict(call)}, indent=1).encode() + b"\n")


def read_calls(folder: Path, keys: Collection[str]) -> tuple[Call, ...]:
    """The calls that made the runs of these keys, oldest first; of a run that was made twice, the later one.

    Raises `CheckpointError` for a file that holds something else.
    """
    makers: dict[str, Call] = {}
    calls = [_read(path) for path in sorted(folder.glob("*.json"))]
    for call in calls:
        makers.update(dict.fromkeys(call.runs, call))
    wanted = {makers[key].began for key in keys if key in makers}
    return tuple(call for call in calls if call.began in wanted)


def _read(path: Path) -> Call:
    try:
        values = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        if values.pop("format") != _FORMAT:
            raise ValueError("another format")
        return Call(
            str(values["began"]), float(values["seconds"]), values["processes"], tuple(map(str, values["runs"]))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: it does not say what a call made and how long it took ({error}). Delete it to go on without that"
        ) from error
