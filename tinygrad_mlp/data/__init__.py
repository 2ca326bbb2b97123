"""Data: Fashion-MNIST and MNIST with checked files, data sets, splits, standardisation, and the DataLoader."""

from typing import TYPE_CHECKING

from tinygrad_mlp.data.augmentation import Augmentation, AugmentedImages
from tinygrad_mlp.data.catalog import ImageSplits, fashion_mnist, mnist, synthetic_fashion
from tinygrad_mlp.data.collate import collate
from tinygrad_mlp.data.concat import ConcatDataset
from tinygrad_mlp.data.dataset import BatchDataset, Dataset, Subset, TensorDataset, random_split
from tinygrad_mlp.data.idx import read_idx, write_idx
from tinygrad_mlp.data.image import ImageDataset, k_fold
from tinygrad_mlp.data.loader import DataLoader
from tinygrad_mlp.data.splits import plain_folds, plain_split, stratified_folds, stratified_split
from tinygrad_mlp.data.transforms import Standardization, StandardizeKind, fit_standardization, one_hot
from tinygrad_mlp.missing import getter

__all__ = [
    "Augmentation",
    "AugmentedImages",
    "BatchDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "ImageDataset",
    "ImageSplits",
    "Standardization",
    "StandardizeKind",
    "Subset",
    "TensorDataset",
    "collate",
    "fashion_mnist",
    "fit_standardization",
    "k_fold",
    "mnist",
    "one_hot",
    "plain_folds",
    "plain_split",
    "random_split",
    "read_idx",
    "stratified_folds",
    "stratified_split",
    "synthetic_fashion",
    "write_idx",
]

if not TYPE_CHECKING:  # type checkers are to report unknown names too
    __getattr__ = getter(__name__, __all__)
