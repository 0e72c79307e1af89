"""A PrimFunc for one call: its sizes and scalars in terms of the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from eqsat.ir._tir import (
    Address,
    Assert,
    Attr,
    Block,
    Buffer,
    BufferLoad,
    BufferRegion,
    BufferStore,
    Evaluate,
    For,
    IfThenElse,
    IterVar,
    Jump,
    Let,
    PrimExpr,
    PrimFunc,
    Range,
    Seq,
    Stmt,
    Var,
    While,
    from_dim,
)
from eqsat.ir._types import TypeCheckError
from eqsat.ir._visit import map_expr, substitute_vars, walk
from eqsat.shapes import Shape

Argument = Shape | PrimExpr
"""What a parameter is called with: the shape of a tensor, or a scalar."""


def specialized(func: PrimFunc, arguments: Sequence[Argument]) -> PrimFunc:
    """Return `func` over the caller's symbols, scalar parameters replaced by their arguments.

    Sizes that stand alone as a dim of a parameter are bound by the argument there; what else the
    shapes say is for the entry check of the caller.

    Raises:
        TypeCheckError: the arguments do not fit, or a size of `func` follows from no argument.
    """
    if len(arguments) != len(func.params):
        raise TypeCheckError(
            f"{func.name} takes {len(func.params)} arguments, outputs included, got "
            f"{len(arguments)}"
        )
    env: dict[Var, PrimExpr] = {}
    for p, a in zip(func.params, arguments, strict=True):
        if isinstance(p, Var) and isinstance(a, PrimExpr):
            env[p] = a
        elif isinstance(p, Buffer) and isinstance(a, tuple) and len(a) == len(p.shape):
            for d, n in zip(p.shape, a, strict=True):
                if isinstance(d, Var):
                    env.setdefault(d, from_dim(n))
        else:
            raise TypeCheckError(f"{func.name}: argument {p.name} does not fit: {a}")
    _check_bound(func, env)
    return _Rewriter(env).function(func)


def _check_bound(func: PrimFunc, env: Mapping[Var, PrimExpr]) -> None:
    for b in func.params:
        for d in b.shape if isinstance(b, Buffer) else ():
            free = {v.name for v in walk(d) if isinstance(v, Var) and v not in env}
            if free:
                raise TypeCheckError(
                    f"{func.name}: the size {', '.join(sorted(free))} of {b.name} follows from no "
                    "argument; pass it, or give another buffer it as an axis"
                )


def map_stmt(  # noqa: C901 - one case per node
    s: Stmt, expr: Callable[[PrimExpr], PrimExpr], buffer: Callable[[Buffer], Buffer]
) -> Stmt:
    """Return `s` with every expression and buffer in it replaced; bound variables stay."""

    def inner(x: Stmt) -> Stmt:
        return map_stmt(x, expr, buffer)

    def region(r: BufferRegion) -> BufferRegion:
        return BufferRegion(buffer(r.buffer), tuple(span(x) for x in r.ranges))

    def span(r: Range) -> Range:
        return Range(expr(r.min), expr(r.extent))

    match s:
        case Seq(stmts):
            return Seq(tuple(map(inner, stmts)))
        case For():
            return replace(s, min=expr(s.min), extent=expr(s.extent), body=inner(s.body))
        case BufferStore(b, indices, value):
            return BufferStore(buffer(b), tuple(map(expr, indices)), expr(value))
        case IfThenElse(condition, a, b):
            return IfThenElse(expr(condition), inner(a), None if b is None else inner(b))
        case Let(var, value, body):
            return Let(var, expr(value), inner(body))
        case While(condition, body):
            return While(expr(condition), inner(body))
        case Jump(value=value):
            return replace(s, value=expr(value))
        case Assert(condition):
            return replace(s, condition=expr(condition))
        case Evaluate(value):
            return Evaluate(expr(value))
        case Attr(node, key, value, body):
            about = buffer(node) if isinstance(node, Buffer) else expr(node)
            return Attr(about, key, expr(value), inner(body))
        case Block():
            iters = tuple(IterVar(i.var, span(i.domain), i.kind, expr(i.binding)) for i in s.iters)
            return replace(
                s,
                iters=iters,
                reads=tuple(map(region, s.reads)),
                writes=tuple(map(region, s.writes)),
                body=inner(s.body),
                init=None if s.init is None else inner(s.init),
                predicate=expr(s.predicate),
                alloc_buffers=tuple(map(buffer, s.alloc_buffers)),
            )
        case _:
            assert_never(s)


class _Rewriter:
    def __init__(self, env: Mapping[Var, PrimExpr]) -> None:
        self.env = env
        self.buffers: dict[Buffer, Buffer] = {}

    def function(self, func: PrimFunc) -> PrimFunc:
        params = tuple(self.buffer(p) for p in func.params if isinstance(p, Buffer))
        allocs = tuple(map(self.buffer, func.alloc_buffers))
        return replace(
            func,
            params=params,
            alloc_buffers=allocs,
            body=map_stmt(func.body, self.expr, self.buffer),
        )

    def buffer(self, b: Buffer) -> Buffer:
        if b not in self.buffers:
            shape = tuple(substitute_vars(d, self.env) for d in b.shape)
            self.buffers[b] = replace(b, shape=shape)
        return self.buffers[b]

    def expr(self, e: PrimExpr) -> PrimExpr:
        def visit(n: PrimExpr) -> PrimExpr:
            if isinstance(n, Var):
                return self.env.get(n, n)
            if isinstance(n, (BufferLoad, Address)):
                return replace(n, buffer=self.buffer(n.buffer))
            return n

        return map_expr(e, visit)
