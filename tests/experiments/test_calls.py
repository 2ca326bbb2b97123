"""Calls: how long the pieces of a study took, also where they were killed."""

import json
import math
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.experiments.made import SMALL, made_run
from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.experiments.calls import Call, CallLog, calls_that_made, goes_on, read_calls
from tinygrad_mlp.experiments.report.document import make_document
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.study import Arm, Study

RUNS = [made_run(SMALL, seed) for seed in range(4)]
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEYS = tuple(run.key for run in RUNS)


def test_a_call_is_kept_with_each_run_that_it_finishes(tmp_path: Path) -> None:
    with CallLog(tmp_path, 2) as log:
        assert list(tmp_path.iterdir()) == []  # nothing was made yet
        log.finished("a")
        (killed_here,) = read_calls(tmp_path)
        time.sleep(0.02)
        log.finished("b")
        time.sleep(0.02)
    (call,) = read_calls(tmp_path)
    assert (call.processes, call.runs, killed_here.runs) == (2, ("a", "b"), ("a",))
    assert killed_here.seconds + 0.02 < call.seconds < 60  # until its end
    assert goes_on(call, killed_here)
    assert not goes_on(killed_here, call)


def test_a_call_that_made_nothing_leaves_nothing(tmp_path: Path) -> None:
    with CallLog(tmp_path, 2):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_calls_at_once_have_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_mlp.experiments.calls.datetime", SimpleNamespace(now=lambda zone: NOON))
    for process in (1, 2):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        CallLog(tmp_path, 2).finished(f"of {process}")
    assert [call.runs for call in read_calls(tmp_path)] == [("of 1",), ("of 2",)]
    assert {call.began for call in read_calls(tmp_path)} == {"2026-11-30T12:00:00.000Z"}


def test_what_cannot_be_written_hides_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    with pytest.raises(KeyboardInterrupt) as interrupted, CallLog(folder, 2) as log:
        log.finished("a")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        folder.write_text("")
        raise KeyboardInterrupt
    assert "could not be saved" in interrupted.value.__notes__[0]
    with pytest.raises(CheckpointError, match="could not be saved"), CallLog(folder, 2) as log:
        log.finished("a")


def keep(folder: Path, *calls: Call) -> None:
    for call in calls:
        content = {"format": "tinygrad_mlp call 1", **vars(call)}
        (folder / f"{call.began.replace(':', '-')}.json").write_text(json.dumps(content))


def at(minute: int, seconds: float, *runs: str, processes: int | None = 2) -> Call:
    return Call(f"2026-11-30T09:{minute:02}:00.000Z", seconds, processes, runs)


def test_of_a_run_that_was_made_twice_the_later_call_counts(tmp_path: Path) -> None:
    first, second, third = at(1, 9.0, "a", "b"), at(2, 9.0, "c"), at(3, 9.0, "a", "b")
    keep(tmp_path, third, first, second)
    calls = read_calls(tmp_path)
    assert calls == [first, second, third]
    assert calls_that_made({"a", "b", "c"}, calls) == (second, third)
    assert calls_that_made(["a", "b"], calls[:2]) == (first,)
    assert calls_that_made(["d"], calls) == ()


RIGHT = {"format": "tinygrad_mlp call 1", **vars(Call("2026-11-30T09:02:00.000Z", 9.0, 2, ("a",)))}
WRONG = ({"seconds": math.inf}, {"seconds": -1}, {"processes": 0}, {"processes": [2]}, {"runs": "a"}, {"runs": [1]})


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", *(json.dumps({**RIGHT, **one}) for one in ({"format": "another"}, *WRONG))]
)
def test_a_file_with_something_else_is_named(content: str, tmp_path: Path) -> None:
    keep(tmp_path, at(1, 9.0, "a"))
    path = tmp_path / "2026-11-30T09-02-00.000Z.json"
    path.write_text(content)
    with pytest.raises(CheckpointError, match=rf"{path.name}.*Delete it"):
        read_calls(tmp_path)


def time_of(*calls: Call) -> str:
    study = Study("small", "Small", (Arm("a", SMALL),), seeds=4)
    return dict(make_document(Results(study, {"a": RUNS}, calls=calls), "").facts).get("Training on the clock", "")


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ((), ""),
        ((at(1, 1472.4, *KEYS),), "24 min 32 s, in 1 call, by 2 processes"),
        ((at(1, 7000.0, *KEYS[:3]), at(2, 4520.0, KEYS[3])), "3 h 12 min, in 2 calls, by 2 processes"),
        ((at(1, 5.0, *KEYS[:3], processes=1),), "5 s, in 1 call, by 1 process, which made 3 of these runs"),
        (
            (at(1, 60.0, *KEYS[:3]), at(2, 30.0, KEYS[3], "other", processes=1)),
            "1 min 30 s, in 2 calls, by 1 or 2 processes; they made 1 other run, too",
        ),
        ((at(1, 60.0, *KEYS, processes=None),), "1 min 0 s, in 1 call"),
        ((at(1, 60.0, *KEYS[:2], processes=None), at(2, 9.0, *KEYS[2:])), "1 min 9 s, in 2 calls"),
    ],
)
def test_what_a_report_says(calls: tuple[Call, ...], words: str) -> None:
    assert time_of(*calls) == words
