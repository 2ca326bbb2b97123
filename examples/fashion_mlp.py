r"""Train a multi-layer perceptron on Fashion-MNIST, choose its best epoch on validation data, test it once.

    python examples/fashion_mlp.py                                    # a good recipe: 512-256 ReLU, dropout, AdamW
    python examples/fashion_mlp.py --recipe best                      # deeper, with augmentation, trained longer
    python examples/fashion_mlp.py --hidden 50 50 --activation sigmoid --optimizer sgd --lr 0.5 --momentum 0.9 \
        --averaged --l2 1e-4 --batch-size 64 --epochs 110 --schedule constant --dropout 0

Every run leaves its weights, figures, metrics and settings in a folder of its own, runs/<name>; Ctrl-C saves, and
--resume goes on.
"""

import argparse
import shlex
import sys
import time
from functools import partial
from pathlib import Path

from rich.console import Console

import tinygrad_mlp as tg
from tinygrad_mlp import data, nn, optim, train

# What a recipe sets instead of the defaults; flags that are given win.
RECIPES = {
    "default": {},
    "best": {
        "hidden": [1024, 1024, 512],
        "activation": "gelu",
        "batch_norm": True,
        "dropout": 0.2,
        "label_smoothing": 0.1,
        "ema": 0.999,
        "members": 2,
        "epochs": 90,
        "flip": 0.5,
        "shift": 1,
        "rotation": 3.0,
        "scale": 0.04,
        "validation": 0.05,
    },
}
DATA = {
    "fashion-mnist": partial(data.fashion_mnist, synthetic="never"),
    "mnist": data.mnist,
    "synthetic-fashion": data.synthetic_fashion,
}


class Ensemble(nn.Module):
    """Several nets of one kind; the logits are the means of theirs."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def all_logits(self, x: tg.Tensor) -> list[tg.Tensor]:
        return [member(x) for member in self.members]

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return mean(self.all_logits(x))  # (N, C)


class EnsembleTrainer(tg.Trainer):
    """Trains the members of an ensemble on the same batches, each by its own loss: they are to differ."""

    def loss_and_output(self, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        logits = self.net.all_logits(x)
        return mean([self.loss(one, y) for one in logits]), mean(logits).detach()


def mean(tensors: list[tg.Tensor]) -> tg.Tensor:
    return sum(tensors[1:], tensors[0]) * (1 / len(tensors))


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(2, f"error: {message}\n")  # one line, without the usage
    parser.add_argument("--recipe", choices=list(RECIPES), default="default", help="other defaults for what follows")
    net = parser.add_argument_group("net").add_argument
    net("--hidden", type=count, nargs="*", default=[512, 256], help="units of each hidden layer (default: 512 256)")
    net("--activation", default="relu", help=", ".join(nn.ACTIVATIONS))
    net("--init", choices=sorted(set(nn.init.INITIALIZERS) - {"constant"}), help="of the weights; biases are then 0")
    net("--dropout", type=float, default=0.3, help="after each hidden layer (default: 0.3)")
    net("--batch-norm", action="store_true", help="before each activation")
    net("--members", type=count, default=1, help="so many such nets, trained together; their logits are averaged")
    step = parser.add_argument_group("training").add_argument
    step("--optimizer", default="adamw", help=", ".join(optim.OPTIMIZERS))
    step("--lr", type=float, default=2e-3, help="learning rate, of one-cycle the highest (default: 0.002)")
    step("--schedule", choices=["constant", *optim.SCHEDULES], default="onecycle", help="of the learning rate")
    step("--momentum", type=float, help="of sgd and rmsprop")
    step("--averaged", action="store_true", help="sgd: momentum as an average of gradients, with shorter steps")
    step("--weight-decay", type=float, help="default: the optimizer's own")
    step("--l1", type=float, default=0.0, help="penalty on the weights' absolute values")
    step("--l2", type=float, default=0.0, help="penalty on the weights' squares")
    step("--label-smoothing", type=float, default=0.0, help="part of the target that all classes share")
    step("--ema", type=float, metavar="DECAY", help="use a moving average of the weights, e.g. 0.999")
    step("--batch-size", type=count, default=256)
    step("--epochs", type=count, default=20)
    step("--patience", type=count, help="stop after so many epochs without a lower validation loss")
    step("--folds", type=count, help="cross-validate with so many folds; the test data are not used")
    step("--seed", type=int, default=0, help="of weights, dropout and the order of images")
    step("--threads", type=count, help="default: all; results have the same bits for any number")
    images = parser.add_argument_group("augmentation of training images").add_argument
    images("--flip", type=float, default=0.0, help="probability of the mirror image; scores are then of both together")
    images("--shift", type=int, default=0, help="up to so many pixels; scores are of moved images, too")
    images("--rotation", type=float, default=0.0, help="up to so many degrees")
    images("--scale", type=float, default=0.0, help="by 1 minus to 1 plus this")
    files = parser.add_argument_group("data and files").add_argument
    files("--data", choices=list(DATA), help="default: fashion-mnist; synthetic-fashion where that cannot be had")
    files("--standardize", choices=["global", "feature", "image", "none"], default="global", help="pixels to inputs")
    files("--validation", type=float, default=0.2, help="part of the training images that chooses the epoch")
    files("--limit", type=count, help="train on so many images only")
    files("--out", type=Path, help="folder of the run (default: runs/<data>-<hidden>-seed<seed>)")
    files("--resume", action="store_true", help="go on with the run in that folder")
    parser.set_defaults(**RECIPES[parser.parse_args(argv).recipe])
    return parser.parse_args(argv)


def make_net(args: argparse.Namespace, inputs: int, classes: int) -> nn.Module:
    if args.members == 1:
        return make_mlp(args, inputs, classes)
    return Ensemble([make_mlp(args, inputs, classes) for _ in range(args.members)])


def make_mlp(args: argparse.Namespace, inputs: int, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]  # (N, 1, 28, 28) -> (N, 784)
    for width in args.hidden:
        layers.append(nn.Linear(inputs, width))
        if args.batch_norm:
            layers.append(nn.BatchNorm1d(width))
        layers.append(nn.activation(args.activation))
        if args.dropout:
            layers.append(nn.Dropout(args.dropout))
        inputs = width
    net = nn.Sequential(*layers, nn.Linear(inputs, classes))
    if args.init:
        for layer in net:
            if isinstance(layer, nn.Linear):
                nn.init.initializer(args.init)(layer.weight)
                nn.init.zeros_(layer.bias)
    return net


def make_optimizer(args: argparse.Namespace, net: nn.Module) -> optim.Optimizer:
    options = {
        "lr": args.lr,
        "l1": args.l1,
        "l2": args.l2,
        "weight_decay": args.weight_decay,
        "momentum": args.momentum,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if args.averaged:
        options["averaged"] = True
    return optim.make_optimizer(args.optimizer, net.named_parameters(), **options)


def make_schedule(args: argparse.Namespace, optimizer: optim.Optimizer, steps: int):
    """One-cycle goes on after each of the epoch's `steps`, the others after each epoch."""
    if args.schedule == "constant":
        return None
    options = {
        "onecycle": {"max_lr": args.lr, "total_steps": args.epochs * steps, "cycle_momentum": "adam" in args.optimizer},
        "cosine": {"T_max": args.epochs},
        "linear": {"start_factor": 0.1, "total_iters": max(1, args.epochs // 10)},
        "exponential": {"gamma": 0.01 ** (1 / args.epochs)},  # to a hundredth
        "step": {"step_size": max(1, args.epochs // 3)},
        "multistep": {"milestones": [args.epochs // 2, args.epochs * 3 // 4]},
        "plateau": {"patience": 3, "factor": 0.3},
    }
    return optim.make_schedule(args.schedule, optimizer, **options[args.schedule])


def make_augmentation(args: argparse.Namespace) -> data.Augmentation | None:
    augmentation = data.Augmentation(args.flip, args.shift, args.rotation, args.scale)
    return None if augmentation == data.Augmentation() else augmentation


def make_trainer(args: argparse.Namespace, dataset: data.ImageDataset, out: Path, seed: int) -> tg.Trainer:
    tg.manual_seed(seed)
    net = make_net(args, dataset.images[0].size, len(dataset.classes))
    optimizer = make_optimizer(args, net)
    kind = tg.Trainer if args.members == 1 else EnsembleTrainer
    return kind(
        net,
        optimizer,
        nn.CrossEntropyLoss(label_smoothing=args.label_smoothing),
        schedule=make_schedule(args, optimizer, steps=-(-len(dataset) // args.batch_size)),
        augmentation=make_augmentation(args),
        flip_to_predict=args.flip > 0,
        shift_to_predict=min(args.shift, 1),
        average=optim.ExponentialMovingAverage(net, args.ema) if args.ema else None,
        epochs=args.epochs,
        batch_size=args.batch_size,
        patience=args.patience,
        seed=seed,
        out=out,
        resume=args.resume,
        config=vars(args),
        resume_command=f"{args.command} --out {shlex.quote(str(args.out))} --resume",
    )


def cross_validate(args: argparse.Namespace, dataset: data.ImageDataset, console: Console) -> None:
    def make(fold: int, part: data.ImageDataset) -> tg.Trainer:
        print(f"fold {fold + 1} of {args.folds}")
        return make_trainer(args, part, args.out / f"fold-{fold + 1}", args.seed + fold)

    result = train.cross_validate(make, dataset, args.folds, args.seed)
    console.print(result.table(f"{dataset.name}: {args.folds}-fold cross-validation"))


def run(args: argparse.Namespace) -> None:
    start, console = time.perf_counter(), Console()
    if args.threads:
        tg.set_num_threads(args.threads)
    load = DATA[args.data] if args.data else data.fashion_mnist
    training, val, test = load(standardize=args.standardize, validation=args.validation)
    if args.folds:  # they are dealt out of all images that are not test
        training = training.join(val)
    if args.limit:
        training = training.subset(args.limit)
    if args.out is None:  # by default no run is overwritten
        folder = Path("runs", "-".join([training.name, *map(str, args.hidden), f"seed{args.seed}"]))
        args.out = train.latest_run(folder) if args.resume else train.unused_folder(folder)
    if args.folds:
        cross_validate(args, training, console)
        return

    trainer = make_trainer(args, training, args.out, args.seed)
    print(f"{training.name}: {len(training):,} images to train on, {len(val):,} to validate, {len(test):,} to test")
    print(f"{trainer.net}\nfiles: {args.out}")
    trainer.fit(training, val)
    report = trainer.test(test)
    console.print(report.table(test.classes, f"{test.name}, each class of the test data"))
    console.print(train.best_epoch_table(trainer, report))
    print(f"{time.perf_counter() - start:.1f} s; curves.png, confusion.png, mistakes.png and the net are in {args.out}")


def main(argv: list[str]) -> int:
    args = parse(argv)
    args.command = shlex.join(["python", sys.argv[0], *argv])
    try:
        run(args)
    except tg.errors.TinygradError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
