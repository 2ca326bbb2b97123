"""The bookkeeping beneath `Module`: which attributes are parameters, buffers and children, and which names are typos.

They are ordinary attributes. `_registered` only remembers which names are which, in the order of their assignment.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, UnknownAttributeError
from tinygrad_mlp.missing import instead
from tinygrad_mlp.names import did_you_mean, near_miss
from tinygrad_mlp.nn.parameter import Parameter

__all__ = ["BUFFERS", "Kind", "Registry"]

Kind: TypeAlias = Literal["parameter", "buffer", "transient buffer", "module"]
BUFFERS: tuple[Kind, ...] = ("buffer", "transient buffer")
_OWN = ("_registered", "_forward_hooks", "training")  # attributes that every module has


class _ModuleType(ABCMeta):
    """The class of module classes: it looks at each new module when its `__init__` is through."""

    if not TYPE_CHECKING:  # type checkers know the constructor's signature from __init__

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                module = super().__call__(*args, **kwargs)
            except TypeError as error:
                if any(isinstance(arg, Tensor) for arg in args):
                    error.add_note(f"a module is made first and then called with tensors: {cls.__name__}(...)(x)")
                raise
            module._finish_construction()
            return module


class Registry(metaclass=_ModuleType):
    """Base of `Module`: registers what is assigned, and watches over names."""

    _registered: dict[str, Kind]
    _declared: frozenset[str]  # the attributes that __init__ made

    def __init__(self) -> None:
        vars(self).setdefault("_registered", {})

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Make `parameter` an attribute that `parameters()` finds; None keeps the name without one."""
        self._register(name, "parameter", parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make `tensor` part of the module's state that no optimizer trains, such as a running mean.

        With `persistent=False` the state dict leaves it out.
        """
        self._register(name, "buffer" if persistent else "transient buffer", tensor)

    def add_module(self, name: str, module: Registry | None) -> None:
        """Make `module` a child under this name, as an assignment does."""
        self._register(name, "module", module)

    def _register(self, name: str, kind: Kind, value: object) -> None:
        owner = type(self).__name__
        if "_registered" not in vars(self):
            raise UnknownAttributeError(_forgotten_init(owner, f"before {name!r} is assigned"))
        if not name or "." in name:
            raise ArgumentError(f"{owner}: the name of a {kind} must not be empty or hold a dot, got {name!r}")
        if name not in self._registered and (name in vars(self) or hasattr(type(self), name)):
            raise ArgumentError(f"{owner}: {name!r} is taken by another attribute or method; use another name")
        kept = self._registered.get(name, kind)
        if kept != kind and not (kept in BUFFERS and kind in BUFFERS):
            raise ArgumentError(f"{owner}.{name} is a {kept}, not a {kind}; delete it before renewing it")
        self._check_kind(name, kind, value)
        if isinstance(value, Registry) and any(inner is self for _, inner in value._walk("", set())):
            raise ArgumentError(f"{owner}.{name}: a module cannot be part of itself")
        self._registered[name] = kind
        vars(self)[name] = value

    def _check_kind(self, name: str, kind: Kind, value: object) -> None:
        expected = {"parameter": Parameter, "module": Registry}.get(kind, Tensor)
        if value is None or isinstance(value, expected):
            return
        hint = "; to change its values, write `with no_grad(): parameter.copy_(...)`" if kind == "parameter" else ""
        raise DtypeError(
            f"{type(self).__name__}.{name} is a {kind}: got {type(value).__name__}, "
            f"expected {'Module' if expected is Registry else expected.__name__} or None{hint}"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Parameter, Registry)):
            self._assign_state(name, value)
        elif (kind := vars(self).get("_registered", {}).get(name)) is not None:
            self._check_kind(name, kind, value)
            vars(self)[name] = value
        else:
            self._check_plain(name, value)
            object.__setattr__(self, name, value)

    def _assign_state(self, name: str, value: Parameter | Registry) -> None:
        """Register what is assigned; a plain attribute of that name, such as None or a function, makes way for it."""
        own = vars(self)
        is_plain = name in own and name not in own.get("_registered", {}) and name not in _OWN
        plain = own.pop(name) if is_plain else None
        try:
            if isinstance(value, Parameter):
                self.register_parameter(name, value)
            else:
                self.add_module(name, value)
        except Exception:
            if is_plain:
                own[name] = plain
            raise

    def _check_plain(self, name: str, value: object) -> None:
        """An attribute that is no part of the module's state: not a method's name, and not an evident typo."""
        if name in vars(self):
            return
        owner = type(self).__name__
        if not callable(value) and callable(getattr(type(self), name, None)):
            raise ArgumentError(f"{owner}.{name} is a method, got {value!r} for it; call it, or use another name")
        declared = vars(self).get("_declared")
        if declared is None or name.startswith("_") or hasattr(type(self), name):
            return
        meant = near_miss(name, declared)
        if meant is not None:
            raise UnknownAttributeError(
                f"{owner} has no attribute {name!r}, did you mean {meant!r}? "
                "A new attribute with a name so near must be made in __init__"
            )

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._registered.pop(name, None)

    if not TYPE_CHECKING:  # type checkers are to report unknown attributes too

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property whose code raised AttributeError: let that one through
                return object.__getattribute__(self, name)
            owner = type(self).__name__
            if name in _OWN:
                raise UnknownAttributeError(_forgotten_init(owner, "first of all"))
            known = () if name.startswith("__") else [known for known in dir(self) if not known.startswith("_")]
            hint = instead("Module", name) or did_you_mean(name, known)
            raise UnknownAttributeError(f"{owner} has no attribute {name!r}{hint}")

    def _finish_construction(self) -> None:
        if "_registered" not in vars(self):
            raise UnknownAttributeError(_forgotten_init(type(self).__name__, "first of all"))
        self._check_nothing_hidden()
        object.__setattr__(self, "_declared", frozenset(name for name in vars(self) if not name.startswith("_")))

    def _check_nothing_hidden(self) -> None:
        """Raise if a list or dict holds modules or parameters that nothing registers, so that they would not train."""
        for name, value in vars(self).items():
            if name.startswith("_") or not isinstance(value, (list, tuple, dict)):
                continue
            container = cast("list[Any] | tuple[Any, ...] | dict[Any, Any]", value)
            held = container.values() if isinstance(container, dict) else container
            state = [member for member in held if isinstance(member, (Registry, Parameter))]
            if not state:
                continue
            known = {id(module) for _, module in self._walk("", set())}
            known |= {id(parameter) for _, parameter in self._named_tensors(["parameter"])}
            for member in state:
                if id(member) not in known:
                    raise ArgumentError(
                        f"{type(self).__name__}.{name} is a plain {type(container).__name__} that holds a "
                        f"{type(member).__name__}, which parameters() would not find; use nn.ModuleList or "
                        "nn.ModuleDict for modules, and nn.ParameterList for Parameters"
                    )

    def _own_children(self) -> Iterator[tuple[str, Any]]:
        for name, kind in self._registered.items():
            if kind == "module" and vars(self)[name] is not None:
                yield name, vars(self)[name]

    def _walk(self, prefix: str, seen: set[int] | None) -> Iterator[tuple[str, Any]]:
        """Itself and all modules beneath, depth first; each once, or with `seen=None` as often as it is used."""
        if seen is not None:
            if id(self) in seen:
                return
            seen.add(id(self))
        yield prefix, self
        for name, child in self._own_children():
            yield from child._walk(_joined(prefix, name), seen)

    def _named_tensors(
        self, kinds: Sequence[Kind], prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self._walk(prefix, set() if remove_duplicate else None) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, kind in module._registered.items():
                tensor = vars(module)[name]
                if kind not in kinds or tensor is None or (remove_duplicate and id(tensor) in seen):
                    continue
                seen.add(id(tensor))
                yield _joined(path, name), tensor


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _forgotten_init(owner: str, when: str) -> str:
    return f"{owner}: super().__init__() was not called; its __init__ must call it {when}"
