"""A run that was broken off goes on bit for bit: from any step, by a crash or by kill -9, with any kind of state."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.train import small
from tinygrad_mlp import data, nn, optim, train
from tinygrad_mlp.errors import CheckpointError

pytestmark = pytest.mark.usefixtures("no_figures")

Make = Callable[..., tg.Trainer]
TOTAL = 3 * small.STEPS


class Uninterrupted:
    """What `small.everything` comes to when nothing happens to it."""

    def __init__(self, folder: Path) -> None:
        history = small.everything(out=folder).fit(*small.parts())
        self.model = (folder / "model.safetensors").read_bytes()
        self.rows = small.without_clock(history)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.RunFolder, "draw", lambda *arguments: None)
        return Uninterrupted(tmp_path_factory.mktemp("uninterrupted") / "run")


def crash(trainer: tg.Trainer, steps: int, parts: Any = None) -> None:
    trainer.callbacks.append(small.CrashAfter(steps))
    with pytest.raises(small.Crash):
        trainer.fit(*(parts or small.parts()))


def disturb() -> None:
    """Leave the generator elsewhere, as another process would."""
    tg.manual_seed(999)
    tg.rand(3)


def check_same(run: Path, history: train.History, uninterrupted: Uninterrupted) -> None:
    assert (run / "model.safetensors").read_bytes() == uninterrupted.model
    assert small.without_clock(history) == uninterrupted.rows
    in_file = train.History.from_jsonl(run / "metrics.jsonl")
    assert in_file.rows == history.rows
    assert [list(row) for row in in_file.rows] == [list(history.rows[-1])] * 3, "columns change their order"


# A crash at any step ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(1, TOTAL + 1))
def test_from_any_step(run: Path, uninterrupted: Uninterrupted, steps: int):
    crash(small.everything(out=run, checkpoint_every=1), steps)  # after the step, before its checkpoint
    trainer = small.everything(out=run, resume=True)
    disturb()
    history = trainer.fit(*small.parts())
    check_same(run, history, uninterrupted)


def test_it_goes_on_from_the_last_checkpoint(run: Path, uninterrupted: Uninterrupted):
    crash(small.everything(out=run, checkpoint_every=3), 2 * small.STEPS - 1)  # saved at steps 3, 5 (an epoch), 8
    start: list[tuple[int, int]] = []

    class Start(train.Callback):
        def on_fit_start(self, trainer: tg.Trainer) -> None:
            start.append((trainer.epoch, trainer.batch))

    history = small.everything(out=run, resume=True, callbacks=[Start()]).fit(*small.parts())
    assert start == [(1, 3)]
    check_same(run, history, uninterrupted)


def test_many_crashes_in_one_run(run: Path, uninterrupted: Uninterrupted):
    for steps in (2, 4, 7, 8, 11, 14):
        crash(small.everything(out=run, resume=True, checkpoint_every=1 + steps % 2), steps)
        disturb()
    history = small.everything(out=run, resume=True).fit(*small.parts())
    check_same(run, history, uninterrupted)


def test_checkpoints_by_time(run: Path):
    crash(small.everything(out=run, checkpoint_seconds=0.0), 3)
    assert train.load_checkpoint(run / "checkpoint.safetensors")[1]["batch"] == 2


@pytest.mark.parametrize("moment", ["validation", "on_epoch_end", "before the rename", "after the rename"])
def test_from_a_crash_between_epochs(
    run: Path, uninterrupted: Uninterrupted, moment: str, monkeypatch: pytest.MonkeyPatch
):
    trainer = small.everything(out=run, checkpoint_every=2)

    def crash_now(*arguments: Any) -> None:
        raise small.Crash

    def in_second_epoch(function: Any, after: bool = False) -> Any:
        def crashing(*arguments: Any, **options: Any) -> Any:
            if len(trainer.history.rows) == 2 and not after:
                raise small.Crash
            result = function(*arguments, **options)
            if len(trainer.history.rows) == 2:
                raise small.Crash
            return result

        return crashing

    if moment == "validation":
        monkeypatch.setattr(nn.Sequential, "eval", crash_now)
    elif moment == "on_epoch_end":

        class CrashHere(train.Callback):
            def on_epoch_end(self, trainer: tg.Trainer, row: Any) -> None:
                raise small.Crash

        trainer.callbacks.append(CrashHere())
    else:
        monkeypatch.setattr(Path, "replace", in_second_epoch(Path.replace, after=moment == "after the rename"))
    with monkeypatch.context(), pytest.raises(small.Crash):
        trainer.fit(*small.parts())
    monkeypatch.undo()
    monkeypatch.setattr(train.RunFolder, "draw", lambda *arguments: None)
    history = small.everything(out=run, resume=True).fit(*small.parts())
    check_same(run, history, uninterrupted)


# kill -9 ------------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.train import small
from tinygrad_mlp import train

class Kill(train.Callback):
    def on_step_end(self, trainer):
        if small.steps_done(trainer) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

train.RunFolder.draw = lambda *arguments: None
small.everything(out=sys.argv[1], resume=True, checkpoint_every=2, callbacks=[Kill()]).fit(*small.parts())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_after_kill_9_at_random_steps(run: Path, uninterrupted: Uninterrupted):
    steps = np.sort(np.random.default_rng(11).choice(np.arange(1, TOTAL), 3, replace=False))
    for step in steps:
        result = small.run_python("-c", KILLED, str(run), str(step))
        assert result.returncode == -signal.SIGKILL, result.stderr
        assert not (run / "model.safetensors").exists()
    history = small.everything(out=run, resume=True).fit(*small.parts())
    check_same(run, history, uninterrupted)


SAVING = """
import os, signal, sys
from pathlib import Path
from tests.train import small

synced, calls = os.fsync, []
def fsync(descriptor):
    calls.append(descriptor)
    if len(calls) == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    synced(descriptor)
os.fsync = fsync
small.everything(out=sys.argv[1], resume=True, checkpoint_every=1).fit(*small.parts())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_after_kill_9_while_a_checkpoint_is_written(run: Path, uninterrupted: Uninterrupted):
    result = small.run_python("-c", SAVING, str(run))
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert len(list(run.glob(".*.tmp"))) == 1  # it was killed half-way
    history = small.everything(out=run, resume=True).fit(*small.parts())
    check_same(run, history, uninterrupted)
    assert not list(run.glob(".*")), "what the killed process left was not cleared away"


# Every kind of state ------------------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1},
    "sgd, momentum": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "sgd, averaged": {"lr": 0.1, "momentum": 0.9, "averaged": True, "l2": 1e-3},
    "adam": {"l1": 1e-4},
    "adamw": {},
    "adadelta": {},
    "rmsprop": {"momentum": 0.5, "centered": True},
    "adagrad": {"lr_decay": 0.1},
}


def make_with(optimizer: str, schedule: Callable[[optim.Optimizer], Any] | None = None) -> Make:
    def make(**options: Any) -> tg.Trainer:
        net = small.plain_net()
        made = optim.make_optimizer(
            optimizer.split(",", maxsplit=1)[0], net.named_parameters(), **OPTIMIZERS[optimizer]
        )
        return tg.Trainer(net, made, schedule=schedule and schedule(made), **small.defaults(options))

    return make


SCHEDULES: dict[str, Callable[[optim.Optimizer], Any]] = {
    "step": lambda optimizer: optim.StepLR(optimizer, 1, 0.5),
    "multistep": lambda optimizer: optim.MultiStepLR(optimizer, [1, 2], 0.5),
    "exponential": lambda optimizer: optim.ExponentialLR(optimizer, 0.7),
    "cosine": lambda optimizer: optim.CosineAnnealingLR(optimizer, 3),
    "linear": lambda optimizer: optim.LinearLR(optimizer, 0.1, total_iters=2),
    "lambda": lambda optimizer: optim.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch)),
    "plateau": lambda optimizer: optim.ReduceLROnPlateau(optimizer, patience=0, threshold=0.9),
    "warm-up, then cosine": lambda optimizer: optim.SequentialLR(
        optimizer, [optim.LinearLR(optimizer, 0.1, total_iters=1), optim.CosineAnnealingLR(optimizer, 2)], [1]
    ),
}


def check_resumes(make: Make, run: Path, parts: Any = None, steps: tuple[int, ...] = (3, 7)) -> None:
    """Crash after each of these steps; the weights must be those of a run to which nothing happened."""
    parts = parts or small.parts()
    whole = make()
    expected = small.without_clock(whole.fit(*parts))
    for step in steps:
        crash(make(out=run, resume=True, checkpoint_every=1), step, parts)
    trainer = make(out=run, resume=True)
    disturb()
    history = trainer.fit(*parts)
    assert small.weights(trainer.net) == small.weights(whole.net)
    assert small.without_clock(history) == expected


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_with_every_optimizer(run: Path, optimizer: str):
    check_resumes(make_with(optimizer), run)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_with_every_schedule(run: Path, schedule: str):
    check_resumes(make_with("sgd, momentum", SCHEDULES[schedule]), run)


def test_with_parameter_groups(run: Path):
    def make(**options: Any) -> tg.Trainer:
        net = small.plain_net()
        groups = [{"params": net[0].parameters(), "lr": 0.01}, {"params": net[2].parameters(), "weight_decay": 0.1}]
        return tg.Trainer(net, optim.Adam(groups), **small.defaults(options))

    check_resumes(make, run)


def test_with_a_frozen_layer(run: Path):
    def make(**options: Any) -> tg.Trainer:
        trainer = small.plain(**options)
        trainer.net[0].weight.requires_grad = False
        return trainer

    check_resumes(make, run)


def test_with_numbers_of_numpy(run: Path):
    def make(**options: Any) -> tg.Trainer:
        net = small.plain_net()
        optimizer = optim.SGD(net.parameters(), lr=np.float64(0.1), momentum=np.float32(0.5))
        return tg.Trainer(net, optimizer, **small.defaults({**options, "batch_size": np.int64(16)}))

    check_resumes(make, run)


def test_with_float64(run: Path):
    def make(**options: Any) -> tg.Trainer:
        net = small.plain_net().double()
        return tg.Trainer(net, optim.Adam(net.parameters()), **small.defaults(options))

    check_resumes(make, run, small.parts(np.float64))


def test_without_validation_data(run: Path):
    check_resumes(small.plain, run, (small.parts()[0],))


def test_with_drop_last(run: Path):
    check_resumes(lambda **options: small.plain(drop_last=True, **options), run)


@pytest.mark.parametrize("stop_on", ["loss", "increases"])
def test_with_early_stopping(run: Path, stop_on: Any):
    def make(**options: Any) -> tg.Trainer:
        net = small.plain_net()
        optimizer = optim.SGD(net.parameters(), lr=4.0, momentum=0.8)
        return tg.Trainer(
            net, optimizer, patience=2, stop_on=stop_on, **small.defaults({"epochs": 40, "seed": 1, **options})
        )

    whole = make()
    epochs = len(whole.fit(*small.parts()).rows)
    assert 3 <= epochs < 40, "it must stop early for this test to say anything"
    check_resumes(make, run, steps=(3, (epochs - 1) * small.STEPS + 2))


class Listed(data.Dataset):
    """Samples one by one."""

    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def images() -> tuple[Any, Any]:
    training, validation, _ = data.synthetic_fashion(90, 10)
    return training, validation


def subsets() -> tuple[Any, Any]:
    whole, _ = small.parts()
    return data.Subset(whole, range(50), "train"), data.Subset(whole, range(50, 70), "validation")


def listed() -> tuple[Any, Any]:
    return tuple(Listed(list(part)) for part in small.parts())  # type: ignore[return-value]


@pytest.mark.parametrize("parts", [images, subsets, listed])
def test_with_every_kind_of_data(run: Path, parts: Callable[[], tuple[Any, Any]]):
    def make(**options: Any) -> tg.Trainer:
        tg.manual_seed(0)
        features = parts()[0][0][0].size
        inputs = int(np.prod(features())) if callable(features) else int(features)
        net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 5), nn.Dropout(0.2), nn.Linear(5, 10))
        return tg.Trainer(net, optim.Adam(net.parameters()), **small.defaults(options))

    check_resumes(make, run, parts())


# What resuming finds ------------------------------------------------------------------------------------------------


def test_metrics_are_cut_back_to_the_checkpoint(run: Path, uninterrupted: Uninterrupted):
    crash(small.everything(out=run, checkpoint_every=1), 2 * small.STEPS + 1)
    lines = (run / "metrics.jsonl").read_text()
    assert lines.count("\n") == 2
    later = json.dumps({"epoch": 3, "val_loss": 0.0}) + "\n"  # written before a checkpoint that never came
    (run / "metrics.jsonl").write_text(lines + later + '{"epoch": 4, "val')
    history = small.everything(out=run, resume=True).fit(*small.parts())
    check_same(run, history, uninterrupted)


def test_lost_metrics_come_back_from_the_checkpoint(run: Path, uninterrupted: Uninterrupted):
    crash(small.everything(out=run, checkpoint_every=1), 2 * small.STEPS + 1)
    (run / "metrics.jsonl").unlink()
    history = small.everything(out=run, resume=True).fit(*small.parts())
    check_same(run, history, uninterrupted)


def test_a_finished_run_stays_as_it_is(run: Path, uninterrupted: Uninterrupted):
    small.everything(out=run).fit(*small.parts())
    recorder = small.Recorder()
    trainer = small.everything(out=run, resume=True, callbacks=[recorder])
    history = trainer.fit(*small.parts())
    assert recorder.after_step == []
    check_same(run, history, uninterrupted)
    with (run / "model.safetensors").open("rb") as file:
        assert file.read() == uninterrupted.model
    best = {name: array.tobytes() for name, array in trainer.best_weights.items()}
    assert small.weights(trainer.net) == best


def test_without_a_checkpoint_it_begins_and_says_so(
    run: Path, uninterrupted: Uninterrupted, capsys: pytest.CaptureFixture[str]
):
    history = small.everything(out=run, resume=True).fit(*small.parts())
    assert "holds no checkpoint yet; training starts from the beginning" in capsys.readouterr().err
    check_same(run, history, uninterrupted)


def test_more_epochs_than_before(run: Path, capsys: pytest.CaptureFixture[str]):
    small.plain(out=run, epochs=2).fit(*small.parts())
    trainer = small.plain(out=run, epochs=5, resume=True)
    trainer.fit(*small.parts())
    assert "begun with 2 epochs and goes on to 5" in capsys.readouterr().err
    whole = small.plain(epochs=5)
    whole.fit(*small.parts())
    assert small.weights(trainer.net) == small.weights(whole.net)


def test_a_threads_count_of_its_own(run: Path, uninterrupted: Uninterrupted):
    threads = tg.get_num_threads()
    try:
        crash(small.everything(out=run, checkpoint_every=1), 4)
        tg.set_num_threads(1)
        history = small.everything(out=run, resume=True).fit(*small.parts())
    finally:
        tg.set_num_threads(threads)
    check_same(run, history, uninterrupted)


# What it refuses ----------------------------------------------------------------------------------------------------


def other_net(**options: Any) -> tg.Trainer:
    tg.manual_seed(0)
    net = nn.Sequential(nn.Linear(small.FEATURES, 7), nn.Tanh(), nn.Linear(7, small.CLASSES))
    return tg.Trainer(net, optim.Adam(net.parameters(), lr=0.02), **small.defaults(options))


def same_looking_net(**options: Any) -> tg.Trainer:
    class Sequential(nn.Sequential):
        """Looks like the other in print, but its first layer has no bias."""

        def __repr__(self) -> str:
            return repr(small.plain_net())

    tg.manual_seed(0)
    net = Sequential(nn.Linear(small.FEATURES, 6, bias=False), nn.Tanh(), nn.Linear(6, small.CLASSES))
    net.register_parameter("extra", nn.Parameter(np.zeros(6, np.float32)))  # as many numbers as the bias has
    return tg.Trainer(net, optim.Adam(net.parameters(), lr=0.02), **small.defaults(options))


def other_optimizer(**options: Any) -> tg.Trainer:
    net = small.plain_net()
    return tg.Trainer(net, optim.AdamW(net.parameters(), lr=0.02, weight_decay=0), **small.defaults(options))


def other_rate(**options: Any) -> tg.Trainer:
    net = small.plain_net()
    return tg.Trainer(net, optim.Adam(net.parameters(), lr=0.03), **small.defaults(options))


def with_schedule(size: int) -> Make:
    def make(**options: Any) -> tg.Trainer:
        net = small.plain_net()
        optimizer = optim.Adam(net.parameters(), lr=0.02)
        schedule = optim.StepLR(optimizer, size)
        return tg.Trainer(net, optimizer, schedule=schedule, **small.defaults(options))

    return make


def with_average(**options: Any) -> tg.Trainer:
    trainer = small.plain(**options)
    trainer.average = optim.ExponentialMovingAverage(trainer.net)
    return trainer


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (small.plain, other_net, r"net: was 'Sequential.*Linear\(8, 6\).*is .*Linear\(8, 7\)"),
        (small.plain, same_looking_net, r"missing: extra \(6,\)\n  unexpected: 0\.bias"),
        (small.plain, other_optimizer, "optimizer.*type: was 'Adam', is 'AdamW'"),
        (small.plain, other_rate, r"optimizer\.groups\[0\]\.lr: was 0\.02, is 0\.03"),
        (small.plain, with_schedule(1), "schedule: was None, is .*StepLR"),
        (with_schedule(1), with_schedule(2), r"step_size: was 1, is 2"),
        (small.plain, with_average, "average: was None, is .*ExponentialMovingAverage"),
    ],
)
def test_a_checkpoint_of_another_run(run: Path, first: Make, then: Make, message: str):
    first(out=run).fit(*small.parts())
    before = small.files(run)
    trainer = then(out=run, resume=True)
    with pytest.raises(CheckpointError, match=rf"(?s)checkpoint .*run/checkpoint\.safetensors.*{message}"):
        trainer.fit(*small.parts())
    after = small.files(run)
    for name in ("checkpoint.safetensors", "metrics.jsonl", "config.json"):
        assert after[name] == before[name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 32}, "batch_size: was 16, is 32"),
        ({"seed": 1}, "seed: was 0, is 1"),
        ({"drop_last": True}, "drop_last: was False, is True"),
        ({"clip_norm": 1.0}, "clip_norm: was None, is 1.0"),
        ({"patience": 3}, "patience: was None, is 3"),
        ({"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}, "loss: was 'cross_entropy', is .*label_smoothing=0.1"),
        ({"loss": nn.CrossEntropyLoss(tg.tensor([1.0, 2.0, 1.0]))}, r"is .*weight=\[1.0, 2.0, 1.0\]"),
        (
            {"loss": partial(F.cross_entropy, label_smoothing=0.1)},
            r"is 'partial\(cross_entropy, label_smooth",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,  # not where functions lie in memory
)
def test_other_settings(run: Path, options: dict[str, Any], message: str):
    crash(small.plain(out=run, checkpoint_every=1), 3)
    with pytest.raises(CheckpointError, match=message):
        small.plain(out=run, resume=True, **options).fit(*small.parts())


def test_other_data(run: Path):
    crash(small.plain(out=run, checkpoint_every=1), 3)
    training, validation = small.parts()
    training.arrays[0][17, 2] += 1e-3  # a single number
    with pytest.raises(CheckpointError, match=r"train\.sha256\.tensor 0: was '[0-9a-f]{64}', is '[0-9a-f]{64}'"):
        small.plain(out=run, resume=True).fit(training, validation)


def test_another_part_of_the_same_data(run: Path):
    whole, validation = small.parts()
    crash(small.plain(out=run, checkpoint_every=1), 3, (data.Subset(whole, range(60)), validation))
    with pytest.raises(CheckpointError, match=r"train\.indices_sha256: was"):
        small.plain(out=run, resume=True).fit(data.Subset(whole, range(1, 61)), validation)


def test_other_pictures_with_the_same_labels(run: Path):
    def make(**options: Any) -> tg.Trainer:
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        return tg.Trainer(net, optim.SGD(net.parameters(), lr=0.1), **small.defaults({"out": run, **options}))

    def pictures() -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (70, 4, 3), dtype=np.uint8)

    def dataset(images: np.ndarray) -> data.ImageDataset:
        return data.ImageDataset(images, np.arange(70) % 2, classes="ab", standardization="none")

    crash(make(checkpoint_every=1), 3, (dataset(pictures()),))
    others = pictures()
    others[17, 0, 0] ^= 1
    with pytest.raises(CheckpointError, match=r"train\.images_sha256: was"):
        make(resume=True).fit(dataset(others))
    make(resume=True).fit(dataset(pictures()))


def test_fewer_epochs_than_were_made_with_a_schedule_that_ends(run: Path):
    small.everything(out=run).fit(*small.parts())
    with pytest.raises(CheckpointError, match=r"run/checkpoint\.safetensors: OneCycleLR: step 15 of a schedule of 10"):
        small.everything(out=run, epochs=2, resume=True).fit(*small.parts())


def test_a_long_description_is_shown_where_it_differs(run: Path):
    def make(last: int, **options: Any) -> tg.Trainer:
        tg.manual_seed(0)
        net = nn.Sequential(nn.Linear(small.FEATURES, 6), *[nn.Linear(6, 6) for _ in range(9)], nn.Linear(6, last))
        return tg.Trainer(net, optim.SGD(net.parameters(), lr=0.1), **small.defaults({"out": run, **options}))

    crash(make(3, checkpoint_every=1), 2)
    with pytest.raises(CheckpointError, match=r"net: was '?….*Linear\(6, 3\).*, is '?….*Linear\(6, 4\)"):
        make(4, resume=True).fit(*small.parts())


def test_a_net_with_other_random_generators(run: Path):
    def make(generator: tg.Generator | None, **options: Any) -> tg.Trainer:
        tg.manual_seed(0)
        net = nn.Sequential(nn.Linear(small.FEATURES, small.CLASSES), nn.Dropout(0.5, generator=generator))
        return tg.Trainer(net, optim.Adam(net.parameters()), **small.defaults({"out": run, **options}))

    crash(make(tg.Generator(1), checkpoint_every=1), 3)
    with pytest.raises(CheckpointError, match=r"random generators \['1\.generator', 'default'\].*has \['default'\]"):
        make(None, resume=True).fit(*small.parts())


def test_a_file_that_is_no_trainers_checkpoint(run: Path):
    train.save_checkpoint(run / "checkpoint.safetensors", {"a": np.zeros(3)}, {"b": 1})
    with pytest.raises(CheckpointError, match=r"run/checkpoint\.safetensors"):
        small.plain(out=run, resume=True).fit(*small.parts())


@pytest.mark.parametrize("damage", [lambda content: content[:-5], lambda content: content[:-1] + b"\xff"])
def test_a_damaged_checkpoint(run: Path, damage: Callable[[bytes], bytes]):
    crash(small.plain(out=run, checkpoint_every=1), 3)
    checkpoint = run / "checkpoint.safetensors"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(CheckpointError, match=r"run/checkpoint\.safetensors: .*(truncated|altered).*Delete it"):
        small.plain(out=run, resume=True).fit(*small.parts())
