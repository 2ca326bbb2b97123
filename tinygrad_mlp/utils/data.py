"""Data sets and loaders under the name of `torch.utils.data`; `tinygrad_mlp.data` has these and more."""

from typing import TYPE_CHECKING

from tinygrad_mlp.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split
from tinygrad_mlp.missing import getter

__all__ = ["ConcatDataset", "DataLoader", "Dataset", "Subset", "TensorDataset", "random_split"]

if not TYPE_CHECKING:  # type checkers are to report unknown names too
    __getattr__ = getter(__name__, __all__)
