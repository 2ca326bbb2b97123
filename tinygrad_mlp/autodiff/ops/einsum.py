"""Einstein summation, made of permute, reshape, matmul and sum: differentiable because they are.

`"bij,bjk->bik"` labels each dimension of each operand. Labels that the output does not have are summed over. Operands
are contracted from left to right; a pair is one batched matrix product, whose dimensions are, by their labels:

    batch     in both operands and still needed
    inner     in both and no longer needed: summed over
    rows, columns     in the left operand only, in the right one only
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from string import ascii_letters
from typing import cast

from tinygrad_mlp.autodiff.ops.checks import check_floats
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError

__all__ = ["einsum"]

Labels = tuple[str, ...]


def einsum(equation: str, *operands: Tensor | Sequence[Tensor]) -> Tensor:
    """Sum of products of the operands' elements, by labels for their dimensions.

    Parameters
    ----------
    equation:
        One letter a dimension, operands parted by commas: "ij,jk->ik" is a matrix product, "ii" a trace, "ij->ji" a
        transpose, "...ij,...jk->...ik" a product of stacks of matrices. Without "->" the output has, in alphabetical
        order, the labels that stand once. Dimensions under "..." broadcast.
    operands:
        Floating-point, of one dtype; at least one. Or one list of them.

    Raises
    ------
    ArgumentError
        The equation cannot be read, or does not fit the number of operands.
    ShapeError
        A label stands for two sizes, or an operand has another number of dimensions than labels.

    Example
    -------
    >>> x = tg.arange(4.0).reshape(2, 2)
    >>> tg.einsum("ii", x), tg.einsum("ij,kj->ik", x, x)[1, 1]
    (tensor(3.), tensor(13.))
    """
    tensors = cast("tuple[Tensor, ...]", operands)
    if len(operands) == 1 and isinstance(operands[0], Sequence):
        tensors = tuple(operands[0])
    check_floats("einsum", **{f"operand {position}": operand for position, operand in enumerate(tensors)})
    inputs, output = _parsed(equation, tensors)
    _check_sizes(equation, inputs, tensors)
    terms = [_without_repeats(operand, labels) for operand, labels in zip(tensors, inputs, strict=True)]
    terms = _broadcast_dropped(terms)
    result, labels = terms[0]
    for position, (operand, operand_labels) in enumerate(terms[1:], start=1):
        needed = {*output, *(label for _, later in terms[position + 1 :] for label in later)}
        result, labels = _contract(result, labels, operand, operand_labels, needed)
    result, labels = _summed(result, labels, set(output))
    return result.permute(*[labels.index(label) for label in output]) if labels != output else result


def _parsed(equation: str, operands: tuple[Tensor, ...]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the output; dimensions under "..." are labelled "0", "1", … from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    written = left.split(",")
    if len(written) != len(operands) or not operands:
        raise ArgumentError(f"einsum: {equation!r} has {len(written)} operands, got {len(operands)}")
    for part in [*written, right]:
        if part.count("...") > 1 or set(part.replace("...", "")) - set(ascii_letters):
            raise ArgumentError(f"einsum: cannot read {part!r} in {equation!r}; expected letters and at most one '...'")
    inputs = [_labels_of(part, operand, equation) for part, operand in zip(written, operands, strict=True)]
    hidden = max((label for labels in inputs for label in labels if label.isdigit()), key=int, default="-1")
    ellipsis = tuple(str(i) for i in range(int(hidden), -1, -1))
    if arrow:
        head, dots, tail = right.partition("...")
        output = (*head, *(ellipsis if dots else ()), *tail)
    else:
        counts = Counter(left)
        output = (*ellipsis, *sorted(label for label in counts if counts[label] == 1 and label.isalpha()))
    unknown = set(output) - {label for labels in inputs for label in labels}
    if unknown or len(set(output)) < len(output):
        raise ArgumentError(f"einsum: the output of {equation!r} must name labels of the operands, each once")
    return inputs, output


def _labels_of(part: str, operand: Tensor, equation: str) -> Labels:
    head, dots, tail = part.partition("...")
    hidden = operand.ndim - len(head) - len(tail)
    if hidden < 0 or (hidden > 0 and not dots):
        labels = len(head) + len(tail)
        raise ShapeError(
            f"einsum: {part!r} in {equation!r} has {labels} labels, but its operand has shape {operand.shape}"
        )
    return (*head, *(str(i) for i in range(hidden - 1, -1, -1)), *tail)


def _check_sizes(equation: str, inputs: list[Labels], operands: tuple[Tensor, ...]) -> None:
    sizes: dict[str, int] = {}
    for labels, operand in zip(inputs, operands, strict=True):
        for label, size in zip(labels, operand.shape, strict=True):
            known = sizes.setdefault(label, size)
            if label.isdigit() and 1 in (known, size):
                sizes[label] = max(known, size) if 0 not in (known, size) else 0
            elif known != size:
                raise ShapeError(
                    f"einsum: in {equation!r} the label {label!r} stands for sizes {known} and {size}; shapes are "
                    + ", ".join(str(tensor.shape) for tensor in operands)
                )


def _without_repeats(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """Of a dimension that stands twice, take the diagonal: "ii" becomes "i"."""
    for label in labels:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            size = x.shape[first]
            others = [dim for dim in range(x.ndim) if dim not in (first, second)]
            kept = [x.shape[dim] for dim in others]
            flat = x.permute(*others, first, second).reshape(*kept, size * size)
            x = flat[..., :: size + 1]  # entries (0, 0), (1, 1), … of each matrix
            labels = (*(labels[dim] for dim in others), label)
    return x, labels


def _broadcast_dropped(terms: list[tuple[Tensor, Labels]]) -> list[tuple[Tensor, Labels]]:
    """Leave out dimensions of size 1 that another operand has longer: an absent label broadcasts."""
    sizes: dict[str, int] = {}
    for x, labels in terms:
        for label, size in zip(labels, x.shape, strict=True):
            sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
    dropped: list[tuple[Tensor, Labels]] = []
    for x, labels in terms:
        dims = [dim for dim, label in enumerate(labels) if x.shape[dim] == 1 and sizes[label] != 1]
        kept = tuple(label for dim, label in enumerate(labels) if dim not in dims)
        dropped.append((x.squeeze(dims) if dims else x, kept))
    return dropped


def _summed(x: Tensor, labels: Labels, needed: set[str]) -> tuple[Tensor, Labels]:
    """Sum over the dimensions that nobody needs any more."""
    dims = [dim for dim, label in enumerate(labels) if label not in needed]
    return (x.sum(dims) if dims else x), tuple(label for label in labels if label in needed)


def _contract(x: Tensor, x_labels: Labels, y: Tensor, y_labels: Labels, needed: set[str]) -> tuple[Tensor, Labels]:
    """Multiply two operands and sum over their common labels that are not needed."""
    x, x_labels = _summed(x, x_labels, {*needed, *y_labels})
    y, y_labels = _summed(y, y_labels, {*needed, *x_labels})
    common = [label for label in x_labels if label in y_labels]
    batch = [label for label in common if label in needed]
    inner = [label for label in common if label not in needed]
    rows = [label for label in x_labels if label not in common]
    columns = [label for label in y_labels if label not in common]
    sizes = {**dict(zip(x_labels, x.shape, strict=True)), **dict(zip(y_labels, y.shape, strict=True))}
    # (batch, rows, inner) @ (batch, inner, columns) -> (batch, rows, columns)
    left = _grouped(x, x_labels, batch, rows, inner)
    right = _grouped(y, y_labels, batch, inner, columns)
    product = left @ right if inner else left * right  # without inner labels: (…, 1) times (1, …)
    labels = (*batch, *rows, *columns)
    return product.reshape(*[sizes[label] for label in labels]), labels


def _grouped(x: Tensor, labels: Labels, *groups: list[str]) -> Tensor:
    """Permute the dimensions into the order of the groups and make each group one dimension."""
    order = [labels.index(label) for group in groups for label in group]
    shape = [math.prod(x.shape[labels.index(label)] for label in group) for group in groups]
    return x.permute(*order).reshape(*shape)
