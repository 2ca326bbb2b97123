"""Functions of tensors under the names of `torch.nn.functional`: `import tinygrad_mlp.nn.functional as F`.

Each is written down, with its shapes and errors, in `autodiff/ops`: the layers of `nn` hold parameters and call these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_mlp.autodiff.ops.activation import (
    elu,
    gelu,
    hardtanh,
    leaky_relu,
    logsigmoid,
    prelu,
    relu,
    sigmoid,
    silu,
    softplus,
)
from tinygrad_mlp.autodiff.ops.class_loss import cross_entropy, nll_loss
from tinygrad_mlp.autodiff.ops.conv import conv1d, conv2d
from tinygrad_mlp.autodiff.ops.conv_transpose import conv_transpose1d, conv_transpose2d
from tinygrad_mlp.autodiff.ops.elementary import tanh
from tinygrad_mlp.autodiff.ops.embedding import embedding
from tinygrad_mlp.autodiff.ops.group_norm import group_norm
from tinygrad_mlp.autodiff.ops.linear import linear
from tinygrad_mlp.autodiff.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from tinygrad_mlp.autodiff.ops.norm import batch_norm, cosine_similarity, layer_norm, normalize
from tinygrad_mlp.autodiff.ops.order import one_hot
from tinygrad_mlp.autodiff.ops.pad import pad
from tinygrad_mlp.autodiff.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from tinygrad_mlp.autodiff.ops.pool_lines import adaptive_avg_pool1d, avg_pool1d, max_pool1d
from tinygrad_mlp.autodiff.ops.random import dropout, dropout1d, dropout2d
from tinygrad_mlp.autodiff.ops.resize import interpolate
from tinygrad_mlp.autodiff.ops.softmax import log_softmax, softmax
from tinygrad_mlp.missing import getter

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "hardtanh",
    "huber_loss",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "max_pool1d",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "prelu",
    "relu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]

if not TYPE_CHECKING:  # type checkers are to report unknown names too
    __getattr__ = getter(__name__, __all__)
