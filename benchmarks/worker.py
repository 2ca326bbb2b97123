"""The other side of `rounds.Worker`: import a module, run its commands on request. Standard library only.

    python -m benchmarks.worker benchmarks.contenders.numpy_by_hand

The module has `COMMANDS`, functions by name, whose arguments and results are JSON. Requests come as lines of JSON on
standard input, `{"command": "steps", "arguments": {"count": 100}}`; to each, one line goes back: `{"result": ...}`,
`{"error": "...", "traceback": "..."}`, or `{"missing": "torch"}` if the module needs a package that is not there.
What libraries print goes to standard error. The end of standard input ends the process.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TextIO

__all__ = ["serve"]


def _claim_pipes() -> tuple[TextIO, TextIO]:
    """Requests and replies, out of reach of whatever reads or prints in this process."""
    requests, replies = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def serve(commands: Mapping[str, Callable[..., Any]], requests: TextIO, replies: TextIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        request = json.loads(line)
        try:
            reply = {"result": commands[request["command"]](**request["arguments"])}
        except ModuleNotFoundError as error:  # a package that is imported when it is needed
            reply = {"missing": error.name}
        except Exception as error:  # whatever it is, the other side reports it
            reply = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        print(json.dumps(reply), file=replies, flush=True)


def _main(module: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the other side ends this one
    requests, replies = _claim_pipes()
    try:
        commands = importlib.import_module(module).COMMANDS
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "benchmarks":
            raise
        missing = error.name
        for _ in requests:
            print(json.dumps({"missing": missing}), file=replies, flush=True)
        return
    serve(commands, requests, replies)


if __name__ == "__main__":
    _main(sys.argv[1])
