"""The status word: how a kernel says that it met a bad label, a bad index or a number that is not finite.

Four int64: code, position, value, limit. A kernel that finds fault writes there and returns without harm.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from tinygrad_mlp.errors import IndexRangeError, NonFiniteError, TinygradError

__all__ = ["BAD_INDEX", "BAD_LABEL", "BAD_ROW", "NOT_FINITE", "status_error"]

# Codes of the status word.
BAD_LABEL, BAD_INDEX, NOT_FINITE, BAD_ROW = 1, 2, 3, 4


def status_error(kernel: str, status: NDArray[Any]) -> TinygradError:
    """The error that the status word of a kernel of this name stands for; the word is good again then."""
    code, position, value, limit = (int(field) for field in status)
    status[:] = 0
    if code == BAD_LABEL:
        return IndexRangeError(
            f"{kernel}: label {value} at position {position} is out of range; labels must lie in 0 to {limit - 1}"
        )
    if code == BAD_INDEX:
        return IndexRangeError(
            f"{kernel}: index {value} at position {position} is out of range for {limit} entries; "
            f"it must lie in {-limit} to {limit - 1}"
        )
    if code == BAD_ROW:
        return IndexRangeError(
            f"{kernel}: index {value} at position {position} is out of range; indices must lie in 0 to {limit - 1}"
        )
    return NonFiniteError(f"{kernel}: element {position} of {limit} is NaN or infinite")
