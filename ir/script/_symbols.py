"""The shape symbols of a function, in order of appearance."""

from __future__ import annotations

from collections.abc import Iterator

from eqsat.ir._expr import (
    Call,
    Expr,
    Function,
    If,
    MatchCast,
    PrimValue,
    SeqExpr,
    ShapeExpr,
    Tuple,
    TupleGetItem,
)
from eqsat.ir._reads import dims_of_attr, dims_of_type
from eqsat.shapes import Dim, SymDim


def dims_of_expr(e: Expr) -> Iterator[Dim]:  # noqa: C901 - one case per node
    """Yield the dims that stand in an expression, in order; functions in it are not entered."""
    match e:
        case ShapeExpr(dims):
            yield from dims
        case PrimValue(value) if not isinstance(value, float):
            yield value
        case Tuple(fields):
            for f in fields:
                yield from dims_of_expr(f)
        case TupleGetItem(value):
            yield from dims_of_expr(value)
        case Call():
            for a in e.args:
                yield from dims_of_expr(a)
            for v in e.attrs.values():
                yield from dims_of_attr(v)
            for t in e.ty_args:
                yield from dims_of_type(t)
            yield from dims_of_type(e.type)
        case If():
            yield from dims_of_expr(e.condition)
            yield from dims_of_expr(e.then_branch)
            yield from dims_of_expr(e.else_branch)
        case SeqExpr():
            for block in e.blocks:
                for b in block.bindings:
                    if isinstance(b.value, Function):
                        continue
                    yield from dims_of_expr(b.value)
                    if isinstance(b, MatchCast):
                        yield from dims_of_type(b.type)
                    yield from dims_of_type(b.var.type)
            yield from dims_of_expr(e.result)
        case _:
            pass


def dims_of_function(function: Function) -> Iterator[Dim]:
    """Yield every dim of a function: parameters, result, body without the functions in it."""
    for p in function.params:
        yield from dims_of_type(p.type)
    yield from dims_of_type(function.ret_type)
    yield from dims_of_expr(function.body)


def symbols_of_function(function: Function) -> list[str]:
    """Return the symbols of a function in order of appearance."""
    found: dict[str, None] = {}
    for d in dims_of_function(function):
        if isinstance(d, SymDim):
            found.update(dict.fromkeys(sorted(d.symbols)))
    return list(found)
