"""Functions, methods and constructors take PyTorch's arguments: its names, in its order, with its defaults.

The tables below state PyTorch's signatures, but for `out`, `layout`, `pin_memory` and `memory_format`, which do not
exist here. What is listed under NOT_HERE and OTHER_DEFAULTS is all that differs.
"""

from __future__ import annotations

import ast
import inspect

import pytest

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import Tensor, nn, optim
from tinygrad_mlp.autodiff import methods
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.nn import init, utils

SPACES = {"tg": tg, "Tensor": Tensor, "F": F, "init": init, "utils": utils, "nn": nn, "optim": optim}

FILL = "*, dtype=None, device=None, requires_grad=False"
OF_ONE = (
    "abs ceil clone cos erf exp exp2 expm1 floor isfinite isinf isnan log log1p log2 logical_not neg reciprocal relu "
    "rsqrt sigmoid sign sin sqrt square t tanh"
)
OF_TWO = "eq equal floor_divide ge gt le logical_and logical_or logical_xor lt matmul maximum minimum mul ne remainder"

TG = {
    **dict.fromkeys(OF_ONE.split(), "input"),
    **dict.fromkeys(OF_TWO.split(), "input, other"),
    "add": "input, other, *, alpha=1",
    "all": "input, dim=None, keepdim=False",
    "allclose": "input, other, rtol=1e-5, atol=1e-8, equal_nan=False",
    "amax": "input, dim=(), keepdim=False",
    "amin": "input, dim=(), keepdim=False",
    "any": "input, dim=None, keepdim=False",
    "arange": "start=0, end=None, step=1, *, dtype=None, device=None, requires_grad=False",  # a default before `end`
    "argmax": "input, dim=None, keepdim=False",
    "argmin": "input, dim=None, keepdim=False",
    "argsort": "input, dim=-1, descending=False, stable=False",
    "as_tensor": "data, dtype=None, device=None",
    "bernoulli": "input, *, generator=None",
    "bincount": "input, weights=None, minlength=0",
    "bmm": "input, mat2",
    "broadcast_to": "input, size",
    "cat": "tensors, dim=0",
    "chunk": "input, chunks, dim=0",
    "clamp": "input, min=None, max=None",
    "clip": "input, min=None, max=None",
    "cumsum": "input, dim, *, dtype=None",
    "diag": "input, diagonal=0",
    "div": "input, other, *, rounding_mode=None",
    "dot": "input, tensor",
    "einsum": "equation",
    "empty": f"size, {FILL}",
    "empty_like": f"input, {FILL}",
    "eye": f"n, m=None, {FILL}",
    "flatten": "input, start_dim=0, end_dim=-1",
    "flip": "input, dims",
    "from_dlpack": "ext_tensor",
    "from_numpy": "ndarray, /",
    "full": f"size, fill_value, {FILL}",
    "full_like": f"input, fill_value, {FILL}",
    "gather": "input, dim, index, *, sparse_grad=False",
    "get_num_threads": "",
    "grad": "outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True, "
    "allow_unused=None, is_grads_batched=False, materialize_grads=False",  # torch.autograd.grad
    "gradcheck": "func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, fast_mode=False",
    "gradgradcheck": "func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, "
    "fast_mode=False",
    "index_select": "input, dim, index",
    "is_grad_enabled": "",
    "is_tensor": "obj",
    "isclose": "input, other, rtol=1e-5, atol=1e-8, equal_nan=False",
    "linspace": f"start, end, steps, {FILL}",
    "load": "f, map_location=None, pickle_module=None, *, weights_only=True, mmap=None",
    "log_softmax": "input, dim, dtype=None",
    "logsumexp": "input, dim, keepdim=False",
    "manual_seed": "seed",
    "masked_fill": "input, mask, value",
    "max": "input, dim=None, keepdim=False",
    "mean": "input, dim=None, keepdim=False, *, dtype=None",
    "meshgrid": "*, indexing=None",
    "min": "input, dim=None, keepdim=False",
    "mm": "input, mat2",
    "multinomial": "input, num_samples, replacement=False, *, generator=None",
    "mv": "input, vec",
    "nonzero": "input, *, as_tuple=False",
    "norm": "input, p='fro', dim=None, keepdim=False, dtype=None",
    "normal": f"mean=0.0, std=1.0, size=None, {FILL}, generator=None",
    "ones": f"size, {FILL}",
    "ones_like": f"input, {FILL}",
    "outer": "input, vec2",
    "permute": "input, dims",
    "pow": "input, exponent",
    "prod": "input, dim=None, keepdim=False, *, dtype=None",
    "rand": f"size, {FILL}, generator=None",
    "rand_like": f"input, {FILL}",
    "randint": f"low=0, high=None, size=None, {FILL}, generator=None",
    "randint_like": f"input, low=0, high=None, {FILL}",
    "randn": f"size, {FILL}, generator=None",
    "randn_like": f"input, {FILL}",
    "randperm": f"n, {FILL}, generator=None",
    "reshape": "input, shape",
    "roll": "input, shifts, dims=None",
    "round": "input, *, decimals=0",
    "save": "obj, f, pickle_module=None, pickle_protocol=2",
    "scatter": "input, dim, index, src, *, value, reduce=None",
    "scatter_add": "input, dim, index, src",
    "set_num_threads": "threads, /",
    "softmax": "input, dim, dtype=None",
    "sort": "input, dim=-1, descending=False, stable=False",
    "split": "tensor, split_size_or_sections, dim=0",
    "squeeze": "input, dim",
    "stack": "tensors, dim=0",
    "std": "input, dim=None, *, correction=1, keepdim=False",
    "sub": "input, other, *, alpha=1",
    "sum": "input, dim=None, keepdim=False, *, dtype=None",
    "take_along_dim": "input, indices, dim=None",
    "tensor": f"data, {FILL}",
    "topk": "input, k, dim=-1, largest=True, sorted=True",
    "transpose": "input, dim0, dim1",
    "tril": "input, diagonal=0",
    "triu": "input, diagonal=0",
    "unbind": "input, dim=0",
    "unique": "input, sorted=True, return_inverse=False, return_counts=False, dim=None",
    "unsqueeze": "input, dim",
    "var": "input, dim=None, *, correction=1, keepdim=False",
    "where": "condition, input, other",
    "zeros": f"size, {FILL}",
    "zeros_like": f"input, {FILL}",
}

ALONE = "bool contiguous cpu detach detach_ dim double float int item long nelement numel retain_grad tolist zero_"
TENSOR = {
    # Those of a function's name take what it takes, but for `input`, which is `self`.
    **{name: text for name, text in TG.items() if inspect.isroutine(getattr(Tensor, name, None))},
    **dict.fromkeys(ALONE.split(), "self"),
    "add_": "self, other, *, alpha=1",
    "addcdiv_": "self, tensor1, tensor2, *, value=1",
    "addcmul_": "self, tensor1, tensor2, *, value=1",
    "backward": "self, gradient=None, retain_graph=None, create_graph=False, inputs=None",
    "clamp_": "self, min=None, max=None",
    "copy_": "self, src, non_blocking=False",
    "div_": "self, other, *, rounding_mode=None",
    "expand": "self, size",
    "expand_as": "self, other",
    "fill_": "self, value",
    "lerp_": "self, end, weight",
    "masked_fill_": "self, mask, value",
    "mul_": "self, other",
    "normal_": "self, mean=0.0, std=1.0, *, generator=None",
    "numpy": "self, *, force=False",
    "register_hook": "self, hook",
    "repeat": "self, repeats",
    "requires_grad_": "self, requires_grad=True",
    "scatter_": "self, dim, index, src, *, value, reduce=None",
    "scatter_add_": "self, dim, index, src",
    "size": "self, dim=None",
    "split": "self, split_size, dim=0",
    "sub_": "self, other, *, alpha=1",
    "to": "self, *, dtype=None, device=None, non_blocking=False, copy=False",
    "type": "self, dtype=None, non_blocking=False",
    "type_as": "self, other",
    "uniform_": "self, from_=0.0, to=1.0, *, generator=None",  # `from`, which Python lets nobody write
    "view": "self, size",
    "view_as": "self, other",
    "where": "self, condition, other",
}

CONV = "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1"
DROPOUT = "input, p=0.5, training=True, inplace=False"
LOSS = "input, target, size_average=None, reduce=None, reduction='mean'"
FUNCTIONAL = {
    "adaptive_avg_pool2d": "input, output_size",
    "avg_pool2d": "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, "
    "divisor_override=None",
    "batch_norm": "input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5",
    "binary_cross_entropy": "input, target, weight=None, size_average=None, reduce=None, reduction='mean'",
    "binary_cross_entropy_with_logits": "input, target, weight=None, size_average=None, reduce=None, "
    "reduction='mean', pos_weight=None",
    "conv1d": CONV,
    "conv2d": CONV,
    "cosine_similarity": "x1, x2, dim=1, eps=1e-8",
    "cross_entropy": "input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, "
    "reduction='mean', label_smoothing=0.0",
    "dropout": DROPOUT,
    "dropout1d": DROPOUT,
    "dropout2d": DROPOUT,
    "elu": "input, alpha=1.0, inplace=False",
    "embedding": "input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, "
    "sparse=False",
    "gelu": "input, approximate='none'",
    "group_norm": "input, num_groups, weight=None, bias=None, eps=1e-5",
    "hardtanh": "input, min_val=-1.0, max_val=1.0, inplace=False",
    "huber_loss": "input, target, reduction='mean', delta=1.0, weight=None",
    "kl_div": f"{LOSS}, log_target=False",
    "l1_loss": f"{LOSS}, weight=None",
    "layer_norm": "input, normalized_shape, weight=None, bias=None, eps=1e-5",
    "leaky_relu": "input, negative_slope=0.01, inplace=False",
    "linear": "input, weight, bias=None",
    "log_softmax": "input, dim=None, _stacklevel=3, dtype=None",
    "logsigmoid": "input",
    "max_pool2d": "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False",
    "mse_loss": f"{LOSS}, weight=None",
    "adaptive_avg_pool1d": "input, output_size",
    "avg_pool1d": "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True",
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d"),
        "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1",
    ),
    "interpolate": "input, size=None, scale_factor=None, mode='nearest', align_corners=None, "
    "recompute_scale_factor=None, antialias=False",
    "max_pool1d": "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False",
    "prelu": "input, weight",
    "nll_loss": "input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean'",
    "normalize": "input, p=2.0, dim=1, eps=1e-12",
    "one_hot": "tensor, num_classes=-1",
    "pad": "input, pad, mode='constant', value=None",
    "relu": "input, inplace=False",
    "sigmoid": "input",
    "silu": "input, inplace=False",
    "smooth_l1_loss": f"{LOSS}, beta=1.0",
    "softmax": "input, dim=None, _stacklevel=3, dtype=None",
    "softplus": "input, beta=1, threshold=20",
    "tanh": "input",
}

INIT = {
    "calculate_gain": "nonlinearity, param=None",
    "constant_": "tensor, val",
    "kaiming_normal_": "tensor, a=0, mode='fan_in', nonlinearity='leaky_relu', generator=None",
    "kaiming_uniform_": "tensor, a=0, mode='fan_in', nonlinearity='leaky_relu', generator=None",
    "normal_": "tensor, mean=0.0, std=1.0, generator=None",
    "ones_": "tensor",
    "orthogonal_": "tensor, gain=1, generator=None",
    "uniform_": "tensor, a=0.0, b=1.0, generator=None",
    "xavier_normal_": "tensor, gain=1.0, generator=None",
    "xavier_uniform_": "tensor, gain=1.0, generator=None",
    "zeros_": "tensor",
}

UTILS = {
    "clip_grad_norm_": "parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None",
    "clip_grad_value_": "parameters, clip_value, foreach=None",
    "parameters_to_vector": "parameters",
    "vector_to_parameters": "vec, parameters",
}

LINEAR = "device=None, dtype=None"
POOL = "kernel_size, stride=None, padding=0"
CONV = (
    "in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, "
    f"padding_mode='zeros', {LINEAR}"
)
NORM = f"num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, {LINEAR}"
OLD_LOSS = "size_average=None, reduce=None, reduction='mean'"
WEIGHED = "weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean'"

NN = {
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d"), NORM),
    **dict.fromkeys(("Conv1d", "Conv2d"), CONV),
    **dict.fromkeys(
        ("ConvTranspose1d", "ConvTranspose2d"),
        "in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, "
        f"dilation=1, padding_mode='zeros', {LINEAR}",
    ),
    **dict.fromkeys(("Dropout", "Dropout1d", "Dropout2d"), "p=0.5, inplace=False"),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d"), f"{POOL}, dilation=1, return_indices=False, ceil_mode=False"),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d"), "output_size"),
    "AvgPool1d": f"{POOL}, ceil_mode=False, count_include_pad=True",
    "PReLU": f"num_parameters=1, init=0.25, {LINEAR}",
    "Upsample": "size=None, scale_factor=None, mode='nearest', align_corners=None, recompute_scale_factor=None",
    **dict.fromkeys(("CircularPad2d", "ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d"), "padding"),
    **dict.fromkeys(("LogSigmoid", "Module", "Sigmoid", "Tanh"), ""),
    **dict.fromkeys(("LogSoftmax", "Softmax"), "dim=None"),
    **dict.fromkeys(("ReLU", "SiLU"), "inplace=False"),
    "AvgPool2d": f"{POOL}, ceil_mode=False, count_include_pad=True, divisor_override=None",
    "BCELoss": f"weight=None, {OLD_LOSS}",
    "BCEWithLogitsLoss": f"weight=None, {OLD_LOSS}, pos_weight=None",
    "CrossEntropyLoss": f"{WEIGHED}, label_smoothing=0.0",
    "ELU": "alpha=1.0, inplace=False",
    "Embedding": "num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0, "
    f"scale_grad_by_freq=False, sparse=False, _weight=None, _freeze=False, {LINEAR}",
    "Flatten": "start_dim=1, end_dim=-1",
    "GELU": "approximate='none'",
    "GroupNorm": f"num_groups, num_channels, eps=1e-5, affine=True, {LINEAR}",
    "Hardtanh": "min_val=-1.0, max_val=1.0, inplace=False",
    "HuberLoss": "reduction='mean', delta=1.0",
    "Identity": "",
    "KLDivLoss": f"{OLD_LOSS}, log_target=False",
    "L1Loss": OLD_LOSS,
    "LayerNorm": f"normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, {LINEAR}",
    "LeakyReLU": "negative_slope=0.01, inplace=False",
    "Linear": f"in_features, out_features, bias=True, {LINEAR}",
    "MSELoss": OLD_LOSS,
    "ModuleDict": "modules=None",
    "ModuleList": "modules=None",
    "NLLLoss": WEIGHED,
    "Parameter": "data=None, requires_grad=True",
    "ParameterList": "values=None",
    "Sequential": "",
    "SmoothL1Loss": f"{OLD_LOSS}, beta=1.0",
    "Softplus": "beta=1.0, threshold=20.0",
    "Unflatten": "dim, unflattened_size",
}

ADAM = "params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8"
OPTIM = {
    "Adadelta": "params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *, capturable=False, maximize=False, "
    "differentiable=False",
    "Adagrad": "params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, foreach=None, *, "
    "maximize=False, differentiable=False, fused=None",
    "Adam": f"{ADAM}, weight_decay=0, amsgrad=False, *, foreach=None, maximize=False, capturable=False, "
    "differentiable=False, fused=None",
    "AdamW": f"{ADAM}, weight_decay=1e-2, amsgrad=False, *, maximize=False, foreach=None, capturable=False, "
    "differentiable=False, fused=None",
    "Optimizer": "params, defaults",
    "RMSprop": "params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, capturable=False, "
    "foreach=None, maximize=False, differentiable=False",
    "SGD": "params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *, maximize=False, foreach=None, "
    "differentiable=False, fused=None",
    "ChainedScheduler": "schedulers, optimizer=None",
    "ConstantLR": "optimizer, factor=1 / 3, total_iters=5, last_epoch=-1",
    "CosineAnnealingLR": "optimizer, T_max, eta_min=0.0, last_epoch=-1",
    "ExponentialLR": "optimizer, gamma, last_epoch=-1",
    "LRScheduler": "optimizer, last_epoch=-1",
    "LambdaLR": "optimizer, lr_lambda, last_epoch=-1",
    "LinearLR": "optimizer, start_factor=1 / 3, end_factor=1.0, total_iters=5, last_epoch=-1",
    "MultiStepLR": "optimizer, milestones, gamma=0.1, last_epoch=-1",
    "OneCycleLR": "optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None, pct_start=0.3, "
    "anneal_strategy='cos', cycle_momentum=True, base_momentum=0.85, max_momentum=0.95, div_factor=25.0, "
    "final_div_factor=1e4, three_phase=False, last_epoch=-1",
    "ReduceLROnPlateau": "optimizer, mode='min', factor=0.1, patience=10, threshold=1e-4, threshold_mode='rel', "
    "cooldown=0, min_lr=0, eps=1e-8",
    "SequentialLR": "optimizer, schedulers, milestones, last_epoch=-1",
    "StepLR": "optimizer, step_size, gamma=0.1, last_epoch=-1",
}

TORCH = {"tg": TG, "Tensor": TENSOR, "F": FUNCTIONAL, "init": INIT, "utils": UTILS, "nn": NN, "optim": OPTIM}

NOT_HERE = {
    **{f"nn.{name}": "size_average reduce" for name, text in NN.items() if "size_average" in text},
    "nn.Upsample": "recompute_scale_factor",
    "nn.Embedding": "max_norm norm_type scale_grad_by_freq sparse _weight _freeze",
    "Tensor.backward": "inputs",
    "Tensor.bincount": "weights",
    "Tensor.gather": "sparse_grad",
    "Tensor.norm": "dtype",
    "Tensor.scatter": "reduce",
    "Tensor.scatter_": "reduce",
    "Tensor.type": "non_blocking",
    "Tensor.unique": "dim",
    "F.binary_cross_entropy": "size_average reduce",
    "F.binary_cross_entropy_with_logits": "size_average reduce",
    "F.cross_entropy": "size_average reduce",
    "F.embedding": "max_norm norm_type scale_grad_by_freq sparse",
    "F.huber_loss": "weight",
    "F.interpolate": "recompute_scale_factor antialias",
    "F.kl_div": "size_average reduce",
    "F.l1_loss": "size_average reduce weight",
    "F.log_softmax": "_stacklevel",
    "F.mse_loss": "size_average reduce weight",
    "F.nll_loss": "size_average reduce",
    "F.smooth_l1_loss": "size_average reduce",
    "F.softmax": "_stacklevel",
    "tg.bincount": "weights",
    "tg.gather": "sparse_grad",
    "tg.grad": "is_grads_batched materialize_grads",
    "tg.gradgradcheck": "grad_outputs",
    "tg.load": "pickle_module mmap",
    "tg.norm": "dtype",
    "tg.randint": "requires_grad",
    "tg.randint_like": "requires_grad",
    "tg.randperm": "requires_grad",
    "tg.save": "pickle_module pickle_protocol",
    "tg.scatter": "reduce",
    "tg.unique": "dim",
    "utils.clip_grad_norm_": "foreach",
    "utils.clip_grad_value_": "foreach",
}
"""PyTorch's parameters that do not exist here."""

OTHER_DEFAULTS = {
    "nn.ModuleList": "modules",  # () for None
    "nn.Parameter": "data",  # there is no parameter without
    "nn.ParameterList": "values",
    "Tensor.amax": "dim",  # None for (), both of which mean all dimensions
    "Tensor.amin": "dim",
    "Tensor.argsort": "stable",  # always
    "Tensor.norm": "p",  # 2 is "fro"
    "Tensor.sort": "stable",
    "Tensor.type": "dtype",  # without one PyTorch gives a text
    "tg.amax": "dim",
    "tg.amin": "dim",
    "tg.arange": "start",  # None for 0
    "tg.argsort": "stable",
    "tg.grad": "allow_unused",  # None says False, too
    "tg.gradcheck": "eps atol rtol",  # tighter
    "tg.gradgradcheck": "eps atol rtol",
    "tg.meshgrid": "indexing",  # "ij" is what None means
    "tg.norm": "p",
    "tg.sort": "stable",
}
"""Parameters whose default differs, or that must be given here."""

OURS_ALONE = {
    "tg": "capture certify draw evaluate op",
    "Tensor": "silu",
    "F": "",
    "init": "initializer lecun_normal_ lecun_uniform_",
    "utils": "",
    "nn": "ResidualBlock",
    "optim": "ExponentialMovingAverage",
}
"""Functions and classes that PyTorch does not have under these names."""

ROWS = [(space, name) for space, rows in TORCH.items() for name in rows]
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters_of_torch(space: str, name: str) -> list[inspect.Parameter]:
    """Those of the table, without what is not here, and of methods without self."""
    found = list(inspect.signature(eval(f"lambda {TORCH[space][name]}: 0")).parameters.values())
    absent = NOT_HERE.get(f"{space}.{name}", "").split()
    assert set(absent) <= {parameter.name for parameter in found}, "an exception that is none"
    return [parameter for parameter in found[space == "Tensor" :] if parameter.name not in absent]


def parameters_here(space: str, name: str) -> list[inspect.Parameter]:
    here = getattr(SPACES[space], name)
    found = list(inspect.signature(here.__init__ if inspect.isclass(here) else here).parameters.values())
    without_self = found[inspect.isclass(here) or space == "Tensor" :]
    return [parameter for parameter in without_self if parameter.kind not in _STARRED]


@pytest.mark.parametrize(("space", "name"), ROWS)
def test_names_and_order_are_pytorchs(space, name):
    torch = parameters_of_torch(space, name)
    ours = parameters_here(space, name)
    ordered = [each.name for each in torch if each.kind in _POSITIONAL]
    if any(each.kind is inspect.Parameter.POSITIONAL_ONLY for each in torch):  # has no names that a call could use
        assert len(ours) == len(ordered)
        return
    assert [each.name for each in ours][: len(ordered)] == ordered
    assert {each.name for each in torch} <= {each.name for each in ours}
    absent = NOT_HERE.get(f"{space}.{name}", "").split()
    assert not {each.name for each in ours} & set(absent), "is here by now"


@pytest.mark.parametrize(("space", "name"), [row for row in ROWS if row[0] in ("nn", "optim")])
def test_what_goes_by_place_there_does_so_here(space, name):
    """But for what says how it is computed; and in losses, whose old arguments that come before are not here."""
    ours = {each.name: each.kind for each in parameters_here(space, name)}
    by_place = [each.name for each in parameters_of_torch(space, name) if each.kind in _POSITIONAL]
    by_name_here = {each for each in by_place if ours.get(each) is inspect.Parameter.KEYWORD_ONLY}
    if "size_average" not in TORCH[space][name]:
        assert by_name_here <= {"device", "dtype", "foreach", "capturable", "maximize", "differentiable"}


@pytest.mark.parametrize(("space", "name"), ROWS)
def test_defaults_are_pytorchs(space, name):
    ours = {each.name: each.default for each in parameters_here(space, name)}
    torch = [each for each in parameters_of_torch(space, name) if each.name in ours]
    differing = [each.name for each in torch if each.default not in (each.empty, ours[each.name])]
    assert differing == OTHER_DEFAULTS.get(f"{space}.{name}", "").split()


@pytest.mark.parametrize("space", SPACES)
def test_every_public_function_is_in_the_table(space):
    module = SPACES[space]
    names = [name for name in dir(Tensor) if not name.startswith("_")] if space == "Tensor" else module.__all__
    is_listed = inspect.isclass if space in ("nn", "optim") else inspect.isroutine
    functions = {name for name in names if is_listed(getattr(module, name, None))}
    alone = set(OURS_ALONE[space].split())
    assert functions == set(TORCH[space]) | alone
    assert not set(TORCH[space]) & alone


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: optim.Adam(p, amsgrad=True), "Adam: there is no amsgrad here; lower the learning rate"),
        (
            lambda p: optim.AdamW(p, maximize=True),
            r"AdamW: there is no maximize here; call backward\(\) on the negative",
        ),
        (lambda p: optim.SGD(p, differentiable=True), "SGD: there is no differentiable here; write the step with ops"),
        (lambda p: optim.RMSprop(p, maximize=1), "RMSprop: maximize=1, expected True or False"),
        (lambda _: nn.Linear(2, 2, device="cuda"), "Linear: there is no device 'cuda' here"),
        (lambda _: nn.Linear(2, 2, device=0), "Linear: there is no device '0' here"),
        (lambda _: nn.BatchNorm2d(2, device="mps"), "BatchNorm2d: there is no device 'mps' here"),
    ],
)
def test_what_cannot_be_had_says_so(make, text):
    with pytest.raises(ArgumentError, match=text):
        make([nn.Parameter(tg.zeros(2))])


def test_what_says_how_it_is_computed_changes_nothing():
    nets = [nn.Sequential(nn.Linear(3, 2, device=device), nn.BatchNorm1d(2, device=device)) for device in (None, "cpu")]
    nets[1].load_state_dict(nets[0].state_dict())
    optimizers = [optim.Adam(nets[0].parameters()), optim.Adam(nets[1].parameters(), fused=True, foreach=False)]
    for net, optimizer in zip(nets, optimizers, strict=True):
        net(tg.arange(12.0).reshape(4, 3)).square().sum().backward()
        optimizer.step()
    assert all(tg.equal(a, b) for a, b in zip(*[net.parameters() for net in nets], strict=True))
    assert set(optimizers[1].param_groups[0]) == set(optimizers[0].param_groups[0])


@pytest.mark.parametrize("table", [NOT_HERE, OTHER_DEFAULTS])
def test_exceptions_belong_to_rows(table):
    assert {tuple(name.split(".")) for name in table} <= set(ROWS)


def test_declarations_of_methods_agree_with_them():
    (declared,) = [node for node in ast.parse(inspect.getsource(methods)).body if isinstance(node, ast.ClassDef)]
    functions = [node for node in ast.walk(declared) if isinstance(node, ast.FunctionDef) and node.name in TENSOR]
    assert len(functions) > 100
    for function in functions:
        if function.name == "to":  # declared with *args
            continue
        arguments = function.args
        starred = [arguments.vararg] if arguments.vararg else []
        names = [each.arg for each in [*arguments.args, *starred, *arguments.kwonlyargs]]
        here = list(inspect.signature(getattr(Tensor, function.name)).parameters)
        assert names == ["self", *here[1:]], function.name


X = tg.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("by_keyword", "by_place"),
    [
        (lambda: X.reshape(shape=(3, 2)), lambda: X.reshape(3, 2)),
        (lambda: tg.reshape(input=X, shape=(3, 2)), lambda: tg.reshape(X, (3, 2))),
        (lambda: X.view(size=(3, -1)), lambda: X.view(3, -1)),
        (lambda: X.view(size=6), lambda: X.view(6)),
        (lambda: X.permute(dims=(1, 0)), lambda: X.permute(1, 0)),
        (lambda: tg.permute(input=X, dims=(1, 0)), lambda: tg.permute(X, (1, 0))),
        (lambda: X.expand(size=(2, 2, -1)), lambda: X.expand(2, 2, -1)),
        (lambda: X.repeat(repeats=(2, 1)), lambda: X.repeat(2, 1)),
        (lambda: X.flip(dims=(0, 1)), lambda: X.flip(0, 1)),
        (lambda: tg.flip(input=X, dims=[1]), lambda: X.flip(1)),
        (lambda: tg.broadcast_to(input=X, size=(2, 2, 3)), lambda: X.broadcast_to((2, 2, 3))),
        (lambda: tg.zeros(size=(2, 3)), lambda: tg.zeros(2, 3)),
        (lambda: tg.ones(size=(2, 3)), lambda: tg.ones((2, 3))),
        (lambda: tg.arange(end=5), lambda: tg.arange(5)),
        (lambda: tg.arange(start=1, end=5, step=2), lambda: tg.arange(1, 5, 2)),
        (lambda: tg.where(condition=X > 2, input=X, other=0.0), lambda: tg.where(X > 2, X, 0.0)),
        (lambda: tg.cat(tensors=tg.split(tensor=X, split_size_or_sections=1, dim=1), dim=1), lambda: X),
        (lambda: tg.cat(X.split(split_size=2, dim=1), dim=1), lambda: X),
        (lambda: tg.mm(input=X, mat2=X.T), lambda: X @ X.T),
    ],
)
def test_calls_by_keyword(by_keyword, by_place):
    given, expected = by_keyword(), by_place()
    assert given.shape == expected.shape
    assert given.dtype == expected.dtype
    assert given.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: X.reshape(3, 2, shape=(3, 2)), r"reshape: got shape twice, as 3, 2 and as shape=\(3, 2\)"),
        (lambda: X.view(6, size=6), "view: got size twice"),
        (lambda: X.permute(1, 0, dims=(1, 0)), "permute: got dims twice"),
        (lambda: X.expand(2, 3, size=(2, 3)), "expand: got size twice"),
        (lambda: X.repeat(2, 1, repeats=(2, 1)), "repeat: got repeats twice"),
        (lambda: X.flip(0, dims=0), "flip: got dims twice"),
        (X.flip, "flip: give the dimensions"),
        (tg.arange, "arange: give the end"),
    ],
)
def test_sizes_given_twice_or_not_at_all(call, text):
    with pytest.raises(tg.errors.ArgumentError, match=text):
        call()
