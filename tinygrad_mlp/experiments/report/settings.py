"""The settings of a study as a paragraph, ready to be pasted into a report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from tinygrad_mlp.experiments.recipe import DATA, Recipe
from tinygrad_mlp.experiments.results import Results

__all__ = ["differing_fields", "field_words", "settings_lines", "settings_paragraph"]

_DATA = {
    "fashion-mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "synthetic-fashion": "synthetic-fashion, a stand-in for Fashion-MNIST that is drawn by formulae",
}
_INPUTS = {
    "global": "standardised with one mean and one standard deviation of the training part",
    "feature": "standardised pixel by pixel with the statistics of the training part",
    "image": "standardised image by image",
    "none": "scaled to 0 to 1",
}
_LABELS = {
    "lr": "learning rate",
    "l1": "L1 penalty",
    "l2": "L2 penalty",
    "hidden": "hidden layers",
    "conv": "channels of convolutions",
    "pool": "pooling",
    "init": "initialisation",
    "keep": "weights that are tested",
    "data": "data set",
    "output_softmax": "softmax in front of the loss",
    "ema": "decay of the moving average of weights",
    "limit": "training images",
    "stop_on": "stopping rule",
}
# Where the names of options are not how people write them.
_NAMES = {
    "sgd": "SGD",
    "adam": "Adam",
    "adamw": "AdamW",
    "adadelta": "AdaDelta",
    "adagrad": "AdaGrad",
    "rmsprop": "RMSProp",
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "gelu": "GELU",
    "onecycle": "one cycle",
}


def differing_fields(results: Results) -> list[str]:
    """Fields of a recipe in which the study's arms differ."""
    first, *others = [arm.recipe.as_dict() for arm in results.study.arms] or [{}]
    return [name for name in first if any(recipe[name] != first[name] for recipe in others)]


def field_words(value: Any) -> str:
    """A recipe's value in words: (50, 50) is 50×50, None is none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        options = cast("dict[str, Any]", value)
        return ", ".join(f"{_label(name)} {field_words(option)}" for name, option in options.items()) or "none"
    if isinstance(value, list | tuple):
        return "×".join(str(part) for part in cast("list[Any]", value)) or "none"
    if isinstance(value, str):
        return _NAMES.get(value, value if value in DATA else value.replace("_", " "))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " "))


def settings_paragraph(results: Results) -> str:
    """What all arms share, in what they differ, and how the numbers were made, in whole sentences; of no arms, none."""
    if not results.study.arms:
        return ""
    differing = differing_fields(results)
    shared = results.study.arms[0].recipe
    sentences = [
        _design(results),
        *(sentence for sentence in (_inputs(shared, differing), _net(shared, differing)) if sentence),
        *(sentence for sentence in (_optimizer(shared, differing), _stopping(shared, differing)) if sentence),
        _differences(results, differing),
        _mirrored(results),
        "Numbers are means ± standard deviations over seeds; intervals are Student's 95 % intervals, of one further "
        "run where they are compared with a published number. Arms are compared with the exact paired sign-flip test, "
        "p-values corrected after Holm within each table.",
        f"The test images were used {results.test_uses:,} times, once by each trained net after its training, and "
        "never to choose anything.",
        _software(results),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def settings_lines(results: Results) -> list[str]:
    """One line for each arm, with the fields in which it differs from the others."""
    differing = differing_fields(results)
    lines: list[str] = []
    for arm in results.study.arms:
        values = arm.recipe.as_dict()
        words = "; ".join(f"{_label(name)} {field_words(values[name])}" for name in differing)
        source = f" [{arm.source}]" if arm.source else ""
        lines.append(f"{arm.name}{source}: {words or 'as said above'}" + (f" ({arm.note})" if arm.note else ""))
    return lines


def _design(results: Results) -> str:
    arms, counts = len(results.study.arms), sorted({len(runs) for runs in results.runs.values() if runs}) or [0]
    seeds = str(counts[-1]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    data = _joined(_DATA[name] for name in dict.fromkeys(arm.recipe.data for arm in results.study.arms))
    recipes = "One recipe was" if arms == 1 else f"{arms} recipes were"
    return (
        f"{recipes} trained on {data}, {'each ' if arms > 1 else ''}with {seeds} seed{'s' if seeds != '1' else ''}; "
        "a seed decides which images are held out, the first weights and the order of batches, so that runs of two "
        "recipes with the same seed are a pair."
    )


def _inputs(recipe: Recipe, differing: Iterable[str]) -> str:
    parts: list[str] = []
    if "standardize" not in differing:
        parts.append(f"inputs were {_INPUTS[recipe.standardize]}")
    if not {"validation", "folds"} & set(differing):
        if recipe.folds is None:
            parts.append(f"{100 * recipe.validation:g} % of the training images, stratified by class, were held out")
        else:
            parts.append(f"each run is a cross-validation with {recipe.folds} folds, whose scores were averaged")
    if recipe.limit is not None and "limit" not in differing:
        parts.append(f"only {recipe.limit:,} training images were used")
    return _sentence(parts)


def _net(recipe: Recipe, differing: Iterable[str]) -> str:
    parts: list[str] = []
    if not {"hidden", "conv"} & set(differing):
        units = " and ".join(str(units) for units in recipe.hidden)
        hidden = f"hidden layers of {units} units" if recipe.hidden else "no hidden layer"
        conv = f"convolutions (3×3) with {' and '.join(map(str, recipe.conv))} channels and " if recipe.conv else ""
        parts.append(f"the nets had {conv}{hidden}")
    if "activation" not in differing and (recipe.hidden or recipe.conv):
        parts.append(f"the activation was {field_words(recipe.activation)}")
    parts += [
        f"{_label(name)} was {field_words(getattr(recipe, name))}"
        for name in ("negative_slope", "pool", "batch_norm", "dropout", "conv_dropout", "init")
        if name not in differing and getattr(recipe, name)
    ]
    return _sentence(parts)


def _optimizer(recipe: Recipe, differing: Iterable[str]) -> str:
    parts: list[str] = []
    if "optimizer" not in differing:
        parts.append(
            f"the optimizer was {field_words(recipe.optimizer)}"
            + (" with averaged momentum" if recipe.averaged else "")
        )
    parts += [
        f"{_label(name)} was {field_words(getattr(recipe, name))}"
        for name in ("lr", "momentum", "weight_decay", "l1", "l2", "schedule", "label_smoothing", "ema", "clip_norm")
        if name not in differing and getattr(recipe, name)
    ]
    if "augmentation" not in differing and recipe.augmentation.describe():
        parts.append(f"training images were augmented ({field_words(recipe.augmentation.describe())})")
    if "batch_size" not in differing:
        parts.append(f"batches had {recipe.batch_size} images")
    return _sentence(parts)


def _stopping(recipe: Recipe, differing: Iterable[str]) -> str:
    parts: list[str] = []
    if "epochs" not in differing:
        parts.append(f"training went on for {'at most ' if recipe.patience else ''}{recipe.epochs} epochs")
    if recipe.patience is not None and not {"patience", "stop_on"} & set(differing):
        rule = (
            "increases of the validation loss in a row"
            if recipe.stop_on == "increases"
            else "epochs without a lower one"
        )
        parts.append(f"it was stopped after {recipe.patience} {rule}")
    if "keep" not in differing:
        best = "the epoch with the lowest validation loss" if recipe.keep == "best" else "the last epoch"
        parts.append(f"the weights of {best} were tested")
    return _sentence(parts)


def _differences(results: Results, differing: list[str]) -> str:
    if not differing:
        return ""
    recipes = [arm.recipe.as_dict() for arm in results.study.arms]
    parts: list[str] = []
    for name in differing:
        values = list(dict.fromkeys(field_words(recipe[name]) for recipe in recipes))
        parts.append(f"{_label(name)} ({'; '.join(values)})")
    return f"The recipes differ in {_joined(parts)}."


def _mirrored(results: Results) -> str:
    """What `train_run` does with nets that were trained on mirrored images."""
    flipped = [arm.recipe.augmentation.horizontal_flip > 0 for arm in results.study.arms]
    if not any(flipped):
        return ""
    which = "The nets" if all(flipped) else "The nets that were trained on mirrored images"
    return f"{which} were validated and tested by the mean of their outputs for an image and its mirror image."


def _software(results: Results) -> str:
    runs = [run for of in results.runs.values() for run in of]
    machines = [cast("dict[str, Any]", run.facts.get("machine", {})) for run in runs]
    codes = _joined(dict.fromkeys(str(run.facts["code"]) for run in runs if "code" in run.facts))
    cpus = _joined(dict.fromkeys(str(machine["cpu"]) for machine in machines if "cpu" in machine))
    versions = _joined(
        f"{label} {number}"
        for name, label in (("python", "Python"), ("numpy", "NumPy"), ("numba", "Numba"))
        for number in dict.fromkeys(
            str(machine["versions"][name]) for machine in machines if name in machine.get("versions", {})
        )
    )
    words = f"Software: tinygrad_mlp {codes}" if codes else ""
    return (
        (words + (f" with {versions}" if versions else "") + (f"; CPU: {cpus}" if cpus else "") + ".") if words else ""
    )


def _sentence(parts: Iterable[str]) -> str:
    words = "; ".join(parts)
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _joined(parts: Iterable[str]) -> str:
    words = list(parts)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
