"""How often nets were evaluated on data: counted for a data set, its parts and what it is a part of."""

from __future__ import annotations

__all__ = ["Uses"]


class Uses:
    """The evaluations on a data set, which it shares with its parts.

    Each is an object of its own, so that one on several data sets, joined, counts once for the whole and once for each.
    """

    def __init__(self, *joined: Uses) -> None:
        self._joined = joined
        self._own: set[object] = set()

    def record(self, evaluation: object) -> None:
        """Add an evaluation, also to what this one is joined of."""
        self._own.add(evaluation)
        for each in self._joined:
            each.record(evaluation)

    def all(self) -> set[object]:
        """The evaluations on this data set and on what it is joined of."""
        return self._own.union(*(each.all() for each in self._joined))
