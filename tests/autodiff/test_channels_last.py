"""Images that lie channels-last pass through ops, and back, without a copy from one memory order to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels import launch as launching
from tinygrad_mlp.kernels import transpose
from tinygrad_mlp.kernels.launch import Kernel

RNG = np.random.default_rng(0)
SHAPE = (3, 16, 5, 4)


def images(*shape: int, dtype: Any = np.float32) -> Any:
    """Numbers of 0.1 to 0.9, (N, C, H, W), that lie N, H, W, C."""
    count, channels, height, width = shape or SHAPE
    return np.moveaxis(RNG.uniform(0.1, 0.9, (count, height, width, channels)).astype(dtype), -1, 1)


def lies_channels_last(array: Any) -> bool:
    return np.moveaxis(array, 1, -1).flags.c_contiguous


PER_CHANNEL = Tensor(np.linspace(0.5, 1.5, SHAPE[1], dtype=np.float32).reshape(1, -1, 1, 1))
PER_IMAGE = Tensor(np.linspace(0.5, 1.5, 3 * SHAPE[1], dtype=np.float32).reshape(3, -1, 1, 1))
KERNEL = Tensor(RNG.uniform(-0.1, 0.1, (3, 3, 16, 8)).astype(np.float32).transpose(3, 2, 0, 1))

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **{
        name: getattr(F, name)
        for name in ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "logsigmoid", "softplus", "hardtanh")
    },
    **{name: getattr(tg, name) for name in ("abs", "exp", "log", "neg", "rsqrt", "sin", "sqrt", "square", "tanh")},
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "a number": lambda x: 1 - x * 2 + x / 3,
    "tensors alike": lambda x: x * x + x / (x + 1),
    "per channel": lambda x: x * PER_CHANNEL - PER_CHANNEL,
    "per channel, first": lambda x: PER_CHANNEL * x,
    "per image and channel": lambda x: x / PER_IMAGE,
    "power": lambda x: x**2.5,
    "clamp": lambda x: x.clamp(0.3, 0.6),
    "masked_fill": lambda x: x.masked_fill(x > 0.5, 0.0),
    "where": lambda x: tg.where(x > 0.5, x, x * 2.0),
    "maximum": lambda x: tg.maximum(x, 1 - x),
    "dropout": lambda x: F.dropout(x, 0.3),
    "dropout2d": lambda x: F.dropout2d(x, 0.3),
    "batch_norm": lambda x: F.batch_norm(x, training=True),
    "softmax over channels": lambda x: x.softmax(1),
    "less the mean": lambda x: x - x.mean((2, 3), keepdim=True),
    "residual": lambda x: F.relu(x + F.relu(x * 2)),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "conv2d": lambda x: F.conv2d(x, KERNEL, padding=1, activation="tanh"),
}
# These are made of copies, each of them in the order of memory.
COPYING: dict[str, Callable[[Tensor], Tensor]] = {
    "clone": lambda x: x.clone(),
    "cat channels": lambda x: tg.cat([x, x * 2], 1),
    "cat images": lambda x: tg.cat([x, x]),
    "chunk": lambda x: x.chunk(2, 1)[0] * x.chunk(2, 1)[1],
    "double": lambda x: x.double(),
    "flip": lambda x: x.flip(3),
    "roll": lambda x: x.roll(1, 2),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1)),
    "pad reflect": lambda x: F.pad(x, (1, 2, 0, 1), "reflect"),
    "pad circular": lambda x: F.pad(x, (1, 2, 0, -1), "circular"),
    "pad cutting": lambda x: F.pad(x, (-1, 1, 0, -1)),
}
# (N, C), and a gradient that is repeated.
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean((2, 3)),
    "sum": lambda x: x.sum((2, 3)),
    "amax": lambda x: x.amax((2, 3)),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
}


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of kernels that had an argument copied to another memory order, before their launch or by it."""
    names: list[str] = []

    def note(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def noted(first: Any, args: Any) -> Any:
            result = change(first, args)
            if any(
                isinstance(old, np.ndarray) and old.size and not np.shares_memory(old, new)
                for old, new in zip(args, result, strict=True)
            ):
                names.append(f"{name} {first.name}")
            return result

        return noted

    monkeypatch.setattr(launching, "_flatten", note("launch", launching._flatten))
    monkeypatch.setattr(Kernel, "canonical", note("launch", Kernel.canonical))
    as_matrices = transpose._as_matrices
    monkeypatch.setattr(transpose, "_as_matrices", lambda *args: (names.append("copy_across"), as_matrices(*args))[1])
    yield names


def run(function: Callable[[Tensor], Tensor], turned: list[str]) -> None:
    """The result, and the gradient that comes back, are channels-last."""
    leaf = Tensor(images(), requires_grad=True)
    arriving: list[Any] = []
    x = leaf * 1.0
    x.register_hook(lambda gradient: arriving.append(gradient.array))
    out = function(x)
    out.backward(Tensor(images(*out.shape, dtype=out.dtype)))
    assert lies_channels_last(out.array)
    assert [lies_channels_last(gradient) for gradient in arriving] == [True]
    assert turned == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementwise_functions_norms_and_pools(name: str, turned: list[str]) -> None:
    run(FUNCTIONS[name], turned)


@pytest.mark.parametrize("name", COPYING)
def test_what_is_made_of_copies(name: str, turned: list[str]) -> None:
    run(COPYING[name], turned)


@pytest.mark.parametrize("name", POOLS)
def test_global_pools_behind_an_activation(name: str) -> None:
    leaf = Tensor(images(), requires_grad=True)
    out = POOLS[name](F.relu(leaf * 1.0))
    assert out.shape == SHAPE[:2] and out.array.flags.c_contiguous
    out.backward(Tensor(np.ones(out.shape, np.float32)))
    assert lies_channels_last(leaf.grad.array)


def test_creation_and_writes_keep_the_order() -> None:
    x = Tensor(images())
    for like in (tg.zeros_like, tg.ones_like, tg.rand_like, tg.randn_like, lambda x: tg.full_like(x, 3.0)):
        assert lies_channels_last(like(x).array)
    assert lies_channels_last(x.detach().array)
    memory = x.array
    with tg.no_grad():
        x += 1.0
    x.mul_(PER_CHANNEL).add_(x).clamp_(0.0, 1.0)
    assert x.array is memory


@pytest.mark.parametrize("name", [*FUNCTIONS, *COPYING])
def test_either_order_gives_the_same_numbers(name: str) -> None:
    function = {**FUNCTIONS, **COPYING}[name]
    if "dropout" in name:
        pytest.skip("the mask goes by the place in memory")
    memory = images()
    results: list[list[Any]] = []
    for arriving_in in (np.array, np.ascontiguousarray):
        for array in (memory, np.ascontiguousarray(memory)):
            x = Tensor(array, requires_grad=True)
            out = function(x)
            weights = np.linspace(0.0, 1.0, out.array.size, dtype=out.dtype).reshape(out.shape[::-1]).T
            out.backward(Tensor(arriving_in(weights)))
            results.append([out.array, x.grad.array])
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-5)


def test_a_gradient_takes_the_order_of_what_it_is_the_gradient_of() -> None:
    for array in (images(), np.ascontiguousarray(images())):
        x = Tensor(array, requires_grad=True)
        for arriving in (images(), np.ascontiguousarray(images()), np.broadcast_to(np.float32(1), SHAPE)):
            out = F.gelu(x)
            (gradient,) = tg.grad([out], [x], [Tensor(arriving)])
            assert gradient.array.strides == x.array.strides


def test_the_order_of_two_that_differ_is_that_of_the_first() -> None:
    first, second = Tensor(images()), Tensor(np.ascontiguousarray(images()))
    assert lies_channels_last((first + second).array)
    assert (second + first).array.flags.c_contiguous
