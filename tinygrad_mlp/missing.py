"""What to write here in place of names that PyTorch has and this package does not: one table per namespace."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dis import opmap
from importlib import import_module
from types import FrameType

from tinygrad_mlp.errors import UnknownAttributeError, UnknownImportError
from tinygrad_mlp.names import did_you_mean

__all__ = ["explain", "getter", "instead", "mark_absent"]

_NO_GPU = "there is no GPU here"
_ONE_PROCESS = "batches are made in this process, so leave it out"

_OF_OPS = "write it with ops: nn.Linear, matmul, softmax, sigmoid and tanh are here"

_TOP = {
    **{
        f"{kind}Tensor": f"write tg.tensor(data, dtype=tg.{dtype}), or {convert} to convert a tensor"
        for kind, dtype, convert in (
            ("Float", "float32", "x.float()"),
            ("Double", "float64", "x.double()"),
            ("Long", "int64", "x.long()"),
            ("Int", "int32", "x.int()"),
            ("Byte", "uint8", "x.to(tg.uint8)"),
            ("Bool", "bool", "x.bool()"),
        )
    },
    **dict.fromkeys(("float16", "half", "bfloat16"), "dtypes of floats are tg.float32 and tg.float64"),
    **dict.fromkeys(("concat", "concatenate"), "write tg.cat"),
    **dict.fromkeys(("accelerator", "mps", "xpu"), f'{_NO_GPU}; write tg.device("cpu")'),
    **dict.fromkeys(("amp", "autocast"), "there is no float16 here, so leave it out"),
    "Size": "shapes are tuples",
    "absolute": "write tg.abs",
    "compile": "kernels are compiled anyway, so leave it out",
    "divide": "write tg.div",
    "get_default_dtype": "it is tg.float32",
    "hstack": "write tg.cat(tensors, dim=1), or dim=0 for vectors",
    "multiply": "write tg.mul",
    "negative": "write tg.neg",
    **{name: f"write x.{name}()" for name in ("detach", "numel", "tolist")},
    "linalg": "write tg.norm for a norm; for all else, NumPy's linalg on x.numpy(), which carries no gradient",
    "median": "write x.flatten().sort().values[(x.numel() - 1) // 2]",
    "trace": "write tg.diag(x).sum()",
    "set_default_device": "it is the CPU, so leave it out",
    "set_default_dtype": "give dtype= where tensors are made, and convert a net by net.double()",
    "set_printoptions": "print x.numpy() under np.printoptions",
    "subtract": "write tg.sub",
    "use_deterministic_algorithms": "results are deterministic always, so leave it out",
    "vstack": "write tg.cat(tensors, dim=0), or tg.stack for vectors",
}

_NN = {
    **dict.fromkeys(("DataParallel", "parallel"), "kernels run on several threads anyway, so use the net itself"),
    "AdaptiveMaxPool2d": "for an output of 1 by 1, write x.amax((2, 3), keepdim=True)",
    "ConstantPad2d": "write F.pad(x, (left, right, top, bottom), value=value)",
    "CosineSimilarity": "write F.cosine_similarity",
    "InstanceNorm2d": "write nn.GroupNorm(channels, channels, affine=False)",
    "LazyConv2d": "write nn.Conv2d with the number of channels that come in",
    "LazyLinear": "write nn.Linear with the number of features that come in, the last size of its input's shape",
    "MultiLabelSoftMarginLoss": "write nn.BCEWithLogitsLoss",
    "ParameterDict": "give each a name: self.name = nn.Parameter(...)",
    "ReLU6": "write nn.Hardtanh(0.0, 6.0)",
    **dict.fromkeys(("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"), _OF_OPS),
    **dict.fromkeys(("MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerEncoderLayer"), _OF_OPS),
    **dict.fromkeys(
        ("Conv3d", "BatchNorm3d", "MaxPool3d", "AvgPool3d"), "there are layers for images, 2d, and series, 1d"
    ),
    "UpsamplingNearest2d": "write nn.Upsample",
    "UpsamplingBilinear2d": 'write nn.Upsample(scale_factor=..., mode="bilinear", align_corners=True)',
    "CELU": "write alpha * F.elu(x / alpha)",
    "Hardsigmoid": "write F.hardtanh(x / 6 + 0.5, 0.0, 1.0)",
    "Hardswish": "write x * F.hardtanh(x / 6 + 0.5, 0.0, 1.0)",
    "Mish": "write x * F.softplus(x).tanh()",
    "SELU": "write 1.0507009873554805 * F.elu(x, 1.6732632423543772)",
    "Softmax2d": "write nn.Softmax(dim=1)",
    "Softsign": "write x / (1 + x.abs())",
    "TripletMarginLoss": "write F.relu((a - p).norm(dim=1) - (a - n).norm(dim=1) + margin).mean()",
    "Softmin": "write F.softmax(-x, dim)",
}

_FUNCTIONAL = {
    "upsample": "write F.interpolate",
    "adaptive_max_pool2d": "for an output of 1 by 1, write x.amax((2, 3), keepdim=True)",
    "instance_norm": "write F.group_norm(x, x.shape[1])",
    "mish": "write x * F.softplus(x).tanh()",
    "pairwise_distance": "write (x - y).norm(dim=1)",
    "relu6": "write F.hardtanh(x, 0.0, 6.0)",
    "scaled_dot_product_attention": "write F.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, dim=-1) @ v",
    "softmin": "write F.softmax(-x, dim)",
    "celu": "write alpha * F.elu(x / alpha)",
    "hardsigmoid": "write F.hardtanh(x / 6 + 0.5, 0.0, 1.0)",
    "hardswish": "write x * F.hardtanh(x / 6 + 0.5, 0.0, 1.0)",
    "selu": "write 1.0507009873554805 * F.elu(x, 1.6732632423543772)",
    "softsign": "write x / (1 + x.abs())",
    "triplet_margin_loss": "write F.relu((a - p).norm(dim=1) - (a - n).norm(dim=1) + margin).mean()",
}

_STEP = "or write a step() in a class derived from optim.Optimizer"

_OPTIM = {
    **dict.fromkeys(
        ("Adamax", "NAdam", "RAdam", "Adafactor", "SparseAdam"), f"optim.Adam and optim.AdamW are its kin; {_STEP}"
    ),
    "LBFGS": f"optim.SGD with momentum, on all data at once, is nearest; {_STEP}",
    "Rprop": f"optim.RMSprop is nearest; {_STEP}",
    "swa_utils": "write optim.ExponentialMovingAverage",
}

_LR_SCHEDULER = {
    "CosineAnnealingWarmRestarts": "write LambdaLR(optimizer, lambda n: (1 + math.cos(math.pi * (n % T_0) / T_0)) / 2)",
    "CyclicLR": "OneCycleLR is one cycle; for several, write LambdaLR",
    "MultiplicativeLR": "write LambdaLR, whose factor is that of the first learning rate",
    "PolynomialLR": "write LambdaLR(optimizer, lambda n: (1 - min(n, total) / total) ** power)",
    "_LRScheduler": "write LRScheduler",
}

_DATA = {
    "BatchSampler": "write DataLoader(dataset, batch_size=...)",
    "ChainDataset": "write ConcatDataset",
    "IterableDataset": "write a Dataset with __len__ and __getitem__",
    **dict.fromkeys(("Sampler", "SubsetRandomSampler"), "load data.Subset(dataset, indices) with shuffle=True"),
    "RandomSampler": "write DataLoader(dataset, shuffle=True)",
    "SequentialSampler": "a DataLoader keeps the order, so leave it out",
    "WeightedRandomSampler": (
        "write data.Subset(dataset, tg.multinomial(weights, count, replacement=True)), anew for each epoch"
    ),
    "default_collate": "write data.collate",
    **dict.fromkeys(("DistributedSampler", "distributed", "get_worker_info"), _ONE_PROCESS),
}

_AUTOGRAD = {
    "Function": "write a function under @tg.op, which returns the result and its backward",
    "Variable": "a tensor is one: tg.tensor(data, requires_grad=True)",
    "backward": "write loss.backward()",
    "functional": "write autograd.grad(y[i], x, retain_graph=True) for each row of a Jacobian matrix",
    "profiler": "write tg.profile",
}

_MODULE = {
    "bfloat16": "dtypes of floats are float32 and float64",
    "compile": "kernels are compiled anyway, so leave it out",
    "cuda": f'{_NO_GPU}; leave it out, or write .to("cpu")',
    "get_submodule": "write dict(net.named_modules())[path]",
    "half": "dtypes of floats are float32 and float64",
    **dict.fromkeys(
        ("register_backward_hook", "register_full_backward_hook"),
        "write x.register_hook(hook) on a tensor in forward(), whose gradient the hook is given",
    ),
    "register_forward_pre_hook": "do that first in forward(), or put a module before: nn.Sequential(first, net)",
    "share_memory": "all is computed in one process, so leave it out",
    "type": "write .to(dtype)",
}

_TENSOR = {
    "absolute": "write x.abs()",
    **dict.fromkeys(("bfloat16", "half"), "dtypes of floats are float32 and float64: x.float()"),
    "byte": "write x.to(tg.uint8)",
    "cuda": f'{_NO_GPU}; leave it out, or write x.to("cpu")',
    "element_size": "write x.array.itemsize",
    "is_contiguous": "write x.array.flags.c_contiguous",
    "is_cuda": f"it is False: {_NO_GPU}",
    "is_floating_point": 'write x.dtype.kind == "f"',
    "log10": "write x.log() / math.log(10)",
    "mT": "write x.transpose(-2, -1)",
    "median": _TOP["median"],
    "multiply": "write x.mul(y)",
    "new_tensor": "write tg.tensor(data, dtype=x.dtype)",
    **{f"new_{name}": f"write tg.{name}(..., dtype=x.dtype)" for name in ("empty", "full", "ones", "zeros")},
    **dict.fromkeys(("pin_memory", "share_memory_"), f"{_NO_GPU}, and one process, so leave it out"),
    "ravel": "write x.flatten()",
    "stride": "write x.array.strides, which counts bytes",
    "swapaxes": "write x.transpose(dim0, dim1)",
}

_LISTED = ("tinygrad_mlp.nn", "tinygrad_mlp.optim", "tinygrad_mlp.optim.lr_scheduler")

_TABLES: dict[str, Mapping[str, str]] = {
    "tinygrad_mlp": _TOP,
    "tinygrad_mlp.autograd": _AUTOGRAD,
    "tinygrad_mlp.data": _DATA,
    "tinygrad_mlp.nn": _NN,
    "tinygrad_mlp.nn.functional": _FUNCTIONAL,
    "tinygrad_mlp.optim": _OPTIM,
    "tinygrad_mlp.optim.lr_scheduler": _LR_SCHEDULER,
    "tinygrad_mlp.utils.data": _DATA,
    "Module": _MODULE,
}


def instead(namespace: str, name: str) -> str:
    """`: write tg.cat`, of a name that a module or the class "Module" lacks, or nothing where there is no hint."""
    hint = _TABLES[namespace].get(name)
    return "" if hint is None else f": {hint}"


def explain(module: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that a module lacks: what to write, or names that look like it."""
    hint = instead(module, name) or did_you_mean(name, known, cutoff=0.75)
    listed = "; README.md lists what is here, under Port from PyTorch" if module in _LISTED else ""
    return f"{module} has no {name!r}{hint or listed}"


def getter(module: str, known: Iterable[str], imported: Collection[str] = ()) -> Callable[[str], object]:
    """The `__getattr__` of a module, which raises `UnknownAttributeError` with that message.

    In `from module import name` it raises `UnknownImportError`, as Python would put a bare ImportError in place of an
    AttributeError. Submodules in `imported` are imported when they are named.
    """

    def absent(name: str) -> object:
        if name in imported:
            return import_module(f"{module}.{name}")
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        kind = UnknownImportError if _is_import(inspect.currentframe()) else UnknownAttributeError
        raise kind(explain(module, name, known))

    return absent


def _is_import(frame: FrameType | None) -> bool:
    """Whether the caller of this frame is at a `from module import name`."""
    caller = None if frame is None else frame.f_back
    return caller is not None and caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]


class _Absent:
    """In place of an attribute that is not there: reading it raises `UnknownAttributeError`, saying what to write."""

    def __init__(self, owner: str, name: str, hint: str) -> None:
        self._message = f"{owner} has no attribute {name!r}: {hint}"

    def __get__(self, instance: object, owner: type | None = None) -> object:
        raise UnknownAttributeError(self._message)


def mark_absent(tensor: type) -> None:
    """Let each attribute that the class Tensor lacks, and there is a hint for, say so when it is read.

    A `__getattr__` of the class would do the same, and slow down every attribute that it has.
    """
    for name, hint in _TENSOR.items():
        if not hasattr(tensor, name):
            setattr(tensor, name, _Absent("Tensor", name, hint))
