"""`WorkerPool`: processes that are started once and used for run after run, one thread each; and what they do.

The pool is a `concurrent.futures.Executor` like others. What it adds: a worker that dies (killed for its memory, say)
costs nobody else's work, its run is tried once more, and the outcome says so.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar, cast

from tinygrad_mlp.errors import WorkerError
from tinygrad_mlp.experiments.recipe import Recipe
from tinygrad_mlp.experiments.runs import RunStore
from tinygrad_mlp.experiments.training import train_run
from tinygrad_mlp.kernels.threads import set_num_threads

__all__ = ["Job", "Outcome", "WorkerPool", "work"]

P = ParamSpec("P")
T = TypeVar("T")

_TRIES = 2
_one_at_a_time = threading.Lock()  # of a thread pool's threads: the generator of tg.manual_seed is one for all of them


@dataclass(frozen=True)
class Job:
    """A run to be made: its key, recipe and seed, and the folder of the store that keeps it."""

    key: str
    recipe: Recipe
    seed: int
    folder: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job: the validation accuracy (NaN without validation) and seconds of the run, or an error.

    `died` says how a first worker died of it, where the second try went well.
    """

    key: str
    val_accuracy: float = float("nan")
    seconds: float = 0.0
    error: str | None = None
    died: str = ""


def work(job: Job) -> Outcome:
    """Train, and keep the finished run; an error becomes part of the outcome, and its traceback is in the run's log."""
    store = RunStore(job.folder)
    with _one_at_a_time:
        try:
            run = train_run(job.recipe, job.seed)
            if run.key != job.key:
                return Outcome(job.key, error="the code of the package changed while the study ran; start it again")
            store.save(run)
        except Exception as error:  # reported with the run; it must not stop the others
            with store.log(job.key).open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            return Outcome(job.key, error=f"{type(error).__name__}: {error}")
    return Outcome(job.key, run.measures.get("val_accuracy", float("nan")), run.measures["seconds"])


class WorkerPool(Executor):
    """An executor with one process per worker, each with one kernel thread, started by `spawn` when first needed.

    Parameters
    ----------
    workers:
        How many; by default as many as there are CPUs for this process.
    logs:
        Folder for what workers print while they are at a `Job`, `<key>.log`.

    A future raises what the function raised, or `WorkerError` when two workers died of it.
    """

    def __init__(self, workers: int | None = None, logs: str | Path | None = None) -> None:
        self.workers = workers or cpus()
        self._logs = None if logs is None else Path(logs)
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="experiments")  # each waits for a process
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._alive: set[_Worker] = set()
        self._stopped = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a worker; function, arguments and result have to be picklable."""
        return self._threads.submit(self._in_worker, fn, args, kwargs)

    def _in_worker(self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        log = self._log_of(args)
        died: list[str] = []
        for _ in range(_TRIES):
            worker = self._take()
            try:
                answer: Any = worker.ask((fn, args, kwargs, None if log is None else str(log)))
            except _DeathError as death:
                self._alive.discard(worker)
                died.append(str(death))
                if log is not None:
                    log.parent.mkdir(parents=True, exist_ok=True)
                    with log.open("a", encoding="utf-8") as file:
                        file.write(f"The worker died: {death}.\n")
                if self._stopped:
                    break
                continue
            self._idle.put(worker)
            if isinstance(answer, _Raised):
                raise answer.error
            if died and isinstance(answer, Outcome):
                return cast("T", replace(answer, died=died[0]))
            return answer
        kept = "" if log is None or not log.exists() else f"; its log is {log}"
        raise WorkerError(f"a worker died of it, and another on the second try ({'; '.join(died)}){kept}")

    def _log_of(self, args: tuple[Any, ...]) -> Path | None:
        if self._logs is None or not args or not isinstance(args[0], Job):
            return None
        return self._logs / f"{args[0].key}.log"

    def _take(self) -> _Worker:
        """A worker that has nothing to do, or a new one: as many threads ask as there may be workers."""
        try:
            return self._idle.get_nowait()
        except Empty:
            worker = _Worker()
            self._alive.add(worker)
            return worker

    def stop(self) -> None:
        """End all workers at once, in the middle of what they do."""
        self._stopped = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._alive):
            worker.process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers finish what was submitted, then end them."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            for worker in list(self._alive):
                worker.end()
            self._alive.clear()


class _DeathError(Exception):
    """A worker's process ended without an answer."""


@dataclass(frozen=True)
class _Raised:
    """What a function raised in a worker."""

    error: Exception


class _Worker:
    """A process, and the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked process may not use the threads that kernels have
        self._pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other,), name="experiments-worker", daemon=True)
        self.process.start()
        other.close()  # so that reading ends when the process does

    def ask(self, question: object) -> object:
        """Its answer. Raises `_DeathError` when it ends without one."""
        try:
            self._pipe.send(question)
            wait([self._pipe, self.process.sentinel])
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise _DeathError(_exit_words(self.process.exitcode)) from error

    def end(self) -> None:
        """Tell it to end, and wait for that."""
        with suppress(OSError):  # it has ended already
            self._pipe.send(None)
        self.process.join()
        self._pipe.close()


def _serve(pipe: Connection) -> None:
    """Main function of a worker: answer questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        if question is None:
            return
        fn, args, kwargs, log = question
        with _Output(log):
            try:
                answer = fn(*args, **kwargs)
            except Exception as error:  # raised again by the future
                answer = _Raised(error)
        pipe.send(answer)


def _end_with_parent() -> None:
    """End when the parent does, even when it was killed and could not say so."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class _Output:
    """Sends what this process prints, and the traceback of a crash, to a file; without a path, nothing is changed.

    It works on file descriptors, so that it also holds what compiled code prints. A file without content is removed.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)

    def __enter__(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._kept = [(stream, os.dup(stream)) for stream in (1, 2)]
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream, _ in self._kept:
            os.dup2(file, stream)
        os.close(file)
        faulthandler.enable(file=2)

    def __exit__(self, *exception: object) -> None:
        if self._path is None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, copy in self._kept:
            os.dup2(copy, stream)
            os.close(copy)
        if not self._path.stat().st_size:
            self._path.unlink()


def _exit_words(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"killed by {name}"


def cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
