"""Modules made of modules: Sequential, ModuleList, ModuleDict; and ParameterList, made of parameters."""

from __future__ import annotations

import itertools
import operator
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, SupportsIndex, cast, overload

from tinygrad_mlp.autodiff.mode import anomaly
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import DtypeError, IndexRangeError, UnknownKeyError
from tinygrad_mlp.names import did_you_mean
from tinygrad_mlp.nn.activation import ReLU, Sigmoid, Tanh
from tinygrad_mlp.nn.conv import Conv1d, Conv2d
from tinygrad_mlp.nn.linear import Linear
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.norm import BatchNorm1d, BatchNorm2d
from tinygrad_mlp.nn.parameter import Parameter
from tinygrad_mlp.nn.pool import MaxPool2d

__all__ = ["ModuleDict", "ModuleList", "ParameterList", "Sequential"]


class _ModuleSequence(Module):
    """Child modules in an order, reached by position."""

    def __len__(self) -> int:
        return len(list(self._own_children()))

    def __iter__(self) -> Iterator[Module]:
        return (child for _, child in self._own_children())

    @overload
    def __getitem__(self, index: SupportsIndex) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Module | Self:
        """One module, or a container of the same modules for a slice."""
        if isinstance(index, slice):
            return self._part(list(self._own_children())[index])
        return getattr(self, self._name_at(index))

    def _part(self, members: list[tuple[str, Module]]) -> Self:
        """A container of some of the modules, which keep their names."""
        part = type(self)()
        for name, child in members:
            part.add_module(name, child)
        return part

    def __setitem__(self, index: SupportsIndex, module: Module) -> None:
        self.add_module(self._name_at(index), _checked(self, module))

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        members = list(self._own_children())
        gone = {name for name, _ in members[index]} if isinstance(index, slice) else {self._name_at(index)}
        self._renumber([member for member in members if member[0] not in gone])

    def pop(self, index: SupportsIndex = -1) -> Module:
        """Remove a module, by default the last one, and return it."""
        module = self[index]
        del self[index]
        return module

    def __add__(self, modules: Iterable[Module]) -> Self:
        """A container of the same modules and these, named by their positions."""
        return type(self)().extend(self).extend(modules)

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end, named by its position or, where that name is taken, by the next free number."""
        names = {name for name, _ in self._own_children()}
        position = next(position for position in itertools.count(len(names)) if str(position) not in names)
        self.add_module(str(position), _checked(self, module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end."""
        if not isinstance(cast(object, modules), Iterable):
            raise DtypeError(
                f"{type(self).__name__}: expected several Modules, got {type(modules).__name__}; append() adds one"
            )
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: SupportsIndex, module: Module) -> Self:
        """Add a module before the given position."""
        members = list(self._own_children())
        members.insert(operator.index(index), (str(len(members)), _checked(self, module)))
        self._renumber(members)
        return self

    def _renumber(self, members: list[tuple[str, Module]]) -> None:
        """Hold these modules in this order; names that are numbers become positions again."""
        for name, _ in list(self._own_children()):
            delattr(self, name)
        for position, (name, module) in enumerate(members):
            self.add_module(str(position) if name.isdigit() else name, module)

    def _name_at(self, index: SupportsIndex) -> str:
        names = [name for name, _ in self._own_children()]
        position = operator.index(index)
        if not -len(names) <= position < len(names):
            raise IndexRangeError(f"{type(self).__name__}: index {position} is out of range for {len(names)} modules")
        return names[position]


class Sequential(_ModuleSequence):
    """Modules one after another: the output of each is the input of the next.

    Takes the modules as arguments, or one mapping of names to modules. Indexing gives a module, slicing a Sequential.

    Raises `DtypeError` for an argument that is no Module.

    >>> net = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10))
    >>> net = nn.Sequential(OrderedDict(hidden=nn.Linear(784, 50), act=nn.ReLU(), output=nn.Linear(50, 10)))
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named: Iterable[tuple[str, object]] = modules[0].items()
        else:
            named = ((str(position), module) for position, module in enumerate(modules))
        for name, module in named:
            self.add_module(name, _checked(self, module))

    def forward(self, x: Any) -> Any:
        """Pass x through all modules in turn; layers and activations behind them run as one kernel: see `_FUSED`."""
        modules = [module for _, module in self._own_children()]
        position = 0
        while position < len(modules):
            module = modules[position]
            activation = _fused(module, modules[position + 1]) if position + 1 < len(modules) else None
            if activation is None:
                x = module(x)
                position += 1
            elif position + 2 < len(modules) and _pools_too(module, modules[position + 2], x):
                x = module(x, activation, True)
                position += 3
            else:
                x = module(x, activation)
                position += 2
        return x


_ACTIVATIONS: dict[type[Module], str] = {ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid"}
# Which activations a layer's `forward(x, activation)` takes over from the module behind it.
_FUSED: dict[type[Module], dict[type[Module], str]] = {
    Linear: _ACTIVATIONS,
    Conv1d: _ACTIVATIONS,
    Conv2d: _ACTIVATIONS,
    BatchNorm1d: {ReLU: "relu"},
    BatchNorm2d: {ReLU: "relu"},
}


def _fused(module: Module, following: Module) -> str | None:
    """The activation that a layer can take over from the module behind it: same bits, one launch less each way.

    None where somebody could tell the difference: a subclass, a hook, a `forward` of its own, anomaly mode.
    """
    activation = _FUSED.get(type(module), {}).get(type(following))
    if activation is None or anomaly.get():
        return None
    return None if _is_watched(module) or _is_watched(following) else activation


def _pools_too(module: Module, last: Module, x: Any) -> bool:
    """Whether batch norm in training, with the ReLU that it takes over, can also halve images as `last` does."""
    return (
        type(module) is BatchNorm2d
        and module.training
        and type(last) is MaxPool2d
        and last.halves()
        and not _is_watched(last)
        and x.ndim == 4
        and min(x.shape[2:]) >= 2
    )


def _is_watched(module: Module) -> bool:
    own = vars(module)
    return bool(own["_forward_hooks"]) or "forward" in own


class ModuleList(_ModuleSequence):
    """A list whose modules are found by `parameters()`, unlike those in a Python list. It computes nothing itself.

    Modules are named by their positions, also in a slice.

    >>> self.layers = nn.ModuleList(nn.Linear(50, 50) for _ in range(5))
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _part(self, members: list[tuple[str, Module]]) -> Self:
        """A list of some of the modules."""
        return type(self)().extend(module for _, module in members)


class ModuleDict(Module):
    """A dict whose modules are found by `parameters()`, unlike those in a Python dict. It computes nothing itself.

    Takes a mapping of names to modules, or pairs (name, module). Raises `UnknownKeyError`, which is also a `KeyError`,
    for a name that it does not hold.

    >>> self.heads = nn.ModuleDict({"class": nn.Linear(50, 10), "angle": nn.Linear(50, 1)})
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(() if modules is None else modules)

    def __getitem__(self, key: str) -> Module:
        members = self._members()
        if key not in members:
            hint = did_you_mean(str(key), members)
            raise UnknownKeyError(f"ModuleDict has no module {key!r}; it holds {list(members)}{hint}")
        return members[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, _checked(self, module))

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def pop(self, key: str) -> Module:
        """Remove the module of this name, and return it."""
        module = self[key]
        delattr(self, key)
        return module

    def clear(self) -> None:
        """Remove all modules."""
        for key in self:
            delattr(self, key)

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[str]:
        return iter(self._members())

    def __contains__(self, key: object) -> bool:
        return key in self._members()

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._members().keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._members().values()

    def items(self) -> ItemsView[str, Module]:
        """Names and modules."""
        return self._members().items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several modules: a mapping of names to modules, or pairs (name, module)."""
        for name, module in _pairs(modules):
            self[name] = module

    def _members(self) -> dict[str, Module]:
        return dict(self._own_children())


class ParameterList(Module):
    """A list whose Parameters are found by `parameters()`, unlike those in a Python list. It computes nothing itself.

    Tensors in it become Parameters. Raises `DtypeError` for what is no Tensor.

    >>> self.scales = nn.ParameterList(tg.ones(50) for _ in range(5))
    """

    def __init__(self, values: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.extend(values)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __iter__(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters(recurse=False, remove_duplicate=False))

    def __getitem__(self, index: SupportsIndex) -> Parameter:
        return getattr(self, self._name_at(index))

    def __setitem__(self, index: SupportsIndex, parameter: Tensor) -> None:
        self.register_parameter(self._name_at(index), _parameter(parameter))

    def append(self, parameter: Tensor) -> Self:
        """Add a parameter at the end, named by its position."""
        self.register_parameter(str(len(self)), _parameter(parameter))
        return self

    def extend(self, parameters: Iterable[Tensor]) -> Self:
        """Add several parameters at the end."""
        for parameter in list(parameters):
            self.append(parameter)
        return self

    def _name_at(self, index: SupportsIndex) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexRangeError(f"ParameterList: index {position} is out of range for {len(self)} parameters")
        return str(position % len(self))

    def extra_repr(self) -> str:
        """The shapes."""
        return ", ".join(str(parameter.shape) for parameter in self)


def _parameter(value: object) -> Parameter:
    if not isinstance(value, Tensor):
        raise DtypeError(f"ParameterList: expected Parameters or Tensors, got {type(value).__name__}")
    return value if isinstance(value, Parameter) else Parameter(value)


def _pairs(modules: Any) -> list[tuple[str, Module]]:
    """The names and modules that a ModuleDict is given."""
    if isinstance(modules, (Mapping, ModuleDict)):
        modules = cast("Mapping[str, Module]", modules).items()
    pairs: list[Any] = list(cast("Iterable[Any]", modules)) if isinstance(modules, Iterable) else [modules]
    for pair in pairs:
        if not (isinstance(pair, (tuple, list)) and len(cast("list[Any]", pair)) == 2 and isinstance(pair[0], str)):
            raise DtypeError(f"ModuleDict: expected a mapping of names to Modules, or pairs of both, got {pair!r}")
    return pairs


def _checked(container: Module, module: object) -> Module:
    if not isinstance(module, Module):
        raise DtypeError(
            f"{type(container).__name__}: expected Modules, got {type(module).__name__}; "
            "a class must be called (nn.ReLU(), not nn.ReLU), and functions have layers (nn.ReLU() for F.relu)"
        )
    return module
