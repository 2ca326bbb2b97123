"""Who watches launches: a recorder, or a profile; and what of launching belongs to one Python thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinygrad_mlp.kernels.status import status_error
from tinygrad_mlp.kernels.threads import OnThreads, parallel_lock

__all__ = ["Launch", "Observer", "observed", "observer", "thread_state"]


@dataclass(slots=True)
class Launch:
    """One call of a kernel, ready to run: what an observer sees, and a recording keeps."""

    name: str
    code: Callable[..., None]
    args: tuple[Any, ...]
    writes: tuple[int, ...]
    """Places of the arrays that it writes."""
    threads: int = 1
    checked: bool = False
    """Whether the last argument is the status word."""
    multiply_adds: int = 0
    drawn_from: tuple[int, ...] = ()
    """Places of arrays of which it reads some rows alone."""
    is_python: bool = False
    """Whether it is no kernel but a Python function that a replay calls at this place."""

    def run(self) -> None:
        """Call the code; raise what the status word says."""
        if self.threads > 1:
            with parallel_lock, OnThreads(self.threads):
                self.code(*self.args)
        else:
            self.code(*self.args)
        if self.checked and self.args[-1][0]:
            raise status_error(self.name, self.args[-1])


class Observer(Protocol):
    """Sees each launch of its Python thread, and runs it: a recorder, or a profile."""

    def launched(self, launch: Launch) -> None:
        """Call `launch.run()`, and note what is to be noted."""
        ...


class _ThreadState(threading.local):
    """What belongs to one Python thread: its status word, and who watches its launches."""

    def __init__(self) -> None:
        self.status = np.zeros(4, np.int64)
        self.observer: Observer | None = None


thread_state = _ThreadState()


@contextmanager
def observed(observer: Observer | None) -> Generator[None]:
    """Let `observer` (or nobody) see the launches that this Python thread makes inside."""
    before, thread_state.observer = thread_state.observer, observer
    try:
        yield
    finally:
        thread_state.observer = before


def observer() -> Observer | None:
    """Who watches the launches of this Python thread, if anybody does."""
    return thread_state.observer
