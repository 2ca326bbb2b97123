"""The base of all optimizers: parameter groups, the step, the state dict. A subclass is its options and its kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, ClassVar, NoReturn, cast

import numpy as np

from tinygrad_mlp.autodiff.mode import enable_grad
from tinygrad_mlp.autodiff.tensor import Tensor, about_to_change
from tinygrad_mlp.errors import ArgumentError, CheckpointError, NonFiniteError, UnknownAttributeError
from tinygrad_mlp.kernels.elementwise import check_finite
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.record import about_to_write, recorder, replayed
from tinygrad_mlp.kernels.update import OWN
from tinygrad_mlp.optim.checks import check_range
from tinygrad_mlp.optim.groups import CHANGED, GroupParameters, Member, Parameters, as_groups, members_of
from tinygrad_mlp.optim.own_step import OwnState, watched
from tinygrad_mlp.optim.run import Block, Run
from tinygrad_mlp.optim.saved import check_entry, checked_groups, loaded_state, saved_state

__all__ = ["Optimizer"]

_OF_ALL = {"weight_decay": 0.0, "l1": 0.0, "l2": 0.0}  # options that every kernel has
_BESIDE = {"initial_lr", "name"}  # what a group may hold beside the optimizer's own options: a schedule's, a user's


class Optimizer:
    """Base class; `SGD`, `Adam` and their like derive from it.

    Parameters
    ----------
    params:
        Parameters, pairs (name, parameter), whose names then stand in errors, or groups: dicts with "params" and the
        options in which the group differs. Unless its step is written in Python, the optimizer moves them into one flat
        buffer (see `flat.py`): a view of a parameter's memory taken earlier no longer follows it. After `p.data = t`
        the next step copies the values of t to where those of p were, so that t is not trained, and a `p.data` kept
        from before changes: keep a clone.
    defaults:
        Options of groups that do not give their own, `lr` among them. All of this package have `weight_decay` (λ·w for
        all parameters of the group), and `l1`, `l2` (λ·sign(w) and λ·w for those with two or more dimensions).

    Options may be changed between steps in `param_groups`, as in PyTorch; parameters may not, which lie in the buffer.
    A group may also have a "name", and the "initial_lr" that a schedule keeps there. PyTorch's `foreach`, `fused` and
    `capturable`, which say how a step is computed, are accepted by its optimizers and change nothing.

    Raises
    ------
    ArgumentError
        No parameters, one given twice, two that share memory, an option out of range or unknown, no `lr`.
    DtypeError
        A parameter that is no floating-point Tensor.
    GradientError
        A parameter that is no leaf.

    A new optimizer writes its step in Python, as in PyTorch, with a dict for each parameter in `state`. Such a step is
    never captured, and so several times as slow::

        class SignSGD(optim.Optimizer):                # w ← w − lr·sign(g)
            def __init__(self, params, lr=1e-3):
                super().__init__(params, {"lr": lr})

            @tg.no_grad()
            def step(self):
                for group in self.param_groups:
                    for parameter in group["params"]:
                        if parameter.grad is not None:
                            parameter.add_(parameter.grad.sign(), alpha=-group["lr"])

    Or it launches a kernel on each stretch of the flat buffer, with the options that all of this package have::

            def update(self, run, group):
                launch(sign_step, run.weight, run.grad, *run.state, run.options, run.steps)
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    """Names of the state, each like the parameters, 0 at first; `update` finds them in `run.state` in this order."""

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        self._steps_in_python = type(self).update is Optimizer.update and type(self).step is not Optimizer.step
        self._own_state = OwnState()
        if "lr" not in defaults:
            raise ArgumentError(f"{self._name}: its options {sorted(defaults)} have no 'lr', which schedules set")
        self.defaults = dict(defaults)
        if not self._steps_in_python:
            self.defaults |= {name: value for name, value in _OF_ALL.items() if name not in defaults}
            self._get_options = itemgetter(*[name for name in self.defaults if name != "lr"])
        self.param_groups: list[dict[str, Any]] = []
        self.scheduled_lrs: dict[int, float] = {}
        """The learning rates that a schedule wrote last, by the group's position: what differs was set otherwise."""
        self._members: list[Member] = []
        self._lists: list[GroupParameters] = []  # the parameters of each group, as param_groups has them
        for group in as_groups(self._name, params):
            self._append_group(group)
        self._build()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.step is not Optimizer.step:  # its own, or that of another base
            cls.step = watched(cls.step, Optimizer._before_own_step)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def check_group(self, group: Mapping[str, Any]) -> None:
        """Raise `ArgumentError` for an option out of range; a subclass checks its own as well."""
        for name in ("lr", "initial_lr", *_OF_ALL):
            if name in group:
                check_range(self._name, name, group[name])

    def added_decay(self, group: Mapping[str, Any]) -> float:
        """λ of the term λ·w that `weight_decay` adds to the gradient."""
        return group["weight_decay"]

    def numbers(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        """The optimizer's own options, in the order in which its kernel reads them."""
        return ()

    def update(self, run: Run, group: Mapping[str, Any]) -> None:
        """Launch this optimizer's kernel on one run."""
        raise NotImplementedError(
            f"{self._name} has neither a step(self), for loops over param_groups in Python, nor an update(self, run, "
            "group), to launch a kernel"
        )

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with options of their own, as when layers are unfrozen; the others keep their state.

        Raises as the constructor does, with nothing changed.
        """
        if not isinstance(cast(object, group), Mapping) or "params" not in group:
            raise ArgumentError(f"{self._name}: a parameter group is a dict with 'params' and options, got {group!r}")
        kept = self.state_dict()["state"]  # raises for groups that were changed by hand
        self._append_group(group)
        self._build()
        self._load_state(kept)

    def base_lr(self, index: int) -> float:
        """What a schedule made now starts from: a group's `initial_lr`, or its `lr` if no schedule wrote that."""
        group = self.param_groups[index]
        lr = float(group["lr"])
        return float(group["initial_lr"]) if "initial_lr" in group and self.scheduled_lrs.get(index) == lr else lr

    def _append_group(self, group: Mapping[str, Any]) -> None:
        unknown = sorted(set(group) - set(self.defaults) - _BESIDE - {"params"})
        if unknown:
            raise ArgumentError(f"{self._name}: unknown options {unknown}; known are {sorted(self.defaults)}")
        complete = {**self.defaults, **group}
        self.check_group(complete)
        members = members_of(self._name, group["params"], len(self.param_groups), self._members)
        complete["params"] = GroupParameters(member.parameter for member in members)
        self._members.extend(members)
        self._lists.append(complete["params"])
        self.param_groups.append(complete)

    def _has_its_groups(self) -> bool:
        """Whether `param_groups` are still those that the optimizer was given. Fast: each step asks."""
        if len(self.param_groups) != len(self._lists):
            return False
        for group, params in zip(self.param_groups, self._lists, strict=True):  # noqa: SIM110  as in _tell_recorder
            if group.get("params") is not params:
                return False
        return True

    def _check_groups(self) -> None:
        if not self._has_its_groups():
            raise ArgumentError(f"{self._name}: param_groups have other parameters than at first; {CHANGED}")

    @property
    def state(self) -> OwnState:
        """What a step written in Python keeps for each parameter; other optimizers have none, see `state_dict()`."""
        if self._steps_in_python:
            return self._own_state
        raise self._no_state()

    @state.setter
    def state(self, value: Mapping[Tensor, dict[str, Any]]) -> None:
        if not self._steps_in_python:
            raise self._no_state()
        self._own_state = OwnState(value)

    def _no_state(self) -> UnknownAttributeError:
        return UnknownAttributeError(
            f"{self._name} has no attribute 'state': its state lies in flat buffers. state_dict()['state'] is a copy; "
            "to begin anew, optimizer.load_state_dict({**optimizer.state_dict(), 'state': {}}). For a step in Python "
            "that keeps a state derive from optim.Optimizer itself"
        )

    def _build(self) -> None:
        """Lay the parameters of each dtype in a flat buffer: group by group, matrices before vectors (`l1`, `l2`)."""
        self._blocks: list[Block] = []
        if self._steps_in_python:
            return
        order = sorted(self._members, key=lambda member: (member.group, member.parameter.ndim < 2))
        option_count = OWN + len(self.numbers(self.param_groups[0]))
        self._blocks = [
            Block([m for m in order if m.parameter.dtype == dtype], self.state_names, option_count)
            for dtype in dict.fromkeys(member.parameter.dtype for member in order)
        ]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or fill them with 0)."""
        recording = recorder()
        if recording is not None and set_to_none:
            recording.forgotten.update([id(member.parameter) for member in self._members])
        for member in self._members:
            parameter = member.parameter
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach().zero_()

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient; `closure` recomputes the loss first, and it is returned.

        Raises, before any weight is touched: `NonFiniteError` for a gradient with a NaN or an infinity, `ArgumentError`
        for a learning rate that is negative or not finite, or for parameters put into or taken out of `param_groups` by
        hand, `ShapeError` or `DtypeError` for a gradient that is not like its parameter.
        """
        if self._steps_in_python:
            raise NotImplementedError(f"{self._name}: Optimizer.step has nothing to do for a step written in Python")
        loss: Tensor | None = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._check_groups()
        runs = [run for block in self._blocks for run in block.runs(self.param_groups)]
        self._tell_recorder(runs)
        for run in runs:
            replayed(self._write_options, run, run.options, writes=(1,))
            self._check_finite(run)
        for run in runs:
            self.update(run, self.param_groups[run.group])
            for member in run.members:
                member.parameter.counter[0] += 1
        return loss

    def _before_own_step(self, has_closure: bool) -> None:
        """What holds for a step that a subclass writes, too; a closure makes its gradients in the step."""
        self._check_groups()
        if (recording := recorder()) is not None:
            recording.refuse(f"{self._name}.step is written in Python, whose numbers a replay would not follow")
        if has_closure or not self._steps_in_python:  # a kernel checks its gradients itself
            return
        for member in self._members:
            gradient = member.parameter.grad
            if gradient is not None and not np.isfinite(gradient.array).all():
                raise self._bad_gradient([member])

    def _tell_recorder(self, runs: list[Run]) -> None:
        """Tell a recorder, if one watches, what is written next, and when a replay would not do the same."""
        recording = recorder()
        if recording is None:
            return
        for run in runs:
            about_to_write(run.weight, *run.state, run.steps, run.options)
            about_to_change(*[member.parameter for member in run.members])
        blocks, options, kinds = [(block, block.layout()) for block in self._blocks], self._options(), self._kinds()

        def holds() -> bool:
            if not self._has_its_groups() or (self._options() != options and self._kinds() != kinds):
                return False
            for block, layout in blocks:  # noqa: SIM110  `all` would take three times as long, and this runs each step
                if block.layout() is not layout:
                    return False
            return True

        recording.guards.append(holds)

    def _options(self) -> list[Any]:
        """All options of all groups but the learning rates."""
        return list(map(self._get_options, self.param_groups))

    def _kinds(self) -> list[list[bool]]:
        """Which options are in use at all: which kernels run. Their values stand where the kernels read them."""
        return [[bool(group[name]) for name in self.defaults if name != "lr"] for group in self.param_groups]

    def _write_options(self, run: Run, options: Array) -> None:
        """Put the group's options where the kernel reads them."""
        group = self.param_groups[run.group]
        lr, decay, l1 = group["lr"], self.added_decay(group), 0.0
        if not 0 <= lr < math.inf:
            check_range(f"{self._name}.step", "lr", lr)
        if run.penalised:
            decay, l1 = decay + group["l2"], group["l1"]
        options[:] = (lr, decay, l1, *self.numbers(group))

    def _check_finite(self, run: Run) -> None:
        try:
            launch(check_finite, run.grad, work=run.grad.size)
        except NonFiniteError as error:
            raise self._bad_gradient(run.members) from error
        if (recording := recorder()) is not None:
            recording.explain(partial(self._bad_gradient, run.members))

    def _bad_gradient(self, members: Sequence[Member], *_: object) -> NonFiniteError:
        """The error that names the first gradient of these that is not finite."""
        gradients = [(m.name, m.parameter.grad.array) for m in members if m.parameter.grad is not None]
        name, array = next((name, array) for name, array in gradients if not np.isfinite(array).all())
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        return NonFiniteError(
            f"{self._name}.step: the gradient of {name} (shape {array.shape}) is {array[index]} at index {index}; "
            "no weight was changed. tg.anomaly_mode() finds the op that made it"
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, in PyTorch's layout: state by parameter position, and the groups' options.

        State: for each parameter that has made a step, copies of its arrays and the number of steps; of a step written
        in Python, what it keeps. Raises `ArgumentError` for what that keeps besides Tensors and numbers.
        """
        self._check_groups()
        state = saved_state(self._name, self._own_state, self._members)
        for block in self._blocks:
            for place, member in enumerate(block.members):
                if block.steps[place] > 0:
                    arrays = {name: views[place].copy(order="K") for name, views in block.state_views.items()}
                    state[member.position] = {**arrays, "step": int(block.steps[place])}
        groups: list[dict[str, Any]] = []
        for index, group in enumerate(self.param_groups):
            base = {"initial_lr": self.base_lr(index)} if "initial_lr" in group else {}
            positions = [member.position for member in self._members if member.group == index]
            groups.append({**group, **base, "params": positions})
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict()` gave, also one that went through JSON or a file.

        Raises `CheckpointError`, with nothing changed, if it does not fit.
        """
        if set(state_dict) != {"state", "param_groups"}:
            raise CheckpointError(
                f"{self._name}: a state dict has 'state' and 'param_groups', this one {sorted(state_dict)}"
            )
        self._check_groups()
        groups = checked_groups(self, state_dict["param_groups"], _BESIDE, takes_others=self._steps_in_python)
        state = {int(position): entry for position, entry in state_dict["state"].items()}
        own = OwnState()
        if self._steps_in_python:
            own = loaded_state(self._name, state, self._members)
        else:
            for position, entry in state.items():
                check_entry(self._name, position, entry, self._members, self.state_names)
        for index, (group, options) in enumerate(zip(self.param_groups, groups, strict=True)):
            group.update(options)
            if "initial_lr" in options:  # saved by `state_dict`, and so the base of the rate that was saved with it
                self.scheduled_lrs[index] = float(options["lr"])
        self._own_state = own
        self._load_state(state)

    def _load_state(self, state: Mapping[int, Mapping[str, Any]]) -> None:
        for block in self._blocks:
            block.forget_runs()
            for place, member in enumerate(block.members):
                entry = state.get(member.position)
                block.steps[place] = 0 if entry is None else int(entry["step"])
                for name, views in block.state_views.items():
                    views[place][...] = 0 if entry is None else np.asarray(entry[name])

    def __reduce__(self) -> NoReturn:
        # A copy's flat buffers would no longer be the memory of its parameters.
        raise ArgumentError(
            f"{self._name}: an optimizer cannot be copied or pickled; make one on the new parameters and load its "
            "state_dict()"
        )

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for index, group in enumerate(self.param_groups):
            options = ", ".join(f"{name}={value}" for name, value in group.items() if name != "params")
            lines.append(f"  group {index}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])
