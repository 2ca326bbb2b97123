"""Figures of several runs hold what they were given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tinygrad_mlp import plot
from tinygrad_mlp.errors import ArgumentError, ShapeError

NAN = float("nan")


def some_curves(seeds: int = 3, epochs: int = 20) -> dict[str, np.ndarray]:
    epoch = np.arange(1, epochs + 1)
    noise = np.random.default_rng(0).normal(0, 0.01, (4, seeds, epochs))
    loss = 0.3 + np.exp(-epoch / 4)
    return {
        "train_loss": loss + noise[0],
        "val_loss": loss + 0.1 + noise[1],
        "train_accuracy": 1 - loss / 3 + noise[2],
        "val_accuracy": 0.97 - loss / 3 + noise[3],
    }


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def drawn(figure: Figure, panel: int, line: int) -> np.ndarray:
    return np.asarray(figure.axes[panel].lines[line].get_ydata(), float)


def test_one_recipe_has_training_and_validation_together():
    curves = some_curves()
    figure = plot.seed_curves({"a": curves}, "Width", data="garments")
    assert figure.get_suptitle() == "Width · garments"
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "accuracy"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["training", "validation"]
    np.testing.assert_allclose(drawn(figure, 0, 0), curves["train_loss"].mean(axis=0))
    np.testing.assert_allclose(drawn(figure, 1, 1), curves["val_accuracy"].mean(axis=0))


def test_a_band_reaches_from_the_lowest_to_the_highest_seed():
    curves = some_curves()
    figure = plot.seed_curves({"a": curves})
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    at_third = np.asarray(corners)[np.asarray(corners)[:, 0] == 3][:, 1]
    assert at_third.min() == curves["train_loss"][:, 2].min()
    assert at_third.max() == curves["train_loss"][:, 2].max()


def test_several_recipes_share_axes_and_are_named_once():
    figure = plot.seed_curves({f"recipe {n}": some_curves() for n in range(8)})
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["loss, training", "loss, validation", "accuracy, training", "accuracy, validation"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"recipe {n}" for n in range(8)]
    styles = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(styles) == 8  # no two look alike
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_from_where_a_run_has_ended_the_line_is_thin():
    curves = some_curves(seeds=2, epochs=6)
    for values in curves.values():
        values[1, 4:] = NAN
    figure = plot.seed_curves({"a": curves})
    whole, rest = figure.axes[0].lines[:2]
    assert np.isfinite(np.asarray(whole.get_ydata(), float)).tolist() == [True] * 4 + [False] * 2
    assert np.isfinite(np.asarray(rest.get_ydata(), float)).tolist() == [False] * 3 + [True] * 3
    assert rest.get_linewidth() < whole.get_linewidth()
    np.testing.assert_allclose(np.asarray(rest.get_ydata(), float)[4:], curves["train_loss"][0, 4:])


def test_what_was_not_measured_is_not_drawn():
    curves = some_curves(1, 1)
    curves["val_loss"] = curves["val_accuracy"] = np.full((1, 1), NAN)
    figure = plot.seed_curves({"a": curves})
    assert [line.get_label() for line in figure.axes[0].lines] == ["training"]
    assert "No epoch is finished yet." in words(plot.seed_curves({"a": {"val_loss": np.full((2, 0), NAN)}}))
    assert len(plot.seed_curves({"a": {"val_loss": np.ones((2, 3))}}).axes) == 1


def test_seed_curves_wants_seeds_and_epochs():
    with pytest.raises(ShapeError, match=r"seed_curves: val_loss of 'a' has shape \(3,\); expected \(seeds, epochs\)"):
        plot.seed_curves({"a": {"val_loss": np.ones(3)}})


def test_published_numbers_stand_beside_ours():
    figure = plot.against_published(
        ["B4 sigmoid", "B4 ReLU"],
        [87.03, 84.5],
        [87.3, 85.1],
        [86.4, NAN],
        [88.2, NAN],
        published_words=["87.03", "84.5"],
    )
    (ax,) = figure.axes
    by_label = {line.get_label(): np.asarray(line.get_xdata(), float).tolist() for line in ax.lines}
    assert by_label == {"ours: mean, and 95 % interval of one run": [87.3, 85.1], "published": [87.03, 84.5]}
    assert {"87.30", "85.10", "87.03", "84.5", "ours", "published"} <= set(words(figure))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["B4 sigmoid", "B4 ReLU"]
    plain = plot.against_published(["a"], [1.0], [2.0], [1.5], [2.5], decimals=1)
    assert {"1.0", "2.0"} <= set(words(plain))


@pytest.mark.parametrize(("names", "published"), [(["a", "b"], [1.0]), ([], [])])
def test_against_published_wants_one_of_each_per_name(names: list[str], published: list[float]):
    with pytest.raises(ShapeError, match="expected one of each per name"):
        plot.against_published(names, published, published, published, published)


def test_against_published_wants_ours_inside():
    with pytest.raises(ArgumentError, match="'b' has 3 outside 4 to 5"):
        plot.against_published(["a", "b"], [1, 1], [1, 3], [1, 4], [1, 5])
