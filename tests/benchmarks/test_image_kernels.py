"""The kernel table's calls on images: which there are, that ours compute what the reference does, and their table."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks import kernel_table, peak, reference
from benchmarks.kernel_calls import operands
from benchmarks.kernel_calls.case import Case
from benchmarks.kernel_calls.image_cases import IMAGE_CASES
from benchmarks.kernel_calls.images_by_ours import IMAGE_BUILDERS
from benchmarks.kernel_table import KernelTable, Timing
from benchmarks.workloads import WORKLOADS, Workload

SHAPE = [3, 5, 6, 6]


def _convs(workload: Workload) -> set[tuple[int, ...]]:
    """(batch, size, inputs, outputs, kernel, stride) of every convolution of a net."""
    size, found = 28, set[tuple[int, ...]]()
    for kind, *sizes in workload.layers:
        if kind == "conv":
            found.add((workload.batch, size, *map(int, sizes), 1))
        elif kind == "max_pool":
            size //= int(sizes[0])
        elif kind == "residual":
            inputs, outputs, stride = map(int, sizes)
            found.add((workload.batch, size, inputs, outputs, 3, stride))
            if (inputs, stride) != (outputs, 1):
                found.add((workload.batch, size, inputs, outputs, 1, stride))
            size //= stride
            found.add((workload.batch, size, outputs, outputs, 3, 1))
    return found


def _shape_of(case: Case) -> tuple[int, ...]:
    return tuple(case.arguments[key] for key in ("batch", "size", "inputs", "outputs", "kernel", "stride"))


@pytest.mark.parametrize("net", ["W5", "W6", "W8"])
def test_every_convolution_of_a_net_is_there_forward_and_backward(net: str) -> None:
    cases = [case for case in IMAGE_CASES if case.kind == "conv" and net in case.nets.split()]
    assert {_shape_of(case) for case in cases} == _convs(WORKLOADS[net])
    for case in cases:
        passes = {other.arguments["which"] for other in cases if _shape_of(other) == _shape_of(case)}
        assert passes == ({"forward", "dx", "dw", "dx dw"} if case.arguments["inputs"] > 1 else {"forward", "dw"})


def test_work_of_a_convolution() -> None:
    named = {case.name: case for case in IMAGE_CASES}
    forward = named["conv forward: 128·14² 32→64 3×3 /2"]
    assert forward.work == 2 * 128 * 7 * 7 * 64 * 9 * 32
    assert named["conv dx dw: 128·14² 32→64 3×3 /2"].work == 2 * forward.work
    assert named["batch norm backward: 128·28² 32"].work == 3 * 4 * 128 * 28 * 28 * 32


def _channels_last(images: operands.Array) -> Any:
    return images.transpose(0, 2, 3, 1).astype(np.float64)


def _expected(rule: Callable[..., Any], which: str, images: operands.Array, *parameters: Any) -> list[Any]:
    """What a call is to compute, by the reference: the output, or the gradients for x and all parameters."""
    out, backward = rule(_channels_last(images), *parameters)
    if which == "forward":
        return [out]
    grad = operands.image_numbers(out.transpose(0, 3, 1, 2).shape, 2)
    return backward(_channels_last(grad))


def _assert_alike(found: Any, expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        like_memory = ours.transpose(0, 2, 3, 1) if ours.ndim == 4 and ours.shape != theirs.shape else ours
        np.testing.assert_allclose(like_memory, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 2)])
@pytest.mark.parametrize("which", ["forward", "dx", "dw", "dx dw"])
def test_our_convolutions(which: str, kernel: int, stride: int) -> None:
    call = IMAGE_BUILDERS["conv"](which, batch=3, size=6, inputs=4, outputs=5, kernel=kernel, stride=stride)
    assert call is not None
    images, weight = operands.image_numbers((3, 4, 6, 6), 1), operands.kernel_numbers(5, 4, kernel)
    expected = _expected(reference._conv(stride), which, images, weight.astype(np.float64))
    wanted = {"forward": [0], "dx": [0], "dw": [1], "dx dw": [0, 1]}[which]
    _assert_alike(call.results(), [expected[place] for place in wanted])


_ONES_AND_ZEROS = (np.ones(5), np.zeros(5))
_LAYERS = {
    "batch_norm": (reference._batch_norm, _ONES_AND_ZEROS),
    "batch_norm_relu": (reference._chain((reference._batch_norm, 2), (reference._relu, 0)), _ONES_AND_ZEROS),
    "max_pool": (reference._max_pool(2), ()),
    "average_pool": (lambda x: _with_pixels(*reference._average_pool(x)), ()),
}


def _with_pixels(out: Any, backward: Callable[[Any], Any]) -> tuple[Any, Callable[[Any], Any]]:
    """(N, C) as images of one pixel."""
    return out[:, None, None], lambda grad: backward(grad[:, 0, 0])


@pytest.mark.parametrize("which", ["forward", "backward"])
@pytest.mark.parametrize("kind", list(_LAYERS))
def test_our_layers(kind: str, which: str) -> None:
    call = IMAGE_BUILDERS[kind](which=which, shape=SHAPE)
    assert call is not None
    rule, parameters = _LAYERS[kind]
    _assert_alike(call.results(), _expected(rule, which, operands.image_numbers(SHAPE, 1), *parameters))


def test_every_kind_is_built_and_fits_its_arguments() -> None:
    assert {case.kind for case in IMAGE_CASES} == set(IMAGE_BUILDERS)
    for case in IMAGE_CASES:
        inspect.signature(IMAGE_BUILDERS[case.kind]).bind(**case.arguments)


def test_images_have_a_table_of_their_own_beside_both_memory_formats() -> None:
    rates = tuple(peak.Rate("multiply-add", "float32", n, 1000.0 * n, 900.0, "GFLOP/s") for n in (1, 2))
    timings = [
        Timing(kernel_table.CASES[name], contender, 1, (kernel_table.CASES[name].work / rate,) * 3)
        for name, found in {
            "conv dx: 64·28² 32→32 3×3": {kernel_table.OURS: 5e11, "PyTorch": 2e11, "channels_last": 4e11},
            "NN 512×784×128": {kernel_table.OURS: 5e11, "PyTorch": 2e11},
        }.items()
        for contender, rate in found.items()
    ]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(KernelTable(tuple(timings), peak.Peaks(rates, 512, {}), {}).table())
    plain, of_images = capture.get().split("Kernels on images")
    row = next(line for line in of_images.splitlines() if "conv dx" in line)
    assert re.findall(r"[\d.]+", row.split("W5")[1]) == ["500", "200", "400", "1.25", "50"]
    assert "ch_last" in of_images
    assert "ch_last" not in plain
    assert "conv" not in plain
    assert "NN" not in of_images
