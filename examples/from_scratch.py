"""Two spirals and a hand-written training loop: no Trainer, no optimizer, no layers, only tensors and their gradients.

    python examples/from_scratch.py

It fits a 2-32-32-2 net by gradient descent with momentum and draws the decision boundary to runs/from_scratch.png.
"""

import argparse
import math
from pathlib import Path

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import plot


def spirals(points: int, noise: float, generator: tg.Generator) -> tuple[tg.Tensor, tg.Tensor]:
    """Two interleaved spirals: points (2·points, 2), labels (2·points,)."""
    angle = tg.linspace(0.5, 3 * math.pi, points)
    arms = []
    for turn in (0.0, math.pi):  # the second arm is the first, turned by half a circle
        arm = tg.stack([angle * (angle + turn).cos(), angle * (angle + turn).sin()], dim=1) / (3 * math.pi)
        arms.append(arm + noise * tg.randn(points, 2, generator=generator))
    labels = tg.cat([tg.zeros(points, dtype=tg.int64), tg.ones(points, dtype=tg.int64)])
    return tg.cat(arms), labels


def weights(inputs: int, outputs: int, generator: tg.Generator) -> tg.Tensor:
    """Normal weights (inputs, outputs) that keep the scale of activations through a tanh layer (LeCun)."""
    return (tg.randn(inputs, outputs, generator=generator) / math.sqrt(inputs)).requires_grad_()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/from_scratch.png"))
    args = parser.parse_args()

    generator = tg.Generator(args.seed)
    x, y = spirals(200, noise=0.03, generator=generator)

    w1, b1 = weights(2, 32, generator), tg.zeros(32, requires_grad=True)
    w2, b2 = weights(32, 32, generator), tg.zeros(32, requires_grad=True)
    w3, b3 = weights(32, 2, generator), tg.zeros(2, requires_grad=True)
    parameters = [w1, b1, w2, b2, w3, b3]
    velocities = [tg.zeros_like(p) for p in parameters]

    def net(x: tg.Tensor) -> tg.Tensor:
        hidden = (x @ w1 + b1).tanh()  # (N, 2) @ (2, 32) -> (N, 32)
        hidden = (hidden @ w2 + b2).tanh()  # (N, 32) @ (32, 32) -> (N, 32)
        return hidden @ w3 + b3  # (N, 32) @ (32, 2) -> (N, 2)

    for step in range(args.steps + 1):
        logits = net(x)
        loss = F.cross_entropy(logits, y)
        if step % 200 == 0 or step == args.steps:
            accuracy = (logits.argmax(dim=1) == y).float().mean()
            print(f"step {step:5d}  loss {loss.item():.4f}  accuracy {100 * accuracy.item():.1f} %")
        loss.backward()
        with tg.no_grad():
            for p, velocity in zip(parameters, velocities, strict=True):
                velocity *= args.momentum
                velocity += p.grad
                p -= args.lr * velocity
                p.grad = None

    with tg.no_grad():
        figure = plot.decision_boundary(
            lambda points: net(tg.tensor(points, dtype=tg.float32)).softmax(dim=1).numpy(),
            x.numpy(),
            y.numpy(),
            "A hand-written loop on two spirals",
        )
    print(f"wrote {plot.save(figure, args.out)}")


if __name__ == "__main__":
    main()
