"""The base of all optimizers: parameter groups, flat buffers, and the loop; a subclass is its state and its kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinygrad_mlp.autodiff.mode import enable_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CheckpointError, DtypeError, NonFiniteError
from tinygrad_mlp.kernels.elementwise import check_finite
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.optim.flat import FlatBuffer, aligned_zeros

__all__ = ["Optimizer", "Parameters", "Run", "check_range"]

Parameters = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


def check_range(optimizer: str, name: str, value: float, low: float = 0.0, high: float = float("inf")) -> None:
    """Raise `ArgumentError` unless low <= value < high (NaN is outside)."""
    if not low <= value < high:
        expected = f"at least {low:g}" if high == float("inf") else f"in [{low:g}, {high:g})"
        raise ArgumentError(f"{optimizer}: {name}={value!r}, expected a number {expected}")


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of the flat buffers that one kernel call updates: neighbours of one group that have a gradient."""

    weight: Array
    grad: Array
    state: Mapping[str, Array]
    lr: Array  # float64, one element
    steps: Array  # int64, one element for each parameter, all equal
    decay: float  # λ of every term λ·w that is added to the gradient
    l1: float
    members: tuple[int, ...]  # positions of its parameters


class Optimizer:
    """Base class; `SGD`, `Adam` and their like derive from it.

    Parameters
    ----------
    params:
        Parameters, pairs of name and parameter (names then stand in errors), or groups: dicts with "params" and the
        options in which the group differs.
    defaults:
        Options of groups that do not give their own. Every optimizer has `lr`, `weight_decay` (λ·w for all parameters
        of the group), and `l1`, `l2` (λ·sign(w) and λ·w for parameters with two or more dimensions).

    Raises
    ------
    ArgumentError
        No parameters, one given twice, an option out of range or unknown.
    DtypeError
        A parameter that is no floating-point Tensor.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    decoupled_decay: ClassVar[bool] = False  # AdamW: weight_decay acts on the weight, not on the gradient

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._names: list[str] = []
        self._parameters: list[Tensor] = []
        given = [params] if isinstance(params, Tensor) else list(params)
        if not given:
            raise ArgumentError(f"{self._name}: got no parameters; did you pass an exhausted generator?")
        if isinstance(given[0], dict):
            for group in given:
                self._append_group(group)
        else:
            self._append_group({"params": given})
        self._build()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise `ArgumentError` for an option out of range; subclasses add theirs."""
        for name in ("lr", "weight_decay", "l1", "l2"):
            check_range(self._name, name, group[name])

    def update(self, run: Run, group: dict[str, Any]) -> None:
        """Launch this optimizer's kernel on one run."""
        raise NotImplementedError

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with options of their own; the state of the others is kept."""
        kept = self.state_dict()["state"]
        self._append_group(group)
        self._build()
        self._load_state(kept)

    def _append_group(self, group: Mapping[str, Any]) -> None:
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise ArgumentError(f"{self._name}: unknown options {sorted(unknown)}; known are {sorted(self.defaults)}")
        complete = {**self.defaults, **group}
        self.check_group(complete)
        members = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        if not members:
            raise ArgumentError(f"{self._name}: a parameter group is empty")
        complete["params"] = []
        for member in members:
            name, parameter = member if isinstance(member, tuple) else (f"parameter {len(self._parameters)}", member)
            if not isinstance(parameter, Tensor) or parameter.dtype.kind != "f":
                kind = getattr(parameter, "dtype", type(parameter).__name__)
                raise DtypeError(f"{self._name}: {name} is {kind}, expected a floating-point Tensor")
            if any(parameter is known for known in self._parameters):
                raise ArgumentError(f"{self._name}: {name} (shape {parameter.shape}) was given twice")
            self._parameters.append(parameter)
            self._names.append(name)
            complete["params"].append(parameter)
        self.param_groups.append(complete)

    def _build(self) -> None:
        """Lay the parameters of each dtype in a flat buffer: group by group, matrices before vectors (see `l1`, `l2`)."""
        place = {id(parameter): position for position, parameter in enumerate(self._parameters)}
        order = [
            (place[id(parameter)], group_index)
            for group_index, group in enumerate(self.param_groups)
            for parameter in sorted(group["params"], key=lambda parameter: parameter.ndim < 2)
        ]
        self._blocks: list[_Block] = []
        for dtype in dict.fromkeys(parameter.dtype for parameter in self._parameters):
            members = [(position, group) for position, group in order if self._parameters[position].dtype == dtype]
            flat = FlatBuffer([self._parameters[position] for position, _ in members])
            state = {name: aligned_zeros(flat.values.size, dtype) for name in self.state_names}
            steps = np.zeros(len(members), np.int64)
            self._blocks.append(_Block(flat, [m[0] for m in members], [m[1] for m in members], state, steps))
        self._lr = [np.zeros(1) for _ in self.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or fill them with 0)."""
        for parameter in self._parameters:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach().zero_()

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient; `closure` recomputes the loss first and is returned.

        Raises `NonFiniteError`, before any weight is touched, when a gradient holds a NaN or an infinity.
        """
        loss: Tensor | None = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for rate, group in zip(self._lr, self.param_groups, strict=True):
            rate[0] = group["lr"]
        runs = [run for block in self._blocks for run in block.runs(self.param_groups, self._lr, self.decoupled_decay)]
        for _, run in runs:
            self._check_finite(run)
        for group_index, run in runs:
            self.update(run, self.param_groups[group_index])
            for position in run.members:
                self._parameters[position].counter[0] += 1
        return loss

    def _check_finite(self, run: Run) -> None:
        try:
            launch(check_finite, run.grad)
        except NonFiniteError as error:
            for position in run.members:
                gradient = self._parameters[position].grad
                if gradient is not None and not np.isfinite(gradient.array).all():
                    index = tuple(int(i) for i in np.argwhere(~np.isfinite(gradient.array))[0])
                    raise NonFiniteError(
                        f"{self._name}.step: the gradient of {self._names[position]} (shape {gradient.shape}) is "
                        f"{gradient.array[index]} at index {index}; no weight was changed. tg.anomaly_mode() finds the op"
                    ) from error
            raise

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, in PyTorch's layout: state by parameter position, and the groups' options."""
        state: dict[int, dict[str, Any]] = {}
        for block in self._blocks:
            views = {name: list(block.flat.views(buffer)) for name, buffer in block.state.items()}
            for place, position in enumerate(block.positions):
                if block.steps[place] > 0:
                    entry: dict[str, Any] = {name: parts[place].copy(order="K") for name, parts in views.items()}
                    state[position] = {**entry, "step": int(block.steps[place])}
        place_of = {id(parameter): position for position, parameter in enumerate(self._parameters)}
        groups = [{**group, "params": [place_of[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict()` gave; raises `CheckpointError`, with nothing changed, if it does not fit."""
        groups: Sequence[Mapping[str, Any]] = state_dict["param_groups"]
        ours = [len(group["params"]) for group in self.param_groups]
        theirs = [len(group["params"]) for group in groups]
        if ours != theirs:
            raise CheckpointError(f"{self._name}: groups of {theirs} parameters cannot be loaded into groups of {ours}")
        for group in groups:
            if set(group) != set(self.param_groups[0]):
                raise CheckpointError(
                    f"{self._name}: options {sorted(group)} do not fit {sorted(self.param_groups[0])}: another optimizer?"
                )
        for position, entry in state_dict["state"].items():
            self._check_entry(int(position), entry)
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update({name: value for name, value in saved.items() if name != "params"})
        self._load_state(state_dict["state"])

    def _check_entry(self, position: int, entry: Mapping[str, Any]) -> None:
        expected = {*self.state_names, "step"}
        if not 0 <= position < len(self._parameters) or set(entry) != expected:
            raise CheckpointError(
                f"{self._name}: state of parameter {position} is {sorted(entry)}, expected {sorted(expected)}"
            )
        for name in self.state_names:
            shape = np.shape(entry[name])
            if shape != self._parameters[position].shape:
                raise CheckpointError(
                    f"{self._name}: {name} of {self._names[position]} has shape {shape}, "
                    f"expected {self._parameters[position].shape}"
                )

    def _load_state(self, state: Mapping[int, Mapping[str, Any]]) -> None:
        for block in self._blocks:
            block.forget_runs()
            views = {name: list(block.flat.views(buffer)) for name, buffer in block.state.items()}
            for place, position in enumerate(block.positions):
                entry = state.get(position)
                block.steps[place] = 0 if entry is None else int(entry["step"])
                for name, parts in views.items():
                    parts[place][...] = 0 if entry is None else np.asarray(entry[name])

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for index, group in enumerate(self.param_groups):
            options = ", ".join(f"{name}={value}" for name, value in group.items() if name != "params")
            lines.append(f"  group {index}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])


class _Block:
    """The parameters of one dtype: their flat buffer, the optimizer's state beside it, and how it splits into runs."""

    def __init__(
        self, flat: FlatBuffer, positions: list[int], groups: list[int], state: dict[str, Array], steps: Array
    ) -> None:
        self.flat = flat
        self.positions = positions
        self.groups = groups
        self.state = state
        self.steps = steps
        self.forget_runs()

    def forget_runs(self) -> None:
        self._key: object = None
        self._runs: list[tuple[int, Run]] = []

    def runs(self, groups: list[dict[str, Any]], lr: list[Array], decoupled_decay: bool) -> list[tuple[int, Run]]:
        """Gather the gradients; the runs, each with its group. They are kept while which gradients exist stays the same."""
        self.flat.repack()
        present = self.flat.gather_gradients()
        key = (present, tuple([(group["weight_decay"], group["l1"], group["l2"]) for group in groups]))
        if key != self._key:
            self._key = key
            self._runs = [
                (self.groups[first], self._run(first, last, groups[self.groups[first]], lr, decoupled_decay))
                for first, last in self._stretches(present, groups)
            ]
        return self._runs

    def _stretches(self, present: tuple[bool, ...], groups: list[dict[str, Any]]) -> list[tuple[int, int]]:
        """Longest stretches of neighbours with a gradient, of one group, one step count and one kind of penalty."""
        stretches: list[tuple[int, int]] = []
        previous: object = None
        for place, has_gradient in enumerate(present):
            group = groups[self.groups[place]]
            penalty = bool(group["l1"] or group["l2"]) and self.flat.parameters[place].ndim >= 2
            kind = (self.groups[place], int(self.steps[place]), penalty) if has_gradient else None
            if kind is not None:
                if kind == previous:
                    stretches[-1] = (stretches[-1][0], place + 1)
                else:
                    stretches.append((place, place + 1))
            previous = kind
        return stretches

    def _run(self, first: int, last: int, group: dict[str, Any], lr: list[Array], decoupled_decay: bool) -> Run:
        part = slice(self.flat.offsets[first], self.flat.offsets[last])
        matrices = self.flat.parameters[first].ndim >= 2
        return Run(
            weight=self.flat.values[part],
            grad=self.flat.grads[part],
            state={name: buffer[part] for name, buffer in self.state.items()},
            lr=lr[self.groups[first]],
            steps=self.steps[first:last],
            decay=(0.0 if decoupled_decay else float(group["weight_decay"]))
            + (float(group["l2"]) if matrices else 0.0),
            l1=float(group["l1"]) if matrices else 0.0,
            members=tuple(self.positions[first:last]),
        )
