"""Experiments: recipes run over seeds, statistics, published claims judged, and reports whose numbers can be re-made.

>>> from tinygrad_mlp import experiments
>>> from tinygrad_mlp.experiments import Arm, Comparison, Recipe, Study
"""

from tinygrad_mlp.experiments.claims import (
    Claim,
    Finding,
    Reading,
    Sentence,
    Verdict,
    all_hold,
    is_better,
    is_equivalent,
    judge,
)
from tinygrad_mlp.experiments.console import main
from tinygrad_mlp.experiments.gradients import NamedWeight, compare_gradients, gradient_table, gradients_agree
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.report import write_report
from tinygrad_mlp.experiments.results import Failure, Results, load_results
from tinygrad_mlp.experiments.runner import run
from tinygrad_mlp.experiments.runs import Run, RunStore
from tinygrad_mlp.experiments.sentences import any_reading, bound_is_above, column, lies, per_seed
from tinygrad_mlp.experiments.statistics import mcnemar
from tinygrad_mlp.experiments.study import Arm, Comparison, Curves, Study
from tinygrad_mlp.experiments.tables import Cell, Table
from tinygrad_mlp.experiments.training import train_run
from tinygrad_mlp.experiments.verify import Check, read_study, verify
from tinygrad_mlp.experiments.workers import WorkerPool

__all__ = [
    "Arm",
    "Cell",
    "Check",
    "Claim",
    "Comparison",
    "Curves",
    "Failure",
    "Finding",
    "NamedWeight",
    "Reading",
    "Recipe",
    "Results",
    "Run",
    "RunStore",
    "Sentence",
    "Study",
    "Table",
    "Verdict",
    "WorkerPool",
    "all_hold",
    "any_reading",
    "bound_is_above",
    "column",
    "compare_gradients",
    "gradient_table",
    "gradients_agree",
    "is_better",
    "is_equivalent",
    "judge",
    "lies",
    "load_results",
    "main",
    "mcnemar",
    "per_seed",
    "read_study",
    "run",
    "train_run",
    "verify",
    "write_report",
]
