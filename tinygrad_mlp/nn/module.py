"""`Module`: the base of every layer and net. It computes, and knows its parameters, buffers and children by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike, check_device, names_device
from tinygrad_mlp.autodiff.dtypes import DtypeLike, as_dtype
from tinygrad_mlp.autodiff.hooks import HookHandle
from tinygrad_mlp.autodiff.mode import module_stack, no_grad
from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError
from tinygrad_mlp.kernels.copy import converted
from tinygrad_mlp.kernels.launch import is_array
from tinygrad_mlp.kernels.record import recorder
from tinygrad_mlp.nn.parameter import Parameter
from tinygrad_mlp.nn.registry import BUFFERS, Registry
from tinygrad_mlp.nn.state import LoadResult, load_state

if TYPE_CHECKING:
    from tinygrad_mlp.nn.summary import Summary

__all__ = ["ForwardHook", "Module"]

ForwardHook: TypeAlias = "Callable[[Any, tuple[Any, ...], Any], Any]"

_hook_keys = itertools.count()


class Module(Registry):
    """Base of layers and nets: assign Parameters and Modules to attributes in `__init__`, compute in `forward`.

    >>> class Net(nn.Module):
    ...     def __init__(self) -> None:
    ...         super().__init__()
    ...         self.hidden = nn.Linear(784, 50)
    ...         self.output = nn.Linear(50, 10)
    ...
    ...     def forward(self, x: Tensor) -> Tensor:  # (N, 784) -> (N, 10)
    ...         return self.output(self.hidden(x).relu())

    A typo does not go unnoticed: reading an attribute that is not there raises `UnknownAttributeError`, and so does
    making a new plain attribute, no Parameter or Module, after `__init__`, whose name is about one letter away from an
    existing one. An exception inside `forward` gets a note that says in which module it arose and for which input
    shapes.
    """

    training: bool
    """Whether layers such as Dropout and BatchNorm act as in training; see `train()` and `eval()`."""
    _forward_hooks: dict[int, ForwardHook]

    def __init__(self) -> None:
        super().__init__()
        vars(self).setdefault("_forward_hooks", {})
        self.training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, x): define what it computes")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` and the forward hooks."""
        stack = module_stack.modules
        stack.append(self)
        try:
            output = self.forward(*args, **kwargs)
            if self._forward_hooks:
                for hook in tuple(self._forward_hooks.values()):
                    replacement = hook(self, args, output)
                    if replacement is not None:
                        output = replacement
        except Exception as error:
            _note_module(error, args)
            raise
        finally:
            stack.pop()
        return output

    def register_forward_hook(self, hook: ForwardHook) -> HookHandle:
        """Call `hook(module, args, output)` after each `forward`; what it returns, if not None, replaces the output."""
        key = next(_hook_keys)
        self._forward_hooks[key] = hook
        return HookHandle(lambda: self._forward_hooks.pop(key, None))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly beneath, each once, with their names."""
        seen: set[int] = set()
        for name, child in self._own_children():
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules directly beneath, each once."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """The module itself, named by the prefix, and all beneath it, depth first: names like `""`, `"0"`, `"0.bn"`."""
        return self._walk(prefix, set() if remove_duplicate else None)

    def modules(self) -> Iterator[Module]:
        """The module itself and all beneath it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names; a shared one once, under its first name."""
        return self._named_tensors(["parameter"], prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, a shared one once: what an optimizer is given."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names, those that are not persistent included."""
        return self._named_tensors(BUFFERS, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _state(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers themselves, by name, in PyTorch's order."""
        return {
            name: tensor
            for path, module in self.named_modules(remove_duplicate=False)
            for kind in ("parameter", "buffer")
            for name, tensor in module._named_tensors([kind], path, recurse=False, remove_duplicate=False)
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, detached and sharing memory: PyTorch's names and shapes.

        To keep a state while training goes on, copy it: `copy.deepcopy(net.state_dict())`.
        """
        return {name: tensor.detach() for name, tensor in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Write the values of a state dict into parameters and buffers, in place.

        `state` maps names to Tensors, ndarrays or PyTorch tensors on the CPU; float32 and float64 are converted into
        each other. With `strict=False` names that are missing or unexpected are returned instead of raised.

        Raises
        ------
        CheckpointError
            Lists all names that are missing, unexpected or of another shape or dtype; nothing was changed.
        """
        return load_state(self._state(), state, strict, type(self).__name__)

    def train(self, mode: bool = True) -> Self:
        """Make this module and all beneath it act as in training (or, with False, as in use).

        A module may override it, such as a batch norm that stays in use.
        """
        if mode not in (True, False):
            raise ArgumentError(f"train: mode must be True or False, got {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Make this module and all beneath it act as in use: no dropout, running statistics in BatchNorm."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or unfreeze all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or write zeros into those that there are."""
        recording = recorder()
        if recording is not None and set_to_none:
            recording.forgotten.update([id(parameter) for parameter in self.parameters()])
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach()
                with no_grad():
                    parameter.grad.zero_()

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` on every module beneath, then on this one; for initialising layers by their type."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(
        self, *target: DeviceLike | DtypeLike, dtype: DtypeLike | None = None, device: DeviceLike | None = None
    ) -> Self:
        """Convert all floating-point parameters and buffers to float32 or float64, in place; integers stay.

        The CPU is accepted as device, and changes nothing: `net.to(device)`, `net.to(tg.float64)`. Raises `DtypeError`
        for another dtype and `ArgumentError` for another device.
        """
        for entry in target:
            if names_device(entry):
                device = cast(DeviceLike, entry)
            else:
                dtype = cast(DtypeLike, entry)
        check_device("to", device)
        if dtype is None:
            return self
        wanted = as_dtype("to", dtype)
        if wanted.kind != "f":
            raise DtypeError(f"to: a module computes in float32 or float64, got {wanted}")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype.kind == "f" and tensor.dtype != wanted:
                _convert(tensor, wanted)
        return self

    def cpu(self) -> Self:
        """Itself: this package runs on the CPU."""
        return self

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Convert to float64, as gradient checks want it."""
        return self.to(np.float64)

    def summary(
        self, input_shape: Sequence[int] | None = None, *, input_size: Sequence[int] | None = None, dtype: Any = None
    ) -> Summary:
        """A table of the layers with output shapes, parameters and multiply–adds; see `nn.summary`."""
        from tinygrad_mlp.nn.summary import summary  # it runs modules, so it cannot be imported before Module is there

        return summary(self, input_shape, input_size=input_size, dtype=dtype)

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """How many multiply–adds this module itself, without its children, does for an output of this shape.

        0 unless a layer says otherwise: only matrix products and convolutions are counted.
        """
        return 0

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's repr: its settings."""
        return ""

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): " + repr(child).replace("\n", "\n  ")  # nested reprs are indented line by line
            for name, child in self._own_children()
        ]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        return "\n".join([f"{type(self).__name__}(", *([f"  {extra}"] if extra else []), *lines, ")"])


def _convert(tensor: Tensor, dtype: np.dtype[Any]) -> None:
    """Give a parameter or buffer new memory of another dtype; a graph that still needs the old values will raise."""
    tensor.array = converted(tensor.array, dtype)
    tensor.counter = [tensor.counter[0] + 1]
    if tensor.grad is not None:
        tensor.grad = wrap(converted(tensor.grad.array, dtype))


class _ModuleNote(str):
    """The note that names the module in which an exception arose; its type shows that there is one already."""

    __slots__ = ()


def _note_module(error: Exception, args: tuple[Any, ...]) -> None:
    """Note the innermost module's path and input shapes on a passing exception, once."""
    if any(isinstance(note, _ModuleNote) for note in getattr(error, "__notes__", ())):
        return
    described = ", ".join(filter(None, map(_described_input, args)))
    error.add_note(_ModuleNote(f"in {module_stack.path()}" + (f", input {described}" if described else "")))


def _described_input(arg: object) -> str:
    """What an error says of one argument of a module: the shape of a Tensor, and that arrays and lists are none."""
    if isinstance(arg, Tensor):
        return f"{arg.shape} {arg.dtype}"
    if is_array(arg):
        return f"ndarray {arg.shape} {arg.dtype} (modules take Tensors: tg.tensor(x, dtype=tg.float32))"
    if isinstance(arg, (list, tuple)):
        return f"{type(cast(object, arg)).__name__} (modules take Tensors: tg.tensor(x))"
    return ""
