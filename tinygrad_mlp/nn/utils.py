"""Under the names of `torch.nn.utils`: gradients limited, and parameters as one vector. `optim` has the first, too."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import numpy as np

from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.ops.arrange import cat
from tinygrad_mlp.autodiff.tensor import Tensor, about_to_change, check_reading, wrap
from tinygrad_mlp.errors import ArgumentError, NonFiniteError, ShapeError
from tinygrad_mlp.kernels.copy import flat_view, is_dense
from tinygrad_mlp.kernels.elementwise import fill
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import clip_scale, finish_norm, largest, square_sum

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients together so that their common norm is at most `max_norm`; returns the norm before.

    Gradients are multiplied in place by max_norm/(norm + 1e-6) where that is below 1 (Pascanu et al. 2013, algorithm
    1). The norm is taken over all their elements as over one vector: the 2-norm, or the largest absolute value for
    `norm_type=math.inf`. Where it is NaN or infinite, the gradients stay as they are, and `optimizer.step()` raises.

    Raises
    ------
    ArgumentError
        A negative `max_norm`, or another `norm_type`.
    NonFiniteError
        The norm is NaN or infinite and `error_if_nonfinite` is set.
    """
    limit = _limit("clip_grad_norm_", "max_norm", max_norm)
    if norm_type not in (2, math.inf):
        raise ArgumentError(f"clip_grad_norm_: norm_type={norm_type!r}, expected 2 or math.inf")
    gradients = _gradients(parameters)
    norm = np.empty(1)  # (1,) float64
    launch(fill, norm, 0.0)
    for gradient in gradients:
        launch(square_sum if norm_type == 2 else largest, flat_view(gradient.array), norm)
    result = np.empty(1, np.result_type(*[gradient.dtype for gradient in gradients]) if gradients else np.float32)
    launch(finish_norm, norm, norm_type == 2, result)
    if error_if_nonfinite:
        check_reading("clip_grad_norm_ with error_if_nonfinite")
    if error_if_nonfinite and not np.isfinite(norm[0]):
        raise NonFiniteError(f"clip_grad_norm_: the norm of the gradients is {norm[0]}; no gradient was changed")
    for gradient in gradients:
        about_to_change(gradient)
        launch(clip_scale, flat_view(gradient.array), norm, limit)
        gradient.counter[0] += 1
    return wrap(result.reshape(()))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of each gradient to −clip_value…clip_value, in place.

    Raises `ArgumentError` for a negative `clip_value`.
    """
    limit = _limit("clip_grad_value_", "clip_value", clip_value)
    with no_grad():
        for gradient in _gradients(parameters):
            gradient.clamp_(-limit, limit)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters, in their order, as one vector; gradients pass through."""
    return cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of a vector into the parameters, in their order.

    Raises `ShapeError`, with nothing changed, unless there are as many as the parameters have.
    """
    members = list(parameters)
    count = sum(member.numel() for member in members)
    if vec.shape != (count,):
        raise ShapeError(f"vector_to_parameters: got shape {vec.shape}, expected ({count},), as the parameters have")
    with no_grad():
        for member, part in zip(members, vec.split([member.numel() for member in members]), strict=True):
            member.copy_(part.reshape(member.shape))


def _limit(name: str, argument: str, value: object) -> float:
    """The value as a float, if it is a number of at least 0; infinity is one, NaN is not."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not float(cast(float, value)) >= 0:
        raise ArgumentError(f"{name}: {argument}={value!r}, expected a number of at least 0")
    return float(cast(float, value))


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The gradients that there are, each in dense memory that may be written."""
    members = [parameters] if isinstance(parameters, Tensor) else parameters
    gradients = [parameter.grad for parameter in members if parameter.grad is not None]
    for gradient in gradients:
        if not (is_dense(gradient.array) and gradient.array.flags.writeable):
            gradient.array = gradient.array.copy()
    return gradients
