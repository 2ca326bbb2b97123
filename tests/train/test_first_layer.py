"""The filters of a net's first convolution, and its maps of a validation image of each class, are in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.train.conftest import garments
from tinygrad_mlp import nn, optim
from tinygrad_mlp.train.first_layer import first_feature_maps


def a_net(*layers: nn.Module) -> nn.Sequential:
    tg.manual_seed(0)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def test_maps_are_those_after_norm_and_activation():
    layers = (nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    val = garments(5, "validation")
    found = first_feature_maps(a_net(*layers), val)
    assert found is not None
    convolution, maps = found
    assert convolution is layers[0]
    with tg.no_grad():
        expected = layers[1].eval()(layers[0](val[:][0])).relu()
    assert maps.shape == (5, 4, 6, 6)
    np.testing.assert_allclose(maps, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_the_first_convolution_is_the_one_that_is_called_first():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.later = nn.Conv2d(3, 4, 3)
            self.sooner = nn.Conv2d(1, 3, 3)

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return self.later(self.sooner(x))

    net = Backwards()
    found = first_feature_maps(a_net(net), garments(3, "validation"))
    assert found is not None
    assert found[0] is net.sooner
    assert found[1].shape == (3, 3, 4, 4)


def test_the_net_is_left_as_it_was():
    net = a_net(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    net.train()
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    first_feature_maps(net, garments(3, "validation"))
    assert net.training
    assert not any(vars(module)["_forward_hooks"] for module in net.modules())
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_a_run_draws_them_and_a_net_without_convolutions_draws_none(
    make: Any, run: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(tg.train.RunFolder, "draw", lambda self, name, figure: drawn.update({name: figure}))
    training, val = garments(40), garments(20, "validation")
    make(inputs=36, classes=2, epochs=1, out=run / "mlp").fit(training, val)
    assert sorted(drawn) == ["confusion", "curves", "mistakes"]

    net = a_net(nn.Conv2d(1, 4, 3), nn.ReLU())
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    tg.Trainer(net, optimizer, epochs=1, progress=False, out=run / "cnn").fit(training, val)
    assert sorted(drawn) == ["confusion", "curves", "features", "filters", "mistakes"]
    seen, head, main, _ = drawn["features"].axes
    assert [label.get_text() for label in seen.get_yticklabels()] == ["left", "right"]
    first = [int(np.flatnonzero(val.labels == label)[0]) for label in (0, 1)]
    pictures = np.ma.filled(seen.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(pictures[:6] * 255, val.images[first[0]])
    np.testing.assert_array_equal(pictures[7:] * 255, val.images[first[1]])
    weight = net[0].weight.detach().numpy()
    np.testing.assert_array_equal(np.ma.filled(head.images[0].get_array(), np.nan)[:, :3], weight[0, 0])
    assert main.images[0].get_array().shape == (2 * 5 - 1, 4 * 5 - 1)
    assert drawn["features"].get_suptitle().endswith("sides, validation")
