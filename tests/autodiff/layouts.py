"""Arrays of every memory layout that an op may meet."""

from __future__ import annotations

import numpy as np

LAYOUTS = ["0-d", "size 0", "size 1", "C", "F", "channels-last", "strided", "reversed", "broadcast", "read-only"]


def laid_out(layout: str, values: np.ndarray) -> np.ndarray:
    """An array of the named layout filled from `values`, at least 120 numbers in 1-d."""
    values = np.array(values).reshape(-1)
    match layout:
        case "0-d":
            return values[:1].reshape(())
        case "size 0":
            return values[:0].reshape(3, 0, 2)
        case "size 1":
            return values[:1].reshape(1, 1, 1)
        case "C":
            return values[:24].reshape(2, 3, 4)
        case "F":
            return np.asfortranarray(values[:24].reshape(2, 3, 4))
        case "channels-last":
            return values[:24].reshape(2, 3, 2, 2).transpose(0, 3, 1, 2)
        case "strided":
            return values[:120].reshape(4, 6, 5)[::2, ::2, ::3]
        case "reversed":
            return values[:24].reshape(2, 3, 4)[::-1, :, ::-1]
        case "broadcast":
            return np.broadcast_to(values[:3].reshape(3, 1), (2, 3, 4))
        case "read-only":
            array = values[:24].reshape(2, 3, 4)
            array.flags.writeable = False
            return array
    raise ValueError(layout)
