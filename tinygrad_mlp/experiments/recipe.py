"""`Recipe`: all that a training run depends on but its seed, as plain values that are checked and kept as JSON."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, cast, get_args

from tinygrad_mlp.data.augmentation import Augmentation
from tinygrad_mlp.data.transforms import StandardizeKind
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.names import did_you_mean
from tinygrad_mlp.nn.activation import ACTIVATIONS
from tinygrad_mlp.nn.init import INITIALIZERS
from tinygrad_mlp.optim.checks import check_count, check_flag, check_range
from tinygrad_mlp.optim.registry import OPTIMIZERS

__all__ = ["DATA", "Recipe"]

DATA = ("fashion-mnist", "mnist", "synthetic-fashion")
_SIDE = 28  # pixels of an image of each of them, which pools halve
_IMAGES = 60_000  # to train on and to hold out, in each of them
_MOST = 10**9  # weights: with gradients and an optimizer's state some 16 GB


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A net, its data, and how it is trained.

    Parameters
    ----------
    data, standardize, validation, limit:
        "fashion-mnist", "mnist" or "synthetic-fashion"; pixels to inputs, as `data.fashion_mnist` has it; part of the
        training images that is held out, stratified; how many of the others to train on, by default all.
    folds:
        Cross-validate: train one net for each of so many folds. Scores are then means over these nets.
    hidden, conv:
        Units of each hidden layer; before them, channels of each 3×3 convolution with padding 1.
    pool:
        2×2 max pooling after "each" convolution or after the "last".
    activation, negative_slope:
        After each convolution and hidden layer, by its name in `nn.ACTIVATIONS`; the slope is leaky ReLU's.
    batch_norm:
        "before" or "after" each activation.
    dropout, conv_dropout:
        Probability, after each hidden layer; after each convolution and its pool, of whole channels.
    init:
        Of the weights of all layers, by its name in `nn.init`; biases are then 0.
    output_softmax:
        Give the loss probabilities where it expects logits, so that the softmax is taken twice: a frequent mistake.
    optimizer, lr, momentum, averaged, weight_decay, l1, l2:
        By its name in `optim.OPTIMIZERS`, and its options; the last two penalise weights but not biases.
    schedule:
        Of the learning rate: "onecycle" or "cosine".
    label_smoothing, ema, clip_norm, augmentation:
        Of the loss; decay of a moving average of the weights; limit on the norm of the gradient; of training images.
        With horizontal flips, scores are of each image and its mirror image together.
    batch_size, epochs, patience, stop_on:
        As `Trainer` has them.
    keep:
        Which weights are tested: those of the "best" epoch by its validation loss, or of the "last".

    Raises `ArgumentError`, naming field and value, for what cannot be trained.

    >>> recipe = Recipe(hidden=(50, 50), activation="tanh", lr=0.05, batch_size=256)
    >>> Recipe.from_dict(recipe.as_dict()) == recipe
    True
    """

    data: str = "fashion-mnist"
    standardize: StandardizeKind = "global"
    validation: float = 0.2
    limit: int | None = None
    folds: int | None = None

    hidden: tuple[int, ...] = (128,)
    conv: tuple[int, ...] = ()
    pool: Literal["each", "last"] | None = None
    activation: str = "relu"
    negative_slope: float | None = None
    batch_norm: Literal["before", "after"] | None = None
    dropout: float = 0.0
    conv_dropout: float = 0.0
    init: str | None = None
    output_softmax: bool = False

    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float | None = None
    averaged: bool = False
    weight_decay: float | None = None
    l1: float = 0.0
    l2: float = 0.0
    schedule: Literal["onecycle", "cosine"] | None = None
    label_smoothing: float = 0.0
    ema: float | None = None
    clip_norm: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch_size: int = 64
    epochs: int = 20
    patience: int | None = None
    stop_on: Literal["loss", "increases"] = "loss"
    keep: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()
        self._check_together()

    # As JSON --------------------------------------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Recipe:
        """A recipe with other values of these fields. Raises `ArgumentError` for a field that does not exist."""
        _check_names(changes)
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """All fields, as JSON gives them back."""
        lists = {"hidden": list(self.hidden), "conv": list(self.conv)}
        return {**self._values(), **lists, "augmentation": self.augmentation.describe()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that `as_dict` described. Raises `ArgumentError` for a field that does not exist."""
        _check_names(values)
        given = dict(values)
        if isinstance(given.get("augmentation"), Mapping):
            chosen = cast("dict[str, Any]", given["augmentation"])
            unknown = set(chosen) - {option.name for option in fields(Augmentation)}
            if unknown:
                raise _wrong("augmentation", chosen, f"no {', '.join(sorted(unknown))}")
            given["augmentation"] = Augmentation(**chosen)
        return cls(**given)

    def changes(self, other: Recipe | None = None) -> dict[str, Any]:
        """The fields that differ from those of another recipe, by default from the defaults, with their values here."""
        mine, others = self.as_dict(), (other or Recipe()).as_dict()
        return {name: value for name, value in mine.items() if value != others[name]}

    def _values(self) -> dict[str, Any]:
        return {option.name: getattr(self, option.name) for option in fields(self)}

    # Checks ---------------------------------------------------------------------------------------------------------

    def _check_choices(self) -> None:
        """Words, flags and lists."""
        for name, known in (
            ("data", DATA),
            ("standardize", get_args(StandardizeKind)),
            ("pool", (None, "each", "last")),
            ("activation", ACTIVATIONS),
            ("batch_norm", (None, "before", "after")),
            ("init", (None, *(set(INITIALIZERS) - {"constant"}))),
            ("optimizer", OPTIMIZERS),
            ("schedule", (None, "onecycle", "cosine")),
            ("stop_on", ("loss", "increases")),
            ("keep", ("best", "last")),
        ):
            _check_choice(name, getattr(self, name), known)
        for name in ("output_softmax", "averaged"):
            check_flag("Recipe", name, getattr(self, name))
        for name in ("hidden", "conv"):
            sizes = getattr(self, name)
            if not isinstance(sizes, Iterable) or isinstance(sizes, str):
                raise _wrong(name, sizes, "a tuple of whole numbers")
            checked = tuple(check_count("Recipe", name, size) for size in cast("Iterable[Any]", sizes))
            object.__setattr__(self, name, checked)  # a list, as JSON has it, becomes a tuple
        if not isinstance(cast(object, self.augmentation), Augmentation):
            raise _wrong("augmentation", self.augmentation, "a data.Augmentation")

    def _check_numbers(self) -> None:
        for name in ("validation", "dropout", "conv_dropout", "label_smoothing"):
            self._check_range(name, 0.0, 1.0)
        for name in ("l1", "l2"):
            self._check_range(name, 0.0)
        for name, high in (
            ("weight_decay", float("inf")),
            ("momentum", 1.0),
            ("ema", 1.0),
            ("clip_norm", float("inf")),
        ):
            if getattr(self, name) is not None:
                self._check_range(name, 0.0, high)
        if self.negative_slope is not None:
            self._check_range("negative_slope", -float("inf"))
        if not self._check_range("lr", 0.0):
            raise _wrong("lr", self.lr, "more than 0")
        for name in ("batch_size", "epochs"):
            check_count("Recipe", name, getattr(self, name))
        for name, low in (("limit", 1), ("folds", 2), ("patience", 1)):
            if getattr(self, name) is not None:
                check_count("Recipe", name, getattr(self, name), low)

    def _check_range(self, name: str, low: float, high: float = float("inf")) -> float:
        return check_range("Recipe", name, getattr(self, name), low, high)

    def _check_together(self) -> None:
        """What fits alone, but not with another field."""
        if self.negative_slope is not None and self.activation != "leaky_relu":
            raise _wrong("negative_slope", self.negative_slope, f"None with activation={self.activation!r}")
        if self.momentum is not None and self.optimizer not in ("sgd", "rmsprop"):
            raise _wrong("momentum", self.momentum, f"None with optimizer={self.optimizer!r}")
        if self.averaged and (self.optimizer != "sgd" or not self.momentum):
            raise _wrong("averaged", self.averaged, "False unless optimizer='sgd' has a momentum")
        for name in ("pool", "conv_dropout"):
            if getattr(self, name) and not self.conv:
                raise _wrong(name, getattr(self, name), "nothing where conv=() has no convolution")
        if self.pool == "each" and _SIDE >> len(self.conv) == 0:
            raise _wrong(
                "pool", self.pool, f"fewer pools than the {len(self.conv)} of conv: an image has {_SIDE} pixels"
            )
        chooses = self.patience is not None or self.keep == "best"
        if chooses and self.validation == 0 and self.folds is None:
            raise _wrong("validation", self.validation, "more than 0, since patience and keep='best' look at it")
        self._check_images()
        if self.stop_on != "loss" and self.patience is None:
            raise _wrong("stop_on", self.stop_on, "'loss' where patience=None stops nothing")
        if self.batch_norm is not None and not (self.hidden or self.conv):
            raise _wrong("batch_norm", self.batch_norm, "None where hidden=() and conv=() have no layer for it")
        if self.dropout and not self.hidden:
            raise _wrong("dropout", self.dropout, "0 where hidden=() has no layer")
        for name, weights in (
            ("conv", self._weights(self.conv, ())),
            ("hidden", self._weights(self.conv, self.hidden)),
        ):
            if weights > _MOST:
                raise _wrong(name, getattr(self, name), f"at most {_MOST:,} weights; these are {weights:,}")

    def _weights(self, conv: tuple[int, ...], hidden: tuple[int, ...]) -> int:
        """How many weights the net has, as `make_net` makes it, with these layers."""
        channels, side, count = 1, _SIDE, 0
        for place, width in enumerate(conv, start=1):
            count += channels * 9 * width
            channels = width
            if self.pool == "each" or (self.pool == "last" and place == len(conv)):
                side //= 2
        widths = (channels * side * side, *hidden, 10)
        return count + sum(ins * outs for ins, outs in itertools.pairwise(widths))

    @property
    def images(self) -> int:
        """How many images there are that are not held out; with folds all, of which each fold holds out its part."""
        return _IMAGES - (0 if self.folds is not None else round(self.validation * _IMAGES))

    def _check_images(self) -> None:
        """Whether the data set has as many images as are asked for."""
        if self.folds is None and self.validation and not 0 < self.images < _IMAGES:
            raise _wrong("validation", self.validation, f"0, or a part of {_IMAGES:,} images that leaves some for both")
        if self.limit is not None and self.limit > self.images:
            raise _wrong("limit", self.limit, f"at most the {self.images:,} images that are not held out")
        if self.folds is not None and self.folds > (self.limit or _IMAGES):
            what = f"limit={self.limit}" if self.limit else f"the {_IMAGES:,} images"
            raise _wrong("folds", self.folds, f"at most {what}")


def _check_choice(name: str, value: object, known: Iterable[object]) -> None:
    if value not in list(known):
        words = sorted(str(choice) for choice in known)
        raise _wrong(name, value, f"one of {', '.join(words)}{did_you_mean(str(value), words)}")


def _check_names(given: Mapping[str, Any]) -> None:
    known = [option.name for option in fields(Recipe)]
    for name in given:
        if name not in known:
            raise ArgumentError(
                f"Recipe: there is no field {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"
            )


def _wrong(name: str, value: object, expected: str) -> ArgumentError:
    return ArgumentError(f"Recipe: {name}={value!r}, expected {expected}")
