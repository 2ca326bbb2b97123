"""Modules: layers, containers, losses and initialisers under PyTorch's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_mlp.missing import getter
from tinygrad_mlp.nn import functional, init, utils
from tinygrad_mlp.nn.activation import (
    ACTIVATIONS,
    ELU,
    GELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    activation,
)
from tinygrad_mlp.nn.container import ModuleDict, ModuleList, ParameterList, Sequential
from tinygrad_mlp.nn.conv import Conv1d, Conv2d
from tinygrad_mlp.nn.conv_transpose import ConvTranspose1d, ConvTranspose2d
from tinygrad_mlp.nn.dropout import Dropout, Dropout1d, Dropout2d
from tinygrad_mlp.nn.embedding import Embedding
from tinygrad_mlp.nn.linear import Flatten, Identity, Linear, Unflatten
from tinygrad_mlp.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from tinygrad_mlp.nn.padding import CircularPad2d, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from tinygrad_mlp.nn.parameter import Parameter
from tinygrad_mlp.nn.pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from tinygrad_mlp.nn.pool_lines import AdaptiveAvgPool1d, AvgPool1d, MaxPool1d
from tinygrad_mlp.nn.residual import ResidualBlock
from tinygrad_mlp.nn.resize import Upsample
from tinygrad_mlp.nn.summary import summary

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "CircularPad2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "PReLU",
    "Parameter",
    "ParameterList",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "ResidualBlock",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unflatten",
    "Upsample",
    "ZeroPad2d",
    "activation",
    "functional",
    "init",
    "summary",
    "utils",
]

if not TYPE_CHECKING:  # type checkers are to report unknown names too
    __getattr__ = getter(__name__, __all__)
