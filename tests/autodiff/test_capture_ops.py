"""`capture`: every op of the case table replays, forward and backward, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import tinygrad_mlp as tg
from tests.autodiff.cases import CASES
from tests.autodiff.twins import bits
from tinygrad_mlp.autodiff.capture import capture
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import CaptureError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.testing import Arguments, Constant, OpCase

# Rows whose results lie in no kernel: their shape depends on the numbers, or they draw from a generator that the row
# makes anew each time, which is Python's work.
REFUSED = {
    *("getitem masks", "getitem mixed", "__setitem__", "nonzero", "unique", "bincount", "equal", "allclose"),
    *("dropout", "dropout1d", "dropout2d", "uniform_", "normal_"),
}


def rolled(entry: Any, by: int) -> Any:
    """An argument with its elements moved on: other numbers that the op takes as well."""
    array = entry.array if isinstance(entry, Constant) else entry
    if not isinstance(array, np.ndarray):
        return array
    moved = np.roll(array.ravel(), by).reshape(array.shape)
    return Tensor(moved.astype(np.float32) if moved.dtype.kind == "f" else moved)


def as_step(case: OpCase, call: Arguments) -> Callable[..., Any]:
    """A step that runs the op on leaves of its own, goes back from the squares of its results, and gives gradients."""
    entries, names = [*call.args, *call.kwargs.values()], list(call.kwargs)

    def leaf_of(value: Any, entry: Any) -> Any:
        is_leaf = case.differentiable and isinstance(value, Tensor) and not isinstance(entry, Constant)
        return value.detach().requires_grad_() if is_leaf and value.dtype.kind == "f" else value

    def step(*values: Any) -> Any:
        leaves = [leaf_of(value, entry) for value, entry in zip(values, entries, strict=True)]
        result = case.op(*leaves[: len(call.args)], **dict(zip(names, leaves[len(call.args) :], strict=True)))
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        for output in outputs:
            if isinstance(output, Tensor) and output.requires_grad:
                (output * output).sum().backward(retain_graph=True)
        gradients = [leaf.grad for leaf in leaves if isinstance(leaf, Tensor) and leaf.requires_grad]
        return [output.detach() if isinstance(output, Tensor) else output for output in outputs], gradients

    return step


def outcome(step: Callable[..., Any], values: list[Any]) -> Any:
    """The bits of its result, or its error (on rolled numbers not every op is defined)."""
    try:
        return bits(step(*values))
    except CaptureError:
        raise
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_op_replays_with_the_bits_of_eager_calls(case: OpCase) -> None:
    refused, replayed = False, False

    # Of some rows only a part is refused: enough examples to meet one.
    examples = 20 if case.name in REFUSED else 6

    @settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs=case.inputs)
    def check(inputs: Any) -> None:
        nonlocal refused, replayed
        call = (
            inputs if isinstance(inputs, Arguments) else Arguments(inputs if isinstance(inputs, tuple) else (inputs,))
        )
        step, entries = as_step(case, call), [*call.args, *call.kwargs.values()]
        captured = capture(step)
        try:
            for by in (0, 1, 2, 0, 3):
                expected = outcome(step, [rolled(entry, by) for entry in entries])
                assert outcome(captured, [rolled(entry, by) for entry in entries]) == expected
        except CaptureError:
            refused = True
        else:
            assert not captured.stays_eager
            replayed = replayed or bool(captured.recordings)

    check()
    assert refused == (case.name in REFUSED)
    assert replayed or refused, "it raised an error for all that was drawn"


# Ops that read numbers in Python

READERS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "mask": lambda x, mask: x[mask].sum(),
    "nonzero": lambda x, mask: x[mask.nonzero(as_tuple=True)].sum(),
    "unique": lambda x, mask: tg.unique(mask.long()),
    "bincount": lambda x, mask: tg.bincount(mask.long(), minlength=3),
    "one_hot": lambda x, mask: F.one_hot(mask[2:].long()),
    "equal": lambda x, mask: x * (2.0 if tg.equal(mask, mask[:1].expand(3)) else 3.0),
    "allclose": lambda x, mask: x * (2.0 if tg.allclose(mask.float(), tg.ones(3)) else 3.0),
}


@pytest.mark.parametrize("op", READERS.values(), ids=READERS)
def test_ops_that_read_numbers_in_python_are_refused_at_the_first_call(op: Callable[[Tensor, Tensor], Any]) -> None:
    """Not only when the numbers change: a replay would repeat what they were in the first two calls."""
    with pytest.raises(CaptureError, match="reads a tensor's numbers"):
        capture(op)(Tensor(np.ones(3, np.float32)), Tensor(np.array([True, True, True])))


@pytest.mark.parametrize("op", [lambda x, index: x.index_select(0, index), lambda x, index: F.embedding(index, x)])
def test_the_text_of_a_bad_index_is_the_eager_one(op: Callable[[Tensor, Tensor], Tensor]) -> None:
    captured, x = capture(op), tg.ones(3, 2)
    for _ in range(3):
        captured(x, Tensor(np.array([0, 1])))
    texts: list[str] = []
    for call in (op, captured):
        with pytest.raises(tg.errors.IndexRangeError) as error:
            call(x, Tensor(np.array([0, 7])))
        texts.append(str(error.value))
    assert texts[0] == texts[1]


def test_a_negative_index_of_index_select_raises_in_a_replay() -> None:
    captured = capture(lambda x, index: x.index_select(0, index))
    x = Tensor(np.arange(3.0))
    for _ in range(3):
        captured(x, Tensor(np.array([0, 1])))
    with pytest.raises(tg.errors.IndexRangeError, match="index -1 is out of range"):
        captured(x, Tensor(np.array([0, -1])))


# Operands that are copied before a kernel gets them

WEIGHT = tg.ones(4, 2, requires_grad=True)
PREPARED: dict[str, Callable[[Tensor], Any]] = {
    "rows by uint8": lambda x: tg.arange(2048.0).reshape(8, 256)[x.to(tg.uint8)[0]],
    "negative strides": lambda x: Tensor(x.array[:, ::-1]) @ tg.ones(4, 2),
    "negative strides on the right": lambda x: tg.ones(2, 4) @ Tensor(x.array[::-1]),
    "strides in both dims on the right": lambda x: tg.ones(3, 2) @ x[::2, ::2],
    "a repeated gradient": lambda x: tg.grad((x @ WEIGHT).sum().square(), WEIGHT),
}


@pytest.mark.parametrize("step", PREPARED.values(), ids=PREPARED)
def test_an_operand_that_is_copied_for_a_kernel_is_copied_in_each_replay(step: Callable[[Tensor], Any]) -> None:
    captured = capture(step)
    for number in range(4):
        x = Tensor(np.random.default_rng(number).integers(0, 8, (4, 4)).astype(np.float32))
        assert bits(captured(x)) == bits(step(x))
    assert len(captured.recordings) == 1
