"""`HookHandle`: what registering a hook returns."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["HookHandle"]


class HookHandle:
    """Takes a hook off again."""

    def __init__(self, take_off: Callable[[], object]) -> None:
        self._take_off = take_off

    def remove(self) -> None:
        """Take the hook off; a second time does nothing."""
        self._take_off()
