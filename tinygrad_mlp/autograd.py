"""Gradients under the names of `torch.autograd`; `tg` has them all, too."""

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
