"""Calls of PrimFuncs: raised to operators where they can be, else run as they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eqsat.ir import (
    Binding,
    BindingBlock,
    Call,
    Expr,
    GlobalVar,
    IRModule,
    OpDef,
    PrimFunc,
    PrimValue,
    SeqExpr,
    ShapeExpr,
    TensorType,
    Tuple,
    TupleType,
    Type,
    TypeCheckError,
    VarBinding,
    is_known,
    is_scalar_function,
    specialized,
    unproved,
)
from eqsat.ir.tir import Attr, PrimExpr, Stmt, const, from_dim, intrinsics
from eqsat.lowering._raise import raised
from eqsat.lowering.schedule._loops import map_statements
from eqsat.shapes import Shape, SymDim

TIR_CALLS = ("call_tir", "call_tir_inplace")


@dataclass(frozen=True, eq=False, slots=True)
class PrimCall:
    """A call of a PrimFunc: `func` over the caller's symbols, its tensors, and what it gives.

    `inplace[i]` is the argument that output i overwrites, -1 for a new tensor.
    """

    func: PrimFunc
    tensors: tuple[Expr, ...]
    outputs: tuple[TensorType, ...]
    inplace: tuple[int, ...]


def prim_call(module: IRModule, call: Call) -> PrimCall | None:
    """Return the call of a PrimFunc of the module; None where it is none with native code.

    That is one with sizes that are not known, or one that calls functions outside of the program.
    """
    if not isinstance(call.op, OpDef) or call.op.name not in TIR_CALLS or not call.args:
        return None
    callee, *given = call.args
    func = module.functions.get(callee.name) if isinstance(callee, GlobalVar) else None
    if not isinstance(func, PrimFunc) or not is_known(call.type) or calls_outside(func):
        return None
    args = _arguments(given)
    outputs = _tensor_types(call.type)
    if args is None or outputs is None:
        return None
    inplace = _inplace(call, len(outputs))
    fresh = [t.dims for t, k in zip(outputs, inplace, strict=True) if k < 0]
    try:
        plain = replace(func, body=map_statements(func.body, _without_advice))
        own = specialized(plain, [*(a for _, a in args), *fresh])
    except TypeCheckError:
        return None
    tensors = tuple(e for e, a in args if isinstance(a, tuple))
    return PrimCall(own, tensors, outputs, inplace)


def _without_advice(s: Stmt) -> Stmt:
    return s.body if isinstance(s, Attr) else s


def calls_outside(func: PrimFunc) -> bool:
    """Say whether a PrimFunc calls functions that have no native code, which the host runs."""
    return any(not is_scalar_function(i.name) for i in intrinsics(func.body))


def _arguments(given: Sequence[Expr]) -> list[tuple[Expr, Shape | PrimExpr]] | None:
    """Return every operand with its shape, or its value where it is a scalar."""
    found: list[tuple[Expr, Shape | PrimExpr]] = []
    for e in given:
        if isinstance(e, Tuple):
            inner = _arguments(e.fields)
            if inner is None:
                return None
            found += inner
        elif isinstance(e, PrimValue):
            value = e.value
            scalar = from_dim(value) if isinstance(value, (int, SymDim)) else const(value, e.dtype)
            found.append((e, scalar))
        elif isinstance(e, ShapeExpr):
            found += [(e, from_dim(d)) for d in e.dims]
        elif isinstance(e.type, TensorType) and is_known(e.type):
            found.append((e, e.type.dims))
        else:
            return None
    return found


def _tensor_types(ty: Type) -> tuple[TensorType, ...] | None:
    fields = ty.fields if isinstance(ty, TupleType) else (ty,)
    tensors = tuple(f for f in fields if isinstance(f, TensorType))
    return tensors if len(tensors) == len(fields) else None


def _inplace(call: Call, count: int) -> tuple[int, ...]:
    given = call.attrs.get("inplace_indices")
    if given is None:
        return (-1,) * count
    listed = given if isinstance(given, tuple) else (given,)
    return tuple(k if isinstance(k, int) else -1 for k in listed)


def as_operator(p: PrimCall, call: Call) -> Call | None:
    """Return the call of the operator that the PrimFunc is, None where it is none."""
    if any(k >= 0 for k in p.inplace):
        return None
    op = raised(p.func, len(p.tensors), call.type)
    return None if op is None else Call(op, p.tensors, {}, call.type, span=call.span)


def is_native_prim_call(module: IRModule, call: Call) -> bool:
    """Say whether a call of a PrimFunc has native code: no access may leave its buffer."""
    p = prim_call(module, call)
    return p is not None and not unproved(p.func)


def raise_prim_calls(module: IRModule, function: str) -> IRModule:
    """Return `module` where `function` calls operators in place of the PrimFuncs that are some."""
    main = module.relax_function(function)

    def block(b: BindingBlock) -> BindingBlock:
        return replace(b, bindings=tuple(map(binding, b.bindings)))

    def binding(b: Binding) -> Binding:
        if not isinstance(b, VarBinding) or not isinstance(b.value, Call):
            return b
        p = prim_call(module, b.value)
        call = None if p is None else as_operator(p, b.value)
        return b if call is None else VarBinding(b.var, call)

    body = SeqExpr(tuple(map(block, main.body.blocks)), main.body.result)
    functions = {**module.functions, function: replace(main, body=body)}
    return replace(module, functions=functions)
