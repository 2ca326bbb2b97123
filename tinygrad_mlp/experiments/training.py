"""`train_run`: one run of a recipe with one seed, from the data files to the numbers that are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_mlp import data, nn, optim
from tinygrad_mlp.autodiff.random_state import manual_seed
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.catalog import ImageSplits
from tinygrad_mlp.data.image import ImageDataset, k_fold
from tinygrad_mlp.data.splits import stratified_split
from tinygrad_mlp.errors import NonFiniteError
from tinygrad_mlp.experiments.nets import dead_units, make_net, near_zero, roughness
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.runs import Run, code_version, data_sha256, run_key
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.train.evaluation import evaluate, predict
from tinygrad_mlp.train.manifest import describe_machine
from tinygrad_mlp.train.metrics import ClassificationReport, accuracy
from tinygrad_mlp.train.state import copy_of_weights
from tinygrad_mlp.train.trainer import Trainer

__all__ = ["load_splits", "make_trainer", "train_run"]

_SMALL = 1e-3  # a weight up to this size counts as near zero, whatever the recipe's penalty


@lru_cache(maxsize=2)  # arms of a study share a seed's splits
def load_splits(name: str, standardize: data.StandardizeKind, validation: float, seed: int) -> ImageSplits:
    """(train, validation, test) of one of the recipe's data sets; the seed divides it. Never a stand-in by surprise."""
    if name == "fashion-mnist":
        return data.fashion_mnist(standardize=standardize, validation=validation, seed=seed, synthetic="never")
    if name == "mnist":
        return data.mnist(standardize=standardize, validation=validation, seed=seed)
    train, _, test = _drawn()
    division = stratified_split(train.labels, validation, seed)
    training, held_out = train.divide(*division, standardize)
    return ImageSplits(training, held_out, test.standardized_as(training))


@lru_cache(maxsize=1)  # the same images for all seeds, as with the real data
def _drawn() -> ImageSplits:
    return data.synthetic_fashion(validation=0.0)


def train_run(recipe: Recipe, seed: int) -> Run:
    """Train as the recipe says and test once; the same recipe and seed give the same bits.

    The seed decides which images are held out, the first weights, the order of images, dropout and augmentation. So
    runs of two recipes with one seed are a pair: they share all of these that they have in common.

    Where training diverges to NaN, the run ends there, its measure `diverged` is 1, and the net that is tested has the
    weights that were kept until then. Raises `DataError` for missing data.
    """
    start = time.perf_counter()
    nets = [_train_net(recipe, _seed_of(seed, fold), *parts) for fold, parts in enumerate(_parts(recipe, seed))]
    best = min(nets, key=lambda net: net["measures"].get("val_loss", 0.0))  # one net alone may have no validation
    names = nets[0]["measures"]
    measures = {name: float(np.mean([net["measures"][name] for net in nets])) for name in names}
    facts: dict[str, Any] = {
        "data": {"name": recipe.data, "sha256": data_sha256(recipe.data)},
        "code": code_version(),
        "machine": {name: value for name, value in describe_machine().items() if name != "command"},
        "test_uses": len(nets),
    }
    if recipe.folds is not None:
        facts["folds"] = [{**_without_nan(net["measures"]), "stop_reason": net["stop_reason"]} for net in nets]
    return Run(
        run_key(recipe, seed),
        recipe,
        seed,
        tuple(nets[0]["history"]),
        {**measures, "seconds": round(time.perf_counter() - start, 3)},
        best["predictions"],
        nets[0]["stop_reason"],
        facts,
    )


def _seed_of(seed: int, fold: int) -> int:
    """Another one for each fold, lest runs of neighbouring seeds share weights; the first fold has it as it is."""
    return seed if fold == 0 else int(np.random.SeedSequence((seed, fold)).generate_state(1)[0])


def _without_nan(measures: Mapping[str, float]) -> dict[str, float | None]:
    """What JSON can hold."""
    return {name: None if math.isnan(value) else value for name, value in measures.items()}


def _parts(recipe: Recipe, seed: int) -> Iterator[tuple[ImageDataset, ImageDataset | None, ImageDataset]]:
    """Training, validation and test part; with folds one such triple for each."""
    # Folds deal out all images that are not test, so that it does not matter how these are divided beforehand.
    held_out = recipe.validation if recipe.folds is None else 0.0
    train, val, test = load_splits(recipe.data, recipe.standardize, held_out, seed)
    if recipe.limit is not None:
        train = train.subset(min(recipe.limit, len(train)))
    if recipe.folds is None:
        yield train, val if len(val) else None, test
        return
    for training, validation in k_fold(train, recipe.folds, seed):
        yield training, validation, test.standardized_as(training)


def make_trainer(recipe: Recipe, seed: int, samples: int) -> Trainer:
    """The Trainer that a recipe describes, for so many training images; it writes no files and shows no progress."""
    manual_seed(seed)
    net = make_net(recipe)
    given = {
        "lr": recipe.lr,
        "l1": recipe.l1,
        "l2": recipe.l2,
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
    }
    options = {name: value for name, value in given.items() if value is not None}
    if recipe.averaged:
        options["averaged"] = True
    optimizer = optim.make_optimizer(recipe.optimizer, net.named_parameters(), **options)
    steps = -(-samples // recipe.batch_size)
    schedules = {
        None: lambda: None,
        "cosine": lambda: optim.CosineAnnealingLR(optimizer, T_max=recipe.epochs),
        "onecycle": lambda: optim.OneCycleLR(
            optimizer, recipe.lr, total_steps=recipe.epochs * steps, cycle_momentum="adam" in recipe.optimizer
        ),
    }
    return Trainer(
        net,
        optimizer,
        nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing),
        schedule=schedules[recipe.schedule](),
        augmentation=recipe.augmentation,
        flip_to_predict=recipe.augmentation.horizontal_flip > 0,
        average=None if recipe.ema is None else optim.ExponentialMovingAverage(net, recipe.ema),
        clip_norm=recipe.clip_norm,
        patience=recipe.patience,
        stop_on=recipe.stop_on,
        keep=recipe.keep,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=seed,
        progress=False,
    )


def _train_net(
    recipe: Recipe, seed: int, train: ImageDataset, val: ImageDataset | None, test: ImageDataset
) -> dict[str, Any]:
    """One net: its history, measures, predictions, and why it stopped."""
    trainer = make_trainer(recipe, seed, len(train))
    stop_reason, has_diverged = _fit(trainer, train, val)
    history, net = trainer.history, trainer.net.eval()
    assert isinstance(net, nn.Sequential)
    flip = trainer.flip_to_predict
    measures: dict[str, float] = {}
    for name, part in {"train": train, "val": val}.items():  # in eval mode; the history has training as it went
        if part is not None:
            report = evaluate(net, part, flip=flip)
            assert isinstance(report, ClassificationReport)
            measures |= {f"{name}_accuracy": report.accuracy, f"{name}_loss": report.loss}
    logits = predict(net, test, flip=flip)  # the one use of the test data
    measures |= {
        "test_accuracy": accuracy(logits, test.labels),
        "test_loss": F.cross_entropy(Tensor(logits), Tensor(test.labels)).item(),
    }
    best = history.best
    measures |= {
        "epochs": len(history.rows),
        "best_epoch": float(best["epoch"]) if best is not None and best["epoch"] is not None else len(history.rows),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "dead_units": dead_units(net, val if val is not None else train),
        "near_zero": near_zero(net, _SMALL),
        "within_a_step": near_zero(net, recipe.lr * max(recipe.l1, recipe.l2)),
        "roughness": roughness(net),
        "diverged": float(has_diverged),
    }
    return {
        "history": history.rows,
        "measures": measures,
        "predictions": logits.argmax(axis=1).astype(np.uint8),
        "stop_reason": stop_reason,
    }


def _fit(trainer: Trainer, train: ImageDataset, val: ImageDataset | None) -> tuple[str | None, bool]:
    """Train; say why it stopped before its last epoch, and whether it diverged.

    That a recipe diverges is a result, too, as of a learning rate that is claimed to be too high. The net then has the
    weights that would have been kept so far, or the first ones.
    """
    first = copy_of_weights(trainer.net)
    try:
        trainer.fit(train, val)
    except NonFiniteError as error:
        trainer.net.load_state_dict(trainer.best_weights or first)
        return f"diverged: {str(error).splitlines()[0]}", True
    return trainer.stop_reason, False
