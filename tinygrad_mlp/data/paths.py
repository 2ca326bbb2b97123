"""Whether a file or a folder is there, asked so that a folder that may not be entered is an answer and no crash.

`Path.is_file` and its like raise `PermissionError` there before Python 3.14.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_file", "is_folder"]


def is_file(path: Path) -> bool:
    """Whether this is a file; False also where a folder on the way to it may not be entered."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether this is a folder; False also where a folder on the way to it may not be entered."""
    return os.path.isdir(path)  # noqa: PTH112
