"""Rounds that take turns, blocks that were disturbed, and CPU time that others took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from benchmarks import machine
from benchmarks.machine import CpuClock
from benchmarks.rounds import Block, measure, steps_per_block, timed, timed_command


class Timer:
    """Returns blocks that took, one after the other, so many CPUs of others; notes its calls."""

    def __init__(self, name: str, log: list[str], foreign: Iterable[float | None] = ()) -> None:
        self.name, self.log, self.foreign = name, log, iter(foreign)

    def __call__(self) -> Block:
        self.log.append(self.name)
        return Block(1.0 + len(self.log), 10, next(self.foreign, 0.0), 0.0)


def timers(names: str, log: list[str]) -> dict[str, Timer]:
    return {name: Timer(name, log) for name in names}


def test_every_round_runs_each_contender_once_in_an_order_of_its_own() -> None:
    log: list[str] = []
    result = measure(timers("abcd", log), 20, seed=3)
    orders = [log[start : start + 4] for start in range(0, 80, 4)]
    assert result.order == orders
    assert all(sorted(order) == list("abcd") for order in orders)
    assert {order[0] for order in orders} == set("abcd")  # none has always the same place
    again = measure(timers("abcd", []), 20, seed=3)
    assert again.order == orders
    assert measure(timers("abcd", []), 20, seed=4).order != orders


def test_blocks_are_kept_round_by_round() -> None:
    log: list[str] = []
    result = measure(timers("ab", log), 5)
    seconds = {name: [(2.0 + place) / 10 for place, who in enumerate(log) if who == name] for name in "ab"}
    assert result.seconds("a") == pytest.approx(seconds["a"])
    assert result.ratios("a", "b") == pytest.approx([a / b for a, b in zip(seconds["a"], seconds["b"], strict=True)])
    assert result.median("b") == sorted(seconds["b"])[2] == pytest.approx(result.as_json()["seconds"]["b"][2], rel=0.9)
    assert result.total == 10


def test_a_disturbed_block_is_timed_again_at_once() -> None:
    log: list[str] = []
    loud = Timer("loud", log, [0.0, 0.5, 0.16, 0.1])
    result = measure({"loud": loud}, 3, foreign_limit=0.15)
    assert len(log) == 5
    assert (result.repeated, result.kept_disturbed) == (2, 0)
    assert [block.foreign for block in result.blocks["loud"]] == [0.0, 0.1, 0.0]


def test_steal_disturbs_as_other_processes_do() -> None:
    blocks = iter([Block(1.0, 1, 0.1, 0.1), Block(2.0, 1, 0.1, 0.0)])
    result = measure({"a": lambda: next(blocks)}, 1, foreign_limit=0.15)
    assert result.seconds("a") == [2.0]
    assert result.repeated == 1


def test_after_the_limit_disturbed_blocks_stand_and_are_counted() -> None:
    log: list[str] = []
    result = measure({"a": Timer("a", log, [9.0] * 100)}, 4, repeats=1.5)
    assert (result.repeated, result.kept_disturbed) == (6, 4)
    assert len(log) == 10


def test_where_the_system_does_not_tell_nothing_is_repeated() -> None:
    result = measure({"a": lambda: Block(1.0, 1)}, 3)
    assert (result.repeated, result.kept_disturbed, result.foreign_known) == (0, 0, False)
    assert measure({"a": Timer("a", [])}, 1).foreign_known


def test_spread_is_half_the_distance_of_the_quartiles() -> None:
    seconds = iter([1.0, 2.0, 3.0, 4.0, 5.0])
    result = measure({"a": lambda: Block(next(seconds), 1)}, 5)
    assert result.spread("a") == pytest.approx(1 / 3)


def test_progress_hears_of_each_round() -> None:
    heard: list[int] = []
    measure(timers("ab", []), 3, progress=heard.append)
    assert heard == [1, 2, 3]


@pytest.mark.parametrize(("rounds", "names"), [(0, "a"), (3, "")])
def test_nothing_to_measure(rounds: int, names: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        measure(timers(names, []), rounds)


def test_a_timed_block_warms_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([CpuClock(10.0, 5.0, 100.0, 7.0), CpuClock(12.0, 6.5, 102.5, 7.5)])
    monkeypatch.setattr("benchmarks.rounds.CpuClock.now", lambda: next(clock))
    monkeypatch.setattr("benchmarks.rounds.time.perf_counter", iter([1.0, 3.0]).__next__)
    counts: list[int] = []
    block = timed_command(counts.append)(count=200)
    assert counts == [10, 200]
    # foreign (2.5 - 1.5) / 2, steal 0.5 / 2
    assert block == {"seconds": 2.0, "units": 200, "foreign": 0.5, "steal": 0.25, "mean": 0.01}


def test_a_block_in_slices_is_their_median(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0.0, 1.0, 2.0, 12.0, 13.5, 14.5]  # slices of 1, 1, 10, 1.5 and 1 s
    monkeypatch.setattr("benchmarks.rounds.time.perf_counter", iter(times).__next__)
    monkeypatch.setattr("benchmarks.rounds.CpuClock.now", lambda: CpuClock(0.0, 0.0, None, None))
    counts: list[int] = []
    block = timed_command(counts.append)(count=40, slices=5)
    assert counts == [10, *[40] * 5]
    assert block == {"seconds": 1.0, "units": 40, "foreign": None, "steal": None, "mean": 14.5 / 200}


def test_others_cannot_take_less_than_nothing() -> None:
    """The kernel counts in ticks, and may have counted too few."""
    start = CpuClock(0.0, 0.0, 0.0, 0.0)
    assert CpuClock(1.0, 1.0, 0.98, 0.0).foreign_since(start) == (0.0, 0.0)


def test_without_proc_others_are_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(machine, "_STAT", tmp_path / "missing")
    assert CpuClock.now().foreign_since(CpuClock.now()) == (None, None)
    assert "unknown" in machine.describe()["foreign_cpu_time"]


def test_fields_of_proc_stat(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    stat = tmp_path / "stat"
    # user nice system idle iowait irq softirq steal guest guest_nice
    stat.write_text("cpu  100 20 30 9000 400 5 6 70 80 90\ncpu0 1 2 3\n")
    monkeypatch.setattr(machine, "_STAT", stat)
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 100)
    now = CpuClock.now()
    assert (now.busy, now.steal) == pytest.approx((1.61, 0.70))


class Steady:
    """A worker each unit of whose work takes as long."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.spent = seconds, 0.0

    def call(self, command: str, count: int, slices: int) -> dict[str, Any]:
        assert (command, slices) == ("timed", 1)
        self.spent += count * self.seconds
        return {"seconds": count * self.seconds, "units": count, "foreign": 0.0, "steal": 0.0}


@pytest.mark.parametrize("seconds", [1e-6, 1e-4, 0.02, 3.0])
def test_steps_per_block_fill_a_quarter_of_a_second(seconds: float) -> None:
    worker = Steady(seconds)
    assert steps_per_block(worker) == max(1, round(0.25 / seconds))
    assert worker.spent >= 0.25  # it was warm
    assert timed(worker, 3) == Block(3 * seconds, 3, 0.0, 0.0)
