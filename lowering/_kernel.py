"""One primitive function → scheduled PrimFuncs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import Function, TensorType
from eqsat.ir.te import ProducerLoad, Reduce, Tensor
from eqsat.ir.tir import (
    Binary,
    Buffer,
    IntImm,
    Intrinsic,
    PrimExpr,
    PrimFunc,
    Select,
    Var,
    children,
    producers,
)
from eqsat.lowering._compose import Composed, compose
from eqsat.lowering._errors import LoweringError
from eqsat.lowering._target import Target
from eqsat.lowering._to_tir import to_tir
from eqsat.lowering.schedule._packing import Packing, narrowest_dtype
from eqsat.lowering.schedule._schedule import Schedule
from eqsat.lowering.templates._choose import schedule
from eqsat.shapes import Dim, dim_max, dim_min, itemsize, product, sym

ArgKind = Literal["param", "lifted", "output", "temp", "packed"]


@dataclass(frozen=True, slots=True)
class Arg:
    """What a parameter of a PrimFunc is bound to.

    The kernel's parameter, a constant lifted from its body, an output, an intermediate, or what
    `KernelLaunch.packings[index]` makes.
    """

    kind: ArgKind
    index: int


@dataclass(frozen=True, eq=False, slots=True)
class KernelLaunch:
    """One PrimFunc of a kernel; `sources[i]` are the arguments that `packings[i]` reads."""

    func: PrimFunc
    args: tuple[Arg, ...]
    packings: tuple[Packing, ...]
    sources: tuple[tuple[Arg, ...], ...]
    template: str
    steps: Schedule
    flops: Dim
    bytes_moved: Dim


@dataclass(frozen=True, eq=False, slots=True)
class LoweredKernel:
    """A primitive function lowered: one launch, or several where no template takes all stages."""

    launches: tuple[KernelLaunch, ...]
    outputs: tuple[TensorType, ...]
    temps: tuple[TensorType, ...]
    lifted: tuple[NDArray[np.generic], ...]
    label: str


def lower_kernel(function: Function, constants: Mapping[int, str], target: Target) -> LoweredKernel:
    """Return the launches of a primitive function.

    `constants` are the positions of parameters that are constants at every call, with the narrowest
    dtype that holds each exactly.

    Raises:
        LoweringError: an operator has no loop-level meaning.
    """
    composed = compose(function)
    first = len(function.params)
    lifted = {first + k: narrowest_dtype(v) for k, v in enumerate(composed.lifted)}
    return _Kernel(composed, first, {**constants, **lifted}, target).run()


class _Kernel:
    def __init__(
        self, composed: Composed, num_params: int, constants: Mapping[int, str], target: Target
    ) -> None:
        self.composed = composed
        self.num_params = num_params
        self.constants = constants
        self.target = target
        self.temps: list[Tensor] = []

    def run(self) -> LoweredKernel:
        c = self.composed
        launches = self._whole() if len(c.outputs) == 1 else None
        if launches is None:
            launches = self._in_groups()
        return LoweredKernel(
            tuple(launches),
            tuple(TensorType(t.shape, t.dtype) for t in c.outputs),
            tuple(TensorType(t.shape, t.dtype) for t in self.temps),
            c.lifted,
            " + ".join(c.op_names) or "copy",
        )

    def _whole(self) -> list[KernelLaunch] | None:
        launch = self._launch(self.composed.stages)
        return None if launch is None else [launch]

    def _in_groups(self) -> list[KernelLaunch]:
        """Lower in few groups of stages that templates allow, each ending in one stored stage."""
        stages = self.composed.stages
        consumers: dict[Tensor, list[Tensor]] = {t: [] for t in stages}
        for t in stages:
            for p in producers(t):
                if p in consumers:
                    consumers[p].append(t)
        root: dict[Tensor, Tensor] = {}
        groups: dict[Tensor, tuple[list[Tensor], KernelLaunch]] = {}
        for t in reversed(stages):
            owners = {root[c] for c in consumers[t]}
            if len(owners) == 1 and t not in self.composed.outputs:
                (owner,) = owners
                members = [t, *groups[owner][0]]
                launch = self._launch(members)
                if launch is not None:
                    root[t] = owner
                    groups[owner] = (members, launch)
                    continue
            alone = self._launch([t])
            if alone is None:
                raise LoweringError(
                    f"kernel {self.composed.name}: no template lowers stage {t.name} of {t.shape}"
                )
            root[t] = t
            groups[t] = ([t], alone)
        return [groups[t][1] for t in stages if root[t] is t]

    def _launch(self, stages: Sequence[Tensor]) -> KernelLaunch | None:
        """Return the launch of stages whose last is the output; the others are inside only."""
        out = stages[-1]
        inside = set(stages)
        read = dict.fromkeys(p for t in stages for p in producers(t) if p not in inside)
        params = [*read, out]
        naive = to_tir(self.composed.name, params, stages)
        positions = {t: k for k, t in enumerate(self.composed.params)}
        known = {
            k: self.constants[positions[t]]
            for k, t in enumerate(read)
            if positions.get(t, -1) in self.constants
        }
        found = schedule(naive, known, self.target)
        if found is None:
            return None
        args = [self._arg(t, positions) for t in params]
        where = {b: args[k] for k, b in enumerate(found.naive.params) if isinstance(b, Buffer)}
        flops, num_bytes = _work(stages, read, out)
        return KernelLaunch(
            found.func,
            (
                *(args[k] for k in found.origin),
                *(Arg("packed", k) for k in range(len(found.packings))),
            ),
            found.packings,
            tuple(tuple(where[b] for b in p.sources) for p in found.packings),
            found.template,
            found.steps,
            flops,
            num_bytes,
        )

    def _arg(self, t: Tensor, positions: Mapping[Tensor, int]) -> Arg:
        if t in positions:
            k = positions[t]
            return Arg("param", k) if k < self.num_params else Arg("lifted", k - self.num_params)
        if t in self.composed.outputs:
            return Arg("output", self.composed.outputs.index(t))
        if t not in self.temps:
            self.temps.append(t)
        return Arg("temp", self.temps.index(t))


def _work(stages: Sequence[Tensor], read: Collection[Tensor], out: Tensor) -> tuple[Dim, Dim]:
    """Return (floating-point operations, bytes that must be moved) of one launch."""
    flops: Dim = 0
    for t in stages:
        if t.body is None:
            continue
        extents: dict[Var, Dim] = dict(zip(t.axes, t.shape, strict=True))
        value = t.body
        if isinstance(value, Reduce):
            extents |= {a.var: to_dim(a.domain.extent) for a in value.axes}
            flops = flops + product(extents.values())
            value = value.value
        flops = flops + _operations(value, extents)[0]
    num_bytes: Dim = 0
    for t in (*read, out):
        num_bytes = num_bytes + product(t.shape) * itemsize(t.dtype)
    return flops, num_bytes


def _operations(e: PrimExpr, extents: Mapping[Var, Dim]) -> tuple[Dim, frozenset[Var]]:
    """Return how many operations `e` takes over all its points, and the axes that it depends on.

    A term that does not depend on an axis is counted once for it: it is hoisted or packed.
    """
    if isinstance(e, Var):
        return 0, frozenset({e} & extents.keys())
    parts = [_operations(c, extents) for c in children(e)]
    axes = frozenset(v for _, part in parts for v in part)
    if isinstance(e, ProducerLoad):
        return 0, axes
    total: Dim = 0
    for k, (n, _) in enumerate(parts):
        if not (isinstance(e, Select) and k == 0):
            total = total + n
    if isinstance(e, Intrinsic) or (isinstance(e, Binary) and e.dtype != "bool"):
        total = total + product(extents[v] for v in extents if v in axes)
    return total, axes


def to_dim(e: PrimExpr) -> Dim:
    """Return an int64 expression over shape variables as a dim; inverse of `from_dim`."""
    match e:
        case IntImm(value):
            return value
        case Var(name):
            return sym(name)
        case Binary(op, a, b):
            x, y = to_dim(a), to_dim(b)
            match op:
                case "+":
                    return x + y
                case "-":
                    return x - y
                case "*":
                    return x * y
                case "//":
                    return x // y
                case "%":
                    return x % y
                case "min":
                    return dim_min(x, y)
                case "max":
                    return dim_max(x, y)
                case _:
                    pass
        case _:
            pass
    raise LoweringError(f"{e} is no size")
