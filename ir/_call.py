"""Making typed calls: the one place that fills attributes in and infers the type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._attrs import AttrValue
from eqsat.ir._distribute import infer_distributed
from eqsat.ir._expr import (
    Call,
    Constant,
    Expr,
    NullValue,
    ShapeExpr,
    Tuple,
)
from eqsat.ir._op import OpDef, OperandKind
from eqsat.ir._types import (
    DTensorType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    is_distributed,
)
from eqsat.shapes import Dim, EqsatError

Arg = Expr | None | Sequence["Expr"] | Sequence[Dim] | NDArray[np.generic] | np.generic


def make_call(op: OpDef, *args: Arg, **attrs: AttrValue) -> Call:
    """Return the call of `op` with its type inferred.

    A tuple or list stands for a tuple of tensors or a shape, whichever the operand wants; a NumPy
    array becomes a constant; None is an absent optional operand.

    Raises:
        TypeCheckError: too many or missing operands, unknown attributes, or the types do not fit.
        ShapeError: the shapes do not fit.
    """
    return make_declared_call(op, args, attrs, None)


def make_declared_call(
    op: OpDef, args: Sequence[Arg], attrs: Mapping[str, AttrValue], declared: Type | None
) -> Call:
    """Return the call of `op` (`make_call`) with a result that is declared to have a type.

    Raises:
        TypeCheckError, ShapeError: as `make_call`.
    """
    if len(args) > len(op.operands):
        raise TypeCheckError(f"{op.name} takes {len(op.operands)} operands, got {len(args)}")
    padded = (*args, *(None,) * (len(op.operands) - len(args)))
    operands = tuple(_operand(op, i, a) for i, a in enumerate(padded))
    try:
        filled = op.fill_attrs(attrs)
    except TypeError as error:
        raise TypeCheckError(str(error)) from None
    return Call(op, operands, filled, infer_type(op, [a.type for a in operands], filled, declared))


def infer_type(
    op: OpDef, types: Sequence[Type], attrs: dict[str, AttrValue], declared: Type | None = None
) -> Type:
    """Return the result type of `op`, naming the call in the error where it does not fit.

    Where it is not certain how a result lies on a mesh of devices, `declared` says it.
    """
    follows_operands = any(
        is_distributed(t) and o.kind is not OperandKind.ANY_TENSOR
        for o, t in zip(op.operands, types, strict=False)
    )
    try:
        if follows_operands:
            return infer_distributed(op, types, attrs, declared)
        return op.infer(types, attrs)
    except EqsatError as error:
        shown = ", ".join(str(t) for t in types)
        error.add_note(f"in {op.name}({shown})")
        raise


def _operand(op: OpDef, index: int, arg: Arg) -> Expr:
    operand = op.operands[index]
    where = f"operand {index} ({operand.name}) of {op.name}"
    if arg is None or isinstance(arg, NullValue):
        if not operand.optional:
            raise TypeCheckError(f"{where} is missing")
        return NullValue()
    if isinstance(arg, (np.ndarray, np.generic)):
        arg = Constant(np.asarray(arg))
    if not isinstance(arg, (Sequence, Expr)):
        raise TypeCheckError(f"{where} must be an expression or an array, got {arg!r}")
    return _as_kind(operand.kind, arg, where)


def _as_kind(kind: OperandKind, arg: Sequence[object] | Expr, where: str) -> Expr:
    match kind:
        case OperandKind.TENSOR | OperandKind.ANY_TENSOR:
            if isinstance(arg, Sequence) or not isinstance(arg.type, (TensorType, DTensorType)):
                raise TypeCheckError(f"{where} must be a tensor, got {_shown(arg)}")
            return arg
        case OperandKind.TENSORS:
            value = Tuple(tuple(_expr(a, where) for a in arg)) if isinstance(arg, Sequence) else arg
            if not isinstance(value.type, TupleType):
                raise TypeCheckError(f"{where} must be a tuple of tensors, got {_shown(arg)}")
            return value
        case OperandKind.OBJECT:
            if isinstance(arg, Sequence):
                raise TypeCheckError(f"{where} must be one value, got {arg!r}")
            return arg
        case OperandKind.SHAPE:
            shape = (
                ShapeExpr(tuple(_dim(d, where) for d in arg)) if isinstance(arg, Sequence) else arg
            )
            if not isinstance(shape.type, ShapeType):
                raise TypeCheckError(f"{where} must be a shape, got {_shown(arg)}")
            return shape


def _expr(item: object, where: str) -> Expr:
    if isinstance(item, (np.ndarray, np.generic)):
        return Constant(np.asarray(cast("NDArray[np.generic]", item)))
    if isinstance(item, Expr):
        return item
    raise TypeCheckError(f"{where} must hold tensors, got {item!r}")


def _dim(item: object, where: str) -> Dim:
    if isinstance(item, Dim):
        return item
    raise TypeCheckError(f"{where} must hold dims, got {item!r}")


def _shown(arg: object) -> str:
    return str(getattr(arg, "type", arg))
