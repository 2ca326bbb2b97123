"""How scripts written for PyTorch use modules: what they assign when, and which methods they override."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import nn
from tinygrad_mlp.errors import ArgumentError


def test_parameters_and_modules_take_the_place_of_plain_attributes() -> None:
    """`self.skip = None` first, as torchvision writes it; `self.act = F.relu`, and later a module for it."""

    class Later(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.skip = None
            self.scale = None
            self.act = F.relu
            self.first = nn.Linear(2, 2)
            self.skip = nn.Linear(3, 3)

    net = Later()
    assert (net.scale, net.act) == (None, F.relu)
    net.scale = nn.Parameter(np.ones(1, np.float32))
    net.act = nn.GELU()
    assert list(net.state_dict()) == ["scale", "first.weight", "first.bias", "skip.weight", "skip.bias"]
    assert [name for name, _ in net.named_children()] == ["first", "skip", "act"]
    block = nn.ResidualBlock(16)
    block.downsample = nn.Sequential(nn.Conv2d(16, 16, 1))
    assert "downsample.0.weight" in block.state_dict()
    net.spare = None
    with pytest.raises(ArgumentError, match="part of itself"):
        net.spare = nn.Sequential(net)
    assert vars(net)["spare"] is None  # what could not be replaced is still there
    for name in ("training", "forward"):
        with pytest.raises(ArgumentError, match=f"'{name}' is taken by another attribute or method"):
            setattr(net, name, nn.Linear(2, 2))
    assert net.training is True


def test_train_and_eval_are_those_of_each_module() -> None:
    class Frozen(nn.BatchNorm1d):
        def train(self, mode: bool = True) -> Frozen:
            return super().train(False)

    net = nn.Sequential(nn.Linear(2, 2), nn.ModuleList([Frozen(2), nn.Dropout()]))
    for mode in (True, False, True):
        net.train(mode)
        assert [module.training for module in net.modules()] == [mode, mode, mode, False, mode]
