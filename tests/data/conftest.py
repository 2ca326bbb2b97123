import os
from pathlib import Path

import numpy as np
import pytest

from tinygrad_mlp.data import ImageDataset


@pytest.fixture
def real_data() -> Path:
    """The directory of the real files; skips the test where there is none."""
    directory = os.environ.get("TINYGRAD_MLP_DATA")
    if not directory or not (Path(directory) / "fashion-mnist").is_dir():
        pytest.skip("TINYGRAD_MLP_DATA names no directory with the real data")
    return Path(directory)


@pytest.fixture
def images() -> ImageDataset:
    """50 random images of 4x3 pixels, 10 of each of five classes, in mixed order."""
    random = np.random.default_rng(0)
    return ImageDataset(
        random.integers(0, 256, (50, 4, 3), dtype=np.uint8),
        np.arange(50) % 5,
        classes="abcde",
        standardization="global",
        name="random",
    )
