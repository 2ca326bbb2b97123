"""What the ops of the case table are called with, where that is more than arrays: dims, shapes, indices, labels."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_mlp.testing import Arguments, Constant, arrays, arrays_of, broadcastable_shapes, relaid, shapes

Draw = st.DrawFn
REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


def dims(ndim: int) -> st.SearchStrategy[int]:
    """A dimension, counted from the front or the back."""
    return st.integers(-ndim, ndim - 1)


def several_dims(ndim: int) -> st.SearchStrategy[Any]:
    """None, one dimension, or some."""
    if not ndim:
        return st.none()
    some = st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True)
    return st.one_of(st.none(), dims(ndim), some.map(tuple))


@st.composite
def reductions(draw: Draw, min_side: int = 0, whole: bool = False, **domain: Any) -> Arguments:
    """(x, dim, keepdim): any dims."""
    x = draw(arrays(shapes(min_side=min_side), **domain))
    x = relaid(np.rint(x)) if whole else x
    return Arguments((x,), {"dim": draw(several_dims(x.ndim)), "keepdim": draw(st.booleans())})


@st.composite
def with_dim(draw: Draw, min_side: int = 0, keepdim: bool = False, **domain: Any) -> Arguments:
    """(x, dim): one dim."""
    x = draw(arrays(shapes(min_dims=1, min_side=min_side), **domain))
    named = {"keepdim": draw(st.booleans())} if keepdim else {}
    return Arguments((x, draw(dims(x.ndim))), named)


@st.composite
def variances(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1, min_side=2, max_side=3), distinct=True))
    options = {"correction": draw(st.sampled_from([0, 1])), "keepdim": draw(st.booleans())}
    return Arguments((x,), {"dim": draw(several_dims(x.ndim)), **options})


@st.composite
def norms(draw: Draw, *powers: float) -> Arguments:
    x = draw(arrays(shapes(min_side=1, max_side=3), low=-3, high=2.4, away_from=[0], distinct=True))
    named = {"dim": draw(several_dims(x.ndim)), "keepdim": draw(st.booleans())}
    return Arguments((x, draw(st.sampled_from(powers))), named)


@st.composite
def reshapes(draw: Draw) -> Arguments:
    """Another shape with as many elements, maybe with a -1."""
    x = draw(arrays())
    size = [*draw(st.permutations(x.shape)), *draw(st.lists(st.just(1), max_size=2))]
    if len(size) > 1 and draw(st.booleans()):
        size = [size[0] * size[1], *size[2:]]
    if size and x.size and draw(st.booleans()):
        size[draw(st.integers(0, len(size) - 1))] = -1
    return Arguments((x, *size) if size else (x, ()))


@st.composite
def permutations(draw: Draw) -> Arguments:
    x = draw(arrays())
    order = draw(st.permutations(range(x.ndim)))
    return Arguments((x, [axis - draw(st.sampled_from([0, x.ndim])) for axis in order]))


@st.composite
def two_dims(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1)))
    return Arguments((x, draw(dims(x.ndim)), draw(dims(x.ndim))))


@st.composite
def squeezes(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(max_side=2)))
    return Arguments((x,), {"dim": draw(several_dims(x.ndim))})


@st.composite
def unsqueezes(draw: Draw) -> Arguments:
    x = draw(arrays())
    return Arguments((x, draw(dims(x.ndim + 1))))


@st.composite
def flattens(draw: Draw) -> Arguments:
    x = draw(arrays())
    start, end = sorted(draw(st.lists(st.integers(0, max(x.ndim - 1, 0)), min_size=2, max_size=2)))
    return Arguments((x, start, end - draw(st.sampled_from([0, max(x.ndim, 1)]))))


@st.composite
def expansions(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(max_side=2)))
    kept = [draw(st.sampled_from([-1, n])) if n != 1 else draw(st.sampled_from([-1, 1, 3])) for n in x.shape]
    return Arguments((x, *draw(st.lists(st.integers(0, 2), max_size=1)), *kept) if kept else (x, 2))


@st.composite
def constant_pads(draw: Draw) -> Arguments:
    x = draw(arrays())
    pairs: list[int] = []
    for size in x.shape[::-1][: draw(st.integers(0, x.ndim))]:
        before = draw(st.integers(-min(size, 1), 2))
        pairs += [before, draw(st.integers(-(size + min(before, 0)), 2))]
    return Arguments((x, pairs), {"value": draw(st.sampled_from([None, 1.5]))})


@st.composite
def border_pads(draw: Draw) -> Arguments:
    mode = draw(st.sampled_from(["reflect", "replicate", "circular"]))
    x = draw(arrays(shapes(min_dims=1, min_side=1, max_side=3)))
    pairs: list[int] = []
    for size in x.shape[::-1][: draw(st.integers(0, x.ndim))]:
        widest = size - 1 if mode == "reflect" else size
        after = draw(st.integers(0 if mode == "reflect" else -(size - 1), widest))
        pairs += [draw(st.integers(0, widest + min(after, 0) if mode == "circular" else widest)), after]
    return Arguments((x, pairs), {"mode": mode})


@st.composite
def flips(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1)))
    listed = st.lists(st.integers(0, x.ndim - 1), max_size=x.ndim, unique=True)
    return Arguments((x, draw(st.one_of(dims(x.ndim), listed))))


@st.composite
def rolls(draw: Draw) -> Arguments:
    x = draw(arrays())
    shift = st.integers(-5, 5)
    if not x.ndim or draw(st.booleans()):
        return Arguments((x, draw(shift)))
    axes = draw(st.lists(st.integers(0, x.ndim - 1), min_size=1, max_size=2))
    return Arguments((x, [draw(shift) for _ in axes], axes))


@st.composite
def joins(draw: Draw, new_dim: bool = False) -> Arguments:
    """Arrays to concatenate along a dim (or, with `new_dim`, to stack)."""
    shape = draw(shapes(min_dims=0 if new_dim else 1))
    dim = draw(dims(len(shape) + new_dim))
    count = draw(st.integers(1, 3))
    wanted = [list(shape) for _ in range(count)]
    if not new_dim:
        for one in wanted:
            one[dim] = draw(st.integers(0, 3))
    return Arguments(draw(arrays_of(st.just(tuple([tuple(one) for one in wanted])))), {"dim": dim})


@st.composite
def splits(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1)))
    dim = draw(dims(x.ndim))
    if draw(st.booleans()):
        return Arguments((x, draw(st.integers(1, 3)), dim))
    cuts = sorted(draw(st.lists(st.integers(0, x.shape[dim]), max_size=2)))
    ends = [0, *cuts, x.shape[dim]]
    return Arguments((x, [end - start for start, end in itertools.pairwise(ends)], dim))


@st.composite
def chunks(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1, min_side=1)))
    return Arguments((x, draw(st.integers(1, 3)), draw(dims(x.ndim))))


@st.composite
def triangles(draw: Draw) -> Arguments:
    return Arguments((draw(arrays(shapes(min_dims=2))), draw(st.integers(-3, 3))))


@st.composite
def basic_indices(draw: Draw) -> Arguments:
    x = draw(arrays())
    return Arguments((x, draw(hnp.basic_indices(x.shape, allow_newaxis=True))))


@st.composite
def integer_indices(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1, min_side=1)))
    return Arguments((x, draw(hnp.integer_array_indices(x.shape, dtype=np.dtype(np.int64)))))


@st.composite
def masks(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1)))
    covered = draw(st.integers(1, x.ndim))
    return Arguments((x, draw(hnp.arrays(bool, x.shape[:covered]))))


MIXED = [
    ([0, 2, 0], slice(None), 1),
    (slice(1, None), [0, 1, 2, 0]),
    ([1, 3], slice(None), [1, 0]),
    ([[1], [3]], slice(None), [0, 1]),
    (None, [1, 1], None, slice(None, None, 2)),
    (..., [0, -1]),
    (np.array([True, False, True, False]), slice(0, 2), 0),
    (slice(None), np.ones((3, 2), bool)),
    (np.array(True), 2),
    (2, np.array([False, True, True]), None),
]


def mixed_indices() -> st.SearchStrategy[Arguments]:
    """Slices, integers, None, integer arrays and masks in one index."""
    return st.builds(lambda x, index: Arguments((x, index)), arrays((4, 3, 2)), st.sampled_from(MIXED))


@st.composite
def assignments(draw: Draw) -> Arguments:
    """(x, value, index), no element written twice."""
    x = draw(arrays((4, 3, 2)))
    unique = [entry for position, entry in enumerate(MIXED) if position not in (0, 1, 4)]
    index = draw(st.one_of(hnp.basic_indices(x.shape, allow_newaxis=True), st.sampled_from(unique)))
    selected = np.asarray(x[index]).shape
    # The value broadcasts: some of its dimensions are 1, and some in front are left out.
    shape = [draw(st.sampled_from([1, size])) for size in selected][draw(st.integers(0, len(selected))) :]
    return Arguments((x, draw(arrays(tuple(shape)))), {"index": index})


@st.composite
def gathers(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1, min_side=1)))
    dim = draw(dims(x.ndim))
    shape = [draw(st.integers(0, size)) for size in x.shape]
    shape[dim] = draw(st.integers(0, 4))
    return Arguments((x, dim, draw(arrays(tuple(shape), 0, x.shape[dim], dtype=np.int64))))


@st.composite
def scatters(draw: Draw, repeated: bool = False) -> Arguments:
    """(x, dim, index, src): src at least as large as the index; each place at most once unless `repeated`."""
    x = draw(arrays(shapes(min_dims=1, min_side=1)))
    dim = draw(dims(x.ndim))
    shape = [draw(st.integers(0, size)) for size in x.shape]
    if repeated:
        shape[dim] = draw(st.integers(0, 4))
        index = draw(arrays(tuple(shape), 0, x.shape[dim], dtype=np.int64))
    else:
        order = np.argsort(draw(arrays(x.shape, distinct=True, layouts=False)), axis=dim)
        index = order[tuple([slice(size) for size in shape])]
    return Arguments((x, dim, index, draw(arrays(tuple([size + draw(st.integers(0, 1)) for size in shape])))))


@st.composite
def repeats(draw: Draw) -> Arguments:
    x = draw(arrays())
    times = [draw(st.integers(0, 3)) for _ in range(x.ndim + draw(st.integers(0, 1)))]
    return Arguments((x, *times) if times else (x, 2))


@st.composite
def selections(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1, min_side=1)))
    dim = draw(dims(x.ndim))
    return Arguments((x, dim, draw(arrays(shapes(1, 1), 0, x.shape[dim], dtype=np.int64))))


@st.composite
def takes(draw: Draw) -> Arguments:
    if draw(st.booleans()):
        x = draw(arrays(shapes(min_side=1)))
        return Arguments((x, draw(arrays(shapes(max_dims=2), 0, x.size, dtype=np.int64))))
    ndim = draw(st.integers(1, 3))
    first, second = map(list, draw(broadcastable_shapes(2, min_dims=ndim, max_dims=ndim, min_side=1)))
    dim = draw(dims(ndim))
    first[dim], second[dim] = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    x = draw(arrays(tuple(first)))
    return Arguments((x, draw(arrays(tuple(second), 0, first[dim], dtype=np.int64)), dim))


@st.composite
def sorts(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1), distinct=True))
    return Arguments((x, draw(dims(x.ndim)), draw(st.booleans())))


@st.composite
def tops(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1), distinct=True))
    dim = draw(dims(x.ndim))
    return Arguments((x, draw(st.integers(0, x.shape[dim])), dim, draw(st.booleans())))


@st.composite
def choices(draw: Draw) -> Arguments:
    """(condition, x, other) that broadcast."""
    condition, first, second = draw(broadcastable_shapes(3))
    values = draw(arrays_of(st.just((first, second))))
    return Arguments((draw(arrays(condition, 0, 2, dtype=bool)), *values))


@st.composite
def fills(draw: Draw) -> Arguments:
    """(x, mask that broadcasts into x, number or 0-d tensor)."""
    shape = draw(shapes())
    mask = tuple([draw(st.sampled_from([1, size])) for size in shape][draw(st.integers(0, len(shape))) :])
    value = draw(st.one_of(st.just(1.5), arrays(())))
    return Arguments((draw(arrays(shape)), draw(arrays(mask, 0, 2, dtype=bool)), value))


@st.composite
def clamps(draw: Draw) -> Arguments:
    limits = draw(st.sampled_from([(-1.0, 1.5), (None, 0.5), (-0.5, None), (1.0, -1.0)]))
    return Arguments((draw(arrays(away_from=[limit for limit in limits if limit is not None])), *limits))


@st.composite
def clamps_by_tensors(draw: Draw) -> Arguments:
    x, low, high = draw(arrays_of(broadcastable_shapes(3), distinct=True))
    return Arguments((x, *draw(st.sampled_from([(low, high), (low, None), (None, high)]))))


@st.composite
def matrix_pairs(draw: Draw, rank: tuple[int, int] | None = None) -> Arguments:
    """x @ y: 1-d, matrices, stacks that broadcast; or exactly of two ranks."""
    rows, inner, columns = (draw(st.integers(0, 4)) for _ in range(3))
    x_rank, y_rank = rank or draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (1, 3), (3, 3), (4, 3)]))
    x_shape, y_shape = (rows, inner)[2 - min(x_rank, 2) :], (inner, columns)[: min(y_rank, 2)]
    batches = ((), ())
    if max(x_rank, y_rank) > 2:
        size = draw(st.integers(0, 2))
        batches = (tuple(size for _ in range(x_rank - 2)), tuple(size for _ in range(y_rank - 2)))
        if rank is None:
            batches = tuple([tuple([draw(st.sampled_from([1, n])) for n in batch]) for batch in batches])
    return Arguments(draw(arrays_of(st.just((batches[0] + x_shape, batches[1] + y_shape)), -2, 2)))


EQUATIONS: list[tuple[str, tuple[tuple[int, ...], ...]]] = [
    ("ij,jk->ik", ((2, 3), (3, 4))),
    ("ij,kj", ((2, 3), (4, 3))),
    ("bij,bjk->bik", ((2, 2, 3), (2, 3, 2))),
    ("ii", ((3, 3),)),
    ("ii->i", ((3, 3),)),
    ("ij->ji", ((2, 3),)),
    ("ij->", ((2, 3),)),
    ("i,j->ij", ((2,), (3,))),
    ("...i,...i->...", ((2, 1, 3), (4, 3))),
    ("i,ij,j->", ((2,), (2, 3), (3,))),
    ("bhqd,bhkd->bhqk", ((2, 1, 3, 2), (2, 1, 2, 2))),
    ("ij,jk->ik", ((0, 3), (3, 2))),
]


@st.composite
def equations(draw: Draw) -> Arguments:
    equation, operands = draw(st.sampled_from(EQUATIONS))
    return Arguments((equation, *draw(arrays_of(st.just(operands), -2, 2))))


@st.composite
def linears(draw: Draw) -> Arguments:
    """(x, weight, bias or None, activation or None)."""
    inputs, outputs = draw(st.integers(0, 4)), draw(st.integers(1, 4))
    leading = draw(shapes(max_dims=2, max_side=3))
    x, weight, bias = draw(arrays_of(st.just(((*leading, inputs), (outputs, inputs), (outputs,))), -2, 2))
    activation = draw(st.sampled_from([None, "relu", "tanh", "sigmoid"]))
    return Arguments((x, weight, draw(st.sampled_from([bias, None])), activation))


@st.composite
def embeddings(draw: Draw) -> Arguments:
    """(indices, weight, padding row that no index names)."""
    indices = draw(arrays(shapes(max_dims=2), 1, 4, dtype=np.int64))
    return Arguments((indices, draw(arrays((4, 3)))), {"padding_idx": draw(st.sampled_from([None, 0, -4]))})


@st.composite
def channel_batches(draw: Draw, running: bool) -> Arguments:
    """(x, weight or None, bias or None) for batch norm; with `running` (x, mean, var, weight, bias)."""
    shape = (draw(st.integers(2, 3)), draw(st.integers(1, 3)), *draw(shapes(max_dims=2, min_side=1, max_side=2)))
    x = draw(arrays(shape, distinct=True))
    weight, bias = draw(arrays_of(st.just(((shape[1],),) * 2)))
    affine = draw(st.sampled_from([(weight, bias), (weight, None), (None, bias), (None, None)]))
    if not running:
        return Arguments((x, *affine))
    statistics = [Constant(draw(arrays((shape[1],), low, 2, layouts=False))) for low in (-2, 0.2)]
    return Arguments((x, *statistics, *affine))


@st.composite
def layer_batches(draw: Draw) -> Arguments:
    """(x, normalized_shape, weight or None, bias or None)."""
    shape = draw(st.sampled_from([(2,), (3,), (2, 2)]))
    x = draw(arrays(draw(shapes(max_dims=2, max_side=2)) + shape, distinct=True))
    weight, bias = draw(arrays_of(st.just((shape, shape))))
    return Arguments((x, shape, *draw(st.sampled_from([(weight, bias), (weight, None), (None, bias), (None, None)]))))


@st.composite
def normalizations(draw: Draw) -> Arguments:
    x = draw(arrays(shapes(min_dims=1, min_side=1), away_from=[0], distinct=True))
    return Arguments((x, draw(st.sampled_from([2.0, 1.0, 3.0])), draw(dims(x.ndim))))


def class_shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """(N, C) and (N, C, d1)."""
    return st.one_of(shapes(2, 2, 1, 4), shapes(3, 3, 1, 2))


@st.composite
def labelled(draw: Draw, smoothing: bool) -> Arguments:
    """(logits, labels) and options, some samples ignored, but not all."""
    x = draw(arrays(class_shapes()))
    classes = x.shape[1]
    labels = draw(arrays((x.shape[0], *x.shape[2:]), 0, classes, dtype=np.int64, layouts=False))
    ignore = draw(st.sampled_from([-100, -1]))
    if labels.size > 1:
        labels[(0,) * labels.ndim] = ignore
    options: dict[str, Any] = {"ignore_index": ignore, "reduction": draw(REDUCTIONS)}
    if draw(st.booleans()):
        options["weight"] = Constant(draw(arrays((classes,), 0.2, 2)))
    if smoothing:
        options["label_smoothing"] = draw(st.sampled_from([0.0, 0.1, 1.0]))
    return Arguments((x, labels), options)


@st.composite
def single_samples(draw: Draw) -> Arguments:
    """Logits (C,) and a label ()."""
    x = draw(arrays(shapes(1, 1, 1, 4)))
    return Arguments((x, draw(arrays((), 0, x.size, dtype=np.int64))), {"reduction": draw(REDUCTIONS)})


@st.composite
def soft_labelled(draw: Draw) -> Arguments:
    """(logits, class probabilities)."""
    shape = draw(class_shapes())
    options: dict[str, Any] = {"label_smoothing": draw(st.sampled_from([0.0, 0.2])), "reduction": draw(REDUCTIONS)}
    if draw(st.booleans()):
        options["weight"] = Constant(draw(arrays((shape[1],), 0.2, 2)))
    return Arguments((draw(arrays(shape)), draw(arrays(shape, 0.1, 1))), options)


@st.composite
def loss_pairs(draw: Draw, **options: Any) -> Arguments:
    """(input, target) of one shape, nowhere equal, and a reduction."""
    shape = draw(shapes(min_side=1))
    pair = draw(arrays_of(st.just((shape, shape)), distinct=True))
    return Arguments(pair, {"reduction": draw(REDUCTIONS), **{name: draw(value) for name, value in options.items()}})


@st.composite
def probability_pairs(draw: Draw, logits: bool) -> Arguments:
    """(probabilities or logits, targets in 0 to 1) with weights that broadcast."""
    shape = draw(shapes(min_side=1))
    x = draw(arrays(shape, -3, 3) if logits else arrays(shape, 0.1, 0.9))
    options: dict[str, Any] = {"reduction": draw(REDUCTIONS)}
    for name in ("weight", "pos_weight") if logits else ("weight",):
        if draw(st.booleans()):
            options[name] = Constant(draw(arrays(shape[math.ceil(len(shape) / 2) :], 0.2, 2)))
    return Arguments((x, draw(arrays(shape, 0.1, 0.9))), options)


@st.composite
def divergences(draw: Draw) -> Arguments:
    shape, log_target = draw(shapes(min_side=1)), draw(st.booleans())
    target = draw(arrays(shape, -2, 0) if log_target else arrays(shape, 0.1, 0.9))
    reduction = draw(st.sampled_from(["mean", "sum", "none", "batchmean"]))
    return Arguments((draw(arrays(shape, -3, 0)), target), {"reduction": reduction, "log_target": log_target})


@st.composite
def with_special_numbers(draw: Draw) -> np.ndarray:
    """Arrays with NaN, inf, -inf and 0 among their numbers."""
    x = draw(arrays())
    rng = np.random.default_rng(x.size)
    special = rng.choice(np.array([np.nan, np.inf, -np.inf, 0.0]), x.shape)
    return relaid(np.where(rng.random(x.shape) < 0.5, special, x))
