"""Epochs beside each other: a quick run, and a contender whose package is missing."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from benchmarks import epochs
from benchmarks.settings import Settings


def test_every_contender_is_there() -> None:
    assert [module for module in epochs.CONTENDERS.values() if find_spec(module) is None] == []


@pytest.mark.usefixtures("few_images")
def test_a_quick_run_measures_ours_and_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = epochs.CONTENDERS[epochs.OURS]
    monkeypatch.setattr(epochs, "CONTENDERS", {epochs.OURS: ours, "absent": "tests.benchmarks.toy_missing"})
    measured = epochs.measure(Settings(quick=True), threads=1)
    assert measured.missing == {"absent": "no_such_package"}
    assert list(measured.rounds.blocks) == [epochs.OURS]
    assert 0 < measured.rounds.median(epochs.OURS) < 60
    text = str([column.header for column in measured.table().columns])
    assert "seconds" in text and "(lowest to highest of 2 rounds)" in text
    assert measured.table().row_count == 2
