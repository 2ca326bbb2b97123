"""Normalisation: BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike
from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.ops.inplace import count_up
from tinygrad_mlp.autodiff.ops.norm_pool import batch_norm_pool
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn import init
from tinygrad_mlp.nn.checks import check_dtype, check_number, check_size
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.parameter import Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm"]


class _BatchNorm(Module):
    """Normalise each channel over the batch (Ioffe & Szegedy 2015, arXiv:1502.03167)."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    _shapes: str  # of its input, for messages
    _ndims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        device: DeviceLike | None = None,
        dtype: DtypeLike | None = None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        size = self.num_features = check_size(layer, "num_features", num_features)
        self.eps = check_number(layer, "eps", eps, 0.0)
        self.momentum = None if momentum is None else check_number(layer, "momentum", momentum, 0.0, 1.0)
        self.affine = affine
        self.track_running_stats = track_running_stats
        kind = check_dtype(layer, dtype, device)
        self.register_parameter("weight", Parameter(np.ones(size, kind)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(size, kind)) if affine else None)
        self.register_buffer("running_mean", Tensor(np.zeros(size, kind)) if track_running_stats else None)
        self.register_buffer("running_var", Tensor(np.ones(size, kind)) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", Tensor(np.zeros((), np.int64)) if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Forget the batches that were seen: mean 0, variance 1, count 0."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and no batches seen."""
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, x: Tensor, activation: str | None = None, pool: bool = False) -> Tensor:
        """Of the shape of x; in training the running statistics move towards those of the batch.

        `activation="relu"` cuts the result at 0 on the way, and `pool` (of images, in training) also takes the maxima
        of windows of 2 x 2; `nn.Sequential` does so where a ReLU, and a MaxPool2d(2), follow.
        """
        if x.ndim not in self._ndims or x.shape[1] != self.num_features:
            expected = self._shapes.format(self.num_features)
            raise ShapeError(f"{type(self).__name__}: input has shape {x.shape}, expected {expected}")
        uses_statistics = self.track_running_stats or not self.training
        statistics = (self.running_mean, self.running_var) if uses_statistics else (None, None)
        momentum = self._next_momentum()
        if pool:
            out = batch_norm_pool(x, *statistics, self.weight, self.bias, momentum, self.eps)
        else:
            out = F.batch_norm(x, *statistics, self.weight, self.bias, self.training, momentum, self.eps, activation)
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            with no_grad():
                count_up(self.num_batches_tracked)
        return out

    def _next_momentum(self) -> float:
        """The part of the running statistics that this batch replaces."""
        if self.momentum is not None:
            return self.momentum
        if self.num_batches_tracked is None or not self.track_running_stats or not self.training:
            return 0.0  # nothing is replaced
        return 1.0 / (self.num_batches_tracked.item() + 1)  # the plain mean of all batches seen

    def extra_repr(self) -> str:
        """`50, eps=1e-05, momentum=0.1`."""
        settings = f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"
        return (
            settings
            + ("" if self.affine else ", affine=False")
            + ("" if self.track_running_stats else ", track_running_stats=False")
        )


class BatchNorm1d(_BatchNorm):
    """Normalise each feature over the batch: (N, C) or (N, C, L), of the same shape out.

    (x - mean) / √(variance + eps) · weight + bias, with mean and variance of the batch in training, and running ones in
    use (after `eval()`).

    Parameters
    ----------
    num_features:
        C.
    eps:
        Added to the variance.
    momentum:
        The part of the running statistics that each batch replaces; None for the plain mean over all batches (which
        reads a count in Python, so that `tg.capture` cannot record it).
    affine:
        Whether there are weight and bias, (C,), starting as 1 and 0.
    track_running_stats:
        False to use the statistics of the batch also in use. Set to False later, it keeps the running statistics from
        moving in training; in use they count as before.

    Raises
    ------
    ArgumentError
        num_features below 1, eps below 0, momentum outside 0 to 1.
    ShapeError
        When called: another shape, or training with fewer than two values per channel.
    """

    _shapes = "(N, {0}) or (N, {0}, L)"
    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalise each channel of images over batch and pixels: (N, C, H, W), same shape out; see `BatchNorm1d`."""

    _shapes = "(N, {0}, H, W)"
    _ndims = (4,)


class LayerNorm(Module):
    """Normalise each example over its last dimensions (Ba et al. 2016, arXiv:1607.06450).

    Parameters
    ----------
    normalized_shape:
        Sizes of those dimensions; an int for the last one alone.
    eps:
        Added to the variance.
    elementwise_affine:
        Whether there are weight and (if `bias`) bias of that shape, starting as 1 and 0.

    Raises
    ------
    ArgumentError
        A size below 1, eps below 0.
    ShapeError
        When called: the input's last dimensions differ.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        device: DeviceLike | None = None,
        dtype: DtypeLike | None = None,
    ) -> None:
        super().__init__()
        sizes = [normalized_shape] if isinstance(normalized_shape, (SupportsIndex, float)) else normalized_shape
        shape = tuple(check_size("LayerNorm", "normalized_shape", size) for size in sizes)
        if not shape:
            raise ArgumentError("LayerNorm: normalized_shape must hold at least one size, got none")
        self.normalized_shape = shape
        self.eps = check_number("LayerNorm", "eps", eps, 0.0)
        self.elementwise_affine = elementwise_affine
        kind = check_dtype("LayerNorm", dtype, device)
        self.register_parameter("weight", Parameter(np.ones(shape, kind)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(np.zeros(shape, kind)) if elementwise_affine and bias else None)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, *normalized_shape), of the same shape out."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """`(50,), eps=1e-05`."""
        affine = "" if self.elementwise_affine else ", elementwise_affine=False"
        bias = ", bias=False" if self.elementwise_affine and self.bias is None else ""
        return f"{self.normalized_shape}, eps={self.eps}{affine}{bias}"


class GroupNorm(Module):
    """Normalise groups of channels of each image, or sample (Wu & He 2018, arXiv:1803.08494): of the same shape out.

    Parameters
    ----------
    num_groups:
        How many groups the channels make; 1 for all channels together, num_channels for each by itself.
    num_channels:
        C of inputs (N, C) or (N, C, d1, …).
    eps:
        Added to the variance.
    affine:
        Whether there are weight and bias, (C,), starting as 1 and 0.

    Raises
    ------
    ArgumentError
        A number below 1, groups that do not divide the channels, eps below 0.
    ShapeError
        When called: another number of channels, or one value in all of a group.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        device: DeviceLike | None = None,
        dtype: DtypeLike | None = None,
    ) -> None:
        super().__init__()
        self.num_groups = check_size("GroupNorm", "num_groups", num_groups)
        size = self.num_channels = check_size("GroupNorm", "num_channels", num_channels)
        if size % self.num_groups:
            raise ArgumentError(f"GroupNorm: {size} channels do not make {num_groups} equal groups")
        self.eps = check_number("GroupNorm", "eps", eps, 0.0)
        self.affine = affine
        kind = check_dtype("GroupNorm", dtype, device)
        self.register_parameter("weight", Parameter(np.ones(size, kind)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(size, kind)) if affine else None)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) or (N, C, d1, …), of the same shape out."""
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(f"GroupNorm: input has shape {x.shape}, expected (N, {self.num_channels}, …)")
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """`4, 32, eps=1e-05`."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}" + ("" if self.affine else ", affine=False")
