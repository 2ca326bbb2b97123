"""Gradients under the names of `torch.autograd`; `tg` has them all, too."""

from typing import TYPE_CHECKING

from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.gradcheck import gradcheck, gradgradcheck
from tinygrad_mlp.autodiff.mode import (
    anomaly_mode,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)
from tinygrad_mlp.missing import getter

__all__ = [
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

detect_anomaly = anomaly_mode

if not TYPE_CHECKING:  # type checkers are to report unknown names too
    __getattr__ = getter(__name__, __all__)
