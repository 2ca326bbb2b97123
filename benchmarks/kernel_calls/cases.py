"""Every call of the kernel table, with the work it does. Standard library only: peers import this in other Pythons."""

from __future__ import annotations

import math

from benchmarks.kernel_calls.case import FLOAT, Case
from benchmarks.kernel_calls.image_cases import IMAGE_CASES
from benchmarks.workloads import IMAGES, WORKLOADS

__all__ = ["CASES", "ELEMENTWISE", "LARGE", "parameter_shapes"]

LARGE = ((512, 784, 128), (512, 784, 512), (512, 512, 512), (1024, 1024, 1024))
ELEMENTWISE = ("exp", "tanh", "sigmoid", "log", "gelu", "erf", "softplus", "relu")


def parameter_shapes(net: str) -> list[tuple[int, ...]]:
    """Weights (in, out) and biases (out,) of a net, layer by layer."""
    shapes: list[tuple[int, ...]] = []
    for inputs, outputs in WORKLOADS[net].linear_shapes:
        shapes += [(inputs, outputs), (outputs,)]
    return shapes


def _product(group: str, form: str, m: int, k: int, n: int, nets: str = "") -> Case:
    reach = FLOAT * (m * k + k * n + m * n)
    arguments = {"form": form, "m": m, "k": k, "n": n}
    return Case(group, f"{form} {m}×{k}×{n}", "matmul", arguments, 2.0 * m * k * n, "GFLOP/s", reach, nets)


def _products_of_nets() -> list[Case]:
    """The products of a training step: y = x W (NN), dW = xᵀ dy (TN), dx = dy Wᵀ (NT), the last not for images."""
    users: dict[tuple[str, int, int, int], list[str]] = {}
    for net, workload in WORKLOADS.items():
        batch = workload.batch
        for layer, (inputs, outputs) in enumerate(workload.linear_shapes):
            products = [("NN", batch, inputs, outputs), ("TN", inputs, batch, outputs)]
            if layer > 0 or workload.is_convolutional:
                products.append(("NT", batch, outputs, inputs))
            for product in products:
                users.setdefault(product, []).append(net)
    ordered = sorted(users.items(), key=lambda item: (item[1][0], ("NN", "TN", "NT").index(item[0][0])))
    return [_product("products of nets", *product, nets=" ".join(nets)) for product, nets in ordered]


def _large_products() -> list[Case]:
    cases = [_product("large products", form, *shape) for shape in LARGE for form in ("NN", "TN", "NT")]
    in_nets = {case.name for case in _products_of_nets()}
    return [case for case in cases if case.name not in in_nets]


def _elementwise() -> list[Case]:
    """At the size of W1's hidden layer, of W3's, and of a million."""
    cases: list[Case] = []
    for operation in ELEMENTWISE:
        for rows, columns in ((64, 50), (64, 512), (1024, 1024)):
            moved = 2 * FLOAT * rows * columns
            arguments = {"operation": operation, "shape": [rows, columns]}
            name = f"{operation} {rows}×{columns}"
            cases.append(Case("elementwise", name, "elementwise", arguments, moved, "GB/s", moved))
    return cases


def _reductions() -> list[Case]:
    cases: list[Case] = []
    for rows, columns in ((64, 50), (512, 784)):
        read = FLOAT * rows * columns
        for name, operation, dim in (
            ("sum", "sum", None),
            ("mean over rows", "mean", 0),
            ("mean over columns", "mean", 1),
        ):
            arguments = {"operation": operation, "dim": dim, "shape": [rows, columns]}
            cases.append(Case("other", f"{name} {rows}×{columns}", "reduction", arguments, read, "GB/s", read))
    return cases


def _others() -> list[Case]:
    cases = _reductions()
    for rows in (64, 512):
        moved = 2 * FLOAT * rows * 10  # logits in, their gradient out
        cases.append(Case("other", f"loss and gradient {rows}×10", "loss", {"rows": rows}, moved, "GB/s", moved))
    for rows, columns in ((64, 512), (512, 512)):
        moved = 2 * FLOAT * rows * columns
        name = f"dropout {rows}×{columns}"
        cases.append(Case("other", name, "dropout", {"shape": [rows, columns]}, moved, "GB/s", moved))
    for net in ("W1", "W3", "W5"):
        size = sum(math.prod(shape) for shape in parameter_shapes(net))
        # Momentum reads weight, gradient and velocity and writes two of them; Adam has one more state.
        for optimizer, arrays, passes in (("momentum", 3, 5), ("Adam", 4, 7)):
            arguments = {"optimizer": optimizer, "net": net}
            name = f"{optimizer} step, {size:,}"
            work = float(FLOAT * size * passes)
            cases.append(Case("other", name, "optimizer", arguments, work, "GB/s", FLOAT * size * arrays, net))
    for rows in (64, 512):
        moved = rows * 784 * (1 + FLOAT)
        name = f"batch of {rows} images"
        cases.append(Case("other", name, "batch", {"rows": rows}, moved, "GB/s", IMAGES * 784))
    return cases


CASES: dict[str, Case] = {
    case.name: case for case in (*_products_of_nets(), *_large_products(), *_elementwise(), *_others(), *IMAGE_CASES)
}
