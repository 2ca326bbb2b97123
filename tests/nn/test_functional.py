"""nn.functional: PyTorch's names are there, take PyTorch's argument names, and are the ops themselves."""

from __future__ import annotations

import inspect

import pytest

import tinygrad_mlp.nn.functional as F

# The first arguments, by PyTorch's names, of the functions that scripts call with keywords.
ARGUMENTS = {
    "batch_norm": ["input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"],
    "binary_cross_entropy": ["input", "target", "weight"],
    "binary_cross_entropy_with_logits": ["input", "target", "weight"],
    "cross_entropy": ["input", "target", "weight"],
    "dropout": ["input", "p", "training"],
    "embedding": ["input", "weight", "padding_idx"],
    "huber_loss": ["input", "target", "reduction", "delta"],
    "kl_div": ["input", "target"],
    "l1_loss": ["input", "target"],
    "layer_norm": ["input", "normalized_shape", "weight", "bias", "eps"],
    "linear": ["input", "weight", "bias"],
    "mse_loss": ["input", "target"],
    "nll_loss": ["input", "target", "weight"],
    "normalize": ["input", "p", "dim", "eps"],
    "smooth_l1_loss": ["input", "target"],
}


def test_every_name_is_a_documented_function():
    assert len(set(F.__all__)) == len(F.__all__)
    for name in F.__all__:
        assert callable(getattr(F, name))
        assert inspect.getdoc(getattr(F, name))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_have_pytorchs_names(name):
    names = list(inspect.signature(getattr(F, name)).parameters)
    assert names[: len(ARGUMENTS[name])] == ARGUMENTS[name]
