"""Worker processes: calls, what goes wrong in them, and that they end."""

from __future__ import annotations

import sys

import pytest

from benchmarks.rounds import MissingError, Worker, WorkerError, Workers, timed

TOY = "tests.benchmarks.toy_worker"


@pytest.fixture
def toy():
    with Workers() as workers:
        yield workers.start("toy", TOY, threads=3)


def test_calls_and_what_libraries_print(toy: Worker) -> None:
    assert toy.call("prepare", size=7) == 7
    assert toy.call("prepare", size=8) == 8  # the print before did not mix with the replies


def test_it_times_itself(toy: Worker) -> None:
    toy.call("prepare", size=10)
    block = timed(toy, 1000)
    assert block.units == 1000
    assert 0 < block.seconds < 5


def test_a_process_that_ends_is_reported_with_its_standard_error(toy: Worker) -> None:
    with pytest.raises(WorkerError, match=r"toy: the process ended with code 3\n.*\n(.*\n)*  about to end"):
        toy.call("crash")
    with pytest.raises(WorkerError, match="toy: the process ended"):
        toy.call("prepare", size=1)


def test_a_command_that_raises_is_reported_with_its_traceback(toy: Worker) -> None:
    with pytest.raises(WorkerError, match=r"toy: ValueError: a planted fault\n(.*\n)*.*toy_worker.py"):
        toy.call("fail")
    assert toy.call("prepare", size=3) == 3  # it lives on


def test_a_package_that_a_command_lacks(toy: Worker) -> None:
    with pytest.raises(MissingError, match="toy: no package 'no_such_package'"):
        toy.call("need")


def test_a_package_that_the_module_lacks() -> None:
    with Workers() as workers, pytest.raises(MissingError) as caught:
        workers.start("toy", "tests.benchmarks.toy_missing").call("prepare")
    assert caught.value.package == "no_such_package"


def test_a_module_that_is_not_there_is_no_missing_package() -> None:
    with Workers() as workers, pytest.raises(WorkerError, match=r"benchmarks\.no_such_module"):
        workers.start("toy", "benchmarks.no_such_module").call("prepare")


def test_an_interpreter_that_is_not_there() -> None:
    with Workers() as workers, pytest.raises(WorkerError, match="toy: cannot start /no/such/python"):
        workers.start("toy", TOY, python="/no/such/python")


def test_threads_are_set_and_the_user_s_settings_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_DYNAMIC", "XLA_FLAGS", "NUMBA_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    with Workers() as workers:
        three = workers.start("three", TOY, threads=3, environment={"OWN": "yes"}).call("environment")
        any_number = workers.start("any", TOY).call("environment")
    counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    assert [three.get(name) for name in counts] == ["3"] * 4
    assert three["OWN"] == "yes"
    assert not {"MKL_DYNAMIC", "XLA_FLAGS"} & set(three)
    assert not {*counts, "MKL_DYNAMIC", "XLA_FLAGS"} & set(any_number)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_workers_end_however_the_block_ends(error: type[BaseException] | None) -> None:
    started: list[Worker] = []
    try:
        with Workers() as workers:
            started += [workers.start(name, TOY) for name in "abc"]
            started[0].call("prepare", size=1)
            workers.stop(started[0])
            started[1].send("sleep", seconds=60.0)  # busy
            if error:
                raise error
    except (KeyboardInterrupt, ValueError) as raised:
        assert error is type(raised)
    assert all(worker._process.poll() is not None for worker in started)


def test_requests_may_wait_for_their_replies() -> None:
    with Workers() as workers:
        both = [workers.start(name, TOY, python=sys.executable) for name in "ab"]
        for size, worker in enumerate(both):
            worker.send("prepare", size=size)
        assert [worker.receive() for worker in both] == [0, 1]
