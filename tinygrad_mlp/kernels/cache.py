"""Compiled kernels on disk: one file for each kernel, dtypes and options, from which later processes load machine code.

Numba's own cache is built on, with three things changed. It notices a change in the file of a function only, not in
those of its helpers; here the key holds all kernel files. It keeps a table of numbered files that two processes, when
both compile, can each write over, so that one loads what the other compiled for other dtypes; here the name of a file
follows from what it is for. And a damaged file or a full disk raises; here each file carries a hash, and whatever is
wrong with the cache costs no more than compiling again.
"""
# Numba ships no type stubs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedBaseClass=false, reportUnknownParameterType=false

from __future__ import annotations

import contextlib
import hashlib
import pickle
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import FunctionCache, NullCache
from numba.core.serialize import dumps

__all__ = ["kernel_cache"]


def _source_hash() -> str:
    """Hash of every kernel file."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


_SOURCE_HASH = _source_hash()

# Numba's settings, from the environment, that change the machine code; its own key holds the CPU alone.
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "USING_SVML")


class _Announcer:
    """Say once per process that kernels are being compiled, since the first run then takes seconds."""

    def __init__(self) -> None:
        self.said = False

    def say(self) -> None:
        if not self.said:
            self.said = True
            print("tinygrad_mlp: compiling kernels (once, about 10 to 20 s)", file=sys.stderr, flush=True)


_announcer = _Announcer()


class _File:
    """Where one compilation of a kernel is kept: a SHA-256, then the pickled machine code.

    The hash covers the key too, which holds the versions of everything that went into the code: a file of another
    version does not match, and is overwritten in time.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key.encode()

    def _digest(self, code: bytes) -> bytes:
        return hashlib.sha256(self._key + b"\0" + code).digest()

    def load(self) -> Any:
        """The machine code, or None."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return None
        digest, code = content[:32], content[32:]
        return pickle.loads(code) if digest == self._digest(code) else None

    def save(self, data: Any) -> None:
        """Write the machine code if that is possible: under another name first, so that no reader sees half a file."""
        code = dumps(data)
        unfinished = self._path.with_name(f"{self._path.name}.{uuid.uuid4().hex}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(self._digest(code) + code)
            unfinished.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()


class _KernelCache(FunctionCache):
    """Where Numba looks for a compiled kernel before it compiles, and puts it afterwards."""

    def __init__(self, function: Callable[..., None], options: str) -> None:
        super().__init__(function)
        self._versions = (numba.__version__, _SOURCE_HASH, self._impl.locator.get_source_stamp())
        self._options = options

    def _file(self, sig: Any, codegen: Any) -> _File:
        settings = [getattr(config, name) for name in _SETTINGS]
        key = self._index_key(sig, codegen)  # dtypes, CPU, byte code, closure
        purpose = repr((key, self._options, settings))
        name = f"{self._impl.filename_base}.{hashlib.sha256(purpose.encode()).hexdigest()[:16]}.code"
        return _File(Path(self._cache_path) / name, f"{self._versions} {purpose}")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        data = self._file(sig, target_context.codegen()).load()
        if data is None:
            _announcer.say()
            return None
        return self._impl.rebuild(target_context, data)

    def save_overload(self, sig: Any, data: Any) -> None:
        if self._impl.check_cachable(data):
            self._file(sig, data.codegen).save(self._impl.reduce(data))


class _NoCache(NullCache):
    """Where no cache folder can be written: compile anew in each process."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        _announcer.say()


def kernel_cache(function: Callable[..., None], options: str) -> Any:
    """What Numba is to use as the cache of a function; `options` tells apart different compilations of it."""
    try:
        return _KernelCache(function, options)
    except RuntimeError:  # Numba found no folder that it may write to
        return _NoCache()
