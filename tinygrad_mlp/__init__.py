"""Train, check and report small nets on a CPU.

>>> import tinygrad_mlp as tg
>>> from tinygrad_mlp import data, nn, optim
>>> import tinygrad_mlp.nn.functional as F

The names are PyTorch's. `tg.errors` has the errors, `tg.testing` the checks for ops of your own.
"""

from importlib import import_module
from math import inf, nan, pi
from typing import TYPE_CHECKING

from tinygrad_mlp import autograd, backends, cuda, data, errors, nn, optim, plot, train, utils
from tinygrad_mlp.autodiff.capture import Captured, CaptureWarning, capture
from tinygrad_mlp.autodiff.certify import Certificate, certify
from tinygrad_mlp.autodiff.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    is_tensor,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from tinygrad_mlp.autodiff.device import device
from tinygrad_mlp.autodiff.draw import draw
from tinygrad_mlp.autodiff.dtypes import bool, double, float, float32, float64, int, int32, int64, long, uint8
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.gradcheck import gradcheck, gradgradcheck
from tinygrad_mlp.autodiff.mode import (
    anomaly_mode,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.activation import relu, sigmoid
from tinygrad_mlp.autodiff.ops.arithmetic import add, div, floor_divide, mul, neg, pow, remainder, sub
from tinygrad_mlp.autodiff.ops.arrange import cat, chunk, diag, flip, meshgrid, roll, split, stack, tril, triu, unbind
from tinygrad_mlp.autodiff.ops.compare import (
    allclose,
    clamp,
    clip,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    masked_fill,
    maximum,
    minimum,
    ne,
    where,
)
from tinygrad_mlp.autodiff.ops.einsum import einsum
from tinygrad_mlp.autodiff.ops.elementary import (
    abs,
    ceil,
    cos,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    log,
    log1p,
    log2,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    sqrt,
    square,
    tanh,
)
from tinygrad_mlp.autodiff.ops.gather import gather, index_select, scatter, scatter_add, take_along_dim
from tinygrad_mlp.autodiff.ops.linear import bmm, dot, matmul, mm, mv, outer
from tinygrad_mlp.autodiff.ops.order import argsort, bincount, nonzero, sort, topk, unique
from tinygrad_mlp.autodiff.ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumsum,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from tinygrad_mlp.autodiff.ops.shape import (
    broadcast_to,
    clone,
    flatten,
    permute,
    reshape,
    squeeze,
    t,
    transpose,
    unsqueeze,
)
from tinygrad_mlp.autodiff.ops.softmax import log_softmax, logsumexp, softmax
from tinygrad_mlp.autodiff.profile import Profile, profile
from tinygrad_mlp.autodiff.random_state import default_generator, manual_seed
from tinygrad_mlp.autodiff.sampling import (
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.kernels.threads import get_num_threads, set_num_threads
from tinygrad_mlp.missing import TENSOR, Absent, explain
from tinygrad_mlp.serialization import load, save
from tinygrad_mlp.train.evaluation import evaluate
from tinygrad_mlp.train.trainer import Trainer

if TYPE_CHECKING:
    from tinygrad_mlp import experiments as experiments
    from tinygrad_mlp import testing as testing

__version__ = "0.1.0"

__all__ = [
    "CaptureWarning",
    "Captured",
    "Certificate",
    "Generator",
    "Profile",
    "Tensor",
    "Trainer",
    "__version__",
    "abs",
    "add",
    "all",
    "allclose",
    "amax",
    "amin",
    "anomaly_mode",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "as_tensor",
    "autograd",
    "backends",
    "bernoulli",
    "bincount",
    "bmm",
    "bool",
    "broadcast_to",
    "capture",
    "cat",
    "ceil",
    "certify",
    "chunk",
    "clamp",
    "clip",
    "clone",
    "cos",
    "cuda",
    "cumsum",
    "data",
    "default_generator",
    "device",
    "diag",
    "div",
    "dot",
    "double",
    "draw",
    "einsum",
    "empty",
    "empty_like",
    "enable_grad",
    "eq",
    "equal",
    "erf",
    "errors",
    "evaluate",
    "exp",
    "exp2",
    "expm1",
    "eye",
    "flatten",
    "flip",
    "float",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "gather",
    "ge",
    "get_num_threads",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "gt",
    "index_select",
    "inf",
    "inference_mode",
    "int",
    "int32",
    "int64",
    "is_grad_enabled",
    "is_tensor",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "linspace",
    "load",
    "log",
    "log1p",
    "log2",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "long",
    "lt",
    "manual_seed",
    "masked_fill",
    "matmul",
    "max",
    "maximum",
    "mean",
    "meshgrid",
    "min",
    "minimum",
    "mm",
    "mul",
    "multinomial",
    "mv",
    "nan",
    "ne",
    "neg",
    "nn",
    "no_grad",
    "nonzero",
    "norm",
    "normal",
    "ones",
    "ones_like",
    "op",
    "optim",
    "outer",
    "permute",
    "pi",
    "plot",
    "pow",
    "prod",
    "profile",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "reciprocal",
    "relu",
    "remainder",
    "reshape",
    "roll",
    "round",
    "rsqrt",
    "save",
    "scatter",
    "scatter_add",
    "set_grad_enabled",
    "set_num_threads",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "t",
    "take_along_dim",
    "tanh",
    "tensor",
    "topk",
    "train",
    "transpose",
    "tril",
    "triu",
    "uint8",
    "unbind",
    "unique",
    "unsqueeze",
    "utils",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

for _name, _instead in TENSOR.items():
    setattr(Tensor, _name, Absent("Tensor", _name, _instead))

_WHEN_NAMED = ("experiments", "testing")  # imported then: most scripts need neither, and `testing` needs hypothesis

if not TYPE_CHECKING:  # type checkers are to report unknown names too

    def __getattr__(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name in _WHEN_NAMED:
            return import_module(f"{__name__}.{name}")
        raise errors.UnknownAttributeError(explain(__name__, name, __all__))
