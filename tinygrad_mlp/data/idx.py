"""Read and write IDX, the file format of MNIST, plain or gzip-compressed.

The layout, all numbers big-endian: two zero bytes, a type code, the number of dimensions; the dimensions as uint32; the
elements in C order (http://yann.lecun.com/exdb/mnist, section "the IDX file format").
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.errors import DataError, DtypeError, MissingDataError, ShapeError

__all__ = ["decompress", "parse_idx", "read_idx", "write_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _DTYPES.items()}
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | Path) -> NDArray[Any]:
    """Read an IDX file, gzip-compressed or not (the content decides, not the name), as a fresh native-endian array.

    Raises `DataError`, naming the file and what was found, if it is truncated, too long or no IDX file, and
    `MissingDataError`, which is a `FileNotFoundError` too, if it is missing.
    """
    path = Path(path)
    return parse_idx(decompress(path), str(path))


def write_idx(path: str | Path, array: NDArray[Any]) -> None:
    """Write an array as an IDX file, gzip-compressed if the name ends in .gz.

    Raises `DtypeError` for a dtype that IDX cannot hold, `ShapeError` for no dimension or more than 255.
    """
    path = Path(path)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise DtypeError(f"write_idx: {path}: dtype {array.dtype} does not fit; IDX holds {sorted(map(str, _CODES))}")
    if not 1 <= array.ndim <= 255:
        raise ShapeError(f"write_idx: {path}: shape {array.shape} does not fit; IDX holds 1 to 255 dimensions")
    content = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    content += array.astype(_DTYPES[code]).tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)  # no time stamp: same array, same bytes
    path.write_bytes(content)


def decompress(path: Path) -> bytes:
    """The content of a file, decompressed if it is gzip. Raises as `read_idx` does."""
    try:
        content = path.read_bytes()
    except OSError as error:
        kind = MissingDataError if isinstance(error, FileNotFoundError) else DataError
        raise kind(f"{path}: cannot be read ({error.strerror or error})") from error
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: {len(content)} bytes of damaged or truncated gzip ({error})") from error


def parse_idx(content: bytes, name: str) -> NDArray[Any]:
    """The array in the decompressed content of an IDX file; `name` is for messages. Raises `DataError`."""
    if len(content) < 4:
        raise DataError(f"{name}: {len(content)} bytes, too few for the 4-byte header of an IDX file")
    zero, code, dimensions = struct.unpack(">HBB", content[:4])
    if zero != 0 or code not in _DTYPES or dimensions == 0:
        raise DataError(
            f"{name}: starts with bytes {content[:4].hex(' ')}, which is no IDX file; expected 00 00, a type code "
            f"({', '.join(f'{known:02x}' for known in _DTYPES)}) and the number of dimensions"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{name}: {len(content)} bytes, truncated inside its header of {start} bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    dtype = np.dtype(_DTYPES[code])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        problem = "truncated" if len(content) < expected else "longer than its header says"
        raise DataError(f"{name}: {len(content)} bytes, {problem}; its shape {shape} of {dtype.name} needs {expected}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
