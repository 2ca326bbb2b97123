"""The generator that ops and initialisers draw from where none is passed to them."""

from __future__ import annotations

from tinygrad_mlp.kernels.random import Generator

__all__ = ["default_generator", "manual_seed"]

default_generator = Generator(0)
"""Seeded with 0 when the process starts, so that a script without any seed gives the same numbers each time, too."""


def manual_seed(seed: int) -> Generator:
    """Start the default generator anew with this seed (0 to 2⁶⁴ − 1) and return it."""
    return default_generator.manual_seed(seed)
