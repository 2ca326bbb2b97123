"""Compute `reference.npz` with PyTorch: `python tests/optim/make_reference.py`, anywhere where torch is installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import problem
import torch

LIBRARY = SimpleNamespace(**(vars(torch.optim.lr_scheduler) | vars(torch.optim)))


def trajectory(case: problem.Case, dtype: Any) -> np.ndarray:
    """All parameters, as one vector, after each step: (steps, 7)."""
    parameters = [torch.from_numpy(np.array(value)).requires_grad_() for value in problem.start(dtype)]
    optimizer = case(LIBRARY, parameters)
    rows = []
    for step in range(problem.STEPS):
        if step == problem.HALF_RATE_AT:
            optimizer.param_groups[0]["lr"] *= 0.5
        values = [parameter.detach().numpy() for parameter in parameters]
        for position, (parameter, gradient) in enumerate(zip(parameters, problem.gradients(values), strict=True)):
            present = problem.has_gradient(position, step)
            parameter.grad = torch.from_numpy(np.array(gradient)) if present else None
        optimizer.step()
        rows.append(np.concatenate([parameter.detach().numpy().ravel() for parameter in parameters]))
    return np.stack(rows)


def two_groups(kind: type = torch.optim.SGD, **options: Any) -> torch.optim.Optimizer:
    groups = [{"params": [torch.zeros(1)], "lr": rate} for rate in problem.GROUP_RATES]
    return kind(groups, **options)


def rates(optimizer: torch.optim.Optimizer, schedule: Any, *, metric: bool = False) -> np.ndarray:
    """Learning rate of both groups, and momentum, at the start and after each step: (steps + 1, 3)."""
    rows = []
    for step in range(problem.STEPS + 1):
        first = optimizer.param_groups[0]
        momentum = first["betas"][0] if "betas" in first else first["momentum"]
        rows.append([*(group["lr"] for group in optimizer.param_groups), momentum])
        if step < problem.STEPS:
            schedule.step(*([problem.metric(step)] if metric else []))
    return np.array(rows)


def main() -> None:
    warnings.simplefilter("ignore")  # schedules are stepped here without their optimizer
    found: dict[str, np.ndarray] = {}
    for name, case in problem.OPTIMIZERS.items():
        found[f"optimizer/{name}/float64"] = trajectory(case, np.float64)
        found[f"optimizer/{name}/float32"] = trajectory(case, np.float32)[problem.EVERY - 1 :: problem.EVERY]
    for name, case in problem.SCHEDULES.items():
        optimizer = two_groups(momentum=0.9)
        found[f"schedule/{name}"] = rates(optimizer, case(LIBRARY, optimizer))
    for name, case in problem.PLATEAUS.items():
        optimizer = two_groups(momentum=0.9)
        found[f"plateau/{name}"] = rates(optimizer, case(LIBRARY, optimizer), metric=True)
    optimizer = two_groups(torch.optim.Adam)
    found["schedule_adam/one_cycle"] = rates(optimizer, problem.SCHEDULES["one_cycle"](LIBRARY, optimizer))
    path = Path(__file__).with_name("reference.npz")
    np.savez_compressed(path, torch=np.array(torch.__version__), **found)
    print(f"{path}: {len(found)} arrays, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
