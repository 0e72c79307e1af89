"""The naive form of a kernel, read as stages: one loop nest with one block each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eqsat.ir import Attrs
from eqsat.ir.te import Combiner, identity
from eqsat.ir.tir import (
    Binary,
    BinaryOp,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    For,
    IntImm,
    IterVar,
    PrimExpr,
    PrimFunc,
    Range,
    Seq,
    Stmt,
    Var,
    children,
    rebuild,
    seq,
)
from eqsat.lowering._errors import LoweringError

_OPS: dict[Combiner, BinaryOp] = {"sum": "+", "prod": "*", "max": "max", "min": "min"}
_COMBINERS: dict[str, Combiner] = {"+": "sum", "*": "prod", "max": "max", "min": "min"}


@dataclass(frozen=True, eq=False, slots=True)
class Stage:
    """`buffer[axes] = value`, or the reduction of `value` over `reduce_axes`."""

    name: str
    buffer: Buffer
    axes: tuple[Var, ...]
    extents: tuple[PrimExpr, ...]
    value: PrimExpr
    combiner: Combiner | None = None
    reduce_axes: tuple[Var, ...] = ()
    reduce_extents: tuple[PrimExpr, ...] = ()

    def ranges(self) -> dict[Var, tuple[PrimExpr, PrimExpr]]:
        """Return (min, extent) of every iterator."""
        pairs = zip(
            (*self.axes, *self.reduce_axes), (*self.extents, *self.reduce_extents), strict=True
        )
        return {v: (IntImm(0), e) for v, e in pairs}


def combine(combiner: Combiner, a: PrimExpr, b: PrimExpr) -> PrimExpr:
    """Return `a` and `b` combined."""
    # Not `binary`: folding would hide the combiner from `read_stages`.
    return Binary(_OPS[combiner], a, b)


def naive_func(
    name: str, params: Sequence[Buffer | Var], stages: Sequence[Stage], attrs: Attrs | None = None
) -> PrimFunc:
    """Return the function of one nest per stage; buffers that are no parameter are allocated."""
    allocs = tuple(s.buffer for s in stages if s.buffer not in params)
    body = seq(*(_nest(s) for s in stages))
    return PrimFunc(name, tuple(params), body, allocs, dict(attrs or {}))


def _nest(s: Stage) -> Stmt:
    axes, extents = (*s.axes, *s.reduce_axes), (*s.extents, *s.reduce_extents)
    loops = [Var(v.name.removeprefix("v_"), v.dtype) for v in axes]
    iters = tuple(
        IterVar(v, Range(IntImm(0), e), "S" if k < len(s.axes) else "R", loop)
        for k, (v, e, loop) in enumerate(zip(axes, extents, loops, strict=True))
    )
    value, init = s.value, None
    if s.combiner is not None:
        value = combine(s.combiner, BufferLoad(s.buffer, s.axes), s.value)
        init = BufferStore(s.buffer, s.axes, identity(s.combiner, s.buffer.dtype))
    stmt: Stmt = Block(
        s.name, iters, (), (), BufferStore(s.buffer, s.axes, value), init, regions_inferred=False
    )
    for loop, e in reversed(list(zip(loops, extents, strict=True))):
        stmt = For(loop, IntImm(0), e, stmt)
    return stmt


def read_stages(func: PrimFunc) -> list[Stage]:
    """Return the stages of a function in naive form.

    Raises:
        LoweringError: the body is not a sequence of perfect nests around one block each.
    """
    stmts = func.body.stmts if isinstance(func.body, Seq) else (func.body,)
    return [_read_nest(s, func.name) for s in stmts]


def _read_nest(stmt: Stmt, name: str) -> Stage:
    while isinstance(stmt, For):
        stmt = stmt.body
    if not isinstance(stmt, Block) or not isinstance(stmt.body, BufferStore):
        raise LoweringError(f"{name} is not in naive form: a nest ends in {type(stmt).__name__}")
    store = stmt.body
    spatial = [i for i in stmt.iters if i.kind == "S"]
    reduced = [i for i in stmt.iters if i.kind == "R"]
    stage = Stage(
        stmt.name,
        store.buffer,
        tuple(i.var for i in spatial),
        tuple(i.domain.extent for i in spatial),
        store.value,
    )
    if stmt.init is None:
        return stage
    if not isinstance(store.value, Binary) or store.value.op not in _COMBINERS:
        raise LoweringError(f"{name}: block {stmt.name} has an init but no known combiner")
    return replace(
        stage,
        value=store.value.b,
        combiner=_COMBINERS[store.value.op],
        reduce_axes=tuple(i.var for i in reduced),
        reduce_extents=tuple(i.domain.extent for i in reduced),
    )


def replace_exprs(e: PrimExpr, env: Mapping[Var, PrimExpr]) -> PrimExpr:
    """Return `e` with variables replaced, shared terms visited once."""
    memo: dict[int, PrimExpr] = {}

    def visit(n: PrimExpr) -> PrimExpr:
        if isinstance(n, Var):
            return env.get(n, n)
        key = id(n)
        if key not in memo:
            old = children(n)
            args = [visit(c) for c in old]
            same = all(a is o for a, o in zip(args, old, strict=True))
            memo[key] = n if same else rebuild(n, args)
        return memo[key]

    return visit(e)
