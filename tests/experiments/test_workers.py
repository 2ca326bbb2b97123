"""Worker processes: what they do comes back, also errors; one that dies costs its own run one try."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.experiments.made import SMALL
from tinygrad_mlp.errors import ArgumentError, WorkerError
from tinygrad_mlp.experiments.workers import Job, Outcome, WorkerPool
from tinygrad_mlp.kernels.threads import get_num_threads


def square(number: int) -> int:
    return number * number


def fails(words: str) -> None:
    raise ArgumentError(words)


def threads() -> tuple[int, int]:
    return os.getpid(), get_num_threads()


def dies_once(job: Job) -> Outcome:
    """Is killed the first time; the second time a file tells it not to be."""
    marker = Path(job.folder) / "tried"
    print("about to die", flush=True)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(job.key, 0.8, 2.0)


def dies(job: Job) -> None:
    print("always dies", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def interrupted() -> bool:
    """Whether Ctrl-C would reach it."""
    os.kill(os.getpid(), signal.SIGINT)
    return signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    with WorkerPool(1, tmp_path_factory.mktemp("logs")) as pool:
        yield pool


def job(folder: Path) -> Job:
    return Job("a" * 20, SMALL, 0, str(folder))


def test_answers_come_back_and_the_process_is_used_again(pool: WorkerPool) -> None:
    assert list(pool.map(square, [1, 2, 3])) == [1, 4, 9]
    (first, count), (second, _) = pool.submit(threads).result(), pool.submit(threads).result()
    assert first == second != os.getpid()
    assert count == 1


def test_an_error_comes_back(pool: WorkerPool) -> None:
    before = pool.submit(threads).result()
    with pytest.raises(ArgumentError, match="just so"):
        pool.submit(fails, "just so").result()
    assert pool.submit(threads).result() == before  # it lives on


def test_ctrl_c_is_for_the_parent(pool: WorkerPool) -> None:
    assert pool.submit(interrupted).result() is False


def test_a_worker_that_dies_once_costs_one_try_and_is_reported(pool: WorkerPool, tmp_path: Path) -> None:
    outcome = pool.submit(dies_once, job(tmp_path)).result()
    assert outcome == Outcome("a" * 20, 0.8, 2.0, died="killed by SIGKILL")
    assert pool._logs is not None
    assert (
        (pool._logs / f"{'a' * 20}.log").read_text().startswith("about to die\nThe worker died: killed by SIGKILL.\n")
    )
    assert pool.submit(square, 3).result() == 9


def test_a_worker_that_dies_twice_is_reported_with_its_log(pool: WorkerPool, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"killed by SIGSEGV; killed by SIGSEGV\); its log is .*aaaa\.log") as caught:
        pool.submit(dies, job(tmp_path)).result()
    log = Path(str(caught.value).rsplit(" ", 1)[1]).read_text()
    assert log.count("always dies") == 2
    assert "Segmentation fault" in log  # from the interpreter itself
    assert pool.submit(square, 3).result() == 9


def test_stopping_ends_what_is_under_way() -> None:
    pool = WorkerPool(1)
    process, _ = pool.submit(threads).result()
    future = pool.submit(time.sleep, 600)
    threading.Timer(0.3, pool.stop).start()
    with pytest.raises(WorkerError):
        future.result(timeout=60)
    for _ in range(600):
        if not Path(f"/proc/{process}").exists():
            break
        time.sleep(0.1)
    with pytest.raises(OSError, match="No such process"):
        os.kill(process, 0)
