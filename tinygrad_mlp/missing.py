"""What to write here in place of names that PyTorch has and this package does not."""

from __future__ import annotations

from collections.abc import Iterable

from tinygrad_mlp.nn.names import did_you_mean

__all__ = ["explain"]

_INSTEAD = {
    **{
        f"{kind}Tensor": f"write tg.tensor(data, dtype=tg.{dtype})"
        for kind, dtype in {
            "Float": "float32",
            "Double": "float64",
            "Long": "int64",
            "Int": "int32",
            "Byte": "uint8",
            "Bool": "bool",
        }.items()
    },
    **dict.fromkeys(("float16", "half", "bfloat16"), "dtypes of floats are tg.float32 and tg.float64"),
    **dict.fromkeys(("concat", "concatenate"), "write tg.cat"),
    "Size": "shapes are tuples",
    "absolute": "write tg.abs",
    "autocast": "there is no float16 here, so leave it out",
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
    "set_default_dtype": "give dtype= where tensors are made, and convert a net by net.double()",
    "set_printoptions": "print x.numpy() under np.printoptions",
    "subtract": "write tg.sub",
    "use_deterministic_algorithms": "results are deterministic always, so leave it out",
    "vstack": "write tg.cat(tensors, dim=0), or tg.stack for vectors",
}


def explain(name: str, known: Iterable[str]) -> str:
    """The message for `tg.<name>`, which does not exist: what to write, or names that look like it."""
    if name in _INSTEAD:
        return f"tinygrad_mlp has no {name!r}: {_INSTEAD[name]}"
    return f"tinygrad_mlp has no {name!r}{did_you_mean(name, known, cutoff=0.75)}"
