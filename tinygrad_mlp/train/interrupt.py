"""Ctrl-C during training: finish the step, save, then stop."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["CtrlC", "in_session"]


class CtrlC:
    """While this context lasts, the first Ctrl-C only sets `pressed`; a second one raises `KeyboardInterrupt` at once.

    In other threads than the main one, where Python allows no signal handlers, and in a process that ignores Ctrl-C, it
    does nothing.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        self.pressed = False
        self._previous = None
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if handler not in (signal.SIG_IGN, None):
                self._previous = handler
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)


def in_session() -> bool:
    """Whether a person types Python here, in a notebook or at a prompt, and wants to go on with what there is."""
    return hasattr(sys, "ps1")
