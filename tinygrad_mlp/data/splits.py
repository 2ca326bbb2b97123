"""Split a data set by index: training and validation parts, k folds, each plain or stratified by label.

Every function returns sorted int64 index arrays and is a pure function of its arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.data.permutation import Purpose, check_seed, permutation
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError

__all__ = ["plain_folds", "plain_split", "stratified_folds", "stratified_pick", "stratified_split"]

Indices = NDArray[np.int64]


def plain_split(count: int, fraction: float, seed: int = 0) -> tuple[Indices, Indices]:
    """Split 0 to count - 1 at random in (training, validation); validation gets round(fraction * count).

    Raises `ArgumentError` for a fraction outside 0 <= fraction < 1.
    """
    return _pick_evenly(permutation(count, check_seed(seed, "plain_split"), Purpose.SPLIT), fraction, "plain_split")


def stratified_split(labels: NDArray[Any], fraction: float, seed: int = 0) -> tuple[Indices, Indices]:
    """Split samples at random in (training, validation), each class in the same proportion.

    Parameters
    ----------
    labels:
        (N,) integers.
    fraction:
        Part of the samples that goes to validation, 0 <= fraction < 1: exactly round(fraction * N) in all, and from
        each class its share to within one sample.
    seed:
        Which samples those are.

    Raises `ArgumentError` for a fraction out of range, `DtypeError` for labels that are not integers.

    >>> training, validation = stratified_split(np.repeat([0, 1], [80, 20]), fraction=0.2)
    >>> len(training), len(validation), int(np.sum(validation >= 80))
    (80, 20, 4)
    """
    return _pick_evenly(_shuffled_by_class(labels, seed, "stratified_split"), fraction, "stratified_split")


def plain_folds(count: int, folds: int, seed: int = 0) -> list[tuple[Indices, Indices]]:
    """Deal 0 to count - 1 at random into folds; return (training, validation) for each fold as validation part.

    Raises `ArgumentError` unless 2 <= folds <= count.
    """
    return _deal(permutation(count, check_seed(seed, "plain_folds"), Purpose.SPLIT), folds, "plain_folds")


def stratified_folds(labels: NDArray[Any], folds: int, seed: int = 0) -> list[tuple[Indices, Indices]]:
    """Deal samples at random into folds, each class evenly; return (training, validation) for each fold.

    Sizes of folds, and of each class in them, differ by one at most. labels: (N,) integers.

    Raises `ArgumentError` unless 2 <= folds <= N, `DtypeError` for labels that are not integers.
    """
    return _deal(_shuffled_by_class(labels, seed, "stratified_folds"), folds, "stratified_folds")


def stratified_pick(labels: NDArray[Any], count: int, seed: int = 0) -> Indices:
    """Pick `count` samples at random, each class by its share to within one; sorted indices (count,)."""
    order = _shuffled_by_class(labels, seed, "stratified_pick")
    return np.sort(order[_spread(len(order), count)])


def _spread(count: int, chosen: int) -> NDArray[np.bool_]:
    """Mask of exactly `chosen` of `count` positions, evenly spaced: n in a row hold n * chosen / count to within 1."""
    position = np.arange(count, dtype=np.int64)
    return (position + 1) * chosen // count > position * chosen // count


def _shuffled_by_class(labels: NDArray[Any], seed: int, where: str) -> Indices:
    """Sample indices with each class in one run, in random order within it."""
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ShapeError(f"{where}: labels have shape {labels.shape}, expected (N,)")
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"{where}: labels are {labels.dtype}, expected integers")
    order = permutation(len(labels), check_seed(seed, where), Purpose.SPLIT)
    return order[np.argsort(labels[order], kind="stable")]


def _pick_evenly(order: Indices, fraction: float, where: str) -> tuple[Indices, Indices]:
    if not 0 <= fraction < 1:
        raise ArgumentError(f"{where}: fraction is {fraction}, expected 0 <= fraction < 1, for instance 0.2")
    validation = _spread(len(order), round(fraction * len(order)))
    return np.sort(order[~validation]), np.sort(order[validation])


def _deal(order: Indices, folds: int, where: str) -> list[tuple[Indices, Indices]]:
    if not 2 <= folds <= len(order):
        raise ArgumentError(f"{where}: folds is {folds}, expected 2 to {len(order)} (the number of samples)")
    fold_of = np.arange(len(order)) % folds
    return [(np.sort(order[fold_of != fold]), np.sort(order[fold_of == fold])) for fold in range(folds)]
