"""A thousand drawn images in place of Fashion-MNIST, for runs within a test."""

from __future__ import annotations

import pytest

from benchmarks.training_steps import Images
from tinygrad_mlp import data


@pytest.fixture(scope="session")
def drawn_images() -> Images:
    train, _, _ = data.synthetic_fashion(1000, 10, validation=0.0)
    return Images(train.name, train.source, train)


@pytest.fixture
def few_images(drawn_images: Images, monkeypatch: pytest.MonkeyPatch) -> Images:
    """What benchmarks find where they look for images."""
    monkeypatch.setattr(Images, "load", lambda: drawn_images)
    return drawn_images
