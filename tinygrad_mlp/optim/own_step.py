"""What an optimizer needs whose subclass writes `step` itself, in Python, as PyTorch's are written."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tinygrad_mlp.autodiff.tensor import Tensor

__all__ = ["OwnState", "watched"]


_MARK = "calls_before"


class OwnState(dict[Tensor, dict[str, Any]]):
    """`optimizer.state`: for each parameter a dict, empty at first, of Tensors and numbers."""

    def __missing__(self, parameter: Tensor) -> dict[str, Any]:
        entry = self[parameter] = {}
        return entry


def watched(step: Callable[..., Any], before: Callable[[Any, bool], None]) -> Callable[..., Any]:
    """A step that calls `before(optimizer, whether a closure was given)` first; one that does so stays as it is."""
    if getattr(step, _MARK, False):
        return step

    @wraps(step)
    def watched_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        before(self, any(map(callable, (*args, *kwargs.values()))))
        return step(self, *args, **kwargs)

    setattr(watched_step, _MARK, True)
    return watched_step
