"""Losses as modules: each hands its settings to the function of its name, and checks them when it is made."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)
LOGITS = Tensor(RNG.standard_normal((4, 3)))
LABELS = Tensor(np.array([0, 2, 1, 2]))
LOGS = Tensor(np.log(RNG.dirichlet(np.ones(3), 4)))
PROBABILITIES = Tensor(RNG.uniform(0.1, 0.9, (4, 3)))
TARGETS = Tensor(RNG.uniform(0.1, 0.9, (4, 3)))
CLASS_WEIGHT = Tensor(np.array([1.0, 2.0, 0.5]))

CASES = [
    (nn.CrossEntropyLoss, F.cross_entropy, LOGITS, LABELS, {}),
    (nn.CrossEntropyLoss, F.cross_entropy, LOGITS, LABELS, {"weight": CLASS_WEIGHT, "ignore_index": 2}),
    (nn.CrossEntropyLoss, F.cross_entropy, LOGITS, LABELS, {"label_smoothing": 0.1, "reduction": "none"}),
    (nn.NLLLoss, F.nll_loss, LOGS, LABELS, {"weight": CLASS_WEIGHT, "ignore_index": 0, "reduction": "sum"}),
    (nn.MSELoss, F.mse_loss, LOGITS, TARGETS, {"reduction": "none"}),
    (nn.L1Loss, F.l1_loss, LOGITS, TARGETS, {"reduction": "sum"}),
    (nn.SmoothL1Loss, F.smooth_l1_loss, LOGITS, TARGETS, {"beta": 0.3, "reduction": "sum"}),
    (nn.HuberLoss, F.huber_loss, LOGITS, TARGETS, {"delta": 0.3, "reduction": "none"}),
    (nn.BCELoss, F.binary_cross_entropy, PROBABILITIES, TARGETS, {"weight": CLASS_WEIGHT, "reduction": "sum"}),
    (
        nn.BCEWithLogitsLoss,
        F.binary_cross_entropy_with_logits,
        LOGITS,
        TARGETS,
        {"weight": CLASS_WEIGHT, "pos_weight": CLASS_WEIGHT, "reduction": "none"},
    ),
    (nn.KLDivLoss, F.kl_div, LOGS, TARGETS, {"reduction": "batchmean"}),
    (nn.KLDivLoss, F.kl_div, LOGS, TARGETS, {"reduction": "sum", "log_target": True}),
]


@pytest.mark.parametrize(("kind", "function", "input", "target", "settings"), CASES)
def test_settings_reach_the_function(
    kind: type[nn.Module], function: object, input: Tensor, target: Tensor, settings: dict[str, object]
) -> None:
    loss = kind(**settings)(input, target).array
    np.testing.assert_array_equal(loss, function(input, target, **settings).array)
    for name in settings:  # each setting matters
        others = {other: value for other, value in settings.items() if other != name}
        assert not np.array_equal(function(input, target, **others).array, loss)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nn.MSELoss("avg"), "MSELoss: unknown reduction 'avg'; expected one of 'mean', 'sum', 'none'"),
        (lambda: nn.MSELoss("batchmean"), "MSELoss: unknown reduction 'batchmean'"),
        (lambda: nn.KLDivLoss("avg"), "KLDivLoss: .*'batchmean'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=1.5), "CrossEntropyLoss: label_smoothing must lie in 0 to 1"),
        (lambda: nn.SmoothL1Loss(beta=-1), "SmoothL1Loss: beta must be at least 0"),
        (lambda: nn.HuberLoss(delta=0), "HuberLoss: delta must be greater than 0, got 0"),
    ],
)
def test_impossible_settings(make: object, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        make()


def test_nothing_broadcasts_and_errors_name_the_loss() -> None:
    with pytest.raises(ShapeError) as caught:
        nn.MSELoss()(Tensor(np.zeros((4, 1))), Tensor(np.zeros(4)))
    assert caught.value.__notes__ == ["in MSELoss(), input (4, 1) float64, (4,) float64"]


def test_weights_are_buffers() -> None:
    assert list(nn.CrossEntropyLoss(CLASS_WEIGHT).state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    assert nn.BCEWithLogitsLoss(pos_weight=CLASS_WEIGHT).float().pos_weight.dtype == np.float32


def test_repr_names_a_reduction_other_than_the_mean() -> None:
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert repr(nn.L1Loss(reduction="sum")) == "L1Loss(reduction='sum')"


class Focal(nn.CrossEntropyLoss):
    """A loss as users derive it: settings passed on, kept under another name, and not kept at all."""

    def __init__(self, alpha: object, gamma: float = 2.0, *args: object, hint: str = "", **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._alpha = alpha
        self.gamma = gamma


def test_a_loss_derived_from_another_can_be_printed_and_names_errors() -> None:
    assert repr(Focal(0.25)) == "Focal()"
    assert repr(Focal(0.25, 3.0, CLASS_WEIGHT, hint="x", reduction="sum")) == "Focal(gamma=3.0)"
    assert repr(Focal(0.25, np.ones(2))) == "Focal(gamma=array([1., 1.]))"
    with pytest.raises(ShapeError) as caught:
        Focal(0.25)(LOGITS, LABELS[:2])
    assert caught.value.__notes__ == ["in Focal(), input (4, 3) float64, (2,) int64"]
