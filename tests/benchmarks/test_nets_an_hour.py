"""Nets an hour: the arithmetic, that processes work side by side, and a run of fake contenders."""

import json
from typing import Any

import pytest
from rich.console import Console

from benchmarks import nets_an_hour
from benchmarks.rounds import Block, Rounds
from benchmarks.settings import Settings
from benchmarks.step_results import CONTENDERS, Entry


def _text(table: Any) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def _rounds(**seconds: list[float]) -> Rounds:
    return Rounds({name: [Block(each, 1) for each in values] for name, values in seconds.items()}, foreign_limit=0.15)


def test_nets_an_hour_of_a_step() -> None:
    # 750 steps of 64 images are an epoch: 110 epochs of 750 ms take 82.5 s.
    assert nets_an_hour.nets_an_hour(1, 1e-3) == pytest.approx(3600 / 82.5)
    assert nets_an_hour.nets_an_hour(4, 1e-3) == pytest.approx(4 * 3600 / 82.5)


def test_processes_side_by_side_take_as_long_as_the_slowest() -> None:
    block = nets_an_hour.combine([Block(2.0, 10, 1.0, 0.0), Block(3.0, 10, 1.0, 0.2)])
    assert (block.seconds, block.units, block.foreign, block.steal) == (3.0, 10, 0.0, 0.2)


@pytest.mark.parametrize("foreign", [0.0, 0.3, 1.0])
def test_siblings_are_no_foreigners(foreign: float) -> None:
    # Three processes share three CPUs with others that take `foreign` of them.
    shares = [1 - foreign / 3] * 3
    block = nets_an_hour.combine([Block(1.0, 1, 3 - share, 0.0) for share in shares])
    assert block.foreign == pytest.approx(foreign)
    assert nets_an_hour.combine([Block(1.0, 1, None, None), Block(1.0, 1, 1.0, 0.0)]).foreign is None


class FakeWorker:
    """Notes when it is asked, and when its reply is read."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def send(self, command: str, **arguments: Any) -> None:
        self.log.append(f"{self.name} {command} {arguments['count']}")

    def receive(self) -> dict[str, Any]:
        self.log.append(f"{self.name} done")
        return {"seconds": 1.0, "units": 5, "foreign": 1.0, "steal": 0.0}


def test_all_processes_start_before_any_is_waited_for() -> None:
    log: list[str] = []
    nets_an_hour._together([FakeWorker("a", log), FakeWorker("b", log)], 5)  # pyright: ignore[reportArgumentType]
    assert log == ["a timed 5", "b timed 5", "a done", "b done"]


def test_table_and_json() -> None:
    rounds = _rounds(**{"ours": [1e-3, 1e-3, 1e-3], "torch": [4e-3, 4e-3, 4e-3]})
    result = nets_an_hour.NetsAnHour(rounds, processes=2, missing={"torch-best": "torch"})
    assert result.nets("ours") == pytest.approx(2 * 3600 / 82.5)
    text = _text(result.table())
    assert "4.00 [4.00, 4.00]" in text and "lowest to highest of 3 rounds" in text
    assert "no torch" in text
    numbers = json.loads(json.dumps(result.as_json()))
    assert numbers["speedups"]["torch"]["ratio"] == pytest.approx(4.0)
    assert numbers["nets_an_hour"]["torch"] == pytest.approx(2 * 3600 / 82.5 / 4)


@pytest.mark.usefixtures("few_images")
def test_run_with_missing_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours twice over in real processes, beside a contender whose package is not there."""
    monkeypatch.setitem(CONTENDERS, "torch", CONTENDERS["ours"])
    monkeypatch.setitem(CONTENDERS, "torch-best", Entry("absent", "tests.benchmarks.toy_missing"))
    result = nets_an_hour.measure(Settings(quick=True))
    assert result.missing == {"torch-best": "no_such_package"}
    assert set(result.rounds.blocks) == {"ours", "torch"}
    assert all(block.units == 20 for blocks in result.rounds.blocks.values() for block in blocks)
    assert result.nets("ours") > 0
