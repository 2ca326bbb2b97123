"""What a captured step is given and works on: nested arguments taken apart, and a net watched for changes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from tinygrad_mlp.autodiff.mode import module_stack
from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.kernels.launch import Array, is_array

__all__ = [
    "Input",
    "NetGuard",
    "TensorGuard",
    "array_of",
    "flatten",
    "flatten_arguments",
    "is_plain",
    "modules_noted",
    "objects_in",
    "unflatten",
]

_PLAIN = (int, float, str, bool, tuple, type(None))
_OWN = ("_registered", "_forward_hooks")  # of modules, which are watched otherwise
_VALUES = (int, float, complex, str, bytes, type(None), type, np.generic, np.dtype, slice, type(...))
# What stands at the head of an outline, unless that is a type of containers: for a Tensor or an array, for a plain
# value, for anything else.
_LEAF, _VALUE, _OBJECT = "leaf", "value", "object"


def flatten(value: Any) -> tuple[list[Any], Any]:
    """The Tensors and arrays in nested tuples, lists and dicts, and the outline of the rest, with which to compare."""
    leaves: list[Any] = []
    return leaves, _outline(value, leaves)


_LEAVES = {Tensor, np.ndarray}
_flat_outlines: dict[int, Any] = {}  # by how many arguments


def flatten_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """`flatten((args, kwargs))`, fast for what most steps get: a few Tensors or arrays, none by name."""
    if kwargs or not _LEAVES.issuperset(map(type, args)):
        return flatten((args, kwargs))
    outline = _flat_outlines.get(len(args))
    if outline is None:
        outline = _flat_outlines[len(args)] = flatten((args, kwargs))[1]
    return list(args), outline


def _outline(value: Any, leaves: list[Any]) -> Any:
    if isinstance(value, Tensor) or is_array(value):
        leaves.append(value)
        return (_LEAF,)
    if isinstance(value, (tuple, list)):
        items = cast("list[Any]", value)
        return (type(items), *[_outline(item, leaves) for item in items])
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value)
        return (dict, *[(name, _outline(item, leaves)) for name, item in pairs.items()])
    if isinstance(value, _VALUES):
        return (_VALUE, type(cast(object, value)), value)  # 1 is not True here
    return (_OBJECT, _Object(cast(object, value)))


class _Object:
    """Something else, a net, say: like itself only, whatever it holds."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Object) and other.value is self.value

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def is_plain(value: object) -> bool:
    """Whether it is a plain value, or a tuple of such: equal ones are the same to a step."""
    return isinstance(value, _VALUES) or (
        isinstance(value, tuple) and all(map(is_plain, cast("tuple[object, ...]", value)))
    )


def objects_in(outline: Any) -> Iterator[Any]:
    """What is in an outline that is neither a Tensor, an array or a plain value nor made of such."""
    kind, *items = outline
    if kind == _OBJECT:
        yield items[0].value
    elif kind not in (_LEAF, _VALUE):
        for item in items:
            yield from objects_in(item[1] if kind is dict else item)


def unflatten(outline: Any, leaves: Iterator[Any]) -> Any:
    """What `flatten` took apart, with these leaves."""
    kind, *items = outline
    if kind == _LEAF:
        return next(leaves)
    if kind == _VALUE:
        return items[1]
    if kind == _OBJECT:
        return items[0].value
    if kind is dict:
        return {name: unflatten(item, leaves) for name, item in items}
    built = [unflatten(item, leaves) for item in items]
    return kind(*built) if hasattr(kind, "_fields") else kind(built)  # a named tuple takes its fields one by one


class Input:
    """Memory of a recording's own for one argument."""

    def __init__(self, leaf: Tensor | Array) -> None:
        self.is_tensor = isinstance(leaf, Tensor)
        array = array_of(leaf)
        self.like = array.shape, array.strides, array.dtype
        self.memory = np.empty_like(array)

    def fits(self, leaf: Any) -> bool:
        """Whether another argument is of the same kind, shape, strides and dtype."""
        if isinstance(leaf, Tensor) is not self.is_tensor or (self.is_tensor and leaf.wants_grad):
            return False
        array = array_of(leaf)
        return (array.shape, array.strides, array.dtype) == self.like

    def load(self, leaf: Tensor | Array) -> None:
        """Copy an argument."""
        np.copyto(self.memory, array_of(leaf))

    def given(self) -> Tensor | Array:
        """What the step gets."""
        return wrap(self.memory) if self.is_tensor else self.memory


def array_of(leaf: Tensor | Array) -> Array:
    """The array of a leaf, which is a Tensor or an array."""
    return leaf.array if isinstance(leaf, Tensor) else leaf


class TensorGuard:
    """Whether a tensor is still on the same memory, and wants a gradient as before, with no hook that was not there.

    A hook that was there did not run, or else the step would not be replayed.
    """

    __slots__ = ("_array", "_hooks", "_requires_grad", "_tensor")

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._array = tensor.array
        self._requires_grad = tensor.wants_grad
        self._hooks = tensor.hooks or None

    def holds(self) -> bool:
        """Whether that is so."""
        tensor = self._tensor
        if tensor.array is not self._array or tensor.wants_grad is not self._requires_grad:
            return False
        return not tensor.hooks or tensor.hooks is self._hooks  # the list is another one with each hook


class NetGuard:
    """Whether the modules that a step has run are as they were: parts, settings, mode, parameters, no hooks."""

    def __init__(self, modules: list[Any]) -> None:
        self._attributes: list[tuple[dict[str, Any], str, Any, bool]] = []
        self._sizes: list[tuple[dict[str, Any], int]] = []
        self._containers: list[tuple[Any, list[Any], Any]] = []
        tensors: dict[int, Tensor] = {}
        for module in modules:
            attributes: dict[str, Any] = vars(cast(object, module))
            self._sizes.append((attributes, len(attributes)))
            for name, value in attributes.items():
                self._attributes.append((attributes, name, value, isinstance(value, _PLAIN)))
                if isinstance(value, Tensor):
                    tensors[id(value)] = value
                elif isinstance(value, (list, dict)) and name not in _OWN:
                    self._containers.append((cast(object, value), *flatten(value)))
        self._tensors = [TensorGuard(tensor) for tensor in tensors.values()]
        self._watched = set(tensors)
        self._hooks = [attributes["_forward_hooks"] for attributes, _ in self._sizes if "_forward_hooks" in attributes]

    def watches(self, tensor: Tensor) -> bool:
        """Whether it is a parameter or buffer of these modules."""
        return id(tensor) in self._watched

    def keeps(self, tensor: Tensor) -> bool:
        """Whether it is that, or stands in a list or a dict of these modules: it must stay there."""
        return self.watches(tensor) or any(tensor is leaf for _, leaves, _ in self._containers for leaf in leaves)

    def hooked(self) -> bool:
        """Whether a module has a hook."""
        return any(self._hooks)

    def holds(self) -> bool:
        """Whether nothing has changed."""
        for attributes, size in self._sizes:
            if len(attributes) != size:
                return False
        for attributes, name, value, is_plain in self._attributes:
            now = attributes.get(name)
            if now is not value and not (is_plain and type(now) is type(value) and now == value):
                return False
        for value, leaves, outline in self._containers:
            now, outline_now = flatten(value)
            if outline_now != outline or any(a is not b for a, b in zip(now, leaves, strict=True)):
                return False
        for tensor in self._tensors:
            if not tensor.holds():
                return False
        return not self.hooked()


class _Noting(list[Any]):
    """A stack of modules that notes each that is ever put on it, and all beneath it."""

    def __init__(self, modules: list[Any], noted: dict[int, Any]) -> None:
        super().__init__(modules)
        self._noted = noted

    def append(self, module: Any) -> None:
        if id(module) not in self._noted:
            self._noted.update({id(part): part for part in module.modules()})
        super().append(module)


@contextmanager
def modules_noted(noted: dict[int, Any]) -> Generator[None]:
    """Note the modules that are run inside, also those that launch nothing, such as dropout out of use."""
    before, module_stack.modules = module_stack.modules, _Noting(module_stack.modules, noted)
    try:
        yield
    finally:
        module_stack.modules = before
