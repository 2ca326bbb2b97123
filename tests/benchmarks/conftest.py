"""A thousand drawn images in place of Fashion-MNIST, for runs within a test."""

from __future__ import annotations

import pytest

from benchmarks.training_steps import Images
from tinygrad_mlp import data


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> Images:
    train, _, _ = data.synthetic_fashion(1000, 10, validation=0.0)
    images = Images(train.name, train.source, train)
    monkeypatch.setattr(Images, "load", lambda: images)
    return images
