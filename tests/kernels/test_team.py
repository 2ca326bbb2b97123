"""The team: every task once, on several threads, with and without helpers; Numba's own loops stay its own."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numba
import numpy as np
import pytest
from llvmlite import binding
from numba.core.compiler_lock import global_compiler_lock

from tests.kernels.test_program import recorded
from tinygrad_mlp.kernels import team as team_module
from tinygrad_mlp.kernels import threads as threads_module
from tinygrad_mlp.kernels.launch import kernel, launch
from tinygrad_mlp.kernels.loop import Loop
from tinygrad_mlp.kernels.profiler import timed
from tinygrad_mlp.kernels.program import Program
from tinygrad_mlp.kernels.record import replayed
from tinygrad_mlp.kernels.team import Team

pthread_self = ctypes.CDLL(None).pthread_self
pthread_self.restype, pthread_self.argtypes = ctypes.c_uint64, []


def count_tasks(counts):
    for task in numba.prange(counts.size):
        counts[task] += 1


def note_threads(threads, numbers):
    for task in numba.prange(threads.size):
        total = 0.0
        for number in numbers:
            total += np.sqrt(number)
        threads[task] = pthread_self() if total > 0 else 0


def work() -> tuple[np.ndarray, np.ndarray]:
    """Arguments of `note_threads` with which it takes 20 ms: then a helper gets a core on a busy machine, too."""
    return np.zeros(8, np.uint64), np.arange(1.0, 2_000_000.0)


def on(team: Team, function, *args):
    """The function as machine code whose loops the team runs; compiled for these arguments."""
    compiled = numba.njit(parallel=True, nogil=True)(function)
    with team.bound():
        compiled(*args)
    return compiled


@pytest.fixture
def small_tasks() -> Iterator[None]:
    """A task for each turn of a loop, where Numba makes one for each thread."""
    numba.set_parallel_chunksize(1)
    yield
    numba.set_parallel_chunksize(0)


def threads_seen(team: Team, helpers: int, until: int, seconds: float = 20.0) -> int:
    """How many threads have taken tasks, once it is so many, or when time is up."""
    seen: set[int] = set()
    threads, numbers = work()
    compiled = on(team, note_threads, threads, numbers)
    end = time.monotonic() + seconds
    while len(seen) < until and time.monotonic() < end:
        team.gather(helpers + 1)
        compiled(threads, numbers)
        seen |= set(threads.tolist())
    return len(seen)


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_every_task_is_done_once(helpers: int) -> None:
    team = Team()
    compiled = on(team, count_tasks, np.zeros(1, np.int64))
    for size in np.random.default_rng(helpers).integers(0, 60, 5000):
        counts = np.zeros(size, np.int64)
        team.gather(helpers + 1)
        compiled(counts)
        assert (counts == 1).all()


@pytest.mark.usefixtures("small_tasks")
def test_helpers_take_tasks_and_none_needs_to() -> None:
    team = Team()
    assert threads_seen(team, helpers=0, until=2, seconds=0.2) == 1
    assert threads_seen(team, helpers=1, until=2) == 2
    end = time.monotonic() + 20
    while team._awake.value > 0 and time.monotonic() < end:
        time.sleep(0.01)
    assert team._awake.value == 0
    assert threads_seen(team, helpers=2, until=3) == 3


def call(team: Team, task, arrays: list[int], steps: list[int], sizes: list[int], data: int) -> None:
    """Run a loop as Numba's code does, with a Python function as its task."""
    pointers = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_int64)
    function = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_void_p)(task)
    loop = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5, *[ctypes.c_int64] * 3)(
        team._engine.get_function_address("loop")
    )
    loop(
        ctypes.cast(function, ctypes.c_void_p),
        (ctypes.c_void_p * len(arrays))(*arrays),
        (ctypes.c_int64 * len(sizes))(*sizes),
        (ctypes.c_int64 * len(steps))(*steps),
        data,
        len(sizes) - 1,
        len(arrays),
        2,
    )


def test_a_task_gets_its_part_of_each_argument() -> None:
    values = np.arange(12.0)
    seen: list[tuple[object, ...]] = []

    def task(arguments, sizes, steps, data) -> None:
        seen.append((arguments[0] - values.ctypes.data, arguments[1], sizes[0], sizes[1], steps[0], data))

    call(Team(), task, [values.ctypes.data, 0], [32, 8], [3, 4], 77)
    assert seen == [(0, None, 1, 4, 32, 77), (32, None, 1, 4, 32, 77), (64, None, 1, 4, 32, 77)]


@pytest.mark.parametrize("tasks", [0, 1, 65535, 65536, 70000])
def test_any_number_of_tasks(tasks: int) -> None:
    team, counts = Team(), np.zeros(tasks + 1, np.int64)
    team.gather(2)

    def task(arguments, sizes, steps, data) -> None:
        counts[(arguments[0] - counts.ctypes.data) // 8] += 1

    call(team, task, [counts.ctypes.data], [8], [tasks], 0)
    assert (counts[:tasks] == 1).all()
    assert counts[tasks] == 0


def test_other_code_keeps_numbas_loops() -> None:
    team = Team()
    with team.bound():
        ours = binding.address_of_symbol("numba_parallel_for")
    numbas = binding.address_of_symbol("numba_parallel_for")
    with pytest.raises(KeyError), team.bound():
        assert binding.address_of_symbol("numba_parallel_for") != numbas
        raise KeyError
    assert binding.address_of_symbol("numba_parallel_for") == numbas != ours


def test_what_another_thread_loads_meanwhile_keeps_numbas_loops() -> None:
    team, seen = Team(), []
    with team.bound():
        ours = binding.address_of_symbol("numba_parallel_for")

    def load() -> None:
        with global_compiler_lock:  # as Numba does
            seen.append(binding.address_of_symbol("numba_parallel_for"))

    other = threading.Thread(target=load)
    with team.bound():
        other.start()
        other.join(0.3)  # time to see what it must not see
    other.join()
    assert seen == [binding.address_of_symbol("numba_parallel_for")] != [ours]


@pytest.mark.skipif(threads_module.get_num_threads() == 1, reason="needs two threads: NUMBA_NUM_THREADS=2")
def test_the_number_of_threads_that_a_user_has_told_numba_is_put_back() -> None:
    counts, x, found = np.zeros(8, np.int64), np.zeros(1), []
    counting = kernel(writes=("counts",), parallel=True)(count_tasks)
    counting.threaded_code = on(threads_module.team(), count_tasks, counts)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        launch(counting, counts, work=10**9)
        found.append(numba.get_num_threads())
        program = Program(recorded(lambda: launch(counting, counts, work=10**9))[0])
        found.append(numba.get_num_threads())
        for run in (program.run, lambda: Loop(program, [x], [], []).run([np.zeros((5, 1))], [])):
            run()
            found.append(numba.get_num_threads())
        timed(program, 1)
        found.append(numba.get_num_threads())
        with pytest.raises(KeyError), threads_module.parallel_lock, threads_module.OnThreads(2):
            found.append(numba.get_num_threads())
            raise KeyError
        found.append(numba.get_num_threads())
    finally:
        numba.set_num_threads(before)
    assert found == [1, 1, 1, 1, 1, 2, 1]


@pytest.mark.skipif(threads_module.get_num_threads() == 1, reason="needs two threads: NUMBA_NUM_THREADS=2")
def test_a_program_wakes_helpers_that_fell_asleep_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, done = np.zeros(8, np.int64), []
    counting = kernel(writes=("counts",), parallel=True)(count_tasks)
    counting.threaded_code = on(threads_module.team(), count_tasks, counts)

    def run() -> None:
        launch(counting, counts, work=10**9)
        replayed(done.append, "long Python")
        launch(counting, counts, work=10**9)

    program = Program(recorded(run)[0])
    monkeypatch.setattr(Team, "gather", lambda _, threads: done.append(threads))
    done.clear()
    program.run()
    assert done[done.index("long Python") + 1 :] == [threads_module.get_num_threads()]


def test_a_process_ends_while_helpers_are_awake() -> None:
    program = "from tinygrad_mlp.kernels.team import Team; team = Team(); team.gather(3); print('over')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over\n", "")


@pytest.mark.parametrize(
    ("triple", "waits"),
    [("x86_64-unknown-linux-gnu", "pause"), ("arm64-apple-darwin", "yield"), ("powerpc64le-unknown-linux-gnu", "")],
)
def test_code_for_other_machines(triple: str, waits: str) -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module = binding.parse_assembly(team_module._code(triple))
    module.triple = triple
    module.verify()
    assert waits in binding.Target.from_triple(triple).create_target_machine(opt=2).emit_assembly(module)
