"""What training shows: a bar in a terminal, a text in a notebook, a line per epoch everywhere."""

from __future__ import annotations

import io
import re
import sys
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest
import rich.console

import tinygrad_mlp as tg
from tinygrad_mlp.train import progress, steps


def test_outside_a_terminal_there_is_a_line_for_each_epoch(make, train, val, capsys):
    make(progress=True, epochs=2).fit(train, val)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header == "  epoch  train loss  accuracy  val loss  accuracy      lr  images/s    time"
    assert len(lines) == 2
    assert lines[0].split()[0] == "1/2"
    assert all(len(line.removesuffix(" best")) == len(header) for line in lines)
    assert lines[0].endswith(" s best")


def test_without_validation_there_are_dashes(make, train, capsys):
    make(progress=True, epochs=1).fit(train)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[4:6] == ["–", "–"]
    assert not line.endswith("best")


def test_nothing_is_shown_unless_it_is_wanted(make, train, val, capsys):
    make(progress=False).fit(train, val)
    assert capsys.readouterr() == ("", "")


def test_early_stopping_and_resuming_are_said(make, train, val, tmp_path, no_figures, capsys):
    settings = {"epochs": 9, "lr": 1.0, "patience": 1, "progress": True, "out": tmp_path / "run"}
    history = make(**settings).fit(train, val)
    assert len(history.rows) < 9
    assert capsys.readouterr().out.splitlines()[-1] == "stopped early: no lower validation loss in 1 epochs"
    make(**settings, resume=True).fit(train, val)
    assert capsys.readouterr().out == f"all is done: {len(history.rows)} epochs\n"


def test_a_callbacks_reason_to_stop_is_said(make, train, val, capsys):
    class StopAtAccuracy(tg.train.Callback):
        def on_epoch_end(self, trainer, row):
            if row["val_accuracy"] >= 0:
                trainer.stop("0 % reached")

    history = make(progress=True, callbacks=[StopAtAccuracy()]).fit(train, val)
    assert len(history.rows) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "stopped early: 0 % reached"


def test_where_a_run_goes_on_is_said(make, train, val, capsys):
    class Stop(tg.train.Callback):
        def on_step_end(self, trainer):
            if trainer.epoch == 1 and trainer.batch == 2:
                raise RuntimeError

    trainer = make(progress=True, callbacks=[Stop()])
    with pytest.raises(RuntimeError):
        trainer.fit(train, val)
    trainer.callbacks.pop(0)
    capsys.readouterr()
    trainer.fit(train, val)
    assert capsys.readouterr().out.splitlines()[0] == "going on in epoch 2 after 2 of 6 steps"


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns in place of stdout; its text, escape codes taken out, after the test's call."""
    screen = io.StringIO()
    console = partial(rich.console.Console, file=screen, force_terminal=True, width=80, height=25, color_system=None)
    monkeypatch.setattr(rich.console, "Console", console)
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    return lambda: re.sub(r"\x1b\[[\d?;]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n")


def test_in_a_terminal_there_is_a_bar_too(make, train, val, terminal):
    make(epochs=2, callbacks=[progress.TerminalProgress()]).fit(train, val)
    lines = [line.rstrip() for line in terminal().splitlines()]
    bars = [line for line in lines if line.startswith("epoch ")]
    whole = re.compile(r"epoch 1/2 ━+\S* loss \d\.\d{4}  accuracy \d+\.\d %  [\d,]+ images/s  \d+:\d\d left")
    assert any(whole.fullmatch(bar) for bar in bars)
    assert any(line.lstrip().startswith("2/2") for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_bar_goes_away_when_training_fails(make, train, val, terminal):
    shown = progress.TerminalProgress()
    with pytest.raises(tg.errors.NonFiniteError):
        make(lr=1e30, callbacks=[shown]).fit(train, val)
    assert not shown._bar.live.is_started


def test_the_bar_goes_away_when_a_callback_cannot_start(make, train, val, terminal):
    class Fails(tg.train.Callback):
        def on_fit_start(self, trainer):
            raise RuntimeError

    shown = progress.TerminalProgress()
    with pytest.raises(RuntimeError):
        make(callbacks=[shown, Fails()]).fit(train, val)
    assert not shown._bar.live.is_started


def test_in_a_notebook_one_text_is_drawn_anew(make, train, val, monkeypatch):
    texts = []
    module = ModuleType("IPython.display")
    module.HTML = lambda html: html
    module.display = lambda html, display_id: SimpleNamespace(update=texts.append)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    monkeypatch.setattr(steps, "_MOST", 1)  # so many steps from one look to the next
    make(epochs=2, callbacks=[progress.NotebookProgress()]).fit(train, val)
    assert any(re.search(r"epoch 2/2 ━{15}╌{15} loss ", text) for text in texts)
    last = texts[-1].removeprefix("<pre>").removesuffix("</pre>").splitlines()
    assert [line.split()[0] for line in last] == ["epoch", "1/2", "2/2"]


def test_the_kind_follows_where_the_output_goes(monkeypatch):
    assert progress.make_progress(False) == []
    assert type(progress.make_progress(True)[0]) is progress.EpochLines
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    assert type(progress.make_progress(True)[0]) is progress.TerminalProgress
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    assert type(progress.make_progress(True)[0]) is progress.NotebookProgress


@pytest.mark.parametrize(
    ("steps", "seconds", "words"), [(10, 20, "3:00 left"), (10, 400, "1:00:00 left"), (99, 99, "0:01 left"), (0, 5, "")]
)
def test_time_left_follows_the_mean_pace(monkeypatch, steps, seconds, words):
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    trainer = SimpleNamespace(epoch=0, batch=0, epochs=10, loader=range(10))
    pace = progress._Pace()
    assert pace.time_left(trainer) == ""
    trainer.epoch, trainer.batch = divmod(steps, 10)
    clock[0] += seconds
    assert pace.time_left(trainer) == words
