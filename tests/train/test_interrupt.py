"""Ctrl-C: the step is finished, the run saved, the way on is said; status 130 in scripts, the net kept in notebooks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinygrad_mlp as tg
from tests.train import small
from tinygrad_mlp import train

pytestmark = pytest.mark.usefixtures("no_figures")


class PressAfter(train.Callback):
    """Press Ctrl-C, once or more often, when so many steps are done."""

    def __init__(self, steps: int, times: int = 1) -> None:
        self.steps, self.times = steps, times

    def on_step_end(self, trainer: tg.Trainer) -> None:
        if small.steps_done(trainer) == self.steps:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C as Python treats it by default, also where the tests run as a job in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def uninterrupted() -> Any:
    trainer = small.everything()
    history = trainer.fit(*small.parts())
    return small.weights(trainer.net), small.without_clock(history)


SLOW = """
import signal, sys, time
from tests.train import small
from tinygrad_mlp import train

class Slow(train.Callback):
    def on_step_end(self, trainer):
        print("step", small.steps_done(trainer), flush=True)
        time.sleep(1.0 if small.steps_done(trainer) > 6 else 0)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
train.RunFolder.draw = lambda *arguments: None
small.everything(out=sys.argv[1], callbacks=[Slow()], resume_command="again --resume").fit(*small.parts())
print("unreachable")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT between processes")
def test_a_script_saves_and_exits_with_130(run: Path, uninterrupted: Any):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(run)],
        cwd=small.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "step 8\n":  # in the middle of the second epoch
            process.send_signal(signal.SIGINT)
            break
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "unreachable" not in output
    assert output.count("step") <= 2
    assert "interrupted in epoch 2" in errors
    assert f"saved in {run}. To go on:" in errors
    assert "again --resume" in errors
    assert "Traceback" not in errors
    info = train.load_checkpoint(run / "checkpoint.safetensors")[1]
    assert info["epoch"] == 1
    assert 3 <= info["batch"] <= 5
    trainer = small.everything(out=run, resume=True)
    history = trainer.fit(*small.parts())
    assert (small.weights(trainer.net), small.without_clock(history)) == uninterrupted


@pytest.mark.parametrize("steps", [1, 7, small.STEPS, 3 * small.STEPS - 1])
def test_the_step_is_finished_and_saved(run: Path, uninterrupted: Any, steps: int, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        small.everything(out=run, callbacks=[PressAfter(steps)]).fit(*small.parts())
    assert caught.value.code == 130
    said = capsys.readouterr().err
    epoch, step = divmod(steps, small.STEPS)
    assert f"interrupted in epoch {epoch + 1}" in said or step == 0
    assert f"saved in {run}. To go on:" in said
    assert f"Trainer(..., out='{run}', resume=True).fit(...)" in said
    assert train.load_checkpoint(run / "checkpoint.safetensors")[1]["epoch"] in (epoch, epoch - (step == 0))
    trainer = small.everything(out=run, resume=True)
    history = trainer.fit(*small.parts())
    assert (small.weights(trainer.net), small.without_clock(history)) == uninterrupted


def test_pressed_while_it_validates_it_stops_after_the_epoch(run: Path, capsys: pytest.CaptureFixture[str]):
    class Press(train.Callback):
        def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SystemExit):
        small.plain(out=run, callbacks=[Press()]).fit(*small.parts())
    info = train.load_checkpoint(run / "checkpoint.safetensors")[1]
    assert (info["epoch"], info["batch"]) == (1, 0)
    assert "interrupted" in capsys.readouterr().err


def test_pressed_in_the_very_end_the_run_is_finished():
    class Press(train.Callback):
        def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
            if row["epoch"] == 3:
                signal.raise_signal(signal.SIGINT)

    assert len(small.plain(callbacks=[Press()]).fit(*small.parts()).rows) == 3


def test_in_a_notebook_the_net_is_kept_and_another_call_goes_on(
    uninterrupted: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    recorder = small.Recorder()
    trainer = small.everything(callbacks=[recorder, PressAfter(7)])
    history = trainer.fit(*small.parts())
    assert history["epoch"] == [1]
    assert len(recorder.after_step) == 7
    assert small.digest(trainer.net) == recorder.after_step[-1]
    assert "fit(train, val) goes on" in capsys.readouterr().err
    history = trainer.fit(*small.parts())
    assert (small.weights(trainer.net), small.without_clock(history)) == uninterrupted


def test_without_a_folder_it_says_that_nothing_is_saved(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        small.plain(callbacks=[PressAfter(2)]).fit(*small.parts())
    assert caught.value.code == 130
    assert "nothing is saved, since there is no folder" in capsys.readouterr().err


def test_pressed_twice_it_stops_at_once():
    trainer = small.plain(callbacks=[PressAfter(2, times=2)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*small.parts())
    assert small.steps_done(trainer) == 2


def test_the_handler_from_before_is_put_back():
    def mine(number: int, frame: Any) -> None: ...

    before = signal.signal(signal.SIGINT, mine)
    try:
        during: list[Any] = []

        class Look(train.Callback):
            def on_step_end(self, trainer: tg.Trainer) -> None:
                during.append(signal.getsignal(signal.SIGINT))

        small.plain(epochs=1, callbacks=[Look()]).fit(*small.parts())
        assert mine not in during
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.raises(SystemExit):
            small.plain(callbacks=[PressAfter(2)]).fit(*small.parts())
        assert signal.getsignal(signal.SIGINT) is mine
        with pytest.raises(small.Crash):
            small.plain(callbacks=[small.CrashAfter(2)]).fit(*small.parts())
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for jobs in the background
    try:
        history = small.plain(callbacks=[PressAfter(2)]).fit(*small.parts())
    finally:
        signal.signal(signal.SIGINT, before)
    assert history["epoch"] == [1, 2, 3]


def test_it_trains_in_another_thread_too():
    trainer, outcome = small.plain(), []
    thread = threading.Thread(target=lambda: outcome.append(trainer.fit(*small.parts())))
    thread.start()
    thread.join()
    assert outcome[0]["epoch"] == [1, 2, 3]
