"""Help with names that were mistyped: see `tinygrad_mlp.names`."""

from tinygrad_mlp.names import did_you_mean, near_miss

__all__ = ["did_you_mean", "near_miss"]
