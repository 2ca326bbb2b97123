"""Public calls with each dimension through 0 to 70, the others sampled; forward, backward, and steps of optimizers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.redzone.drivers_augment import augmented_batches, large_augmented_batch
from tinygrad_mlp import data, nn, optim
from tinygrad_mlp.data.permutation import Purpose, permutation
from tinygrad_mlp.errors import TinygradError
from tinygrad_mlp.train.state import EpochSums

__all__ = ["DRIVERS", "SIZES", "large", "reseed"]

SIZES = range(71)
_rng = np.random.default_rng(0)


def reseed() -> None:
    """Let the next driver draw the same numbers again."""
    _rng.bit_generator.state = np.random.default_rng(0).bit_generator.state


def others(count: int = 1) -> list[int]:
    """Sizes of the dimensions that are not gone through."""
    return [int(size) for size in _rng.choice([2, 3, 5, 8, 16, 17, 31, 33, 64, 70], count)]


def pairs() -> Iterator[tuple[int, int]]:
    """(rows, columns), each through all sizes."""
    for size in SIZES:
        (other,) = others()
        yield size, other
        yield other, size


def numbers(*shape: int, dtype: Any = np.float32, grad: bool = True) -> tg.Tensor:
    return tg.Tensor(_rng.uniform(0.1, 0.9, shape).astype(dtype), requires_grad=grad)


def labels(count: int, classes: int) -> tg.Tensor:
    return tg.Tensor(_rng.integers(0, max(classes, 1), count))


@contextlib.contextmanager
def refusing_nothing(*sizes: int) -> Iterator[None]:
    """A mean of nothing, or a row of nothing, may be refused; anything else must run."""
    try:
        yield
    except TinygradError:
        if 0 not in sizes and 1 not in sizes:  # one row has no variance
            raise


def back(*outputs: tg.Tensor) -> None:
    for output in outputs:
        if output.requires_grad:
            output.backward(tg.Tensor(_rng.uniform(0.1, 0.9, output.shape).astype(output.dtype)))


# Elementwise functions see their arrays as 1-d.

ELEMENTWISE: list[Callable[[tg.Tensor], tg.Tensor]] = [
    *[
        getattr(F, name)
        for name in ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "logsigmoid", "softplus", "hardtanh")
    ],
    *[
        getattr(tg, name)
        for name in (
            *("abs", "ceil", "cos", "erf", "exp", "exp2", "expm1", "floor", "log", "log1p", "log2", "neg"),
            *("reciprocal", "round", "rsqrt", "sign", "sin", "sqrt", "square", "tanh"),
        )
    ],
    lambda x: F.gelu(x, approximate="tanh"),
    lambda x: F.dropout(x, 0.5, True),
    lambda x: x.clamp(0.3, 0.6),
    lambda x: x.masked_fill(x > 0.5, 2.0),
    lambda x: tg.where(x > 0.5, x, 1 - x),
    lambda x: x + x * x - x / (x + 1),
    lambda x: x**2.5,
    lambda x: tg.maximum(x, 1 - x),
    lambda x: x[::2],
    lambda x: x.flip(0),
]


def elementwise(dtype: Any) -> None:
    for function in ELEMENTWISE:
        for size in SIZES:
            back(function(numbers(size, dtype=dtype)))


def by_rows(dtype: Any) -> None:
    """Functions of rows and of columns."""
    for rows, columns in pairs():
        x = numbers(rows, columns, dtype=dtype)
        with refusing_nothing(rows, columns):
            back(F.softmax(x, 1), F.log_softmax(x, 1), F.softmax(x, 0), x.logsumexp(1), x.logsumexp(0))
            back(x.sum(), x.sum(0), x.sum(1), x.mean(0), x.T.sum(1), F.normalize(x, dim=1))
            back(x.amax(1), x.max(1)[0], x.prod(1), x.var(0), x.std(1), x.cumsum(0))
        with refusing_nothing(rows, columns):
            back(F.layer_norm(x, columns, numbers(columns, dtype=dtype), numbers(columns, dtype=dtype)))
        for training in (True, False):
            running = [numbers(columns, dtype=dtype, grad=False) for _ in range(2)]
            affine = [numbers(columns, dtype=dtype) for _ in range(2)]
            with refusing_nothing(rows, columns):
                back(F.batch_norm(x, *running, *affine, training=training))
        with refusing_nothing(rows, columns):
            back(numbers(2, rows, columns, dtype=dtype).sum(1), numbers(rows, 2, columns, dtype=dtype).sum(1))


def losses(dtype: Any) -> None:
    for rows, columns in pairs():
        x, weight = numbers(rows, columns, dtype=dtype), numbers(columns, dtype=dtype, grad=False)
        target = labels(rows, columns)
        with refusing_nothing(rows, columns):
            back(F.cross_entropy(x, target, weight, ignore_index=0, reduction="sum"))
            back(F.nll_loss(x, target, weight, ignore_index=0, reduction="sum"))
        with refusing_nothing(rows, columns):
            back(F.cross_entropy(x, target, weight, label_smoothing=0.1), F.cross_entropy(x, target, reduction="none"))
            back(F.nll_loss(x, target, weight), F.nll_loss(x, target, reduction="none"))
        with refusing_nothing(rows, columns):
            loss = F.cross_entropy(x, target, weight, label_smoothing=0.1, ignore_index=0, reduction="sum")
            (slope,) = tg.grad([loss], [x], create_graph=True)
            back(slope.sum())
    for size in SIZES:
        x, y = numbers(size, dtype=dtype), numbers(size, dtype=dtype, grad=False)
        with refusing_nothing(size):
            back(F.mse_loss(x, y), F.l1_loss(x, y), F.smooth_l1_loss(x, y), F.huber_loss(x, y))
            back(F.binary_cross_entropy(x, y), F.binary_cross_entropy_with_logits(x, y), F.kl_div(x.log(), y))


def products(dtype: Any) -> None:
    """matmul in every memory order, with and without bias and activation, and batched: M, N and K in turn."""
    for size in SIZES:
        for place in range(3):
            m, n, k = others(3)
            m, n, k = (size if i == place else old for i, old in enumerate((m, n, k)))
            x, w = numbers(m, k, dtype=dtype), numbers(n, k, dtype=dtype)
            for activation in (None, "relu", "tanh"):
                back(F.linear(x, w, numbers(n, dtype=dtype), activation=activation))
            stored = numbers(k, n, dtype=dtype)
            back(x @ stored, x @ w.T, numbers(k, m, dtype=dtype).T @ stored, numbers(k, m, dtype=dtype).T @ w.T)
            wide = numbers(2 * m, 3 * k, dtype=dtype)
            back(wide[::2, ::3] @ stored, wide[:m, 1 : k + 1] @ stored if k else wide[:m, :0] @ stored)
            back(numbers(m, k, dtype=dtype) @ numbers(k, dtype=dtype), tg.outer(x.flatten(), w.flatten()[:5]))
            for batch in (size, 2):
                a, b = numbers(batch, m % 9, k, dtype=dtype), numbers(batch, k, n % 9, dtype=dtype)
                back(a @ b, a @ b[:1], a[:1] @ b) if batch else back(a @ b)
                back(tg.einsum("bmk,bkn->nm", a, b), a.transpose(1, 2).transpose(1, 2) @ b.permute(0, 1, 2))


def indexing(dtype: Any) -> None:
    back(F.embedding(labels(0, 0), numbers(0, 5, dtype=dtype)))
    for size in SIZES[1:]:  # of rows of 256 bytes and more
        for rows, count in ((size, 3), (5, size)):
            tg.Tensor(np.zeros((rows, 256 + size), np.uint8))[_rng.integers(-rows, rows, count)]
    for rows, columns in pairs():
        table = numbers(rows + 1, columns, dtype=dtype)
        for count in (rows, columns):
            index = labels(count, rows + 1)
            back(F.embedding(index, table), F.embedding(index, table, padding_idx=0), table[index])
            back(table.index_select(0, index))
            along = tg.Tensor(_rng.integers(0, rows + 1, (count, columns)))
            back(table.gather(0, along), table.scatter_add(0, along[:1], numbers(1, columns, dtype=dtype)))


OPTIMIZERS: list[Callable[[Any], optim.Optimizer]] = [
    lambda p: optim.SGD(p, l1=1e-3),
    lambda p: optim.SGD(p, momentum=0.9, nesterov=True),
    lambda p: optim.SGD(p, momentum=0.9, averaged=True),
    lambda p: optim.Adam(p, l2=1e-3),
    optim.AdamW,
    lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
    optim.RMSprop,
    lambda p: optim.Adagrad(p, initial_accumulator_value=0.1),
    optim.Adadelta,
]


def optimizers(dtype: Any) -> None:
    for size in SIZES:
        for make in OPTIMIZERS:
            parameter = nn.Parameter(numbers(size, dtype=dtype).detach())
            optimizer = make([parameter])
            for _ in range(2):
                parameter.grad = numbers(size, dtype=dtype, grad=False)
                optimizer.step()
    for count in range(1, len(SIZES)):  # of parameters: steps are counted for each
        parameters = [nn.Parameter(numbers(count % 3, dtype=dtype).detach()) for _ in range(count)]
        for make in OPTIMIZERS:
            optimizer = make(parameters)
            for parameter in parameters:
                parameter.grad = numbers(*parameter.shape, dtype=dtype, grad=False)
            optimizer.step()
    for size in SIZES:
        net = nn.Module()
        net.weight = nn.Parameter(numbers(size, dtype=dtype).detach())
        average = optim.ExponentialMovingAverage(net)
        average.update()
        for norm_type in (2.0, float("inf")):
            net.weight.grad = numbers(size, dtype=dtype, grad=False)
            optim.clip_grad_norm_(net.parameters(), 1e-3, norm_type)
        optim.clip_grad_value_(net.parameters(), 0.2)


def modules(dtype: Any) -> None:
    """A net with every kind of layer; batches and widths through all sizes."""
    for size in SIZES[1:]:
        for batch, width in ((size, 5), (7, size)):
            tg.manual_seed(0)
            net = nn.Sequential(nn.Linear(width, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, width))
            net = nn.Sequential(net, nn.LayerNorm(width), nn.GELU(), nn.Linear(width, 3)).to(np.dtype(dtype))
            optimizer = optim.SGD(net.parameters(), momentum=0.9)
            with refusing_nothing(batch):
                nn.CrossEntropyLoss()(net(numbers(batch, width, dtype=dtype)), labels(batch, 3)).backward()
                optimizer.step()


def batches(dtype: Any) -> None:
    """Images, pixels in an image, and images drawn."""
    for size in SIZES[1:]:
        for rows, width in ((size, 3), (5, size)):
            images = _rng.integers(0, 256, (rows, 1, width), dtype=np.uint8)
            for kind in ("global", "image", "feature"):
                dataset = data.ImageDataset(
                    images, np.zeros(rows, np.int64), classes=["one"], standardization=kind, dtype=dtype
                )
                dataset.batch(_rng.integers(-rows, rows, size))
            data.TensorDataset(images).batch(_rng.integers(-rows, rows, size))


def random_numbers(dtype: Any) -> None:
    for size in (*SIZES, 127, 128, 129, 255, 256, 257, 300):
        named: Any = {"dtype": np.dtype(dtype)}
        tg.rand(size, **named), tg.randn(size, **named), tg.randint(0, 9, (size,)), tg.randperm(size)
        permutation(size, 0, Purpose.SHUFFLE)
        tg.bernoulli(numbers(size, dtype=dtype, grad=False))
        tg.Generator(3).fill_bernoulli(np.empty(size, np.bool_), 0.4)
        back(F.dropout(numbers(size, 3, dtype=dtype).T, 0.3, True), nn.Dropout(0.2)(numbers(size, dtype=dtype)))
        weights = nn.Parameter(tg.zeros(size, **named))
        nn.init.uniform_(weights), nn.init.normal_(weights), nn.init.constant_(weights, 3.0)


def large(dtype: Any, threads: int = 2) -> None:
    """Work that several threads share; sizes that no block, vector or number of threads divides."""
    tg.set_num_threads(threads)
    for m, n, k in ((300, 470, 65), (64, 170, 784), (517, 83, 257), (1, 3000, 3001), (8000, 17, 64), (1029, 257, 31)):
        x, w = numbers(m, k, dtype=dtype), numbers(n, k, dtype=dtype)
        back(F.linear(x, w, numbers(n, dtype=dtype), activation="relu"), x @ w.T, numbers(k, m, dtype=dtype).T @ w.T)
    back(numbers(64, 70, 65, dtype=dtype) @ numbers(64, 65, 33, dtype=dtype))
    size, rows, columns = 1_000_003, 5003, 203
    for function in ELEMENTWISE:
        back(function(numbers(size, dtype=dtype)))
    for make in OPTIMIZERS:
        parameter = nn.Parameter(numbers(size, dtype=dtype).detach())
        optimizer = make([parameter])
        parameter.grad = numbers(size, dtype=dtype, grad=False)
        optim.clip_grad_norm_([parameter], 1e-3)
        optimizer.step()
    x, target = numbers(rows, columns, dtype=dtype), labels(rows, columns)
    running = [numbers(columns, dtype=dtype, grad=False) for _ in range(2)]
    back(F.cross_entropy(x, target, label_smoothing=0.1), F.nll_loss(x, target), F.softmax(x, 1), F.log_softmax(x, 1))
    back(F.layer_norm(x, columns), F.batch_norm(x, *running, training=True), x.logsumexp(1), x.sum(0), x.sum(1))
    back(F.embedding(target, numbers(columns, columns, dtype=dtype)), F.mse_loss(x, x.detach()))
    images = _rng.integers(0, 256, (rows, 1, columns), dtype=np.uint8)
    dataset = data.ImageDataset(images, np.zeros(rows, np.int64), classes=["one"], standardization="global")
    dataset.batch(np.arange(rows))
    data.TensorDataset(x.detach()).batch(np.arange(rows))
    large_augmented_batch(dtype)
    back(x[np.arange(-rows, rows)])


def scores(dtype: Any) -> None:
    """What a Trainer adds up of its batches."""
    sums = EpochSums()
    for rows, classes in pairs():
        logits = numbers(rows, classes, dtype=dtype, grad=False)
        loss = numbers(1, dtype=dtype, grad=False)
        sums.add(loss, logits, labels(rows, classes))
        sums.add(loss, logits, logits)


DRIVERS: list[Callable[[Any], None]] = [
    scores,
    elementwise,
    by_rows,
    losses,
    products,
    indexing,
    optimizers,
    modules,
    batches,
    augmented_batches,
    random_numbers,
]
