"""Sequential, ModuleList and ModuleDict: order, names, indexing and slicing."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, NonFiniteError, ShapeError


class Add(nn.Module):
    def __init__(self, amount: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(1, amount, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return x * 10.0 + self.weight


def amounts(modules: object) -> list[float]:
    return [module.weight.item() for module in modules]


def names(container: nn.Module) -> list[str]:
    return [name for name, _ in container.named_children()]


def test_sequential_runs_in_order() -> None:
    net = nn.Sequential(Add(1), Add(2), Add(3))
    assert net(Tensor(np.zeros(1, np.float32))).tolist() == [123]
    assert nn.Sequential()("x") == "x"
    assert len(net) == 3
    assert amounts(net) == [1, 2, 3]


def test_sequential_from_named_modules() -> None:
    net = nn.Sequential(OrderedDict(low=Add(1), high=Add(2)))
    assert list(net.state_dict()) == ["low.weight", "high.weight"]
    assert net.high is net[1]
    net.append(Add(3))
    assert names(net) == ["low", "high", "2"]
    del net[0]
    assert names(net) == ["high", "1"]


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_positions(kind: type) -> None:
    members = [Add(amount) for amount in range(4)]
    container = kind(*members) if kind is nn.Sequential else kind(members)
    assert container[0] is members[0]
    assert container[-1] is members[3]
    assert container[np.int64(2)] is members[2]
    part = container[1:3]
    assert type(part) is kind
    assert amounts(part) == [1, 2]
    assert part[0] is members[1]
    part.append(Add(9))  # nothing is written over
    assert amounts(part) == [1, 2, 9]
    assert names(part) == (["1", "2", "3"] if kind is nn.Sequential else ["0", "1", "2"])
    container[-1] = Add(7)
    assert amounts(container) == [0, 1, 2, 7]
    del container[1]
    assert amounts(container) == [0, 2, 7]
    assert names(container) == ["0", "1", "2"]
    assert container.insert(1, Add(5)) is container
    container.insert(-1, Add(6))
    assert amounts(container) == [0, 5, 2, 6, 7]
    assert names(container) == ["0", "1", "2", "3", "4"]
    assert amounts(container.extend([Add(8)])) == [0, 5, 2, 6, 7, 8]
    with pytest.raises(IndexRangeError, match=r"index 6 is out of range for 6 modules"):
        container[6]
    with pytest.raises(IndexRangeError, match="index -7"):
        container[-7] = Add(1)


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_containers_grow_and_shrink_as_lists_do(kind: type) -> None:
    def made(*numbers: float) -> nn.ModuleList:
        return kind().extend(Add(number) for number in numbers)

    container = made(0, 1, 2, 3, 4)
    del container[-2:]
    assert amounts(container) == [0, 1, 2]
    del container[::2]
    assert amounts(container) == [1]
    assert names(container) == ["0"]
    del container[5:]
    last = container[-1]
    assert container.pop(-1) is last
    assert len(container) == 0
    with pytest.raises(IndexRangeError, match=f"{kind.__name__}: index -1 is out of range for 0 modules"):
        container.pop()
    net = nn.Sequential(container)
    net[0] += [Add(5), Add(6)]
    assert net[0] is container
    assert list(net.state_dict()) == ["0.0.weight", "0.1.weight"]
    assert amounts([container.pop(0)]) == [5]
    both = container[:] + (module for module in made(7, 8))
    assert type(both) is kind
    assert amounts(both) == [6, 7, 8]
    assert names(both) == ["0", "1", "2"]
    assert amounts(container) == [6]
    with pytest.raises(DtypeError, match=rf"{kind.__name__}: expected several Modules, got Add; append\(\) adds one"):
        container += Add(9)
    assert amounts(container) == [6]


def test_module_list_does_not_compute() -> None:
    assert amounts(nn.ModuleList(Add(amount) for amount in range(2))) == [0, 1]
    with pytest.raises(NotImplementedError):
        nn.ModuleList()(3)


def test_module_dict() -> None:
    heads = nn.ModuleDict({"low": Add(1), "high": Add(2)})
    heads["top"] = Add(3)
    assert list(heads) == list(heads.keys()) == ["low", "high", "top"]
    assert amounts(heads.values()) == [1, 2, 3]
    assert [name for name, _ in heads.items()] == names(heads)
    assert list(heads.state_dict()) == ["low.weight", "high.weight", "top.weight"]
    heads.update({"low": Add(4)})
    assert heads["low"] is heads.low
    assert "low" in heads
    del heads["low"]
    assert "low" not in heads
    assert len(heads) == 2
    for use in (heads.__getitem__, heads.__delitem__, heads.pop):
        with pytest.raises(
            ArgumentError, match=r"^ModuleDict has no module 'hihg'; .*, did you mean 'high'\?$"
        ) as caught:
            use("hihg")
        assert isinstance(caught.value, KeyError)
    with pytest.raises(KeyError, match=r"no module 'training'; it holds \['high', 'top'\]"):
        del heads["training"]
    top = heads["top"]
    assert heads.pop("top") is top
    assert list(heads.state_dict()) == ["high.weight"]
    with pytest.raises(ArgumentError, match="'items' is taken"):
        heads["items"] = Add(1)
    heads.clear()
    assert len(heads) == len(list(heads.parameters())) == 0


def test_module_dict_from_pairs() -> None:
    members = {"low": Add(1), "high": Add(2)}
    for given in (
        members,
        [["low", members["low"]], ("high", members["high"])],
        nn.ModuleDict(members),
        members.items(),
    ):
        assert list(nn.ModuleDict(given).items()) == list(members.items())
    assert len(nn.ModuleDict()) == len(nn.ModuleDict(None)) == 0
    for wrong in ([Add(1)], [("a", Add(1), Add(2))], [(1, Add(1))], Add(1), "ab"):
        with pytest.raises(
            DtypeError, match="ModuleDict: expected a mapping of names to Modules, or pairs of both, got"
        ):
            nn.ModuleDict(wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(Add(1), Add),
        lambda: nn.Sequential(OrderedDict(a=np.tanh)),
        lambda: nn.Sequential([Add(1)]),
        lambda: nn.Sequential(None),
        lambda: nn.ModuleList([Add(1), None]),
        lambda: nn.ModuleList([Add(1)]).insert(0, 3),
        lambda: nn.ModuleDict({"a": 3}),
    ],
)
def test_members_must_be_modules(make: object) -> None:
    with pytest.raises(DtypeError, match=r"(Sequential|ModuleList|ModuleDict): expected Modules, got"):
        make()


def test_parameter_list_is_found_by_parameters() -> None:
    net = nn.Sequential(nn.ParameterList([nn.Parameter(np.ones(2)), Tensor(np.zeros((2, 3)))]))
    listed = net[0]
    assert isinstance(listed, nn.ParameterList)
    assert [name for name, _ in net.named_parameters()] == ["0.0", "0.1"]
    assert listed[-1].shape == (2, 3) and listed[1].requires_grad and len(listed) == 2
    assert listed.append(nn.Parameter(np.ones(1)))[2] is list(listed)[-1]
    shared = listed[0]
    listed[1] = shared
    assert len(listed) == 3 and listed[1] is shared
    assert repr(listed) == "ParameterList((2,), (2,), (1,))"
    with pytest.raises(IndexRangeError, match="index 3 is out of range for 3 parameters"):
        listed[3]
    with pytest.raises(DtypeError, match="expected Parameters or Tensors, got ndarray"):
        listed.append(np.ones(2))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_a_fused_activation_has_the_bits_of_one_that_runs_by_itself(activation: type[nn.Module]) -> None:
    net = nn.Sequential(nn.Linear(5, 7), activation(), nn.Linear(7, 3), activation())
    x = tg.randn(9, 5, requires_grad=True)

    def run() -> list[bytes]:
        x.grad = None
        net.zero_grad()
        out = net(x)
        out.square().sum().backward()
        gradients = [tensor.grad for tensor in (x, *net.parameters())]
        assert all(gradient is not None for gradient in gradients)
        return [tensor.array.tobytes() for tensor in (out, *gradients) if tensor is not None]

    fused = run()
    calls: list[str] = []
    for module in net:
        module.register_forward_hook(lambda module, args, out: calls.append(type(module).__name__))
    assert run() == fused
    assert calls == ["Linear", activation.__name__] * 2


@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm1d, (90, 5)), (nn.BatchNorm2d, (3, 5, 7, 9))])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_relu_are_fused_with_the_same_bits(
    kind: type[nn.Module], shape: tuple[int, ...], training: bool
) -> None:
    results: list[list[bytes]] = []
    for watched in (False, True):
        tg.manual_seed(0)
        x = tg.randn(*shape, requires_grad=True)
        net = nn.Sequential(kind(5), nn.ReLU()).train(training)
        calls: list[str] = []
        if watched:  # a hook is told of each module, so nothing is fused
            net[1].register_forward_hook(lambda module, args, out, calls=calls: calls.append("ReLU"))
        out = net(x)
        (out * out).sum().backward()
        assert len(calls) == watched
        assert {node_name(out)} == ({"relu"} if watched else {f"batch_norm_{'training' if training else 'inference'}"})
        gradients = [tensor.grad for tensor in (x, *net.parameters())]
        states = [out, *gradients, *net.buffers()]
        results.append([tensor.array.tobytes() for tensor in states if tensor is not None])
    assert results[0] == results[1]


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_batch_norm_relu_and_pooling_are_fused_with_the_same_bits(size: tuple[int, int]) -> None:
    results: list[list[bytes]] = []
    for watched in (False, True):
        tg.manual_seed(0)
        x = tg.randn(4, 5, *size, requires_grad=True)
        net = nn.Sequential(nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2), nn.Sigmoid())
        if watched:
            net[2].register_forward_hook(lambda module, args, out: None)
        out = net[:3](x)
        assert node_name(out) == ("max_windows" if watched else "normalized_maxima")
        (out * out).sum().backward()
        gradients = [tensor.grad for tensor in (x, *net.parameters())]
        states = [net(x), out, *gradients, *net.buffers()]
        results.append([tensor.array.tobytes() for tensor in states if tensor is not None])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3),
        nn.MaxPool2d(2, 1),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, dilation=2),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(2, return_indices=True),
        nn.MaxPool2d((2, 3)),
        nn.AvgPool2d(2),
    ],
    ids=str,
)
def test_other_pooling_is_not_fused(pool: nn.Module) -> None:
    x = tg.randn(4, 5, 7, 7)
    out = nn.Sequential(nn.BatchNorm2d(5), nn.ReLU(), pool)(x)
    expected = pool(nn.BatchNorm2d(5)(x).relu())
    for ours, theirs in zip(*[each if isinstance(each, tuple) else (each,) for each in (out, expected)], strict=True):
        assert ours.array.tobytes() == theirs.array.tobytes()


def test_pooling_is_not_fused_in_evaluation_and_not_for_images_that_it_refuses() -> None:
    net = nn.Sequential(nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2))
    with pytest.raises(ShapeError, match="max_pool2d: a window of 2 x 2 pixels is larger") as caught:
        net(tg.randn(4, 5, 1, 6))
    assert "net.2: MaxPool2d" in caught.value.__notes__[0]
    net.eval()
    x = tg.randn(4, 5, 6, 6)
    assert net(x).tolist() == net[2](net[0](x).relu()).tolist()


def node_name(tensor: tg.Tensor) -> str:
    assert tensor.node is not None
    return tensor.node.name


def test_what_must_be_seen_is_not_fused() -> None:
    class Loud(nn.ReLU):
        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return x.relu() + 100.0

    x = tg.ones(2, 3)
    assert float(nn.Sequential(nn.Linear(3, 4), Loud())(x).min()) >= 100
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    net[1].forward = lambda x: x * 0.0 + 7.0
    assert (net(x) == 7.0).all()
    net = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    with tg.no_grad():
        net[2].weight.fill_(float("inf"))
    with tg.anomaly_mode(), pytest.raises(NonFiniteError, match=r"op linear in net\.2: Linear\(4, 2\)"):
        net(x)
