"""`HookHandle`: what registering a hook returns; and the hook that keeps the gradient of a computed tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinygrad_mlp.autodiff.tensor import Tensor

__all__ = ["GradKeeper", "HookHandle"]


class HookHandle:
    """Takes a hook off again."""

    def __init__(self, take_off: Callable[[], object]) -> None:
        self._take_off = take_off

    def remove(self) -> None:
        """Take the hook off; a second time does nothing."""
        self._take_off()


class GradKeeper:
    """A hook that adds what arrives to the `.grad` of its tensor, which it does not keep alive."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = weakref.ref(tensor)

    def __call__(self, grad: Tensor) -> None:
        """Add it."""
        tensor = self._tensor()
        if tensor is not None:
            tensor.grad = grad.detach().clone() if tensor.grad is None else tensor.grad + grad.detach()
