"""The kernel table: the calls that it lists, that all contenders compute the same, and what it makes of timings."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks import kernel_table, peak
from benchmarks.kernel_calls import by_numpy, by_ours, operands, sweep
from benchmarks.kernel_calls.case import Case
from benchmarks.kernel_calls.cases import CASES
from benchmarks.kernel_table import KernelTable, Sweep, Timing
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parents[2]
OURS = kernel_table.OURS
SMALL = [name for name, case in CASES.items() if case.group != "large products" and not kernel_table.is_of_images(case)]


def _limits() -> peak.Peaks:
    """1000 GFLOP/s on each thread; a triad of 100, 50 and 10 GB/s in two caches and memory."""
    rates = [peak.Rate("multiply-add", "float32", n, 1000.0 * n, 900.0, "GFLOP/s") for n in (1, 2)]
    speeds = {"L1": 100.0, "L2": 50.0, "memory": 10.0}
    rates += [peak.Rate("triad", place, n, speed, speed, "GB/s") for n in (1, 2) for place, speed in speeds.items()]
    return peak.Peaks(tuple(rates), 512, {"L1": 32 << 10, "L2": 1 << 20})


def _text(table: KernelTable) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table.table())
    return capture.get()


def test_products_of_w1() -> None:
    found = {name for name, case in CASES.items() if "W1" in case.nets.split() and case.kind == "matmul"}
    assert found == {
        *("NN 64×784×50", "NN 64×50×50", "NN 64×50×10"),
        *("TN 784×64×50", "TN 50×64×50", "TN 50×64×10"),
        *("NT 64×50×50", "NT 64×10×50"),  # none for the images
    }


def test_every_net_has_its_products() -> None:
    for net, workload in WORKLOADS.items():
        layers = len(workload.linear_shapes)
        cases = [case for case in CASES.values() if net in case.nets.split() and case.kind == "matmul"]
        assert len(cases) == 3 * layers - (not workload.is_convolutional)
    sizes = {
        (case.arguments["m"], case.arguments["k"], case.arguments["n"])
        for case in CASES.values()
        if case.kind == "matmul"
    }
    assert {(512, 784, 128), (1024, 1024, 1024)} <= sizes


def test_work_of_a_product() -> None:
    case = CASES["TN 784×64×50"]
    assert case.work == 2 * 784 * 64 * 50
    assert case.reach == 4 * (784 * 64 + 64 * 50 + 784 * 50)


@pytest.mark.parametrize(("form", "a_order", "b_order"), [("NN", "C", "C"), ("TN", "F", "C"), ("NT", "C", "F")])
def test_operands_lie_as_in_a_linear_layer(form: str, a_order: str, b_order: str) -> None:
    a, b = operands.matrices(form, 5, 7, 3)
    assert (a.shape, b.shape) == ((5, 7), (7, 3))
    assert a.flags[f"{a_order}_CONTIGUOUS"]
    assert b.flags[f"{b_order}_CONTIGUOUS"]


def _entrant(name: str, results: dict[str, Any]) -> Any:
    class Worker:
        pass

    worker: Any = Worker()
    worker.name = name
    return kernel_table._Entrant(name, 1, worker, results)


def test_we_compute_what_numpy_computes() -> None:
    ours, theirs = (module.COMMANDS["prepare"](SMALL) for module in (by_ours, by_numpy))
    assert set(ours) == set(SMALL)
    assert set(SMALL) - set(theirs) == {name for name in SMALL if name.startswith(("gelu", "erf"))}
    kernel_table.check_alike([_entrant("ours", ours), _entrant("NumPy", theirs)])
    blank = [name for name in SMALL if not name.startswith("dropout") and not ours[name]]
    assert not blank  # every result but random ones is compared


@pytest.mark.parametrize("place", [0, 1])
def test_other_results_are_refused(place: int) -> None:
    right = sweep.fingerprint([np.linspace(-1, 2, 100)])
    wrong = [list(right[0])]
    wrong[0][place] += 1e-4 * right[0][-1]
    kernel_table.check_alike([_entrant("a", {"NN": right}), _entrant("b", {"NN": right}), _entrant("c", {})])
    with pytest.raises(kernel_table.DifferentResultsError, match=r"NN: .* by c, .* by a"):
        kernel_table.check_alike([_entrant("a", {"NN": right}), _entrant("b", {}), _entrant("c", {"NN": wrong})])


def test_fingerprints_tell_apart_what_a_sum_does_not() -> None:
    x = np.arange(10.0)
    assert sweep.fingerprint([x]) != sweep.fingerprint([x[::-1]])
    assert sweep.fingerprint([x])[0][0] == sweep.fingerprint([x[::-1]])[0][0] == 45
    assert sweep.fingerprint([x - 5])[0][2] == 25


def test_a_sweep_makes_so_many_calls() -> None:
    made: list[None] = []
    commands = sweep.commands(
        {"dropout": lambda shape: sweep.Call(lambda: made.append(None), list), "loss": lambda rows: None}
    )
    some = ["dropout 64×512", "loss and gradient 64×10"]
    assert commands["prepare"](some) == {"dropout 64×512": []}
    made.clear()
    block = Sweep(**commands["sweep"]({"dropout 64×512": 50}))
    assert len(made) == 50 + 5  # and a tenth to warm up
    assert 0 < block.cases["dropout 64×512"] * 50 <= block.seconds
    assert commands["count"](["dropout 64×512"], 1e-3)["dropout 64×512"] >= 1


def _timing(case: str, contender: str, threads: int, *seconds: float) -> Timing:
    return Timing(CASES[case], contender, threads, seconds)


def test_rates_ratios_and_limits() -> None:
    name = "NN 512×784×128"
    work = CASES[name].work
    timings = (
        _timing(name, OURS, 1, work / 4e11, work / 5e11, work / 8e11),
        _timing(name, "PyTorch", 1, work / 2e11, work / 2e11, work / 2e11),
    )
    table = KernelTable(timings, _limits(), {"NumPy": "numpy"})
    assert timings[0].rate == pytest.approx(500)
    assert table.ratios(name, 1) == {"PyTorch": pytest.approx([2, 2.5, 4])}
    row = next(line for line in _text(table).splitlines() if name in line)
    assert re.findall(r"[\d.–]+", row.split("W4")[1]) == ["500", "200", "–", "2.50", "50"]
    assert "NumPy (no numpy)" in _text(table)
    numbers = json.loads(json.dumps(table.as_json()))
    assert numbers["speedups"][0]["ratio"] == pytest.approx(2.5)
    assert numbers["timings"][0]["best_rate"] == pytest.approx(800)


def test_the_limit_is_that_of_the_cache_that_holds_the_arrays() -> None:
    table = KernelTable((), _limits(), {})
    assert table.limit(CASES["relu 64×50"], 1) == 100  # 26 KB
    assert table.limit(CASES["relu 64×512"], 1) == 50  # 262 KB
    assert table.limit(CASES["relu 1024×1024"], 2) == 10
    assert table.limit(CASES["NN 64×50×50"], 2) == 2000


@pytest.mark.parametrize(
    "module",
    [
        *("by_numpy", "by_torch", "by_torch_channels_last", "images_by_torch"),
        *("case", "cases", "image_cases", "operands", "sweep"),
    ],
)
def test_peers_do_not_import_us(module: str) -> None:
    source = (ROOT / "benchmarks" / "kernel_calls" / f"{module}.py").read_text(encoding="utf-8")
    imported = re.findall(r"^\s*(?:from|import) ([\w.]+)", source, flags=re.MULTILINE)
    assert not any(name.startswith(("tinygrad_mlp", "numba")) for name in imported)
    known = {"benchmarks.kernel_calls", "benchmarks.machine", "benchmarks.workloads"}
    assert all(name.startswith(tuple(known)) for name in imported if name.startswith("benchmarks"))


def test_run_with_a_missing_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """In real processes: NumPy and we, and a peer whose package is not there."""
    for peer in ("PyTorch", "channels_last"):
        monkeypatch.setitem(kernel_table.CONTENDERS, peer, ("tests.benchmarks.toy_missing", True))
    chosen = {"NN 64×50×10", "relu 64×50", "gelu 64×50", "sum 64×50"}

    def select(case: Case) -> bool:
        return case.name in chosen

    table = kernel_table.measure(Settings(quick=True, threads=(1,)), _limits(), select)
    assert table.missing == {"PyTorch": "no_such_package", "channels_last": "no_such_package"}
    found = {(timing.case.name, timing.contender) for timing in table.timings}
    assert found == {(name, who) for name in chosen for who in (OURS, "NumPy")} - {("gelu 64×50", "NumPy")}
    assert all(timing.rate > 0 and len(timing.seconds) == 2 for timing in table.timings)
