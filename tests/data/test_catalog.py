import numpy as np
import pytest

from tinygrad_mlp import data
from tinygrad_mlp.data import ImageSplits, catalog, fashion_mnist, mnist, sources, synthetic_fashion
from tinygrad_mlp.data.synthetic import draw_garments
from tinygrad_mlp.errors import ArgumentError, DataError


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A machine without data: nothing to find, downloads fail at once; and small stand-ins."""
    monkeypatch.delenv(sources.ENVIRONMENT, raising=False)
    monkeypatch.setattr(sources, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(sources, "user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(sources, "download", lambda files, mirrors, folder: [f"{mirrors[0]}: no network"])
    monkeypatch.setattr(catalog, "_warned", set())
    monkeypatch.setattr(catalog, "draw_garments", lambda count, seed, part: draw_garments(count // 500, seed, part))


def test_without_data_the_stand_in_is_drawn_and_says_so_once(no_data, capsys):
    splits = fashion_mnist()
    assert [part.name for part in splits] == ["synthetic-fashion"] * 3
    error = capsys.readouterr().err
    assert "NOT THE REAL DATA: using synthetic-fashion" in error and "no network" in error
    fashion_mnist()
    assert capsys.readouterr().err == ""


def test_where_no_stand_in_may_be_drawn_missing_data_raise(no_data, tmp_path):
    for refused in (
        lambda: fashion_mnist(synthetic="never"),
        lambda: fashion_mnist(tmp_path / "named"),  # who names a directory wants what is in it
        mnist,
    ):
        with pytest.raises(DataError, match=r"mnist: data not found\. Tried:"):
            refused()
    with pytest.raises(DataError, match="download=False"):
        fashion_mnist(download=False, synthetic="never")


def test_the_stand_in_on_demand_is_silent_and_follows_the_seed(no_data, capsys):
    first, again, other = (fashion_mnist(synthetic="always", seed=seed) for seed in (1, 1, 2))
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(first.train.images, again.train.images)
    assert first.train.sha256 == again.train.sha256 != other.train.sha256
    assert first.train.source == "drawn by formulae from seed 1"


def test_an_unknown_policy_lists_the_known_ones():
    with pytest.raises(ArgumentError, match="'yes', expected one of if-missing, never, always"):
        fashion_mnist(synthetic="yes")


def test_parts_and_their_roles():
    train, validation, test = synthetic_fashion(200, 50, validation=0.25, seed=4)
    assert (len(train), len(validation), len(test)) == (150, 50, 50)
    assert [part.split for part in (train, validation, test)] == ["train", "validation", "test"]
    assert np.bincount(validation.labels).tolist() == [5] * 10
    assert train.standardization is validation.standardization is test.standardization
    assert abs(train[:][0].array.mean()) < 1e-5 and train[:][0].array.std() == pytest.approx(1, abs=1e-5)
    test.record_use()
    assert (train.uses, test.uses) == (0, 1)


@pytest.mark.parametrize("standardize", ["global", "image", "feature", "none"])
def test_without_a_validation_part(standardize):
    train, validation, _ = synthetic_fashion(100, 10, validation=0, standardize=standardize)
    assert len(train) == 100 and len(validation) == 0
    with pytest.raises(DataError, match="is empty"):
        data.DataLoader(validation)


def test_a_plain_split_differs_from_a_stratified_one():
    stratified, plain = synthetic_fashion(100, 10), synthetic_fashion(100, 10, stratify=False)
    assert len(stratified.validation) == len(plain.validation) == 20
    assert not np.array_equal(stratified.validation.images, plain.validation.images)


def _check_real(splits: ImageSplits, name: str) -> None:
    assert [len(part) for part in splits] == [48_000, 12_000, 10_000]
    assert [part.name for part in splits] == [name] * 3
    assert np.abs(np.bincount(splits.validation.labels) * 4 - np.bincount(splits.train.labels)).max() <= 5
    x, y = splits.train[:10]
    assert x.shape == (10, 1, 28, 28) and x.dtype == np.float32 and y.shape == (10,)


@pytest.mark.real_data
def test_the_real_data(real_data):
    splits = fashion_mnist(synthetic="never", download=False)
    _check_real(splits, "fashion-mnist")
    assert np.bincount(splits.train.labels).tolist() == [4800] * 10
    assert splits.train.describe()["mean"] == pytest.approx(0.286, abs=0.001)  # the figures that everybody uses
    assert splits.train.describe()["std"] == pytest.approx(0.353, abs=0.001)
    _check_real(mnist(real_data, download=False), "mnist")
