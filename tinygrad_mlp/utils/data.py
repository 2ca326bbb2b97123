"""Data sets and loaders under the name of `torch.utils.data`; `tinygrad_mlp.data` has these and more."""

from tinygrad_mlp.data import DataLoader, Dataset, Subset, TensorDataset, random_split

__all__ = ["DataLoader", "Dataset", "Subset", "TensorDataset", "random_split"]
