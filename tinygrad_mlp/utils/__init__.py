"""`torch.utils`, of which there is `data`."""

from tinygrad_mlp.utils import data

__all__ = ["data"]
