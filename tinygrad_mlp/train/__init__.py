"""Training: the Trainer with checkpoints and run folders, evaluation and metrics, cross-validation."""

from tinygrad_mlp.train.callbacks import Callback
from tinygrad_mlp.train.checkpoint import load_checkpoint, load_model, save_checkpoint, save_model
from tinygrad_mlp.train.cross_validation import CrossValidation, Fold, cross_validate
from tinygrad_mlp.train.evaluation import LossReport, evaluate, predict
from tinygrad_mlp.train.history import History
from tinygrad_mlp.train.metrics import (
    ClassificationReport,
    ClassScores,
    Mean,
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    precision_recall_f1,
    top_k_accuracy,
)
from tinygrad_mlp.train.results import best_epoch_table
from tinygrad_mlp.train.run_folder import RunFolder, latest_run, unused_folder
from tinygrad_mlp.train.trainer import Trainer

__all__ = [
    "Callback",
    "ClassScores",
    "ClassificationReport",
    "CrossValidation",
    "Fold",
    "History",
    "LossReport",
    "Mean",
    "RunFolder",
    "Trainer",
    "accuracy",
    "best_epoch_table",
    "confusion_matrix",
    "cross_validate",
    "evaluate",
    "expected_calibration_error",
    "latest_run",
    "load_checkpoint",
    "load_model",
    "precision_recall_f1",
    "predict",
    "save_checkpoint",
    "save_model",
    "top_k_accuracy",
    "unused_folder",
]
