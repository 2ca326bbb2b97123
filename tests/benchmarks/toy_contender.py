"""NumPy by hand, but with the numbers of the workload that the variable PLANTED names changed."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from benchmarks.contenders.common import Handout, commands
from benchmarks.contenders.numpy_by_hand import NumpyStep
from benchmarks.workloads import Workload


class WrongStep(NumpyStep):
    def __init__(self, workload: Workload, handout: Handout, threads: int) -> None:
        planted = json.loads(os.environ["PLANTED"])
        if "die" in planted:
            os._exit(planted["die"])
        super().__init__(replace(workload, **planted), handout, threads)


COMMANDS = commands(WrongStep)
