"""The code in README.md runs as it is printed there."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinygrad_mlp import nn, optim

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
DATA = os.environ.get("TINYGRAD_MLP_DATA")


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}

# What blocks that begin nothing of their own go on from: the names of the fifteen lines, with drawn images.
PRELUDE = """
import tinygrad_mlp as tg
from tinygrad_mlp import data, nn, optim
import tinygrad_mlp.nn.functional as F
tg.manual_seed(0)
train, val, test = data.synthetic_fashion(250, 50)
net = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))
optimizer = optim.AdamW(net.parameters(), lr=1e-3)
"""


def block(words: str) -> str:
    """The one block of Python with these words."""
    (code,) = (code for code in BLOCKS if words in code)
    return code


def run(code: str, folder: Path = ROOT) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.real_data
@pytest.mark.skipif(
    not (DATA and Path(DATA, "fashion-mnist").is_dir()), reason="needs the real data: set TINYGRAD_MLP_DATA"
)
def test_the_fifteen_lines_train_on_the_real_data() -> None:
    code = block("data.fashion_mnist")
    assert "range(5)" in code
    printed = run(code.replace("range(5)", "range(1)")).splitlines()
    assert "derivatives are right" in printed[-2]
    accuracy = re.search(r"accuracy (\d+\.\d+) %", printed[-1])
    assert accuracy is not None and float(accuracy[1]) > 80


def test_the_op_of_ones_own_passes_its_gradient_check() -> None:
    code = block("@tg.op")
    assert run(code).strip() == "True"


def test_every_file_that_the_readme_names_is_there() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert linked
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_the_captured_step_is_explained() -> None:
    code = block("@tg.capture")
    printed = run(code)
    assert "sgd_momentum_step" in printed and "% of peak" in printed


@pytest.mark.real_data
@pytest.mark.skipif(
    not (DATA and Path(DATA, "fashion-mnist").is_dir()), reason="needs the real data: set TINYGRAD_MLP_DATA"
)
def test_the_experiment_runs_and_is_verified(tmp_path: Path) -> None:
    script = tmp_path / "width.py"
    script.write_text(block("experiments.main"), encoding="utf-8")

    def call(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "runs/width-quick/report.html" in call("width.py", "--quick")
    printed = call("-m", "tinygrad_mlp", "verify", "runs/width-quick", "--study", "width.py", "--rerun", "1")
    assert "the same bits" in printed
    assert "all is as reported" in printed


def test_the_study_can_confirm_what_it_claims() -> None:
    names: dict[str, Any] = {"__name__": "width"}
    exec(block("experiments.main"), names)
    assert 2 / 2 ** names["STUDY"].seeds < 0.05, "the p of the paired test is never below that"


def test_augmented_images_train_a_net_and_are_drawn(tmp_path: Path) -> None:
    code = PRELUDE + block("data.Augmentation(") + "x, y = next(iter(loader))\nprint(tuple(x.shape))\n"
    fit = "trainer.epochs = 1\ntrainer.fit(train, val)\nprint(tg.evaluate(net, val, flip=True, shift=1))"
    assert run(code + fit, tmp_path).splitlines()[0] == "(64, 1, 28, 28)"
    assert (tmp_path / "runs/augmented/augmented.png").exists()


def test_a_ported_net_trains_and_the_trainer_goes_on(tmp_path: Path) -> None:
    code = PRELUDE + block("class Net(nn.Module)").replace("epochs=5", "epochs=2")
    assert "epochs=2" in code
    first, second = (run(code, tmp_path).splitlines()[-1] for _ in range(2))
    assert "accuracy" in first and first == second, "the second run has nothing left to do"
    assert {"checkpoint.safetensors", "confusion.png"} <= {path.name for path in (tmp_path / "runs/first").iterdir()}
    assert (tmp_path / "net.safetensors").exists()


def test_the_imports_of_a_ported_script_have_what_their_comment_names() -> None:
    code = block("import tinygrad_mlp as torch")
    named = re.findall(r"torch\.\w+", code.partition("#")[2].partition("\n")[0])
    assert run(f"{code}\n{'; '.join(named)}\nassert DataLoader(TensorDataset(torch.ones(3, 2)), 2)") == ""
    assert len(named) >= 4


def test_what_there_is_and_what_not() -> None:
    rooms = {"layers": [nn], "losses": [nn], "optimizers": [optim], "schedules": [optim.lr_scheduler]}
    for row, places in rooms.items():
        (line,) = re.findall(rf"^\| {row} \|(.*)\|$", README, re.MULTILINE)
        there, _, missing = line.partition("Not here:")
        for text, is_there in ((there, True), (missing, False)):
            names = re.findall(r"`(\w+)`", text)
            assert names
            assert {name: any(hasattr(place, name) for place in places) for name in names} == dict.fromkeys(
                names, is_there
            )


def numbers_of(row: str) -> list[tuple[float, ...]]:
    """Of both tables of steps: what a row holds, a tuple for each net."""
    lines = re.findall(rf"^\| {re.escape(row)} \|(.*)\|$", README, re.MULTILINE)
    cells = [cell for line in lines for cell in line.replace(",", "").split("|")]
    return [tuple(float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)) for cell in cells]


def test_the_headline_on_speed_follows_from_the_tables() -> None:
    dense, conv = 5, 3
    ours = numbers_of("tinygrad_mlp")
    torch = numbers_of("PyTorch best (fused optimizer)") + numbers_of("PyTorch best (channels_last, fused optimizer)")
    assert len(ours) == len(torch) == dense + conv
    ratios = [
        tuple(theirs / mine for theirs, mine in zip(*pair, strict=True)) for pair in zip(torch, ours, strict=True)
    ]

    def span(values: list[float]) -> str:
        return f"{min(values):.1f} to {max(values):.1f}"

    one, two = ([pair[place] for pair in ratios] for place in (0, 1))
    headline = README.partition("- **Fast**")[2].partition("- **")[0]
    assert f"{span(two[:dense])} times as fast as PyTorch's best" in headline
    assert f"{span(two[dense:])} times for the convolutional" in headline
    assert f"on one thread {span(one[:dense])} and {span(one[dense:])}" in headline
    peers = [cell[0] for cell in numbers_of("as fast as the fastest peer (in the two rounds)")]
    assert f"takes {span(peers)} times as long" in " ".join(headline.split())


@pytest.mark.parametrize("example", ["fashion_mlp", "fashion_cnn"])
def test_the_commands_of_an_example_are_ones_that_it_understands(example: str) -> None:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        parse = importlib.import_module(example).parse
    finally:
        sys.path.pop(0)
    commands = re.findall(rf"`python examples/{example}\.py([^`]*)`", README)
    assert len(commands) >= 2
    for arguments in commands:
        parse(arguments.replace("--seed N", "--seed 3").split())


def test_the_core_is_about_as_long_as_is_said() -> None:
    (said,) = re.findall(r"the core \(tensor, engine, op\) is about (\d+) lines", README)
    files = [ROOT / "tinygrad_mlp/autodiff" / name for name in ("tensor.py", "engine.py", "op.py")]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) == pytest.approx(
        int(said), rel=0.05
    )


def test_the_claims_are_those_that_the_studies_have_published() -> None:
    result = subprocess.run(
        [sys.executable, "examples/published_claims.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("<details>") == len(list((ROOT / "examples/reports/results").glob("*.md")))
    assert result.stdout in README, "put what `python examples/published_claims.py` prints into README.md"
