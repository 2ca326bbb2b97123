"""`Trainer`: the training loop, with validation, early stopping, checkpoints and a run folder around it.

The loop itself is `training_step`, `_train_epoch` and `fit`; the rest of this file begins, watches and ends it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Literal

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.data.augmentation import Augmentation, AugmentedImages
from tinygrad_mlp.data.dataset import Dataset
from tinygrad_mlp.data.loader import DataLoader
from tinygrad_mlp.data.permutation import check_seed
from tinygrad_mlp.errors import ArgumentError, NonFiniteError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.utils import clip_grad_norm_
from tinygrad_mlp.optim.average import ExponentialMovingAverage
from tinygrad_mlp.optim.checks import check_count, check_range
from tinygrad_mlp.optim.one_cycle import OneCycleLR
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.plateau import ReduceLROnPlateau
from tinygrad_mlp.optim.schedules import LRScheduler
from tinygrad_mlp.train.beginning import begin
from tinygrad_mlp.train.callbacks import Callback
from tinygrad_mlp.train.checks import check_choices, check_parts, count_or_none
from tinygrad_mlp.train.diagnosis import check_overflow, explained, last_checkpoint
from tinygrad_mlp.train.evaluation import Loss, LossReport, Views, evaluate
from tinygrad_mlp.train.history import History, Row
from tinygrad_mlp.train.interrupt import CtrlC, leave
from tinygrad_mlp.train.metrics import ClassificationReport
from tinygrad_mlp.train.progress import make_progress
from tinygrad_mlp.train.results import write_results
from tinygrad_mlp.train.run_folder import RunFolder
from tinygrad_mlp.train.settings import describe_run, describe_schedule, differences, listed
from tinygrad_mlp.train.state import EpochSums, Undo, copy_of_weights, gather
from tinygrad_mlp.train.steps import Steps
from tinygrad_mlp.train.validation import Validation

__all__ = ["Trainer"]


class _Interrupted(BaseException):
    """Ctrl-C was pressed, and the step that was under way is done."""


class Trainer:
    """Train a net: epochs of steps, validation after each, and at the end the weights of the best epoch.

    Parameters
    ----------
    net, optimizer:
        A module, and an optimizer of its parameters.
    loss:
        Function of (output, target) whose result is the mean over the batch.
    schedule:
        Of the learning rate, made on `optimizer`.
    schedule_every:
        When to step it: "batch" or "epoch". By default after each batch for `OneCycleLR`, whose length is stated in
        batches, and after each epoch for all others, as they are usually stated.
    augmentation:
        What may happen to a training image each time it is drawn; it needs an `ImageDataset`.
    flip_to_predict:
        Whether validation and test average the net's outputs for each image and its mirror image: see `evaluate`.
    shift_to_predict:
        By how many pixels they move each image, up, down, left and right, and average over these as well.
    average:
        A moving average of the weights: updated after each step; validation and the final net take the averaged ones.
    clip_norm:
        Limit on the common norm of all gradients.
    patience:
        Stop early, after so many epochs: with `stop_on="loss"` epochs in a row without a new lowest validation loss,
        with `stop_on="increases"` epochs in a row in each of which it rose.
    keep:
        Which weights the net has in the end: those of the "best" epoch, or of the "last".
    epochs, batch_size, drop_last:
        Length of training; samples in a step; whether to leave out a smaller last batch.
    seed:
        Of the order of samples. (Weights and dropout draw from the generator of `tg.manual_seed`.)
    out:
        Folder for the files of the run; see `run_folder.py`. Without one nothing is written.
    resume:
        Go on from the checkpoint in `out`, with the same bits as if nothing had happened, also in the middle of an
        epoch; start anew where there is none.
    checkpoint_every, checkpoint_seconds:
        A checkpoint is written after each epoch, and within it after so many steps and so many seconds.
    progress:
        A bar and a line per epoch; in a file or pipe the lines alone.
    callbacks:
        Code of your own; see `Callback`.
    capture:
        Record a step once and replay it, in training and validation: faster, with the same bits; see `tg.capture`. By
        default yes, unless a subclass has a `training_step` of its own, whose Python code a replay would not run.
    config:
        Settings of your own to keep in config.json, such as command-line arguments.
    resume_command:
        What to tell a user who pressed Ctrl-C, to go on with.

    Raises
    ------
    ArgumentError
        An impossible setting, or an optimizer, a schedule or an average that was made of something else.

    >>> trainer = tg.Trainer(net, optimizer, epochs=5, out="runs/first")
    >>> history = trainer.fit(train, val)
    >>> print(tg.evaluate(net, test))
    """

    def __init__(
        self,
        net: Module,
        optimizer: Optimizer,
        loss: Loss = F.cross_entropy,
        *,
        schedule: LRScheduler | ReduceLROnPlateau | None = None,
        schedule_every: Literal["batch", "epoch"] | None = None,
        augmentation: Augmentation | None = None,
        flip_to_predict: bool = False,
        shift_to_predict: int = 0,
        average: ExponentialMovingAverage | None = None,
        clip_norm: float | None = None,
        patience: int | None = None,
        stop_on: Literal["loss", "increases"] = "loss",
        keep: Literal["best", "last"] = "best",
        epochs: int = 20,
        batch_size: int = 64,
        drop_last: bool = False,
        seed: int = 0,
        out: str | Path | None = None,
        resume: bool = False,
        checkpoint_every: int | None = None,
        checkpoint_seconds: float = 60.0,
        progress: bool = True,
        callbacks: Sequence[Callback] = (),
        capture: bool | None = None,
        config: Mapping[str, Any] | None = None,
        resume_command: str | None = None,
    ) -> None:
        self.net, self.optimizer, self.loss = net, optimizer, loss
        self.schedule = schedule
        self.schedule_every = schedule_every or ("batch" if isinstance(schedule, OneCycleLR) else "epoch")
        self.augmentation = augmentation or None  # also where nothing was chosen
        self.flip_to_predict = flip_to_predict
        self.shift_to_predict = check_count("Trainer", "shift_to_predict", shift_to_predict, 0)
        self.average = average
        self.clip_norm = None if clip_norm is None else check_range("Trainer", "clip_norm", clip_norm)
        self.patience = count_or_none("patience", patience)
        self.stop_on = stop_on
        self.keep = keep
        self.epochs = check_count("Trainer", "epochs", epochs)
        self.batch_size = check_count("Trainer", "batch_size", batch_size)
        self.drop_last = drop_last
        self.seed = check_seed(seed, "Trainer")
        self.folder = None if out is None else RunFolder(out)
        self.resume = resume
        self.checkpoint_every = count_or_none("checkpoint_every", checkpoint_every)
        self.checkpoint_seconds = check_range("Trainer", "checkpoint_seconds", checkpoint_seconds)
        self.callbacks = [*callbacks, *make_progress(progress)]  # it shows what they have done to an epoch
        self.capture = capture
        self.config = dict(config or {})
        self.resume_command = resume_command
        check_choices(self)
        self.first_groups = [dict(group) for group in optimizer.param_groups]
        self.first_schedule = describe_schedule(schedule, self.schedule_every)

        # Where training is: all of this goes into a checkpoint (see state.py).
        self.epoch = 0  # epochs that are finished
        self.batch = 0  # batches done of the one under way
        self.sums = EpochSums()
        self.history = History()
        self.best_weights: dict[str, Array] = {}  # those that `keep` names
        self.stop_reason: str | None = None
        self.settings: dict[str, Any] = {}
        self.made_with: list[dict[str, str]] = []  # one after the other, where it changed between two processes

        self._has_ended = False
        self._ctrl_c = CtrlC()
        self._saved_at = time.monotonic()

    # The loop -------------------------------------------------------------------------------------------------------

    def fit(self, train: Dataset, val: Dataset | None = None) -> History:
        """Train on `train`, choose the best epoch by the loss on `val`; the net then has that epoch's weights.

        Without `val`, or with keep="last", it keeps the weights of the last epoch. Ctrl-C finishes the step, saves,
        says how to go on, and exits with status 130; in a notebook it returns instead, and another call goes on. After
        the end, a call only returns the history.

        Raises
        ------
        DataError
            An empty part, or a test split among the data, which is for the last evaluation alone.
        NonFiniteError
            A NaN or an infinity. The message names the step, the samples and the first op and module that made it. The
            net is as it was before the step, running statistics included; the last checkpoint stays.
        CheckpointError
            The run folder cannot be written, or holds the checkpoint of another run.
        ArgumentError
            The folder holds a run already, or patience or schedule need validation data and there are none.
        """
        self._begin(train, val)
        if self._has_ended:
            return self.history
        nothing_left = self.finished
        try:
            self._run()
        except _Interrupted:
            self._save()
            leave(self)  # exits, except in a notebook
        else:
            self.net.load_state_dict(self.best_weights)
            if self.folder is not None and not (nothing_left and self.folder.is_complete(self.settings)):
                write_results(self.folder, self)
            self._has_ended = True
        return self.history

    def _run(self) -> None:
        """All epochs that are left."""
        started: list[Callback] = []
        try:
            for callback in self.callbacks:
                callback.on_fit_start(self)
                started.append(callback)
            with self._ctrl_c:
                while not self.finished:
                    self._train_epoch()
                    self._end_epoch()
        finally:
            with ExitStack() as ends:  # which calls them all, also where one of them fails
                for callback in reversed(started):
                    ends.callback(callback.on_fit_end, self)

    def _train_epoch(self) -> None:
        """Go once through the training data, or through what a checkpoint left of an epoch."""
        self.net.train()
        self.loader.set_epoch(self.epoch, self.batch)
        start = time.perf_counter() - self.sums.seconds
        for positions, make in self._steps.epoch():
            try:
                make()
            except NonFiniteError as error:
                self.batch += self._steps.finished
                raise explained(self, error, *self._steps.batch(positions[self._steps.finished])) from error
            self.batch += len(positions)
            self.sums.seconds = time.perf_counter() - start
            self._after_step()

    def loss_and_output(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and the net's output (of a classifier its logits, for the training accuracy).

        Override it for another loss, such as one with a term for each of several outputs. It is captured with the rest
        of the step, so what it does has to be ops on Tensors.
        """
        output = self.net(x)
        return self.loss(output, y), output

    def training_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """One step on one batch; returns its loss and the net's output. Override it to train in another way."""
        self.optimizer.zero_grad()
        loss, output = self.loss_and_output(x, y)
        loss.backward()
        if self.clip_norm is not None:
            clip_grad_norm_(self.net.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        if isinstance(self.schedule, LRScheduler) and self.schedule_every == "batch":
            self.schedule.step()
        return loss, output

    def _after_step(self) -> None:
        for callback in self.callbacks:
            callback.on_step_end(self)
        self._stop_if_interrupted()
        due = self.checkpoint_every is not None and self.batch % self.checkpoint_every == 0
        if due or time.monotonic() - self._saved_at > self.checkpoint_seconds:
            self._save()

    def _end_epoch(self) -> None:
        """Validate, keep the weights if they are the best so far, step the schedule, write it all down."""
        check_overflow(self)
        val_loss = None
        row: Row = {"epoch": self.epoch + 1, "train_loss": self.sums.loss, "train_accuracy": self.sums.accuracy}
        if self._validation is not None:
            val_loss, val_accuracy = self._validate()
            row |= {"val_loss": val_loss, "val_accuracy": val_accuracy}
        row |= {
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "seconds": round(self.sums.seconds, 3),
            "images_per_second": round(self.sums.samples_per_second, 1),
        }
        self.history.append(row)
        if self.val is None or self.keep == "last" or self.history.epochs_since_best() == 0:
            self.best_weights = self._weights_to_use()
        self._step_schedule(val_loss)
        self.epoch, self.batch = self.epoch + 1, 0
        self.sums.clear()
        self._stop_if_patience_is_over()
        for callback in self.callbacks:
            callback.on_epoch_end(self, self.history.rows[-1])
        self.history.make_plain()
        if self.folder is not None:
            self.folder.append_metrics(self.history.rows[-1])
        self._save()
        if not self.finished:
            self._stop_if_interrupted()

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or training stopped early."""
        return self.batch == 0 and (self.epoch >= self.epochs or self.stop_reason is not None)

    @property
    def views(self) -> Views:
        """Which views of an image its score is of, as `evaluate` and `predict` take them."""
        return {"flip": self.flip_to_predict, "shift": self.shift_to_predict}

    def stop(self, reason: str) -> None:
        """Make the epoch that is under way, or just ended, the last: for callbacks."""
        self.stop_reason = reason

    def test(self, dataset: Dataset) -> ClassificationReport | LossReport:
        """Evaluate the net on the test split, after `fit`, and add the result to the run's manifest."""
        report = evaluate(self.net, dataset, loss=self.loss, **self.views)
        if self.folder is not None:
            uses = max(self.folder.test_uses() + 1, getattr(dataset, "uses", 0))  # the data's are of this process
            self.folder.add_result("test", {**report.as_dict(), "uses": uses})
        return report

    # Beginning ------------------------------------------------------------------------------------------------------

    def _begin(self, train: Dataset, val: Dataset | None) -> None:
        """Check the data, make the loader, and open the run folder at the first call."""
        check_parts(self, train, val)
        drawn = train if self.augmentation is None else AugmentedImages(train, self.augmentation, self.seed)
        self.loader = DataLoader(drawn, self.batch_size, shuffle=True, drop_last=self.drop_last, seed=self.seed)
        self.val = val
        self.undo = Undo(self.net)
        is_own = type(self).training_step is Trainer.training_step
        captured = is_own if self.capture is None else self.capture
        self._steps = Steps(self, captured)
        self._validation = None if val is None else Validation(self, captured)
        settings = describe_run(self, train, val)
        if not self.settings:
            begin(self, settings)
        elif changed := differences(self.settings, settings):
            raise ArgumentError(
                f"Trainer: this call goes on with the run that was begun, but it differs: {listed(changed)}"
            )
        elif self.folder is not None and not self._has_ended:
            self.folder.write_metrics(self.history)  # whose last line may be missing, or half written
        self._saved_at = time.monotonic()

    # Watching -------------------------------------------------------------------------------------------------------

    def _validate(self) -> tuple[float, float | None]:
        assert self._validation is not None
        try:
            with nullcontext() if self.average is None else self.average.applied():
                return self._validation.run()
        except NonFiniteError as error:
            raise NonFiniteError(f"validation after epoch {self.epoch + 1}: {error}{last_checkpoint(self)}") from error

    def _weights_to_use(self) -> dict[str, Array]:
        """A copy of the weights that this epoch ends with: the averaged ones, where there is an average."""
        return copy_of_weights(self.net) if self.average is None else self.average.state_dict()["average"]

    def _step_schedule(self, val_loss: float | None) -> None:
        if isinstance(self.schedule, ReduceLROnPlateau):
            assert val_loss is not None  # _begin has asked for validation data
            self.schedule.step(val_loss)
        elif self.schedule is not None and self.schedule_every == "epoch":
            self.schedule.step()

    def _stop_if_patience_is_over(self) -> None:
        if self.patience is None:
            return
        if self.stop_on == "loss" and self.history.epochs_since_best() >= self.patience:
            self.stop(f"no lower validation loss in {self.patience} epochs")
        if self.stop_on == "increases" and self.history.increases_in_a_row() >= self.patience:
            self.stop(f"the validation loss rose {self.patience} times in a row")

    def _stop_if_interrupted(self) -> None:
        if self._ctrl_c.pressed:
            raise _Interrupted

    def _save(self) -> None:
        if self.folder is not None:
            check_overflow(self)
            self.folder.save(*gather(self))
        self._saved_at = time.monotonic()
