"""Where a training step spends its time."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_mlp.autodiff.profile import Profile
from tinygrad_mlp.plot.canvas import blank_figure, check_count, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["step_times"]


@styled
def step_times(profile: Profile, title: str = "Kernels of a step", *, data: str = "", count: int = 20) -> Figure:
    """The slowest `count` kernels as bars, in microseconds, and what Python takes between them.

    Bars of products and convolutions say which share of the peak they reach.

    Raises `ArgumentError` for a count below 1.
    """
    check_count("step_times", count)
    kernels = profile.by_kernel()
    rows = [(kernel.name, kernel.seconds, kernel.multiply_adds) for kernel in kernels[:count]]
    if len(kernels) > count:
        rows.append((f"{len(kernels) - count} others", sum(kernel.seconds for kernel in kernels[count:]), 0))
    rows.append(("Python, between kernels", max(profile.seconds - profile.kernel_seconds, 0.0), 0))
    total = sum(seconds for _, seconds, _ in rows)
    caption = f"{profile.seconds * 1e6:,.0f} us in all."
    figure = blank_figure(7.0, 0.26 * len(rows) + 1.0, title, data, caption, layout="compressed")
    ax = figure.subplots()
    colors = ["C0"] * (len(rows) - 1) + ["0.6"]
    ax.barh(range(len(rows)), [seconds * 1e6 for _, seconds, _ in rows], color=colors)
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.invert_yaxis()
    ax.set_xlabel("us")
    for place, (_, seconds, multiply_adds) in enumerate(rows):
        share = f"{100 * seconds / total:.0f} %"
        if multiply_adds:
            share += f", {100 * multiply_adds / seconds / profile.peak:.0f} % of peak"
        ax.annotate(share, (seconds * 1e6, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7)
    ax.margins(x=0.22)
    return figure
