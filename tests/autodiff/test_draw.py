"""The drawing of a graph: what it says, where things lie, and when it refuses."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from tests.autodiff.numeric import rng
from tinygrad_mlp.autodiff.creation import ones, tensor, zeros
from tinygrad_mlp.autodiff.draw import draw
from tinygrad_mlp.autodiff.layout import Box, crossings, uncross
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.sampling import randint
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, GradientError
from tinygrad_mlp.kernels.random import Generator


def mlp_loss():
    """The loss of a three-layer MLP, and the names of its tensors."""
    hidden = x = ones(8, 6)
    names = {"x": x}
    for layer, (inputs, outputs) in enumerate([(6, 5), (5, 4), (4, 3)]):
        weight = Tensor(rng(layer).normal(size=(inputs, outputs)).astype(np.float32), requires_grad=True)
        bias = zeros(outputs, requires_grad=True)
        names |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
        hidden = (hidden @ weight + bias).tanh()
    labels = randint(3, (8,), generator=Generator(0))
    names["y"] = labels
    return -hidden[tensor(np.arange(8)), labels].mean(), names


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def boxes(figure):
    return [patch.get_bbox() for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]


def arrows(figure):
    """First and last point of each edge."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    return [(arrow._path_original.vertices[0], arrow._path_original.vertices[-1]) for arrow in found]


def test_it_names_ops_leaves_and_shapes():
    loss, names = mlp_loss()
    said = texts(draw(loss, names=names))
    for name in names:
        assert said.count(name) == 1
    assert said.count("matmul") == said.count("add") == said.count("tanh") == 3
    assert said.count("index_at") == said.count("mean") == said.count("neg") == 1
    assert said.count("(8, 5)") == 3  # what matmul, add and tanh of the first layer hand on
    assert "(8,) int64" in said
    assert f"result = {loss.item():.4g}" in said


def test_names_as_pairs_and_of_other_wrappers_of_the_same_memory():
    w, x = ones(2, requires_grad=True), ones(2)
    figure = draw((w * x.detach()).sum(), names=[("weights", w), ("inputs", x)])
    assert {"weights", "inputs"} <= set(texts(figure))
    out = w * 2.0
    assert "out (2,)" in texts(draw(out.sum(), names={"out": out}))
    assert "out" in texts(draw(out, names={"out": out}))


def test_unnamed_leaves_and_constants():
    w = ones(2, requires_grad=True)
    said = texts(draw(w * ones(2) + tensor(2.5)))
    assert said.count("Tensor") == 2
    assert "2.5" in said
    assert said.count("(2,)") == 4  # two leaves, mul, result


def test_boxes_do_not_touch_and_edges_go_down():
    loss, names = mlp_loss()
    figure = draw(loss, names=names)
    found = boxes(figure)
    assert len(found) == len(names) + 1 + 12 + 1  # names, arange, ops, result
    for i, one in enumerate(found):
        for other in found[:i]:
            beside = one.xmax < other.xmin or other.xmax < one.xmin
            over = one.ymax < other.ymin or other.ymax < one.ymin
            assert beside or over
    assert len(arrows(figure)) == 3 * (2 + 2 + 1) + 3 + 1 + 1 + 1  # and one to the result
    for start, end in arrows(figure):
        assert start[1] < end[1]
    width, height = figure.get_size_inches()
    for box in found:
        assert 0 <= box.xmin < box.xmax <= width
        assert 0 <= box.ymin < box.ymax <= height


@pytest.mark.parametrize("bridged", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_crossings_are_reduced(seed, bridged):
    # Five chains of four boxes, in the second case with a bridge between neighbours, shuffled in every layer.
    chains = [[Box("op", [], layer=layer) for layer in range(4)] for _ in range(5)]
    links = [pair for chain in chains for pair in pairwise(chain)]
    if bridged:
        links += [(chain[1], beside[2]) for chain, beside in pairwise(chains)]
    for upper, lower in links:
        upper.below.append(lower)
        lower.above.append(upper)
    layers = [[chain[layer] for chain in chains] for layer in range(4)]
    assert crossings(layers) == 0
    for depth, layer in enumerate(layers):
        rng(seed, depth).shuffle(layer)
    before = crossings(layers)
    assert before >= 9
    uncross(layers)
    assert crossings(layers) <= (before // 2 if bridged else 0)


def test_a_tensor_used_twice_is_one_box_with_two_edges():
    x = ones(2, requires_grad=True)
    figure = draw((x * x).sum(), names={"x": x})
    assert texts(figure).count("x") == 1
    assert len(arrows(figure)) == 4


def test_same_graph_same_drawing():
    loss, names = mlp_loss()
    first, second = draw(loss, names=names), draw(loss, names=names)
    assert [tuple(box.bounds) for box in boxes(first)] == [tuple(box.bounds) for box in boxes(second)]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_it_saves(tmp_path, suffix):
    x = ones(2, requires_grad=True)
    figure = draw(x.sum(), tmp_path / f"graph{suffix}")
    assert isinstance(figure, Figure)
    assert (tmp_path / f"graph{suffix}").stat().st_size > 1000


def test_no_gradient_is_touched_and_the_graph_stays():
    x = ones(2, requires_grad=True)
    loss = (x * x).sum()
    draw(loss)
    loss.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_leaf_that_is_used_far_below_stands_there_again():
    x = ones(2, requires_grad=True)
    y = x
    for _ in range(200):
        y = y * x
    figure = draw(y, names={"x": x})
    assert texts(figure).count("x") == 200 - 6
    assert len(boxes(figure)) == 200 - 6 + 200 + 1
    assert max(start[1] - end[1] for start, end in arrows(figure)) < 0
    near = x.exp().sin().cos() * x
    assert texts(draw(near, names={"x": x})).count("x") == 1


def test_errors():
    x = ones(2, requires_grad=True)
    with pytest.raises(GradientError, match="not computed by a recorded op"):
        draw(x)
    with no_grad(), pytest.raises(GradientError, match="not computed by a recorded op"):
        draw(x * 2.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(GradientError, match=r"the graph behind op sum was freed.*retain_graph=True"):
        draw(loss)
    y = x
    for _ in range(1001):
        y = y + 1.0
    with pytest.raises(ArgumentError, match="more than 1000 ops"):
        draw(y)


def test_no_backend_is_chosen():
    code = (
        "import sys; import tinygrad_mlp.autodiff.ops; from tinygrad_mlp.autodiff.creation import ones;"
        "from tinygrad_mlp.autodiff.draw import draw; assert 'matplotlib' not in sys.modules;"
        "draw(ones(2, requires_grad=True) + 1.0); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
