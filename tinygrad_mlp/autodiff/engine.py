"""The backward pass: order the recorded graph, run it in reverse, add up what arrives. Knows no op.

Reverse-mode differentiation (Griewank & Walther 2008, ch. 3): with v_i = f_i(inputs), the adjoint of an input is the
sum, over all v_i that it enters, of the adjoint of v_i times the local derivative. `Node.backward` is that product.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np

from tinygrad_mlp.autodiff.mode import anomaly, set_grad_enabled
from tinygrad_mlp.autodiff.tensor import Hook, Node, Tensor, wrap
from tinygrad_mlp.errors import DtypeError, GradientError, NonFiniteError, ShapeError
from tinygrad_mlp.kernels.copy import copy, is_dense
from tinygrad_mlp.kernels.elementwise import check_finite
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.record import recorder

__all__ = ["backward", "grad"]


def backward(
    root: Tensor, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Add d root / d leaf to the `.grad` of every leaf that requires grad.

    `gradient` weighs the elements of `root` and may be left out for a scalar. `retain_graph` keeps the graph for a
    second pass; `create_graph` also records this one, for gradients of gradients.

    Raises
    ------
    GradientError
        `root` requires no grad, its graph was freed, or a recorded input was changed in place since.
    NonFiniteError
        `root` is a scalar loss and NaN or infinite; no gradient is touched.
    """
    keep = create_graph if retain_graph is None else retain_graph
    _run([root], [gradient], keep, create_graph, wanted=None)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """d outputs / d inputs, summed over the outputs; leaves every `.grad` alone.

    `grad_outputs` weighs the elements of the outputs and may be left out for scalars; `create_graph` records the pass,
    for gradients of gradients. `only_inputs` is there because PyTorch's scripts pass it, and is always True.

    Raises
    ------
    GradientError
        The outputs do not depend on an input, unless `allow_unused` (then its gradient is None); an input that does
        not require grad; as `backward` does.
    """
    if not only_inputs:
        raise GradientError("grad: only_inputs=False does not exist; backward() fills the .grad of all leaves")
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or [None] * len(roots))
    if len(weights) != len(roots):
        raise GradientError(f"grad: got {len(weights)} grad_outputs for {len(roots)} outputs")
    for position, target in enumerate(targets):
        if not target.requires_grad:
            raise GradientError(f"grad: input {position} does not require grad; call requires_grad_() before using it")
    keep = create_graph if retain_graph is None else retain_graph
    found = _run(roots, weights, keep, create_graph, wanted={id(target) for target in targets})
    results = tuple(found.get(id(target)) for target in targets)
    if not allow_unused and any(result is None for result in results):
        missing = [position for position, result in enumerate(results) if result is None]
        raise GradientError(
            f"grad: the outputs do not depend on input(s) {missing}; with allow_unused=True their gradient is None"
        )
    return results


def _run(
    roots: list[Tensor],
    weights: Sequence[Tensor | None],
    retain_graph: bool,
    create_graph: bool,
    wanted: set[int] | None,
) -> dict[int, Tensor]:
    """Backpropagate; with `wanted` (ids of tensors) return their gradients, else add to the leaves' `.grad`."""
    pending: dict[int, Tensor] = {}  # id of a tensor -> the gradient that has arrived so far
    with set_grad_enabled(create_graph):
        for root, weight in zip(roots, weights, strict=True):
            seed = _seed(root, weight)
            pending[id(root)] = pending[id(root)] + seed if id(root) in pending else seed
        order = _ordered(roots, check=wanted is None)
        through: set[int] | None = None
        if wanted is not None:
            through = _leading_to(wanted, order)
            order = [tensor for tensor in order if id(tensor) in through or id(tensor) in wanted]
        found: dict[int, Tensor] = {}
        # Memory that a leaf's .grad must not share: values of the graph, and gradients already handed out.
        taken = {_owner(tensor.array) for tensor in order}
        taken.update([_owner(seed.array) for seed in pending.values()])
        for tensor in order:
            gradient = pending.pop(id(tensor), None)
            if gradient is None:
                continue
            if tensor.hooks:
                if (recording := recorder()) is not None:
                    recording.refuse("a hook on a tensor is Python, which a replay cannot run")
                gradient = _hooked(tensor, tensor.hooks, gradient)
                taken.add(_owner(gradient.array))  # a hook may have kept it
            if wanted is not None:
                if id(tensor) in wanted:
                    found[id(tensor)] = gradient
            elif tensor.node is None:
                _accumulate(tensor, gradient, create_graph, taken)
            if tensor.node is not None and (through is None or id(tensor) in through):
                _step(tensor, tensor.node, gradient, pending)
                if not retain_graph:
                    tensor.node.release()
    return found


def _hooked(tensor: Tensor, hooks: list[Hook], gradient: Tensor) -> Tensor:
    for hook in hooks:
        replacement = hook(gradient)
        if replacement is not None:
            where = "a leaf" if tensor.node is None else f"the result of op {tensor.node.name}"
            _check_gradient(replacement, tensor, given=f"a hook on {where}: what it returned")
            gradient = replacement
    return gradient


def _seed(root: Tensor, weight: Tensor | None) -> Tensor:
    """The gradient to start from: 1 for a scalar, else what the caller gave."""
    if not root.requires_grad:
        raise GradientError(
            "backward: this tensor does not require grad: no input of it did, or it was computed under no_grad"
        )
    if weight is not None:
        _check_gradient(weight, root)
        return weight
    if root.array.size != 1:
        raise GradientError(
            f"backward: only a scalar has an implicit gradient, and this tensor has shape {root.shape}; "
            "reduce it with .sum() or .mean(), or pass gradient="
        )
    try:
        launch(check_finite, root.array.reshape(-1))
    except NonFiniteError as error:
        raise _bad_loss(root.array, error) from error
    if (recording := recorder()) is not None:
        recording.explain(_bad_loss)
    return wrap(np.array(1, root.array.dtype).reshape(root.array.shape))


def _bad_loss(loss: Array, _: Exception) -> NonFiniteError:
    return NonFiniteError(
        f"backward: the loss is {loss.item()}; no gradient and no weight was changed. Run the forward pass inside "
        "`with tg.anomaly_mode():` to see which op made it"
    )


def _ordered(roots: list[Tensor], check: bool) -> list[Tensor]:
    """All tensors that need a gradient: the computed ones, each before what it was computed from, then the leaves.

    `check` raises unless all of the graph can be gone through.
    """
    computed: list[tuple[int, Tensor]] = []
    leaves: list[Tensor] = []
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        tensor = stack.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        node = tensor.node
        if node is None:
            leaves.append(tensor)
            continue
        if check:
            node.check_usable(tensor)
        computed.append((node.order, tensor))
        stack.extend([parent for parent in node.inputs if parent is not None and parent.wants_grad])
    computed.sort(key=itemgetter(0), reverse=True)
    return [*[tensor for _, tensor in computed], *leaves]


def _leading_to(wanted: set[int], order: list[Tensor]) -> set[int]:
    """Ids of the computed tensors by which gradients come to the wanted ones; raises where one cannot be gone through.

    What the wanted ones were computed from is left alone, so that other gradients may still go through it.
    """
    needed, through = set(wanted), set[int]()
    for tensor in reversed(order):
        if tensor.node is not None and any(id(parent) in needed for parent in tensor.node.inputs):
            through.add(id(tensor))
            needed.add(id(tensor))
    is_found = wanted.issubset(map(id, order))  # else it may lie beneath a part that was freed
    for tensor in order:
        if tensor.node is not None and (id(tensor) in through or not is_found):
            tensor.node.check_usable(tensor)
    return through


def _step(tensor: Tensor, node: Node, gradient: Tensor, pending: dict[int, Tensor]) -> None:
    """Push the gradient of one op's output on to its inputs."""
    assert node.backward is not None
    watching = anomaly.get()
    if watching:  # what an op makes on its way back may be masked; its gradients are checked below
        anomaly.set(False)
    try:
        result = node.backward(gradient, tensor)
    finally:
        if watching:
            anomaly.set(True)
    gradients = result if isinstance(result, tuple) else (result,)
    if len(gradients) != len(node.inputs):
        _check_count(node, gradients)
    for position, (parent, part) in enumerate(zip(node.inputs, gradients, strict=False)):
        if part is None or parent is None or not parent.wants_grad:
            continue
        _check_gradient(part, parent, node, position)
        if watching and not np.isfinite(part.array).all():
            _raise_anomaly(node.name, node.path, part.array, position)
        earlier = pending.get(id(parent))
        pending[id(parent)] = part if earlier is None else earlier + part


def _check_count(node: Node, gradients: tuple[Tensor | None, ...]) -> None:
    """Raise if a gradient is missing that an argument wants, or one is there for no argument."""
    count, inputs = len(gradients), len(node.inputs)
    what = ""
    for position, parent in enumerate(node.inputs[count:], start=count):
        if parent is not None and parent.wants_grad:
            what = f"argument {position} requires grad"
            break
    # Our own rules may give gradients for defaults that were left out; a user's gets those as arguments.
    own = getattr(node.backward, "__module__", "").startswith("tinygrad_mlp.")
    if not own and any(part is not None for part in gradients[inputs:]):
        what = f"it has {inputs} argument{'s' * (inputs != 1)}"
    if what:
        raise GradientError(
            f"op {node.name}: its backward gave {count} gradient{'s' * (count != 1)}, but {what}; return one for each "
            "argument, in order, and None for one that has none"
        )


def _accumulate(leaf: Tensor, gradient: Tensor, create_graph: bool, taken: set[int]) -> None:
    """Add a gradient to a leaf's `.grad`, in memory that nothing else uses."""
    if (recording := recorder()) is not None:
        recording.leaves.setdefault(id(leaf), (leaf, leaf.grad))
    if create_graph:  # the clone is recorded: an op may give the same tensor, or a view of it, to several leaves
        leaf.grad = gradient.clone() if leaf.grad is None else leaf.grad + gradient
        return
    if leaf.grad is not None:
        leaf.grad.add_(gradient)
        return
    array = gradient.array
    if _owner(array) in taken or not array.flags.writeable or not is_dense(array):
        array = np.empty_like(leaf.array)
        launch(copy, gradient.array, array)
    taken.add(_owner(array))
    leaf.grad = wrap(array)


def _owner(array: Array) -> int:
    """Identity of the memory that an array looks into."""
    return id(array if array.base is None else array.base)


def _check_gradient(
    gradient: Tensor,
    tensor: Tensor,
    node: Node | None = None,
    position: int = 0,
    given: str = "backward: the given gradient",
) -> None:
    """Raise unless the gradient is like its tensor; it is what `node` gave its argument, or what `given` says."""
    if isinstance(gradient, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  rules without types
        got, expected = gradient.array, tensor.array
        if got.dtype == expected.dtype and got.shape == expected.shape:
            return
    what = f"op {node.name}: the gradient of argument {position}" if node else given
    if not isinstance(gradient, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DtypeError(f"{what} is of type {type(gradient).__name__}, expected a Tensor; backward computes with ops")
    if gradient.shape != tensor.shape:
        raise ShapeError(f"{what} has shape {gradient.shape}, expected {tensor.shape}")
    raise DtypeError(f"{what} has dtype {gradient.dtype}, expected {tensor.dtype}")


def _raise_anomaly(name: str, path: str, array: Array, position: int) -> None:
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    where = f" in {path}" if path else ""
    raise NonFiniteError(
        f"op {name}{where}: its backward gave {array[index]} at index {index} of the gradient of argument {position}, "
        f"shape {array.shape}"
    )
