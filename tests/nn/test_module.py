"""Module: registration, walking, modes, hooks, notes on errors, repr, copies."""

from __future__ import annotations

import copy
import re
import threading
from typing import Any

import numpy as np
import pytest

from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.device import device
from tinygrad_mlp.autodiff.mode import module_stack, no_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError, UnknownAttributeError


class Scale(nn.Module):
    """x · weight, with a buffer that counts calls and one that is not saved."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.ones(size, np.float32))
        self.register_buffer("calls", Tensor(np.zeros((), np.int64)))
        self.register_buffer("scratch", Tensor(np.zeros(size, np.float32)), persistent=False)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.size:
            raise ShapeError(f"expected (..., {self.size}), got {x.shape}")
        return x * self.weight

    def extra_repr(self) -> str:
        return str(self.size)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Scale(2)
        self.layers = nn.ModuleList([Scale(2), Scale(3)])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.first(x))


def tensor(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32))


def names(pairs: object) -> list[str]:
    return [name for name, _ in pairs]


# Registration


def test_walking_gives_dotted_names_in_order() -> None:
    net = Pair()
    assert names(net.named_parameters()) == ["first.weight", "layers.0.weight", "layers.1.weight"]
    assert names(net.named_parameters(prefix="net")) == [
        "net.first.weight",
        "net.layers.0.weight",
        "net.layers.1.weight",
    ]
    assert names(net.named_parameters(recurse=False)) == []
    assert names(net.first.named_parameters(recurse=False)) == ["weight"]
    assert names(net.named_modules()) == ["", "first", "layers", "layers.0", "layers.1"]
    assert names(net.named_children()) == ["first", "layers"]
    assert names(net.first.named_buffers()) == ["calls", "scratch"]
    assert list(net.children()) == [net.first, net.layers]
    assert len(list(net.buffers())) == 6


def test_shared_parameters_and_modules_are_walked_once_but_saved_under_each_name() -> None:
    net = Pair()
    net.layers[0].weight = net.first.weight
    assert names(net.named_parameters()) == ["first.weight", "layers.1.weight"]
    assert len(list(net.parameters())) == 2
    net = nn.Sequential(layer := Scale(2), layer)
    assert names(net.named_modules()) == ["", "0"]
    assert names(net.named_children()) == ["0"]
    assert list(net.state_dict()) == ["0.weight", "0.calls", "1.weight", "1.calls"]
    assert names(net.named_modules(remove_duplicate=False)) == ["", "0", "1"]


def test_a_parameter_is_renewed_by_a_parameter_or_none_only() -> None:
    layer = Scale(2)
    renewed = nn.Parameter(np.zeros(2, np.float32))
    layer.weight = renewed
    assert next(iter(layer.parameters())) is renewed
    with pytest.raises(DtypeError, match=r"Scale\.weight is a parameter: got ndarray.*copy_"):
        layer.weight = np.zeros(2, np.float32)
    with pytest.raises(DtypeError, match="got Tensor, expected Parameter"):
        layer.weight = tensor(2)
    assert layer.weight is renewed
    layer.weight = None
    assert list(layer.parameters()) == []
    assert list(layer.state_dict()) == ["calls"]
    layer.weight = renewed  # the name is still that of a parameter
    assert next(iter(layer.parameters())) is renewed


def test_a_name_keeps_its_kind() -> None:
    layer = Scale(2)
    with pytest.raises(ArgumentError, match="is a parameter, not a module"):
        layer.weight = Scale(2)
    with pytest.raises(ArgumentError, match="is a buffer, not a parameter"):
        layer.calls = nn.Parameter(np.zeros(2, np.float32))
    with pytest.raises(DtypeError, match="is a buffer: got int, expected Tensor"):
        layer.calls = 3
    with pytest.raises(DtypeError, match="is a module: got function, expected Module"):
        Pair().first = lambda x: x
    with pytest.raises(DtypeError, match="is a parameter: got Tensor"):
        layer.register_parameter("bias", tensor(2))
    layer.calls = Tensor(np.ones((), np.int64))
    assert layer.state_dict()["calls"].item() == 1
    layer.register_buffer("calls", layer.calls, persistent=False)
    assert list(layer.state_dict()) == ["weight"]
    del layer.weight
    assert list(layer.parameters()) == []
    layer.weight = tensor(2)  # an ordinary attribute now
    assert list(layer.state_dict()) == []


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("", "must not be empty"),
        ("a.b", "hold a dot"),
        ("train", "is taken"),
        ("size", "is taken"),
        ("forward", "is taken"),
    ],
)
def test_impossible_names(name: str, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        Scale(2).register_buffer(name, tensor(2))


def test_a_module_cannot_be_part_of_itself() -> None:
    net = Pair()
    with pytest.raises(ArgumentError, match="part of itself"):
        net.layers.append(net)
    with pytest.raises(ArgumentError, match="part of itself"):
        net.again = net


def test_forgetting_super_init_is_said() -> None:
    class Assigns(nn.Module):
        def __init__(self) -> None:
            self.layer = Scale(2)

    class AssignsNothing(nn.Module):
        def __init__(self) -> None:
            self.number = 3

    class Reads(nn.Module):
        def __init__(self) -> None:
            self.number = len(list(self.parameters()))

    class Trains(nn.Module):
        def __init__(self) -> None:
            self.mode = self.training

    for kind in (Assigns, AssignsNothing, Reads, Trains):
        with pytest.raises(UnknownAttributeError, match=rf"{kind.__name__}: super\(\).__init__\(\) was not called"):
            kind()


def test_modules_in_a_plain_list_raise_unless_registered_elsewhere() -> None:
    class Hidden(nn.Module):
        def __init__(self, wrap: type, member: object) -> None:
            super().__init__()
            self.numbers = [1, 2, 3]
            self.layers = wrap(member)

    with pytest.raises(ArgumentError, match=r"Hidden\.layers is a plain list that holds a Scale.*ModuleList"):
        Hidden(list, [Scale(2)])
    with pytest.raises(ArgumentError, match="plain tuple"):
        Hidden(tuple, [Scale(2)])
    with pytest.raises(ArgumentError, match="plain dict"):
        Hidden(dict, {"a": Scale(2)})
    with pytest.raises(ArgumentError, match="holds a Parameter"):
        Hidden(list, [nn.Parameter(np.zeros(2, np.float32))])

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [Scale(2), Scale(2)]
            self.weights = [self.layers[0].weight]
            self.net = nn.Sequential(*self.layers)

    assert len(list(Both().parameters())) == 2


# Typos


def test_reading_an_unknown_attribute_suggests_names() -> None:
    layer = Scale(2)
    with pytest.raises(AttributeError, match="Scale has no attribute 'wieght', did you mean 'weight'") as caught:
        layer.wieght
    assert isinstance(caught.value, UnknownAttributeError)
    with pytest.raises(AttributeError, match=r"has no attribute 'qqq'$"):
        layer.qqq
    assert not hasattr(layer, "__array__")
    with pytest.raises(AttributeError):
        del layer.wieght


def test_writing_a_near_miss_after_init_raises() -> None:
    layer = Scale(2)
    with pytest.raises(UnknownAttributeError, match="'wieght', did you mean 'weight'"):
        layer.wieght = tensor(2)
    with pytest.raises(UnknownAttributeError, match="'trainig', did you mean 'training'"):
        layer.trainig = False
    assert layer.training
    layer.comment = "new names that are near nothing are free"
    layer.size2 = 3  # differs from `size` in a digit alone: meant
    layer._weigh = 3  # private names are free
    layer.training = False
    assert (layer.comment, layer.size2, layer._weigh, layer.training)[1:] == (3, 3, False)


def test_hiding_a_method_raises() -> None:
    layer = Scale(2)
    with pytest.raises(ArgumentError, match=r"Scale\.train is a method, got False"):
        layer.train = False
    layer.forward = lambda x: x  # a function may replace a method
    assert layer("x") == "x"


def test_an_attribute_error_inside_a_property_is_not_hidden() -> None:
    class Broken(Scale):
        @property
        def ratio(self) -> float:
            return self.weight.nonsense

    with pytest.raises(AttributeError, match="nonsense"):
        Broken(2).ratio


# Calling


def test_an_exception_gets_one_note_with_path_and_input_shapes() -> None:
    with pytest.raises(ShapeError) as caught:
        Pair()(tensor(5, 2))
    assert caught.value.__notes__ == ["in net.layers.1: Scale(3), input (5, 2) float32"]
    assert module_stack.modules == []
    with pytest.raises(ShapeError) as caught:
        nn.Sequential(Scale(2), nn.Sequential(Scale(3)))(tensor(2))
    assert caught.value.__notes__ == ["in net.1.0: Scale(3), input (2,) float32"]
    with pytest.raises(ShapeError) as caught:
        Scale(2)(tensor(3))
    assert caught.value.__notes__ == ["in Scale(2), input (3,) float32"]


def test_a_note_names_also_modules_that_are_not_registered_and_containers() -> None:
    loose = Scale(2)

    class Uses(Pair):
        def forward(self, x: Tensor) -> Tensor:
            return loose(x)

    class Raises(Pair):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("something else")

    with pytest.raises(ShapeError) as caught:
        Uses()(tensor(3))
    assert caught.value.__notes__ == ["in net.(Scale): Scale(2), input (3,) float32"]
    with pytest.raises(RuntimeError) as caught:
        nn.Sequential(Raises())(3)
    assert caught.value.__notes__ == ["in net.0: Raises"]


def test_a_module_that_calls_itself_has_a_path() -> None:
    class Recursive(nn.Module):
        def forward(self, depth: int) -> int:
            return self(depth - 1) if depth else 1 // depth

    with pytest.raises(ZeroDivisionError) as caught:
        Recursive()(1)
    assert caught.value.__notes__ == ["in net.(itself): Recursive()"]


def test_an_exception_that_has_notes_keeps_them() -> None:
    class Raises(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            error = ValueError("bad")
            error.add_note("in an odd place")
            raise error

    with pytest.raises(ValueError, match="bad") as caught:
        Raises()(tensor(1))
    assert caught.value.__notes__ == ["in an odd place", "in Raises(), input (1,) float32"]


def test_an_error_in_extra_repr_does_not_hide_the_one_that_it_describes() -> None:
    class Broken(Scale):
        def extra_repr(self) -> str:
            raise RuntimeError("nothing to say")

    net = nn.Sequential(Broken(2))
    with pytest.raises(ShapeError, match=r"expected \(\.\.\., 2\)") as caught:
        net(tensor(3))
    assert caught.value.__notes__ == ["in net.0: Broken(extra_repr() raised RuntimeError), input (3,) float32"]
    with pytest.raises(RuntimeError, match="nothing to say"):
        repr(net)


def test_each_thread_has_its_own_module_stack() -> None:
    seen: list[str] = []

    class Asks(nn.Module):
        def forward(self) -> None:
            thread = threading.Thread(target=lambda: seen.append(module_stack.path()))
            thread.start()
            thread.join()
            seen.append(module_stack.path())

    Asks()()
    assert seen == ["", "Asks()"]


def test_forward_is_demanded() -> None:
    with pytest.raises(NotImplementedError, match=r"Module has no forward\(self, x\)"):
        nn.Module()(tensor(1))


def test_forward_hooks() -> None:
    net = Pair()
    net.layers[1] = Scale(2)
    seen: list[tuple[int, ...]] = []
    watch = net.first.register_forward_hook(lambda module, args, output: seen.append((*args[0].shape, *output.shape)))
    double = net.register_forward_hook(lambda module, args, output: output + output)
    np.testing.assert_array_equal(net(tensor(1, 2)).detach().numpy(), [[2, 2]])
    double.remove()
    np.testing.assert_array_equal(net(tensor(1, 2)).detach().numpy(), [[1, 1]])
    watch.remove()
    watch.remove()
    net(tensor(1, 2))
    assert seen == [(1, 2, 1, 2)] * 2


# State of all modules at once


def test_train_and_eval_reach_all_modules() -> None:
    net = Pair()
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.layers.train()
    assert [module.training for module in net.modules()] == [False, False, True, True, True]
    with pytest.raises(ArgumentError, match="mode must be True or False"):
        net.train("yes")


def test_requires_grad_and_zero_grad() -> None:
    net = Pair()
    net.first.requires_grad_(False)
    assert [parameter.requires_grad for parameter in net.parameters()] == [False, True, True]
    net.requires_grad_()
    weight = net.first.weight
    weight.grad = kept = tensor(2)
    net.zero_grad(set_to_none=False)
    assert weight.grad.tolist() == kept.tolist() == [0, 0]
    assert net.layers[0].weight.grad is None
    net.zero_grad()
    assert weight.grad is None


def test_apply_runs_from_the_leaves_up() -> None:
    net = Pair()
    order: list[str] = []
    assert net.apply(lambda module: order.append(type(module).__name__)) is net
    assert order == ["Scale", "Scale", "Scale", "ModuleList", "Pair"]


def test_to_converts_floating_point_in_place() -> None:
    layer = Scale(2)
    layer.weight = nn.Parameter(np.ones((2, 3), np.float32).T)  # stored the other way round
    weight, version = layer.weight, layer.weight.version
    weight.grad = Tensor(np.ones((3, 2), np.float32))
    assert layer.double() is layer
    assert layer.weight is weight and weight.dtype == weight.grad.dtype == np.float64
    assert weight.array.strides == (8, 24) and weight.version > version
    assert layer.scratch.dtype == np.float64 and layer.calls.dtype == np.int64
    array = weight.array
    assert layer.to("float64").to("cpu").weight.array is array
    assert layer.to(device("cpu"), np.float64).to(device="cpu:0", dtype="float64").cpu().weight.array is array
    assert layer.float().weight.dtype == np.float32
    with pytest.raises(DtypeError, match="float32 or float64, got int64"):
        layer.to(np.int64)
    with pytest.raises(ArgumentError, match=r"to: there is no device 'cuda:0' here.*CPU alone"):
        layer.to("cuda:0")


def test_deepcopy_shares_nothing() -> None:
    net = Pair()
    net.layers[0].weight = net.first.weight
    net.first.weight.requires_grad_(False)
    copied = copy.deepcopy(net)
    with no_grad():
        copied.first.weight.fill_(7.0)
    assert net.first.weight.tolist() == [1, 1]
    assert copied.layers[0].weight is copied.first.weight  # shared within the copy, as in the original
    assert names(copied.named_parameters()) == names(net.named_parameters())
    assert isinstance(copied.first.weight, nn.Parameter) and not copied.first.weight.requires_grad
    with pytest.raises(UnknownAttributeError):
        copied.trainig = True


def test_repr_is_nested() -> None:
    assert repr(Pair()) == (
        "Pair(\n  (first): Scale(2)\n  (layers): ModuleList(\n    (0): Scale(2)\n    (1): Scale(3)\n  )\n)"
    )

    class Named(Pair):
        def extra_repr(self) -> str:
            return "depth=2"

    assert repr(Named()).splitlines()[:2] == ["Named(", "  depth=2"]
    assert repr(nn.Sequential()) == "Sequential()"


# Parameter


def test_parameter_shares_memory_and_is_a_leaf() -> None:
    source = tensor(2, 3)
    parameter = nn.Parameter(source)
    assert parameter.array is source.array and parameter.is_leaf and parameter.requires_grad
    with no_grad():
        parameter.fill_(2.0)
    assert source.version == 1
    assert not nn.Parameter(source, requires_grad=False).requires_grad
    assert repr(nn.Parameter(tensor(1))) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    computed = nn.Parameter(parameter * 2.0)
    assert computed.is_leaf and computed.tolist() == [[4] * 3] * 2
    assert type(parameter * 2.0) is Tensor


def test_parameter_wants_floating_point() -> None:
    with pytest.raises(DtypeError, match="only floating-point"):
        nn.Parameter(np.zeros(2, np.int64))
    with pytest.raises(DtypeError, match="wraps an ndarray, got list"):
        nn.Parameter([1.0])
    assert nn.Parameter(np.zeros(2, np.int64), requires_grad=False).dtype == np.int64


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.ones((2, 3)), r"input ndarray \(2, 3\) float64 \(modules take Tensors: tg.tensor\(x, dtype=tg.float32\)\)"),
        ([1.0, 2.0], r"input list \(modules take Tensors: tg.tensor\(x\)\)"),
    ],
)
def test_inputs_that_are_no_tensors_are_noted(given: Any, text: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    with pytest.raises(DtypeError, match="flatten: expected a Tensor") as caught:
        net(given)
    assert re.search(text, "".join(caught.value.__notes__))


def test_a_layer_is_made_before_it_is_called() -> None:
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ArgumentError, match=r"ReLU: inplace must be True or False, got Tensor; .* ReLU\(\)\(x\)"):
        nn.ReLU(x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError) as caught:
        nn.CrossEntropyLoss(x, x)  # pyright: ignore[reportCallIssue]
    assert caught.value.__notes__ == ["a module is made first and then called with tensors: CrossEntropyLoss(...)(x)"]
