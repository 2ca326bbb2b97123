"""Modules: layers, containers, losses and initialisers under PyTorch's names."""

from __future__ import annotations

from tinygrad_mlp.nn.container import ModuleDict, ModuleList, Sequential
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.parameter import Parameter
from tinygrad_mlp.nn.summary import summary

__all__ = ["Module", "ModuleDict", "ModuleList", "Parameter", "Sequential", "summary"]
