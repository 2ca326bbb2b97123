"""Public calls with labels and indices out of range, and with arrays that do not fit each other.

The first must raise and change nothing; the second may raise, but never leave an array.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.redzone.drivers import back, numbers
from tinygrad_mlp import data, nn, optim
from tinygrad_mlp.errors import IndexRangeError, TinygradError

__all__ = ["bad_indices", "misfits"]

ROWS, COLUMNS, COUNT = 6, 5, 7
BAD = [ROWS, ROWS + 1, ROWS + 1000, 2**31, 2**40, 2**63 - 1, -ROWS - 1, -(2**31), -(2**40), -(2**63) + 1, -(2**63)]
NEGATIVE = [-1, -ROWS]  # out of range where they do not count from the end

Call = Callable[[tg.Tensor, Any, tg.Tensor], Any]


def numbered(dtype: Any = np.uint8) -> data.ImageDataset:
    images = np.arange(ROWS * 20, dtype=dtype).reshape(ROWS, 4, 5)
    return data.ImageDataset(images, np.arange(ROWS), classes=list("abcdef"), standardization="feature")


def assign(table: tg.Tensor, index: tg.Tensor, value: tg.Tensor) -> None:
    with tg.no_grad():
        table[index] = value


# Called with a table (ROWS, COLUMNS), an index (COUNT,), and numbers (COUNT, ROWS) whose columns are classes.
FROM_THE_START: dict[str, Call] = {
    "cross_entropy": lambda _, index, logits: F.cross_entropy(logits, index),
    "cross_entropy, smooth": lambda _, index, logits: F.cross_entropy(logits, index, label_smoothing=0.1),
    "cross_entropy, ignoring": lambda _, index, logits: F.cross_entropy(logits, index, ignore_index=0, reduction="sum"),
    "nll_loss": lambda _, index, logits: F.nll_loss(logits, index),
    "nll_loss, none": lambda _, index, logits: F.nll_loss(logits, index, reduction="none"),
    "CrossEntropyLoss": lambda _, index, logits: nn.CrossEntropyLoss(weight=numbers(ROWS, grad=False))(logits, index),
    "embedding": lambda table, index, _: F.embedding(index, table),
    "embedding, padded": lambda table, index, _: F.embedding(index, table, padding_idx=2),
    "Embedding": lambda _, index, __: nn.Embedding(ROWS, COLUMNS)(index),
    "index_select": lambda table, index, _: table.index_select(0, index),
    "gather": lambda table, index, _: table.gather(0, index.reshape(COUNT, 1)),
    "take_along_dim": lambda table, index, _: tg.take_along_dim(table, index.reshape(COUNT, 1).expand(COUNT, 5), 0),
    "scatter": lambda table, index, _: table.scatter(0, index.reshape(COUNT, 1), numbers(COUNT, 1)),
    "scatter_add": lambda table, index, _: table.scatter_add(0, index.reshape(COUNT, 1), numbers(COUNT, 1)),
    "one_hot": lambda _, index, __: F.one_hot(index, ROWS),
    "labels of a data set": lambda _, index, __: data.ImageDataset(
        np.zeros((COUNT, 2, 2), np.uint8), index.numpy(), classes=list("abcdef"), standardization="global"
    ),
}
FROM_BOTH_ENDS: dict[str, Call] = {
    "getitem": lambda table, index, _: table[index],
    "getitem of long rows": lambda _, index, __: tg.zeros(ROWS, 100)[index],
    "getitem of columns": lambda table, index, _: table.T[:, index],
    "setitem": lambda table, index, _: assign(table.detach(), index, numbers(COUNT, COLUMNS, grad=False)),
    "ImageDataset.batch": lambda _, index, __: numbered().batch(index.numpy()),
    "ImageDataset[]": lambda _, index, __: numbered()[index.numpy()],
    "ImageDataset.part": lambda _, index, __: numbered().part(index.numpy()),
    "TensorDataset.batch": lambda table, index, _: data.TensorDataset(table.detach()).batch(index.numpy()),
    "Subset": lambda _, index, __: data.Subset(numbered(), index.numpy()).batch([0, COUNT - 1]),
}


def bad_indices() -> None:
    for calls, bad in ((FROM_THE_START, [*BAD, *NEGATIVE]), (FROM_BOTH_ENDS, BAD)):
        for name, call in calls.items():
            for value in bad:
                for place in (0, COUNT // 2, COUNT - 1):
                    index = np.arange(COUNT) % ROWS
                    index[place] = value
                    refuse(name, call, value, index)


def contents(table: tg.Tensor, logits: tg.Tensor, index: Any) -> tuple[bytes, ...]:
    return table.detach().numpy().tobytes(), logits.detach().numpy().tobytes(), index.tobytes()


def refuse(name: str, call: Call, value: int, index: Any) -> None:
    table, logits = numbers(ROWS, COLUMNS), numbers(COUNT, ROWS)
    before = contents(table, logits, index)
    try:
        call(table, tg.Tensor(index), logits)
    except (IndexRangeError, IndexError):
        pass
    else:
        raise AssertionError(f"{name}: {value} was taken for an index of {ROWS}")
    assert contents(table, logits, index) == before, f"{name} changed its input"


# What a program may do that no shape check of a single call sees.


def labels_changed_after_forward() -> Iterator[Callable[[], Any]]:
    losses: list[Call] = [FROM_THE_START[name] for name in ("cross_entropy", "nll_loss", "embedding", "gather")]
    losses.append(lambda table, index, _: table[index])
    losses.append(
        lambda _, index, logits: F.cross_entropy(logits, index, numbers(ROWS, grad=False), label_smoothing=0.1)
    )
    losses.append(lambda _, index, logits: F.nll_loss(logits, index, reduction="none"))
    for loss in losses:
        for value in (ROWS, 1000, -1, -1000, -(2**63), 2**63 - 1):
            for again in (False, True):

                def call(loss: Any = loss, value: int = value, again: bool = again) -> None:
                    index = np.arange(COUNT) % ROWS
                    table, logits = numbers(ROWS, COLUMNS), numbers(COUNT, ROWS)
                    out = loss(table, tg.from_numpy(index), logits).sum()
                    index[COUNT - 1] = value  # behind the back of the tensor that shares this memory
                    try:
                        tg.grad([out], [table, logits], create_graph=again, allow_unused=True)
                    except IndexRangeError:
                        return
                    assert value == -1, f"{value} was taken for an index of {ROWS}"

                yield call


def sizes_that_do_not_fit() -> Iterator[Callable[[], Any]]:
    for size in (0, 1, 3, 4, 6, 9, 40):
        x, other = numbers(4, 5), numbers(size)
        plain = other.detach()
        yield lambda x=x, o=other: F.layer_norm(x, 5, o)
        yield lambda x=x, o=other: F.layer_norm(x, 5, None, o)
        yield lambda x=x, o=other: F.batch_norm(x, None, None, o, training=True)
        yield lambda x=x, o=plain: F.batch_norm(x, o, o, training=True)
        yield lambda x=x, o=plain: F.batch_norm(x, o, o)
        yield lambda x=x, o=plain: F.cross_entropy(x, tg.Tensor(np.zeros(4, np.int64)), o)
        yield lambda x=x, o=plain: F.cross_entropy(x, tg.Tensor(np.zeros(len(o), np.int64)))
        yield lambda x=x, o=plain: F.nll_loss(x, tg.Tensor(np.zeros(4, np.int64)), o)
        yield lambda x=x, o=other: F.linear(x, numbers(3, 5), o)
        yield lambda x=x, o=other: x.backward(o)
        yield lambda x=x, o=other: (x * 2.0).relu().backward(o)
        yield lambda x=x, o=plain: F.mse_loss(x, o)
        yield lambda x=x, o=plain: F.binary_cross_entropy(x, o)
        yield lambda o=plain: wrong_gradient(o)
        yield lambda o=other: wrong_hook(o)
        yield lambda o=other: wrong_rule(o)
        yield lambda n=size: replaced_parameter(n)
        yield lambda n=size: replaced_statistics(n)
        yield lambda n=size: other_average(n)
        yield lambda n=size: other_images(n)


def wrong_gradient(gradient: tg.Tensor) -> None:
    parameter = nn.Parameter(tg.ones(5))
    optimizer = optim.Adam([parameter])
    parameter.grad = gradient
    optimizer.step()


def wrong_hook(gradient: tg.Tensor) -> None:
    x = numbers(5)
    y = x * 2.0
    y.register_hook(lambda _: gradient)
    y.sigmoid().sum().backward()


def wrong_rule(gradient: tg.Tensor) -> None:
    @tg.op
    def rule(x: tg.Tensor) -> Any:
        return x.array * 1, lambda grad, out: gradient

    x = numbers(5)
    rule(x.sigmoid()).sum().backward()


def replaced_parameter(size: int) -> None:
    net = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5))
    optimizer, average = optim.Adam(net.parameters()), optim.ExponentialMovingAverage(net)
    net[1].weight = nn.Parameter(tg.ones(size))
    for act in (average.update, lambda: net(numbers(4, 5)), optimizer.step, lambda: average.applied().__enter__()):
        with contextlib.suppress(TinygradError):
            act()


def replaced_statistics(size: int) -> None:
    norm = nn.BatchNorm1d(5)
    average = optim.ExponentialMovingAverage(norm)
    norm.running_var = tg.ones(size)
    for act in (average.update, lambda: norm(numbers(4, 5)), lambda: norm.eval()(numbers(4, 5))):
        with contextlib.suppress(TinygradError):
            act()


def other_average(size: int) -> None:
    average = optim.ExponentialMovingAverage(nn.LayerNorm(5))
    average.load_state_dict(optim.ExponentialMovingAverage(nn.LayerNorm(size)).state_dict())
    average.update()


def other_images(side: int) -> None:
    """Statistics of each pixel, of images of another size."""
    training = numbered()
    images = np.zeros((3, side, 5), np.uint8)
    test = data.ImageDataset(images, np.zeros(3, np.int64), classes=["a"], standardization=training.standardization)
    test.batch([0, 2])


def misfits() -> None:
    for calls in (labels_changed_after_forward(), sizes_that_do_not_fit()):
        for call in calls:
            with contextlib.suppress(TinygradError):
                call()
    x = numbers(3, 3)
    back(x.relu())  # after all these errors
