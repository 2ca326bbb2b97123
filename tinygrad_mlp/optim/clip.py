"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, NonFiniteError
from tinygrad_mlp.kernels.copy import flat_view
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import clip_scale, square_sum

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, error_if_nonfinite: bool = False) -> Tensor:
    """Scale all gradients together so that their common 2-norm is at most `max_norm`; returns the norm before.

    Gradients are multiplied in place by max_norm/(norm + 1e-6) where that is below 1 (Pascanu et al. 2013, algorithm 1).

    Raises
    ------
    ArgumentError
        A negative `max_norm`.
    NonFiniteError
        The norm is NaN or infinite and `error_if_nonfinite` is set (`optimizer.step()` raises in any case).
    """
    if not max_norm >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm={max_norm!r}, expected at least 0")
    gradients = _gradients(parameters)
    total = np.zeros(1)
    launch(np.multiply, total, 0.0, total)
    for gradient in gradients:
        launch(square_sum, flat_view(gradient.array), total)
    norm = np.empty(1)
    launch(np.sqrt, total, norm)
    if error_if_nonfinite and not np.isfinite(norm).all():
        raise NonFiniteError(f"clip_grad_norm_: the norm of the gradients is {norm.item()}")
    for gradient in gradients:
        launch(clip_scale, flat_view(gradient.array), total, float(max_norm))
        gradient.counter[0] += 1
    dtype = gradients[0].dtype if gradients else np.dtype(np.float32)
    return wrap(norm.reshape(()).astype(dtype))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of each gradient to −clip_value…clip_value, in place."""
    if not clip_value >= 0:
        raise ArgumentError(f"clip_grad_value_: clip_value={clip_value!r}, expected at least 0")
    for gradient in _gradients(parameters):
        gradient.clamp_(-clip_value, clip_value)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    members = [parameters] if isinstance(parameters, Tensor) else parameters
    return [parameter.grad for parameter in members if parameter.grad is not None]
