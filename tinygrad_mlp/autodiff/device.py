"""`device`: where tensors live. That is the CPU; scripts written for several devices name it all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tinygrad_mlp.errors import ArgumentError

__all__ = ["CPU", "DeviceLike", "check_device", "device", "names_device"]

_ELSEWHERE = ("cuda", "mps", "xpu", "hip", "xla", "meta")


@dataclass(frozen=True, init=False)
class device:  # noqa: N801  PyTorch's name
    """`tg.device("cpu")`, the only one.

    >>> device = tg.device("cuda" if tg.cuda.is_available() else "cpu")
    >>> x = tg.zeros(3, device=device)

    A device gives an equal one. Raises `ArgumentError` for any other.
    """

    type: str
    index: int | None

    def __init__(self, type: str | device = "cpu", index: int | None = None) -> None:
        name, colon, number = str(type).partition(":")
        if name != "cpu" or (colon and not number.isdecimal()):
            raise ArgumentError(_no_such("device", str(type)))
        object.__setattr__(self, "type", name)
        object.__setattr__(self, "index", int(number) if colon else index)

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


CPU = device()

DeviceLike: TypeAlias = device | str


def check_device(name: str, wanted: DeviceLike | None) -> None:
    """Raise `ArgumentError`, naming the op, unless the device is the CPU, or None for the usual one."""
    if wanted is None or isinstance(wanted, device) or (isinstance(wanted, str) and wanted.partition(":")[0] == "cpu"):  # pyright: ignore[reportUnnecessaryIsInstance]
        return
    raise ArgumentError(_no_such(name, str(wanted)))


def names_device(value: object) -> bool:
    """Whether the value is a device, or the name of one that PyTorch knows, and not a dtype."""
    return isinstance(value, device) or (isinstance(value, str) and value.partition(":")[0] in ("cpu", *_ELSEWHERE))


def _no_such(name: str, wanted: str) -> str:
    return f"{name}: there is no device {wanted!r} here; this package computes on the CPU alone"
