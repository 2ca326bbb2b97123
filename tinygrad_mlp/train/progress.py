"""How training shows where it is: a bar in a terminal or notebook, and everywhere a line per finished epoch."""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_mlp.train.callbacks import Callback

if TYPE_CHECKING:
    from tinygrad_mlp.train.history import Row
    from tinygrad_mlp.train.trainer import Trainer

__all__ = ["EpochLines", "NotebookProgress", "TerminalProgress", "make_progress"]

_REFRESH = 0.1  # seconds between two looks of the bar; drawing it in each step would cost more than some steps
_HEADER = "  epoch  train loss  accuracy  val loss  accuracy      lr  images/s    time"


def make_progress(wanted: bool) -> Sequence[Callback]:
    """The right kind for where the output goes; none if it is not wanted."""
    if not wanted:
        return []
    if "ipykernel" in sys.modules:
        return [NotebookProgress()]
    return [TerminalProgress()] if sys.stdout.isatty() else [EpochLines()]


class EpochLines(Callback):
    """A line per epoch on stdout, under a header: for files and pipes."""

    @property
    def sees_each_step(self) -> bool:
        """A bar is drawn ten times a second."""
        return False

    def on_fit_start(self, trainer: Trainer) -> None:
        """Write the header, and where a resumed run goes on."""
        self._total = trainer.epochs
        if trainer.finished:
            self.write(f"all is done: {trainer.epoch} epochs")
            return
        if trainer.epoch or trainer.batch:
            self.write(f"going on in epoch {trainer.epoch + 1} after {trainer.batch} of {len(trainer.loader)} steps")
        self.write(_HEADER)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """Write the epoch's line; `best` marks the lowest validation loss so far."""
        best = " best" if trainer.val is not None and trainer.history.epochs_since_best() == 0 else ""
        self.write(epoch_line(row, trainer.epochs) + best)
        if trainer.stop_reason is not None:
            self.write(f"stopped early: {trainer.stop_reason}")

    def write(self, line: str) -> None:
        """Where lines go."""
        print(line, flush=True)


class TerminalProgress(EpochLines):
    """The lines, and beneath them a bar with loss, accuracy, images per second and time left."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Set up the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = Console()
        self._pace = _Pace()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[status]}"),
            console=self._console,
            auto_refresh=False,  # no thread beside the training: on_step_end draws
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("first step", total=len(trainer.loader), status="")
        super().on_fit_start(trainer)
        self._bar.start()

    def on_step_end(self, trainer: Trainer) -> None:
        """Draw the bar, not more often than can be seen."""
        if not self._pace.is_due():
            return
        self._bar.update(
            self._task,
            completed=trainer.batch,
            description=f"epoch {trainer.epoch + 1}/{trainer.epochs}",
            status=status_line(trainer, self._pace.time_left(trainer)),
            refresh=True,
        )

    def on_fit_end(self, trainer: Trainer) -> None:
        """Take the bar away."""
        self._bar.stop()

    def write(self, line: str) -> None:
        """Above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class NotebookProgress(EpochLines):
    """The same in a notebook, as one text that is drawn anew; it needs no widgets."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Open the output."""
        display: Any = importlib.import_module("IPython.display")  # only a notebook has it
        self._html = display.HTML
        self._handle = display.display(self._html(""), display_id=True)
        self._lines: list[str] = []
        self._pace = _Pace()
        super().on_fit_start(trainer)

    def on_step_end(self, trainer: Trainer) -> None:
        """Draw the bar as text, a few times a second."""
        if self._pace.is_due():
            filled = round(30 * trainer.batch / len(trainer.loader))
            bar = "━" * filled + "╌" * (30 - filled)
            status = status_line(trainer, self._pace.time_left(trainer))
            self._show(f"epoch {trainer.epoch + 1}/{trainer.epochs} {bar} {status}")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Leave the lines alone."""
        self._show()

    def write(self, line: str) -> None:
        """One more line."""
        self._lines.append(line)
        self._show()

    def _show(self, *bar: str) -> None:
        from html import escape

        text = escape("\n".join([*self._lines, *bar]))
        self._handle.update(self._html(f"<pre>{text}</pre>"))


class _Pace:
    """When to draw again, and how long training will take."""

    def __init__(self) -> None:
        self._drawn = -math.inf
        self._first: tuple[float, int] | None = None  # time and number of the first step that was seen

    def is_due(self) -> bool:
        """Whether it is time to draw; then it counts as drawn."""
        now = time.monotonic()
        if now - self._drawn < _REFRESH:
            return False
        self._drawn = now
        return True

    def time_left(self, trainer: Trainer) -> str:
        """From the mean pace since the first step (which may compile kernels), validation included; `2:05 left`."""
        now, steps = time.monotonic(), trainer.epoch * len(trainer.loader) + trainer.batch
        if self._first is None:
            self._first = now, steps
        start, first = self._first
        if steps == first:
            return ""
        seconds = round((trainer.epochs * len(trainer.loader) - steps) * (now - start) / (steps - first))
        hours, minutes = seconds // 3600, seconds // 60 % 60
        return f"{hours}:{minutes:02}:{seconds % 60:02} left" if hours else f"{minutes}:{seconds % 60:02} left"


def epoch_line(row: Row, epochs: int) -> str:
    """A line that stands under the header."""
    cells = (
        (f"{row['epoch']:>3}/{epochs:<3}", 7),
        (_number(row.get("train_loss"), ".4f"), 12),
        (_per_cent(row.get("train_accuracy"), 2), 10),
        (_number(row.get("val_loss"), ".4f"), 10),
        (_per_cent(row.get("val_accuracy"), 2), 10),
        (_number(row.get("lr"), ".2g"), 8),
        (_number(row.get("images_per_second"), ",.0f"), 10),
        (_number(row.get("seconds"), ".1f") + " s", 8),
    )
    return "".join(text.rjust(width) for text, width in cells)


def status_line(trainer: Trainer, time_left: str) -> str:
    """What stands beside the bar."""
    sums = trainer.sums
    accuracy = "" if sums.accuracy is None else f"accuracy {_per_cent(sums.accuracy, 1)}  "
    return f"loss {sums.loss:.4f}  {accuracy}{sums.samples_per_second:,.0f} images/s  {time_left}"


def _number(value: float | None, format: str) -> str:
    return "–" if value is None else f"{value:{format}}"


def _per_cent(share: float | None, decimals: int) -> str:
    return "–" if share is None else f"{100 * share:.{decimals}f} %"
