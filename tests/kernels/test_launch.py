"""launch(): the arrays that kernels see, errors from the status word, machine code on disk, threads."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numba
import numpy as np
import pytest

import tinygrad_mlp
from tinygrad_mlp.errors import ArgumentError, IndexRangeError, NonFiniteError
from tinygrad_mlp.kernels.launch import KERNELS, Kernel, kernel, launch, prange
from tinygrad_mlp.kernels.status import BAD_INDEX, BAD_LABEL, BAD_ROW, NOT_FINITE
from tinygrad_mlp.kernels.threads import get_num_threads, set_num_threads

PACKAGE = Path(tinygrad_mlp.__file__).parent


@kernel(writes=("out",))
def launch_test_add_rows(x: Any, y: Any, out: Any) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] + 10 * y[i, j]


@kernel(writes=("out",), flat=True)
def launch_test_subtract(x: Any, factor: float, y: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = x[i] - factor * y[i]


@kernel(writes=("out",), compiled=False)
def launch_test_strides(x: Any, out: Any) -> None:
    out[...] = x.strides


@kernel(writes=("out",))
def launch_test_status(code: int, out: Any, status: Any) -> None:
    status[0], status[1], status[2], status[3] = code, 4, -7, 5
    if code == 0:
        out[0] = 1.0


@kernel(writes=("out",), parallel=True)
def launch_test_squares(x: Any, out: Any) -> None:
    for block in prange((x.size + 1023) // 1024):
        for i in range(block * 1024, min((block + 1) * 1024, x.size)):
            out[i] = x[i] * x[i]


@kernel(writes=("out",), parallel=True)
def launch_test_total(x: Any, out: Any) -> None:
    total = 0.0
    for i in prange(x.size):
        total += x[i]
    out[0] = total


def layouts(x: Any) -> dict[str, Any]:
    """The same values as kernels must not see them."""
    wide = np.zeros((x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[:, ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    return {
        "fortran": np.asfortranarray(x),
        "strided": wide[:, ::2],
        "backwards": x[::-1].copy()[::-1],
        "repeated": np.broadcast_to(x[:1], x.shape),
        "read-only": read_only,
        "unaligned": unaligned,
    }


def test_inputs_in_any_layout_make_one_signature() -> None:
    x = np.arange(12.0).reshape(3, 4)
    for array in layouts(x).values():
        before, out = array.copy(), np.empty((3, 4))
        launch(launch_test_add_rows, array, x, out)
        np.testing.assert_array_equal(out, array + 10 * x)
        launch(launch_test_add_rows, x, array, out)
        np.testing.assert_array_equal(out, x + 10 * array)
        np.testing.assert_array_equal(array, before)
    assert len(launch_test_add_rows.serial().signatures) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("layout", ["fortran", "strided", "backwards", "repeated", "read-only", "unaligned"])
def test_an_output_that_would_have_to_be_copied_is_refused(layout: str) -> None:
    x = np.ones((3, 4))
    out = layouts(np.zeros((3, 4)))[layout]
    with pytest.raises(ArgumentError, match="launch_test_add_rows: output argument 2"):
        launch(launch_test_add_rows, x, x, out)
    assert not out.any()
    if layout != "fortran":
        with pytest.raises(ArgumentError, match="launch_test_subtract: output argument 3"):
            launch(launch_test_subtract, x, 1.0, x, out)
        assert not out.any()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_flat_kernels_go_by_the_memory_of_their_output(order: tuple[int, ...]) -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    out = np.empty([(3, 4, 5)[axis] for axis in order]).transpose(np.argsort(order))
    for left, right in ((x, y), (np.asfortranarray(x), y), (x, np.repeat(y, 2, 2)[..., ::2]), (x, y.transpose())):
        if right.shape == x.shape:
            launch(launch_test_subtract, left, 2.0, right, out)
            np.testing.assert_array_equal(out, left - 2 * right)
        else:
            with pytest.raises(ArgumentError, match=r"elementwise over \(3, 4, 5\), but argument 2 has \(5, 4, 3\)"):
                launch(launch_test_subtract, left, 2.0, right, out)


@pytest.mark.parametrize("shape", [(), (0,), (1, 1), (2, 0, 3)])
def test_flat_kernels_on_small_shapes(shape: tuple[int, ...]) -> None:
    out = np.full(shape, np.nan)
    launch(launch_test_subtract, np.ones(shape), 2.0, np.ones(shape), out)
    np.testing.assert_array_equal(out, np.full(shape, -1.0))


def test_plain_numpy_kernels_get_arrays_as_they_are() -> None:
    out = np.empty(2, np.int64)
    launch(launch_test_strides, np.empty((4, 6))[:, ::2], out)
    assert out.tolist() == [48, 16]


def test_ufuncs_give_ieee_results_without_warnings() -> None:
    out = np.empty(3)
    launch(np.divide, np.array([1.0, 0.0, -1.0]), 0.0, out)
    np.testing.assert_array_equal(out, [np.inf, np.nan, -np.inf])


def test_a_kernel_must_name_parameters_that_it_writes() -> None:
    with pytest.raises(ArgumentError, match="writes names 'result', which is no parameter"):
        kernel(writes=("result",))(lambda x, out: None)


def test_two_kernels_of_one_name_are_refused_but_a_module_may_be_reloaded() -> None:
    def twin(module: str) -> Any:
        def launch_test_twin(out: Any) -> None:
            out[0] = 1

        launch_test_twin.__module__ = module
        return launch_test_twin

    first = kernel(writes=("out",))(twin("here"))
    second = kernel(writes=("out",))(twin("here"))
    assert KERNELS["launch_test_twin"] is second is not first
    with pytest.raises(ArgumentError, match="two kernels are called 'launch_test_twin'"):
        kernel(writes=("out",))(twin("elsewhere"))
    assert repr(KERNELS.pop("launch_test_twin")) == "Kernel(launch_test_twin)"


def test_a_kernel_that_adds_up_over_its_tasks_is_refused() -> None:
    """Threads of the team have no number of their own, by which Numba tells their parts of a sum apart."""
    with pytest.raises(ArgumentError, match="launch_test_total: adds up over the tasks of a prange, which loses parts"):
        launch_test_total.threaded()(np.ones(5), np.empty(1))


# The status word.


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (BAD_LABEL, IndexRangeError, "label -7 at position 4 is out of range; labels must lie in 0 to 4"),
        (BAD_INDEX, IndexRangeError, "index -7 at position 4 is out of range for 5 entries; it must lie in -5 to 4"),
        (BAD_ROW, IndexRangeError, "index -7 at position 4 is out of range; indices must lie in 0 to 4"),
        (NOT_FINITE, NonFiniteError, "element 4 of 5 is NaN or infinite"),
    ],
)
def test_status_becomes_an_error_once(code: int, error: type[Exception], message: str) -> None:
    out = np.zeros(1)
    with pytest.raises(error, match=f"launch_test_status: {message}"):
        launch(launch_test_status, code, out)
    launch(launch_test_status, 0, out)
    assert out[0] == 1


def test_each_python_thread_has_its_own_status() -> None:
    barrier = Barrier(8)

    def run(number: int) -> list[str]:
        found: list[str] = []
        for _ in range(50):
            barrier.wait()
            try:
                launch(launch_test_status, number % 2 * BAD_LABEL, np.zeros(1))
                found.append("good")
            except IndexRangeError:
                found.append("bad")
        return found

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, range(8)))
    assert results == [["good"] * 50, ["bad"] * 50] * 4


# Machine code on disk.


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fresh(existing: Kernel) -> Kernel:
    """The kernel as another process has it: nothing compiled."""
    return Kernel(existing.function, ("out",), existing.flat, compiled=True, parallel=existing.parallel)


def cache_hits(some: Kernel) -> int:
    return sum(some.serial().stats.cache_hits.values())  # type: ignore[attr-defined]


def run_on(some: Kernel, dtype: Any) -> None:
    x = np.arange(6, dtype=dtype)
    out = np.empty(6, dtype)
    launch(some, x, 2, x, out)
    assert out.tolist() == [0, -1, -2, -3, -4, -5]


def test_another_process_loads_what_this_one_compiled(cache_folder: Path) -> None:
    for hits in (0, 1):
        again = fresh(launch_test_subtract)
        run_on(again, np.int64)
        run_on(again, np.int32)
        assert cache_hits(again) == 2 * hits
        assert len(list(cache_folder.rglob("*.code"))) == 2


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "swapped"])
def test_a_damaged_file_is_compiled_anew(cache_folder: Path, damage: str) -> None:
    run_on(fresh(launch_test_subtract), np.int64)
    (file,) = cache_folder.rglob("*.code")
    content = file.read_bytes()
    middle = len(content) // 2
    if damage == "swapped":  # code for other dtypes under this name
        run_on(fresh(launch_test_subtract), np.int32)
        (other,) = set(cache_folder.rglob("*.code")) - {file}
        file.write_bytes(other.read_bytes())
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        file.write_bytes({"flipped": flipped, "cut": content[:middle], "empty": b""}[damage])
    again = fresh(launch_test_subtract)
    run_on(again, np.int64)
    assert cache_hits(again) == 0
    repaired = fresh(launch_test_subtract)
    run_on(repaired, np.int64)
    assert cache_hits(repaired) == 1


def test_a_cache_that_can_no_longer_be_written_costs_only_time(cache_folder: Path) -> None:
    some = fresh(launch_test_subtract)
    some.serial()  # finds its folder
    shutil.rmtree(cache_folder)
    cache_folder.write_text("a file where the folder was")
    run_on(some, np.int64)
    assert cache_folder.is_file()


def run_script(script: str, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code that imports the package from `root`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "COV_", "COVERAGE_"))}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env={**own, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def copy_package(root: Path) -> Path:
    """A copy of the kernels without anything compiled; returns its folder."""
    kernels = root / "tinygrad_mlp" / "kernels"
    shutil.copytree(PACKAGE / "kernels", kernels, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PACKAGE / "errors.py", root / "tinygrad_mlp")
    (root / "tinygrad_mlp" / "__init__.py").touch()
    return kernels


HELPER = """
from tinygrad_mlp.kernels.launch import device

@device
def value(x):
    return x + {added}
"""
USER = """
from tinygrad_mlp.kernels.launch import kernel
from tinygrad_mlp.kernels.temporary_helper import value

@kernel(writes=("out",))
def temporary(out):
    out[0] = value(1.0)
"""
SCRIPT = """
import numpy as np
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.temporary import temporary
for dtype in (np.float32, np.float64):
    out = np.zeros(1, dtype)
    launch(temporary, out)
print(out[0])
"""


def test_a_changed_helper_in_another_file_is_noticed(tmp_path: Path) -> None:
    kernels = copy_package(tmp_path)
    (kernels / "temporary.py").write_text(USER)
    for added, compiles in ((1, True), (1, False), (2, True)):
        (kernels / "temporary_helper.py").write_text(HELPER.format(added=added))
        result = run_script(SCRIPT, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
        assert result.stdout.strip() == f"{1.0 + added}", result.stderr
        assert result.stderr.count("compiling kernels") == compiles  # said once, if at all
    assert len(list((tmp_path / "cache").rglob("*.code"))) == 2  # the last compilation took the place of the first


def test_without_a_folder_to_write_to_kernels_are_compiled_in_each_process(tmp_path: Path) -> None:
    kernels = copy_package(tmp_path)
    (kernels / "temporary.py").write_text(USER)
    (kernels / "temporary_helper.py").write_text(HELPER.format(added=1))
    file = kernels / "__pycache__"  # a regular file, below which nobody, not even root, can make a folder
    file.touch()
    below = str(file / "folder")
    for _ in range(2):
        result = run_script(SCRIPT, tmp_path, NUMBA_CACHE_DIR=below, HOME=below, XDG_CACHE_HOME=below)
        assert result.stdout.strip() == "2.0", result.stderr
        assert result.stderr.count("compiling kernels") == 1
    assert not list(tmp_path.rglob("*.code"))


# Threads.


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.mark.usefixtures("restored_threads")
def test_numbers_of_threads_that_cannot_be() -> None:
    limit = numba.config.NUMBA_NUM_THREADS
    for threads in (0, -1, limit + 1):
        with pytest.raises(ArgumentError, match=f"got {threads}, expected 1 to {limit}; .* NUMBA_NUM_THREADS"):
            set_num_threads(threads)
    for threads in (1, limit):
        set_num_threads(threads)
        assert get_num_threads() == threads


@pytest.mark.usefixtures("restored_threads")
def test_the_number_of_threads_holds_for_all_python_threads() -> None:
    set_num_threads(1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_num_threads).result() == 1


PARALLEL = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import test_launch
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.threads import set_num_threads
squares = test_launch.launch_test_squares
x = np.arange(300_000.0)

def run(work):
    out = np.zeros(x.size)
    launch(squares, x, out, work=work)
    return (out == x * x).all()

assert run(1000) and squares.threaded_code is None, "little work: one thread"
set_num_threads(1)
assert run(x.size) and squares.threaded_code is None, "one thread was asked for"
set_num_threads(2)
squares.serial_code = None
assert run(x.size) and squares.serial_code is None and squares.threaded_code is not None, "two threads"
with ThreadPoolExecutor(6) as pool:
    assert all(pool.map(run, [x.size, 1] * 60)), "several Python threads"
if hasattr(os, "fork"):
    squares.serial_code = None
    child = os.fork()
    if child == 0:
        good = run(x.size) and squares.serial_code is not None
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0, "serial after a fork"
    assert run(x.size)
print("good")
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_where_kernels_run(layer: str) -> None:
    here = str(Path(__file__).parent)
    environment = {"NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": layer, "PYTHONPATH": here}
    if "NUMBA_CACHE_DIR" in os.environ:
        environment["NUMBA_CACHE_DIR"] = os.environ["NUMBA_CACHE_DIR"]
    result = run_script(PARALLEL, PACKAGE.parent, **environment)
    if "No threading layer could be loaded" in result.stderr:
        pytest.skip(f"Numba has no threading layer {layer} here")
    assert result.stdout == "good\n", result.stderr
