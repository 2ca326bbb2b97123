"""Studies: names are checked, parts can be taken, grids and draws make arms."""

import numpy as np
import pytest

from tests.experiments.made import SMALL, two_arms
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.experiments.claims import Claim, all_hold, is_better, is_equivalent
from tinygrad_mlp.experiments.sentences import any_reading, bound_is_above
from tinygrad_mlp.experiments.study import Arm, Comparison, Curves, Study


def whole() -> Study:
    return two_arms(
        comparisons=(Comparison("relu", "tanh"),),
        claims=(
            Claim("X1", "relu reaches 80 %", arms=("relu",), published=0.8),
            Claim("X2", "relu is better", arms=("relu", "tanh"), predicate=is_better("relu", "tanh")),
        ),
        curves=(Curves("both", ("relu", "tanh")), Curves("tanh", ("tanh",))),
    )


def test_parts_of_a_study() -> None:
    part = whole().with_claims(["X1"])
    assert [arm.name for arm in part.arms] == ["relu"]
    assert [claim.id for claim in part.claims] == ["X1"]
    assert part.comparisons == ()
    assert part.curves == (Curves("both", ("relu",)),)
    assert "A part of the study" in part.notes
    study = whole()
    assert study.with_claims(["X2", "X1"]) == study
    assert [claim.id for claim in whole().with_arms(["tanh"]).claims] == []


def test_names_that_do_not_exist() -> None:
    with pytest.raises(ArgumentError, match="a comparison names the arm 'rely', did you mean 'relu'"):
        two_arms(comparisons=(Comparison("rely", "tanh"),))
    with pytest.raises(ArgumentError, match="claim X names the arm 'gelu'"):
        two_arms(claims=(Claim("X", "words", arms=("gelu",), published=0.5),))
    with pytest.raises(ArgumentError, match="curves 'figure' names the arm"):
        two_arms(curves=(Curves("figure", ("gelu",)),))
    with pytest.raises(ArgumentError, match="no claim 'X9'"):
        whole().with_claims(["X9"])
    with pytest.raises(ArgumentError, match="names the arm 'gelu'"):
        whole()["gelu"]


def test_names_that_occur_twice() -> None:
    with pytest.raises(ArgumentError, match="two arms are called 'a'"):
        Study("s", "S", (Arm("a", SMALL), Arm("a", SMALL)))
    claim = Claim("X", "words", arms=("relu",), published=0.5)
    with pytest.raises(ArgumentError, match="two claims are called 'X'"):
        two_arms(claims=(claim, claim))


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "é!"])
def test_a_study_names_a_folder(name: str) -> None:
    with pytest.raises(ArgumentError, match="names a folder"):
        Study(name, "S", (Arm("a", SMALL),))


def test_other_impossible_studies() -> None:
    with pytest.raises(ArgumentError, match="no arms"):
        Study("s", "S", ())
    with pytest.raises(ArgumentError, match="seeds=0"):
        two_arms(seeds=0)
    with pytest.raises(ArgumentError, match="seeds=0"):
        Arm("a", SMALL, seeds=0)
    with pytest.raises(ArgumentError, match="Arm: name="):
        Arm("<b>", SMALL)
    with pytest.raises(ArgumentError, match="a published number or a predicate"):
        Claim("X", "words", arms=("relu",))
    with pytest.raises(ArgumentError, match="a published number or a predicate"):
        Claim("X", "words", arms=("relu",), published=0.5, predicate=is_better("a", "b"))
    with pytest.raises(ArgumentError, match="needs an arm"):
        Claim("X", "words", published=0.5)


def test_what_could_not_be_judged_in_the_end_is_refused_at_once() -> None:
    """Rather than after all has been trained."""
    with pytest.raises(ArgumentError, match=r"claim X names the measure 'test_acuracy', did you mean 'test_accuracy'"):
        two_arms(claims=(Claim("X", "words", arms=("relu",), published=0.5, measure="test_acuracy"),))
    with pytest.raises(
        ArgumentError, match=r"a comparison names the measure 'accuracy'.*; there are test_accuracy, val_"
    ):
        two_arms(comparisons=(Comparison("relu", "tanh", "accuracy"),))
    with pytest.raises(ArgumentError, match="claim X names dead_units of the arm 'tanh', which has no ReLU"):
        two_arms(claims=(Claim("X", "words", arms=("tanh",), published=0.1, measure="dead_units"),))
    with pytest.raises(ArgumentError, match="claim X names the measure 'test_acuracy'"):
        two_arms(claims=(Claim("X", "words", predicate=bound_is_above("relu", 0.5, "test_acuracy")),))
    with pytest.raises(ArgumentError, match="claim X names the arm 'gelu'"):
        two_arms(claims=(Claim("X", "words", predicate=bound_is_above("gelu", 0.5)),))
    images = Arm("images", SMALL.replace(conv=(2,)))
    with pytest.raises(ArgumentError, match="names roughness of the arm 'images', which has no first layer on all"):
        Study("s", "S", (images,), claims=(Claim("X", "w", arms=("images",), published=1, measure="roughness"),))
    blind = Arm("blind", SMALL.replace(validation=0.0, keep="last"))
    with pytest.raises(
        ArgumentError, match="claim X names val_loss of the arm 'blind', which has no validation images"
    ):
        Study("s", "S", (blind,), claims=(Claim("X", "words", arms=("blind",), published=0.1, measure="val_loss"),))
    better, loss = is_better("relu", "tanh"), is_equivalent("tanh", "relu", "val_loss")
    for predicate in (better, all_hold(better, loss), any_reading({"one": loss, "other": all_hold(better)})):
        claim = Claim("X", "words", arms=("relu", "tanh"), predicate=predicate)
        with pytest.raises(ArgumentError, match=r"claim X needs the comparison of 'relu' with 'tanh' in test_accuracy"):
            two_arms(comparisons=(Comparison("tanh", "relu", "val_loss"),), claims=(claim,))
        both = (Comparison("tanh", "relu"), Comparison("relu", "tanh", "val_loss"))
        assert two_arms(comparisons=both, claims=(claim,)).claims == (claim,)


def test_a_part_has_the_arms_that_a_predicate_names() -> None:
    claim = Claim("X", "words", arms=("relu",), predicate=is_better("relu", "tanh"))
    study = two_arms(comparisons=(Comparison("relu", "tanh"),), claims=(claim, *whole().claims[:1]))
    assert [arm.name for arm in study.with_claims(["X"]).arms] == ["relu", "tanh"]
    assert study.with_arms(["relu"]).claims == study.claims[1:]


def test_an_arm_may_have_fewer_seeds() -> None:
    study = Study("s", "S", (Arm("slow", SMALL, seeds=2), Arm("fast", SMALL)), seeds=5)
    assert [len(study.seeds_of(arm)) for arm in study.arms] == [2, 5]
    assert [len(study.seeds_of(arm, 1)) for arm in study.arms] == [1, 1]
    assert [len(study.seeds_of(arm, 9)) for arm in study.arms] == [2, 9]


def test_a_quick_study_is_short() -> None:
    quick = Study("s", "S", (Arm("a", SMALL.replace(epochs=9, limit=None, folds=5)), Arm("b", SMALL))).quick()
    first, second = (arm.recipe for arm in quick.arms)
    assert (first.epochs, first.limit, first.folds, quick.seeds) == (2, 2000, 2, 1)
    assert second == SMALL
    assert "mean nothing" in quick.notes
    most_held_out = Arm("c", SMALL.replace(validation=0.97, limit=None))
    assert Study("s", "S", (most_held_out,)).quick().arms[0].recipe.limit == 1800


def test_a_grid_has_all_combinations() -> None:
    study = Study.grid("width and rate", SMALL, {"hidden": [(4,), (8, 2)], "lr": [0.03, 0.1]}, seeds=3)
    assert study.name == "width-and-rate"
    assert study.seeds == 3
    assert {arm.name: (arm.recipe.hidden, arm.recipe.lr) for arm in study.arms} == {
        "hidden=4 lr=0.03": ((4,), 0.03),
        "hidden=4 lr=0.1": ((4,), 0.1),
        "hidden=8x2 lr=0.03": ((8, 2), 0.03),
        "hidden=8x2 lr=0.1": ((8, 2), 0.1),
    }


def test_a_draw_is_the_same_for_the_same_seed() -> None:
    def rates(seed: int) -> Study:
        fields = {"lr": lambda generator: 10 ** generator.uniform(-3, 0), "dropout": [0.0, 0.5]}
        return Study.random("rates", SMALL, fields, 20, seed)

    study = rates(0)
    assert study == rates(0)
    assert study.arms != rates(1).arms
    assert len(study.arms) == 20
    found = [arm.recipe.lr for arm in study.arms]
    assert all(1e-3 <= rate <= 1 for rate in found)
    assert {arm.recipe.dropout for arm in study.arms} == {0.0, 0.5}
    assert all(f"lr={arm.recipe.lr:.6g} " in arm.name for arm in study.arms)
    assert np.std(np.log10(found)) > 0.4  # spread over three decades


def test_what_is_drawn_twice_is_run_once() -> None:
    assert len(Study.random("few", SMALL, {"dropout": [0.0, 0.5]}, 20).arms) == 2


def test_a_field_that_does_not_exist() -> None:
    with pytest.raises(ArgumentError, match="no field 'learning_rate'"):
        Study.grid("s", SMALL, {"learning_rate": [0.1]})
