"""Which calls have native code."""

from __future__ import annotations

from eqsat.ir import (
    Call,
    Function,
    GlobalVar,
    IRModule,
    NullValue,
    OpDef,
    ShapeExpr,
    VarBinding,
    has_known_shape,
    has_unknown_dtype,
)
from eqsat.lowering._primfuncs import is_native_prim_call

PART = "part"
"""The function attribute of a straight-line function made to be compiled as one native program."""


def has_known_loops(call: Call) -> bool:
    """Say whether a call of an operator has loops of known sizes, its dtypes known or not."""
    op = call.op
    if not isinstance(op, OpDef) or op.compute is None or not op.is_pure or call.ty_args:
        return False
    if len(call.args) > len(op.operands) or not has_known_shape(call.type):
        return False
    return all(isinstance(a, (NullValue, ShapeExpr)) or has_known_shape(a.type) for a in call.args)


def is_native_operator(call: Call) -> bool:
    """Say whether a call of an operator can be a kernel: loops, sizes and dtypes are known."""
    return has_known_loops(call) and not any(has_unknown_dtype(e.type) for e in (call, *call.args))


def is_native_call(module: IRModule, call: Call) -> bool:
    """Say whether `call` is native: an operator, or a kernel or part made of such."""
    if isinstance(call.op, OpDef):
        return is_native_operator(call) or is_native_prim_call(module, call)
    if not isinstance(call.op, GlobalVar):
        return False
    target = module.functions.get(call.op.name)
    return isinstance(target, Function) and is_kernel(target)


def is_native_part(function: Function) -> bool:
    """Say whether `function` is compiled as one native program: a part, all dtypes in it known."""
    inside = [b.var for block in function.body.blocks for b in block.bindings]
    return bool(function.attrs.get(PART)) and not any(
        has_unknown_dtype(v.type) for v in (*function.params, *inside)
    )


def is_kernel(function: Function) -> bool:
    """Say whether `function` is a kernel that has native code."""
    if not function.attrs.get("primitive"):
        return False
    calls = [
        b.value
        for block in function.body.blocks
        for b in block.bindings
        if isinstance(b, VarBinding) and isinstance(b.value, Call)
    ]
    return all(is_native_operator(c) for c in calls)
