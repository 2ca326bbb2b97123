"""What scripts ask of `torch.backends`: libraries for GPUs, which are not here. Results are deterministic anyway."""

__all__ = ["cudnn", "mps"]


class _Backend:
    """A library that is not here; `tg.backends.cudnn.deterministic = True` may be said, and changes nothing."""

    deterministic: bool = True
    benchmark: bool = False

    def is_available(self) -> bool:
        """False."""
        return False


cudnn = _Backend()
mps = _Backend()
