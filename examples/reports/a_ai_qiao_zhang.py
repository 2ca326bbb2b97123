r"""Ai, Qiao, Zhang: "Multi-layer Neural Networks on Fashion MNIST Dataset", run again.

    python examples/reports/a_ai_qiao_zhang.py                  # all arms × 10 seeds
    python examples/reports/a_ai_qiao_zhang.py --only A4 A5     # what these claims need
    python examples/reports/a_ai_qiao_zhang.py --quick          # a look at it

The report says neither loss nor momentum, scaling, first weights or λ convention: four readings of it are run.
"""

import sys
from functools import partial

from tinygrad_mlp import experiments
from tinygrad_mlp.data import Augmentation
from tinygrad_mlp.experiments import Arm, Claim, Comparison, Curves, Recipe, Study, all_hold, is_better, is_equivalent
from tinygrad_mlp.experiments.claims import Predicate
from tinygrad_mlp.experiments.gradients import NamedWeight, gradient_table, gradients_agree
from tinygrad_mlp.experiments.sentences import any_reading, bound_is_above, lies
from tinygrad_mlp.experiments.tables import Cell, Table, percent

BASE = Recipe(
    data="fashion-mnist",
    hidden=(50, 50),
    activation="tanh",
    lr=0.05,
    batch_size=256,
    epochs=300,
    patience=11,  # "more than 10 epochs"
    validation=0.2,
)
READINGS = {
    "plain": ({}, "standardised pixels, SGD without momentum, first weights uniform up to 1/√(inputs)"),
    "pixels 0-1": ({"standardize": "none"}, "as plain, pixels only scaled to 0–1"),
    "momentum": ({"momentum": 0.9}, "as plain, momentum 0.9 in PyTorch's form"),
    "randn": ({"init": "normal"}, "as plain, first weights as numpy.random.randn draws them, with variance 1"),
}
PENALTIES = {"0.01": 1e-2, "0.001": 1e-3, "0.0001": 1e-4}
ACTIVATIONS = {
    "sigmoid": {"activation": "sigmoid"},
    "ReLU": {"activation": "relu"},
    "LeakyReLU": {"activation": "leaky_relu", "negative_slope": 0.01},
}
# Of activations "tanh" is the arm "tanh L2 0.001": both of the report's tables give it 85.60.
VARIANTS = {
    "tanh": ({}, "A1"),
    **{f"tanh L2 {name}": ({"l2": value}, "A2, A3") for name, value in PENALTIES.items()},
    **{f"{name} L2 0.001": ({**changes, "l2": 1e-3}, "A4, A5") for name, changes in ACTIVATIONS.items()},
}
# Runs that the four readings leave out: how the folds are put together and what "kept going up" means, at 80/20 and
# plain, and λ as λ·w², where first weights bring the figures near. The third way to read "error", the misclassified
# share, the Trainer has not: its patience looks at losses.
FOLDS = "5 folds, one score each, of which the mean is taken; curves are the first fold's"
RISES = "stops after 11 epochs in each of which the validation loss rose, as the sentence has it word for word"
DOUBLED = "penalty λ·w², whose derivative is 2λ·w: twice as strong as λ/2·w²"
GOOD = Recipe(
    hidden=(50, 50),
    batch_norm="before",
    optimizer="adamw",
    lr=3e-3,
    schedule="onecycle",
    ema=0.998,
    augmentation=Augmentation(horizontal_flip=0.5),
    batch_size=128,
    epochs=30,
    validation=0.1,
)


def named(variant: str, reading: str) -> str:
    return f"{variant} ({reading})"


def in_all_readings(variant: str) -> tuple[str, ...]:
    return tuple(named(variant, reading) for reading in READINGS)


def with_doubled(variant: str) -> tuple[str, ...]:
    return (*in_all_readings(variant), f"{variant} doubled (randn)")


ARMS = (
    *(
        Arm(named(variant, reading), BASE.replace(**changes, **more), source, note)
        for reading, (changes, note) in READINGS.items()
        for variant, (more, source) in VARIANTS.items()
    ),
    Arm("tanh (5 folds)", BASE.replace(folds=5), "A1", FOLDS),
    Arm("tanh L2 0.001 (5 folds)", BASE.replace(folds=5, l2=1e-3), "A2", FOLDS),
    Arm("tanh (rises)", BASE.replace(stop_on="increases"), "A1", RISES),
    Arm("tanh L2 0.001 doubled (plain)", BASE.replace(l2=2e-3), "A2", DOUBLED),
    *(
        Arm(f"tanh L2 {name} doubled (randn)", BASE.replace(l2=2 * PENALTIES[name], init="normal"), "A2", DOUBLED)
        for name in ("0.01", "0.0001")
    ),
    Arm("784-50-50-10, good recipe", GOOD, "good recipe", "chosen on validation data: see the report's notes"),
)


# Sentences ----------------------------------------------------------------------------------------------------------


def best_penalty(reading: str) -> Predicate:
    """A2: 0.001 is better than the other two, each difference significant."""
    best = named("tanh L2 0.001", reading)
    return all_hold(*(is_better(best, named(f"tanh L2 {other}", reading)) for other in ("0.01", "0.0001")))


def smaller_is_longer(reading: str) -> Predicate:
    """A3: each step to a smaller penalty lengthens the runs. Runs that reach the limit of 300 are counted as 300."""
    steps = (("0.001", "0.01"), ("0.0001", "0.001"))
    return all_hold(
        *(is_better(*(named(f"tanh L2 {value}", reading) for value in step), measure="epochs") for step in steps)
    )


def relu_is_best(reading: str) -> Predicate:
    """A4: ReLU is better than sigmoid, tanh and LeakyReLU, each difference significant."""
    return all_hold(
        *(
            is_better(named("ReLU L2 0.001", reading), named(f"{other} L2 0.001", reading))
            for other in ("sigmoid", "tanh", "LeakyReLU")
        )
    )


def leaky_is_similar(reading: str) -> Predicate:
    """A4: ReLU and LeakyReLU within 0.3 points of each other."""
    return is_equivalent(named("ReLU L2 0.001", reading), named("LeakyReLU L2 0.001", reading))


def some_are_dead(reading: str) -> Predicate:
    """A5: of the 100 hidden units, at least one (on average over seeds) is 0 for all 12,000 validation images."""
    return lies(
        "share of dead units",
        (named("ReLU L2 0.001", reading),),
        lambda run: run.measures["dead_units"],
        low=0.01,
        points=True,
    )


def by_reading(sentence) -> Predicate:
    return any_reading({reading: sentence(reading) for reading in READINGS})


def arms_of(*variants: str) -> tuple[str, ...]:
    return tuple(name for variant in variants for name in in_all_readings(variant))


# As in report B, by the same course: ten images, one a class; biases and weights of each layer.
WEIGHTS = (
    NamedWeight(-1, "bias", (0,)),
    NamedWeight(1, "bias", (0,)),
    NamedWeight(0, "bias", (0,)),
    NamedWeight(-1, "weight", (0, 0)),
    NamedWeight(1, "weight", (0, 0)),
    NamedWeight(1, "weight", (1, 1)),
    NamedWeight(0, "weight", (0, 0)),
    NamedWeight(0, "weight", (1, 1)),
)
GRADIENTS = partial(gradient_table, BASE, seed=0, weights=WEIGHTS)

# For the good recipe: what others reached with plain nets.
ANCHORS = Table(
    "Outside anchors",
    ("net", "test accuracy"),
    (
        (Cell("best plain net in the table of the data set's authors"), percent(0.8833)),
        (Cell("plain net without augmentation, about"), percent(0.90)),
        (Cell("plain net with augmentation"), percent(0.9163)),
    ),
    "Published elsewhere, not run here; to be held against the good recipe.",
    "anchors",
)
PENALTY_ARMS = tuple(f"tanh L2 {name}" for name in PENALTIES)
ACTIVATION_ARMS = ("sigmoid L2 0.001", "tanh L2 0.001", "ReLU L2 0.001", "LeakyReLU L2 0.001")
CLAIMS = (
    Claim(
        "A1-test",
        "tanh, no penalty, as test accuracy: 76.37 %",
        "section 2",
        (*in_all_readings("tanh"), "tanh (5 folds)", "tanh (rises)"),
        0.7637,
    ),
    Claim(
        "A1-val",
        "tanh, no penalty, as validation accuracy: 76.37 %",
        "section 2",
        (*in_all_readings("tanh"), "tanh (5 folds)", "tanh (rises)"),
        0.7637,
        "val_accuracy",
    ),
    Claim("A2-0.01", "tanh, L2 0.01: 75.34 %", "table 1", with_doubled("tanh L2 0.01"), 0.7534),
    Claim(
        "A2-0.001",
        "tanh, L2 0.001: 85.60 %",
        "table 1",
        (*in_all_readings("tanh L2 0.001"), "tanh L2 0.001 doubled (plain)", "tanh L2 0.001 (5 folds)"),
        0.8560,
    ),
    Claim("A2-0.0001", "tanh, L2 0.0001: 80.27 %", "table 1", with_doubled("tanh L2 0.0001"), 0.8027),
    Claim(
        "A2-best",
        "0.001 is the best of the three penalties",
        "section 3",
        arms_of(*PENALTY_ARMS),
        predicate=by_reading(best_penalty),
    ),
    Claim(
        "A3",
        "the smaller the penalty, the more epochs",
        "section 3",
        arms_of(*PENALTY_ARMS),
        predicate=by_reading(smaller_is_longer),
    ),
    Claim("A4-sigmoid", "sigmoid: 78.84 %", "table 2", in_all_readings("sigmoid L2 0.001"), 0.7884),
    Claim("A4-tanh", "tanh: 85.60 %", "table 2", in_all_readings("tanh L2 0.001"), 0.8560),
    Claim("A4-relu", "ReLU: 86.34 %", "table 2", in_all_readings("ReLU L2 0.001"), 0.8634),
    Claim("A4-leaky", "LeakyReLU: 86.23 %", "table 2", in_all_readings("LeakyReLU L2 0.001"), 0.8623),
    Claim(
        "A4-best",
        "ReLU is the best of the four",
        "section 4",
        arms_of(*ACTIVATION_ARMS),
        predicate=by_reading(relu_is_best),
    ),
    Claim(
        "A4-similar",
        "LeakyReLU is similar to ReLU",
        "section 4",
        arms_of("ReLU L2 0.001", "LeakyReLU L2 0.001"),
        predicate=by_reading(leaky_is_similar),
    ),
    Claim(
        "A5",
        "of ReLU, some units stop responding",
        "section 4",
        in_all_readings("ReLU L2 0.001"),
        predicate=by_reading(some_are_dead),
    ),
    Claim("A6", "gradient check: backprop is right", "section 1, a title only", predicate=gradients_agree(GRADIENTS)),
    Claim(
        "A-good",
        "784-50-50-10 with a good recipe: mean above 88.5 %",
        "our target",
        ("784-50-50-10, good recipe",),
        predicate=bound_is_above("784-50-50-10, good recipe", 0.885),
    ),
)


def comparisons(reading: str) -> list[Comparison]:
    """Said beforehand; accuracies and epochs in tables of their own, since only accuracies have a margin."""
    best, relu = named("tanh L2 0.001", reading), named("ReLU L2 0.001", reading)
    return [
        *(
            Comparison(best, named(f"tanh{other}", reading), table=f"penalties, {reading}")
            for other in (" L2 0.01", " L2 0.0001", "")
        ),
        *(
            Comparison(
                named(f"tanh L2 {less}", reading), named(f"tanh L2 {more}", reading), "epochs", f"epochs, {reading}"
            )
            for less, more in (("0.001", "0.01"), ("0.0001", "0.001"))
        ),
        *(
            Comparison(relu, named(f"{other} L2 0.001", reading), table=f"activations, {reading}")
            for other in ("sigmoid", "tanh", "LeakyReLU")
        ),
    ]


STUDY = Study(
    name="a-ai-qiao-zhang",
    title="A. Multi-layer neural networks on Fashion-MNIST",
    source='Ai, Qiao, Zhang: "Multi-layer Neural Networks on Fashion MNIST Dataset"',
    notes=(
        "Cross-entropy; λ·w is added to the gradient of each weight (half-penalty convention), not to biases. Leaky "
        "slope 0.01. Best parameters by validation loss are tested. Nets of the 5-fold arms are tested one by one. "
        "Not tried, though the report leaves them open, too: squared error as the loss, other leaky slopes, patience "
        "on the misclassified share, and λ·w² with other activations than tanh. The arms with a doubled penalty and "
        "randn were added after the test results of all others had been seen: without them A2-0.0001 would be "
        "underspecified. "
        "The good recipe was chosen among seven on the validation parts of the seeds 100 and 101, which are not used "
        "here: batch norm, mirrored images in training and testing, AdamW one-cycle, averaged weights."
    ),
    arms=ARMS,
    comparisons=tuple(one for reading in READINGS for one in comparisons(reading)),
    claims=CLAIMS,
    curves=(
        *(
            Curves(f"{title} ({reading})", tuple(named(variant, reading) for variant in variants))
            for reading in READINGS
            for title, variants in (
                ("As figure 1: tanh, no penalty", ("tanh",)),
                ("As figure 2: three penalties", PENALTY_ARMS),
                ("As figure 3: four activations", ACTIVATION_ARMS),
            )
        ),
        Curves("784-50-50-10, good recipe", ("784-50-50-10, good recipe",)),
    ),
    tables={
        "Outside anchors": lambda: ANCHORS,
        "Gradient check (A6)": GRADIENTS,
        "Gradient check in float32 (A6)": partial(GRADIENTS, dtype="float32"),
    },
)

if __name__ == "__main__":
    sys.exit(experiments.main(STUDY, sys.argv[1:]))
