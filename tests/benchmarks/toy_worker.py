"""A module for `benchmarks.worker`: adds numbers, and misbehaves on request."""

from __future__ import annotations

import os
import sys
import time

from benchmarks.rounds import timed_command

STATE = {"size": 0}


def prepare(size: int) -> int:
    print("libraries print, which must not be taken for a reply")
    STATE["size"] = size
    return size


def crash() -> None:
    print("about to end", file=sys.stderr, flush=True)
    os._exit(3)


def fail() -> None:
    raise ValueError("a planted fault")


def need() -> None:
    import no_such_package  # noqa: F401  # pyright: ignore[reportMissingImports]


def run(count: int) -> None:
    for _ in range(count):
        sum(range(STATE["size"]))


def environment() -> dict[str, str]:
    return dict(os.environ)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


COMMANDS = {
    "prepare": prepare,
    "crash": crash,
    "fail": fail,
    "need": need,
    "environment": environment,
    "sleep": sleep,
    "timed": timed_command(run),
}
