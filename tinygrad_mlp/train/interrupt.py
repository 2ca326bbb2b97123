"""Ctrl-C during training: finish the step, save, then stop."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["CtrlC", "in_session", "leave", "say"]


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


def leave(trainer: Trainer) -> None:
    """Say where training was interrupted and how to go on; then exit with status 130, unless someone is at a prompt."""
    where = f"epoch {trainer.epoch + 1} after step {trainer.batch} of {len(trainer.loader)}"
    if trainer.folder is None:
        say(f"interrupted in {where}; nothing is saved, since there is no folder: Trainer(..., out='runs/name')")
    else:
        again = trainer.resume_command or f"Trainer(..., out={str(trainer.folder.path)!r}, resume=True).fit(...)"
        say(f"interrupted in {where}; saved in {trainer.folder.path}. To go on:\n  {again}")
    if not in_session():
        raise SystemExit(130)
    say("the net has the weights of this step; trainer.fit(train, val) goes on from here")


def in_session() -> bool:
    """Whether a person types Python here, in a notebook or at a prompt, and wants to go on with what there is."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules


def say(words: str) -> None:
    """A message to the user, apart from the output proper."""
    print(words, file=sys.stderr, flush=True)
