"""Modes of the running code: whether ops are recorded, whether they are checked, and inside which modules they run.

Each is a `ContextVar` or belongs to one thread, so that a mode set in one thread or task never leaks into another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextvars import ContextVar, Token
from functools import wraps
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

__all__ = [
    "anomaly",
    "anomaly_mode",
    "enable_grad",
    "grad_enabled",
    "inference_mode",
    "is_grad_enabled",
    "module_stack",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)
anomaly: ContextVar[bool] = ContextVar("anomaly", default=False)

P = ParamSpec("P")
R = TypeVar("R")


class _Mode:
    """A context manager, also usable as a decorator, that gives a context variable a value."""

    def __init__(self, variable: ContextVar[bool], value: bool) -> None:
        self._variable = variable
        self._value = value
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(self._variable.set(self._value))

    def __exit__(self, *exception: object) -> None:
        self._variable.reset(self._tokens.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if isgeneratorfunction(function):
            return cast("Callable[P, R]", self._generating(function))

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            token = self._variable.set(self._value)
            try:
                return function(*args, **kwargs)
            finally:
                self._variable.reset(token)

        return call

    def _generating(self, function: Callable[P, Any]) -> Callable[P, Generator[Any, Any, Any]]:
        """A generator function of which each part runs in this mode, and what is between them does not."""

        @wraps(function)
        def generate(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            generator: Generator[Any, Any, Any] = function(*args, **kwargs)
            resume: Callable[[Any], Any] = generator.send
            given: Any = None
            while True:
                token = self._variable.set(self._value)
                try:
                    value = resume(given)
                except StopIteration as stop:
                    return stop.value
                finally:
                    self._variable.reset(token)
                try:
                    resume, given = generator.send, (yield value)
                except BaseException as error:  # also of close()
                    resume, given = generator.throw, error

        return generate


class _PlainMode(_Mode):
    """A mode without arguments, whose decorator may go without parentheses, too: `@tg.no_grad`."""

    if not TYPE_CHECKING:  # for type checkers the parentheses belong there

        def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
            return super().__new__(cls) if function is None else cls()(function)


class no_grad(_PlainMode):  # noqa: N801  PyTorch's name
    """Run code without recording it: `with tg.no_grad(): ...` or `@tg.no_grad()`."""

    def __init__(self) -> None:
        super().__init__(grad_enabled, False)


class inference_mode(_PlainMode):  # noqa: N801  PyTorch's name
    """`no_grad`, or with False `enable_grad`: PyTorch's further savings, and limits, do not exist here."""

    if not TYPE_CHECKING:

        def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
            """A mode, or the function that it decorates without parentheses."""
            return super().__new__(cls, None if isinstance(mode, bool) else mode)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(grad_enabled, not mode)


class enable_grad(_PlainMode):  # noqa: N801  PyTorch's name
    """Record again inside a `no_grad` region."""

    def __init__(self) -> None:
        super().__init__(grad_enabled, True)


class _Setting(_Mode):
    """A mode that holds from its making on; as a context until its end, as a decorator inside the function alone."""

    def __init__(self, variable: ContextVar[bool], value: bool) -> None:
        super().__init__(variable, value)
        self._tokens.append(variable.set(value))

    def __enter__(self) -> None:
        """Nothing more to do: the value was set when this was made."""

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        self.__exit__()
        return super().__call__(function)


class set_grad_enabled(_Setting):  # noqa: N801  PyTorch's name
    """Record or not, by a flag, from this call on: `tg.set_grad_enabled(False)`; as a context, until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__(grad_enabled, mode)


class set_detect_anomaly(_Setting):  # noqa: N801  PyTorch's name
    """`anomaly_mode` or not, by a flag, from this call on; as a context, until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__(anomaly, mode)


class anomaly_mode(_Mode):  # noqa: N801  named like the other modes
    """Raise at the first op whose output or gradient holds a NaN or an infinity, and name op, module, shapes and index.

    Every op is checked, which costs time: switch it on to find the cause of a NaN, not for training.

    >>> with tg.anomaly_mode():
    ...     loss = F.cross_entropy(net(x), y)
    ...     loss.backward()
    """

    def __init__(self) -> None:
        super().__init__(anomaly, True)


def is_grad_enabled() -> bool:
    """Whether ops are being recorded."""
    return grad_enabled.get()


class _ModuleStack(threading.local):
    """The modules whose `forward` is running in this thread, outermost first; errors name them."""

    def __init__(self) -> None:
        self.modules: list[Any] = []

    def path(self) -> str:
        """Where we are: `net.2: Linear(50, 10)`; without the path for the outermost, empty outside any module."""
        if not self.modules:
            return ""
        names = ["net"]
        names.extend(_name_within(parent, child) for parent, child in zip(self.modules, self.modules[1:], strict=False))
        innermost = _described(self.modules[-1])
        return innermost if len(names) == 1 else f"{'.'.join(names)}: {innermost}"


def _name_within(parent: Any, child: Any) -> str:
    """The attribute path from a module to one beneath it, `layers.2`; its class where it is no part of the parent."""
    for name, module in parent.named_modules():
        if module is child:
            return name or "(itself)"
    return f"({type(child).__name__})"


def _described(module: Any) -> str:
    """`Linear(50, 10)`; for a module made of others its class alone."""
    kind = type(module).__name__
    if any(True for _ in module.children()):
        return kind
    try:
        return f"{kind}({module.extra_repr()})"
    except Exception as error:  # a user's: mostly this describes where another error arose, which must come through
        return f"{kind}(extra_repr() raised {type(error).__name__})"


module_stack = _ModuleStack()
