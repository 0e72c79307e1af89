"""What an expression reads: variables and shape symbols."""

from __future__ import annotations

from collections.abc import Iterator

from eqsat.ir._attrs import AttrValue
from eqsat.ir._expr import (
    Call,
    Expr,
    Function,
    If,
    PrimValue,
    SeqExpr,
    ShapeExpr,
    Tuple,
    TupleGetItem,
    Var,
)
from eqsat.ir._types import (
    CallableType,
    DTensorType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
)
from eqsat.shapes import Dim, SymDim, symbols


def variables_read(e: Expr) -> Iterator[Var]:  # noqa: C901  # one case per expression
    """Yield every variable that `e` reads, those of nested bodies included."""
    match e:
        case Var():
            yield e
        case Tuple(fields):
            for f in fields:
                yield from variables_read(f)
        case TupleGetItem(tuple_value):
            yield from variables_read(tuple_value)
        case Call(op, args):
            if isinstance(op, Var):
                yield op
            for a in args:
                yield from variables_read(a)
        case If(condition, then_branch, else_branch):
            yield from variables_read(condition)
            yield from variables_read(then_branch)
            yield from variables_read(else_branch)
        case SeqExpr(blocks, result):
            for block in blocks:
                for binding in block.bindings:
                    yield from variables_read(binding.value)
            yield from variables_read(result)
        case Function(body=body):
            yield from variables_read(body)
        case _:
            return


def free_variables(function: Function) -> tuple[Var, ...]:
    """Return the variables that a local function takes from around it, in order of first use."""
    bound = {*function.params, *_bound_in(function.body)}
    return tuple(dict.fromkeys(v for v in variables_read(function.body) if v not in bound))


def _bound_in(body: SeqExpr) -> Iterator[Var]:
    for block in body.blocks:
        for b in block.bindings:
            yield b.var
            match b.value:
                case If(_, then_branch, else_branch):
                    yield from _bound_in(then_branch)
                    yield from _bound_in(else_branch)
                case SeqExpr() as inner:
                    yield from _bound_in(inner)
                case Function(params=params, body=inner):
                    yield from params
                    yield from _bound_in(inner)
                case _:
                    pass


def dims_of_type(ty: Type) -> Iterator[Dim]:
    """Yield the dims that stand in a type, in order."""
    match ty:
        case TensorType(shape=shape) | ShapeType(dims=shape):
            if not isinstance(shape, UnknownShape):
                yield from shape
        case TupleType(fields):
            for f in fields:
                yield from dims_of_type(f)
        case DTensorType(tensor):
            yield from dims_of_type(tensor)
        case CallableType(params, result):
            for p in params:
                yield from dims_of_type(p)
            yield from dims_of_type(result)
        case _:
            pass


def dims_of_attr(value: AttrValue) -> Iterator[Dim]:
    """Yield the symbolic dims of an attribute."""
    if isinstance(value, SymDim):
        yield value
    elif isinstance(value, tuple):
        for v in value:
            yield from dims_of_attr(v)


def type_symbols(ty: Type) -> frozenset[str]:
    """Return the shape symbols in a type."""
    return symbols(tuple(dims_of_type(ty)))


def symbols_read(e: Expr) -> frozenset[str]:
    """Return the shape symbols in `e`: in shapes, scalars, attributes and types, not in bodies."""
    found = set(type_symbols(e.type)) if not isinstance(e, (Function, If, SeqExpr)) else set[str]()
    match e:
        case ShapeExpr(dims):
            found |= symbols(dims)
        case PrimValue(value) if isinstance(value, SymDim):
            found |= value.symbols
        case Tuple(fields):
            found |= {s for f in fields for s in symbols_read(f)}
        case Call(_, args, attrs):
            found |= {s for a in args for s in symbols_read(a)}
            found |= {s for v in attrs.values() for s in attr_symbols(v)}
        case _:
            pass
    return frozenset(found)


def attr_symbols(value: AttrValue) -> frozenset[str]:
    """Return the shape symbols in the value of an attribute."""
    return symbols(tuple(dims_of_attr(value)))
