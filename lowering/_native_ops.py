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
    is_known,
)
from eqsat.lowering._primfuncs import is_native_prim_call

PART = "part"
"""The function attribute of a straight-line function that is compiled as one native program."""


def is_native_operator(call: Call) -> bool:
    """Say whether a call of an operator can be a kernel: its loops and its sizes are known."""
    op = call.op
    if not isinstance(op, OpDef) or op.compute is None or not op.is_pure or call.ty_args:
        return False
    if len(call.args) > len(op.operands) or not is_known(call.type):
        return False
    return all(isinstance(a, (NullValue, ShapeExpr)) or is_known(a.type) for a in call.args)


def is_native_call(module: IRModule, call: Call) -> bool:
    """Say whether `call` is native: an operator, or a kernel or part made of such."""
    if isinstance(call.op, OpDef):
        return is_native_operator(call) or is_native_prim_call(module, call)
    if not isinstance(call.op, GlobalVar):
        return False
    target = module.functions.get(call.op.name)
    return isinstance(target, Function) and is_kernel(target)


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
