"""Declare a kernel with `@kernel`, run it with `launch()`: the one way that arithmetic happens in this package.

A kernel is a function of ndarrays and Python numbers that returns nothing and names what it writes::

    @kernel(writes=("out",), flat=True)
    def relu_forward(x: Array, out: Array) -> None:
        for i in range(x.size):
            out[i] = x.dtype.type(0) if x[i] < 0 else x[i]

    launch(relu_forward, x, out)

Three kinds:

- compiled (the default): Numba machine code, cached on disk. `launch` hands it C-contiguous writable arrays
  (copies of inputs that are not), so that a kernel has one signature, and one compilation, per dtype.
- `compiled=False`: plain NumPy where NumPy is the right kernel. Arrays are passed as they are.
- a NumPy ufunc, launched as it is with the output last: `launch(np.add, x, y, out)`.

A kernel whose last parameter is called `status` gets the status word of this thread, four int64
(code, position, value, limit). On a bad label, a bad index or a non-finite number it writes there and returns without
harm; `launch` then raises.
"""
# Numba ships no type stubs. Only files of this folder talk to it; this one exports typed names for kernels.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false, reportUntypedBaseClass=false, reportUnknownParameterType=false

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar, cast

import numba
import numpy as np
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from tinygrad_mlp.errors import ArgumentError, DtypeError
from tinygrad_mlp.kernels.cache import kernel_cache
from tinygrad_mlp.kernels.observe import Launch, thread_state
from tinygrad_mlp.kernels.status import status_error
from tinygrad_mlp.kernels.threads import OnThreads, get_num_threads, is_forked, parallel_lock, run_on_team

__all__ = [
    "KERNELS",
    "Array",
    "Kernel",
    "apply_ufunc",
    "by_dtype",
    "device",
    "is_array",
    "kernel",
    "launch",
    "memory_order",
    "prange",
    "select",
    "subroutine",
    "summing_device",
]

Array: TypeAlias = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])

if TYPE_CHECKING:
    prange = range
else:
    prange = numba.prange

# `contract` lets a*b + c become one fused multiply-add. Nothing else: reordering would change the bits of a sum with
# the vector width, and the no-NaN flags would delete the NaN checks.
_FLAGS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy", "nogil": True}
# A loop that calls a function has no vector code, so helpers are always inlined.
_INLINE_FLAGS: dict[str, Any] = {**_FLAGS, "forceinline": True}
# In a kernel that only adds up, reordering is what lets the compiler use vectors.
_SUM_FLAGS: dict[str, Any] = {**_FLAGS, "fastmath": {"contract", "reassoc", "nsz"}}
_PYTHON_FLAGS: dict[str, Any] = {**_FLAGS, "fastmath": False}

# Below this much work (elements, or as many multiply-adds as take as long) a second thread costs more than it brings:
# some 3 us of one thread, where the team takes half a microsecond to share it.
_PARALLEL_FROM = 40_000


def device(function: Function) -> Function:
    """Compile a helper that kernels call; it takes part in their compilation and is not launched itself."""
    return cast(Any, numba.njit(**_INLINE_FLAGS)(function))


def subroutine(function: Function) -> Function:
    """Like `device`, for a large helper that is called from several places: compiled once, and not inlined."""
    return cast(Any, numba.njit(**_FLAGS)(function))


def summing_device(function: Function) -> Function:
    """Like `device`, for a helper that only adds up: the compiler may reorder its additions (always alike)."""
    return cast(Any, numba.njit(**_SUM_FLAGS)(function))


def by_dtype(double: Callable[[float], float]) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Make the decorated function of one float32 a device function for both dtypes, with `double` serving float64.

    The compiler chooses by the type of the argument. Called from Python, the result is `double`.
    """

    def declare(single: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def function(x: float) -> float:
            return double(x)

        def in_double(x: float) -> float:
            return double(x)

        def choose(x: Any) -> Callable[[float], float]:
            return single if x.bitwidth == 32 else in_double

        function.__doc__ = single.__doc__
        options: Any = _INLINE_FLAGS
        overload(function, jit_options=options, strict=False)(choose)
        return function

    return declare


@intrinsic
def _select(_typing: Any, condition: Any, first: Any, second: Any) -> Any:
    if first != second:
        return None  # Numba then reports the types as it does for any function

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return first(condition, first, second), generate


# select(condition, first, second) is `first if condition else second` with both computed: one instruction for a whole
# vector. The conditional expression may become a branch, and a loop with a branch in it runs one element at a time.
select: Callable[[Any, Any, Any], Any] = cast(Any, _select)


class Kernel:
    """A function that may be launched: what it writes, how it is compiled."""

    def __init__(
        self,
        function: Callable[..., None],
        writes: tuple[str, ...],
        flat: bool,
        compiled: bool,
        parallel: bool,
        flags: dict[str, Any] | None = None,
        draws_from: tuple[str, ...] = (),
    ) -> None:
        parameters = list(inspect.signature(function).parameters)
        for what, names in (("writes", writes), ("draws_from", draws_from)):
            for name in names:
                if name not in parameters:
                    raise ArgumentError(
                        f"kernel {function.__name__}: {what} names {name!r}, which is no parameter of it"
                    )
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__
        self.writes = tuple(parameters.index(name) for name in writes)
        self.drawn_from = tuple(parameters.index(name) for name in draws_from)
        self.flat = flat
        self.compiled = compiled
        self.parallel = parallel
        self.has_status = parameters[-1] == "status"
        self.flags = flags or _FLAGS
        self.arrays: tuple[int, ...] = ()  # which parameters are arrays
        self.serial_code: Callable[..., None] | None = None if compiled else function
        self.threaded_code: Callable[..., None] | None = None

    def __repr__(self) -> str:
        return f"Kernel({self.name})"

    def _dispatcher(self, parallel: bool) -> Callable[..., None]:
        dispatcher: Any = numba.njit(parallel=parallel, **self.flags)(self.function)
        dispatcher._cache = kernel_cache(self.function, f"parallel={parallel}")
        if parallel:
            run_on_team(dispatcher)
        return dispatcher

    def canonical(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Copies of inputs that are not C-contiguous, aligned and writable: each would be one more compilation."""
        for place in self.arrays or self._find_arrays(args):
            if not args[place].flags.carray:
                break
        else:
            return args
        canonical = list(args)
        for place in self.arrays:
            if not args[place].flags.carray:
                _check_not_written(self, place, args[place])
                canonical[place] = _dense(args[place])
        return tuple(canonical)

    def _find_arrays(self, args: tuple[Any, ...]) -> tuple[int, ...]:
        """At the first launch, see which parameters are arrays."""
        self.arrays = tuple([place for place, arg in enumerate(args) if isinstance(arg, np.ndarray)])
        return self.arrays

    def serial(self) -> Callable[..., None]:
        """The function to call on one thread."""
        if self.serial_code is None:
            self.serial_code = self._dispatcher(parallel=False)
        return self.serial_code

    def threaded(self) -> Callable[..., None]:
        """The function to call on several threads."""
        if self.threaded_code is None:
            self.threaded_code = self._dispatcher(parallel=True)
        return self.threaded_code


KERNELS: dict[str, Kernel] = {}


def kernel(
    writes: tuple[str, ...],
    *,
    flat: bool = False,
    compiled: bool = True,
    parallel: bool = False,
    sums_only: bool = False,
    as_python: bool = False,
    draws_from: tuple[str, ...] = (),
) -> Callable[[Callable[..., None]], Kernel]:
    """Declare a kernel.

    Parameters
    ----------
    writes:
        Names of the parameters that it writes.
    flat:
        Elementwise: all arrays have one shape, and the kernel sees each as 1-d, in the order in which they lie in
        memory.
    compiled:
        False for a kernel that is plain NumPy.
    parallel:
        It splits its work with `prange` over blocks whose bounds depend on shapes alone, and writes each output element
        from one block, so that its bits do not depend on the number of threads; a sum over blocks is refused.
        `launch(..., work=n)` decides by n.
    sums_only:
        It does nothing but add up, so that the compiler may reorder its additions (always in the same way).
    as_python:
        It has the bits of the same lines of Python: a product is rounded before anything is added to it.
    draws_from:
        Names of the parameters of which it reads some rows alone.
    """

    def declare(function: Callable[..., None]) -> Kernel:
        flags = _SUM_FLAGS if sums_only else _PYTHON_FLAGS if as_python else _FLAGS
        declared = Kernel(function, writes, flat, compiled, parallel, flags, draws_from)
        other = KERNELS.get(declared.name)
        if other is not None and other.function.__module__ != function.__module__:  # a reloaded module may declare anew
            raise ArgumentError(f"two kernels are called {declared.name!r}; names identify them in a recording")
        KERNELS[declared.name] = declared
        return declared

    return declare


def is_array(value: object) -> TypeGuard[Array]:
    """`isinstance(value, np.ndarray)`, said so that type checkers know the element type to be any."""
    return isinstance(value, np.ndarray)


def apply_ufunc(ufunc: np.ufunc, *inputs: Any) -> Array:
    """Launch a NumPy ufunc into a new array, laid out as NumPy lays it out for these inputs (scalars stay weak).

    Raises `DtypeError` for dtypes that the ufunc does not take, as `np.negative` no bools.
    """
    try:
        with np.errstate(all="ignore"):  # IEEE results; anomaly mode and the update kernels look for NaN and infinity
            result = np.asarray(ufunc(*inputs))
    except TypeError as error:
        kinds = ", ".join(str(getattr(value, "dtype", type(value).__name__)) for value in inputs)
        raise DtypeError(f"{ufunc.__name__}: got {kinds}: {error}") from None
    if thread_state.observer is not None:
        launch(ufunc, *inputs, result)
    return result


def launch(kernel: Kernel | np.ufunc, *args: Any, work: int = 0, multiply_adds: int = 0) -> None:
    """Run a kernel on its arguments.

    `work` says how much it does, for the choice of threads: elements, or as much. `multiply_adds` are those of a
    product or a convolution (by the direct method), for who measures speed.
    """
    watching = thread_state.observer
    if isinstance(kernel, np.ufunc):
        if watching is not None:
            code = _UfuncCode(kernel)
            watching.launched(Launch(kernel.__name__, code, args, (len(args) - 1,)))
            return
        with np.errstate(all="ignore"):
            kernel(*args[:-1], out=args[-1])
        return
    if kernel.flat:
        args = _flatten(kernel, args)
    elif kernel.compiled:
        args = kernel.canonical(args)
    status = None
    if kernel.has_status:
        status = thread_state.status
        args = (*args, status)
    is_parallel = kernel.parallel and work >= _PARALLEL_FROM and get_num_threads() > 1 and not is_forked()
    if watching is not None:
        code = kernel.threaded() if is_parallel else kernel.serial()
        threads = get_num_threads() if is_parallel else 1
        watching.launched(
            Launch(
                kernel.name,
                code,
                args,
                kernel.writes,
                threads,
                status is not None,
                multiply_adds,
                kernel.drawn_from,
            )
        )
        return
    if is_parallel:
        with parallel_lock, OnThreads(get_num_threads()):
            kernel.threaded()(*args)
    else:
        (kernel.serial_code or kernel.serial())(*args)
    if status is not None and status[0]:
        raise status_error(kernel.name, status)


@dataclass(frozen=True, slots=True)
class _UfuncCode:
    """A ufunc as code of a launch: the last argument is written."""

    ufunc: np.ufunc

    def __call__(self, *args: Any) -> None:
        with np.errstate(all="ignore"):
            self.ufunc(*args[:-1], out=args[-1])


def _dense(array: Array) -> Array:
    """A C-contiguous copy."""
    out = np.empty(array.shape, array.dtype)
    if thread_state.observer is None:
        np.copyto(out, array)
    else:
        thread_state.observer.launched(Launch("copy", _copy_into, (array, out), (1,)))
    return out


def _copy_into(source: Array, out: Array) -> None:
    np.copyto(out, source)


def _flatten(kernel: Kernel, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Every array as 1-d, in the order in which the first written one lies in memory (some permutation of its axes)."""
    leader: Array = args[kernel.writes[0]]
    shape = leader.shape
    axes = None if leader.flags.c_contiguous else memory_order(leader)
    flattened: list[Any] = []
    for position, arg in enumerate(args):
        if not isinstance(arg, np.ndarray):
            flattened.append(arg)
            continue
        array: Array = arg
        if array.shape != shape:
            raise ArgumentError(
                f"kernel {kernel.name}: elementwise over {shape}, but argument {position} has {array.shape}"
            )
        if axes is not None:
            array = array.transpose(axes)
        if not array.flags.carray:
            _check_not_written(kernel, position, array)
            array = _dense(array)
        flattened.append(array.ravel())
    return tuple(flattened)


def memory_order(array: Array) -> list[int]:
    """Axes from the slowest to the fastest in memory."""
    return sorted(range(array.ndim), key=lambda axis: (-abs(array.strides[axis]), axis))


def _check_not_written(kernel: Kernel, position: int, array: Array) -> None:
    if position in kernel.writes:
        raise ArgumentError(
            f"kernel {kernel.name}: output argument {position} (shape {array.shape}, strides {array.strides}, "
            f"writeable {array.flags.writeable}) is not dense and writable"
        )
