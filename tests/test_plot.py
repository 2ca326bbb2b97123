"""The figures hold what they were given, and none of their text is cut off or overlaps."""

import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from tinygrad_mlp import plot
from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError

GARMENTS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
LONG_NAMES = [
    "Bornean orang-utan (adult male)",
    "internationalisation",
    "a name of many words that never comes to an end",
]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def a_history(epochs: int) -> dict[str, list[float]]:
    """Curves of a net that overfits."""
    epoch = np.arange(1, epochs + 1)
    noise = rng().normal(0, 0.01, epochs)
    train_loss = 0.15 + 0.6 * np.exp(-epoch / 6) + noise / 3
    val_loss = 0.27 + 0.45 * np.exp(-epoch / 5) + 0.1 * (epoch / epochs) ** 2 + noise
    return {
        "epoch": epoch.tolist(),
        "train_loss": train_loss.tolist(),
        "val_loss": val_loss.tolist(),
        "train_accuracy": (1 - train_loss / 3).tolist(),
        "val_accuracy": (1 - val_loss / 3).tolist(),
        "lr": (2e-3 * np.sin(np.pi * epoch / (epochs + 1)) ** 2).tolist(),
    }


def title_of(figure: Figure) -> str:
    return figure.get_suptitle()


def line(ax: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    (found,) = (line for line in ax.lines if line.get_label() == label)
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


class TextRecorder(RendererAgg):
    """Draws, and notes where each line of text came to lie: left, top, right, bottom in pixels, and its angle."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(*(figure.get_size_inches() * figure.dpi), figure.dpi)
        self.lines: list[str] = []
        self.boxes: list[tuple[float, ...]] = []
        figure.draw(self)

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None) -> None:
        if not s.strip():
            return
        width, height, descent = self.get_text_width_height_descent(s, prop, ismath)
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = np.array([[cos, sin], [-sin, cos]])  # anticlockwise, with y pointing down
        corners = np.array([[0, descent], [width, descent], [0, descent - height], [width, descent - height]]) @ turn.T
        corners += (x, y)
        self.lines.append(s)
        self.boxes.append((*corners.min(0), *corners.max(0), angle))


def assert_readable(figure: Figure) -> None:
    """No text is cut off, and no two texts overlap (slanted ones aside: their boxes are larger than they are)."""
    recorder = TextRecorder(figure)
    lines, boxes = np.array(recorder.lines), np.array(recorder.boxes)
    outside = (boxes[:, :2] < -1).any(1) | (boxes[:, 2:4] > (recorder.width + 1, recorder.height + 1)).any(1)
    assert not outside.any(), f"cut off: {lines[outside]}"
    straight = boxes[:, 4] % 90 == 0
    lines, boxes = lines[straight], boxes[straight]
    starts = np.maximum(boxes[:, None, :2], boxes[None, :, :2])  # (T, T, 2): where each pair would overlap
    stops = np.minimum(boxes[:, None, 2:4], boxes[None, :, 2:4])
    overlap = np.triu((stops - starts > 1).all(2), 1)
    assert not overlap.any(), f"overlap: {[(lines[i], lines[j]) for i, j in np.argwhere(overlap)]}"


def test_the_check_of_readability_can_fail():
    cut, crossed = plot.histogram([1.0]), plot.histogram([1.0])
    cut.text(0.95, 0.5, "beyond the right edge")
    with pytest.raises(AssertionError, match=r"cut off: .*beyond the right edge"):
        assert_readable(cut)
    crossed.text(0.5, 0.5, "one")
    crossed.text(0.51, 0.51, "other", rotation=90)
    with pytest.raises(AssertionError, match=r"overlap: .*one.*other"):
        assert_readable(crossed)


# Learning curves


def test_curves_draws_what_it_is_given():
    history = a_history(20)
    figure = plot.curves(history, data="synthetic-fashion")
    loss, accuracy, rate = figure.axes
    assert title_of(figure) == "Learning curves · synthetic-fashion"
    assert [ax.get_ylabel() for ax in (loss, accuracy)] == ["loss", "accuracy"]
    assert rate.get_xlabel() == "epoch"
    for ax, label, key in (
        (loss, "training", "train_loss"),
        (loss, "validation", "val_loss"),
        (accuracy, "training", "train_accuracy"),
        (accuracy, "validation", "val_accuracy"),
        (rate, "learning rate", "lr"),
    ):
        epochs, values = line(ax, label)
        assert epochs.tolist() == history["epoch"]
        assert values.tolist() == history[key]


def test_curves_marks_the_epoch_of_the_lowest_validation_loss():
    history = a_history(20)
    best = 1 + int(np.argmin(history["val_loss"]))
    shown = words(plot.curves(history))
    assert f"best epoch {best}: validation loss {min(history['val_loss']):.4g}" in shown
    assert f"best epoch {best}: validation accuracy {100 * history['val_accuracy'][best - 1]:.2f} %" in shown
    assert any(text.startswith("best epoch 3: ") for text in words(plot.curves(history, best=3)))


def test_curves_falls_back_on_the_highest_validation_accuracy():
    history = {"val_accuracy": [0.5, 0.9, 0.7], "val_loss": [math.nan, math.nan, math.nan]}
    assert "best epoch 2: validation accuracy 90.00 %" in words(plot.curves(history))
    assert not any("best" in text for text in words(plot.curves({"train_loss": [1.0, 0.5]})))


@pytest.mark.parametrize(
    ("keys", "panels"),
    [
        (["train_loss"], ["loss"]),
        (["train_loss", "val_loss", "lr"], ["loss", ""]),
        (["val_accuracy"], ["accuracy"]),
        (["lr"], [""]),
    ],
)
def test_curves_leaves_out_panels_without_data(keys, panels):
    history = a_history(5)
    figure = plot.curves({key: history[key] for key in keys})
    assert [ax.get_ylabel() for ax in figure.axes] == panels
    assert_readable(figure)


def test_curves_without_the_strip():
    assert len(plot.curves(a_history(5), learning_rate=False).axes) == 2


def test_curves_breaks_at_nan_and_says_so():
    history = a_history(40)
    history["val_loss"][10] = math.nan
    history["val_loss"][12] = math.inf
    figure = plot.curves(history)
    values = line(figure.axes[0], "validation")[1]
    assert np.flatnonzero(np.isnan(values)).tolist() == [10, 12]
    assert line(figure.axes[0], "validation: not finite")[0].tolist() == [11, 13]
    drawn = next(line for line in figure.axes[0].lines if line.get_label() == "validation")
    assert drawn.get_markevery() == [11]  # the value alone between two gaps is drawn as a dot
    assert figure.get_supxlabel() == "×  the value of this epoch is not finite"
    assert_readable(figure)


def test_curves_passes_over_what_was_not_measured():
    history = {"train_loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [None, 2.0, None, 1.0]}
    figure = plot.curves(history)
    epochs, values = line(figure.axes[0], "validation")
    assert (epochs.tolist(), values.tolist()) == ([2, 4], [2.0, 1.0])
    assert figure.get_supxlabel() == ""


def test_curves_before_the_first_epoch():
    for history in ({"train_loss": []}, {"train_loss": [None], "epoch": [1]}):
        assert "No epoch is finished yet." in words(plot.curves(history, data="mnist"))


def test_curves_takes_arrays():
    history = {name: np.asarray(values, np.float32) for name, values in a_history(4).items()}
    values = line(plot.curves(history).axes[0], "training")[1]
    np.testing.assert_array_equal(values.astype(np.float32), history["train_loss"])


def test_curves_on_a_logarithmic_axis():
    figure = plot.curves({"train_loss": [1.0, 1e-4, 0.0], "val_loss": [1.0, 0.5, 0.4]}, log_loss=True)
    assert figure.axes[0].get_yscale() == "log"
    assert_readable(figure)  # draws, which writes the tick labels
    assert {"0.0001", "0.01", "1"} <= set(words(figure))
    assert plot.curves({"train_loss": [0.0, 0.0]}, log_loss=True).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("epochs", [1, 2, 20, 100])
def test_curves_is_readable(epochs):
    assert_readable(
        plot.curves(a_history(epochs), title="A long title that says how this net was trained " * 2, data="mnist")
    )


def test_curves_is_readable_when_lines_end_together_or_nowhere():
    together = {"train_loss": [2.0, 1.0, 0.5], "val_loss": [1.5, 1.0, 0.5]}
    assert_readable(plot.curves(together))
    nowhere = {"train_loss": [math.nan] * 3, "val_loss": [math.nan] * 3, "lr": [0.0] * 3}
    assert_readable(plot.curves(nowhere, best=2))


def test_curves_refuses_a_history_that_does_not_fit():
    with pytest.raises(ArgumentError, match=r"keys \['loss'\]; expected any of train_loss"):
        plot.curves({"loss": [1.0]})
    with pytest.raises(ShapeError, match="'val_loss' has 1 values for 2 epochs"):
        plot.curves({"train_loss": [1.0, 2.0], "val_loss": [1.0]})
    with pytest.raises(ArgumentError, match="best is epoch 3; the history has the epochs 1 to 2"):
        plot.curves({"train_loss": [1.0, 2.0]}, best=3)


# Confusion matrix


def test_confusion_draws_shares_counts_and_recall():
    matrix = np.array([[8, 2, 0], [1, 4, 0], [0, 0, 0]])
    figure = plot.confusion(matrix, ["a", "b", "c"], data="synthetic-fashion")
    heat, bars = figure.axes
    assert title_of(figure) == "Confusion matrix · synthetic-fashion"
    assert (heat.get_xlabel(), heat.get_ylabel()) == ("predicted class", "true class")
    np.testing.assert_allclose(heat.images[0].get_array(), [[0.8, 0.2, 0], [0.2, 0.8, 0], [0, 0, 0]])
    cells = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in heat.texts}
    assert cells == {(0, 0): "8\n80.0 %", (0, 1): "2\n20.0 %", (1, 0): "1\n20.0 %", (1, 1): "4\n80.0 %"}
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([0.8, 0.8, 0])
    assert [text.get_text() for text in bars.texts] == ["80.0 %", "80.0 %", "no samples"]
    assert figure.get_supxlabel() == "12 of 15 right (80.0 %). Each row adds up to 100 %."


def random_matrix(number: int) -> np.ndarray:
    return rng().integers(0, 60, (number, number)) + np.diag(np.full(number, 1000))


@pytest.mark.parametrize("names", [GARMENTS, list("0123456789"), LONG_NAMES, ["only"]])
def test_confusion_is_readable(names):
    assert_readable(plot.confusion(random_matrix(len(names)), names, data="fashion-mnist"))


@pytest.mark.parametrize(("number", "numbers_per_cell"), [(15, 2), (16, 1), (31, 0)])
def test_confusion_writes_less_as_cells_shrink(number, numbers_per_cell):
    figure = plot.confusion(random_matrix(number), [f"class {index}" for index in range(number)])
    lines = {text.get_text().count("\n") + 1 for text in figure.axes[0].texts} or {0}
    assert lines == {numbers_per_cell}
    assert_readable(figure)


def test_confusion_of_nothing():
    figure = plot.confusion([[0, 0], [0, 0]], ["a", "b"])
    assert figure.get_supxlabel() == "No samples."
    assert_readable(figure)


def test_confusion_refuses_other_matrices():
    with pytest.raises(ShapeError, match=r"shape \(2, 2\) for 3 class names"):
        plot.confusion(np.eye(2, dtype=int), ["a", "b", "c"])
    with pytest.raises(DtypeError, match="float64"):
        plot.confusion(np.eye(2), ["a", "b"])
    with pytest.raises(ArgumentError, match="lowest count is -1"):
        plot.confusion([[1, -1], [0, 1]], ["a", "b"])


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, "0.0 %"),
        (1e-5, "< 0.1 %"),
        (0.0005, "0.1 %"),
        (0.5, "50.0 %"),
        (0.9994, "99.9 %"),
        (0.99999, "> 99.9 %"),
        (1.0, "100.0 %"),
    ],
)
def test_per_cents_are_never_rounded_to_certainty(share, expected):
    total = 10**5
    matrix = [[round(share * total), total - round(share * total)], [0, 1]]
    assert plot.confusion(matrix, ["a", "b"]).axes[1].texts[0].get_text() == expected


# Images


def test_mistakes_shows_the_surest_first():
    images = rng().integers(0, 256, (6, 5, 5), np.uint8)
    labels, predictions = [0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 2]  # images 1, 2 and 4 are wrong
    probabilities = [0.99, 0.6, 0.9999, 0.3, 0.8, 1.0]
    figure = plot.mistakes(images, labels, predictions, probabilities, ["a", "b", "c"], data="mnist")
    shown = [ax for ax in figure.axes if ax.images]
    assert title_of(figure) == "Most confident mistakes · mnist"
    assert [ax.get_title() for ax in shown] == ["c", "b", "b"]
    assert [ax.get_xlabel() for ax in shown] == ["→ b\n> 99.9 %", "→ a\n80.0 %", "→ c\n60.0 %"]
    for ax, index in zip(shown, (2, 4, 1), strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), images[index] / 255)
    assert figure.get_supxlabel().startswith("3 of 6 are wrong; 3 shown.")
    assert (
        len(
            [
                ax
                for ax in plot.mistakes(images, labels, predictions, probabilities, list("abc"), count=2).axes
                if ax.images
            ]
        )
        == 2
    )


def test_mistakes_takes_the_probabilities_of_all_classes():
    probabilities = [[0.7, 0.3], [0.1, 0.9]]
    figure = plot.mistakes(np.zeros((2, 4)), [1, 0], [0, 1], probabilities, ["a", "b"])
    assert [ax.get_xlabel() for ax in figure.axes if ax.images] == ["→ b\n90.0 %", "→ a\n70.0 %"]


def test_mistakes_when_there_are_none():
    figure = plot.mistakes(np.zeros((3, 2, 2)), [0, 1, 1], [0, 1, 1], [0.5, 0.6, 0.7], ["a", "b"], data="mnist")
    assert "No mistakes: all 3 images are classified correctly." in words(figure)
    assert title_of(figure) == "Most confident mistakes · mnist"


@pytest.mark.parametrize(("names", "wrong"), [(GARMENTS, 30), (LONG_NAMES, 7), (LONG_NAMES, 1)])
def test_mistakes_is_readable(names, wrong):
    labels = rng().integers(0, len(names), wrong)
    figure = plot.mistakes(
        rng().random((wrong, 28, 28)), labels, (labels + 1) % len(names), np.linspace(0, 1, wrong), names
    )
    assert_readable(figure)


def test_mistakes_refuses_what_does_not_fit():
    images, names = np.zeros((2, 2, 2)), ["a", "b"]
    with pytest.raises(ArgumentError, match="softmax"):
        plot.mistakes(images, [0, 1], [1, 0], [3.0, 0.5], names)
    with pytest.raises(ArgumentError, match="softmax"):
        plot.mistakes(images, [0, 1], [1, 0], [math.nan, 0.5], names)
    with pytest.raises(ShapeError, match=r"probabilities has shape \(3,\)"):
        plot.mistakes(images, [0, 1], [1, 0], [0.1, 0.2, 0.3], names)
    with pytest.raises(ShapeError, match=r"labels has shape \(1,\); expected \(2,\)"):
        plot.mistakes(images, [0], [1, 0], [0.5, 0.5], names)
    with pytest.raises(DtypeError, match="predictions has dtype float64"):
        plot.mistakes(images, [0, 1], [1.0, 0.0], [0.5, 0.5], names)
    with pytest.raises(IndexRangeError, match="labels holds 2 at position 1"):
        plot.mistakes(images, [0, 2], [1, 0], [0.5, 0.5], names)
    with pytest.raises(ArgumentError, match="count is 0"):
        plot.mistakes(images, [0, 1], [1, 0], [0.5, 0.5], names, count=0)


def test_samples_lays_out_the_first_of_each_class():
    images = rng().integers(0, 256, (5, 3, 4), np.uint8)
    figure = plot.samples(images, [1, 0, 1, 1, 1], ["a", "b", "c"], data="mnist", count=2)
    (ax,) = figure.axes
    sheet = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert sheet.shape == (3 * 4 - 1, 2 * 5 - 1)
    np.testing.assert_allclose(sheet[0:3, 0:4], images[1] / 255)  # the only one of class a
    np.testing.assert_allclose(sheet[4:7, 0:4], images[0] / 255)
    np.testing.assert_allclose(sheet[4:7, 5:9], images[2] / 255)
    assert np.isnan(sheet[0:3, 5:9]).all()
    assert np.isnan(sheet[8:]).all()  # there is none of class c
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert title_of(figure) == "Samples of each class · mnist"


def test_samples_takes_images_as_they_come():
    pictures = rng().integers(0, 256, (3, 4, 4), np.uint8)
    plain = plot.samples(pictures, [0, 1, 1], ["a", "b"]).axes[0].images[0].get_array()
    for shaped in (
        pictures.reshape(3, 16),
        pictures.reshape(3, 1, 4, 4),
        pictures.reshape(3, 4, 4, 1),
        pictures.tolist(),
    ):
        drawn = plot.samples(shaped, [0, 1, 1], ["a", "b"]).axes[0].images[0].get_array()
        if not isinstance(shaped, list):  # bytes only
            np.testing.assert_array_equal(np.ma.filled(drawn, -1), np.ma.filled(plain, -1))
        assert drawn.shape == plain.shape
    color = rng().integers(0, 256, (3, 3, 4, 5), np.uint8)
    first = plot.samples(color, [0, 1, 1], ["a", "b"]).axes[0].images[0].get_array()
    last = plot.samples(color.transpose(0, 2, 3, 1), [0, 1, 1], ["a", "b"]).axes[0].images[0].get_array()
    np.testing.assert_array_equal(first, last)
    np.testing.assert_allclose(first[:4, :5], color[0].transpose(1, 2, 0) / 255)


def test_standardised_images_are_scaled_to_their_own_range():
    images = np.array([[[-1.0, 0.0], [0.5, 1.0]], [[3.0, 3.0], [3.0, 3.0]]])
    sheet = np.ma.filled(plot.samples(images, [0, 1], ["a", "b"], count=1).axes[0].images[0].get_array(), np.nan)
    np.testing.assert_allclose(sheet[:2], [[0, 0.5], [0.75, 1]])
    np.testing.assert_allclose(sheet[3:], 0)  # an image without contrast is not a division by zero


@pytest.mark.parametrize("names", [GARMENTS, LONG_NAMES])
def test_samples_is_readable(names):
    assert_readable(
        plot.samples(rng().random((60, 28, 28)), np.arange(60) % len(names), names, data="synthetic-fashion")
    )
    assert_readable(plot.samples(rng().random((20, 8, 32)), np.arange(20) % len(names), names, count=3))


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 4, 2), (0, 4, 4), (4,), (2, 1, 1, 4, 4)])
def test_samples_refuses_other_shapes(shape):
    with pytest.raises(ShapeError, match="expected at least one image"):
        plot.samples(np.zeros(shape), np.zeros(shape[0], int), ["a"])


def test_augmented_draws_each_image_and_its_drawings_in_a_row():
    images, drawn = rng().integers(0, 256, (2, 3, 6), np.uint8), rng().integers(0, 256, (2, 4, 3, 6), np.uint8)
    figure = plot.augmented(images, drawn, [1, 0], ["a", "b"], data="mnist", caption="as asked")
    (ax,) = figure.axes
    sheet = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert sheet.shape == (2 * 4 - 1, 6 + 2 + 4 * 7 - 1)  # a pixel between drawings, and a wider gap before them
    for row in range(2):
        top = 4 * row
        np.testing.assert_allclose(sheet[top : top + 3, :6], images[row] / 255)
        for place in range(4):
            left = 8 + 7 * place
            np.testing.assert_allclose(sheet[top : top + 3, left : left + 6], drawn[row, place] / 255)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    assert title_of(figure) == "Augmented images · mnist"
    assert "as asked" in words(figure)


def test_augmented_is_readable_in_grey_and_colour():
    drawn = rng().integers(0, 256, (10, 8, 28, 28), np.uint8)
    assert_readable(
        plot.augmented(drawn[:, 0], drawn, np.arange(10), GARMENTS, data="fashion", caption="Epochs 1 to 8")
    )
    colour = rng().integers(0, 256, (2, 3, 8, 9, 3), np.uint8)
    figure = plot.augmented(colour[:, 0], colour, [0, 2], LONG_NAMES)
    assert_readable(figure)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array()[9:17, 12:21], colour[1, 0] / 255)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 3, 4, 4), (2, 4, 4), (2, 0, 4, 4)])
def test_augmented_refuses_drawings_of_other_images(shape):
    with pytest.raises(ShapeError, match=r"augmented: drawn has shape .*; expected \(2, 'K', 4, 4\)"):
        plot.augmented(np.zeros((2, 4, 4), np.uint8), np.zeros(shape, np.uint8), [0, 0], ["a"])


def test_weights_draws_every_unit_on_one_scale():
    weight = rng().normal(size=(5, 6))
    figure = plot.weights(weight, (2, 3), data="mnist")
    ax, bar = figure.axes
    sheet = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert sheet.shape == (2 * 3 - 1, 3 * 4 - 1)
    for unit in range(5):
        top, left = 3 * (unit // 3), 4 * (unit % 3)
        np.testing.assert_array_equal(sheet[top : top + 2, left : left + 3], weight[unit].reshape(2, 3))
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert bar.get_ylabel() == "weight"
    assert title_of(figure) == "First-layer weights · mnist"
    np.testing.assert_array_equal(
        plot.weights(weight.reshape(5, 1, 2, 3), (2, 3)).axes[0].images[0].get_array(), ax.images[0].get_array()
    )


def test_weights_says_how_many_are_left_out():
    figure = plot.weights(rng().normal(size=(130, 784)))
    assert figure.get_supxlabel() == "The first 100 of 130 units, row by row."
    assert_readable(figure)
    assert_readable(plot.weights(np.zeros((1, 784))))  # all equal: no division by zero


def test_weights_refuses_other_shapes():
    for weight in (np.zeros((5, 7)), np.zeros(6), np.zeros((0, 6))):
        with pytest.raises(ShapeError, match=r"expected \(out, 6\)"):
            plot.weights(weight, (2, 3))


# The plane


def linear_classifier(number: int):
    directions = np.array([[math.cos(a), math.sin(a)] for a in np.linspace(0, 2 * math.pi, number, endpoint=False)])

    def predict(points: np.ndarray) -> np.ndarray:
        scores = np.exp(4 * points @ directions.T)
        return scores / scores.sum(1, keepdims=True)

    return predict


@pytest.mark.parametrize("number", [2, 3, 8])
def test_decision_boundary_draws_points_and_borders(number):
    points = rng().normal(size=(40, 2))
    predict = linear_classifier(number)
    labels = predict(points).argmax(1)
    figure = plot.decision_boundary(predict, points, labels, data="blobs")
    (ax,) = figure.axes
    scattered = {c.get_label(): c.get_offsets() for c in ax.collections if str(c.get_label()).startswith("class")}
    for index in range(number):
        np.testing.assert_array_equal(scattered[f"class {index}"], points[labels == index])
    left, right, bottom, top = ax.images[0].get_extent()
    assert left < points[:, 0].min() < points[:, 0].max() < right
    assert bottom < points[:, 1].min() < points[:, 1].max() < top
    assert title_of(figure) == "Decision boundary · blobs"
    assert_readable(figure)


def test_decision_boundary_lies_where_the_classes_are_equal():
    figure = plot.decision_boundary(linear_classifier(2), [[-1.0, -1.0], [1.0, 1.0]], [1, 0], classes=["right", "left"])
    (ax,) = figure.axes
    (border,) = (c for c in ax.collections if type(c).__name__ == "QuadContourSet")
    (path,) = border.get_paths()
    np.testing.assert_allclose(path.vertices[:, 0], 0, atol=1e-12)
    assert {"left", "right"} <= set(words(figure))
    picture = ax.images[0].get_array()
    assert picture[120, 200, 2] > picture[120, 200, 0]  # class 0, blue, to the right
    assert picture[120, 40, 0] > picture[120, 40, 2]  # class 1, vermilion, to the left


def test_decision_boundary_of_a_net_that_knows_one_class():
    def predict(points: np.ndarray) -> np.ndarray:
        return np.tile([0.9, 0.1], (len(points), 1))

    assert_readable(plot.decision_boundary(predict, [[0.0, 0.0]], [0]))


def test_decision_boundary_refuses_what_does_not_fit():
    points = [[0.0, 0.0], [1.0, 1.0]]
    predict = linear_classifier(2)
    with pytest.raises(ShapeError, match=r"expected \(N, 2\)"):
        plot.decision_boundary(predict, np.zeros((2, 3)), [0, 1])
    with pytest.raises(ShapeError, match="predict returned"):
        plot.decision_boundary(lambda x: x[:, 0], points, [0, 1])
    with pytest.raises(IndexRangeError, match="labels holds 2"):
        plot.decision_boundary(predict, points, [0, 2])
    with pytest.raises(ShapeError, match="1 class names for 2"):
        plot.decision_boundary(predict, points, [0, 1], classes=["a"])
    with pytest.raises(ArgumentError, match="9 classes"):
        plot.decision_boundary(linear_classifier(9), points, [0, 1])


# Intervals and distributions


def test_bars_with_intervals_draws_values_and_ends():
    names, values, low, high = ["tanh", "ReLU"], [88.2, 90.15], [87.9, 90.0], [88.4, 90.4]
    figure = plot.bars_with_intervals(names, values, low, high, data="mnist", label="accuracy (%)", reference=87.03)
    (ax,) = figure.axes
    (bars,) = ax.collections
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[87.9, 88.4], [90.0, 90.4]]
    assert np.asarray(ax.lines[0].get_xdata()).tolist() == values
    assert np.asarray(ax.lines[1].get_xdata()).tolist() == [87.03, 87.03]
    assert [label.get_text() for label in ax.get_yticklabels()] == names
    assert ax.get_xlabel() == "accuracy (%)"
    shown = words(figure)
    assert {"88.20  [87.90, 88.40]", "90.15  [90.00, 90.40]", "reference 87.03"} <= set(shown)
    assert title_of(figure) == "Results · mnist"


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e5])
def test_bars_with_intervals_is_readable(scale):
    values = scale * np.array([1.0, 1.5, 1.7])
    figure = plot.bars_with_intervals(
        LONG_NAMES, values, values - 0.1 * scale, values + 0.1 * scale, reference=0.9 * scale
    )
    assert_readable(figure)


def test_bars_with_intervals_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match="2 names"):
        plot.bars_with_intervals(["a", "b"], [1.0], [0.0], [2.0])
    with pytest.raises(ShapeError, match="at least one name"):
        plot.bars_with_intervals([], [], [], [])
    with pytest.raises(ArgumentError, match=r"'b' has 5 outside 0\.1 to 0\.2"):
        plot.bars_with_intervals(["a", "b"], [1.0, 5.0], [0.0, 0.1], [2.0, 0.2])
    with pytest.raises(ArgumentError, match="'a' has nan"):
        plot.bars_with_intervals(["a"], [math.nan], [0.0], [1.0])


def test_histogram_counts():
    figure = plot.histogram(
        {"first": [[0.0, 0.1], [1.0, math.nan]], "second": [2.0]}, bins=2, data="mnist", label="weight"
    )
    (ax,) = figure.axes
    fills = [patch.get_data() for patch in ax.patches[::2]]
    assert [data.values.tolist() for data in fills] == [[2, 1], [0, 1]]  # [0, 1) and [1, 2]
    assert fills[0].edges.tolist() == [0, 1, 2]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("weight", "count")
    assert {"first", "second"} <= set(words(figure))
    assert figure.get_supxlabel() == "Left out because not finite: 1."
    assert title_of(figure) == "Distribution · mnist"
    assert_readable(figure)


def test_histogram_of_one_array():
    figure = plot.histogram(np.full(3, 7.0))
    assert sum(figure.axes[0].patches[0].get_data().values) == 3
    assert figure.axes[0].get_legend() is None
    for nothing in ([], [math.inf], {}):
        with pytest.raises(ArgumentError, match="no finite value"):
            plot.histogram(nothing)


# Saving, notebooks, isolation


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_save_gives_the_same_bytes_each_time(tmp_path: Path, suffix: str):
    paths = [plot.save(plot.curves(a_history(5)), tmp_path / "runs" / f"{index}.{suffix}") for index in range(2)]
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert len(first) > 1000
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [f"0.{suffix}", f"1.{suffix}"]


def test_save_writes_no_date(tmp_path: Path):
    for suffix, mark in (("pdf", b"CreationDate"), ("svg", b"dc:date"), ("png", b"Software")):
        assert mark not in plot.save(plot.histogram([1.0]), tmp_path / f"figure.{suffix}").read_bytes()


def test_save_keeps_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    figure = plot.histogram([1.0])

    def full_disk(file, **_: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full_disk)
    with pytest.raises(OSError, match="No space left"):
        plot.save(figure, path)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("curves.png", b"old")]


def test_save_takes_the_resolution(tmp_path: Path):
    figure = plot.histogram([1.0])
    sizes = []
    for dpi in (50, 100):
        header = plot.save(figure, tmp_path / "figure.png", dpi=dpi).read_bytes()[16:24]
        sizes.append((int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")))
    assert sizes == [(330, 160), (660, 320)]


def test_save_refuses_unknown_formats(tmp_path: Path):
    for name in ("curves.gif", "curves"):
        with pytest.raises(ArgumentError, match=r"expected one of \.png, \.pdf, \.svg"):
            plot.save(plot.histogram([1.0]), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_the_figure():
    figure = plot.histogram([1.0])
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook calls


def test_the_users_style_is_neither_read_nor_changed(tmp_path: Path):
    expected = plot.save(plot.curves(a_history(5)), tmp_path / "plain.png").read_bytes()
    with matplotlib.rc_context({"figure.facecolor": "black", "font.size": 30, "text.usetex": True, "savefig.dpi": 20}):
        before = dict(matplotlib.rcParams)
        styled = plot.save(plot.curves(a_history(5)), tmp_path / "styled.png").read_bytes()
        assert dict(matplotlib.rcParams) == before
    assert styled == expected


def test_nothing_but_the_figure_is_imported():
    script = """
        import sys
        from tinygrad_mlp import plot
        assert "matplotlib" not in sys.modules, "import must be lazy"
        figure = plot.confusion([[1, 0], [0, 1]], ["a", "b"])
        assert figure._repr_png_()
        assert "matplotlib.pyplot" not in sys.modules
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(script)], check=True, env=environment)
