"""Calls of PrimFuncs that may leave a buffer or assert something: made to tell, to stop there."""

from __future__ import annotations

from dataclasses import replace

from eqsat.ir import (
    CALL_OPS,
    Binding,
    BindingBlock,
    Call,
    Function,
    GlobalVar,
    If,
    IRModule,
    ObjectType,
    PrimFunc,
    SeqExpr,
    TensorType,
    Tuple,
    TupleGetItem,
    TupleType,
    Var,
    VarBinding,
    check_primfunc_accesses,
    guarded,
    unproved,
)
from eqsat.lowering._primfuncs import prim_call


def guard_prim_calls(module: IRModule) -> IRModule:
    """Return `module` where PrimFuncs check unproved accesses and assertions; a false one raises.

    Raises:
        TypeCheckError: a PrimFunc that is called is wrong for some iteration, or races.
    """
    guard = _Guard(module)
    functions = {
        name: replace(f, body=guard.sequence(f.body)) if isinstance(f, Function) else f
        for name, f in module.functions.items()
    }
    return replace(module, functions={**functions, **guard.added}) if guard.added else module


class _Guard:
    def __init__(self, module: IRModule) -> None:
        self.module = module
        self.added: dict[str, PrimFunc] = {}

    def sequence(self, s: SeqExpr) -> SeqExpr:
        return SeqExpr(tuple(map(self.block, s.blocks)), s.result)

    def block(self, block: BindingBlock) -> BindingBlock:
        bindings = [new for b in block.bindings for new in self.binding(b)]
        return replace(block, bindings=tuple(bindings))

    def binding(self, b: Binding) -> list[Binding]:
        match b.value:
            case If(_, then_branch, else_branch):
                value = replace(
                    b.value,
                    then_branch=self.sequence(then_branch),
                    else_branch=self.sequence(else_branch),
                )
                return [replace(b, value=value)]
            case Function(body=body):
                return [replace(b, value=replace(b.value, body=self.sequence(body)))]
            case Call() if isinstance(b, VarBinding):
                return self.call(b, b.value) or [b]
            case _:
                return [b]

    def call(self, b: VarBinding, call: Call) -> list[Binding] | None:
        p = prim_call(self.module, call)
        if p is not None:
            check_primfunc_accesses(p.func, p.func.name)
        if p is None or not unproved(p.func):
            return None
        func, reasons = guarded(p.func)
        name = self.free_name(f"{p.func.name}_guarded")
        self.added[name] = replace(func, name=name, is_private=True)
        flags = [TensorType((), "bool")] * len(reasons)
        ty = TupleType((*p.outputs, *flags))
        attrs = dict(call.attrs)
        if "inplace_indices" in attrs:
            attrs["inplace_indices"] = (*p.inplace, *[-1] * len(reasons))
        args = (GlobalVar(name), *p.tensors)
        both = Var(f"{b.var.name}_checked", ty)
        checks: list[Binding] = []
        for k, reason in enumerate(reasons, len(p.outputs)):
            holds = Var("holds", TensorType((), "bool"))
            stop = Call(CALL_OPS["assert_op"], (holds,), {"format": reason}, ObjectType())
            checks.append(VarBinding(holds, TupleGetItem(both, k)))
            checks.append(VarBinding(Var("_", ObjectType()), stop))
        fields = tuple(TupleGetItem(both, k) for k in range(len(p.outputs)))
        return [
            VarBinding(both, Call(call.op, args, attrs, ty, (ty,), call.span)),
            *checks,
            VarBinding(b.var, Tuple(fields) if isinstance(call.type, TupleType) else fields[0]),
        ]

    def free_name(self, base: str) -> str:
        name, k = base, 0
        while name in self.module.functions or name in self.added:
            k += 1
            name = f"{base}{k}"
        return name
