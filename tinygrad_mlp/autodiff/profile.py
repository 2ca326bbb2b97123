"""Where a step spends its time: kernel by kernel, of eager code (`profile`) and of a captured step (`explain`)."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from rich.console import Console
from rich.table import Table

from tinygrad_mlp.kernels.observe import observed
from tinygrad_mlp.kernels.profiler import KernelTime, Profiler, measured_peak

__all__ = ["Profile", "profile"]


class Profile:
    """Times of kernels, and what is known of them. `print` shows a table, `tg.plot.step_times` draws them.

    Attributes
    ----------
    kernels:
        One row for each launch of a captured step, or for each place of eager code that launches. Seconds, bytes of
        the arrays, multiply-adds, threads, the launching function, and the modules.
    seconds:
        Of the whole, Python's part included.
    peak:
        Multiply-adds a second that a product reaches whose numbers stay in the cache, on all threads.
    """

    def __init__(self, kernels: list[KernelTime], seconds: float, peak: float) -> None:
        self.kernels = kernels
        self.seconds = seconds
        self.peak = peak

    @property
    def kernel_seconds(self) -> float:
        """Of all kernels together."""
        return sum(kernel.seconds for kernel in self.kernels)

    def by_kernel(self) -> list[KernelTime]:
        """One row for each kernel, the slowest first."""
        return sorted(_added(self.kernels, lambda kernel: kernel.name), key=lambda kernel: -kernel.seconds)

    def table(self) -> Table:
        """A row for each kernel at each place, in the order of their first launches."""
        total = max(self.seconds, self.kernel_seconds)
        table = Table(title="Kernels of a step", caption=self._caption())
        for name in ("kernel", "from"):
            table.add_column(name)
        for name in ("calls", "us", "%", "MB", "GB/s", "GFLOP/s", "% of peak"):
            table.add_column(name, justify="right")
        for kernel in _added(self.kernels, lambda kernel: (kernel.name, _place(kernel))):
            table.add_row(*_cells(kernel, total, self.peak))
        rest = max(self.seconds - self.kernel_seconds, 0.0)
        table.add_section()
        table.add_row("Python, between kernels", "", "", f"{rest * 1e6:,.0f}", f"{100 * rest / total:.0f}")
        return table

    def _caption(self) -> str:
        counted = sum(kernel.multiply_adds for kernel in self.kernels)
        return (
            f"{self.seconds * 1e6:,.0f} us in all, {counted:,} multiply-adds; peak {2 * self.peak / 1e9:,.0f} GFLOP/s, "
            "measured on a product in the cache"
        )

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=120)
        console.print(self.table())
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue().rstrip()

    def __repr__(self) -> str:
        return f"<Profile: {len(self.kernels)} rows, {self.seconds * 1e6:,.0f} us>"


class profile:  # noqa: N801  a context, named like `no_grad`
    """Time each kernel of the code inside; use it a second time for times without compilation.

    Launches from one place are one row. Captured steps run eagerly in here, so that each kernel can be seen.

    >>> with tg.profile() as times:
    ...     loss = F.cross_entropy(net(x), y)
    ...     loss.backward()
    >>> print(times.result)
    """

    result: Profile

    def __enter__(self) -> profile:
        self._profiler = Profiler()
        self._context = observed(self._profiler)
        self._context.__enter__()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._start
        self._context.__exit__(kind, error, trace)
        rows = _added(self._profiler.times, lambda kernel: (kernel.name, kernel.source))
        self.result = Profile(rows, seconds, measured_peak())

    def __str__(self) -> str:
        return str(self.result)


def _added(kernels: list[KernelTime], key: Callable[[KernelTime], object]) -> list[KernelTime]:
    """Rows of one key put together."""
    groups: dict[object, KernelTime] = {}
    for kernel in kernels:
        name = key(kernel)
        earlier = groups.get(name)
        groups[name] = kernel if earlier is None else _sum(earlier, kernel)
    return list(groups.values())


def _sum(a: KernelTime, b: KernelTime) -> KernelTime:
    return replace(
        a,
        calls=a.calls + b.calls,
        seconds=a.seconds + b.seconds,
        bytes=a.bytes + b.bytes,
        multiply_adds=a.multiply_adds + b.multiply_adds,
        threads=max(a.threads, b.threads),
    )


def _place(kernel: KernelTime) -> str:
    return kernel.path or kernel.source


def _cells(kernel: KernelTime, total: float, peak: float) -> list[str]:
    seconds = max(kernel.seconds, 1e-9)
    rate, share = kernel.multiply_adds / seconds, kernel.seconds / total
    cells = [kernel.name, _place(kernel), f"{kernel.calls:,}", f"{kernel.seconds * 1e6:,.1f}", f"{100 * share:.0f}"]
    cells += [f"{kernel.bytes / 1e6:,.2f}", f"{kernel.bytes / seconds / 1e9:,.1f}"]
    if kernel.multiply_adds:
        cells += [f"{2 * rate / 1e9:,.0f}", f"{100 * rate / peak:.0f}"]
    return cells
