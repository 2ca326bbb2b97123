"""Data sets and loaders under the name of `torch.utils.data`; `tinygrad_mlp.data` has these and more."""

from tinygrad_mlp.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split

__all__ = ["ConcatDataset", "DataLoader", "Dataset", "Subset", "TensorDataset", "random_split"]
