"""Faults planted in copies of kernels: the red zones must find each."""

from __future__ import annotations

import contextlib
import faulthandler
import inspect
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_mlp.nn.functional as F
from tests.redzone.drivers import numbers
from tests.redzone.guard import Guard
from tinygrad_mlp.kernels import index, loss, matmul, norm
from tinygrad_mlp.kernels.launch import Kernel, launch

__all__ = ["find_planted_faults"]

FAULT, ASSERTION = "a fault of memory", "an assertion"


def floats(*shape: int) -> Any:
    return np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)


def normalised() -> tuple[Any, ...]:
    """Arguments of `layer_norm_forward`."""
    return floats(3, 5), floats(5), floats(5), 1e-5, floats(3, 5), floats(3), floats(3)


def layer() -> tuple[Any, ...]:
    """Arguments of `layer_norm_backward`."""
    return floats(3, 5), floats(3, 5), floats(5), floats(3), floats(3), floats(3, 5), floats(5), floats(5)


@dataclass(frozen=True)
class Plant:
    """A change of a kernel's text, arguments on which it does harm, and what must find it."""

    kernel: Kernel
    before: str
    after: str
    arguments: Callable[[], tuple[Any, ...]]
    found_by: str = FAULT


PLANTS = {
    "one column too many": Plant(norm.layer_norm_forward, "range(features)", "range(features + 1)", normalised),
    "one row too many": Plant(norm.layer_norm_forward, "range(rows)", "range(rows + 1)", normalised),
    "a read before an array": Plant(norm.layer_norm_forward, "bias[j]", "bias[j - features - 1]", normalised),
    "a write before an array": Plant(norm.layer_norm_forward, "target[j] =", "out[i, j - features - 1] =", normalised),
    "a read without effect": Plant(norm.layer_norm_forward, "+ bias[j]", "+ bias[j] + 0 * bias[j + 1]", normalised),
    "scratch too short": Plant(norm.layer_norm_backward, "np.empty(features,", "np.empty(features - 1,", layer),
    "the index behind the last": Plant(
        index.scatter_add_rows,
        ">= out.shape[0]",
        "> out.shape[0]",
        lambda: (floats(1, 5), np.array([6]), -1, floats(6, 5)),
    ),
    "an index far away": Plant(
        index.gather_rows, ">= table", "> 10**7 + table", lambda: (floats(6, 5), np.array([10**7]), floats(1, 5))
    ),
    "a negative index": Plant(
        index.gather_rows, "indices[i] < 0", "indices[i] < -9", lambda: (floats(6, 5), np.array([-7]), floats(1, 5))
    ),
    "scratch read before it is written": Plant(
        loss.labelled_mean,
        "weights[i] = losses.dtype.type(0)",
        "weights[i] += losses.dtype.type(0)",
        lambda: (floats(3), np.array([0, -100, 1]), floats(4), -100, floats(1), floats(1)),
        ASSERTION,
    ),
    "a write that is not declared": Plant(
        norm.layer_norm_forward,
        "row, target = x[i], out[i]",
        "row, target = x[i], out[i]\n        bias[0] = 2",
        normalised,
        ASSERTION,
    ),
}


def spoiled(plant: Plant) -> Kernel:
    """A copy of a kernel with the fault in it."""
    original = plant.kernel.function
    text = textwrap.dedent(inspect.getsource(original))
    text = text[text.index("\ndef ") :]
    assert plant.before in text, f"{plant.kernel.name} no longer has {plant.before!r}: plant the fault elsewhere"
    namespace = dict(original.__globals__)
    exec(compile(text.replace(plant.before, plant.after), "<planted>", "exec"), namespace)
    names = list(inspect.signature(original).parameters)
    writes = tuple([names[position] for position in plant.kernel.writes])
    return Kernel(namespace[original.__name__], writes, plant.kernel.flat, True, False)


def outcome(run: Callable[[], Any]) -> str:
    """What comes of a call in a process of its own."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        with contextlib.suppress(AssertionError):
            run()
            os._exit(0)
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSEGV, signal.SIGBUS):
        return FAULT
    return {0: "nothing", 1: ASSERTION}.get(os.waitstatus_to_exitcode(status), "another end")


def find_planted_faults(guard: Guard) -> None:
    for name, plant in PLANTS.items():
        clean = outcome(lambda plant=plant: launch(plant.kernel, *harmless(plant)))
        assert clean == "nothing", f"{name}: without the fault, {clean}"
        kernel = spoiled(plant)
        found = outcome(lambda plant=plant, kernel=kernel: launch(kernel, *plant.arguments()))
        assert found == plant.found_by, f"{name}: found by {found}"
    wrong_sizes(guard)


def harmless(plant: Plant) -> tuple[Any, ...]:
    """The same arguments with indices that are in range."""
    return tuple([np.abs(a) % 2 if getattr(a, "dtype", None) == np.int64 else a for a in plant.arguments()])


def wrong_sizes(guard: Guard) -> None:
    """A matrix product that is told one row, column or term too many."""
    names = list(inspect.signature(matmul.matmul_tiles.function).parameters)
    seen: list[tuple[Any, ...]] = []
    run = guard.run

    def note(kernel: Kernel, compiled: Callable[..., None], args: tuple[Any, ...]) -> None:
        if kernel is matmul.matmul_tiles:
            seen.append(args)
        run(kernel, compiled, args)

    guard.run = note
    F.linear(numbers(3, 5), numbers(7, 5), numbers(7))
    guard.run = run
    (args,) = seen
    assert outcome(lambda: launch(matmul.matmul_tiles, *args)) == "nothing"
    for name in ("rows", "k_size", "columns"):
        wrong = list(args)
        wrong[names.index(name)] += 1
        found = outcome(lambda wrong=wrong: launch(matmul.matmul_tiles, *wrong))
        assert found == FAULT, f"matmul told of one more of {name}: found by {found}"
