"""One recording of a captured step: how it is made, compared with the step itself, and replayed."""

from __future__ import annotations

import gc
import hashlib
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.mode import module_stack
from tinygrad_mlp.autodiff.profile import Profile
from tinygrad_mlp.autodiff.structure import (
    Input,
    NetGuard,
    TensorGuard,
    array_of,
    flatten,
    modules_noted,
    objects_in,
    unflatten,
)
from tinygrad_mlp.autodiff.tensor import Tensor, wrap
from tinygrad_mlp.autodiff.variables import VariableGuard
from tinygrad_mlp.errors import CaptureError, IndexRangeError
from tinygrad_mlp.kernels.hold import are_alike, arrays_of, written_by
from tinygrad_mlp.kernels.launch import Array, memory_order
from tinygrad_mlp.kernels.loop import Loop, has_loop
from tinygrad_mlp.kernels.observe import Launch, observed
from tinygrad_mlp.kernels.profiler import measured_peak, timed
from tinygrad_mlp.kernels.program import Failure, Program
from tinygrad_mlp.kernels.record import Recorder, address_of

__all__ = ["Recording"]


class Recording:
    """One way in which a step has run: what it was given, what it launched, and what must still hold."""

    def __init__(self, key: Any, leaves: list[Any], earlier: list[Recording], fuse: bool = True) -> None:
        self._key, self._fuse = key, fuse
        self._inputs = [Input(leaf) for leaf in leaves]
        self._known = {id(leaf): leaf for recording in earlier for leaf, _ in recording.gradients}
        self.gradients: list[tuple[Tensor, Array]] = []
        self.refusal = ""
        self._is_compared = False
        self._modules: dict[int, Any] = {}
        self._changes: list[Array] = []
        self._loop: tuple[Sequence[tuple[Array, Array]], Loop] | None = None
        self._has_loop: bool | None = None
        self.finished = 0
        if any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves):
            self.refusal = "an argument of it requires grad, which would arrive at a copy"

    # Recording ------------------------------------------------------------------------------------------------------

    def record(self, step: Callable[..., Any], leaves: list[Any], reads: Sequence[Callable[..., Any]] = ()) -> Any:
        """Run the step, then make a program of what it launched, and compare the two; `reads` as for `Captured`."""
        if self.refusal:
            return self._as_it_is(step, leaves)
        given = [*objects_in(self._key[0]), getattr(step, "__self__", None)]
        self.variables = VariableGuard([step, *reads], given)  # before the step changes them
        had_gradient = {key for key, leaf in self._known.items() if leaf.grad is not None}
        with modules_noted(self._modules):
            recorder, result = self._watched(step, leaves)
        if self._writes_argument(recorder, leaves):
            _undo(recorder)
            self.refusal = "it writes into an argument, of which a replay has a copy"
            return self._as_it_is(step, leaves)
        modules = list(self._modules.values())
        self._net = NetGuard(modules)
        self.variables.add([module.forward for module in modules])
        outputs, self._outline = flatten(result)
        self.refusal = recorder.refusal or self._refusal()
        if self.refusal:
            recorder.run_held()
            return result
        del result
        arrays, are_tensors = [*map(array_of, outputs)], [isinstance(output, Tensor) for output in outputs]
        del outputs  # and with them the graph: what is there still, somebody keeps
        recorder.leaves = _that_outlive(recorder.leaves)
        if self._is_kept(recorder):
            self.refusal = "it keeps a tensor that it made; return it, or write it under no_grad into one that you keep"
            recorder.run_held()
            self._outputs = list(zip(arrays, are_tensors, strict=True))
            return self._results()
        self._guards = [*recorder.guards, *self._gradient_guards(recorder, had_gradient)]
        places = [*map(recorder.place_of, arrays)]
        made = [leaf for leaf, found in recorder.leaves.values() if _is_made(leaf, found)]
        self._forgotten = self._forgotten_by(recorder, made)
        gradient_places = [recorder.mark_gradient(leaf.grad.array) for leaf in made]
        recorder.finish()
        self.program = Program(recorder, self._fuse)
        self._late = self.program.numbers_of([recorder.calls[number] for number in recorder.held.numbers])
        self._late_launches = [self.program.launches[number] for number in self._late]
        late = self._held_by(recorder)
        expected = self._digest(recorder, arrays, [leaf.grad.array for leaf in made], late)
        del arrays
        _undo(recorder)
        self._changes = [saved.array for saved in recorder.saved]
        self._outputs = list(zip(map(self.program.array, places), are_tensors, strict=True))
        self._counters = list({id(counter): counter for counter in recorder.counters}.values())
        self.gradients = [(leaf, self.program.array(place)) for leaf, place in zip(made, gradient_places, strict=True)]
        self._ready = [(leaf, array, self._last_write(array)) for leaf, array in self.gradients]
        self._run_and_compare(expected, recorder, late)
        return self._results()

    def _as_it_is(self, step: Callable[..., Any], leaves: list[Any]) -> Any:
        args, kwargs = unflatten(self._key[0], iter(leaves))
        return step(*args, **kwargs)

    def _watched(self, step: Callable[..., Any], leaves: list[Any]) -> tuple[Recorder, Any]:
        """Run the step while a recorder watches; what it has changed is undone if it reads numbers."""
        for given, leaf in zip(self._inputs, leaves, strict=True):
            given.load(leaf)
        args, kwargs = unflatten(self._key[0], iter([given.given() for given in self._inputs]))
        recorder = Recorder(module_stack.path)
        for array in self._changes:
            recorder.save(array, at_once=True)
        try:
            with observed(recorder):
                result = step(*args, **kwargs)
        except CaptureError:
            _undo(recorder)
            raise
        except BaseException:
            recorder.run_held()
            raise
        return recorder, result

    def _writes_argument(self, recorder: Recorder, leaves: list[Any]) -> bool:
        arguments = [*[given.memory for given in self._inputs], *map(array_of, leaves)]
        return any(np.may_share_memory(array, argument) for array in recorder.changed for argument in arguments)

    def _refusal(self) -> str:
        """Why what the step has run, or returned, cannot be replayed."""
        if self._net.hooked():
            return "a module has a hook, which is Python"
        for found in objects_in(self._outline):
            return f"it returns a {type(found).__name__}, which a replay could not make anew"
        changed = self.variables.changed()
        return (
            changed and f"it changes {changed!r}, which lies outside of it; a replay, which runs no Python, would not"
        )

    def _is_kept(self, recorder: Recorder) -> bool:
        """Whether a tensor that the step has made outlives it: a replay would neither make it anew nor put it there.

        The gradient of a leaf is put there, and what a module has is watched.
        """
        gradients = {id(leaf.grad) for leaf, _ in recorder.leaves.values()}

        def is_kept(tensor: Tensor | None) -> bool:
            if tensor is None or id(tensor) in gradients or self._net.keeps(tensor):
                return False
            return recorder.has_made(tensor.array)

        if not any(is_kept(reference()) for reference in recorder.tensors):
            return False
        gc.collect()  # it may be in a cycle that nobody holds
        return any(is_kept(reference()) for reference in recorder.tensors)

    def _forgotten_by(self, recorder: Recorder, made: list[Tensor]) -> list[Tensor]:
        """The tensors that the step leaves without a gradient, as far as they are known: in nets, and its leaves."""
        parameters = [parameter for module in self._modules.values() for parameter in module.parameters()]
        known = {id(tensor): tensor for tensor in [*parameters, *[leaf for leaf, _ in recorder.leaves.values()]]}
        left = recorder.forgotten - {id(leaf) for leaf in made}
        return [tensor for key, tensor in known.items() if key in left]

    def _last_write(self, array: Array) -> int:
        """The number of the program's last launch that writes into an array."""
        numbers = [
            number
            for number, launch in enumerate(self.program.launches)
            if any(np.may_share_memory(launch.args[place], array) for place in launch.writes)
        ]
        return max(numbers, default=-1)

    def _gradient_guards(self, recorder: Recorder, had_gradient: set[int]) -> list[Callable[[], bool]]:
        """The gradients that the step found are of no matter where it forgot them, else those it must find again.

        Where none is left, it was forgotten at the end, and maybe not before.
        """
        guards: list[Callable[[], bool]] = []
        for key, (leaf, found) in recorder.leaves.items():
            if not self._net.watches(leaf):
                guards.append(TensorGuard(leaf).holds)
            if found is not None:
                guards.append(partial(_has_gradient, leaf, found.array))
            elif leaf.grad is None or (key not in recorder.forgotten and key not in had_gradient):
                guards.append(partial(_has_gradient, leaf, None))
        return guards

    def _held_by(self, recorder: Recorder) -> list[int]:
        """The program's launches that run after the comparison, since the step has held back the very same ones.

        Where it has held back others they are run now: the program will be compared by all that it leaves.
        """
        if are_alike(self._late_launches, recorder.held.launches):
            return self._late
        for launch in self._late_launches:
            for array in written_by(launch):
                recorder.save(array, at_once=True)
        recorder.run_held()
        return []

    def _digest(self, recorder: Recorder, outputs: list[Any], gradients: list[Array], late: list[int]) -> _Digest:
        """Of what the step has left, and what its last launches get that are still to run."""
        given = [array for launch in self._late_launches for array in arrays_of(launch)] if late else []
        return _Digest([saved.array for saved in recorder.saved], [*map(array_of, outputs)], gradients, given)

    def _run_and_compare(self, expected: _Digest, recorder: Recorder, late: list[int]) -> None:
        """Raise, with everything as before the step, unless the program leaves the bits that the step leaves."""
        early = [number for number in range(len(self.program.launches)) if number not in late]
        self._run(partial(self.program.run, early))
        gradients = [array for _, array in self.gradients]
        found = self._digest(recorder, [array for array, _ in self._outputs], gradients, late)
        different = expected.first_difference(found)
        if different is not None:
            _undo(recorder)
            raise CaptureError(
                f"capture: {different} has other bits after a replay than after the step itself, so that the step "
                "cannot be captured; does it draw from NumPy's random numbers, count calls, or work with arrays "
                "outside of ops? Nothing was changed"
            )
        self._run(partial(self.program.run, late))
        self._count_and_leave_gradients()

    # Replaying ------------------------------------------------------------------------------------------------------

    def fits(self, key: Any, leaves: list[Any]) -> bool:
        """Whether a replay would do what the step would, for these arguments."""
        if key != self._key or not all(map(Input.fits, self._inputs, leaves)) or self.variables.changed():
            return False
        for guard in self._guards:
            if not guard():
                return False
        return self._net.holds()

    def replay(self, step: Callable[..., Any], leaves: list[Any]) -> Any:
        """Run the program on these arguments."""
        if not self._is_compared:
            self.program.release()
            try:
                recorder, result = self._watched(step, leaves)
                late = self._held_by(recorder)
                expected, outline = self._digest_of(recorder, result, late)
                del result
            finally:
                self.program.build()
            _undo(recorder)
            if outline != self._outline:
                raise CaptureError(
                    "capture: at its second call the step returned other plain values, or another structure, than at "
                    "the first, which a replay would repeat. Return Tensors. Nothing was changed"
                )
            self._run_and_compare(expected, recorder, late)
            self._is_compared = True
            return self._results()
        for given, leaf in zip(self._inputs, leaves, strict=True):
            given.load(leaf)
        self._run(self.program.run)
        self._count_and_leave_gradients()
        return self._results()

    def _digest_of(self, recorder: Recorder, result: Any, late: list[int]) -> tuple[_Digest, Any]:
        outputs, outline = flatten(result)
        gradients = [leaf.grad.array for leaf, _ in self.gradients if leaf.grad is not None]
        return self._digest(recorder, outputs, gradients, late), outline

    @property
    def wants_loop(self) -> bool:
        """Whether `replay_each` should run it, for arguments for which it fits."""
        if not (self._is_compared and self.program.wants_machine_code):
            return False
        if self._has_loop is None:
            self._has_loop = has_loop(self.program)
        return self._has_loop

    def replay_each(self, tables: list[Array], kept: Sequence[tuple[Array, Array]]) -> tuple[Any, list[Any]]:
        """Replay on row after row of the arguments' tables, `finished` times: all of them, or fewer (see `Loop.run`).

        Returns the outline of the results, and a table for each Tensor or array among them.
        """
        self.finished = 0
        given, taken = [each.memory for each in self._inputs], [array for array, _ in self._outputs]
        if self._loop is None or self._loop[0] is not kept:
            self._loop = kept, Loop(self.program, given, taken, kept)
        loop = self._loop[1]
        results = [np.empty((len(tables[0]), *array.shape), array.dtype) for array in taken]
        try:
            self._run(partial(loop.run, tables, results))
        finally:
            self.finished = loop.finished
            for counter in self._counters:
                counter[0] += self.finished
        if self.finished:
            self._leave_gradients(len(self.program.calls))
        made = [result[: self.finished] for result in results]
        return self._outline, [wrap(one) if flag else one for one, (_, flag) in zip(made, self._outputs, strict=True)]

    def _run(self, run: Callable[[], None]) -> None:
        program = self.program
        try:
            run()
        except Failure as failure:
            call, launch = program.calls[failure.number], program.launches[failure.number]
            self._leave_gradients(failure.number)
            error = failure.error if call.explain is None else call.explain(launch.args[0], failure.error)
            if call.path:
                error.add_note(f"in {call.path}, in a replay of the step")
            raise error from None
        except IndexRangeError:  # of a kernel that is NumPy, and so in a forward pass
            self._leave_gradients(0)
            raise
        except Exception:  # of Python's part, a schedule's: an optimizer may have run
            self._count_and_leave_gradients()
            raise

    def _count_and_leave_gradients(self) -> None:
        for counter in self._counters:
            counter[0] += 1
        self._leave_gradients(len(self.program.calls))

    def _leave_gradients(self, number: int) -> None:
        """Give the leaves the gradients that they have after so many calls of the program."""
        for leaf in self._forgotten:
            leaf.grad = None
        for leaf, array, ready in self._ready:
            if ready >= number:
                leaf.grad = None
            elif leaf.grad is None or leaf.grad.array is not array:
                leaf.grad = wrap(array)

    def explain(self, repeats: int) -> Profile:
        """See `Captured.explain`."""
        program = self.program
        arrays = [array for launch in program.launches for array in _written(launch)]
        # Each once; a part and the whole may begin at one address, and both are kept.
        written = {(address_of(array), array.shape, array.strides, array.dtype): array for array in arrays}
        before = [(array, array.copy(order="K")) for array in written.values()]
        try:
            kernels, seconds = timed(program, repeats)
        finally:
            for array, values in before:
                np.copyto(array, values)
            program.status[:] = 0
        return Profile(kernels, seconds, measured_peak())

    def _results(self) -> Any:
        """Copies of what the program has left."""
        copies = [wrap(array.copy(order="K")) if is_one else array.copy(order="K") for array, is_one in self._outputs]
        return unflatten(self._outline, iter(copies))


def _undo(recorder: Recorder) -> None:
    """Put back what a step has changed, and the gradients that it found."""
    recorder.undo()
    for leaf, found in recorder.leaves.values():
        leaf.grad = found


def _that_outlive(leaves: dict[int, tuple[Any, Any]]) -> dict[int, tuple[Any, Any]]:
    """The leaves that were there before the step: one that it has made itself is gone when nobody notes it."""
    noted = {key: (weakref.ref(leaf), found) for key, (leaf, found) in leaves.items()}
    leaves.clear()
    return {key: (leaf, found) for key, (reference, found) in noted.items() if (leaf := reference()) is not None}


def _is_made(leaf: Tensor, found: Tensor | None) -> bool:
    """Whether a step has left a leaf a gradient in memory of its own, and not added to the one that it found."""
    return leaf.grad is not None and (found is None or leaf.grad.array is not found.array)


def _written(launch: Launch) -> list[Array]:
    return [launch.args[place] for place in launch.writes]


def _has_gradient(leaf: Tensor, array: Array | None) -> bool:
    return leaf.grad is None if array is None else leaf.grad is not None and leaf.grad.array is array


class _Digest:
    """Hashes of all that a step has written, its results, the gradients, and what launches get that are to run yet."""

    def __init__(self, written: list[Array], outputs: list[Array], gradients: list[Array], given: list[Array]) -> None:
        kinds = {"what it writes to": written, "result": outputs, "gradient": gradients, "what it ends with": given}
        self._parts = {
            f"{kind} {number}": _hash(array) for kind, arrays in kinds.items() for number, array in enumerate(arrays)
        }

    def first_difference(self, other: _Digest) -> str | None:
        """The first part that is different, if one is."""
        return next((name for name, value in self._parts.items() if other._parts.get(name) != value), None)


def _hash(array: Array) -> bytes:
    stored = array.transpose(memory_order(array))  # as it lies in memory, or it would be copied
    return hashlib.blake2b(np.ascontiguousarray(stored).data, digest_size=16).digest()
