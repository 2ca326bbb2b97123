"""The table of op cases: a row for every op and function of tensors, which `test_cases.py` checks.

A row's name starts with the public name of what it checks (a method's name, or that in `tg` or `nn.functional`), maybe
followed by the variant. Rows stay away from jumps, and from kinks where second derivatives are checked.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tests.autodiff.drawn as draw
import tests.autodiff.references as ref
from tests.autodiff.cases_conv import CONV
from tests.autodiff.cases_enlarge import ENLARGE
from tests.autodiff.cases_norm import CHANNEL_NORMS
from tests.autodiff.cases_pad import IMAGES
from tests.autodiff.cases_pool import POOL
from tinygrad_mlp.autodiff.ops import (
    activation,
    arithmetic,
    arrange,
    class_loss,
    compare,
    einsum,
    elementary,
    embedding,
    gather,
    index,
    inplace,
    linear,
    loss,
    moments,
    norm,
    order,
    random,
    reduce,
    shape,
    softmax,
)
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.testing import OpCase, arguments, arrays, arrays_of, broadcastable_shapes, shapes

__all__ = ["CASES"]


def values(name: str, op: Callable[..., Any], reference: Callable[..., Any], inputs: Any, **options: Any) -> OpCase:
    """A row without gradients: comparisons, indices, conversions, writes in place."""
    return OpCase(name, op, reference, inputs, differentiable=False, **options)


def pairs(low: float = -3, high: float = 3, **options: Any) -> Any:
    """Two arrays that broadcast."""
    return arrays_of(broadcastable_shapes(), low, high, **options)


def with_number(low: float = -3, high: float = 3, number: float = 2.0) -> Any:
    return arguments(arrays(low=low, high=high), number)


def prelu_inputs(weights: list[tuple[int, ...]]) -> Any:
    """(2, 3, 4) apart from 0, and a weight of one of these shapes."""
    weight = st.sampled_from(weights).flatmap(lambda shape: arrays(shape, low=-1, high=1))
    return st.tuples(arrays((2, 3, 4), away_from=[0]), weight)


def digits(dtype: Any = np.int64) -> Any:
    """Pairs of small whole numbers, with many ties."""
    return pairs(0, 3, dtype=dtype)


def bools() -> Any:
    return pairs(0, 2, dtype=bool)


def apart(x: Any, y: Any) -> tuple[Any, Any]:
    return x + 1.65, y * 0.5 + 0.66


def divided(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: function(*apart(x, y))


ARITHMETIC = [
    OpCase("add", arithmetic.add, np.add, pairs(), absolute=1),
    OpCase("sub", arithmetic.sub, np.subtract, pairs(), absolute=1),
    OpCase("mul", arithmetic.mul, np.multiply, pairs()),
    OpCase("mul of one by itself", lambda x: arithmetic.mul(x, x), np.square, arrays()),
    OpCase("div", arithmetic.div, np.divide, pairs(0.3, 3)),
    OpCase("pow", arithmetic.pow, np.power, pairs(0.3, 3), ulps=8),
    *[OpCase(f"pow {n}", arithmetic.pow, np.power, with_number(0.3, 3, n), ulps=8) for n in (-1.0, 0.5, 1.0, 2.5)],
    *[OpCase(f"pow {n} of any sign", arithmetic.pow, np.power, with_number(number=n)) for n in (0, 2, 3)],
    OpCase("neg", arithmetic.neg, np.negative, arrays()),
    values("add integers", arithmetic.add, np.add, digits()),
    # 1.65 to 1.95 divided by 0.66 to 0.81: away from the jumps, at whole quotients.
    OpCase("floor_divide", lambda x, y: arithmetic.floor_divide(*apart(x, y)), divided(np.floor_divide), pairs(0, 0.3)),
    OpCase(
        "remainder", lambda x, y: arithmetic.remainder(*apart(x, y)), divided(np.remainder), pairs(0, 0.3), absolute=4
    ),
    values(
        "remainder integers", lambda x, y: arithmetic.remainder(x - 2, y + 1), lambda x, y: (x - 2) % (y + 1), digits()
    ),
]

OPERATORS = [
    OpCase("__add__", lambda x, y: x + y, np.add, pairs(), absolute=1),
    OpCase("__radd__", lambda x: 2.0 + x, lambda x: 2 + x, arrays(), absolute=1),
    OpCase("__sub__", lambda x, y: x - y, np.subtract, pairs(), absolute=1),
    OpCase("__rsub__", lambda x: 2.0 - x, lambda x: 2 - x, arrays(), absolute=1),
    OpCase("__mul__", lambda x, y: x * y, np.multiply, pairs()),
    OpCase("__rmul__", lambda x: 2.0 * x, lambda x: 2 * x, arrays()),
    OpCase("__truediv__", lambda x, y: x / y, np.divide, pairs(0.3, 3)),
    OpCase("__rtruediv__", lambda x: 2.0 / x, lambda x: 2 / x, arrays(low=0.3)),
    OpCase("__pow__", lambda x, y: x**y, np.power, pairs(0.3, 3), ulps=8),
    OpCase("__rpow__", lambda x: 2.0**x, lambda x: 2**x, arrays(), ulps=8),
    OpCase("__floordiv__", lambda x: x // 2.0, lambda x: x // 2, arrays(away_from=[-2, 0, 2])),
    OpCase("__rfloordiv__", lambda x: 2.0 // x, lambda x: 2 // x, arrays(low=1.1, high=1.9)),
    OpCase("__mod__", lambda x: x % 2.0, lambda x: x % 2, arrays(away_from=[-2, 0, 2])),
    OpCase("__rmod__", lambda x: 2.0 % x, lambda x: 2 % x, arrays(low=1.1, high=1.9), absolute=4),
    OpCase("__neg__", lambda x: -x, np.negative, arrays()),
    OpCase("__abs__", abs, np.abs, arrays(away_from=[0])),
    OpCase("__matmul__", lambda x, y: x @ y, np.matmul, draw.matrix_pairs(), absolute=30),
    OpCase("__rmatmul__", lambda x, y: Tensor.__rmatmul__(y, x), np.matmul, draw.matrix_pairs((2, 2)), absolute=30),
    OpCase("__getitem__", lambda x: x[..., None], lambda x: x[..., None], arrays()),
    values("__eq__", lambda x, y: x == y, np.equal, digits()),
    values("__ne__", lambda x, y: x != y, np.not_equal, digits()),
    values("__lt__", lambda x, y: x < y, np.less, digits()),
    values("__le__", lambda x, y: x <= y, np.less_equal, digits()),
    values("__gt__", lambda x, y: x > y, np.greater, digits()),
    values("__ge__", lambda x, y: x >= y, np.greater_equal, digits()),
    values("__and__", lambda x, y: x & y, np.bitwise_and, bools()),
    values("__or__", lambda x, y: x | y, np.bitwise_or, bools()),
    values("__xor__", lambda x, y: x ^ y, np.bitwise_xor, bools()),
    values("__rand__", lambda x: True & x, lambda x: x, arrays(low=0, high=2, dtype=bool)),
    values("__ror__", lambda x: False | x, lambda x: x, arrays(low=0, high=2, dtype=bool)),
    values("__rxor__", lambda x: True ^ x, np.logical_not, arrays(low=0, high=2, dtype=bool)),
    values("__and__ of bits", lambda x, y: x & y, np.bitwise_and, digits()),
    values("__invert__", lambda x: ~x, np.invert, arrays(low=0, high=2, dtype=bool)),
]

ELEMENTARY = [
    OpCase("exp", elementary.exp, np.exp, arrays()),
    OpCase("exp2", elementary.exp2, np.exp2, arrays()),
    OpCase("expm1", elementary.expm1, np.expm1, arrays()),
    OpCase("log", elementary.log, np.log, arrays(low=0.2)),
    OpCase("log1p", elementary.log1p, np.log1p, arrays(low=-0.8)),
    OpCase("log2", elementary.log2, np.log2, arrays(low=0.2)),
    OpCase("sqrt", elementary.sqrt, np.sqrt, arrays(low=0.2)),
    OpCase("rsqrt", elementary.rsqrt, lambda x: 1 / np.sqrt(x), arrays(low=0.2)),
    OpCase("abs", elementary.abs, np.abs, arrays(away_from=[0])),
    OpCase("sign", elementary.sign, np.sign, arrays(away_from=[0])),
    OpCase("square", elementary.square, np.square, arrays()),
    OpCase("reciprocal", elementary.reciprocal, np.reciprocal, arrays(low=0.3)),
    OpCase("sin", elementary.sin, np.sin, arrays(), absolute=1),
    OpCase("cos", elementary.cos, np.cos, arrays(), absolute=1),
    OpCase("tanh", elementary.tanh, np.tanh, arrays()),
    OpCase("erf", elementary.erf, ref.erf, arrays()),
    OpCase("floor", elementary.floor, np.floor, arrays(away_from=range(-3, 4))),
    OpCase("ceil", elementary.ceil, np.ceil, arrays(away_from=range(-3, 4))),
    OpCase("round", elementary.round, np.rint, arrays(away_from=np.arange(-3.5, 4))),
    OpCase(
        "round decimals", partial(elementary.round, decimals=1), partial(np.round, decimals=1), arrays((2,), 0.31, 0.34)
    ),
]

COMPARE = [
    values("eq", compare.eq, np.equal, digits()),
    values("eq of floats", compare.eq, np.equal, pairs().map(lambda drawn: tuple([np.rint(x) for x in drawn]))),
    values("ne", compare.ne, np.not_equal, digits()),
    values("lt", compare.lt, np.less, digits()),
    values("lt of floats", compare.lt, np.less, pairs()),
    values("le", compare.le, np.less_equal, digits()),
    values("gt", compare.gt, np.greater, digits()),
    values("ge", compare.ge, np.greater_equal, digits()),
    values("isclose", partial(compare.isclose, rtol=0.2, atol=0.1), partial(np.isclose, rtol=0.2, atol=0.1), pairs()),
    values(
        "isclose of special numbers",
        lambda x: compare.isclose(x, x * 1.0, equal_nan=True),
        lambda x: np.ones(x.shape, bool),
        draw.with_special_numbers(),
    ),
    values("allclose", lambda x: Tensor(np.array(compare.allclose(x, x + 1e-9))), lambda x: np.array(True), arrays()),
    values("equal", lambda x, y: Tensor(np.array(compare.equal(x, y))), np.array_equal, digits()),
    values("isfinite", compare.isfinite, np.isfinite, draw.with_special_numbers()),
    values("isnan", compare.isnan, np.isnan, draw.with_special_numbers()),
    values("isinf", compare.isinf, np.isinf, draw.with_special_numbers()),
    values("logical_not", compare.logical_not, np.logical_not, arrays(low=0, high=2, dtype=np.int64)),
    values("logical_and", compare.logical_and, np.logical_and, bools()),
    values("logical_or", compare.logical_or, np.logical_or, bools()),
    values("logical_xor", compare.logical_xor, np.logical_xor, bools()),
    OpCase("where", compare.where, np.where, draw.choices()),
    OpCase("masked_fill", compare.masked_fill, lambda x, mask, value: np.where(mask, value, x), draw.fills()),
    OpCase("maximum", compare.maximum, np.maximum, pairs(distinct=True)),
    OpCase("minimum", compare.minimum, np.minimum, pairs(distinct=True)),
    OpCase("clamp", compare.clamp, np.clip, draw.clamps()),
    OpCase("clip", lambda x, *limits: x.clip(*limits), np.clip, draw.clamps()),
    OpCase("clamp by tensors", compare.clamp, np.clip, draw.clamps_by_tensors()),
]

ACTIVATION = [
    OpCase("relu", activation.relu, lambda x: np.maximum(x, 0), arrays(away_from=[0])),
    OpCase("prelu", activation.prelu, lambda x, w: np.where(x > 0, x, w * x), prelu_inputs([(1,)])),
    OpCase(
        "prelu by channels", activation.prelu, lambda x, w: np.where(x > 0, x, w[:, None] * x), prelu_inputs([(3,)])
    ),
    OpCase("leaky_relu", activation.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), arrays(away_from=[0])),
    OpCase(
        "leaky_relu slope",
        activation.leaky_relu,
        lambda x, a: np.where(x > 0, x, a * x),
        arguments(arrays(away_from=[0]), 0.3),
    ),
    OpCase("elu", activation.elu, lambda x: np.where(x > 0, x, np.expm1(x)), arrays(away_from=[0])),
    OpCase(
        "elu alpha",
        activation.elu,
        lambda x, a: np.where(x > 0, x, a * np.expm1(x)),
        arguments(arrays(away_from=[0]), 0.7),
    ),
    OpCase("gelu", activation.gelu, lambda x: x * ref.normal_distribution(x), arrays(), ulps=8, absolute=1),
    OpCase("gelu tanh", partial(activation.gelu, approximate="tanh"), ref.gelu_tanh, arrays(), ulps=8, absolute=1),
    OpCase("silu", activation.silu, lambda x: x * ref.sigmoid(x), arrays()),
    OpCase("sigmoid", activation.sigmoid, ref.sigmoid, arrays(low=-6, high=6)),
    OpCase("logsigmoid", activation.logsigmoid, lambda x: -np.logaddexp(0, -x), arrays()),
    OpCase("softplus", activation.softplus, ref.softplus, arrays()),
    OpCase("softplus beta", activation.softplus, ref.softplus, arguments(arrays(away_from=[1]), 2.0, 2.0)),
    OpCase("hardtanh", activation.hardtanh, lambda x: np.clip(x, -1, 1), arrays(away_from=[-1, 1])),
    OpCase("hardtanh limits", activation.hardtanh, np.clip, arguments(arrays(away_from=[-2, 0.5]), -2.0, 0.5)),
    OpCase("softmax", softmax.softmax, ref.softmax, draw.with_dim()),
    OpCase("softmax of a number", partial(softmax.softmax, dim=0), np.ones_like, arrays(())),
    OpCase("log_softmax", softmax.log_softmax, lambda x, dim: np.log(ref.softmax(x, dim)), draw.with_dim(), absolute=8),
    OpCase("logsumexp", softmax.logsumexp, ref.reduced(ref.logsumexp), draw.reductions(min_side=1), absolute=8),
]

REDUCE = [
    OpCase("sum", reduce.sum, ref.reduced(np.sum), draw.reductions(), absolute=60),
    values("sum integers", reduce.sum, ref.reduced(np.sum), draw.reductions(low=0, high=9, dtype=np.int64)),
    OpCase("mean", reduce.mean, ref.reduced(np.mean), draw.reductions(min_side=1), absolute=8),
    OpCase("prod", reduce.prod, ref.reduced(np.prod), draw.reductions(low=0.5, high=1.5), ulps=80),
    OpCase("prod with zeros", reduce.prod, ref.reduced(np.prod), draw.reductions(low=-1, high=1, whole=True)),
    OpCase("amax", reduce.amax, ref.reduced(np.amax), draw.reductions(min_side=1, distinct=True)),
    OpCase("amin", reduce.amin, ref.reduced(np.amin), draw.reductions(min_side=1, distinct=True)),
    OpCase("max", reduce.max, np.max, arrays(shapes(min_side=1), distinct=True)),
    OpCase("min", reduce.min, np.min, arrays(shapes(min_side=1), distinct=True)),
    OpCase("max dim", reduce.max, ref.along(np.max, np.argmax), draw.with_dim(min_side=1, keepdim=True, distinct=True)),
    OpCase("min dim", reduce.min, ref.along(np.min, np.argmin), draw.with_dim(min_side=1, keepdim=True, distinct=True)),
    OpCase("max of two", reduce.max, np.maximum, pairs(distinct=True)),
    OpCase("min of two", reduce.min, np.minimum, pairs(distinct=True)),
    values("argmax", reduce.argmax, np.argmax, arrays(shapes(min_side=1), 0, 3, dtype=np.int64)),
    values("argmax dim", reduce.argmax, ref.reduced(np.argmax), draw.with_dim(min_side=1, keepdim=True)),
    values("argmin", reduce.argmin, np.argmin, arrays(shapes(min_side=1), 0, 3, dtype=np.int64)),
    values("argmin dim", reduce.argmin, ref.reduced(np.argmin), draw.with_dim(min_side=1, keepdim=True)),
    values("any", reduce.any, ref.reduced(np.any), draw.reductions(low=0, high=2, dtype=bool)),
    values("all", reduce.all, ref.reduced(np.all), draw.reductions(low=0, high=2, dtype=bool)),
    OpCase("var", moments.var, ref.var, draw.variances(), absolute=60),
    OpCase("std", moments.std, lambda x, **named: np.sqrt(ref.var(x, **named)), draw.variances(), absolute=60),
    OpCase("norm", moments.norm, ref.norm, draw.norms(2.0, 1.0, 3.0, 0.5), ulps=60),
    OpCase("norm extremes", moments.norm, ref.norm, draw.norms(np.inf, -np.inf, 0.0)),
    OpCase("cumsum", reduce.cumsum, np.cumsum, draw.with_dim(), absolute=16),
]

SHAPE = [
    OpCase("reshape", shape.reshape, lambda x, *s: x.reshape(*s), draw.reshapes()),
    OpCase("view", shape.view, lambda x, *s: x.reshape(*s), draw.reshapes()),
    OpCase("permute", shape.permute, np.transpose, draw.permutations()),
    OpCase("transpose", shape.transpose, np.swapaxes, draw.two_dims()),
    OpCase("T", lambda x: x.T, np.transpose, arrays(shapes(max_dims=2))),
    OpCase("t", shape.t, np.transpose, arrays(shapes(max_dims=2))),
    OpCase("squeeze", shape.squeeze, ref.squeeze, draw.squeezes()),
    OpCase("unsqueeze", shape.unsqueeze, np.expand_dims, draw.unsqueezes()),
    OpCase("flatten", shape.flatten, ref.flatten, draw.flattens()),
    OpCase("expand", shape.expand, ref.expand, draw.expansions()),
    OpCase("broadcast_to", lambda x, *s: shape.broadcast_to(x, s), ref.expand, draw.expansions()),
    OpCase("expand_as", lambda x: x.expand_as(Tensor(np.ones((2, *x.shape)))), lambda x: np.stack([x, x]), arrays()),
    OpCase("view_as", lambda x: x.view_as(Tensor(np.ones(x.numel()))), np.ravel, arrays()),
    OpCase("repeat", shape.repeat, lambda x, *times: np.tile(x, times), draw.repeats()),
    OpCase("clone", shape.clone, np.copy, arrays()),
    OpCase("contiguous", shape.contiguous, np.copy, arrays()),
    OpCase("cpu", lambda x: x.cpu(), np.copy, arrays()),
    OpCase("to", lambda x: x.to(x.dtype, copy=True), np.copy, arrays()),
    OpCase("type", lambda x: x.type(x.dtype), np.copy, arrays()),
    OpCase("type_as", lambda x: x.type_as(x), np.copy, arrays()),
    values("long", lambda x: x.long(), lambda x: x.astype(np.int64), arrays()),
    values("int", lambda x: x.int(), lambda x: x.astype(np.int32), arrays()),
    values("bool", lambda x: x.bool(), lambda x: x.astype(bool), arrays(low=0, high=2, dtype=np.int64)),
]


def vectors() -> Any:
    return arrays_of(st.lists(shapes(1, 1, min_side=1), min_size=1, max_size=3).map(tuple))


def grid(meshgrid: Callable[..., Any], stack: Callable[..., Any], indexing: Any = "ij") -> Callable[..., Any]:
    return lambda *vectors: stack(meshgrid(*vectors, indexing=indexing))


ARRANGE = [
    OpCase("cat", lambda *xs, dim: arrange.cat(xs, dim), lambda *xs, dim: np.concatenate(xs, dim), draw.joins()),
    OpCase(
        "stack", lambda *xs, dim: arrange.stack(xs, dim), lambda *xs, dim: np.stack(xs, dim), draw.joins(new_dim=True)
    ),
    OpCase("split", arrange.split, ref.split, draw.splits()),
    OpCase("chunk", arrange.chunk, ref.chunk, draw.chunks()),
    OpCase("unbind", arrange.unbind, lambda x, dim: list(np.moveaxis(x, dim, 0)), draw.with_dim(min_side=1)),
    OpCase("flip", arrange.flip, np.flip, draw.flips()),
    OpCase("roll", arrange.roll, np.roll, draw.rolls()),
    OpCase("tril", arrange.tril, np.tril, draw.triangles()),
    OpCase("triu", arrange.triu, np.triu, draw.triangles()),
    OpCase("diag", arrange.diag, np.diag, arguments(arrays(shapes(1, 2, min_side=1)), st.integers(-2, 2))),
    OpCase("meshgrid", grid(arrange.meshgrid, arrange.stack), grid(np.meshgrid, np.stack), vectors()),
    OpCase("meshgrid xy", grid(arrange.meshgrid, arrange.stack, "xy"), grid(np.meshgrid, np.stack, "xy"), vectors()),
]


def assigned(x: Tensor, value: Tensor, index: Any) -> Tensor:
    """x with x[index] = value, in a copy."""
    out = x.clone()
    out[index] = value
    return out


INDEX = [
    OpCase("getitem", index.getitem, lambda x, i: x[i], draw.basic_indices()),
    OpCase("getitem integers", index.getitem, lambda x, i: x[i], draw.integer_indices()),
    OpCase("getitem masks", index.getitem, lambda x, i: x[i], draw.masks()),
    OpCase("getitem mixed", index.getitem, lambda x, i: x[i], draw.mixed_indices()),
    OpCase("__setitem__", assigned, ref.assigned, draw.assignments()),
    OpCase("gather", gather.gather, ref.gather, draw.gathers()),
    OpCase("scatter", gather.scatter, ref.scatter, draw.scatters()),
    OpCase("scatter of a number", partial(gather.scatter, src=2.0), partial(ref.scatter, src=2.0), draw.gathers()),
    OpCase("scatter_add", gather.scatter_add, ref.scatter_add, draw.scatters(repeated=True), absolute=8),
    OpCase("index_select", gather.index_select, lambda x, dim, i: np.take(x, i, dim), draw.selections()),
    OpCase("take_along_dim", gather.take_along_dim, ref.take_along_dim, draw.takes()),
    OpCase("sort", order.sort, ref.sort, draw.sorts()),
    values("argsort", order.argsort, lambda *call: ref.sort(*call)[1], draw.sorts()),
    OpCase("topk", order.topk, ref.topk, draw.tops()),
    values("unique", order.unique, np.unique, arrays(low=0, high=5, dtype=np.int64)),
    values(
        "bincount",
        lambda x, n: order.bincount(x, minlength=n),
        lambda x, n: np.bincount(x, None, n),
        arguments(arrays(shapes(1, 1), 0, 5, dtype=np.int64), 3),
    ),
    values("nonzero", order.nonzero, np.argwhere, arrays(low=0, high=2, dtype=np.int64)),
    values(
        "one_hot",
        order.one_hot,
        lambda i, n: np.eye(n, dtype=np.int64)[i],
        arguments(arrays(low=0, high=4, dtype=np.int64), 4),
    ),
    OpCase("embedding", embedding.embedding, lambda i, w, padding_idx: w[i], draw.embeddings()),
]

LINEAR = [
    OpCase("matmul", linear.matmul, np.matmul, draw.matrix_pairs(), absolute=30),
    OpCase("mm", linear.mm, np.matmul, draw.matrix_pairs((2, 2)), absolute=30),
    OpCase("bmm", linear.bmm, np.matmul, draw.matrix_pairs((3, 3)), absolute=30),
    OpCase("mv", linear.mv, np.matmul, draw.matrix_pairs((2, 1)), absolute=30),
    OpCase("dot", linear.dot, np.matmul, draw.matrix_pairs((1, 1)), absolute=30),
    OpCase("outer", linear.outer, np.outer, arrays_of(st.tuples(shapes(1, 1), shapes(1, 1)))),
    OpCase("einsum", einsum.einsum, np.einsum, draw.equations(), absolute=60),
    OpCase("linear", linear.linear, ref.linear, draw.linears(), ulps=8, absolute=30),
]


def dropped(x: Any, p: float) -> Any:
    """Dropout by a generator of its own, so that each call drops the same elements."""
    return random.dropout(x, p, generator=Generator(seed=3))


NORM = [
    OpCase(
        "dropout",
        dropped,
        lambda x, p: x * dropped(Tensor(np.ones(x.shape)), p).array,
        arguments(arrays(layouts=False), 0.4),
    ),
    OpCase(
        "dropout1d",
        lambda x, p: random.dropout1d(x, p, generator=Generator(seed=3)),
        lambda x, p: x * dropped(Tensor(np.ones((*x.shape[:-1], 1))), p).array,
        arguments(arrays(shapes(2, 3)), 0.4),
    ),
    OpCase(
        "dropout2d",
        lambda x, p: random.dropout2d(x, p, generator=Generator(seed=3)),
        lambda x, p: x * dropped(Tensor(np.ones((*x.shape[:2], 1, 1))), p).array,
        arguments(arrays(shapes(4, 4)), 0.4),
    ),
    OpCase("dropout off", partial(random.dropout, training=False), np.copy, arrays()),
    OpCase(
        "batch_norm training",
        lambda x, weight, bias: norm.batch_norm(x, weight=weight, bias=bias, training=True),
        ref.batch_norm_training,
        draw.channel_batches(running=False),
        rtol=1e-11,
        ulps=60,
        absolute=600,
    ),
    OpCase("batch_norm", norm.batch_norm, ref.batch_norm, draw.channel_batches(running=True), ulps=8, absolute=30),
    OpCase("layer_norm", norm.layer_norm, ref.layer_norm, draw.layer_batches(), rtol=1e-11, ulps=60, absolute=600),
    OpCase(
        "cosine_similarity",
        norm.cosine_similarity,
        ref.cosine_similarity,
        arrays_of(broadcastable_shapes(min_dims=2, max_dims=2, min_side=2), low=0.3),
        ulps=16,
    ),
    OpCase("normalize", norm.normalize, ref.normalize, draw.normalizations(), ulps=16),
]

LOSS = [
    OpCase("cross_entropy", class_loss.cross_entropy, ref.cross_entropy, draw.labelled(smoothing=True), absolute=30),
    OpCase("cross_entropy of one", class_loss.cross_entropy, ref.cross_entropy, draw.single_samples(), absolute=8),
    OpCase(
        "cross_entropy probabilities", class_loss.cross_entropy, ref.cross_entropy, draw.soft_labelled(), absolute=60
    ),
    OpCase("nll_loss", class_loss.nll_loss, ref.nll_loss, draw.labelled(smoothing=False), absolute=60),
    OpCase("mse_loss", loss.mse_loss, ref.elementwise_loss(lambda x, t: (x - t) ** 2), draw.loss_pairs(), ulps=16),
    OpCase("l1_loss", loss.l1_loss, ref.elementwise_loss(lambda x, t: np.abs(x - t)), draw.loss_pairs(), ulps=16),
    OpCase("smooth_l1_loss", loss.smooth_l1_loss, ref.elementwise_loss(ref.smooth_l1), draw.loss_pairs(), ulps=16),
    OpCase(
        "smooth_l1_loss beta",
        loss.smooth_l1_loss,
        ref.elementwise_loss(ref.smooth_l1),
        draw.loss_pairs(beta=st.just(0.4)),
        ulps=16,
    ),
    OpCase("huber_loss", loss.huber_loss, ref.elementwise_loss(ref.huber), draw.loss_pairs(), ulps=16),
    OpCase(
        "huber_loss delta",
        loss.huber_loss,
        ref.elementwise_loss(ref.huber),
        draw.loss_pairs(delta=st.just(0.4)),
        ulps=16,
    ),
    OpCase(
        "binary_cross_entropy",
        loss.binary_cross_entropy,
        ref.elementwise_loss(ref.bce),
        draw.probability_pairs(logits=False),
        ulps=16,
    ),
    OpCase(
        "binary_cross_entropy_with_logits",
        loss.binary_cross_entropy_with_logits,
        ref.elementwise_loss(ref.bce_with_logits),
        draw.probability_pairs(logits=True),
        ulps=16,
    ),
    OpCase("kl_div", loss.kl_div, ref.kl_div, draw.divergences(), ulps=16, absolute=60),
]


def written(write: Callable[..., Any]) -> Callable[..., Tensor]:
    """What a write in place leaves in a copy of the first argument."""

    def apply(x: Tensor, *others: Any) -> Tensor:
        out = x.detach().clone()
        assert write(out, *[other.detach() if isinstance(other, Tensor) else other for other in others]) is out
        return out

    return apply


def into_first(**options: Any) -> Any:
    """Two arrays, the second of which broadcasts into the first."""
    return arrays_of(
        st.sampled_from([((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 0), ()), ((), ())]), **options
    )


def assigned(operation: Callable[..., Tensor], *numbers: float) -> Callable[..., Tensor]:
    """`x **= y` and the like, of a copy of x."""

    def apply(x: Tensor, *others: Tensor) -> Tensor:
        return operation(x.clone(), *others, *numbers)

    return apply


def plus(x: Tensor, y: Tensor) -> Tensor:
    x = x * 1.0
    x += y
    return x


def minus(x: Tensor, y: Tensor) -> Tensor:
    x = x * 1.0
    x -= y
    return x


def times(x: Tensor, y: Tensor) -> Tensor:
    x = x * 1.0
    x *= y
    return x


def over(x: Tensor, y: Tensor) -> Tensor:
    x = x * 1.0
    x /= y
    return x


def three_into_first(**options: Any) -> Any:
    """Three arrays, the second and third of which broadcast into the first."""
    return arrays_of(st.sampled_from([((2, 3), (2, 3), (3,)), ((2, 3), (2, 1), (2, 3)), ((), (), ())]), **options)


def drawn_alike(method: str) -> Callable[..., Tensor]:
    """Random numbers in place, from a generator of its own, so that each call draws the same."""
    return lambda x: getattr(x, method)(-1.0, 2.0, generator=Generator(seed=3))


def drawn_reference(method: str) -> Callable[..., Any]:
    def apply(x: Any) -> Any:
        out = np.empty(x.shape)
        getattr(Generator(seed=3), method)(out, -1.0, 2.0)
        return out

    return apply


INPLACE = [
    values("add_", written(inplace.add_), np.add, into_first(), absolute=1),
    values("sub_", written(inplace.sub_), np.subtract, into_first(), absolute=1),
    values("mul_", written(inplace.mul_), np.multiply, into_first()),
    values("div_", written(inplace.div_), np.divide, into_first(low=0.3)),
    values("copy_", written(inplace.copy_), lambda x, y: np.broadcast_to(y, x.shape), into_first()),
    values("fill_", written(inplace.fill_), np.full_like, with_number()),
    values("zero_", written(inplace.zero_), np.zeros_like, arrays()),
    values("clamp_", written(inplace.clamp_), np.clip, draw.clamps()),
    values("add_ alpha", written(partial(inplace.add_, alpha=0.5)), lambda x, y: x + 0.5 * y, into_first(), absolute=1),
    values("sub_ alpha", written(partial(inplace.sub_, alpha=0.5)), lambda x, y: x - 0.5 * y, into_first(), absolute=1),
    values("addcmul_", written(inplace.addcmul_), lambda x, y, z: x + y * z, three_into_first(), absolute=8),
    values(
        "addcdiv_ value",
        written(partial(inplace.addcdiv_, value=-0.5)),
        lambda x, y, z: x - 0.5 * y / z,
        three_into_first(low=0.5),
        absolute=8,
    ),
    values("lerp_", written(inplace.lerp_), lambda x, y, z: x + z * (y - x), three_into_first(), absolute=16),
    values(
        "masked_fill_", written(inplace.masked_fill_), lambda x, mask, value: np.where(mask, value, x), draw.fills()
    ),
    values("scatter_", written(gather.scatter_), ref.scatter, draw.scatters()),
    values("scatter_add_", written(gather.scatter_add_), ref.scatter_add, draw.scatters(repeated=True), absolute=8),
    values("uniform_", written(drawn_alike("uniform_")), drawn_reference("fill_uniform"), arrays()),
    values("normal_", written(drawn_alike("normal_")), drawn_reference("fill_normal"), arrays()),
    # With a gradient these bind the name to a new tensor.
    OpCase("__iadd__", plus, np.add, into_first(), absolute=1),
    OpCase("__isub__", minus, np.subtract, into_first(), absolute=1),
    OpCase("__imul__", times, np.multiply, into_first()),
    OpCase("__itruediv__", over, np.divide, into_first(low=0.3)),
    OpCase("__ipow__", assigned(operator.ipow), np.power, into_first(low=0.3), ulps=8),
    OpCase("__ifloordiv__", assigned(operator.ifloordiv, 2.0), lambda x: x // 2, arrays(away_from=[-2, 0, 2])),
    OpCase("__imod__", assigned(operator.imod, 2.0), lambda x: x % 2, arrays(away_from=[-2, 0, 2])),
    values("__iand__", assigned(operator.iand), np.bitwise_and, into_first(low=0, high=2, dtype=bool)),
    values("__ior__", assigned(operator.ior), np.bitwise_or, into_first(low=0, high=2, dtype=bool)),
    values("__ixor__", assigned(operator.ixor), np.bitwise_xor, into_first(low=0, high=2, dtype=bool)),
]

CASES: list[OpCase] = [
    *ARITHMETIC,
    *OPERATORS,
    *ELEMENTARY,
    *COMPARE,
    *ACTIVATION,
    *REDUCE,
    *SHAPE,
    *IMAGES,
    *ARRANGE,
    *INDEX,
    *LINEAR,
    *CONV,
    *NORM,
    *CHANNEL_NORMS,
    *LOSS,
    *POOL,
    *ENLARGE,
    *INPLACE,
]
