"""Convolution kernels: against the definition, with every option, in both dtypes; Winograd's error; bits, threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.autodiff.cases_conv import convolved
from tinygrad_mlp.kernels.approx import NONE, RELU, SIGMOID, TANH
from tinygrad_mlp.kernels.conv import conv_backward, conv_forward
from tinygrad_mlp.kernels.conv_tables import Geometry
from tinygrad_mlp.kernels.threads import get_num_threads, set_num_threads
from tinygrad_mlp.kernels.winograd import fits_winograd

Array = np.ndarray
NO_MARGIN = ((0, 0), (0, 0))


def geometry(size: tuple[int, int], channels: int, out_channels: int, padding: int = 1, **options: Any) -> Geometry:
    defaults = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "groups": 1, **options}
    return Geometry(size, channels, out_channels, padding=((padding, padding), (padding, padding)), **defaults)


def drawn(images: int, shape: Geometry, dtype: Any, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """x (N, H, W, C), weight (out, in, kH, kW) with memory (kH, kW, in, out), bias, gradient of the output."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(images, *shape.size, shape.channels)).astype(dtype)
    weight = rng.normal(size=(*shape.kernel, shape.group_channels, shape.out_channels)).astype(dtype)
    bias, grad = rng.normal(size=shape.out_channels), rng.normal(size=(images, *shape.out_size, shape.out_channels))
    return x, weight.transpose(3, 2, 0, 1), bias.astype(dtype), grad.astype(dtype)


def forward(x: Array, weight: Array, bias: Array | None, shape: Geometry, activation: int = NONE) -> Array:
    out = np.full((len(x), *shape.out_size, shape.out_channels), np.nan, x.dtype)
    conv_forward(x, weight, bias, shape, out, activation)
    return out


def backward(grad: Array, out: Array | None, x: Array, weight: Array, shape: Geometry) -> tuple[Array, Array, Array]:
    grad_x, grad_bias = np.full_like(x, np.nan), np.full(shape.out_channels, np.nan, x.dtype)
    grad_weight = np.full((*shape.kernel, shape.group_channels, shape.out_channels), np.nan, x.dtype)
    conv_backward(grad, out, x, weight, shape, grad_x, grad_weight, grad_bias)
    return grad_x, grad_weight.transpose(3, 2, 0, 1), grad_bias


def by_definition(x: Array, weight: Array, bias: Array | None, shape: Geometry) -> Array:
    """In float64, images N, H, W, C in and out; margins of the geometry, which may be of four sizes."""
    padded = np.pad(x.astype(np.float64), ((0, 0), *shape.padding, (0, 0))).transpose(0, 3, 1, 2)
    exact = None if bias is None else bias.astype(np.float64)
    out = convolved(padded, weight.astype(np.float64), exact, shape.stride, 0, shape.dilation, shape.groups)
    return out.transpose(0, 2, 3, 1)


def gradients_by_definition(grad: Array, x: Array, weight: Array, shape: Geometry) -> tuple[Array, Array]:
    """Both gradients in float64: of a linear map, by its values at the unit vectors' sums (its transpose)."""
    exact = grad.astype(np.float64)
    padded = np.pad(x.astype(np.float64), ((0, 0), *shape.padding, (0, 0)))
    grad_padded, grad_weight = np.zeros(padded.shape), np.zeros(weight.shape)
    channels, outs = shape.group_channels, shape.group_out_channels
    for y in range(shape.out_size[0]):
        for z in range(shape.out_size[1]):
            for ky in range(shape.kernel[0]):
                for kx in range(shape.kernel[1]):
                    at = y * shape.stride[0] + ky * shape.dilation[0], z * shape.stride[1] + kx * shape.dilation[1]
                    for group in range(shape.groups):
                        into = slice(group * channels, (group + 1) * channels)
                        outof = slice(group * outs, (group + 1) * outs)
                        g, tap = exact[:, y, z, outof], weight[outof, :, ky, kx].astype(np.float64)
                        grad_padded[:, at[0], at[1], into] += g @ tap
                        grad_weight[outof, :, ky, kx] += g.T @ padded[:, at[0], at[1], into]
    (above, _), (left, _) = shape.padding
    height, width = shape.size
    return grad_padded[:, above : above + height, left : left + width], grad_weight


def check(shape: Geometry, images: int, dtype: Any, bound: float) -> None:
    x, weight, bias, grad = drawn(images, shape, dtype)
    scale = np.sqrt(shape.kernel[0] * shape.kernel[1] * shape.group_channels)
    assert np.abs(forward(x, weight, bias, shape) - by_definition(x, weight, bias, shape)).max() < bound * scale
    grad_x, grad_weight, grad_bias = backward(grad, None, x, weight, shape)
    exact_x, exact_weight = gradients_by_definition(grad, x, weight, shape)
    assert np.abs(grad_x - exact_x).max() < bound * np.sqrt(9 * shape.group_out_channels)
    pixels = max(len(x) * shape.out_size[0] * shape.out_size[1], 1)
    assert np.abs(grad_weight - exact_weight).max() < bound * np.sqrt(pixels)
    assert np.abs(grad_bias - grad.astype(np.float64).sum((0, 1, 2))).max() < bound * np.sqrt(pixels)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
margins = st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.integers(1, 4),
    out_channels=st.sampled_from([1, 2, 5, 16, 17, 40]),
    groups=st.integers(1, 3),
    kernel=pairs,
    stride=pairs,
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(margins, margins),
    images=st.integers(1, 10),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_every_geometry(size, channels, out_channels, groups, kernel, stride, dilation, padding, images, dtype):
    shape = Geometry(size, channels * groups, out_channels * groups, kernel, stride, padding, dilation, groups)
    if min(shape.out_size) >= 1:
        check(shape, images, dtype, 2e-6 if dtype == np.float32 else 1e-14)


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    channels=st.sampled_from([16, 17, 31, 32, 48]),
    out_channels=st.sampled_from([16, 20, 33, 64]),
    padding=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
    images=st.sampled_from([1, 2, 7, 9, 70]),
)
def test_every_geometry_of_winograd(size, channels, out_channels, padding, images):
    shape = Geometry(size, channels, out_channels, (3, 3), (1, 1), padding, (1, 1), 1)
    if min(shape.out_size) >= 1:
        assert fits_winograd(shape, np.dtype(np.float32))
        check(shape, images if max(size) < 9 else 2, np.float32, 2e-6)


@pytest.mark.parametrize("size", [(28, 28), (14, 14), (7, 7)])
def test_winograd_errs_as_little_as_the_direct_sum(size, monkeypatch):
    """Root mean square errors of images and gradients, relative to the values': at most 1.5 times the direct ones."""
    shape = geometry(size, 32, 48)
    x, weight, bias, grad = drawn(8, shape, np.float32)
    exact = [array.astype(np.float64) for array in (x, weight, bias, grad)]
    expected = forward(exact[0], exact[1], exact[2], shape), *backward(exact[3], None, exact[0], exact[1], shape)[:2]

    def errors() -> list[float]:
        got = forward(x, weight, bias, shape), *backward(grad, None, x, weight, shape)[:2]
        return [float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2))) for a, b in zip(got, expected, strict=True)]

    by_winograd = errors()
    monkeypatch.setattr("tinygrad_mlp.kernels.conv.fits_winograd", lambda geometry, dtype: False)
    direct = errors()
    assert by_winograd != direct  # two ways
    for fast, plain in zip(by_winograd[:2], direct[:2], strict=True):
        assert fast < 1.5 * plain
    assert max(by_winograd) < 1e-6


@pytest.mark.parametrize("channels", [3, 16])
def test_infinite_pixels_stay_in_their_neighbourhood(channels):
    shape = geometry((12, 12), channels, 16)
    x, weight, bias, _ = drawn(2, shape, np.float32)
    clean = forward(x, weight, bias, shape)
    x[0, 5, 5] = np.inf
    out = forward(x, weight, bias, shape)
    assert not np.isfinite(out[0, 4:7, 4:7]).any()
    assert np.array_equal(out[1], clean[1])
    assert np.array_equal(out[0, 9:], clean[0, 9:])


@pytest.mark.parametrize(("channels", "out_channels"), [(1, 32), (3, 10), (32, 32)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_activations_are_those_of_the_plain_result(channels, out_channels, dtype):
    shape = geometry((9, 10), channels, out_channels)
    x, weight, bias, grad = drawn(3, shape, dtype)
    plain = forward(x, weight, bias, shape)
    relu = forward(x, weight, bias, shape, RELU)
    assert np.array_equal(relu, np.maximum(plain, 0))
    tolerance = {"rtol": 1e-6 if dtype == np.float32 else 1e-14, "atol": 1e-6 if dtype == np.float32 else 1e-14}
    np.testing.assert_allclose(forward(x, weight, bias, shape, TANH), np.tanh(plain), **tolerance)
    np.testing.assert_allclose(forward(x, weight, bias, shape, SIGMOID), 1 / (1 + np.exp(-plain)), **tolerance)
    masked = backward(grad, relu, x, weight, shape)
    for got, expected in zip(masked, backward(np.where(relu > 0, grad, 0), None, x, weight, shape), strict=True):
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("channels", [4, 32])
def test_each_gradient_alone_has_the_bits_that_it_has_with_the_others(channels):
    shape = geometry((7, 9), channels, 32)
    x, weight, _, grad = drawn(5, shape, np.float32)
    together = backward(grad, None, x, weight, shape)
    alone = np.empty_like(x), np.empty((3, 3, channels, 32), np.float32), np.empty(32, np.float32)
    conv_backward(grad, None, None, weight, shape, alone[0], None, None)
    conv_backward(grad, None, x, None, shape, None, alone[1], None)
    conv_backward(grad, None, None, None, shape, None, None, alone[2])
    assert np.array_equal(alone[0], together[0])
    assert np.array_equal(alone[1].transpose(3, 2, 0, 1), together[1])
    assert np.array_equal(alone[2], together[2])


@pytest.mark.parametrize("shape", [geometry((28, 28), 1, 32), geometry((14, 14), 32, 32), geometry((9, 9), 8, 24, 0)])
@pytest.mark.skipif(get_num_threads() == 1, reason="needs two threads: NUMBA_NUM_THREADS=2")
def test_same_bits_on_any_number_of_threads(shape):
    x, weight, bias, grad = drawn(33, shape, np.float32)
    threads = get_num_threads()
    try:
        results = []
        for count in (1, threads):
            set_num_threads(count)
            results.append([forward(x, weight, bias, shape, RELU), *backward(grad, None, x, weight, shape)])
    finally:
        set_num_threads(threads)
    for one, several in zip(*results, strict=True):
        assert np.array_equal(one, several)


def test_a_weight_in_pytorchs_memory_order_gives_the_same_bits():
    shape = geometry((8, 8), 3, 20)
    x, weight, bias, grad = drawn(4, shape, np.float32)
    row_major = np.ascontiguousarray(weight)
    assert np.array_equal(forward(x, weight, bias, shape), forward(x, row_major, bias, shape))
    for one, other in zip(
        backward(grad, None, x, weight, shape), backward(grad, None, x, row_major, shape), strict=True
    ):
        assert np.array_equal(one, other)
