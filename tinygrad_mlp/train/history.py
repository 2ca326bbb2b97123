"""`History`: what was measured in each epoch, by column, and kept as a file of JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from tinygrad_mlp.errors import ArgumentError, CheckpointError, MissingFileError

__all__ = ["History", "Number", "Row"]

Number: TypeAlias = float | int | None
Row: TypeAlias = dict[str, Number]


class History(Mapping[str, list[Number]]):
    """Columns of numbers, one entry per epoch: `history["val_loss"]`; None where something was not measured.

    A Trainer fills epoch (from 1), train_loss, train_accuracy, val_loss, val_accuracy, lr, seconds, images_per_second.
    The training columns are means over the epoch while the net learned, with dropout; the validation columns come from
    the net at the end of the epoch.

    >>> history = History([{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.4}])
    >>> history["val_loss"], history.best
    ([0.5, 0.4], {'epoch': 2, 'val_loss': 0.4})
    """

    def __init__(self, rows: Iterable[Mapping[str, Number]] = ()) -> None:
        self.rows: list[Row] = [dict(row) for row in rows]

    def append(self, row: Mapping[str, Number]) -> None:
        """Add an epoch."""
        self.rows.append(dict(row))

    def make_plain(self) -> None:
        """Make the last row what JSON can hold, after callbacks wrote into it: NumPy's numbers Python's, NaN None.

        Raises `ArgumentError` for a value that is none, and takes its column out of the row.
        """
        row: dict[str, Any] = self.rows[-1]
        for column, value in list(row.items()):
            plain: Any = cast(Any, value).item() if isinstance(value, np.number | np.bool_) else value
            row[column] = None if isinstance(plain, float) and not math.isfinite(plain) else plain
            try:
                json.dumps(row[column], allow_nan=False)
            except (TypeError, ValueError):
                del row[column]
                raise ArgumentError(
                    f"History: column {column!r} of epoch {row.get('epoch')} holds a {type(plain).__name__}, expected "
                    "a number or None; of a Tensor or an array take value.item()"
                ) from None

    def __getitem__(self, column: str) -> list[Number]:
        if not any(column in row for row in self.rows):
            raise KeyError(f"no column {column!r}; there are {', '.join(self) or 'none, since no epoch is finished'}")
        return [row.get(column) for row in self.rows]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(column for row in self.rows for column in row))

    def __len__(self) -> int:
        """Number of columns; `len(history.rows)` is that of epochs."""
        return len(list(iter(self)))

    @property
    def best(self) -> Row | None:
        """The epoch of the lowest validation loss, the first among equals; None where there was no validation."""
        index = self._best_index()
        return None if index is None else self.rows[index]

    def epochs_since_best(self) -> int:
        """How many epochs came after the best one."""
        index = self._best_index()
        return 0 if index is None else len(self.rows) - 1 - index

    def increases_in_a_row(self) -> int:
        """In how many consecutive epochs, up to the last, the validation loss was higher than in the one before."""
        losses = self._validation_losses()
        count = 0
        while count + 1 < len(losses) and losses[-1 - count] > losses[-2 - count]:
            count += 1
        return count

    def _validation_losses(self) -> list[float]:
        """One per epoch; infinity where none was measured."""
        losses = [row.get("val_loss") for row in self.rows]
        return [math.inf if loss is None or math.isnan(loss) else float(loss) for loss in losses]

    def _best_index(self) -> int | None:
        losses = self._validation_losses()
        lowest = min(losses, default=math.inf)
        return losses.index(lowest) if lowest < math.inf else None

    def to_jsonl(self) -> str:
        """One line of JSON per epoch."""
        return "".join(json.dumps(row) + "\n" for row in self.rows)

    @classmethod
    def from_jsonl(cls, path: str | Path) -> History:
        """Read a run's metrics.jsonl. A last line that was not finished, since the run was killed, is left out.

        Raises `MissingFileError` where there is no such file, `CheckpointError` for one that holds something else.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
        except (OSError, UnicodeDecodeError) as error:
            kind = MissingFileError if isinstance(error, FileNotFoundError) else CheckpointError
            raise kind(f"{path}: the history cannot be read ({error})") from error
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        rows: list[Row] = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise CheckpointError(f"{path}: line {number} is no JSON ({error})") from error
            if not isinstance(row, dict):
                raise CheckpointError(f"{path}: line {number} is no JSON object")
            rows.append(cast("Row", row))
        return cls(rows)

    def __repr__(self) -> str:
        return f"History({len(self.rows)} epochs; {', '.join(self)})"
