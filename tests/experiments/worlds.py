"""Two worlds for each of the five studies: one in which all of a report's sentences hold, one in which none does.

An arm's runs have the same numbers for all seeds, but for a jitter that arms share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tests.experiments.made import made_run
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.runs import Run
from tinygrad_mlp.experiments.study import Study

Curve = NDArray[np.float64]


@dataclass
class Told:
    """What is told of an arm: measures, and columns of its history."""

    measures: dict[str, float] = field(default_factory=dict)
    columns: dict[str, Curve] = field(default_factory=dict)


def world(study: Study, tell: Callable[[str], Told]) -> Results:
    """Results of a study; `tell` gets the first part of an arm's name, without the reading in brackets."""
    runs = {arm.name: [_run(study, arm.name, seed, tell) for seed in study.seeds_of(arm)] for arm in study.arms}
    return Results(study, runs)


def _run(study: Study, name: str, seed: int, tell: Callable[[str], Told]) -> Run:
    told = tell(name.split(" (", maxsplit=1)[0])
    jitter = 1e-5 * (seed - 4.5)
    measures = {key: value + (jitter if key.endswith("accuracy") else 0.0) for key, value in told.measures.items()}
    epochs = max((len(curve) for curve in told.columns.values()), default=3)
    run = made_run(study[name].recipe, seed, measures.get("test_accuracy", 0.8), epochs)
    history = tuple(
        {**row, **{key: float(curve[place]) for key, curve in told.columns.items()}}
        for place, row in enumerate(run.history)
    )
    return replace(run, history=history, measures={**run.measures, **measures})


def level(epochs: int, value: float, start: float | None = None, until: int = 0) -> Curve:
    """`value` in all epochs, but `start` in the first ones."""
    curve = np.full(epochs, value)
    if start is not None:
        curve[:until] = start
    return curve


# A ------------------------------------------------------------------------------------------------------------------


def a_world(holds: bool) -> Callable[[str], Told]:
    accuracies = {
        "tanh L2 0.01": (0.75, 0.86),
        "tanh L2 0.001": (0.856, 0.85),
        "tanh L2 0.0001": (0.80, 0.84),
        "sigmoid L2 0.001": (0.79, 0.87),
        "ReLU L2 0.001": (0.8634, 0.84),
        "LeakyReLU L2 0.001": (0.8623, 0.80),  # so near that both hold: ReLU is better, and they are similar
        "784-50-50-10, good recipe": (0.89, 0.88),
    }
    epochs = {"tanh L2 0.01": (20.0, 90.0), "tanh L2 0.001": (50.0, 50.0), "tanh L2 0.0001": (90.0, 20.0)}

    def tell(name: str) -> Told:
        place = 0 if holds else 1
        return Told(
            {
                "test_accuracy": accuracies.get(name, (0.8, 0.8))[place],
                "epochs": epochs.get(name, (30.0, 30.0))[place],
                "dead_units": 0.05 if holds else 0.0,
            }
        )

    return tell


# B ------------------------------------------------------------------------------------------------------------------


def b_world(holds: bool) -> Callable[[str], Told]:
    accuracies = {
        "tanh": (0.84, 0.88),
        "tanh L2": (0.855, 0.87),
        "sigmoid": (0.8702, 0.84),
        "ReLU": (0.845, 0.845),
        "LeakyReLU": (0.856, 0.856),
        "ReLU lr 0.5": (0.5, 0.845),
        "LeakyReLU lr 0.5": (0.1, 0.856),
        "25x50": (0.857, 0.87),
        "50x25": (0.866, 0.86),
        "45x90": (0.86, 0.87),
        "50x100": (0.8697, 0.86),
        "100x50": (0.8707, 0.85),
        "86x172": (0.8690, 0.86),
        "20x30x50": (0.85, 0.87),
        "33x33x33": (0.86, 0.86),
        "50x30x20": (0.8704, 0.84),
        "40x62x102": (0.86, 0.86),
        "100": (0.8705, 0.87),
        "784-50-50-10, good recipe": (0.89, 0.88),
    }
    chosen = ("tanh", "tanh L2")
    gaps = {"tanh": (0.1, 0.05), "tanh L2": (0.05, 0.1), "ReLU": (0.01, 0.3)}

    def tell(name: str) -> Told:
        place = 0 if holds else 1
        validation = 0.87 if (name in chosen) == holds else 0.85
        train = level(110, 0.4)
        val = train + gaps.get(name, (0.05, 0.05))[place]
        if holds and name in ("50x100", "100x50"):
            val[60:] *= 1.05
        return Told(
            {"test_accuracy": accuracies.get(name, (0.8, 0.8))[place], "val_accuracy": validation},
            {"train_loss": train, "val_loss": val},
        )

    return tell


# C ------------------------------------------------------------------------------------------------------------------


def c_world(holds: bool) -> Callable[[str], Told]:
    early = {"1x128": 0.8, "2x64": 0.75, "3x42": 0.7, "2x112": 0.75, "3x102": 0.7, "Xavier": 0.83}
    early |= {"batch norm before": 0.83, "batch norm after": 0.83}
    better = {"Adam": 0.875, "batch norm before": 0.87, "batch norm after": 0.87}
    worse = {"1x128": 0.85, "2x64": 0.80, "3x42": 0.75, "Adam": 0.91}

    def tell(name: str) -> Told:
        if holds:
            accuracy = better.get(name, 0.85)
            curve = level(50, accuracy, early.get(name, 0.8), 10)
            curve[0] = 0.85 if name == "Adam" else curve[0]
            return Told(
                {"test_accuracy": accuracy, "val_accuracy": accuracy},
                {"val_accuracy": curve, "val_loss": level(50, 0.4)},
            )
        accuracy = worse.get(name, 0.80)
        val_loss = level(50, 0.4)
        val_loss[-5:] = 0.5
        return Told(
            {"test_accuracy": accuracy, "val_accuracy": accuracy + 0.05},
            {"val_accuracy": level(50, accuracy, 1.5 - early.get(name, 0.7), 10), "val_loss": val_loss},
        )

    return tell


# D ------------------------------------------------------------------------------------------------------------------


def d_world(holds: bool) -> Callable[[str], Told]:
    accuracies = {
        "tanh": (0.975, 0.975),
        "sigmoid": (0.975, 0.95),
        "ReLU": (0.977, 0.96),
        "tanh L2": (0.958, 0.94),
        "tanh L1": (0.95, 0.95),
        "tanh L1 half": (0.95, 0.95),
        "784-128-10, good recipe": (0.985, 0.98),
    }

    def tell(name: str) -> Told:
        accuracy = accuracies.get(name, (0.92, 0.92))[0 if holds else 1]
        shape = np.array([0.5, 0.4, 0.3, 0.31, 0.32, 0.33])
        train = np.array([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
        share = 0.4 if holds and name.startswith("tanh L1") else 0.01
        return Told(
            {
                "test_accuracy": accuracy,
                "test_loss": 1 - accuracy,
                "best_epoch": 3.0 if holds else 1.0,
                "within_a_step": share,
            },
            {"val_loss": shape if holds else shape[:1].repeat(6), "train_loss": train if holds else train[::-1].copy()},
        )

    return tell


# E ------------------------------------------------------------------------------------------------------------------


def e_world(holds: bool) -> Callable[[str], Told]:
    waves = 0.002 * (-1.0) ** np.arange(20)
    val = {
        "128": (0.87, 0.80),
        "128-64": (0.872, 0.86),
        "512-128-64": (0.86, 0.88),
        "dropout": (0.86, 0.86),
        "batch norm": (0.88, 0.85),
        "L1": (0.80, 0.86),
        "conv": (0.91, 0.84),
        "conv, batch norm, dropout": (0.93, 0.83),
        "conv, good recipe": (0.935, 0.929),
    }
    gaps = {"dropout": (-0.02, 0.05), "512-128-64": (0.005, 0.06), "128-64": (0.03, 0.03), "128": (0.03, 0.06)}

    def tell(name: str) -> Told:
        place = 0 if holds else 1
        accuracy, gap = val.get(name, (0.87, 0.86))[place], gaps.get(name, (0.03, 0.03))[place]
        curve = accuracy + (waves if holds else 0.004 * np.arange(-10.0, 10.0))
        train = level(20, accuracy) + gap
        return Told(
            {
                "test_accuracy": accuracy,
                "val_accuracy": accuracy,
                "val_loss": 2.42 - accuracy,
                "roughness": 1.0 if (name == "L1") == holds else 0.5,
                "near_zero": 0.9 if (name == "L1") == holds else 0.5,
            },
            {
                "val_accuracy": curve,
                "train_accuracy": train,
                "val_loss": 1 - curve,
                "train_loss": 1 - train,
            },
        )

    return tell
