"""Linear, and the layers that only reshape: Identity, Flatten, Unflatten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike
from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.ops.linear import linear
from tinygrad_mlp.autodiff.ops.shape import flatten
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ShapeError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import init
from tinygrad_mlp.nn.checks import check_dtype, check_size
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.parameter import Parameter

__all__ = ["Flatten", "Identity", "Linear", "Unflatten"]


class Linear(Module):
    """x @ weightᵀ + bias: (…, in_features) -> (…, out_features).

    Attributes
    ----------
    weight:
        (out_features, in_features), a view of memory that holds it as (in_features, out_features), in which order the
        kernels read it.
    bias:
        (out_features,), or None.

    Both start uniform in ±1/√in_features, PyTorch's default.

    Raises
    ------
    ArgumentError
        A size that is not a whole number of at least 1.
    ShapeError
        When called: the last dimension of the input is not in_features.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        device: DeviceLike | None = None,
        dtype: DtypeLike | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features = check_size("Linear", "in_features", in_features)
        self.out_features = check_size("Linear", "out_features", out_features)
        kind = check_dtype("Linear", dtype, device)
        self.weight = Parameter(np.empty((self.in_features, self.out_features), kind).T)
        self.register_parameter("bias", Parameter(np.empty(self.out_features, kind)) if bias else None)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5.0), generator=generator)  # gain √(1/3): ±1/√in
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def forward(self, x: Tensor, activation: str | None = None) -> Tensor:
        """(…, in_features) -> (…, out_features); `Sequential` passes on the activation that follows ("relu", …)."""
        return linear(x, self.weight, self.bias, activation)

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """in_features for each element of the output."""
        return math.prod(output_shape) * self.in_features

    def extra_repr(self) -> str:
        """`50, 10`."""
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class Identity(Module):
    """Returns its input. Takes any arguments, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """X itself."""
        return x


class Flatten(Module):
    """Make one dimension of several: (N, C, H, W) -> (N, C·H·W) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) -> (N, features)."""
        return flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """`start_dim=1, end_dim=-1`."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Make several dimensions of one: `Unflatten(1, (1, 28, 28))` does (N, 784) -> (N, 1, 28, 28).

    Raises `ShapeError`, when called, if the sizes do not multiply to that of the dimension.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(check_size("Unflatten", "each size", size) for size in unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        """(…, a·b, …) -> (…, a, b, …)."""
        shape, size = x.shape, math.prod(self.unflattened_size)
        if not -len(shape) <= self.dim < len(shape) or shape[self.dim] != size:
            raise ShapeError(f"{self}: input has shape {shape}, expected dimension {self.dim} to have size {size}")
        dim = self.dim % len(shape)
        return x.reshape(*shape[:dim], *self.unflattened_size, *shape[dim + 1 :])

    def extra_repr(self) -> str:
        """`1, (1, 28, 28)`."""
        return f"{self.dim}, {self.unflattened_size}"
