"""Layers that pad images."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError

IMAGES = np.random.default_rng(0).standard_normal((2, 3, 5, 4))


@pytest.mark.parametrize(
    ("layer", "mode"),
    [
        (nn.ZeroPad2d, "constant"),
        (nn.ReflectionPad2d, "reflect"),
        (nn.ReplicationPad2d, "edge"),
        (nn.CircularPad2d, "wrap"),
    ],
)
def test_pads_the_last_two_dimensions(layer: type[nn.Module], mode: str) -> None:
    for padding, widths in ((2, ((2, 2), (2, 2))), ((1, 2, 3, 0), ((3, 0), (1, 2)))):
        expected = np.pad(IMAGES, ((0, 0), (0, 0), *widths), mode)
        np.testing.assert_array_equal(layer(padding)(Tensor(IMAGES)).array, expected)
        np.testing.assert_array_equal(layer(padding)(Tensor(IMAGES[0])).array, expected[0])
    assert repr(layer(1)) == f"{layer.__name__}((1, 1, 1, 1))"
    with pytest.raises(ArgumentError, match=rf"{layer.__name__}: padding is \(1, 2\), expected a number or \(left"):
        layer((1, 2))
    with pytest.raises(ShapeError, match=rf"{layer.__name__}: input has shape \(5, 4\), expected \(N, C, H, W\)"):
        layer(1)(Tensor(IMAGES[0, 0]))


def test_negative_widths_cut_off() -> None:
    np.testing.assert_array_equal(nn.ZeroPad2d((-1, 0, 0, -2))(Tensor(IMAGES)).array, IMAGES[:, :, :-2, 1:])
