"""Activations as layers, and `activation()`, which makes one by name.

`inplace` is accepted, as scripts written for PyTorch pass it, and changes nothing: an input is never written to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike
from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.ops.checks import check_choice
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.names import did_you_mean
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.checks import check_dtype, check_flag, check_number, check_size
from tinygrad_mlp.nn.linear import Identity
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.parameter import Parameter

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "PReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "activation",
]


class ReLU(Module):
    """max(x, 0), with derivative 0 at 0."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        check_flag(type(self).__name__, "inplace", inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.relu(x)


class PReLU(Module):
    """X where it is positive, weight · x elsewhere, with the weight learnt (He et al. 2015, arXiv:1502.01852).

    The weight is (num_parameters,): one slope, or one for each channel of (N, C, …). It starts as `init`.
    """

    weight: Parameter

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        *,
        device: DeviceLike | None = None,
        dtype: DtypeLike | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters = check_size("PReLU", "num_parameters", num_parameters)
        self.init = check_number("PReLU", "init", init)
        self.weight = Parameter(np.full(self.num_parameters, self.init, check_dtype("PReLU", dtype, device)))

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """`num_parameters=1`."""
        return f"num_parameters={self.num_parameters}"


class LeakyReLU(Module):
    """X where it is positive, negative_slope · x elsewhere."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = check_number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """`negative_slope=0.01`."""
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """X where it is positive, alpha (eˣ - 1) elsewhere (Clevert et al. 2015, arXiv:1511.07289)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = check_number("ELU", "alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        """`alpha=1.0`."""
        return f"alpha={self.alpha}"


class GELU(Module):
    """x · Φ(x) (Hendrycks & Gimpel 2016, arXiv:1606.08415), or with `approximate="tanh"` its form with tanh."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        check_choice("GELU", "approximate", approximate, ("none", "tanh"))
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """`approximate='none'`."""
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x · sigmoid(x), also called swish."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        check_flag(type(self).__name__, "inplace", inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.silu(x)


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.sigmoid(x)


class LogSigmoid(Module):
    """log(sigmoid(x)), finite for every finite x."""

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.logsigmoid(x)


class Softplus(Module):
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = check_number("Softplus", "beta", beta, 0.0, above=True)
        self.threshold = check_number("Softplus", "threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """`beta=1.0, threshold=20.0`."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.tanh(x)


class Hardtanh(Module):
    """X cut to min_val..max_val."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val = check_number("Hardtanh", "min_val", min_val)
        self.max_val = check_number("Hardtanh", "max_val", max_val, self.min_val, above=True)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """`min_val=-1.0, max_val=1.0`."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Softmax(Module):
    """exp(x) over its sum along `dim`. For training use `CrossEntropyLoss`, which takes logits and holds a softmax.

    Raises `ArgumentError` without a `dim`: the one that PyTorch then guesses from the shape is deprecated there.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = _given_dim("Softmax", dim)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """`dim=1`."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """log(softmax(x)) along `dim`, without its loss of accuracy. Raises as `Softmax` does."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = _given_dim("LogSoftmax", dim)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        """`dim=1`."""
        return f"dim={self.dim}"


def _given_dim(layer: str, dim: int | None) -> int:
    if dim is None:
        raise ArgumentError(
            f"{layer}: got no dim; PyTorch's implicit one is deprecated, and is 1 for inputs (N, C) and (N, C, H, W), "
            f"0 for 1-d and 3-d ones; write nn.{layer}(dim=1) for logits (N, C)"
        )
    return dim


ACTIVATIONS: dict[str, type[Module]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "sigmoid": Sigmoid,
    "logsigmoid": LogSigmoid,
    "softplus": Softplus,
    "tanh": Tanh,
    "hardtanh": Hardtanh,
    "identity": Identity,
}
"""The layers that `activation()` makes, by name."""


def activation(name: str, **settings: Any) -> Module:
    """The activation layer of this name, such as "relu"; settings go to its constructor.

    Raises `ArgumentError`, listing the names, for one that is not known.

    >>> nn.activation("leaky_relu", negative_slope=0.2)
    LeakyReLU(negative_slope=0.2)
    """
    if name not in ACTIVATIONS:
        hint = did_you_mean(str(name), ACTIVATIONS)
        raise ArgumentError(f"unknown activation {name!r}{hint}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name](**settings)
