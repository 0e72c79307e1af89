"""Calls whose callee is an operand, as instructions of the virtual machine."""

from __future__ import annotations

from collections.abc import Sequence

from eqsat.ir import (
    Call,
    Expr,
    ExternFunc,
    GlobalVar,
    OpDef,
    PrimFunc,
    Tuple,
    TupleType,
    Type,
    Var,
)
from eqsat.lowering._vm_code import Code
from eqsat.lowering._vm_program import (
    Assert,
    BindArguments,
    CallExtern,
    CallValue,
    Print,
    Render,
    RunPrimFunc,
)

_TENSOR_IR = ("call_tir", "call_tir_inplace", "call_tir_with_grad", "vm.call_tir_dyn")
_PACKED = ("call_pure_packed", "call_inplace_packed", "call_builtin_with_ctx", "call_py_func")
_INVOKE = ("invoke_closure", "invoke_pure_closure")


def foreign_call(code: Code, op: OpDef, e: Call, what: str) -> int:
    """Write the call `e` of an operator that calls its first operand; return the result.

    Raises:
        LoweringError: the operator has no meaning at run time.
    """
    if op.name in ("print", "assert_op"):
        return _effect(code, op.name, e)
    if op.name == "render_object":
        r = code.new()
        code.emit(Render(code.registers(e.args), r))
        return r
    callee, args = e.args[0], e.args[1:]
    if isinstance(callee, GlobalVar):
        target = code.module.functions.get(callee.name)
        if isinstance(target, PrimFunc):
            return _primfunc(code, op, e, target, args)
    if op.name == "make_closure":
        r = code.new()
        bound = (code.register(callee), code.registers(_spread(args)), r)
        code.emit(BindArguments(*bound))
        return r
    if op.name in _INVOKE:
        return call_value(code, code.register(callee), _spread(args), e.type, what)
    if op.name == "call_dps_packed":
        name = _extern_name(code, callee)
        return call_extern(code, name, args, e.type, what, outputs=_types(e.type))
    if op.name in _PACKED:
        if isinstance(callee, (Var, GlobalVar)) and not _is_extern(code, callee):
            return call_value(code, code.register(callee), args, e.type, what)
        given = e.attrs.get("inplace_indices", ())
        indices = given if isinstance(given, tuple) else (given,)
        inplace = tuple(k for k in indices if isinstance(k, int) and k >= 0)
        return call_extern(code, _extern_name(code, callee), args, e.type, what, inplace=inplace)
    raise code.error(f"{op.name} has neither native code nor a NumPy meaning")


def _effect(code: Code, name: str, e: Call) -> int:
    text, values, r = str(e.attrs["format"]), code.registers(e.args), code.new()
    code.emit(Print(text, values, r) if name == "print" else Assert(text, values, r))
    return r


def _primfunc(code: Code, op: OpDef, e: Call, target: PrimFunc, args: Sequence[Expr]) -> int:
    if op.name not in _TENSOR_IR and op.name != "call_dps_packed":
        raise code.error(f"{op.name} calls {target.name}, which is a PrimFunc; use call_tir")
    code.on_host(f"{op.name} of {target.name} at {code.name}")
    indices = e.attrs.get("inplace_indices") if op.name == "call_tir_inplace" else None
    inplace = None
    if indices is not None:
        listed = indices if isinstance(indices, tuple) else (indices,)
        inplace = tuple(k if isinstance(k, int) else -1 for k in listed)
    values, r = code.registers(args), code.new()
    code.emit(RunPrimFunc(target, values, e.type, inplace, r))
    return r


def _spread(args: Sequence[Expr]) -> Sequence[Expr]:
    """Return the arguments; they may be given as one tuple."""
    return args[0].fields if len(args) == 1 and isinstance(args[0], Tuple) else args


def _is_extern(code: Code, callee: Var | GlobalVar) -> bool:
    return isinstance(callee, GlobalVar) and callee.name in code.module.extern_funcs


def _extern_name(code: Code, callee: Expr) -> str:
    if isinstance(callee, ExternFunc):
        return callee.name
    if isinstance(callee, GlobalVar) and callee.name in code.module.extern_funcs:
        return code.module.extern_funcs[callee.name].name
    raise code.error("the function that is called must be named by a string")


def _types(ty: Type) -> tuple[Type, ...]:
    return ty.fields if isinstance(ty, TupleType) else (ty,)


def call_value(code: Code, callee: int, args: Sequence[Expr], ty: Type, what: str) -> int:
    """Write the call of a function value; return the result."""
    values, r = code.registers(args), code.new()
    code.emit(CallValue(callee, values, r))
    code.check(r, ty, what)
    return r


def call_extern(
    code: Code,
    name: str,
    args: Sequence[Expr],
    ty: Type,
    what: str,
    *,
    outputs: tuple[Type, ...] = (),
    inplace: tuple[int, ...] = (),
) -> int:
    """Write the call of a Python function; return the result."""
    values, r = code.registers(args), code.new()
    code.emit(CallExtern(name, values, ty, r, outputs, inplace))
    if not outputs:
        code.check(r, ty, what)
    return r
