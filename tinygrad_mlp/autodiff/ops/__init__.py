"""The ops, one file per family. Importing this attaches each family's METHODS to `Tensor`."""

from __future__ import annotations

from tinygrad_mlp.autodiff import engine
from tinygrad_mlp.autodiff.ops import (
    activation,
    arithmetic,
    arrange,
    compare,
    elementary,
    gather,
    index,
    inplace,
    linear,
    moments,
    order,
    random,
    reduce,
    shape,
    softmax,
)
from tinygrad_mlp.autodiff.tensor import Tensor

__all__: list[str] = []

for _family in (
    activation,
    arithmetic,
    arrange,
    compare,
    elementary,
    gather,
    index,
    inplace,
    linear,
    moments,
    order,
    random,
    reduce,
    shape,
    softmax,
):
    for _name, _method in _family.METHODS.items():
        setattr(Tensor, _name, _method)
setattr(Tensor, "backward", engine.backward)  # noqa: B010  declared in methods.py, which a plain assignment would redefine
