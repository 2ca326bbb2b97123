"""What a study says of the time that is left."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.experiments.made import SMALL
from tinygrad_mlp.experiments.live import Live, make_live
from tinygrad_mlp.experiments.runs import RunStore
from tinygrad_mlp.experiments.workers import Job, Outcome


def run_of(seconds: float, error: str | None = None) -> Outcome:
    return Outcome("key", seconds=seconds, error=error)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_time_left_goes_by_the_runs_of_this_call(clock: list[float]) -> None:
    """Forty short runs were there already, which say nothing of the pace of two workers at long ones."""
    names = [*[("short", seed) for seed in range(40)], *[("long", seed) for seed in range(6)]]
    live = Live(names, {name: run_of(10) for name in names[:40]})
    assert live.time_left() == ""
    clock[0] += 700
    for seed in range(2):
        live.finished("long", seed, run_of(700))
    assert live.time_left() == "about 24 min left"  # 4 · 700 s on two workers
    clock[0] += 1400
    for seed in range(2, 6):
        live.finished("long", seed, run_of(700))
    assert live.time_left() == ""


def test_arms_without_a_run_are_taken_to_last_as_long_as_others(clock: list[float]) -> None:
    live = Live([("first", 0), ("first", 1), ("second", 0), ("second", 1)], {})
    clock[0] += 3600
    live.finished("first", 0, run_of(0, "it failed"))
    assert live.time_left() == ""
    live.finished("first", 1, run_of(3600))
    assert live.time_left() == "about 1 h 0 min left"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_worker_that_died_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    jobs = {("arm", 0): Job("key", SMALL, 0, str(tmp_path))}
    with make_live(jobs, RunStore(tmp_path), wanted=True) as live:
        live.finished("arm", 0, Outcome("key", 0.8, 2.0, died="killed by SIGKILL"))
    words = " ".join(capsys.readouterr().out.split())
    assert (
        "arm, seed 0: validation 80.00 %, 2.0 s; a worker died of it at first (killed by SIGKILL), see key.log" in words
    )
