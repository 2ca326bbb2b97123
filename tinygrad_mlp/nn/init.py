"""Initialisers under PyTorch's names. Each fills a tensor in place, whatever its strides, and returns it.

Random ones draw from `generator`, by default the one that `tg.manual_seed` seeds. Values depend on the logical shape
alone, not on the order in which memory holds it. For a tensor (out, in, …), fan_in is in · … and fan_out is out · ….

All raise `DtypeError` for what is no floating-point Tensor (`zeros_`, `ones_` and `constant_` take integers too),
`ShapeError` where fans are needed and there are fewer than two dimensions, `ArgumentError` for settings out of range.

>>> nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("tanh"))
>>> net.apply(lambda module: nn.init.orthogonal_(module.weight) if isinstance(module, nn.Linear) else None)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_floats
from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.names import did_you_mean

__all__ = [
    "INITIALIZERS",
    "calculate_gain",
    "constant_",
    "initializer",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    with no_grad():
        return tensor.fill_(val)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in a..b. Raises `ArgumentError` unless a <= b."""
    check_floats("uniform_", tensor=tensor)
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with this mean and standard deviation. Raises `ArgumentError` for a negative one."""
    check_floats("normal_", tensor=tensor)
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


_GAINS: dict[str, Callable[[float], float]] = {
    "linear": lambda _: 1.0,
    "conv1d": lambda _: 1.0,
    "conv2d": lambda _: 1.0,
    "sigmoid": lambda _: 1.0,
    "tanh": lambda _: 5.0 / 3.0,
    "relu": lambda _: math.sqrt(2.0),
    "leaky_relu": lambda slope: math.sqrt(2.0 / (1.0 + slope**2)),
    "selu": lambda _: 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor for the standard deviation in front of a nonlinearity, PyTorch's table; `param` is leaky_relu's slope.

    Raises `ArgumentError`, listing the names, for one that is not known.
    """
    check_choice("calculate_gain", "nonlinearity", nonlinearity, tuple(_GAINS))
    return _GAINS[nonlinearity](0.01 if param is None else float(param))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform with variance gain² · 2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 16)."""
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    return _uniform_of_std(tensor, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with variance gain² · 2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 12)."""
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform with variance gain² / fan (He et al. 2015, arXiv:1502.01852, eq. 10 and 14).

    `mode` is "fan_in" or "fan_out"; the gain is that of `nonlinearity`, `a` the slope of a leaky_relu (0: relu).
    """
    return _uniform_of_std(tensor, _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity), generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with variance gain² / fan; see `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def lecun_uniform_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Uniform with variance 1 / fan_in (LeCun et al. 1998, "Efficient BackProp", section 4.6)."""
    return _uniform_of_std(tensor, math.sqrt(1.0 / _fans("lecun_uniform_", tensor)[0]), generator)


def lecun_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Normal with variance 1 / fan_in (LeCun et al. 1998, "Efficient BackProp", section 4.6)."""
    return normal_(tensor, 0.0, math.sqrt(1.0 / _fans("lecun_normal_", tensor)[0]), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Gain times a random matrix (out, in · …) with orthonormal rows or columns, whichever are fewer.

    (Saxe et al. 2014, arXiv:1312.6120.) Uniformly distributed over all such matrices.
    """
    check_floats("orthogonal_", tensor=tensor)
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: expected at least two dimensions, got shape {tensor.shape}")
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    few, many = sorted((rows, columns))
    basis = np.empty((few, many))
    (generator or default_generator).fill_normal(basis)
    _orthonormalise_rows(basis)
    matrix = basis if rows <= columns else basis.T
    with no_grad():
        return tensor.copy_((gain * matrix).reshape(tensor.shape))


def _orthonormalise_rows(basis: Array) -> None:
    """Gram–Schmidt on the rows of a float64 matrix of full rank, in place, each projected twice for accuracy.

    (Giraud et al. 2005, "The loss of orthogonality in the Gram–Schmidt orthogonalization process".) Not
    `np.linalg.qr`: the bits of BLAS change with its number of threads, those of einsum do not.
    """
    for row in range(len(basis)):
        vector, earlier = basis[row], basis[:row]
        for _ in range(2):
            along = np.einsum("ij,j->i", earlier, vector)
            vector -= np.einsum("i,ij->j", along, earlier)
        vector /= math.sqrt(np.einsum("j,j->", vector, vector))


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """fan_in and fan_out; at least 1, so that a tensor without elements needs no special case."""
    check_floats(name, tensor=tensor)
    if tensor.ndim < 2:
        raise ShapeError(f"{name}: fan_in and fan_out need at least two dimensions (out, in, …), got {tensor.shape}")
    receptive = math.prod(tensor.shape[2:])
    return max(tensor.shape[1] * receptive, 1), max(tensor.shape[0] * receptive, 1)


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    check_choice(name, "mode", mode, ("fan_in", "fan_out"))
    fan_in, fan_out = _fans(name, tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def _uniform_of_std(tensor: Tensor, std: float, generator: Generator | None) -> Tensor:
    bound = math.sqrt(3.0) * std  # the variance of a uniform distribution in ±b is b²/3
    return uniform_(tensor, -bound, bound, generator)


INITIALIZERS: dict[str, Callable[..., Tensor]] = {
    "zeros": zeros_,
    "ones": ones_,
    "constant": constant_,
    "uniform": uniform_,
    "normal": normal_,
    "xavier_uniform": xavier_uniform_,
    "xavier_normal": xavier_normal_,
    "kaiming_uniform": kaiming_uniform_,
    "kaiming_normal": kaiming_normal_,
    "lecun_uniform": lecun_uniform_,
    "lecun_normal": lecun_normal_,
    "orthogonal": orthogonal_,
}
"""The initialisers by name, for settings and command lines."""


def initializer(name: str) -> Callable[..., Any]:
    """The initialiser of this name, such as "xavier_uniform". Raises `ArgumentError`, listing the names, if unknown."""
    if name not in INITIALIZERS:
        hint = did_you_mean(str(name), INITIALIZERS)
        raise ArgumentError(f"unknown initialiser {name!r}{hint}; known are {', '.join(INITIALIZERS)}")
    return INITIALIZERS[name]
