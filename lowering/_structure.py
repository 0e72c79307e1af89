"""A key that is equal for primitive functions that compute the same thing in the same way."""

from __future__ import annotations

from eqsat.ir import (
    Call,
    Constant,
    Expr,
    Function,
    NullValue,
    OpDef,
    ShapeExpr,
    Tuple,
    TupleGetItem,
    Type,
    Var,
)

Key = tuple[object, ...]


def structural_key(function: Function) -> Key:
    """Return the function up to the names of its variables."""
    number: dict[Var, int] = {}
    for p in function.params:
        number[p] = len(number)
    parts: list[object] = [tuple(_type_key(p.type) for p in function.params)]
    for block in function.body.blocks:
        for b in block.bindings:
            parts.append(_expr_key(b.value, number))
            number[b.var] = len(number)
    parts.append(_expr_key(function.body.result, number))
    return tuple(parts)


def _type_key(ty: Type) -> Key:
    return (ty,)


def _expr_key(e: Expr, number: dict[Var, int]) -> Key:
    match e:
        case Var():
            return ("var", number[e])
        case Constant(value):
            return ("constant", value.dtype.str, str(value.dtype), value.shape, value.tobytes())
        case Tuple(fields):
            return ("tuple", *(_expr_key(f, number) for f in fields))
        case TupleGetItem(tuple_value, index):
            return ("item", index, _expr_key(tuple_value, number))
        case ShapeExpr(dims):
            return ("shape", dims)
        case NullValue():
            return ("null",)
        case Call(OpDef() as op):
            attrs = tuple((k, type(v).__name__, v) for k, v in e.attrs.items())
            return ("call", op.name, id(op), attrs, *(_expr_key(a, number) for a in e.args))
        case _:
            return ("other", id(e))
