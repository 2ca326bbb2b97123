"""What all tests share: hypothesis profiles, and a default generator and a number of threads that are alike in each.

`ci` is quick and the same every time, `thorough` draws more and anew; HYPOTHESIS_PROFILE chooses. Where CI names
a folder of real data, no test on them is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

import tinygrad_mlp as tg

# No deadline: the first call of an op compiles its kernels.
settings.register_profile("ci", max_examples=20, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """CI must not pass without the real data: where it says where they are, skipping a test on them is a failure."""
    report = yield
    folder = os.environ.get("TINYGRAD_MLP_DATA")
    if report.skipped and folder and os.environ.get("CI") == "true" and item.get_closest_marker("real_data"):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} was skipped, and CI runs on the real data: TINYGRAD_MLP_DATA is {folder}, which must hold "
            "the folders fashion-mnist and mnist; unset it to run without them"
        )
    return report


_THREADS = tg.get_num_threads()


@pytest.fixture(autouse=True)
def _the_same_beginning() -> None:
    """No test depends on the tests that ran before it, in their numbers or threads."""
    tg.manual_seed(0)
    tg.set_num_threads(_THREADS)
