"""Copy rows of a matrix by their numbers: how a batch is drawn from data in memory."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.kernels.copy import converted
from tinygrad_mlp.kernels.launch import Array, device, kernel, launch, prange
from tinygrad_mlp.kernels.prefetch import CACHE_LINE, prefetch
from tinygrad_mlp.kernels.status import BAD_INDEX

__all__ = ["copy_rows", "take_rows"]

_CHUNK = 32  # rows that one thread copies in turn
_BYTES_PER_UNIT = 4  # of work


@device
def _prefetch_row(memory: Array, rows: int, row_bytes: int, row: int) -> None:
    start = (row + rows if row < 0 else row) * row_bytes
    for offset in range(0, row_bytes, CACHE_LINE):
        prefetch(memory, start + offset)


@kernel(writes=("out",), parallel=True, draws_from=("x",))
def copy_rows(x: Array, index: Array, out: Array, status: Array) -> None:
    """out[i] = x[index[i]]: x (rows, bytes), index (n,) int64, out (n, bytes), both uint8; negative from the end.

    An index out of range sets `status`, and nothing is written. Rows lie apart in memory, so the processor does not
    foresee the next one: it is asked for while one is copied (512 rows of 3136 bytes: 90 instead of 114 µs, and 58 on
    two threads).
    """
    rows, row_bytes = x.shape
    for i in range(index.size):
        if not -rows <= index[i] < rows:
            status[0], status[1], status[2], status[3] = BAD_INDEX, i, index[i], rows
            return
    memory = x.reshape(-1)
    for chunk in prange((index.size + _CHUNK - 1) // _CHUNK):
        first, last = chunk * _CHUNK, min((chunk + 1) * _CHUNK, index.size)
        _prefetch_row(memory, rows, row_bytes, index[first])
        for i in range(first, last):
            if i + 1 < last:
                _prefetch_row(memory, rows, row_bytes, index[i + 1])
            row = index[i] + rows if index[i] < 0 else index[i]
            for j in range(row_bytes):
                out[i, j] = x[row, j]


def take_rows(x: Array, index: Array) -> Array:
    """x[index]: x (rows, ...) of any dtype, C-contiguous, index (n,) of integers -> (n, ...), as new memory.

    Neither may be empty. Raises `IndexRangeError` unless each index lies in -rows to rows - 1.
    """
    out = np.empty((index.size, *x.shape[1:]), x.dtype)
    launch(
        copy_rows,  # on bytes: one compilation serves every dtype
        x.reshape(x.shape[0], -1).view(np.uint8),
        index if index.dtype == np.int64 else converted(index, np.int64),
        out.reshape(out.shape[0], -1).view(np.uint8),
        work=out.nbytes // _BYTES_PER_UNIT,
    )
    return out
