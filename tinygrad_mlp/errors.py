"""The package's own errors: each is also the built-in error that a NumPy or PyTorch user would catch."""

__all__ = [
    "ArgumentError",
    "CaptureError",
    "CheckpointError",
    "DataError",
    "DtypeError",
    "GradientError",
    "IndexRangeError",
    "MissingDataError",
    "MissingFileError",
    "NonFiniteError",
    "ShapeError",
    "TinygradError",
    "UnknownAttributeError",
    "UnknownImportError",
    "UnknownKeyError",
    "WorkerError",
]


class TinygradError(Exception):
    """Base of every error that this package raises on purpose."""


class ShapeError(TinygradError, ValueError):
    """Shapes do not fit an op, a layer or a loss."""


class DtypeError(TinygradError, TypeError):
    """A dtype does not fit: float32 met float64, float labels, an integer that should carry a gradient."""


class ArgumentError(TinygradError, ValueError):
    """An argument's value is impossible: a negative learning rate, an unknown name, a hidden size of 0."""


class IndexRangeError(TinygradError, IndexError):
    """A label or an index lies outside its range."""


class UnknownKeyError(ArgumentError, KeyError):
    """A container has nothing under this key."""

    __str__ = Exception.__str__  # that of KeyError would quote the message


class GradientError(TinygradError, RuntimeError):
    """The graph cannot give this gradient: freed, changed in place, or without a derivative."""


class NonFiniteError(TinygradError, ArithmeticError):
    """A NaN or an infinity where training must not go on."""


class DataError(TinygradError, ValueError):
    """A data file is missing, damaged or not what its checksum says, or a split is used against its purpose."""


class MissingDataError(DataError, FileNotFoundError):
    """Data files are nowhere to be found (and not: found but damaged)."""


class CheckpointError(TinygradError, ValueError):
    """A checkpoint or a state dict is damaged or belongs to another net."""


class MissingFileError(CheckpointError, FileNotFoundError):
    """There is no checkpoint, or no other file of a run, of this name."""


class CaptureError(TinygradError, RuntimeError):
    """A step cannot be recorded: Python read a value while it was captured."""


class UnknownAttributeError(TinygradError, AttributeError):
    """There is no attribute of this name: most often a typo, or in a module `super().__init__()` was forgotten."""


class UnknownImportError(TinygradError, ImportError):
    """A module has no such name to import."""


class WorkerError(TinygradError, RuntimeError):
    """A worker process of an experiment died."""
