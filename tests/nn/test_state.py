"""State dicts: names and order, loading in place, and one error that lists everything and changes nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import CheckpointError


class Layer(nn.Module):
    """A parameter stored transposed, a buffer before it in the source, and a child between them."""

    def __init__(self, rows: int = 2, columns: int = 3) -> None:
        super().__init__()
        self.register_buffer("count", Tensor(np.zeros((), np.int64)))
        self.inner = nn.Sequential()
        self.weight = nn.Parameter(np.zeros((columns, rows), np.float32).T)
        self.register_parameter("bias", None)
        self.register_buffer("scratch", Tensor(np.zeros(1, np.float32)), persistent=False)


def values(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.array.copy() for name, tensor in net.state_dict().items()}


def test_parameters_come_first_then_buffers_then_children() -> None:
    net = Layer()
    net.inner.append(Layer())
    assert list(net.state_dict()) == ["weight", "count", "inner.0.weight", "inner.0.count"]


def test_state_shares_memory_and_version_without_history() -> None:
    net = Layer()
    state = net.state_dict()
    assert state["weight"].array is net.weight.array
    assert not state["weight"].requires_grad
    kept = copy.deepcopy(state)
    net.load_state_dict({"weight": np.ones((2, 3)), "count": 4})
    assert state["weight"].version == net.weight.version == 1
    assert kept["weight"].array.sum() == 0
    assert net.load_state_dict(kept) == ([], [])
    assert net.weight.array.sum() == 0


def test_loading_writes_in_place_into_strided_memory() -> None:
    net = Layer()
    array = net.weight.array
    given = np.arange(6, dtype=np.float64).reshape(2, 3)
    net.load_state_dict({"weight": given, "count": np.array(3)})
    assert net.weight.array is array
    assert array.strides == (4, 8)
    np.testing.assert_array_equal(array, given)
    assert array.dtype == np.float32
    assert net.count.item() == 3
    assert net.weight.requires_grad


def test_loading_takes_whatever_becomes_an_array() -> None:
    class Foreign:
        """Like a PyTorch parameter: an array only after detach()."""

        def __init__(self, array: np.ndarray, attached: bool) -> None:
            self._array = array
            self._attached = attached

        def detach(self) -> Foreign:
            return Foreign(self._array, attached=False)

        def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
            if self._attached:
                raise RuntimeError("requires grad")
            return self._array

    net = Layer()
    net.load_state_dict({"weight": Foreign(np.full((2, 3), 5.0), attached=True), "count": Tensor(np.array(2))})
    assert net.weight.array.min() == 5
    other = Layer()
    other.load_state_dict(dict(net.named_parameters()) | {"count": 1})
    assert other.weight.array.min() == 5


def test_one_error_lists_everything_and_changes_nothing() -> None:
    net = nn.Sequential(Layer(2, 3), Layer(4, 5))
    before = values(net)
    state = {
        "0.weight": np.ones((2, 3)),
        "0.count": np.float64(1),
        "1.weight": np.ones((5, 4)),
        "extra.weight": np.ones(2),
        "other": np.ones(2),
    }
    with pytest.raises(CheckpointError) as caught:
        net.load_state_dict(state)
    lines = str(caught.value).splitlines()
    assert lines[0] == "load_state_dict: the state does not fit Sequential; nothing was changed"
    assert lines[1:5] == [
        "  missing: 1.count ()",
        "  unexpected: extra.weight, other",
        "  misfit: 0.count: got dtype float64, expected int64",
        "  misfit: 1.weight: got shape (5, 4), expected (4, 5)",
    ]
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(tensor.array, before[name])
        assert tensor.version == 0


def test_strict_false_returns_what_it_passed_over_but_not_misfits() -> None:
    net = Layer()
    missing, unexpected = net.load_state_dict({"weight": np.ones((2, 3)), "extra": 1}, strict=False)
    assert (missing, unexpected) == (["count"], ["extra"])
    assert net.weight.array.min() == 1
    with pytest.raises(CheckpointError, match=r"weight: got shape \(3, 2\)") as caught:
        net.load_state_dict({"weight": np.ones((3, 2))}, strict=False)
    assert "missing" not in str(caught.value).splitlines()[1]


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.ones((2, 3), np.int32), "got dtype int32, expected float32"),
        (np.ones((2, 3), np.complex128), "got dtype complex128"),
        (np.full((2, 3), "x"), "got dtype <U1"),
        (None, r"got shape \(\)"),
        (np.ones((2, 1)), r"got shape \(2, 1\), expected \(2, 3\)"),
    ],
)
def test_values_of_another_kind_do_not_fit(value: object, match: str) -> None:
    net = Layer()
    with pytest.raises(CheckpointError, match=match):
        net.load_state_dict({"weight": value, "count": 0})


def test_a_state_must_be_a_mapping() -> None:
    with pytest.raises(CheckpointError, match=r"got str; tg.load\(path\) reads one from a file"):
        Layer().load_state_dict("net.pt")  # pyright: ignore[reportArgumentType]
    with pytest.raises(CheckpointError, match="expected a mapping of names to tensors for Layer, got list"):
        Layer().load_state_dict([1, 2])
