r"""Karki: "Deep Neural Networks and Fashion-MNIST", run again.

    python examples/reports/c_karki.py                  # all arms × 10 seeds
    python examples/reports/c_karki.py --only C3        # what one claim needs
    python examples/reports/c_karki.py --quick          # a look at it

The report gives no numbers, but sentences about three figures, with error bounds of unstated source.
"""

import sys

import numpy as np

from tinygrad_mlp import experiments
from tinygrad_mlp.data import Augmentation
from tinygrad_mlp.experiments import Arm, Claim, Comparison, Curves, Finding, Recipe, Results, Run, Study
from tinygrad_mlp.experiments.claims import Predicate, all_hold, is_better, is_equivalent
from tinygrad_mlp.experiments.sentences import any_reading, column, lies

BASE = Recipe(
    data="fashion-mnist",
    standardize="none",
    validation=0.1,
    hidden=(128,),
    activation="relu",
    lr=0.01,
    batch_size=512,
    epochs=50,
    keep="last",
)
BOTH = "standardised with momentum"
READINGS = {
    "a tenth": ({}, "a tenth of the images validates, as 51 of each 512 would; pixels 0–1, no momentum"),
    "51 batches": ({"validation": 51 * 512 / 60_000}, "51 of the 118 batches of 512 validate"),
    BOTH: ({"standardize": "global", "momentum": 0.9}, "as a tenth, pixels standardised, momentum 0.9"),
}
SHAPES = {"1x128": (128,), "2x64": (64, 64), "3x42": (42, 42, 42)}
PARAMETERS = {"1x128": 101_770, "2x64": 55_050, "3x42": 37_012, "2x112": 101_706, "3x102": 102_112}
CONTROLS = {"2x112": (112, 112), "3x102": (102, 102, 102)}
CHANGES = {  # of 1x128
    "dropout 0.2": ({"dropout": 0.2}, "C2", "the rate is not said"),
    "dropout 0.5": ({"dropout": 0.5}, "C2", "the rate is not said"),
    "AdaDelta": ({"optimizer": "adadelta"}, "C3", "lr 0.01, as of the others"),
    "Adam": ({"optimizer": "adam"}, "C3", "lr 0.01, as of the others"),
    "Xavier": ({"init": "xavier_normal"}, "C4", "biases begin at 0"),
    "batch norm before": ({"batch_norm": "before"}, "C5", "before the activation"),
    "batch norm after": ({"batch_norm": "after"}, "C5", "after the activation"),
}
CHANGED = ("a tenth", BOTH)  # readings of the changes
GOOD = Recipe(
    hidden=(128,),
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


def named(shape: str, reading: str = "a tenth") -> str:
    return f"{shape} ({reading})"


def in_reading(change: str, reading: str) -> Recipe:
    """1x128 with a change; momentum is SGD's alone."""
    changes = {**READINGS[reading][0], **CHANGES[change][0]}
    if "optimizer" in changes:
        changes.pop("momentum", None)
    return BASE.replace(**changes)


SGD = named("1x128")
ARMS = (
    *(
        Arm(
            named(shape, reading),
            BASE.replace(hidden=hidden, **changes),
            "C1, C2, C3, C4, C5" if shape == "1x128" else "C1",
            note,
        )
        for reading, (changes, note) in READINGS.items()
        for shape, hidden in SHAPES.items()
    ),
    *(
        Arm(
            named(shape),
            BASE.replace(hidden=hidden),
            "control",
            f"{PARAMETERS[shape]:,} parameters, as 1x128's 101,770",
        )
        for shape, hidden in CONTROLS.items()
    ),
    *(
        Arm(named(name, reading), in_reading(name, reading), source, note)
        for reading in CHANGED
        for name, (_, source, note) in CHANGES.items()
    ),
    *(
        Arm(f"{shape}, good recipe", GOOD.replace(hidden=hidden), "good recipe", "that of 784-50-50-10 in report A")
        for shape, hidden in SHAPES.items()
    ),
)


# Sentences ----------------------------------------------------------------------------------------------------------

TEST_BATCH = 256


def early(epochs: int):
    """Mean validation accuracy of so many first epochs: how far a net has come, averaged on the way."""

    def mean(run: Run) -> float:
        return float(column(run, "val_accuracy")[:epochs].mean()) if len(run.history) >= epochs else float("nan")

    return mean


def ahead(first: str, second: str, epochs: int) -> Predicate:
    """`first` is ahead of `second` over the first epochs, for the same seed."""
    mean = early(epochs)
    return lies(
        f"{first} less {second}, validation accuracy over {epochs} epochs",
        (first, second),
        lambda one, other: mean(one) - mean(other),
        low=0.0,
        points=True,
    )


def wider_is_quicker(reading: str) -> Predicate:
    """C1: over the first 9 epochs ("less than 10") one layer is ahead of two, and two of three."""
    one, two, three = (named(shape, reading) for shape in SHAPES)
    return all_hold(ahead(one, two, 9), ahead(two, three, 9))


def equal_over_seeds(reading: str) -> Predicate:
    """C1: after 50 epochs, all pairs of shapes are within 0.3 points."""
    one, two, three = (named(shape, reading) for shape in SHAPES)
    return all_hold(is_equivalent(one, two), is_equivalent(two, three), is_equivalent(one, three))


def batch_deviation(results: Results, run: Run) -> float:
    """Standard deviation of the accuracy over the test batches of 256: about 2 points, mostly chance of sampling."""
    right = results.right(run)
    whole = len(right) // TEST_BATCH * TEST_BATCH
    return float(right[:whole].reshape(-1, TEST_BATCH).mean(axis=1).std(ddof=1))


def decided_by_several(results: Results, arms: tuple[str, ...], holds: bool, words: str) -> Finding:
    """A sentence about means: undecided after a single run."""
    if any(len(results.of(arm)) < 2 for arm in arms):
        return Finding("undecided", f"{words} (one run)")
    return Finding("reproduced" if holds else "not reproduced", words)


def within_batches(*arms: str) -> Predicate:
    """Each arm's mean test accuracy within the deviation over test batches of each other's: so wide that much is."""

    def predicate(results: Results) -> Finding:
        means = [float(results.values(arm).mean()) for arm in arms]
        deviation = float(np.mean([batch_deviation(results, run) for arm in arms for run in results.of(arm)]))
        spread = max(means) - min(means)
        words = f"{100 * spread:.2f} points apart at most; deviation over test batches {100 * deviation:.2f} points"
        return decided_by_several(results, arms, spread <= deviation, words)

    return predicate


def no_overfitting(reading: str) -> Predicate:
    """C2: test within 1 point of validation, and in the last epoch the validation loss within 1 % of its lowest."""
    shapes = tuple(named(shape, reading) for shape in SHAPES)
    return all_hold(
        *(lies(f"{arm}: validation less test", (arm,), val_less_test, -0.01, 0.01, points=True) for arm in shapes),
        *(lies(f"{arm}: climb of the validation loss", (arm,), climb, high=0.01, points=True) for arm in shapes),
    )


def val_less_test(run: Run) -> float:
    return run.measures["val_accuracy"] - run.measures["test_accuracy"]


def climb(run: Run) -> float:
    loss = column(run, "val_loss")
    return float(loss[-1] / loss.min() - 1) if len(loss) else float("nan")


def no_overfitting_over_batches(reading: str) -> Predicate:
    """C2, "fell within the validation accuracy": test within the deviation over test batches of validation."""
    return all_hold(*(test_is_near_validation(named(shape, reading)) for shape in SHAPES))


def test_is_near_validation(arm: str) -> Predicate:
    def predicate(results: Results) -> Finding:
        deviation = float(np.mean([batch_deviation(results, run) for run in results.of(arm)]))
        difference = float(np.mean([val_less_test(run) for run in results.of(arm)]))
        words = f"{arm}: validation less test {100 * difference:+.2f} points; deviation {100 * deviation:.2f} points"
        return decided_by_several(results, (arm,), abs(difference) <= deviation, words)

    return predicate


def adam_is_ahead(reading: str) -> Predicate:
    """C3: "2 – 3 %", whole points, so from 1.5 to 3.5, above each of the others, in validation and in testing."""
    return all_hold(
        *(
            lies(
                f"{adam} less {other}, {measure}",
                (adam, other),
                lambda run, worse, measure=measure: run.measures[measure] - worse.measures[measure],
                0.015,
                0.035,
                points=True,
            )
            for adam, *others in [optimizers(reading)]
            for other in others
            for measure in ("val_accuracy", "test_accuracy")
        )
    )


def one_epoch_competes(reading: str) -> Predicate:
    """C3: Adam's validation accuracy after its first epoch is at most 1 point below the others' last of 50."""
    adam, *others = optimizers(reading)
    return all_hold(
        *(
            lies(
                f"epoch 1 of {adam} less the last of {other}",
                (adam, other),
                lambda run, slow: float(column(run, "val_accuracy")[0] - column(slow, "val_accuracy")[-1]),
                low=-0.01,
                points=True,
            )
            for other in others
        )
    )


def optimizers(reading: str) -> tuple[str, str, str]:
    """Adam, AdaDelta and SGD."""
    return named("Adam", reading), named("AdaDelta", reading), named("1x128", reading)


def normalised(place: str, reading: str) -> Predicate:
    """C5: ahead over the first 10 epochs, and better in the end."""
    arm, sgd = named(f"batch norm {place}", reading), named("1x128", reading)
    return all_hold(ahead(arm, sgd, 10), is_better(arm, sgd))


def sentence(id: str, text: str, where: str, predicate: Predicate, *arms: str) -> Claim:
    return Claim(id, text, where, arms, predicate=predicate)


def by_reading(make, *changes: str) -> Predicate:
    """Of shapes in all their readings; of changes in theirs, each by its name where there are several."""
    if not changes:
        return any_reading({reading: make(reading) for reading in READINGS})
    return any_reading(
        {
            reading if len(changes) == 1 else f"{change}, {reading}": make(
                named(change, reading), named("1x128", reading)
            )
            for change in changes
            for reading in CHANGED
        }
    )


def of_changes(*names: str) -> tuple[str, ...]:
    """The arms of these changes in all readings, and of SGD without them."""
    return tuple(named(name, reading) for reading in CHANGED for name in (*names, "1x128"))


EVERY_SHAPE = tuple(named(shape, reading) for reading in READINGS for shape in SHAPES)
OPTIMIZERS = ("Adam", "AdaDelta")
DROPOUTS = ("dropout 0.2", "dropout 0.5")
BATCH_NORMS = ("batch norm before", "batch norm after")
CLAIMS = (
    sentence(
        "C1-quick",
        "fewer and wider layers learn better below 10 epochs",
        "figure 2",
        by_reading(wider_is_quicker),
        *EVERY_SHAPE,
    ),
    sentence(
        "C1-equal-seeds",
        "equal within error at 50 epochs, error over seeds",
        "figure 2",
        by_reading(equal_over_seeds),
        *EVERY_SHAPE,
    ),
    sentence(
        "C1-equal-batches",
        "equal within error at 50 epochs, error over test batches",
        "figure 2",
        by_reading(lambda reading: within_batches(*(named(shape, reading) for shape in SHAPES))),
        *EVERY_SHAPE,
    ),
    sentence(
        "C1-control",
        "fewer layers learn better below 10 epochs where parameters are equal",
        "figure 2, as meant",
        all_hold(ahead(SGD, named("2x112"), 9), ahead(named("2x112"), named("3x102"), 9)),
        *(SGD, named("2x112"), named("3x102")),
    ),
    sentence(
        "C2-overfitting",
        "none of the three overfits, within 1 point over seeds",
        "section 4",
        by_reading(no_overfitting),
        *EVERY_SHAPE,
    ),
    sentence(
        "C2-overfitting-batches",
        "testing fell within validation, error over test batches",
        "section 4",
        by_reading(no_overfitting_over_batches),
        *EVERY_SHAPE,
    ),
    sentence(
        "C2-dropout",
        "dropout makes no real difference",
        "table in figure 2",
        by_reading(is_equivalent, *DROPOUTS),
        *of_changes(*DROPOUTS),
    ),
    sentence(
        "C2-dropout-batches",
        "dropout makes no real difference, error over test batches",
        "table in figure 2",
        by_reading(within_batches, *DROPOUTS),
        *of_changes(*DROPOUTS),
    ),
    sentence(
        "C3-Adam",
        "Adam is 2–3 points above the others in validation and testing",
        "figure 3",
        any_reading({reading: adam_is_ahead(reading) for reading in CHANGED}),
        *of_changes(*OPTIMIZERS),
    ),
    sentence(
        "C3-similar",
        "SGD and AdaDelta are equal, error over seeds",
        "figure 3",
        any_reading({reading: is_equivalent(*optimizers(reading)[1:]) for reading in CHANGED}),
        *of_changes("AdaDelta"),
    ),
    sentence(
        "C3-similar-batches",
        "SGD and AdaDelta are equal, error over test batches",
        "figure 3",
        any_reading({reading: within_batches(*optimizers(reading)[1:]) for reading in CHANGED}),
        *of_changes("AdaDelta"),
    ),
    sentence(
        "C3-one-epoch",
        "one epoch of Adam competes with 50 of the others",
        "figure 3",
        any_reading({reading: one_epoch_competes(reading) for reading in CHANGED}),
        *of_changes(*OPTIMIZERS),
    ),
    sentence(
        "C4-start",
        "Xavier is quicker at the start",
        "figure 4",
        by_reading(lambda arm, sgd: ahead(arm, sgd, 5), "Xavier"),
        *of_changes("Xavier"),
    ),
    sentence(
        "C4-later",
        "and has little effect later, error over seeds",
        "figure 4",
        by_reading(is_equivalent, "Xavier"),
        *of_changes("Xavier"),
    ),
    sentence(
        "C4-later-batches",
        "and has little effect later, error over test batches",
        "figure 4",
        by_reading(within_batches, "Xavier"),
        *of_changes("Xavier"),
    ),
    sentence(
        "C5",
        "batch normalisation is faster, and better in the end",
        "figure 4",
        any_reading(
            {f"{place}, {reading}": normalised(place, reading) for place in ("before", "after") for reading in CHANGED}
        ),
        *of_changes(*BATCH_NORMS),
    ),
)
STUDY = Study(
    name="c-karki",
    title="C. Deep networks and Fashion-MNIST",
    source='Karki: "Deep Neural Networks and Fashion-MNIST"',
    notes=(
        "Weights of the last epoch are tested; first weights, where not said otherwise, uniform up to 1/√(inputs). "
        "The split has two readings for the shapes. Neither scaling nor momentum is said: all is run without them, and "
        "with both; momentum is SGD's, AdaDelta and Adam have none. The good recipe is that of "
        "report A, chosen there on validation data for 784-50-50-10: with mirrored images in training and testing. "
        "Parameters: " + ", ".join(f"{name} {count:,}" for name, count in PARAMETERS.items()) + "."
    ),
    arms=ARMS,
    comparisons=(
        *(
            Comparison(named(first, reading), named(second, reading), table=f"shapes, {reading}")
            for reading in READINGS
            for first, second in (("1x128", "2x64"), ("2x64", "3x42"), ("1x128", "3x42"))
        ),
        *(Comparison(SGD, named(shape), table="equal parameters") for shape in CONTROLS),
        *(
            Comparison(arm, named("1x128", reading), table=f"changes of 1x128, {reading}")
            for reading in CHANGED
            for arm in (named(name, reading) for name in CHANGES)
        ),
    ),
    claims=CLAIMS,
    curves=(
        *(
            Curves(f"As figure 2: shapes ({reading})", tuple(named(shape, reading) for shape in SHAPES))
            for reading in READINGS
        ),
        Curves("As figure 2, with equal parameters", (SGD, *(named(shape) for shape in CONTROLS))),
        *(
            Curves(f"As {title} ({reading})", (named("1x128", reading), *(named(name, reading) for name in names)))
            for reading in CHANGED
            for title, names in (
                ("figure 2: dropout", DROPOUTS),
                ("figure 3: optimizers", OPTIMIZERS),
                ("figure 4: initialisation and batch norm", ("Xavier", *BATCH_NORMS)),
            )
        ),
        Curves("Good recipe", tuple(f"{shape}, good recipe" for shape in SHAPES)),
    ),
)

if __name__ == "__main__":
    sys.exit(experiments.main(STUDY, sys.argv[1:]))
