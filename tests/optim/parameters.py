"""Parameters with gradients, for tests of what optimizers do with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.nn import Parameter


def parameter(*shape: int, fill: float = 1.0, dtype: Any = np.float32, grad: float | None = None) -> Parameter:
    made = Parameter(np.full(shape, fill, dtype))
    if grad is not None:
        made.grad = Tensor(np.full(shape, grad, dtype))
    return made


def random_parameter(*shape: int, seed: int = 0) -> Parameter:
    """With weights stored transposed, as Linear does, and a gradient."""
    rng = np.random.default_rng([30, seed])
    made = Parameter(rng.normal(size=shape[::-1]).T)
    made.grad = Tensor(rng.normal(size=shape))
    return made
