"""Recipes: what is impossible is refused before anything trains, naming field and value; JSON gives them back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp.data import Augmentation
from tinygrad_mlp.errors import ArgumentError, TinygradError
from tinygrad_mlp.experiments.nets import make_net
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.training import make_trainer

RECIPES = st.builds(
    Recipe,
    data=st.sampled_from(["fashion-mnist", "mnist", "synthetic-fashion"]),
    standardize=st.sampled_from(["global", "feature", "image", "none"]),
    conv=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    pool=st.sampled_from([None, "each", "last"]),
    activation=st.sampled_from(["relu", "tanh", "sigmoid", "gelu"]),
    batch_norm=st.sampled_from([None, "before", "after"]),
    conv_dropout=st.sampled_from([0.0, 0.2]),
    init=st.sampled_from([None, "xavier_normal", "zeros"]),
    output_softmax=st.booleans(),
    optimizer=st.sampled_from(["sgd", "adam", "adamw", "adadelta", "rmsprop", "adagrad"]),
    lr=st.floats(1e-6, 1),
    l1=st.sampled_from([0.0, 1e-3]),
    l2=st.sampled_from([0.0, 1e-3]),
    schedule=st.sampled_from([None, "onecycle", "cosine"]),
    label_smoothing=st.sampled_from([0.0, 0.1]),
    ema=st.sampled_from([None, 0.99]),
    clip_norm=st.sampled_from([None, 1.0]),
    augmentation=st.sampled_from([Augmentation(), Augmentation(horizontal_flip=0.5, shift=2)]),
    keep=st.sampled_from(["best", "last"]),
)
HIDDEN = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)
LAYERS = st.just({"hidden": ()}) | st.builds(dict, hidden=HIDDEN, dropout=st.sampled_from([0.0, 0.5]))
STOPPING = st.just({}) | st.builds(dict, patience=st.just(3), stop_on=st.sampled_from(["loss", "increases"]))
RECIPES = st.builds(lambda recipe, layers, stopping: recipe.replace(**layers, **stopping), RECIPES, LAYERS, STOPPING)


@given(RECIPES)
def test_json_gives_a_recipe_back(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


@given(RECIPES)
def test_what_is_allowed_can_be_made(recipe: Recipe) -> None:
    """Net, optimizer, schedule and Trainer: no error is left for the worker to find."""
    assert make_trainer(recipe, 0, 100).epochs == recipe.epochs


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data", "cifar"),
        ("standardize", "maybe"),
        ("pool", "all"),
        ("activation", "rely"),
        ("batch_norm", "between"),
        ("init", "nothing"),
        ("init", "constant"),
        ("optimizer", "adan"),
        ("schedule", "step"),
        ("stop_on", "error"),
        ("keep", "first"),
        ("hidden", (0,)),
        ("hidden", (2.5,)),
        ("hidden", 50),
        ("hidden", "50"),
        ("conv", (-1,)),
        ("validation", 1.0),
        ("validation", -0.1),
        ("validation", float("nan")),
        ("dropout", 1.0),
        ("conv_dropout", 1.5),
        ("label_smoothing", -1),
        ("l1", -1e-3),
        ("l2", float("inf")),
        ("weight_decay", -1.0),
        ("momentum", 1.0),
        ("ema", 1.0),
        ("clip_norm", -1.0),
        ("lr", 0.0),
        ("lr", -0.1),
        ("lr", float("nan")),
        ("lr", "0.1"),
        ("batch_size", 0),
        ("batch_size", True),
        ("epochs", 0),
        ("epochs", 1.5),
        ("limit", 0),
        ("folds", 1),
        ("patience", 0),
        ("output_softmax", 1),
        ("averaged", "yes"),
        ("augmentation", {"shift": 2}),
        ("negative_slope", float("nan")),
    ],
)
def test_an_impossible_value_is_named(field: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"Recipe: {field}=") as caught:
        Recipe(**{field: value})
    assert repr(value) in str(caught.value) or repr(value[0]) in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"negative_slope": 0.1},
        {"momentum": 0.9, "optimizer": "adam"},
        {"averaged": True},
        {"averaged": True, "momentum": 0.9, "optimizer": "rmsprop"},
        {"pool": "each"},
        {"conv_dropout": 0.1},
        {"pool": "each", "conv": (4,) * 5},
        {"validation": 0.0},
        {"validation": 0.0, "keep": "last", "patience": 3},
        {"folds": 10, "limit": 5},
        {"folds": 70_000},
        {"validation": 1e-9},
        {"validation": 0.999999},
        {"limit": 48_001},
        {"validation": 0.0, "keep": "last", "limit": 60_001},
        {"stop_on": "increases"},
        {"batch_norm": "after", "hidden": ()},
        {"dropout": 0.5, "hidden": (), "conv": (8,)},
        {"hidden": (1_300_000,)},
        {"hidden": (40_000, 40_000)},
        {"conv": (64,), "hidden": (100_000,)},
        {"conv": (100_000, 100_000), "hidden": ()},
    ],
)
def test_values_that_do_not_fit_together_are_named(fields: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as caught:
        Recipe(**fields)
    assert any(f"Recipe: {field}=" in str(caught.value) for field in fields)


def test_what_just_fits_together() -> None:
    Recipe(validation=0.0, keep="last")
    Recipe(validation=0.0, folds=2)
    Recipe(pool="each", conv=(4,) * 4)
    Recipe(activation="leaky_relu", negative_slope=0.1)
    Recipe(averaged=True, momentum=0.9)
    Recipe(limit=48_000)
    Recipe(validation=0.0, folds=60_000)
    Recipe(batch_norm="after", hidden=(), conv=(8,))
    Recipe(hidden=(1_200_000,))
    Recipe(conv=(64,), pool="last", hidden=(50_000,))


def test_fields_that_do_not_exist_are_named() -> None:
    with pytest.raises(ArgumentError, match="no field 'learning_rate'"):
        Recipe.from_dict({"learning_rate": 0.1})
    with pytest.raises(ArgumentError, match="did you mean 'dropout'"):
        Recipe().replace(drop_out=0.1)
    with pytest.raises(ArgumentError, match="no zoom"):
        Recipe.from_dict({"augmentation": {"zoom": 2}})


def test_replace_checks_and_leaves_the_original() -> None:
    recipe = Recipe()
    assert recipe.replace(lr=0.5).lr == 0.5
    assert recipe.lr == 0.1
    with pytest.raises(TinygradError):
        recipe.replace(lr=-1)


def test_changes_are_the_fields_that_differ() -> None:
    assert Recipe().changes() == {}
    assert Recipe(hidden=[5, 5], lr=0.5).changes() == {"hidden": [5, 5], "lr": 0.5}  # pyright: ignore[reportArgumentType]
    assert Recipe(lr=0.5).changes(Recipe(lr=0.5, epochs=3)) == {"epochs": 20}


def test_the_net_of_report_e() -> None:
    """Two convolutions without pooling: 28 · 28 · 32 inputs of the first hidden layer."""
    net = make_net(Recipe(conv=(32, 32), hidden=(128, 64)))
    sizes = [parameter.numel() for parameter in net.parameters() if parameter.ndim > 1]
    assert sizes == [9 * 32, 9 * 32 * 32, 28 * 28 * 32 * 128, 128 * 64, 64 * 10]


def test_where_things_stand_in_a_net() -> None:
    recipe = Recipe(conv=(2, 3), pool="last", conv_dropout=0.1, hidden=(4,), dropout=0.5, batch_norm="after")
    names = [type(layer).__name__ for layer in make_net(recipe.replace(output_softmax=True))]
    conv = ["Conv2d", "ReLU", "BatchNorm2d"]
    assert names == [
        *conv,
        "Dropout2d",
        *conv,
        "MaxPool2d",
        "Dropout2d",
        "Flatten",
        *["Linear", "ReLU", "BatchNorm1d", "Dropout"],
        *["Linear", "Softmax"],
    ]
    names = [type(layer).__name__ for layer in make_net(recipe.replace(batch_norm="before", pool="each"))]
    assert names[:4] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
