"""Every op against its row of the case table, and a row for every op."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_mlp as tg
from tests.autodiff.cases import CASES
from tinygrad_mlp.autodiff import engine, ops
from tinygrad_mlp.autodiff.op import OPS
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.nn import functional
from tinygrad_mlp.testing import Arguments, OpCase, check_case

ROWS = {str(case).split()[0] for case in CASES}
FAMILIES = [importlib.import_module(f"{ops.__name__}.{module.name}") for module in pkgutil.iter_modules(ops.__path__)]

PROMISED = """
    add sub mul div pow neg matmul __matmul__ mm bmm mv dot exp exp2 expm1 log log1p log2 sqrt rsqrt abs sign square
    reciprocal sin cos tanh erf floor ceil round sum mean prod max min amax amin argmax argmin var std norm cumsum
    logsumexp softmax log_softmax reshape view permute transpose T squeeze unsqueeze flatten expand pad flip roll cat
    stack split chunk getitem __setitem__ gather index_select take_along_dim one_hot where masked_fill maximum minimum
    clamp tril triu einsum outer topk sort any all isfinite eq ne lt le gt ge relu leaky_relu elu gelu silu sigmoid
    logsigmoid softplus hardtanh linear embedding dropout batch_norm layer_norm normalize cross_entropy nll_loss
    mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div
"""

# Ops that differences in float64 say nothing about, with the tests that do.
WITHOUT_GRADIENT_ROW = {"convert": "changes the dtype: test_shape"}

# Methods without a row, and why.
WITHOUT_ROW = {
    "float": "changes the dtype: test_shape",
    "double": "changes the dtype: test_shape",
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case):
    check_case(case)


def test_names_of_rows_differ():
    names = [str(case) for case in CASES]
    assert len(set(names)) == len(names)


def test_what_was_promised_has_rows():
    assert [name for name in PROMISED.split() if name not in ROWS] == []


def test_every_method_has_a_row():
    methods = {name for family in FAMILIES for name in getattr(family, "METHODS", {})}
    assert methods - ROWS - set(WITHOUT_ROW) == set()
    assert set(WITHOUT_ROW) <= methods - ROWS, "an exception that is none"


def functions_of(space: object) -> dict[str, object]:
    """The functions of tensors that a module exports."""
    found = {name: getattr(space, name) for name in space.__all__}
    return {name: f for name, f in found.items() if getattr(f, "__module__", "").startswith(ops.__name__)}


def test_every_function_of_the_package_has_a_row():
    assert set(functions_of(tg)) - ROWS == set()
    assert set(functions_of(functional)) - ROWS == set()
    assert len(functions_of(tg)) > 80


def test_functions_and_methods_of_one_name_are_one():
    for space in (tg, functional):
        for name, function in functions_of(space).items():
            method = getattr(Tensor, name, function)
            assert method is function or name in ("where", "split"), name
    x, condition, other = Tensor(np.arange(3.0)), Tensor(np.array([True, False, True])), Tensor(np.full(3, 9.0))
    assert x.where(condition, other).tolist() == tg.where(condition, x, other).tolist() == [0, 9, 2]


def names_in_graph(outputs: Sequence[Tensor]) -> Iterator[str]:
    """Names of the ops that computed these tensors."""
    stack, seen = list(outputs), set()
    while stack:
        tensor = stack.pop()
        if tensor.node is None or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        yield tensor.node.name
        stack.extend(parent for parent in tensor.node.inputs if parent is not None)


def ops_in(case: OpCase) -> set[str]:
    """Names of the ops that a row runs, forward and in its recorded gradient."""
    found = set()

    # Two of each row are enough to meet all ops, as the test says; always the same, as others might not be.
    @settings(max_examples=2, derandomize=True)
    @given(inputs=case.inputs)
    def run(inputs):
        call = (
            inputs if isinstance(inputs, Arguments) else Arguments(inputs if isinstance(inputs, tuple) else (inputs,))
        )
        forward, tensors = call.bind(case.op, np.float64)
        leaves = [tensor for tensor in tensors if tensor.requires_grad]
        outputs = [output for output in forward() if output.requires_grad]
        weights = [Tensor(np.ones(output.shape), requires_grad=True) for output in outputs]
        gradients = engine.grad(outputs, leaves, weights, create_graph=True, allow_unused=True) if outputs else ()
        found.update(names_in_graph([*outputs, *[gradient for gradient in gradients if gradient is not None]]))

    run()
    return found


def test_every_registered_op_is_run_and_differentiated_by_a_row():
    covered = set().union(*[ops_in(case) for case in CASES if case.differentiable])
    assert set(OPS) - covered - set(WITHOUT_GRADIENT_ROW) == set()
    assert set(WITHOUT_GRADIENT_ROW) <= set(OPS) - covered, "an exception that is none"
