"""Kernels in several threads and processes at once, in a process of its own: `python -m tests.kernels.at_once PART`.

Each part prints what it found; the tests compare.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.redzone import drivers, families
from tinygrad_mlp import nn, optim
from tinygrad_mlp.kernels.launch import KERNELS, Kernel


def digest(*arrays: Any) -> str:
    return hashlib.sha256(b"".join([array.tobytes() for array in arrays])).hexdigest()


def small_work() -> str:
    """Kernels that are never worth a second thread."""
    x = tg.Tensor(np.random.default_rng(1).normal(size=(8, 9)).astype(np.float32), requires_grad=True)
    F.layer_norm(F.gelu(x), 9).softmax(1).square().sum().backward()
    return digest(x.grad.array)


def large_work(seed: int = 0) -> str:
    """Three steps of a net whose products run on several threads: 256 · 300 · 256 multiply-adds."""
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Linear(300, 256), nn.Tanh(), nn.Linear(256, 10))
    with tg.no_grad():
        for parameter in net.parameters():
            parameter.copy_(tg.Tensor(rng.normal(size=parameter.shape).astype(np.float32) * 0.05))
    optimizer = optim.Adam(net.parameters())
    x, labels = tg.Tensor(rng.normal(size=(256, 300)).astype(np.float32)), tg.Tensor(rng.integers(0, 10, 256))
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()
    return digest(*[parameter.array for parameter in net.parameters()])


def python_threads() -> None:
    """Large and small work from six Python threads; the first launches compile, or load, in all of them at once."""
    with ThreadPoolExecutor(6) as pool:
        found = [pool.submit(work) for work in (large_work, small_work) * 12]
        results = [future.result() for future in found]
    print(sorted({*results}) == sorted({large_work(), small_work()}))


def fork() -> None:
    """A forked child, which finds code loaded and code still to be compiled, and its parent afterwards."""
    expected = large_work()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, f"{large_work()} {small_work()}".encode())
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(status, os.read(reader, 1000).decode() == f"{expected} {small_work()}", large_work() == expected)


def spawn() -> None:
    expected = large_work()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(set(pool.map(large_work, [0] * 4)) == {expected})


def all_parallel_kernels() -> None:
    """The bits that each parallel kernel writes on 4, 2 and 1 threads, launch by launch."""
    written: dict[int, dict[str, list[str]]] = {}
    for threads in (4, 2, 1):
        found: dict[str, list[str]] = {}
        note_results(found, "threaded_code" if threads > 1 else "serial_code")
        drivers.reseed()
        tg.manual_seed(0)
        families.large(np.float32, threads)
        written[threads] = found
    expected = {kernel.name for kernel in KERNELS.values() if kernel.parallel}
    print("not on several threads:", sorted(expected - set(written[4])))
    for threads in (4, 2):
        names = [name for name, results in written[threads].items() if not is_part(results, written[1][name])]
        print(f"other bits on {threads} threads than on one:", names)


def is_part(some: list[str], all_of_them: list[str]) -> bool:
    """Whether `some` come in this order among the others: on one thread the small launches are there too."""
    rest = iter(all_of_them)
    return all(result in rest for result in some)


def note_results(found: dict[str, list[str]], attribute: str) -> None:
    """Let code of this kind note a digest of what it writes, if it is a parallel kernel's."""

    def code(kernel: Kernel) -> Any:
        compiled: Callable[..., None] | None = vars(kernel)[attribute]
        if compiled is None or not kernel.parallel:
            return compiled

        def run(*args: Any) -> None:
            compiled(*args)
            found.setdefault(kernel.name, []).append(digest(*[args[place] for place in kernel.writes]))

        return run

    def set_code(kernel: Kernel, compiled: Any) -> None:
        vars(kernel)[attribute] = compiled

    setattr(Kernel, attribute, property(code, set_code))


if __name__ == "__main__":
    {each.__name__: each for each in (python_threads, fork, spawn, all_parallel_kernels)}[sys.argv[1]]()
