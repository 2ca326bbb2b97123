"""Help with names that were mistyped."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "near_miss"]


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`, did you mean 'weight'?` with up to three candidates, or nothing if no known name is as close as `cutoff`."""
    matches = get_close_matches(name, list(known), n=3, cutoff=cutoff)
    return f", did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` almost is, about one letter away.

    Names that differ in their digits alone, `layer1` and `layer2`, are meant to differ.
    """
    letters = _without_digits(name)
    for match in get_close_matches(name, list(known), n=3, cutoff=0.8):
        if _without_digits(match) != letters:
            return match
    return None


def _without_digits(name: str) -> str:
    return "".join(character for character in name if not character.isdigit())
