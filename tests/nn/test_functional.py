"""nn.functional: every name is there, and documented; their arguments are checked in test_torch_signatures."""

from __future__ import annotations

import inspect

import tinygrad_mlp.nn.functional as F


def test_every_name_is_a_documented_function():
    assert len(set(F.__all__)) == len(F.__all__)
    for name in F.__all__:
        assert callable(getattr(F, name))
        assert inspect.getdoc(getattr(F, name))
