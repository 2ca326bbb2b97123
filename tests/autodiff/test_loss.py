"""Losses: values against NumPy, gradients and gradients of gradients against differences, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.mode import anomaly_mode
from tinygrad_mlp.autodiff.ops.class_loss import cross_entropy, mean_over_labels, nll_loss
from tinygrad_mlp.autodiff.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    floored_log,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, IndexRangeError, NonFiniteError, ShapeError

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": lambda losses: losses}


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return rng(seed, *shape).normal(size=shape)


def probabilities(*shape: int, seed: int = 0) -> np.ndarray:
    return rng(seed, *shape).uniform(0.1, 0.9, size=shape)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def huber(d: np.ndarray, delta: float) -> np.ndarray:
    return np.where(np.abs(d) < delta, d * d / 2, delta * (np.abs(d) - delta / 2))


# name: (loss, NumPy reference, how to draw an input, how to draw a target)
ELEMENTWISE = {
    "mse": (mse_loss, lambda x, t: (x - t) ** 2, draw, draw),
    "l1": (l1_loss, lambda x, t: np.abs(x - t), draw, draw),
    "smooth_l1": (smooth_l1_loss, lambda x, t: huber(x - t, 1.0), draw, draw),
    "smooth_l1 beta 0.3": (
        lambda x, t, reduction: smooth_l1_loss(x, t, reduction, beta=0.3),
        lambda x, t: huber(x - t, 0.3) / 0.3,
        draw,
        draw,
    ),
    "smooth_l1 beta 0": (
        lambda x, t, reduction: smooth_l1_loss(x, t, reduction, beta=0),
        lambda x, t: np.abs(x - t),
        draw,
        draw,
    ),
    "huber": (huber_loss, lambda x, t: huber(x - t, 1.0), draw, draw),
    "huber delta 0.3": (
        lambda x, t, reduction: huber_loss(x, t, reduction, delta=0.3),
        lambda x, t: huber(x - t, 0.3),
        draw,
        draw,
    ),
    "bce": (
        lambda x, t, reduction: binary_cross_entropy(x, t, None, reduction),
        lambda p, t: -(t * np.log(p) + (1 - t) * np.log(1 - p)),
        probabilities,
        probabilities,
    ),
    "bce with logits": (
        lambda x, t, reduction: binary_cross_entropy_with_logits(x, t, None, reduction),
        lambda x, t: t * softplus(-x) + (1 - t) * softplus(x),
        draw,
        probabilities,
    ),
    "kl": (kl_div, lambda x, t: t * (np.log(t) - x), draw, probabilities),
    "kl log": (
        lambda x, t, reduction: kl_div(x, t, reduction, log_target=True),
        lambda x, t: np.exp(t) * (t - x),
        draw,
        draw,
    ),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (1, 1)])
def test_elementwise_losses(name, reduction, shape):
    loss, reference, make_input, make_target = ELEMENTWISE[name]
    x, t = make_input(*shape), make_target(*shape, seed=1)
    got = loss(Tensor(x), Tensor(t), reduction=reduction)
    expected = REDUCTIONS[reduction](reference(x, t))
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got.array, expected, rtol=1e-12)
    single = loss(Tensor(x.astype(np.float32)), Tensor(t.astype(np.float32)), reduction=reduction)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.array, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients_of_elementwise_losses(name):
    loss, _, make_input, make_target = ELEMENTWISE[name]
    for reduction in REDUCTIONS:
        check_gradients(lambda x, t, r=reduction: loss(x, t, reduction=r), make_input(3, 2), make_target(3, 2, seed=1))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_empty_batches_of_elementwise_losses(name):
    loss = ELEMENTWISE[name][0]
    empty = Tensor(np.empty((0, 3)), requires_grad=True)
    target = Tensor(np.empty((0, 3)))
    assert loss(empty, target, reduction="sum").item() == 0.0
    assert loss(empty, target, reduction="none").shape == (0, 3)
    with pytest.raises(ArgumentError, match="empty batch"):
        loss(empty, target, reduction="mean")
    loss(empty, target, reduction="sum").backward()
    assert empty.grad.shape == (0, 3)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_losses_refuse_what_does_not_fit(name):
    loss = ELEMENTWISE[name][0]
    column, row = Tensor(probabilities(4, 1)), Tensor(probabilities(4))
    with pytest.raises(ShapeError, match=r"\(4,\), target \(4, 1\).*nothing broadcasts"):
        loss(row, column, reduction="mean")
    with pytest.raises(ShapeError, match=r"\(4, 1\), target \(4,\)"):
        loss(column, row, reduction="mean")
    with pytest.raises(DtypeError, match="do not mix"):
        loss(row, row.float(), reduction="mean")
    with pytest.raises(DtypeError, match="target must be float32 or float64, got int64"):
        loss(row, Tensor(np.ones(4, np.int64)), reduction="mean")
    with pytest.raises(DtypeError, match="target must be a Tensor, got ndarray"):
        loss(row, row.array, reduction="mean")
    with pytest.raises(ArgumentError, match=r"unknown reduction 'avg'; expected one of 'mean', 'sum', 'none'"):
        loss(row, row, reduction="avg")


def test_kinks_are_pytorchs():
    x = Tensor(np.array([0.0, 1.0, -1.0, 2.0]), requires_grad=True)
    t = Tensor(np.zeros(4))
    for loss, expected in [(l1_loss, [0, 1, -1, 1]), (smooth_l1_loss, [0, 1, -1, 1]), (huber_loss, [0, 1, -1, 1])]:
        x.grad = None
        loss(x, t, reduction="sum").backward()
        np.testing.assert_array_equal(x.grad.array, expected)


def test_impossible_parameters_of_losses():
    x = Tensor(draw(3))
    with pytest.raises(ArgumentError, match="beta"):
        smooth_l1_loss(x, x, beta=-1.0)
    for delta in (0.0, -1.0, float("nan")):
        with pytest.raises(ArgumentError, match="delta"):
            huber_loss(x, x, delta=delta)


def test_kl_of_zero_probabilities_and_batchmean():
    logs, target = np.log(probabilities(3, 4)), np.array([[0.0, 0.5, 0.5, 0.0]] * 3)
    reference = np.where(target > 0, target * (np.log(np.where(target > 0, target, 1)) - logs), 0)
    got = kl_div(Tensor(logs), Tensor(target), reduction="batchmean")
    np.testing.assert_allclose(got.item(), reference.sum() / 3, rtol=1e-12)
    x, t = Tensor(logs, requires_grad=True), Tensor(target, requires_grad=True)
    kl_div(x, t, reduction="sum").backward()
    np.testing.assert_array_equal(x.grad.array, -target)
    assert np.isfinite(t.grad.array).all()
    with pytest.raises(ArgumentError, match="empty batch"):
        kl_div(Tensor(np.empty((0, 2))), Tensor(np.empty((0, 2))), reduction="batchmean")
    with pytest.raises(ArgumentError, match="'batchmean'"):
        kl_div(x, t, reduction="median")


def test_binary_cross_entropy_with_weights():
    p, x, t, w, pw = (
        probabilities(4, 3),
        draw(4, 3),
        probabilities(4, 3, seed=1),
        probabilities(3),
        2 * probabilities(3),
    )
    got = binary_cross_entropy(Tensor(p), Tensor(t), Tensor(w))
    np.testing.assert_allclose(got.item(), -(w * (t * np.log(p) + (1 - t) * np.log(1 - p))).mean(), rtol=1e-12)
    got = binary_cross_entropy_with_logits(Tensor(x), Tensor(t), Tensor(w), pos_weight=Tensor(pw))
    np.testing.assert_allclose(got.item(), (w * (pw * t * softplus(-x) + (1 - t) * softplus(x))).mean(), rtol=1e-12)
    check_gradients(lambda x: binary_cross_entropy_with_logits(x, Tensor(t), Tensor(w), "sum", Tensor(pw)), x)
    check_gradients(lambda p: binary_cross_entropy(p, Tensor(t), Tensor(w), "sum"), p)
    for argument in ("weight", "pos_weight"):
        with pytest.raises(ShapeError, match=rf"{argument} has shape \(4,\)"):
            binary_cross_entropy_with_logits(Tensor(x), Tensor(t), **{argument: Tensor(draw(4))})
        with pytest.raises(ShapeError, match=rf"{argument} has shape \(2, 4, 3\)"):
            binary_cross_entropy_with_logits(Tensor(x), Tensor(t), **{argument: Tensor(draw(2, 4, 3))})
        with pytest.raises(GradientError, match=rf"{argument} is a constant"):
            binary_cross_entropy_with_logits(
                Tensor(x, requires_grad=True), Tensor(t), **{argument: Tensor(w, requires_grad=True)}
            )


def test_binary_cross_entropy_at_the_ends():
    p, t = Tensor(np.array([0.0, 1.0, 0.0, 1.0]), requires_grad=True), Tensor(np.array([0.0, 1.0, 1.0, 0.0]))
    losses = binary_cross_entropy(p, t, reduction="none")
    np.testing.assert_array_equal(losses.array, [0, 0, 100, 100])
    losses.sum().backward()
    np.testing.assert_allclose(p.grad.array, [0, 0, -1e12, 1e12])
    with anomaly_mode():  # logarithms of 0 are no anomaly here
        p.grad = None
        binary_cross_entropy(p, t).backward()
    np.testing.assert_allclose(p.grad.array, [0, 0, -2.5e11, 2.5e11])
    x = Tensor(np.array([-1000.0, 1000.0, -40.0]), requires_grad=True)
    losses = binary_cross_entropy_with_logits(x, Tensor(np.array([0.0, 0.0, 0.0])), reduction="none")
    np.testing.assert_allclose(losses.array, [0, 1000, np.exp(-40.0)], rtol=1e-12)
    losses.sum().backward()
    np.testing.assert_allclose(x.grad.array, [0, 1, np.exp(-40.0)], rtol=1e-12)


def test_floored_log():
    check_gradients(floored_log, probabilities(3, 2))
    x = Tensor(np.array([0.0, 1e-50, 0.5]), requires_grad=True)
    out = floored_log(x)
    np.testing.assert_allclose(out.array, [-100, -100, np.log(0.5)])
    out.sum().backward()
    np.testing.assert_allclose(x.grad.array, [0, 0, 2])


@pytest.mark.parametrize("bad", [-0.1, 1.5, float("nan")])
def test_probabilities_outside_their_range(bad):
    good, wrong = Tensor(probabilities(2, 2)), Tensor(np.array([[0.0, 1.0], [bad, 0.5]]))
    with pytest.raises(
        ArgumentError, match=rf"binary_cross_entropy: .* target must lie in 0 to 1, got {bad} at .*1, 0"
    ):
        binary_cross_entropy(good, wrong)
    with pytest.raises(ArgumentError, match=r"input must lie in 0 to 1, got .* at index \(1, 0\)"):
        binary_cross_entropy(wrong, good)
    with pytest.raises(ArgumentError, match="with_logits: the probabilities in target"):
        binary_cross_entropy_with_logits(good, wrong)


# Classes


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)) - x.max(1, keepdims=True)


def reference_cross_entropy(x, labels, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """By loops, from the definition; x is (N, C, d1, …)."""
    logs = log_softmax(x)
    classes = x.shape[1]
    w = np.ones(classes) if weight is None else weight
    losses, total = np.zeros(labels.shape), 0.0
    for index in np.ndindex(labels.shape):
        label = labels[index]
        if label == ignore_index:
            continue
        row = logs[(index[0], slice(None), *index[1:])]
        smooth = sum(-w[c] * row[c] for c in range(classes)) / classes
        losses[index] = (1 - label_smoothing) * -w[label] * row[label] + label_smoothing * smooth
        total += w[label]
    return losses.sum() / total if reduction == "mean" else REDUCTIONS[reduction](losses)


@st.composite
def labelled(draw_from):
    classes = draw_from(st.integers(1, 4))
    shape = (draw_from(st.integers(1, 4)), *draw_from(st.lists(st.integers(1, 3), max_size=2)))
    seed = draw_from(st.integers(0, 1000))
    source = rng(seed)
    x = source.normal(size=(shape[0], classes, *shape[1:])) * 3
    labels = source.integers(0, classes, shape)
    labels.reshape(-1)[1::3] = -100
    weight = source.uniform(0.5, 2, classes) if draw_from(st.booleans()) else None
    return x, labels, weight, draw_from(st.sampled_from([0.0, 0.1, 1.0]))


@settings(max_examples=40, deadline=None)
@given(labelled(), st.sampled_from(list(REDUCTIONS)))
def test_cross_entropy_is_its_definition(case, reduction):
    x, labels, weight, smoothing = case
    expected = reference_cross_entropy(x, labels, weight, reduction=reduction, label_smoothing=smoothing)
    w = None if weight is None else Tensor(weight)
    got = cross_entropy(Tensor(x), Tensor(labels), w, reduction=reduction, label_smoothing=smoothing)
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got.array, expected, rtol=1e-11, atol=1e-14)
    images = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)  # channels last in memory
    other = cross_entropy(Tensor(images), Tensor(labels), w, reduction=reduction, label_smoothing=smoothing)
    np.testing.assert_array_equal(other.array, got.array)
    if not smoothing:
        logs = Tensor(log_softmax(x))
        np.testing.assert_allclose(nll_loss(logs, Tensor(labels), w, reduction=reduction).array, expected, rtol=1e-11)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_cross_entropy(reduction, smoothing, weighted):
    weight = Tensor(np.array([0.5, 1.0, 2.0])) if weighted else None
    labels = Tensor(np.array([2, 0, -100, 1]))

    def function(x):
        return cross_entropy(x, labels, weight, reduction=reduction, label_smoothing=smoothing)

    check_gradients(function, draw(4, 3))


def test_gradients_of_cross_entropy_over_images_and_nll():
    labels = Tensor(rng(3).integers(0, 3, (2, 2, 2)))
    check_gradients(lambda x: cross_entropy(x, labels), draw(2, 3, 2, 2))
    check_gradients(lambda x: nll_loss(x, labels, Tensor(np.array([0.5, 1.0, 2.0]))), draw(2, 3, 2, 2))
    check_gradients(lambda x: nll_loss(x.log_softmax(1).square(), labels, reduction="none"), draw(2, 3, 2, 2))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2), (3,)])
def test_cross_entropy_with_class_probabilities(smoothing, shape):
    x, target, weight = draw(*shape), probabilities(*shape, seed=1), np.array([0.5, 1.0, 2.0])
    dim = 0 if len(shape) == 1 else 1
    column = weight.reshape([-1 if d == dim else 1 for d in range(len(shape))])
    soft = (1 - smoothing) * target + smoothing / 3
    logs = x - np.log(np.exp(x).sum(dim, keepdims=True))
    expected = -(soft * column * logs).sum(dim)
    for reduction, reduce in REDUCTIONS.items():
        got = cross_entropy(Tensor(x), Tensor(target), Tensor(weight), reduction=reduction, label_smoothing=smoothing)
        np.testing.assert_allclose(got.array, reduce(expected), rtol=1e-12)
    check_gradients(lambda x, t: cross_entropy(x, t, Tensor(weight), label_smoothing=smoothing), x, target)


def test_one_hot_probabilities_give_the_loss_of_their_labels():
    x, labels = Tensor(draw(5, 3)), np.array([0, 2, 1, 1, 0])
    hard = cross_entropy(x, Tensor(labels), label_smoothing=0.1)
    soft = cross_entropy(x, Tensor(np.eye(3)[labels]), label_smoothing=0.1)
    np.testing.assert_allclose(hard.item(), soft.item(), rtol=1e-13)


def test_cross_entropy_of_one_sample():
    x = draw(3)
    got = cross_entropy(Tensor(x), Tensor(np.array(1)))
    np.testing.assert_allclose(got.item(), np.log(np.exp(x).sum()) - x[1], rtol=1e-13)
    assert cross_entropy(Tensor(x), Tensor(np.array(1)), reduction="none").shape == ()


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint8, np.int64])
def test_labels_of_any_integer_type_and_layout(dtype):
    labels = np.array([0, 9, 1, 9, 2, 9], dtype)[::2]
    x = draw(3, 3)
    got = cross_entropy(Tensor(x), Tensor(labels))
    np.testing.assert_allclose(got.item(), reference_cross_entropy(x, labels.astype(int)), rtol=1e-13)


def test_cross_entropy_in_float32_stays_there_and_is_finite():
    x = Tensor(np.array([[1000.0, 0.0], [0.0, -1000.0]], np.float32), requires_grad=True)
    loss = cross_entropy(x, Tensor(np.array([1, 0])))
    assert loss.dtype == np.float32
    assert loss.item() == 500.0
    loss.backward()
    np.testing.assert_array_equal(x.grad.array, [[0.5, -0.5], [0.0, 0.0]])


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_losses_of_classes_refuse_what_does_not_fit(loss):
    x, labels = Tensor(draw(4, 3)), Tensor(np.array([0, 1, 2, 0]))
    with pytest.raises(ShapeError, match=r"labels have shape \(4, 1\), expected \(4,\).*squeeze"):
        loss(x, Tensor(labels.array[:, None]))
    with pytest.raises(ShapeError, match=r"labels have shape \(3,\), expected \(4,\)"):
        loss(x, Tensor(labels.array[:3]))
    with pytest.raises(ShapeError, match=r"labels have shape \(4,\), expected \(4, 2\)"):
        loss(Tensor(draw(4, 3, 2)), labels)
    with pytest.raises(DtypeError, match=r"labels must be integers of shape \(4,\), got float64 \(4,\)"):
        loss(x, labels.double())
    with pytest.raises(DtypeError, match="input must be float32 or float64"):
        loss(labels, labels)
    with pytest.raises(DtypeError, match="target must be a Tensor"):
        loss(x, [0, 1, 2, 0])
    with pytest.raises(DtypeError, match="do not mix"):
        loss(x, labels, Tensor(np.ones(3, np.float32)))
    with pytest.raises(ShapeError, match=r"weight has shape \(4,\), expected \(3,\)"):
        loss(x, labels, Tensor(np.ones(4)))
    with pytest.raises(GradientError, match="weight is a constant"):
        loss(x, labels, Tensor(np.ones(3), requires_grad=True))
    with pytest.raises(ShapeError, match="scalar"):
        loss(Tensor(np.array(1.0)), Tensor(np.array(1)))
    with pytest.raises(ArgumentError, match="unknown reduction 'avg'"):
        loss(x, labels, reduction="avg")


def test_cross_entropy_refuses_more():
    x = Tensor(draw(4, 3))
    with pytest.raises(ShapeError, match=r"labels have shape \(4, 3\)"):
        cross_entropy(x, Tensor(np.eye(4, 3, dtype=np.int64)))
    with pytest.raises(DtypeError, match=r"class probabilities must be floats of the shape of the input, \(4, 3\)"):
        cross_entropy(x, Tensor(draw(4, 1)))
    with pytest.raises(DtypeError, match="do not mix"):
        cross_entropy(x, Tensor(draw(4, 3).astype(np.float32)))
    for smoothing in (-0.1, 1.1):
        with pytest.raises(ArgumentError, match="label_smoothing"):
            cross_entropy(x, Tensor(np.zeros(4, np.int64)), label_smoothing=smoothing)


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize("bad", [-1, 3, 250])
def test_label_out_of_range(loss, bad):
    with pytest.raises(IndexRangeError, match=rf"{loss.__name__}: label {bad} at position 2 .* 0 to 2"):
        loss(Tensor(draw(4, 3)), Tensor(np.array([0, 1, bad, 0])))
    assert loss(Tensor(draw(4, 3)), Tensor(np.array([0, 1, 2, 0]))).shape == ()  # the error left nothing behind


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
def test_empty_batches_of_classes(loss):
    x, labels = Tensor(np.empty((0, 3)), requires_grad=True), Tensor(np.empty(0, np.int64))
    assert loss(x, labels, reduction="none").shape == (0,)
    total = loss(x, labels, reduction="sum")
    assert total.item() == 0.0
    total.backward()
    assert x.grad.shape == (0, 3)
    with pytest.raises(ArgumentError, match=f"{loss.__name__}: the mean over an empty batch"):
        loss(x, labels)
    if loss is cross_entropy:
        with pytest.raises(ArgumentError, match="empty batch"):
            loss(x, Tensor(np.empty((0, 3))))


def test_a_batch_of_ignored_labels_does_not_train():
    x = Tensor(draw(2, 3), requires_grad=True)
    loss = cross_entropy(x, Tensor(np.array([7, 7])), ignore_index=7)
    assert np.isnan(loss.item())
    with pytest.raises(NonFiniteError):
        loss.backward()
    assert x.grad is None


def test_mean_over_labels_gradients():
    labels, weight = Tensor(np.array([0, 1, -100, 1])), Tensor(np.array([2.0, 0.5]))
    check_gradients(lambda losses: mean_over_labels(losses, labels, weight, -100), draw(4))


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize("changed", ["labels", "weight"])
def test_changing_labels_or_weights_before_backward(loss, changed):
    x, weight = Tensor(draw(2, 3), requires_grad=True), Tensor(np.ones(3))
    labels = Tensor(np.array([0, 1]))
    value = loss(x, labels, weight)
    (labels if changed == "labels" else weight).add_(1)
    with pytest.raises(GradientError, match="changed in place"):
        value.backward()


@pytest.mark.parametrize(
    ("loss", "curvature"),
    [(lambda x, t: smooth_l1_loss(x, t, "sum", beta=0.5), 2.0), (lambda x, t: huber_loss(x, t, "sum", delta=0.5), 1.0)],
)
def test_curvature_where_prediction_and_target_agree(loss, curvature):
    x = Tensor(np.array([0.0, 0.2, 3.0]), requires_grad=True)
    (slope,) = grad(loss(x, Tensor(np.zeros(3))), x, create_graph=True)
    (second,) = grad(slope.sum(), x)
    np.testing.assert_allclose(second.array, [curvature, curvature, 0.0])


def test_one_hot_rows_and_exchanged_arguments_are_recognised():
    logits, labels = Tensor(np.zeros((4, 3))), Tensor(np.zeros(4, int))
    with pytest.raises(ShapeError, match=r"labels have shape \(4, 3\).*of one-hot rows take the labels, target.argmax"):
        cross_entropy(logits, Tensor(np.zeros((4, 3), int)))
    with pytest.raises(
        DtypeError, match=r"the logits come first, the labels second: cross_entropy\(net\(x\), labels\)"
    ):
        cross_entropy(labels, logits)
