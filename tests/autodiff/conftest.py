"""What tests of autodiff share."""

from __future__ import annotations

import pytest

import tinygrad_mlp as tg
from tinygrad_mlp.errors import ArgumentError


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> int:
    """One and two threads; a test after this one has all again."""
    try:
        tg.set_num_threads(request.param)
    except ArgumentError:
        pytest.skip("this machine has one core")
    return request.param
