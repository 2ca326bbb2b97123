"""What all tests share: hypothesis profiles, and a default generator and a number of threads that are alike in each.

`ci` is quick and the same every time, `thorough` draws more and anew; HYPOTHESIS_PROFILE chooses.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

import tinygrad_mlp as tg

# No deadline: the first call of an op compiles its kernels.
settings.register_profile("ci", max_examples=20, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


_THREADS = tg.get_num_threads()


@pytest.fixture(autouse=True)
def _the_same_beginning() -> None:
    """No test depends on the tests that ran before it, in their numbers or threads."""
    tg.manual_seed(0)
    tg.set_num_threads(_THREADS)
