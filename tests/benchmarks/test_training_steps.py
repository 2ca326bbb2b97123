"""The table of training steps: who computes something else is refused, and what is made of the timings."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import tinygrad_mlp as tg
from benchmarks import step_results
from benchmarks.contenders.numpy_by_hand import NumpyStep
from benchmarks.contenders.ours_eager import EagerStep
from benchmarks.reference import Reference
from benchmarks.rounds import Block, Rounds
from benchmarks.settings import Settings
from benchmarks.step_results import CONTENDERS, Entry, Row, Run
from benchmarks.step_tables import TrainingSteps
from benchmarks.training_steps import Images, loss_error, measure
from benchmarks.workloads import LOSS_TOLERANCE, WORKLOADS, Layer, Workload

QUICK = Settings(
    quick=True, threads=(1,), contenders=("ours", "numpy"), workloads=("W1",), rounds=2, block_seconds=0.01
)


# All in one process: the reference's losses are computed once.
pytestmark = pytest.mark.xdist_group("training steps")


def losses(workload: Workload, images: Images, contender: Any = None) -> list[float]:
    """A contender's losses in the check; weights and batches are those of the workload of this name.

    Of convolutions on a few images of each batch, since the reference takes seconds for all.
    """
    handout = images.handout(WORKLOADS[workload.name], 0)
    step = contender(workload, handout, 1)
    step.build()
    return [step.step_on(indices[: _few(workload)]) for indices in handout.batches]


def _few(workload: Workload) -> int:
    return 16 if workload.is_convolutional else workload.batch


@pytest.fixture(scope="module")
def reference(drawn_images: Images) -> Callable[[str], list[float]]:
    """The reference's losses in the check of the workload of this name."""

    @functools.cache
    def losses_of(name: str) -> list[float]:
        workload, handout = WORKLOADS[name].for_check(), drawn_images.handout(WORKLOADS[name], 0)
        step = Reference(workload, handout)
        return [step.step_on(indices[: _few(workload)]) for indices in handout.batches]

    return losses_of


def text(steps: TrainingSteps) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(steps.table())
    return capture.get()


def test_loss_error() -> None:
    assert loss_error([1.0, 2.0], [1.0, 2.0]) == 0
    assert loss_error([1.0, 2.02], [1.0, 2.0]) == pytest.approx(0.01)
    assert loss_error([1.0, math.nan], [1.0, 2.0]) == math.inf
    assert loss_error([1.0], [1.0, 2.0]) == math.inf


@pytest.mark.parametrize("name", ["W1", "W2", "W3", "W4", "W7"])
def test_multiply_adds_are_those_that_are_launched(name: str, few_images: Images) -> None:
    workload = WORKLOADS[name]
    step = EagerStep(workload, few_images.handout(workload, 0), 1)
    step.build()
    with tg.profile() as times:
        step.step_on(np.arange(workload.batch) % len(few_images.train))
    assert sum(kernel.multiply_adds for kernel in times.result.kernels) == workload.multiply_adds


def test_multiply_adds_of_convolutions_by_hand() -> None:
    pooled = 28 * 28 * 9 * 32 * 2 + (14 * 14 * 9 * 32 * 64 + 3136 * 128 + 1280) * 3  # the first convolution has no dx
    assert WORKLOADS["W6"].multiply_adds == 128 * pooled
    blocks = 14 * 14 * 9 * 32 * 32 * 2 + 7 * 7 * (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64)
    assert WORKLOADS["W8"].multiply_adds == 128 * (28 * 28 * 9 * 32 * 2 + (blocks + 640) * 3)


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_float32_passes_with_room(name: str, few_images: Images, reference: Callable[[str], list[float]]) -> None:
    workload, expected = WORKLOADS[name].for_check(), reference(name)
    assert expected[-1] < 0.97 * expected[0]  # it learns
    for contender, entry in ((NumpyStep, CONTENDERS["numpy"]), (EagerStep, CONTENDERS["ours"])):
        if entry.does(workload):
            assert loss_error(losses(workload, few_images, contender), expected) < LOSS_TOLERANCE / 20


def _without(workload: Workload, layer: Layer) -> tuple[Layer, ...]:
    """The layers but for the first one that is this."""
    place = workload.layers.index(layer)
    return (*workload.layers[:place], *workload.layers[place + 1 :])


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("W1", {"weight_decay": 0.0}),
    ("W1", {"momentum": 0.89}),
    ("W1", {"lr": 0.0101}),
    ("W1", {"optimizer": "adam"}),
    ("W2", {"lr": 1.01e-3}),
    ("W2", {"eps": 1.1e-2}),
    ("W3", {"eps": 1.1e-2}),
    ("W4", {"lr": 0.0101}),
    ("W4", {"momentum": 0.1}),
    ("W7", {"weight_decay": 0.0}),
    ("W7", {"layers": (*WORKLOADS["W7"].layers[:1], ("tanh",), *WORKLOADS["W7"].layers[2:])}),
    ("W5", {"lr": 1.01e-3}),
    ("W6", {"lr": 1.01e-3}),
    ("W6", {"layers": _without(WORKLOADS["W6"], ("relu",))}),
    ("W8", {"lr": 0.0505}),
    ("W8", {"momentum": 0.89}),
    ("W8", {"weight_decay": 0.0}),
]


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_whoever_computes_something_else_is_noticed(
    name: str, fault: dict[str, Any], few_images: Images, reference: Callable[[str], list[float]]
) -> None:
    workload = WORKLOADS[name].for_check()
    contender = EagerStep if workload.is_convolutional else NumpyStep
    error = loss_error(losses(replace(workload, **fault), few_images, contender), reference(name))
    assert error > 2 * LOSS_TOLERANCE


def test_other_standardisation_is_noticed(few_images: Images, reference: Callable[[str], list[float]]) -> None:
    workload = WORKLOADS["W1"].for_check()
    handout = few_images.handout(workload, 0)
    off = Reference(workload, replace(handout, mean=handout.mean + 1))
    assert loss_error([off.step_on(i) for i in handout.batches], reference("W1")) > 2 * LOSS_TOLERANCE


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch):
    """Adds a contender with planted faults, and returns how to plant them."""
    monkeypatch.setitem(step_results.CONTENDERS, "toy", Entry("a toy", "tests.benchmarks.toy_contender"))
    return lambda fault: monkeypatch.setenv("PLANTED", json.dumps(fault))


def test_a_wrong_contender_is_refused_loudly_and_not_timed(few_images: Images, toy) -> None:
    toy({"momentum": 0.8})
    steps = measure(replace(QUICK, contenders=("ours", "numpy", "toy")))
    row = steps.rows[0]
    assert row.refused == [Run("toy", 1)]
    assert {run.contender for run in row.runs} == {"ours", "numpy"}
    assert row.fastest_peer() == Run("numpy", 1)
    (trouble,) = steps.troubles
    assert trouble.startswith("W1: a toy, 1 thread computes something else: its losses differ from the reference's by")
    assert "REFUSED" in text(steps)


def test_a_right_contender_is_not_refused(few_images: Images, toy) -> None:
    toy({})
    steps = measure(replace(QUICK, contenders=("ours", "toy")))
    assert steps.troubles == []
    assert steps.rows[0].fastest_peer() == Run("toy", 1)


def test_a_contender_that_dies_is_reported_and_the_others_go_on(few_images: Images, toy) -> None:
    toy({"die": 9})
    steps = measure(replace(QUICK, contenders=("ours", "toy")))
    assert "W1: a toy, 1 thread failed: toy@1: the process ended with code 9" in steps.troubles[0]
    assert "FAILED" in text(steps)
    assert steps.rows[0].of("ours") == [Run("ours", 1)]


def test_a_contender_that_is_not_installed_is_named(few_images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(step_results.CONTENDERS, "torch", Entry("PyTorch default", "tests.benchmarks.toy_missing"))
    steps = measure(replace(QUICK, contenders=("ours", "torch")))
    assert steps.missing == {"torch": "no_such_package"}
    assert steps.troubles == []  # it is not there, which is no fault
    assert "Missing: PyTorch default (no no_such_package)" in text(steps)
    assert steps.rows[0].fastest_peer() is None


def row_of(seconds: dict[str, list[float]], name: str = "W1") -> Row:
    """A row as if these had been timed, by names as ours@2."""
    runs = [Run(key.split("@")[0], int(key.split("@")[1])) for key in seconds]
    rounds = Rounds({key: [Block(value, 1, 0.0, 0.0) for value in values] for key, values in seconds.items()}, 0.15)
    row = Row(WORKLOADS[name], rounds=rounds, runs=runs)
    row.loss_errors = dict.fromkeys(runs, 1e-7)
    row.holds = {run.contender: "float32" for run in runs}
    row.versions = {run.contender: {"python": "3.11"} for run in runs}
    return row


SECONDS = {
    "ours@1": [1.0, 1.1, 1.2],
    "ours@2": [1.1, 1.1, 1.1],
    "torch@1": [5.0, 5.0, 5.0],
    "torch@2": [5.5, 5.5, 6.6],
    "jax@1": [3.0, 3.0, 3.0],
    "jax@2": [2.2, 3.3, 2.2],
}


def test_ratios_pair_rounds_and_peers_get_the_threads_that_suit_them() -> None:
    row = row_of(SECONDS)
    assert row.fastest_peer() == Run("jax", 2)
    assert row.against_fastest().value == pytest.approx(2.0)  # the median of 2, 3, 2
    assert (row.against_fastest().low, row.against_fastest().high) == pytest.approx((2.0, 3.0))
    assert row.against_default().value == pytest.approx(5.0)  # its default is all threads
    assert row.thread_ratio().value == pytest.approx(1.0)  # the median of 1.1, 1, 0.917


def test_table_and_json_say_the_same() -> None:
    settings = Settings(threads=(1, 2), workloads=("W1", "W4"))
    steps = TrainingSteps(
        [row_of(SECONDS), row_of(SECONDS, "W4")], settings, "some images", "somewhere", {1: 100.0, 2: 200.0}
    )
    saved = json.loads(json.dumps(steps.as_json()))
    row = saved["rows"]["W1"]
    assert row["microseconds"]["ours"] == pytest.approx({"1": 1.1e6, "2": 1.1e6})
    assert row["fastest_peer"] == {"contender": "jax", "threads": 2}
    assert row["times_as_fast_as_fastest_peer"]["value"] == pytest.approx(2.0)
    assert saved["geometric_mean_over_pytorch_default"]["value"] == pytest.approx(5.0)
    assert row["multiply_adds"] == 5_593_600
    assert saved["multiply_add_gflops"] == {"1": 100.0, "2": 200.0}
    printed = text(steps)
    assert "56 us" in printed and "0 %" in printed  # 2 · 5.6 million at 200 GFLOP/s, of 1.1 s
    for words in ("1,100,000 / 1,100,000", "jax.jit + optax", "2 threads", "2.00", "2.00–3.00", "some images"):
        assert words in printed
    assert "median over rounds, lowest to highest of 3 rounds" in " ".join(printed.split())
    mean = "Geometric mean of all rows: 5.00 [5.00, 6.00] times as fast as PyTorch default"
    assert f"{mean} (lowest to highest of 3 rounds)." in printed


def test_one_number_of_threads_has_no_ratio() -> None:
    row = row_of({"ours@2": [1.0], "numpy@2": [2.0]})
    assert row.thread_ratio() is None
    assert row.against_default() is None
    steps = TrainingSteps([row], Settings(threads=(2,), contenders=("ours", "numpy")), "x", "y", {2: 200.0})
    assert "our time, " not in text(steps)
    assert steps.geometric_mean() is None


def test_every_contender_s_module_is_there() -> None:
    for entry in CONTENDERS.values():
        assert entry.module.startswith("benchmarks.contenders.")
        assert (entry.ours and "ours" in entry.module) or not entry.ours
