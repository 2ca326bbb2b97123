"""What the labels of a batch weigh in the mean that a loss takes: by their classes; nothing where it ignores them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.augmentation import AugmentedImages
from tinygrad_mlp.data.concat import ConcatDataset
from tinygrad_mlp.data.dataset import Subset, TensorDataset, draws_as
from tinygrad_mlp.data.image import ImageDataset
from tinygrad_mlp.kernels.launch import Array, kernel
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.loss import CrossEntropyLoss, NLLLoss

__all__ = ["Weighting", "add_scores_of_counted", "counts_all_alike", "ignored_label", "weighting_of"]


@dataclass(frozen=True)
class Weighting:
    """The weight of each class (C,), of 1 where there are none, and the label of samples that do not count."""

    class_weight: Array | None
    ignored: int

    def counted(self, labels: Array) -> Array | slice:
        """Which samples count: a mask of the shape of `labels`, or all of them."""
        mask = labels != self.ignored
        return slice(None) if mask.all() else mask

    def of_batch(self, target: Array) -> float:
        """What a batch weighs beside others: as many as it has samples, where each counts and weighs 1.

        `target` is (N, …), integers, or floats that are a probability for each class.
        """
        if target.dtype.kind == "f":  # the mean over these is over samples
            return float(len(target))
        labels = target[self.counted(target)]
        weight = labels.size if self.class_weight is None else self.class_weight[labels].sum(dtype=np.float64)
        return float(weight) * len(target) / target.size


def weighting_of(loss: object) -> Weighting | None:
    """How this loss weighs labels, where it is a mean of `cross_entropy` or `nll_loss`; None for all others."""
    if isinstance(loss, CrossEntropyLoss | NLLLoss):
        settings: dict[str, Any] = {name: getattr(loss, name) for name in ("weight", "ignore_index", "reduction")}
    else:
        made = cast("partial[Any]", loss) if isinstance(loss, partial) else None
        if (loss if made is None else made.func) not in (F.cross_entropy, F.nll_loss):
            return None
        settings = {} if made is None else made.keywords
    if settings.get("reduction", "mean") != "mean":
        return None
    weight: Tensor | None = settings.get("weight")
    return Weighting(None if weight is None else weight.array, int(settings.get("ignore_index", -100)))


def ignored_label(loss: object, dataset: object) -> int | None:
    """The label that this loss ignores, if samples of this data set have it or may have it."""
    weighting, labels = weighting_of(loss), _labels(dataset)
    if weighting is None or (labels is not None and weighting.ignored not in labels):
        return None
    return weighting.ignored


def counts_all_alike(loss: object, dataset: object) -> bool:
    """Whether this is `cross_entropy` or `nll_loss` and weighs all samples alike: no class weights, none ignored."""
    weighting = weighting_of(loss)
    return weighting is not None and weighting.class_weight is None and ignored_label(loss, dataset) is None


def _labels(dataset: object) -> Array | None:
    """All labels, those of the whole also for a part of it, where they can be had without drawing samples."""
    while draws_as(dataset, Subset) or draws_as(dataset, AugmentedImages):
        dataset = dataset.dataset
    if draws_as(dataset, ConcatDataset):
        parts = [_labels(part) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return np.concatenate([part.ravel() for part in known]) if len(known) == len(parts) else None
    if draws_as(dataset, ImageDataset):
        return dataset.labels
    return dataset.arrays[-1] if type(dataset) is TensorDataset else None


@kernel(writes=("loss_sum", "counts"), compiled=False)
def add_scores_of_counted(
    loss: Array, logits: Array, labels: Array, ignored: int, loss_sum: Array, counts: Array
) -> None:
    """What `kernels.score.add_scores` does, of those samples alone that have another label than `ignored`."""
    counted = labels != ignored
    samples = np.count_nonzero(counted)
    loss_sum[0] += np.float64(loss[0]) * samples
    right = np.count_nonzero(logits[counted].argmax(1) == labels[counted])
    counts += np.array([right, samples, samples])
