"""Runs one operator or one PrimFunc on NumPy values."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import _tir as tir
from eqsat.ir._attrs import Attrs, AttrValue
from eqsat.ir._externs import Extern
from eqsat.ir._interpret_bind import RuntimeCheckError
from eqsat.ir._interpret_tir import run_primfunc
from eqsat.ir._op import OpDef, OperandKind
from eqsat.ir._tir import Buffer, PrimFunc
from eqsat.ir._types import UNKNOWN_DTYPE, ShapeType, TensorType, TupleType, Type
from eqsat.ir._visit import walk
from eqsat.shapes import SymDim, evaluate, numpy_dtype


def run_operator(
    op: OpDef, args: Sequence[Any], attrs: Attrs, ty: Type, symbols: Mapping[str, int]
) -> Any:
    """Return what the reference of `op` computes; `ty` is the type of the call.

    Raises:
        RuntimeCheckError: a required operand is absent, or the values are none that it is for.
    """
    given = [*args, *[None] * (len(op.operands) - len(args))]
    for operand, value in zip(op.operands, given, strict=True):
        if value is None and not operand.optional and not op.cannot_run:
            raise RuntimeCheckError(f"operand {operand.name} of {op.name} is absent")
    values = [
        list(a) if o.kind is OperandKind.TENSORS and a is not None else a
        for o, a in zip(op.operands, given, strict=True)
    ]
    filled = {k: _attr_value(v, symbols) for k, v in op.fill_attrs(attrs).items()}
    try:
        with np.errstate(all="ignore"):
            result = op.reference(*values, **filled)
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise RuntimeCheckError(f"{op.name}: {error}") from error
    return as_result(result, ty)


def call_primfunc(
    f: PrimFunc,
    args: Sequence[Any],
    ty: Type,
    inplace: Sequence[int] | None,
    symbols: Mapping[str, int],
    is_free: Callable[[int], bool] = lambda k: False,
    externs: Mapping[str, Extern] | None = None,
) -> Any:
    """Return the outputs of `f`, of type `ty`.

    `inplace[i]` is the argument that output `i` overwrites, -1 for a new tensor. It is copied
    before, unless `is_free` says that nobody else reads it. `externs` are functions that it calls.
    """
    types = ty.fields if isinstance(ty, TupleType) else (ty,)
    own, results, fresh = list(args), list[Any](), list[Any]()
    for index, each in zip(inplace or [-1] * len(types), types, strict=True):
        if index >= 0:
            own[index] = own[index] if is_free(index) else np.array(own[index])
            results.append(own[index])
        else:
            results.append(empty_tensor(each, symbols))
            fresh.append(results[-1])
    run_primfunc(f, [*own, *fresh], _named(f, symbols), externs)
    return tuple(results) if isinstance(ty, TupleType) else results[0]


def _named(f: PrimFunc, symbols: Mapping[str, int]) -> Mapping[str, int]:
    """Return the caller's values of the symbols that stand only inside sizes of `f` (n in n + 1).

    A symbol that is a size by itself is bound by the arguments; the rest is not the caller's.
    """
    dims = [d for p in f.params if isinstance(p, Buffer) for d in p.shape]
    inner = {v.name for d in dims for v in walk(d) if isinstance(v, tir.Var)}
    plain = {d.name for d in dims if isinstance(d, tir.Var)}
    return {k: v for k, v in symbols.items() if k in inner - plain}


def empty_tensor(ty: Type, symbols: Mapping[str, int]) -> NDArray[Any]:
    """Return a tensor of a type, with zeros."""
    if not isinstance(ty, TensorType):
        raise RuntimeCheckError(
            f"an output that is passed to be written is a tensor, but its type is {ty}"
        )
    if ty.dtype == UNKNOWN_DTYPE:
        raise RuntimeCheckError(
            f"an output that is passed to be written is {ty}; give it a dtype in the call: "
            'out_sinfo=R.Tensor((2, 2), "float32")'
        )
    return np.zeros(tuple(evaluate(d, symbols) for d in ty.dims), numpy_dtype(ty.dtype))


def _attr_value(value: AttrValue, symbols: Mapping[str, int]) -> Any:
    if isinstance(value, SymDim):
        return evaluate(value, symbols)
    if isinstance(value, tuple):
        return tuple(_attr_value(v, symbols) for v in value)
    return value


def as_result(value: Any, ty: Type) -> Any:
    """Return what a reference gave as the interpreter holds it."""
    if isinstance(value, (tuple, list)):
        if isinstance(ty, ShapeType):
            return tuple(int(v) for v in value)
        return tuple(np.asarray(v) for v in value)
    return np.asarray(value) if isinstance(ty, TensorType) else value
