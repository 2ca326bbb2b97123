"""The machine a benchmark runs on, and how much of it others took meanwhile. Standard library only.

Workers import this file in other Python environments, without this package.
"""

from __future__ import annotations

import gc
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["CpuClock", "ResidentMemory", "describe", "stay_on", "usable_cpus", "versions"]

_STAT = Path("/proc/stat")
_SELF = Path("/proc/self")
# Fields of the first line of /proc/stat, in ticks summed over CPUs: user, nice, system, idle, iowait, irq, softirq,
# steal. Guests' time is part of user and nice.
_BUSY, _STEAL = (0, 1, 2, 5, 6), 7
_FEATURES = ("sse2", "sse4_2", "avx", "avx2", "fma", "avx512f", "asimd", "sve")


def stay_on(cpu: int | None) -> None:
    """Keep the calling thread on this CPU; on any if it is None."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def usable_cpus() -> int:
    """How many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ticks() -> list[int] | None:
    try:
        return [int(field) for field in _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):  # no such file but on Linux; another layout
        return None


@dataclass(frozen=True)
class CpuClock:
    """A point in time: by the clock, by the CPU time of this process, by the CPU time of the whole machine."""

    wall: float
    own: float
    busy: float | None
    steal: float | None

    @classmethod
    def now(cls) -> CpuClock:
        """The present."""
        ticks = _ticks()
        wall, own = time.perf_counter(), time.process_time()
        if ticks is None:
            return cls(wall, own, None, None)
        rate = os.sysconf("SC_CLK_TCK")
        return cls(wall, own, sum(ticks[field] for field in _BUSY) / rate, ticks[_STEAL] / rate)

    def foreign_since(self, start: CpuClock) -> tuple[float | None, float | None]:
        """CPUs that other processes, and CPUs that other virtual machines (steal), took since `start`; None: unknown.

        1.0 is one whole CPU. The kernel counts in ticks of (mostly) 10 ms: over a block of 0.25 s, 0.04 is one tick.
        """
        wall = self.wall - start.wall
        if self.busy is None or start.busy is None or self.steal is None or start.steal is None or wall <= 0:
            return None, None
        foreign = self.busy - start.busy - (self.own - start.own)
        return max(foreign, 0.0) / wall, (self.steal - start.steal) / wall


@dataclass(frozen=True)
class ResidentMemory:
    """How much of this process is in memory at a point in time, from which on its peak counts."""

    resident: int
    """Bytes."""

    @classmethod
    def now(cls) -> ResidentMemory:
        """The present: garbage is collected, and the system forgets the peak so far. Raises `OSError` but on Linux."""
        gc.collect()
        (_SELF / "clear_refs").write_text("5", encoding="ascii")  # resets VmHWM, see proc(5)
        return cls(_status("VmRSS"))

    def growth(self) -> int:
        """How far the peak since then was above this, in bytes."""
        return _status("VmHWM") - self.resident


def _status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    lines = (line.split(":", 1) for line in (_SELF / "status").read_text(encoding="ascii").splitlines())
    return int(dict(lines)[field].split()[0]) * 1024


def _cpu_info() -> dict[str, str]:
    """The fields of the first CPU in /proc/cpuinfo; empty where there is none."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def describe() -> dict[str, Any]:
    """CPU, cores, vector features, memory, operating system."""
    info = _cpu_info()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "logical_cpus": os.cpu_count(),
        "usable_cpus": usable_cpus(),
        "features": [name for name in _FEATURES if name in flags],
        "memory_gib": _memory_gib(),
        "system": platform.platform(),
        "foreign_cpu_time": "from /proc/stat" if _ticks() is not None else "unknown on this system: no /proc/stat",
    }


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of these packages, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
