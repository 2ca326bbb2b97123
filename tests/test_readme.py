"""The code in README.md runs as it is printed there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
DATA = os.environ.get("TINYGRAD_MLP_DATA")


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.real_data
@pytest.mark.skipif(
    not (DATA and Path(DATA, "fashion-mnist").is_dir()), reason="needs the real data: set TINYGRAD_MLP_DATA"
)
def test_the_fifteen_lines_train_on_the_real_data() -> None:
    code = next(block for block in BLOCKS if "data.fashion_mnist" in block)
    assert "range(5)" in code
    printed = run(code.replace("range(5)", "range(1)")).splitlines()
    assert "derivatives are right" in printed[-2]
    accuracy = re.search(r"accuracy (\d+\.\d+) %", printed[-1])
    assert accuracy is not None and float(accuracy[1]) > 80


def test_the_op_of_ones_own_passes_its_gradient_check() -> None:
    code = next(block for block in BLOCKS if "@tg.op" in block)
    assert run(code).strip() == "True"


def test_every_file_that_the_readme_names_is_there() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert linked
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_the_captured_step_is_explained() -> None:
    code = next(block for block in BLOCKS if "@tg.capture" in block)
    printed = run(code)
    assert "sgd_momentum_step" in printed and "% of peak" in printed


@pytest.mark.real_data
@pytest.mark.skipif(
    not (DATA and Path(DATA, "fashion-mnist").is_dir()), reason="needs the real data: set TINYGRAD_MLP_DATA"
)
def test_the_experiment_runs_and_is_verified(tmp_path: Path) -> None:
    script = tmp_path / "width.py"
    script.write_text(next(block for block in BLOCKS if "experiments.main" in block), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}

    def call(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "runs/width-quick/report.html" in call("width.py", "--quick")
    printed = call("-m", "tinygrad_mlp", "verify", "runs/width-quick", "--study", "width.py", "--rerun", "1")
    assert "the same bits" in printed
    assert "all is as reported" in printed


def test_the_claims_are_those_that_the_studies_have_published() -> None:
    result = subprocess.run(
        [sys.executable, "examples/published_claims.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("<details>") == len(list((ROOT / "examples/reports/results").glob("*.md")))
    assert result.stdout in README, "put what `python examples/published_claims.py` prints into README.md"
