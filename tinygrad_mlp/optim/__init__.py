"""Optimizers, learning-rate schedules, gradient clipping, averaged weights, under PyTorch's names."""

from tinygrad_mlp.optim.adagrad import Adadelta, Adagrad
from tinygrad_mlp.optim.adam import Adam, AdamW
from tinygrad_mlp.optim.average import ExponentialMovingAverage
from tinygrad_mlp.optim.clip import clip_grad_norm_, clip_grad_value_
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.rmsprop import RMSprop
from tinygrad_mlp.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "ExponentialMovingAverage",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
]
