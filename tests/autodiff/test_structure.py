"""Arguments taken apart: the short way gives what the long one does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.structure import flatten, flatten_arguments
from tinygrad_mlp.autodiff.tensor import Tensor

X, Y = Tensor(np.ones(3)), np.arange(4)


class Marked(np.ndarray):
    """An array of a kind of its own."""


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((X,), {}),
        ((X, Y), {}),
        ((Y, X, X), {}),
        ((X,), {"y": Y}),
        ((), {"x": X}),
        ((X, 1), {}),
        (([X], Y), {}),
        ((nn.Parameter(np.ones(2)), Y.view(Marked)), {}),
    ],
)
def test_the_short_way_gives_what_the_long_one_does(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for _ in range(2):
        leaves, outline = flatten_arguments(args, kwargs)
        expected, expected_outline = flatten((args, kwargs))
        assert outline == expected_outline
        assert [id(leaf) for leaf in leaves] == [id(leaf) for leaf in expected]
