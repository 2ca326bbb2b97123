"""One call of the kernel table. Standard library only: peers import this in other Pythons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["FLOAT", "Case"]

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Case:
    """One call: `kind` and `arguments` say what is built, `work` how many operations or bytes that is."""

    group: str  # timed together, one sweep of a worker
    name: str
    kind: str
    arguments: dict[str, Any]
    work: float
    unit: str  # "GFLOP/s" or "GB/s"
    reach: int  # bytes of all arrays: the cache that holds them tells the limit
    nets: str = ""
