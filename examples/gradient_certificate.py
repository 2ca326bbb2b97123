"""Check backprop against finite differences, weight by weight, and print the tables that course reports ask for.

    python examples/gradient_certificate.py
    python examples/gradient_certificate.py --epsilon 1e-4 --samples 10

Two nets that are right, on ten images of Fashion-MNIST, one of each class; then one with a mistake in an op.
"""

import argparse
import sys

import numpy as np

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import data, nn

# Of a 784-50-50-10 net: a bias of each layer, and weights of the hidden ones.
NAMED_WEIGHTS = {
    "5.bias": [(0,)],
    "3.bias": [(0,)],
    "1.bias": [(0,)],
    "3.weight": [(0, 0), (1, 1)],
    "1.weight": [(0, 0), (1, 1)],
}


@tg.op
def wrong_tanh(x):
    """Hyperbolic tangent with a mistake in its derivative, which is 1 - tanh(x)**2."""

    def backward(grad, out):
        return grad * (1.0 - out)

    return np.tanh(x.array), backward


class WrongTanh(nn.Module):
    """Layer of `wrong_tanh`."""

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return wrong_tanh(x)


def tanh_net(activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),  # (N, 1, 28, 28) -> (N, 784)
        nn.Linear(784, 50),
        activation(),
        nn.Linear(50, 50),
        activation(),
        nn.Linear(50, 10),
    )


def relu_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, 10),
    )


def show(title: str, certificate: tg.Certificate) -> None:
    within = "yes" if certificate.within_epsilon_squared else "no"
    print(f"\n{title}\n\n{certificate}\nAll differences within ε²: {within}. Backprop right: {certificate.passed}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epsilon", type=float, default=1e-2, help="step of the central difference (default: 0.01)")
    parser.add_argument("--samples", type=int, default=4, help="weights per parameter of the second net (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the dropout and the samples")
    args = parser.parse_args()

    train, _, _ = data.fashion_mnist()
    classes = range(len(train.classes))
    batch = train.batch([int(np.flatnonzero(train.labels == label)[0]) for label in classes])
    print(f"Ten images of {train.name}, one of each class; ε = {args.epsilon:g}")

    tg.manual_seed(args.seed)
    tanh = tg.certify(tanh_net(nn.Tanh), F.cross_entropy, batch, epsilon=args.epsilon, weights=NAMED_WEIGHTS)
    show("784-50-50-10, tanh", tanh)

    relu = tg.certify(relu_net(), F.cross_entropy, batch, epsilon=args.epsilon, samples=args.samples, seed=args.seed)
    show("784-128-10, batch norm, ReLU, dropout", relu)

    wrong = tg.certify(tanh_net(WrongTanh), F.cross_entropy, batch, epsilon=args.epsilon, weights=NAMED_WEIGHTS)
    show("784-50-50-10 with a mistake in the derivative of tanh", wrong)

    print("\nThe op by itself, in float64:\n")
    x = tg.tensor([-1.0, 0.5, 2.0], dtype=tg.float64, requires_grad=True)
    try:
        tg.gradcheck(wrong_tanh, x)
    except tg.errors.GradientError as error:
        print(error)
    if not (tanh.passed and relu.passed and not wrong.passed):
        sys.exit("gradient_certificate: a right net was found wrong, or a wrong one right")


if __name__ == "__main__":
    main()
