"""`python benchmarks/speed.py` from end to end, its arguments, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import speed, step_results
from benchmarks.step_results import Entry

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--quick", "--only", "W1", "--contenders", "ours", "numpy", "--threads", "1"]


@pytest.fixture(autouse=True)
def _signals():
    """`main` takes Ctrl-C and termination over, for the process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_quick_run_writes_table_json_and_chart(few_images, tmp_path, capsys) -> None:
    path = tmp_path / "results" / "speed.json"
    assert speed.main([*SMALL, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    output = " ".join(printed.split())  # lines break where the width wants it
    for words in (
        "tinygrad_mlp",
        "NumPy by hand",
        "fastest peer",
        "synthetic-fashion",
        "numba",
        "losses agreed",
    ):
        assert words in output
    assert str(path) in printed.replace("\n", "")
    results = json.loads(path.read_text())
    row = results["training_steps"]["rows"]["W1"]
    assert all(row["microseconds"][name]["1"] > 1 for name in ("ours", "numpy"))
    assert max(row["loss_errors"].values()) < 1e-6
    assert results["machine"]["cpu"]
    assert results["settings"]["workloads"] == ["W1"]
    assert set(results) & {"kernels", "nets_an_hour"} == set()
    assert path.with_suffix(".png").stat().st_size > 5000


def test_the_default_file_has_a_name_of_its_own(few_images, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert speed.main([*SMALL, "--seed", "1"]) == 0
    (path,) = (tmp_path / "runs" / "speed").glob("*.json")
    assert json.loads(path.read_text())["settings"]["seed"] == 1
    capsys.readouterr()


def test_a_refused_contender_fails_the_run(few_images, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(step_results.CONTENDERS, "numpy", Entry("a toy", "tests.benchmarks.toy_contender"))
    monkeypatch.setenv("PLANTED", '{"lr": 0.02}')
    assert speed.main([*SMALL, "--json", str(tmp_path / "speed.json")]) == 1
    assert "REFUSED OR FAILED  W1: a toy, 1 thread computes something else" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "W9"], "argument --only: invalid choice: 'W9'"),
        (["--threads", "0"], "argument --threads: expected a whole number of at least 1, got '0'"),
        (["--threads", "1000"], "--threads 1000: this process may use"),
        (["--peers-python", "/no/such/python"], "--peers-python: there is no program /no/such/python"),
        (["--contenders", "numpy"], "--contenders: name ours too"),
        (["--rounds", "few"], "expected a whole number"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_wrong_arguments_get_one_line(arguments: list[str], message: str, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        speed.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


# The script on drawn images: the real ones are not everywhere, and a test downloads nothing.
AS_SCRIPT = """
import runpy
from benchmarks.training_steps import Images
from tinygrad_mlp import data
train, _, _ = data.synthetic_fashion(1000, 10, validation=0.0)
images = Images(train.name, train.source, train)
Images.load = lambda: images
runpy.run_path("benchmarks/speed.py", run_name="__main__")
"""


def test_as_a_script_ctrl_c_ends_it_and_all_its_workers(tmp_path) -> None:
    command = [
        sys.executable,
        "-c",
        AS_SCRIPT,
        *SMALL,
        "--rounds",
        "10000",
        "--json",
        str(tmp_path / "speed.json"),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stdout:
            if line.startswith("CPU time that others take"):
                break
        time.sleep(3)  # it starts workers, or times them
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, error = process.communicate(timeout=30)
        assert process.returncode == 130, error
        assert error.strip().splitlines()[-1] == "stopped; all workers have ended, and the part under way is not kept"
        assert "Traceback" not in error
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # none of its group is left


def test_contenders_of_peers_need_no_package_of_ours() -> None:
    """They may run in a Python that has none of it: what they import is NumPy, the standard library and each other."""
    code = (
        "import sys; sys.modules['tinygrad_mlp'] = sys.modules['rich'] = sys.modules['numba'] = None\n"
        "import benchmarks.worker, benchmarks.contenders.numpy_by_hand"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
