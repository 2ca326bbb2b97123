"""Runs made by hand, and an executor without processes: what the tests of studies share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.results import Results
from tinygrad_mlp.experiments.runs import Run, run_key
from tinygrad_mlp.experiments.study import Arm, Study

SMALL = Recipe(data="synthetic-fashion", hidden=(8,), epochs=2, limit=500, batch_size=100)


def made_run(recipe: Recipe, seed: int, accuracy: float = 0.8, epochs: int = 3, **measures: float) -> Run:
    """A run as if it had been trained: its test accuracy is `accuracy`, to within an image."""
    history = tuple(
        {
            "epoch": epoch,
            "train_loss": 1.0 / epoch,
            "train_accuracy": 0.5 + 0.1 * epoch,
            "val_loss": 1.1 / epoch,
            "val_accuracy": 0.45 + 0.1 * epoch,
            "lr": 0.1,
            "seconds": 0.5,
            "images_per_second": 1e5,
        }
        for epoch in range(1, epochs + 1)
    )
    values = {
        "test_accuracy": accuracy,
        "test_loss": 1 - accuracy,
        "val_accuracy": accuracy + 0.01,
        "val_loss": 0.9 - accuracy,
        "train_accuracy": accuracy + 0.02,
        "train_loss": 0.8 - accuracy,
        "epochs": float(epochs),
        "best_epoch": float(epochs),
        "parameters": 100.0,
        "seconds": 1.5,
        "dead_units": float("nan"),
        "near_zero": 0.1,
        "within_a_step": 0.05,
        "roughness": 1.2,
        "diverged": 0.0,
    }
    predictions = np.random.default_rng(seed).integers(0, 10, 10_000).astype(np.uint8)
    facts = {"test_uses": 1, "code": "0+0", "data": {"name": recipe.data, "sha256": {}}, "machine": {"cpu": "none"}}
    return Run(run_key(recipe, seed), recipe, seed, history, {**values, **measures}, predictions, None, facts)


def made_results(study: Study, accuracies: dict[str, list[float]], **measures: list[float]) -> Results:
    """Results with these test accuracies of each arm's seeds 0, 1, 2, …; other measures are the same for all arms."""
    runs = {
        name: [
            made_run(study[name].recipe, seed, value, **{key: row[seed] for key, row in measures.items()})
            for seed, value in enumerate(values)
        ]
        for name, values in accuracies.items()
    }
    return Results(study, runs)


def two_arms(**options: Any) -> Study:
    return Study("two", "Two arms", (Arm("relu", SMALL), Arm("tanh", SMALL.replace(activation="tanh"))), **options)


class AtOnce(Executor):
    """Does what is submitted in this process, at once."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
