"""`run`: make the runs of a study that are not finished yet, in worker processes, and return its results."""

from __future__ import annotations

from concurrent.futures import Executor, Future, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.experiments.calls import CallLog, read_calls
from tinygrad_mlp.experiments.live import Live, make_live
from tinygrad_mlp.experiments.results import Failure, Results, load_results
from tinygrad_mlp.experiments.runs import RunStore, run_key
from tinygrad_mlp.experiments.training import load_splits
from tinygrad_mlp.experiments.workers import Job, Outcome, WorkerPool, work
from tinygrad_mlp.optim.checks import check_count

if TYPE_CHECKING:
    from tinygrad_mlp.experiments.study import Study

__all__ = ["run"]


def run(
    study: Study,
    *,
    out: str | Path | None = None,
    seeds: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Results:
    """Make all runs of a study, arms × seeds, that are not finished yet.

    Each finished run is a file in `out`/runs, whose name is a hash of recipe, seed, data and code. So a study may be
    interrupted, or killed, at any moment: what is finished stays, and the next call makes only the rest; the report
    adds up the time of all calls. A run that fails does not stop the others; it is in the results' `failed`, with the
    path of its log.

    Parameters
    ----------
    study:
        What to run.
    out:
        Folder, by default runs/<name of the study>.
    seeds:
        How many, if not as many as the study says.
    workers:
        How many processes, each with one thread; by default one per CPU.
    executor:
        Where to run instead: any executor of `concurrent.futures`. In threads, runs are made one at a time.
    progress:
        Show a table of arms as it fills, in a file or pipe a line per run.

    Raises
    ------
    ArgumentError
        No seeds, or both `workers` and `executor`.
    DataError
        The data are missing or damaged; nothing was trained then.
    CheckpointError
        Nothing can be written in the folder, or a file there was altered.
    KeyboardInterrupt
        Ctrl-C; workers are ended, and finished runs stay.

    >>> results = experiments.run(study, seeds=5)
    >>> print(results.summary("128 units").mean)
    0.8921
    """
    if workers is not None and executor is not None:
        raise ArgumentError("run: got workers and executor, expected one of them or neither")
    if workers is not None:
        check_count("run", "workers", workers)
    store = RunStore(Path("runs", study.name) / "runs" if out is None else Path(out) / "runs")
    jobs = _jobs(study, study.seeds if seeds is None else check_count("run", "seeds", seeds), store)
    for arm in study.arms:  # before anything is trained
        load_splits(arm.recipe.data, arm.recipe.standardize, arm.recipe.validation, 0)
    read_calls(store.calls)  # whether they can be
    left = {name: job for name, job in jobs.items() if job.key not in store}
    live = make_live(jobs, store, progress)
    failed: list[Failure] = []
    if left:
        _make_folder(store.folder)
        pool = executor or WorkerPool(workers, store.folder)
        keys = {job.key for job in left.values()}
        processes = min(pool.workers, len(keys)) if isinstance(pool, WorkerPool) else None
        with CallLog(store.calls, processes) as calls, live:
            failed = _make(left, pool, store, live, calls)
        if executor is None:
            pool.shutdown()
    return load_results(study, store, seeds, failed)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder}: the folder for runs cannot be made ({error.strerror or error})") from error


def _jobs(study: Study, seeds: int, store: RunStore) -> dict[tuple[str, int], Job]:
    """By arm and seed; all arms of a seed before the next, so that pairs are there early."""
    jobs: dict[tuple[str, int], Job] = {}
    for seed in range(seeds):
        for arm in study.arms:
            if seed in study.seeds_of(arm, seeds):
                key = run_key(arm.recipe, seed)
                jobs[arm.name, seed] = Job(key, arm.recipe, seed, str(store.folder))
    return jobs


def _make(
    jobs: dict[tuple[str, int], Job], pool: Executor, store: RunStore, live: Live, calls: CallLog
) -> list[Failure]:
    """Make these runs; arms with the same recipe share theirs. Returns those that failed."""
    names: dict[str, list[tuple[str, int]]] = {}
    for name, job in jobs.items():
        names.setdefault(job.key, []).append(name)
    unique = {job.key: job for job in jobs.values()}
    futures: dict[Future[Outcome], str] = {}
    failed: list[Failure] = []
    try:
        for key, job in unique.items():  # an executor may work here, and be interrupted
            futures[pool.submit(work, job)] = key
        for future in as_completed(futures):
            key = futures[future]
            outcome = _outcome(future, key)
            if outcome.error is None:
                calls.finished(key)
            for arm, seed in names[key]:
                live.finished(arm, seed, outcome)
                if outcome.error is not None:
                    log = store.log(key)
                    failed.append(Failure(arm, seed, outcome.error, str(log) if log.exists() else ""))
    except (KeyboardInterrupt, CheckpointError):  # the latter: nothing can be written there any more
        if isinstance(pool, WorkerPool):
            pool.stop()
        for future, key in futures.items():
            if not future.cancel() and future.done() and _outcome(future, key).error is None:
                calls.add(key)  # it may not have been shown yet
        raise
    return failed


def _outcome(future: Future[Outcome], key: str) -> Outcome:
    """What a future holds; what it raises, such as that its executor broke, is an outcome, too."""
    error = future.exception()
    return future.result() if error is None else Outcome(key, error=f"{type(error).__name__}: {error}")
