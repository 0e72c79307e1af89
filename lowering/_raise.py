"""PrimFuncs raised to operators: their blocks as tensor expressions, which fuse as others do.

A PrimFunc is raised where each of its nests has one block that stores every element of one buffer
once: pointwise, or a reduction. Others run as they are written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eqsat.ir import (
    Attrs,
    ComputeArg,
    Numerics,
    OpDef,
    Operand,
    OpKind,
    PrimFunc,
    TupleType,
    Type,
    run_primfunc,
)
from eqsat.ir._simplify import simplify
from eqsat.ir.te import Combiner, Tensor, compute, identity, reduce
from eqsat.ir.tir import (
    Binary,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    For,
    IntImm,
    IterVar,
    PrimExpr,
    Range,
    Seq,
    Stmt,
    Var,
    children,
    rebuild,
    walk,
)
from eqsat.lowering._errors import LoweringError
from eqsat.lowering._kernel import to_dim
from eqsat.shapes import evaluate, numpy_dtype

COMBINERS: dict[str, Combiner] = {"+": "sum", "*": "prod", "max": "max", "min": "min"}


def raised(func: PrimFunc, num_inputs: int, result: Type) -> OpDef | None:
    """Return the operator that `func`, specialized to its call, is; None where it is none.

    The first `num_inputs` parameters are read, the others are written and are the result.
    """
    buffers = [p for p in func.params if isinstance(p, Buffer)]
    inputs, outputs = tuple(buffers[:num_inputs]), tuple(buffers[num_inputs:])
    stages = _read(func, inputs, {*outputs, *func.alloc_buffers})
    if not outputs or stages is None or not set(outputs) <= {s.buffer for s in stages}:
        return None
    definition = _Raised(func, inputs, outputs, stages)
    return OpDef(
        name=f"call_tir.{func.name}",
        operands=tuple(Operand(f"{b.name}_{k}") for k, b in enumerate(inputs)),
        infer=lambda types, attrs: result,
        reference=definition.reference,
        kind=_kind(stages, inputs),
        compute=definition.compute,
        numerics=Numerics.REASSOCIATING,
    )


@dataclass(frozen=True, eq=False, slots=True)
class RaisedStage:
    """`buffer[axes] = value`, or `init` combined with the reduction of `value`; see `te`."""

    buffer: Buffer
    axes: tuple[Var | None, ...]  # None: an axis of size 1, indexed by 0
    value: PrimExpr
    combiner: Combiner | None = None
    reduced: tuple[IterVar, ...] = ()
    init: PrimExpr | None = None

    def tensor(self, made: Mapping[Buffer, Tensor]) -> Tensor:
        """Return the stage over the tensors that stand for the buffers it loads."""
        shape = tuple(to_dim(d) for d in self.buffer.shape)
        fresh = [Var(f"v_{i.var.name}") for i in self.reduced]
        env: dict[Var, PrimExpr] = {
            i.var: _as(v, i.var.dtype) for i, v in zip(self.reduced, fresh, strict=True)
        }
        axes = [
            IterVar(v, Range(IntImm(0), i.domain.extent), "R", v)
            for i, v in zip(self.reduced, fresh, strict=True)
        ]

        def body(*at: PrimExpr) -> Any:
            here = env | {v: _as(i, v.dtype) for v, i in zip(self.axes, at, strict=True) if v}
            value = _loads(self.value, here, made)
            return value if self.combiner is None else reduce(self.combiner, value, axes)

        found = compute(self.buffer.name, shape, body)
        if self.combiner is None or self.init is None:
            return found
        op, init = self.combiner, self.init
        symbol = next(s for s, c in COMBINERS.items() if c == op)
        return compute(
            f"{self.buffer.name}_from",
            shape,
            lambda *at: Binary(symbol, found[at], init),  # type: ignore[arg-type]
        )


class _Raised:
    def __init__(
        self,
        func: PrimFunc,
        inputs: tuple[Buffer, ...],
        outputs: tuple[Buffer, ...],
        stages: Sequence[RaisedStage],
    ) -> None:
        self.func, self.inputs, self.outputs, self.stages = func, inputs, outputs, stages

    def reference(self, *arrays: Any) -> Any:
        """Run the function in the interpreter, sizes taken from the arrays."""
        symbols = {
            d.name: n
            for b, a in zip(self.inputs, arrays, strict=True)
            for d, n in zip(b.shape, np.shape(a), strict=True)
            if isinstance(d, Var)
        }
        results = [
            np.zeros(tuple(evaluate(to_dim(d), symbols) for d in b.shape), numpy_dtype(b.dtype))
            for b in self.outputs
        ]
        run_primfunc(self.func, [*arrays, *results], symbols)
        return tuple(results) if len(results) > 1 else results[0]

    def compute(
        self, args: Sequence[ComputeArg], attrs: Attrs, out: Type
    ) -> Tensor | tuple[Tensor, ...]:
        """Return the outputs as tensor expressions over the operands."""
        made: dict[Buffer, Tensor] = {}
        for b, a in zip(self.inputs, args, strict=True):
            assert isinstance(a, Tensor)
            made[b] = a
        for s in self.stages:
            made[s.buffer] = s.tensor(made)
        results = tuple(made[b] for b in self.outputs)
        return results if isinstance(out, TupleType) else results[0]


def _as(e: PrimExpr, dtype: str) -> PrimExpr:
    return e if e.dtype == dtype else Cast(dtype, e)


def _loads(e: PrimExpr, env: Mapping[Var, PrimExpr], made: Mapping[Buffer, Tensor]) -> PrimExpr:
    if isinstance(e, Var):
        return env.get(e, e)
    args = [_loads(c, env, made) for c in children(e)]
    if isinstance(e, BufferLoad):
        return made[e.buffer][[_as(i, "int64") for i in args]]
    return rebuild(e, args)


# --- reading --------------------------------------------------------------------------------


def read_raised(func: PrimFunc, num_inputs: int) -> list[RaisedStage] | None:
    """Return the stages of `func`, specialized to its call; None where some nest is no stage."""
    buffers = [p for p in func.params if isinstance(p, Buffer)]
    return _read(func, buffers[:num_inputs], {*buffers[num_inputs:], *func.alloc_buffers})


def _read(
    func: PrimFunc, inputs: Collection[Buffer], writable: Collection[Buffer]
) -> list[RaisedStage] | None:
    stages: list[RaisedStage] = []
    readable = set(inputs)
    for nest in func.body.stmts if isinstance(func.body, Seq) else (func.body,):
        s = _read_nest(nest)
        if s is None or s.buffer not in writable or s.buffer in readable:
            return None
        loaded = {n.buffer for n in walk(s.value) if isinstance(n, BufferLoad)}
        if not loaded <= readable:
            return None
        readable.add(s.buffer)
        stages.append(s)
    return stages


def _read_nest(stmt: Stmt) -> RaisedStage | None:
    loops: dict[Var, PrimExpr] = {}
    while isinstance(stmt, For):
        if stmt.kind == "thread_binding" or stmt.min != IntImm(0, stmt.min.dtype):
            return None
        loops[stmt.var] = stmt.extent
        stmt = stmt.body
    if not isinstance(stmt, Block) or not isinstance(stmt.body, BufferStore) or stmt.alloc_buffers:
        return None
    if not isinstance(stmt.predicate, IntImm) or not stmt.predicate.value:
        return None
    if not _iterates_over_all(stmt.iters, loops):
        return None
    return _read_store(stmt, stmt.body)


def _iterates_over_all(iters: Sequence[IterVar], loops: Mapping[Var, PrimExpr]) -> bool:
    """Say whether the block runs once for each point of its iterators' domains."""
    bound: list[Var] = []
    for i in iters:
        if i.domain.min != IntImm(0, i.domain.min.dtype):
            return False
        if isinstance(i.binding, Var) and i.binding in loops:
            if not same_extent(loops[i.binding], i.domain.extent):
                return False
            bound.append(i.binding)
        elif not (_is_int(i.binding, 0) and _is_int(i.domain.extent, 1)):
            return False
    return sorted(map(id, bound)) == sorted(map(id, loops))


def _read_store(block: Block, store: BufferStore) -> RaisedStage | None:
    spatial = {i.var: i.domain.extent for i in block.iters if i.kind == "S"}
    reduced = tuple(i for i in block.iters if i.kind == "R")
    axes: list[Var | None] = []
    for i, d in zip(store.indices, store.buffer.shape, strict=True):
        if isinstance(i, Var) and i in spatial and i not in axes and same_extent(spatial[i], d):
            axes.append(i)
        elif _is_int(i, 0) and _is_int(d, 1):
            axes.append(None)
        else:
            return None
    if any(v not in axes and not _is_int(n, 1) for v, n in spatial.items()):
        return None
    if bool(reduced) != (block.init is not None):
        return None
    value = store.value
    for v in spatial:
        if v not in axes:
            return None
    if block.init is None:
        return RaisedStage(store.buffer, tuple(axes), value)
    return _read_reduction(block.init, store, tuple(axes), reduced)


def _read_reduction(
    init: Stmt, store: BufferStore, axes: tuple[Var | None, ...], reduced: tuple[IterVar, ...]
) -> RaisedStage | None:
    own = BufferLoad(store.buffer, store.indices)
    value = store.value
    if not isinstance(init, BufferStore) or not isinstance(value, Binary):
        return None
    if init.buffer is not store.buffer or init.indices != store.indices:
        return None
    if value.op not in COMBINERS or own not in (value.a, value.b) or children(init.value):
        return None
    combiner = COMBINERS[value.op]
    other = value.b if value.a == own else value.a
    start = None if init.value == identity(combiner, store.buffer.dtype) else init.value
    return RaisedStage(store.buffer, axes, other, combiner, reduced, start)


def same_extent(a: PrimExpr, b: PrimExpr) -> bool:
    """Say whether two sizes are surely equal."""
    if isinstance(a, IntImm) and isinstance(b, IntImm):
        return a.value == b.value
    try:
        return to_dim(a) == to_dim(b)
    except LoweringError:
        return simplify(a, {}) == simplify(b, {})


def _is_int(e: PrimExpr, value: int) -> bool:
    return isinstance(e, IntImm) and e.value == value


# --- kinds ----------------------------------------------------------------------------------


def _kind(stages: Sequence[RaisedStage], inputs: Sequence[Buffer]) -> OpKind:
    if len(stages) > 1:
        return OpKind.OPAQUE
    (s,) = stages
    loads = [n for n in walk(s.value) if isinstance(n, BufferLoad)]
    if s.combiner is not None:
        is_product = s.combiner == "sum" and isinstance(s.value, Binary) and s.value.op == "*"
        plain = is_product and len(loads) == 2 == len(set(inputs)) and len(s.axes) > 1
        return OpKind.CONTRACTION if plain else OpKind.REDUCTION
    if loads and all(_is_broadcast(n, s) for n in loads):
        return OpKind.POINTWISE
    return OpKind.OPAQUE


def _is_broadcast(load: BufferLoad, s: RaisedStage) -> bool:
    """Say whether NumPy's broadcasting pairs the element loaded with the element stored."""
    axes = s.axes[len(s.axes) - len(load.indices) :]
    if len(axes) < len(load.indices):
        return False
    return all(
        (v is not None and i is v) or (_is_int(i, 0) and _is_int(d, 1))
        for i, v, d in zip(load.indices, axes, load.buffer.shape, strict=True)
    )
