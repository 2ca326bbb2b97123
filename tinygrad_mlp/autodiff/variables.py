"""The variables that a captured step reads, watched for changes: a replay runs no Python, and would not see them.

Which ones those are stands in the step's code: the names of variables of its module and of the functions around it,
and names of attributes and dict entries, which are looked up in every object that can be reached by them. A name
too many costs a recording at most.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from inspect import getattr_static
from operator import itemgetter
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

from tinygrad_mlp.autodiff.structure import is_plain
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels.launch import is_array

__all__ = ["VariableGuard"]

_ABSENT = object()
_CODE = (FunctionType, BuiltinFunctionType, staticmethod, classmethod, property)


class VariableGuard:
    """Whether the variables that a step reads are what they were: equal, if they are plain values, else the same.

    Parameters
    ----------
    functions:
        The step, and what else it calls. Their code is looked through, and that of functions and methods of the same
        modules that they use; not that of this package.
    objects:
        What the step is given besides Tensors, arrays and plain values.
    """

    __slots__ = ("_cells", "_entries")

    def __init__(self, functions: Iterable[Callable[..., Any]], objects: list[Any]) -> None:
        self._entries: list[tuple[Mapping[str, Any], str, Any, bool]] = []
        self._cells: list[tuple[CellType, str, Any, bool]] = []
        self.add(functions, objects)

    def add(self, functions: Iterable[Callable[..., Any]], objects: Iterable[Any] = ()) -> None:
        """Watch what these functions read, too."""
        reached = _Reached(functions, objects)
        entries = sorted(reached.entries.values(), key=itemgetter(1))
        self._entries += [(*entry, is_plain(entry[2])) for entry in entries]
        self._cells += [(*cell, is_plain(cell[2])) for cell in reached.cells.values()]

    def changed(self) -> str:
        """The name of one that has changed; empty if none has."""
        for variables, name, value, by_value in self._entries:
            now = variables.get(name, _ABSENT)
            if now is not value and not (by_value and type(now) is type(value) and now == value):
                return name
        for cell, name, value, by_value in self._cells:
            now = _content(cell)
            if now is not value and not (by_value and type(now) is type(value) and now == value):
                return name
        return ""


class _Reached:
    """All variables, attributes and dict entries that functions of the user's can reach by the names in their code."""

    def __init__(self, functions: Iterable[Callable[..., Any]], objects: Iterable[Any]) -> None:
        self.entries: dict[tuple[int, str], tuple[Mapping[str, Any], str, Any]] = {}
        self.cells: dict[int, tuple[CellType, str, Any]] = {}
        self._names: set[str] = set()
        self._keys: set[str] = set()
        begin = [each for each in functions if _is_of_the_user(each)]
        if not begin:
            return
        self._namespaces = [function.__globals__ for function in map(_function_of, begin) if function is not None]
        known = -1
        while known < len(self._names) + len(self._keys):  # each function that is reached may add some
            known = len(self._names) + len(self._keys)
            self.entries, self.cells = {}, {}
            seen: dict[int, Any] = {}
            left = [*begin, *objects]
            while left:
                value = left.pop()
                if id(value) not in seen:
                    seen[id(value)] = value
                    left.extend(self._beneath(value))

    def _beneath(self, value: Any) -> Iterator[Any]:
        """What a function or an object refers to by a name in the code."""
        if isinstance(value, FunctionType):
            yield from self._read_by(value)
        elif isinstance(value, MethodType):
            yield from (value.__func__, value.__self__)
        elif isinstance(value, partial):
            part = cast("partial[Any]", value)
            yield from (part.func, *part.args, *part.keywords.values())
        elif isinstance(value, (ModuleType, type)):
            members = vars(value)
            yield from [self._entry(members, name) for name in self._names if _is_value(members.get(name, _ABSENT))]
        elif isinstance(value, dict):
            entries = cast("dict[Any, Any]", value)
            yield from [self._entry(entries, key) for key in self._keys if key in entries]
        elif not (isinstance(value, Tensor) or is_array(value) or is_plain(value)):
            yield from self._of_object(value)

    def _read_by(self, function: FunctionType) -> Iterator[Any]:
        yield vars(function).get("__wrapped__")
        variables = function.__globals__
        if not any(variables is namespace for namespace in self._namespaces):
            return
        for code in _codes(function.__code__):
            self._names.update(code.co_names)
            self._keys.update([constant for constant in code.co_consts if isinstance(constant, str)])
            for name in _globals_read(code):
                if name in variables:  # else it is one of Python's own
                    yield self._entry(variables, name)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            _, _, content = self.cells.setdefault(id(cell), (cell, name, _content(cell)))
            yield content
        yield from (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())

    def _of_object(self, value: object) -> Iterator[Any]:
        attributes: dict[str, Any] | None = getattr(value, "__dict__", None)
        if attributes is not None:
            yield attributes.get("__wrapped__")
        shared: dict[str, Any] = {}
        for kind in reversed(type(value).__mro__):
            shared.update(vars(kind))
        for name in self._names:
            member: Any = shared.get(name, _ABSENT)
            if isinstance(member, (staticmethod, classmethod)):
                yield cast("staticmethod[..., Any]", member).__func__
            elif isinstance(member, (property, FunctionType)):
                yield member.fget if isinstance(member, property) else member
            # What all objects of a class have may become the object's own.
            if attributes is not None and (name in attributes or _is_value(member)):
                yield self._entry(attributes, name)
        yield from type(value).__mro__

    def _entry(self, variables: Mapping[str, Any], name: str) -> Any:
        value = variables.get(name, _ABSENT)
        self.entries[id(variables), name] = variables, name, value
        return value


def _is_value(member: Any) -> bool:
    """Whether a module or a class has it as a variable, and not to be called."""
    return member is not _ABSENT and not isinstance(member, _CODE)


def _is_of_the_user(step: Any) -> bool:
    """Whether this is code of somebody else: not a layer, a loss or the Trainer's step."""
    function = _function_of(step)
    return function is not None and not (function.__module__ or "").startswith("tinygrad_mlp.")


def _function_of(step: Any) -> FunctionType | None:
    """What a method, a partial, a decorator (that says what it wraps) or an object's `__call__` runs in the end."""
    while step is not None:
        inner = getattr(step, "__dict__", {}).get("__wrapped__")
        if inner is None and isinstance(step, FunctionType):
            return step
        if inner is None and isinstance(step, MethodType):
            inner = step.__func__
        elif inner is None and isinstance(step, partial):
            inner = cast("partial[Any]", step).func
        elif inner is None:
            inner = getattr_static(cast("type[object]", type(step)), "__call__", None)
        step = inner
    return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of those inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _globals_read(code: CodeType) -> set[str]:
    """`co_names` has attributes, too, which may be called like a variable of the module."""
    return {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return _ABSENT
