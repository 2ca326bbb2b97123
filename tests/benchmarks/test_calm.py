"""Waiting until the machine is calm, with a made-up machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from benchmarks import calm
from benchmarks.all_cpus import AllCpus
from benchmarks.calm import Calm
from benchmarks.rounds import Block, measure
from benchmarks.statistics import median


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes only while someone sleeps."""
    now = [0.0]
    monkeypatch.setattr(calm.time, "perf_counter", lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(calm.time, "sleep", sleep)
    return now


def machine(*speeds: float):
    """Probes that take so long, one after the other, and the last for ever."""
    times = [1.1] * 19 + [1.0, *speeds]
    return lambda: times.pop(0) if len(times) > 1 else times[0]


def test_a_calm_machine_is_not_waited_for(clock: list[float]) -> None:
    waiting = Calm(1.0, machine(1.2, 1.39))
    assert waiting.wait()
    assert waiting.wait()
    assert waiting.waited == 0


def test_it_waits_until_the_cores_are_fast_again(clock: list[float]) -> None:
    waiting = Calm(1.0, machine(1.8, 1.9, 1.5, 1.1))
    assert waiting.wait()
    assert waiting.waited == pytest.approx(0.015)


def test_patience_ends_and_is_for_all_waits_together(clock: list[float]) -> None:
    waiting = Calm(1.0, machine(2.0))
    assert not waiting.wait()
    assert waiting.waited == pytest.approx(1.0)
    assert not waiting.wait()
    assert waiting.waited == pytest.approx(1.0)


def test_without_patience_nothing_is_probed() -> None:
    def probe() -> float:
        raise AssertionError

    assert not Calm(0.0, probe).wait()


def test_rounds_wait_before_each_block_and_count_those_that_began_all_the_same(clock: list[float]) -> None:
    waiting = Calm(0.01, machine(1.0, 2.0, 1.0, 2.0))
    result = measure({"a": lambda: Block(1.0, 1)}, 5, calm=waiting)
    assert result.waited == pytest.approx(0.01)
    assert result.began_slow == 3


def test_affinity_is_as_before() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system has no affinity")
    before = os.sched_getaffinity(0)
    probe = AllCpus()
    assert probe() > 0
    assert os.sched_getaffinity(0) == before


def test_each_cpu_is_probed_by_a_thread_of_its_own() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system has no affinity")
    probe = AllCpus()
    seen: dict[int, tuple[set[int], float]] = {}
    loop = probe._loop

    def noted(is_together: bool) -> float:
        assert is_together
        seconds = loop(is_together)
        seen[threading.get_ident()] = os.sched_getaffinity(0), seconds
        return seconds

    probe._loop = noted
    slowest = probe()
    assert sorted(cpu for cpus, _ in seen.values() for cpu in cpus) == sorted(os.sched_getaffinity(0))
    assert slowest == max(seconds for _, seconds in seen.values())


def test_a_machine_that_is_slow_from_the_first_is_known_by_one_cpu_alone(clock: list[float]) -> None:
    waiting = Calm(1.0, lambda: 1.9 if clock[0] < 0.5 else 1.1, best=lambda: 1.0)
    assert waiting.wait()
    assert waiting.waited == pytest.approx(0.5, abs=0.01)


def test_one_cpu_alone_is_no_slower_than_all_together() -> None:
    probe = AllCpus()
    probe()  # compiles
    pairs = [(probe.alone(), probe()) for _ in range(50)]  # in turns, as a CPU's speed changes from second to second
    alone, together = (median(times) for times in zip(*pairs, strict=True))
    assert 0 < alone <= 1.2 * together


def test_workers_of_peers_need_no_numba() -> None:
    program = "import sys; sys.modules['numba'] = None; import benchmarks.worker, benchmarks.rounds; print('there')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("there\n", "")
