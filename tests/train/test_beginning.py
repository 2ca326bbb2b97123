"""A run that is taken up again with other epochs, or by other means: its files tell of what was done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tinygrad_mlp as tg
from tests.train import small
from tinygrad_mlp import optim
from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.train import beginning, manifest

pytestmark = pytest.mark.usefixtures("no_figures")


def crash(make: Callable[..., tg.Trainer], steps: int, **options: Any) -> None:
    with pytest.raises(small.Crash):
        make(callbacks=[small.CrashAfter(steps)], **options).fit(*small.parts())


@pytest.mark.parametrize(("options", "epochs"), [({}, 2), ({"patience": 1}, 2), ({"patience": 1}, 20)])
def test_a_finished_run_tells_of_what_was_done(
    run: Path, options: dict[str, Any], epochs: int, capsys: pytest.CaptureFixture[str]
):
    """Another number of epochs, of which none is left to train, changes none of its files, nor the net."""

    def make(**more: Any) -> tg.Trainer:
        net = small.plain_net()
        optimizer = optim.SGD(net.parameters(), lr=4.0, momentum=0.8)  # so that it soon gets worse
        return tg.Trainer(net, optimizer, **small.defaults({"out": run, "seed": 1, **options, **more}))

    trainer = make(epochs=9 if options else 3)
    trainer.fit(*small.parts())
    assert epochs < len(trainer.history.rows) or trainer.stop_reason
    trainer.test(small.locked_part())
    before = small.files(run)
    capsys.readouterr()
    resumed = make(epochs=epochs, resume=True, progress=True)
    history = resumed.fit(*small.parts())
    assert history.rows == trainer.history.rows  # it cannot go back
    assert small.weights(resumed.net) == small.weights(trainer.net)
    assert small.files(run) == before
    said = capsys.readouterr()
    assert said.out == f"all is done: {len(history.rows)} epochs\n"
    assert "the run is finished" in said.err and f"nothing is trained for epochs={epochs}" in said.err
    assert "goes on" not in said.err
    assert resumed.fit(*small.parts()) is history  # the same as it was begun


def test_fewer_epochs_than_an_unfinished_run_has_made(run: Path):
    crash(small.plain, small.STEPS + 2, out=run, checkpoint_every=1)
    before = small.files(run)
    with pytest.raises(CheckpointError, match=r"is in epoch 2 of 3, and there is no way back to 1; epochs=2 ends the"):
        small.plain(out=run, epochs=1, resume=True).fit(*small.parts())
    assert small.files(run) == before
    assert len(small.plain(out=run, epochs=2, resume=True).fit(*small.parts()).rows) == 2
    assert json.loads((run / "config.json").read_text())["epochs"] == 2


def test_other_means_than_it_was_begun_with(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The same bits are promised per version of package and Numba and per CPU; a change is said and written down."""
    crash(small.everything, 4, out=run, checkpoint_every=1)
    crash(small.everything, 6, out=run, resume=True, checkpoint_every=1)
    assert "other means" not in capsys.readouterr().err
    here = manifest.describe_origin()
    assert set(here) == {"tinygrad_mlp", "numba", "cpu"}
    there = {**here, "numba": "0.1", "cpu": "abacus"}
    monkeypatch.setattr(beginning, "describe_origin", lambda: there)
    history = small.everything(out=run, resume=True).fit(*small.parts())
    monkeypatch.setattr(beginning, "describe_origin", lambda: here)
    small.everything(out=run, resume=True).fit(*small.parts())  # it is finished, and nothing is added to it
    said = capsys.readouterr().err
    assert said.count("goes on with other means") == 1
    assert f"numba: was '{here['numba']}', is '0.1'; cpu: was" in said
    assert json.loads((run / "manifest.json").read_text())["made_with"] == [here, there]
    assert small.without_clock(history) == small.without_clock(small.everything().fit(*small.parts()))
