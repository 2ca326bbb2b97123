"""What scripts that would use a GPU ask of `torch.cuda`: there is none here.

>>> device = "cuda" if tg.cuda.is_available() else "cpu"
"""

__all__ = ["device_count", "is_available", "manual_seed", "manual_seed_all"]


def is_available() -> bool:
    """False: this package computes on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: the GPU's generator does not exist; `tg.manual_seed` seeds the CPU's."""


def manual_seed_all(seed: int) -> None:
    """Nothing, as `manual_seed`."""
