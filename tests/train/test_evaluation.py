"""`evaluate` and `predict`."""

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import data, nn
from tinygrad_mlp.errors import ArgumentError, NonFiniteError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.train import ClassificationReport, LossReport, predict


@pytest.fixture
def net():
    tg.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))


def test_it_agrees_with_the_formulae(net, train):
    report = tg.evaluate(net, train, batch_size=7)
    net.eval()
    x, y = (tg.tensor(array) for array in train.arrays)
    logits = net(x)
    assert isinstance(report, ClassificationReport)
    assert report.n == len(train)
    assert report.accuracy == pytest.approx(float((logits.argmax(1) == y).float().mean()))
    assert report.loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-6)
    np.testing.assert_allclose(predict(net, train, batch_size=11), logits.detach().array, rtol=1e-5, atol=1e-6)


def test_it_prints_on_one_short_line(net, train):
    assert str(tg.evaluate(net, train)).count("\n") == 0
    assert str(tg.evaluate(net, train)).startswith("loss ")


def test_modes_statistics_and_gradients_stay_as_they_were(net, train):
    net[2].eval()
    mean = net[1].running_mean.array.copy()
    tg.evaluate(net, train)
    predict(net, train)
    assert [module.training for module in net] == [True, True, False, True]
    np.testing.assert_array_equal(net[1].running_mean.array, mean)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert tg.is_grad_enabled()


def test_modes_come_back_after_an_error_too(net):
    wrong = data.TensorDataset(np.zeros((5, 9), np.float32), np.zeros(5, np.int64))
    with pytest.raises(tg.errors.ShapeError):
        tg.evaluate(net, wrong)
    assert net.training
    assert tg.is_grad_enabled()


def test_each_call_counts_as_a_use(net, test_part):
    assert test_part.uses == 0
    tg.evaluate(net, test_part)
    predict(net, test_part)
    assert test_part.uses == 2


def test_targets_that_are_no_labels_have_a_loss_alone():
    values = data.TensorDataset(np.ones((5, 4), np.float32), np.full((5, 2), 3, np.float32))
    net = nn.Linear(4, 2)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    report = tg.evaluate(net, values, batch_size=2, loss=F.mse_loss)
    assert isinstance(report, LossReport)
    assert report.as_dict() == {"n": 5, "loss": 9.0}
    assert str(report) == "loss 9, n 5"


def test_the_loss_of_a_smaller_last_batch_weighs_less():
    net = nn.Identity()
    values = data.TensorDataset(np.array([[0.0], [0], [3]], np.float32), np.zeros((3, 1), np.float32))
    assert tg.evaluate(net, values, batch_size=2, loss=F.mse_loss).loss == pytest.approx(3.0)


def test_a_loss_of_ones_own_has_the_same_bits(net, train):
    def loss(output, target):
        return F.cross_entropy(output, target)

    assert tg.evaluate(net, train, 7, loss).as_dict() == tg.evaluate(net, train, 7).as_dict()


class Inputs(data.Dataset):
    """Samples of a single field, no tuples."""

    def __init__(self, points):
        self.points = points

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index]


def test_predict_needs_no_targets_and_evaluate_does(net, train):
    points, labels = train.arrays
    expected = predict(net, train)
    for inputs in (data.TensorDataset(points), Inputs(points)):
        np.testing.assert_array_equal(predict(net, inputs), expected)
        with pytest.raises(ArgumentError, match=r"has 1 field\(s\), expected two, input and target"):
            tg.evaluate(net, inputs)
    with pytest.raises(ArgumentError, match=r"has 3 field\(s\)"):
        tg.evaluate(net, data.TensorDataset(points, labels, labels))


def test_scores_that_are_nan_raise(net, train):
    net[3].bias.array[0] = np.nan
    with pytest.raises(NonFiniteError, match="NaN"):
        tg.evaluate(net, train)


def test_a_loss_for_each_sample_is_refused(net, train):
    with pytest.raises(ArgumentError, match=r"loss has shape \(90,\), expected one number per batch"):
        tg.evaluate(net, train, loss=nn.CrossEntropyLoss(reduction="none"))


@pytest.mark.parametrize("call", [tg.evaluate, predict])
def test_what_is_no_data_set_is_refused(net, train, call):
    with pytest.raises(ArgumentError, match="got a DataLoader, expected its data set"):
        call(net, data.DataLoader(train, 4))
    with pytest.raises(ArgumentError, match=r"got a tuple, expected a data set; data.TensorDataset"):
        call(net, train[:4])
    with pytest.raises(ArgumentError, match="got a int"):
        call(net, 3)
