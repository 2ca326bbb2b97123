"""The growth of resident memory: measured where Linux tells it, and what is made of runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

from benchmarks import machine, memory, step_results
from benchmarks.machine import ResidentMemory
from benchmarks.memory import Memory
from benchmarks.settings import Settings
from benchmarks.step_results import Entry

MIB = 2**20

pytestmark = pytest.mark.skipif(not (machine._SELF / "clear_refs").exists(), reason="needs Linux's /proc")


def _touch(mebibytes: int) -> np.ndarray:
    return np.ones(mebibytes * MIB, np.uint8)


def test_growth_is_the_peak_since_then_above_what_was_there() -> None:
    large = _touch(300)  # an earlier, larger peak does not count
    del large
    kept = _touch(50)
    before = ResidentMemory.now()
    passing = _touch(100)
    del passing
    after = _touch(20)
    assert 98 * MIB < before.growth() < 110 * MIB
    assert before.resident > 50 * MIB
    assert kept.size + after.size == 70 * MIB


def test_growth_of_nothing_is_nothing() -> None:
    assert ResidentMemory.now().growth() < MIB


def test_table_and_json_compare_medians() -> None:
    grown = {"ours": [90 * MIB, 100 * MIB, 500 * MIB], "torch": [200 * MIB] * 3, "torch-best": [80 * MIB] * 3}
    before = {name: [150 * MIB] * 3 for name in grown}
    result = Memory(2, {"W5": grown}, {"W5": before}, {"torch": "torch"})
    ratios = json.loads(json.dumps(result.as_json()))["ratios"]["W5"]
    assert ratios == {"torch": 0.5, "torch-best": 1.25}
    console = Console(width=150)
    with console.capture() as capture:
        console.print(result.table())
    for words in ("2 threads", "100.0", "90.0–500.0", "0.50", "1.25", "no torch"):
        assert words in capture.get()


def test_processes_tell_their_growth_and_a_missing_peer_is_named(few_images, monkeypatch) -> None:
    monkeypatch.setitem(step_results.CONTENDERS, "torch", Entry("PyTorch default", "tests.benchmarks.toy_missing"))
    monkeypatch.setattr(memory, "MEASURED", ("ours", "torch", "numpy"))
    result = memory.measure(Settings(threads=(1,)), ("W1",), runs=1)
    assert result.missing == {"torch": "no_such_package"}
    assert set(result.growth["W1"]) == {"ours", "numpy"}
    assert all(0 < growth < 500 * MIB for growths in result.growth["W1"].values() for growth in growths)
    assert all(len(growths) == 1 for growths in result.growth["W1"].values())
