r"""Train a convolutional net on Fashion-MNIST, choose its best epoch on validation data, test it once.

    python examples/fashion_cnn.py                                    # five convolutions, batch norm, AdamW one-cycle
    python examples/fashion_cnn.py --recipe best                      # a small residual net, trained longer
    python examples/fashion_cnn.py --network report-e8 --optimizer adam --lr 1e-3 --schedule constant --batch-size 64 \
        --epochs 20 --flip 0 --shift 0 --label-smoothing 0 --ema 0    # a published course report's net

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

DATA = {
    "fashion-mnist": partial(data.fashion_mnist, synthetic="never"),
    "mnist": data.mnist,
    "synthetic-fashion": data.synthetic_fashion,
}
# What a recipe sets; flags that are given win.
RECIPES = {
    "default": {},
    "best": {
        "network": "residual",
        "weight_decay": 0.05,
        "cutout": 8,
        "epochs": 30,
        "validation": 0.05,
    },
}


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(2, f"error: {message}\n")  # one line, without the usage
    parser.add_argument("--recipe", choices=list(RECIPES), default="default", help="other defaults for what follows")
    net = parser.add_argument_group("net").add_argument
    net("--network", choices=list(NETWORKS), default="plain")
    net("--dropout", type=float, default=0.0, help="before the last layer")
    step = parser.add_argument_group("training").add_argument
    step("--optimizer", default="adamw", help=", ".join(optim.OPTIMIZERS))
    step("--lr", type=float, default=4e-3, help="learning rate, of one-cycle the highest (default: 0.004)")
    step("--schedule", choices=["constant", "onecycle"], default="onecycle", help="of the learning rate")
    step("--weight-decay", type=float, default=0.02)
    step("--label-smoothing", type=float, default=0.1, help="part of the target that all classes share")
    step("--ema", type=float, metavar="DECAY", default=0.998, help="of the moving average of the weights; 0: none")
    step("--batch-size", type=count, default=128)
    step("--epochs", type=count, default=12)
    step("--seed", type=int, default=0, help="of weights, dropout, augmentation and the order of images")
    step("--threads", type=count, help="default: all; results have the same bits for any number")
    images = parser.add_argument_group("augmentation").add_argument
    images("--flip", type=float, default=0.5, help="probability of the mirror image; above 0, predictions are means")
    images("--shift", type=int, default=1, help="by up to so many pixels")
    images("--cutout", type=int, default=0, help="side of a square that is blanked")
    files = parser.add_argument_group("data and files").add_argument
    files("--data", choices=list(DATA), help="default: fashion-mnist; synthetic-fashion where that cannot be had")
    files("--validation", type=float, default=0.1, help="part of the training images that only validates")
    files("--limit", type=count, help="train on so many images only")
    files("--out", type=Path, help="folder of the run (default: runs/<data>-<network>-seed<seed>)")
    files("--resume", action="store_true", help="go on with the run in that folder")
    parser.set_defaults(**RECIPES[parser.parse_args(argv).recipe])
    return parser.parse_args(argv)


def convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3, batch norm, ReLU: (N, inputs, H, W) -> (N, outputs, H, W)."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def plain(classes: int, dropout: float) -> list[nn.Module]:
    return [
        *convolution(1, 32),  # (N, 32, 28, 28)
        nn.MaxPool2d(2),
        *convolution(32, 48),  # (N, 48, 14, 14)
        *convolution(48, 48),
        nn.MaxPool2d(2),
        *convolution(48, 96),  # (N, 96, 7, 7)
        *convolution(96, 96),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(96, classes),
    ]


def residual(classes: int, dropout: float) -> list[nn.Module]:
    return [
        *convolution(1, 32),  # (N, 32, 28, 28)
        nn.MaxPool2d(2),
        nn.ResidualBlock(32, 64),  # (N, 64, 14, 14)
        nn.MaxPool2d(2),
        nn.ResidualBlock(64, 128),  # (N, 128, 7, 7)
        nn.MaxPool2d(2),
        nn.ResidualBlock(128, 256),  # (N, 256, 3, 3)
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(256, classes),
    ]


def report_e8(classes: int, dropout: float) -> list[nn.Module]:
    """Zohourian, "Fashion MNIST Basic Neural Network Architectures", network 8: without batch norm or pools."""
    return [
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),  # (N, 32 * 28 * 28)
        nn.Linear(32 * 28 * 28, 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(64, classes),
    ]


NETWORKS = {"plain": plain, "residual": residual, "report-e8": report_e8}


def make_schedule(args: argparse.Namespace, optimizer: optim.Optimizer, steps: int) -> optim.OneCycleLR | None:
    if args.schedule == "constant":
        return None
    return optim.OneCycleLR(optimizer, args.lr, steps, cycle_momentum="adam" in args.optimizer)


def make_augmentation(args: argparse.Namespace) -> data.Augmentation | None:
    augmentation = data.Augmentation(args.flip, args.shift, cutout=args.cutout)
    return None if augmentation == data.Augmentation() else augmentation


def make_trainer(args: argparse.Namespace, dataset: data.ImageDataset) -> tg.Trainer:
    tg.manual_seed(args.seed)
    net = nn.Sequential(*NETWORKS[args.network](len(dataset.classes), args.dropout))
    options = {"lr": args.lr, "weight_decay": args.weight_decay}
    if args.optimizer == "sgd":
        options |= {"momentum": 0.9, "nesterov": True}
    optimizer = optim.make_optimizer(args.optimizer, net.named_parameters(), **options)
    steps = args.epochs * -(-len(dataset) // args.batch_size)
    return tg.Trainer(
        net,
        optimizer,
        nn.CrossEntropyLoss(label_smoothing=args.label_smoothing),
        schedule=make_schedule(args, optimizer, steps),
        augmentation=make_augmentation(args),
        flip_to_predict=args.flip > 0,
        average=optim.ExponentialMovingAverage(net, args.ema) if args.ema else None,
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        out=args.out,
        resume=args.resume,
        config=vars(args),
        resume_command=f"{args.command} --out {shlex.quote(str(args.out))} --resume",
    )


def run(args: argparse.Namespace) -> None:
    start, console = time.perf_counter(), Console()
    if args.threads:
        tg.set_num_threads(args.threads)
    load = DATA[args.data] if args.data else data.fashion_mnist
    training, val, test = load(validation=args.validation)
    if args.limit:
        training = training.subset(args.limit)
    if args.out is None:  # by default no run is overwritten
        folder = Path("runs", f"{training.name}-{args.network}-seed{args.seed}")
        args.out = train.latest_run(folder) if args.resume else train.unused_folder(folder)

    trainer = make_trainer(args, training)
    print(f"{training.name}: {len(training):,} images to train on, {len(val):,} to validate, {len(test):,} to test")
    print(f"{nn.summary(trainer.net, training.image_shape)}\nfiles: {args.out}")
    trainer.fit(training, val)
    report = trainer.test(test)
    console.print(report.table(test.classes, f"{test.name}, each class of the test data"))
    console.print(train.best_epoch_table(trainer, report))
    print(f"{time.perf_counter() - start:.1f} s; the figures and the net are in {args.out}")


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
