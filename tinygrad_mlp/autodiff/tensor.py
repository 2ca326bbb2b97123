"""`Tensor`: one ndarray, its gradient, and the node that says how it was computed.

Ops live in `ops/` and attach themselves to `Tensor` as methods when the package is imported; `methods.py` lists them
for readers and type checkers.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

import numpy as np

from tinygrad_mlp.autodiff.device import CPU, device
from tinygrad_mlp.autodiff.grad_memory import GradMemory
from tinygrad_mlp.autodiff.hooks import GradKeeper, HookHandle
from tinygrad_mlp.autodiff.methods import Dim, Index, Operand, TensorMethods
from tinygrad_mlp.autodiff.mode import anomaly, module_stack
from tinygrad_mlp.autodiff.text import array_text
from tinygrad_mlp.errors import ArgumentError, CaptureError, DtypeError, GradientError, ShapeError
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.observe import thread_state
from tinygrad_mlp.kernels.record import recorder

__all__ = [
    "Backward",
    "Dim",
    "Hook",
    "Index",
    "Node",
    "Operand",
    "Tensor",
    "about_to_change",
    "check_reading",
    "note_made",
    "wrap",
]

Backward: TypeAlias = "Callable[[Tensor, Tensor], Tensor | None | tuple[Tensor | None, ...]]"
Hook: TypeAlias = "Callable[[Tensor], Tensor | None]"

_KINDS = "fiub"  # float32 and float64, integers, bool


_creation = itertools.count()


class Node:
    """How one tensor was computed: the op, its arguments (None where one is no Tensor), and the way back.

    `order` counts nodes in the order of their making, so that an op's is above those of all that it was computed from.
    """

    __slots__ = ("backward", "inputs", "name", "order", "out_version", "path", "versions")

    def __init__(self, name: str, args: tuple[Any, ...], backward: Backward, out: Tensor) -> None:
        inputs = tuple([arg if isinstance(arg, Tensor) else None for arg in args])
        self.name = name
        self.inputs: tuple[Tensor | None, ...] = inputs
        self.backward: Backward | None = backward
        self.order = next(_creation)
        self.versions = [0 if tensor is None else tensor.counter[0] for tensor in inputs]
        self.out_version = out.counter[0]
        self.path = module_stack.path() if anomaly.get() else ""

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def check_usable(self, out: Tensor) -> None:
        """Raise unless the closure is still here, and inputs and output still hold what forward left in them."""
        if self.backward is None:
            raise GradientError(
                f"op {self.name}: its part of the graph was freed by an earlier backward(); to go through it twice, "
                "pass retain_graph=True to the first"
            )
        if out.counter[0] != self.out_version:
            self._raise_changed("its result", out)
        if [0 if tensor is None else tensor.counter[0] for tensor in self.inputs] != self.versions:
            for position, (tensor, version) in enumerate(zip(self.inputs, self.versions, strict=True)):
                if tensor is not None and tensor.counter[0] != version:
                    self._raise_changed(f"argument {position}", tensor)

    def _raise_changed(self, what: str, tensor: Tensor) -> None:
        raise GradientError(
            f"op {self.name}: {what} (shape {tensor.shape}) was changed in place after the forward pass, so the "
            "gradient would be wrong; run forward again, or change a .clone()"
        )

    def release(self) -> None:
        """Let go of the closure and of everything that it keeps alive."""
        self.backward = None
        self.inputs = ()
        self.versions = []


class Tensor(TensorMethods):
    """An ndarray that remembers how it was computed.

    Parameters
    ----------
    array:
        float32, float64, integer or bool; it is wrapped, not copied. `tg.tensor(...)` copies and converts anything.
    requires_grad:
        Whether `backward()` fills `.grad`; floating-point only.

    Raises
    ------
    DtypeError
        Another dtype, or `requires_grad` on integers.
    """

    __slots__ = ("__weakref__", "array", "counter", "grad", "grad_memory", "hooks", "node", "wants_grad")

    array: Array
    grad: Tensor | None
    wants_grad: bool
    """What `requires_grad` says: to be read where time counts, and not to be set."""
    node: Node | None
    """How it was computed; None for a leaf."""
    counter: list[int]
    """Number of in-place writes, in a list of one that all views of one memory share."""
    hooks: list[Hook] | None
    grad_memory: GradMemory | None
    """Where an optimizer wants the gradient to lie."""

    __array_ufunc__ = None  # NumPy hands `ndarray * Tensor` over to Tensor.__rmul__

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        if not isinstance(array, np.ndarray):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without types
            raise DtypeError(
                f"Tensor wraps an ndarray, got {type(array).__name__}; write tg.tensor(data, dtype=tg.float32) for "
                "lists and numbers, and tg.empty(2, 3) for sizes"
            )
        if array.dtype.kind not in _KINDS or array.dtype == np.float16 or array.dtype.itemsize > 8:
            raise DtypeError(f"Tensor: dtype {array.dtype} is not supported; use float32, float64, an integer or bool")
        self.array = array
        self.grad = None
        self.node = None
        self.counter = [0]
        self.hooks = None
        self.grad_memory = None
        self.wants_grad = False
        if requires_grad:
            self.requires_grad_()

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted; to set it is to call `requires_grad_`."""
        return self.wants_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy dtype; equal to `tg.float32` and its like."""
        return self.array.dtype

    @property
    def device(self) -> device:
        """The CPU."""
        return CPU

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user and not by a recorded op."""
        return self.node is None

    @property
    def grad_fn(self) -> Node | None:
        """The node that computed it (PyTorch's name for `node`)."""
        return self.node

    @property
    def version(self) -> int:
        """Number of in-place writes to its memory so far."""
        return self.counter[0]

    @property
    def data(self) -> Tensor:
        """A detached Tensor on the same memory."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if value.shape != self.shape or value.dtype != self.dtype:
            raise ShapeError(f"data: got {value.shape} {value.dtype}, expected {self.shape} {self.dtype}")
        recording = recorder()
        if recording is not None and value.array is not self.array:
            if recording.has_made(value.array) and self.array.flags.writeable:  # as `w.data -= ...`: new numbers
                about_to_change(self)
                launch(copy, value.array, self.array)
                self.counter[0] += 1
                return
            recording.refuse("it gives a tensor other memory, by `.data =`")
        self.array = value.array
        self.counter[0] += 1

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one entry of it."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Number of dimensions."""
        return self.array.ndim

    def numel(self) -> int:
        """Number of elements."""
        return self.array.size

    nelement = numel

    def numpy(self, *, force: bool = False) -> Array:
        """The ndarray itself, sharing memory. Raises `GradientError` if it requires grad, unless under `force`."""
        if self.requires_grad and not force:
            raise GradientError("numpy: this tensor requires grad; NumPy would lose it. Use t.detach().numpy()")
        check_reading("numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        if copy is False and dtype is not None and np.dtype(dtype) != array.dtype:
            raise ValueError(f"np.asarray: {array.dtype} cannot become {dtype} without a copy")
        return np.array(array, dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.numpy().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def item(self) -> Any:
        """The only element as a Python number. Raises `ShapeError` if there is not exactly one."""
        if self.array.size != 1:
            raise ShapeError(f"item: a tensor of shape {self.shape} has {self.array.size} elements, expected 1")
        check_reading("item()")
        return self.array.item()

    def tolist(self) -> Any:
        """Nested Python lists, or a number for a 0-d tensor."""
        check_reading("tolist()")
        return self.array.tolist()

    def detach(self) -> Tensor:
        """The same memory without history; a write to one counts as a change of the other."""
        out = wrap(self.array)
        out.counter = self.counter
        if thread_state.observer is not None:
            note_made(out)
        return out

    def detach_(self) -> Tensor:
        """Stop asking for a gradient; a computed tensor raises, as what was made of it needs its history."""
        return self.requires_grad_(False)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for (or stop asking for) a gradient; returns itself. Raises `DtypeError` on integers."""
        if requires_grad and self.array.dtype.kind != "f":
            raise DtypeError(f"requires_grad: only floating-point tensors have gradients, this one is {self.dtype}")
        if not requires_grad and self.node is not None:
            raise GradientError("requires_grad_(False): this tensor was computed by a recorded op; use .detach()")
        self.wants_grad = bool(requires_grad)
        return self

    def register_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(grad)` when this tensor's gradient is ready; a returned Tensor replaces it."""
        if not self.requires_grad:
            raise GradientError("register_hook: this tensor does not require grad, so no gradient will arrive")
        self.hooks = [*(self.hooks or []), hook]

        def take_off() -> None:
            self.hooks = [kept for kept in self.hooks or [] if kept is not hook]

        return HookHandle(take_off)

    def retain_grad(self) -> None:
        """Also add up the gradients of this computed tensor in `.grad`, as those of a leaf."""
        if self.node is not None and not any(isinstance(hook, GradKeeper) for hook in self.hooks or []):
            self.register_hook(GradKeeper(self))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise DtypeError("len: a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise DtypeError("iter: a 0-d tensor has no elements to go through; .item() is its number")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ArgumentError(f"bool: the truth of a tensor of shape {self.shape} is ambiguous; use .any() or .all()")
        check_reading("its truth")
        return bool(self.array.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iub":
            raise DtypeError(f"index: only an integer tensor can be an index, this one is {self.dtype}")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        if self.ndim == 0:
            return format(self.item(), spec)
        if spec:
            raise ShapeError(f"format: {spec!r} is for one number, this tensor has shape {self.shape}; use .item()")
        return repr(self)

    def __hash__(self) -> int:
        return id(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise GradientError("deepcopy: only leaves can be copied; use t.detach().clone()")
        copied = type(self)(self.array.copy(order="K"), self.requires_grad)
        memo[id(self)] = copied
        return copied

    def __repr__(self) -> str:
        check_reading("its text")
        text = array_text(self.array, indent=len("tensor("))
        if not self.array.size and self.ndim != 1:
            text += f", size={self.shape}"
        if self.array.dtype.name not in ("float32", "int64", "bool"):
            text += f", dtype={self.array.dtype.name}"
        if self.node is not None:
            text += f", grad_fn={self.node!r}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"


def wrap(array: Array) -> Tensor:
    """A leaf Tensor on an array that a kernel has just made: `Tensor(array)` without its checks."""
    tensor = Tensor.__new__(Tensor)
    tensor.array = array
    tensor.grad = None
    tensor.node = None
    tensor.counter = [0]
    tensor.hooks = None
    tensor.grad_memory = None
    tensor.wants_grad = False
    return tensor


def about_to_change(*tensors: Tensor) -> None:
    """Tell a recorder, if one watches, that these tensors are written in place next."""
    recording = recorder()
    if recording is not None:
        for tensor in tensors:
            recording.save(tensor.array)
            recording.counters.append(tensor.counter)


def note_made(tensor: Tensor) -> None:
    """Tell a recorder, if one watches, what an op has given: none of that may be kept."""
    recording = recorder()
    if recording is not None:
        recording.tensors.append(weakref.ref(tensor))


def check_reading(what: str) -> None:
    """Raise `CaptureError` where Python reads a tensor's numbers while a step is recorded: a replay could not."""
    if recorder() is None:
        return
    frame = inspect.currentframe()
    while frame is not None and frame.f_back is not None and _is_ours(frame):
        frame = frame.f_back
    file, line = (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("?", 0)
    text = linecache.getline(file, line).strip()
    raise CaptureError(
        f"capture: {file}:{line} reads a tensor's numbers in Python ({what}) while the step is recorded: `{text}`; a "
        "replay runs no Python. Return the tensor from the step and read it outside, or use ops (tg.where) in place of "
        "`if`"
    )


def _is_ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").startswith("tinygrad_mlp.")
