"""The calls of the kernel table on images by PyTorch, in channels_last."""

from __future__ import annotations

import torch

from benchmarks.kernel_calls.images_by_torch import image_builders
from benchmarks.kernel_calls.sweep import commands

__all__ = ["COMMANDS"]

COMMANDS = commands(image_builders(torch.channels_last))
