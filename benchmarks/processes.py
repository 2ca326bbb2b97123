"""Worker processes: contenders that answer calls in lines of JSON, each a process of its own; see `rounds`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

__all__ = ["MissingError", "Worker", "WorkerError", "Workers"]

ROOT = Path(__file__).resolve().parents[1]

# What users set in their shells must not decide how many threads a contender has.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_FOREIGN_VARIABLES = ("OMP_", "GOMP_", "KMP_", "MKL_", "XLA_FLAGS", "PYTHONPATH", "PYTHONHOME")

_STDERR_LINES = 30


class WorkerError(Exception):
    """A worker ended, or a command of it raised. The message holds what the worker wrote on standard error."""


class MissingError(Exception):
    """A worker needs a package that its interpreter does not have; `package` names it."""

    def __init__(self, worker: str, package: str) -> None:
        super().__init__(f"{worker}: no package {package!r} in its Python")
        self.package = package


def _environment(threads: int | None, extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with the thread counts of all libraries set, and PYTHONPATH only if it is ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_VARIABLES)}
    for name in _THREAD_VARIABLES:
        kept.pop(name, None)
        if threads is not None:
            kept[name] = str(threads)
    return {**kept, **extra}


class Worker:
    """A process that runs commands of a module; see `Workers.start`. Calls wait for their reply."""

    def __init__(
        self,
        name: str,
        module: str,
        *,
        python: str | Path = sys.executable,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.threads = threads
        self._stderr: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.worker", module],
                cwd=ROOT,
                env=_environment(threads, environment or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                encoding="utf-8",
            )
        except OSError as error:
            self._stderr.close()
            raise WorkerError(f"{name}: cannot start {python}: {error.strerror}") from error

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command with these arguments (JSON) and return its result.

        Raises `MissingError` if its Python lacks a package, `WorkerError` if the command raised or the process ended.
        """
        self.send(command, **arguments)
        return self.receive()

    def send(self, command: str, **arguments: Any) -> None:
        """Ask for a command without waiting for it: several workers may so prepare themselves at once."""
        assert self._process.stdin is not None
        try:
            print(json.dumps({"command": command, "arguments": arguments}), file=self._process.stdin, flush=True)
        except OSError:  # it has ended; `receive` says how
            return

    def receive(self) -> Any:
        """The result of the command that was sent first. Raises as `call` does."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.name}: the process ended with code {self._process.wait()}{self._said()}")
        reply = json.loads(line)
        if "missing" in reply:
            raise MissingError(self.name, str(reply["missing"]))
        if "error" in reply:
            raise WorkerError(f"{self.name}: {reply['error']}\n{reply['traceback'].rstrip()}{self._said()}")
        return reply["result"]

    def _said(self) -> str:
        """The end of what it wrote on standard error."""
        self._stderr.seek(0)
        lines = self._stderr.read().rstrip().splitlines()[-_STDERR_LINES:]
        return "\nits standard error ends:\n  " + "\n  ".join(lines) if lines else ""

    def close(self) -> None:
        """End the process, at once if need be."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # a request that it never read cannot be written any more
                    continue
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._stderr.close()


class Workers:
    """Several workers that end together, however the `with` block ends (Ctrl-C included)."""

    def __init__(self) -> None:
        self._running: list[Worker] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        while self._running:
            self._running.pop().close()

    def start(
        self,
        name: str,
        module: str,
        *,
        python: str | Path = sys.executable,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Worker:
        """Start a process that imports `module` (by its dotted name, from the project's root) and serves its commands.

        Parameters
        ----------
        name:
            What errors call it.
        python:
            The interpreter. Another one than this needs neither this package nor its dependencies: `benchmarks.worker`,
            `benchmarks.machine` and this file use the standard library only.
        threads:
            Sets the environment variables by which OpenMP, MKL, OpenBLAS and Numba count their threads.
        environment:
            Further variables.

        Raises `WorkerError` if the interpreter cannot be started.
        """
        worker = Worker(name, module, python=python, threads=threads, environment=environment)
        self._running.append(worker)
        return worker

    def stop(self, worker: Worker) -> None:
        """End one of them before the others."""
        self._running.remove(worker)
        worker.close()
