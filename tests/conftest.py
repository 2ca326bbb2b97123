"""Hypothesis profiles: `ci`, quick and the same every time, and `thorough`; HYPOTHESIS_PROFILE chooses."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: the first call of an op compiles its kernels.
settings.register_profile("ci", max_examples=25, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
