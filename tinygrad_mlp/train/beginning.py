"""How a run begins: with a new folder, or where the checkpoint in its folder was taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tinygrad_mlp.data.augmentation import AugmentedImages
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.train.diagnosis import check_overflow
from tinygrad_mlp.train.interrupt import say
from tinygrad_mlp.train.manifest import describe_origin
from tinygrad_mlp.train.results import draw_augmented
from tinygrad_mlp.train.settings import differences, listed
from tinygrad_mlp.train.state import gather, restore

if TYPE_CHECKING:
    from tinygrad_mlp.kernels.launch import Array
    from tinygrad_mlp.train.run_folder import RunFolder
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["begin"]


def begin(trainer: Trainer, settings: dict[str, Any]) -> None:
    """Begin the run that these settings describe. If that fails, it has not begun, and one that was there is as it was.

    Raises `ArgumentError` for a folder that holds a run, unless this is to go on with it, and `CheckpointError` for the
    checkpoint of another run, or where a file cannot be written.
    """
    trainer.settings = settings
    try:
        if trainer.folder is not None:
            _open(trainer, trainer.folder)
    except BaseException:
        trainer.settings = {}
        raise


def _open(trainer: Trainer, folder: RunFolder) -> None:
    """Start the files of a run, or take up those that are there."""
    saved = folder.open(trainer.resume)
    if saved is not None:
        _resume(trainer, folder, *saved)
    else:
        if trainer.resume:
            say(f"{folder.path} holds no checkpoint yet; training starts from the beginning")
        trainer.made_with = [describe_origin()]
        folder.write_config(trainer)
        if isinstance(trainer.loader.dataset, AugmentedImages):
            draw_augmented(folder, trainer.loader.dataset)
        check_overflow(trainer)
        folder.save(*gather(trainer))
    folder.write_metrics(trainer.history)


def _resume(trainer: Trainer, folder: RunFolder, arrays: Mapping[str, Array], info: Mapping[str, Any]) -> None:
    """Bring a new Trainer to where a checkpoint was taken.

    Raises `CheckpointError` for the checkpoint of a run with other settings or data. Another number of epochs is fine,
    with a schedule made for it, but for fewer than are done already of a run that is not finished. To one that is, it
    makes no difference unless there are more to do.
    """
    where = f"checkpoint {folder.checkpoint}"
    if not isinstance(info.get("settings"), dict):
        raise CheckpointError(f"{where} was not written by a Trainer")
    begun: dict[str, Any] = info["settings"]
    epochs, wanted = begun["epochs"], trainer.epochs
    allowed = {} if epochs == wanted else {name: begun[name] for name in ("epochs", "schedule")}
    changed = differences(begun, {**trainer.settings, **allowed})
    if changed:
        raise CheckpointError(f"{where} is of a run with other settings: {listed(changed)}")
    reached = info["epoch"] + (info["batch"] > 0)
    is_done = info["batch"] == 0 and (info["stop_reason"] is not None or reached >= max(epochs, wanted))
    if wanted < reached and not is_done:
        raise CheckpointError(
            f"{where} is in epoch {reached} of {epochs}, and there is no way back to {wanted}; epochs={reached} ends "
            "the run there"
        )
    try:
        restore(trainer, arrays, info)
    except (CheckpointError, ArgumentError) as error:
        raise CheckpointError(f"{where}: {error}") from error
    _note_origin(trainer, info.get("made_with") or [])
    if not is_done:
        folder.write_config(trainer)
    if epochs != wanted and is_done:
        # The files are to go on telling of what was done, and nothing is added to it.
        trainer.settings, trainer.epochs, trainer.first_schedule = begun, epochs, begun["schedule"]
        say(
            f"the run is finished, {info['stop_reason'] or 'all epochs done'}: it has {info['epoch']} of the {epochs} "
            f"epochs that it was begun with, and nothing is trained for epochs={wanted}"
        )
    elif epochs != wanted:
        say(
            f"the run was begun with {epochs} epochs and goes on to {wanted}; if its schedule depends on that, "
            "the result differs from that of an uninterrupted run"
        )


def _note_origin(trainer: Trainer, before: list[dict[str, str]]) -> None:
    """Add what this process computes with to what made the run so far, and say so where that differs."""
    now = describe_origin()
    trainer.made_with = before or [now]
    if trainer.finished or not (changed := differences(trainer.made_with[-1], now)):
        return
    trainer.made_with.append(now)
    say(
        f"the run goes on with other means ({listed(changed)}); the same bits are promised only with the same, so the "
        "result may differ from that of an uninterrupted run"
    )
