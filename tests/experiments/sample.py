"""Results of a study that nobody ran: made by hand, with all that a report has to show."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np

from tinygrad_mlp.experiments.claims import Claim, Finding, is_better
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.results import Failure, Results
from tinygrad_mlp.experiments.runs import Run
from tinygrad_mlp.experiments.study import Arm, Comparison, Curves, Study
from tinygrad_mlp.experiments.tables import Cell, Table, loss
from tinygrad_mlp.experiments.training import load_splits

NASTY = "<script>alert('x')</script> & a|b, 5 % of $x_i$ #1 {y} \\ ~ ^ *bold* `code` [link](x)"
BASE = Recipe(data="synthetic-fashion", hidden=(50, 50), activation="tanh", lr=0.05, batch_size=256, epochs=30)
MACHINE = {"cpu": "A CPU & <more>", "versions": {"python": "3.12.1", "numpy": "2.2.0", "numba": "0.61.0"}, "threads": 1}


def a_run(recipe: Recipe, seed: int, accuracy: float, epochs: int | None = None) -> Run:
    """A run that has about this test accuracy, of a net that overfits a little."""
    rng = np.random.default_rng([seed, round(1e6 * accuracy)])
    labels = load_splits(recipe.data, "none", 0.2, 0).test.labels
    epochs = recipe.epochs if epochs is None else epochs
    predictions = np.where(rng.random(len(labels)) < accuracy, labels, rng.integers(0, 10, len(labels)))
    epoch = np.arange(1, epochs + 1)
    end = 1 - accuracy
    noise = rng.normal(0, 0.006, (2, epochs))
    train = 1.9 * end + 1.2 * np.exp(-epoch / 3) + noise[0] / 3
    val = 2.2 * end + 1.1 * np.exp(-epoch / 2.6) + 0.1 * (epoch / 30) ** 2 + noise[1]
    history = tuple(
        {
            "epoch": int(number),
            "train_loss": float(train[number - 1]),
            "train_accuracy": float(1 - train[number - 1] / 2.4),
            "val_loss": float(val[number - 1]),
            "val_accuracy": float(1 - val[number - 1] / 2.6),
            "lr": recipe.lr,
            "seconds": 0.5,
        }
        for number in epoch
    )
    last = history[-1] if history else {"train_loss": math.nan, "val_loss": math.nan, "val_accuracy": math.nan}
    relu = recipe.activation == "relu"
    measures = {
        "train_accuracy": accuracy + 0.02,
        "train_loss": float(last["train_loss"]),
        "val_accuracy": float(last["val_accuracy"]),
        "val_loss": float(last["val_loss"]),
        "test_accuracy": float((predictions == labels).mean()),
        "test_loss": 2.3 * end,
        "epochs": float(epochs),
        "best_epoch": float(max(epochs - 4, 1)),
        "parameters": 42_310.0,
        "dead_units": 0.08 + 0.01 * (seed % 3) if relu else math.nan,
        "near_zero": 0.4 + 0.02 * (seed % 4) if recipe.l1 else 0.03 + 0.01 * (seed % 2),
        "within_a_step": 0.31 if recipe.l1 else 0.0,
        "roughness": 0.8 + 0.01 * seed,
        "diverged": 0.0,
        "seconds": round(20 + 3 * rng.random(), 3),
    }
    facts = {
        "data": {"name": recipe.data, "sha256": {}},
        "code": "0.1.0+0123456789ab",
        "machine": MACHINE,
        "test_uses": 1,
    }
    key = hashlib.sha256(f"{recipe.as_dict()} {seed}".encode()).hexdigest()[:20]
    stop = None if epochs == recipe.epochs else f"no lower validation loss in 5 epochs (epoch {epochs})"
    return Run(key, recipe, seed, history, measures, predictions.astype(np.uint8), stop, facts)


def a_study() -> Study:
    """Claims of every kind, comparisons in two tables, figures, a table of its own."""
    arms = (
        Arm("tanh", BASE, "A1", "no penalty"),
        Arm("tanh, L2 0.001", BASE.replace(l2=0.001), "A2"),
        Arm("tanh, L1 0.001", BASE.replace(l1=0.001), "A2", "λ·sign(w)"),
        Arm("ReLU", BASE.replace(activation="relu", l2=0.001), "A4"),
        Arm("good recipe", BASE.replace(optimizer="adamw", lr=0.002, schedule="onecycle", dropout=0.1), "good recipe"),
    )
    claims = (
        Claim("A1", "tanh without a penalty: around 76.37 %", "p. 3", ("tanh",), published=0.7637),
        Claim("A2", "tanh, L2 0.001: 85.60 %", "table 1", ("tanh, L2 0.001", "tanh, L1 0.001"), published=0.8560),
        Claim("A3", "the loss is 0.33", "p. 4", ("ReLU",), published=0.33, measure="test_loss", digits=2),
        Claim("A4", "ReLU works better than tanh", "section 4", ("ReLU", "tanh"), predicate=is_better("ReLU", "tanh")),
        Claim("A5", NASTY, NASTY, ("ReLU",), predicate=lambda _: Finding("not reproduced", NASTY)),
        Claim("A6", "training stops at epoch 30", "p. 5", ("tanh",), published=30, measure="epochs", digits=0),
        Claim("A7", "95.00 % in the end", "p. 5", ("good recipe",), published=0.95),
        Claim(
            "A8",
            "L2 helps tanh a little",
            arms=("tanh", "tanh, L2 0.001"),
            predicate=is_better("tanh, L2 0.001", "tanh"),
        ),
    )
    comparisons = (
        Comparison("ReLU", "tanh"),
        Comparison("tanh, L2 0.001", "tanh"),
        Comparison("good recipe", "ReLU"),
        Comparison("ReLU", "tanh", "val_loss", "losses"),
        Comparison("ReLU", "tanh", "epochs", "how long"),
    )
    curves = (
        Curves("Activations and penalties (figures 1 to 3)", tuple(arm.name for arm in arms)),
        Curves("tanh (figure 1)", ("tanh",)),
    )
    gradients = Table(
        "ignored",
        ("parameter", "backward", "difference"),
        ((Cell("w₁"), loss(0.25), loss(1e-4)), (Cell(NASTY), loss(math.nan), loss(-0.5))),
        "Of one example of each class.",
    )
    return Study(
        "sample",
        "Activations and penalties on garments",
        arms,
        seeds=10,
        comparisons=comparisons,
        claims=claims,
        curves=curves,
        tables={"Gradients": lambda: gradients},
        source="After: A report, somewhere, 2018",
        notes=NASTY,
    )


ACCURACIES = {"tanh": 0.857, "tanh, L2 0.001": 0.862, "tanh, L1 0.001": 0.82, "ReLU": 0.868, "good recipe": 0.884}


def some_results(seeds: int = 10) -> Results:
    """All arms finished, of tanh's some earlier than others."""
    study = a_study()
    runs = {
        arm.name: [
            a_run(
                arm.recipe,
                seed,
                ACCURACIES[arm.name] + 0.0012 * math.sin(3 * seed + len(arm.name)),
                20 + seed if arm.name == "tanh" else None,
            )
            for seed in range(seeds)
        ]
        for arm in study.arms
    }
    return Results(study, runs)


def unfinished_results() -> Results:
    """One seed; an arm without a finished run, and one whose only run has failed."""
    whole = some_results(1)
    runs = {name: of for name, of in whole.runs.items() if name not in ("ReLU", "good recipe")}
    failed = [Failure("ReLU", 0, f"WorkerError: it died\n{NASTY}", "runs/abc.log")]
    return Results(replace(whole.study, curves=()), runs, failed)
