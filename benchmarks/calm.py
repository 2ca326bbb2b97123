"""Wait until every CPU runs at its usual speed. Standard library only: the workers of peers import this, too."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Calm"]

_SLOW = 1.4  # times the best time: between noise (up to 1.2) and a shared core (1.6 to 2)


class Calm:
    """Waits at most `patience` seconds in all, of which `waited` are over; on a slow machine `probe` takes longer.

    How long it should take is what `best`, or else it, takes at best at first.
    """

    def __init__(self, patience: float, probe: Callable[[], float], best: Callable[[], float] | None = None) -> None:
        self.patience = patience
        self.waited = 0.0
        self._probe = probe
        self._best = min((best or probe)() for _ in range(20)) if patience > 0 else 0.0

    def wait(self) -> bool:
        """Return True when all CPUs are fast, or False when patience is at its end."""
        while self.waited < self.patience:
            start = time.perf_counter()
            seconds = self._probe()
            self._best = min(self._best, seconds)
            if seconds <= _SLOW * self._best:
                return True
            time.sleep(0.005)
            self.waited += time.perf_counter() - start
        return False
