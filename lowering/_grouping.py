"""`group_single_ops`: every operator call of a function becomes a kernel of its own."""

from __future__ import annotations

from dataclasses import replace

from eqsat.ir import (
    Binding,
    BindingBlock,
    Call,
    Constant,
    Expr,
    Function,
    GlobalVar,
    IRModule,
    OpDef,
    OpKind,
    PrimFunc,
    SeqExpr,
    TensorType,
    Tuple,
    Var,
    VarBinding,
)
from eqsat.lowering._errors import LoweringError
from eqsat.lowering._primfuncs import TIR_CALLS

TEMPLATES = {
    OpKind.POINTWISE: "pointwise",
    OpKind.VIEW: "view",
    OpKind.GATHER: "gather",
    OpKind.REDUCTION: "reduction",
    OpKind.CONTRACTION: "contraction",
    OpKind.WINDOW: "window",
    OpKind.ROW: "row",
    OpKind.SCAN: "reduction",
    OpKind.CREATE: "pointwise",
    OpKind.OPAQUE: "opaque",
}


def group_single_ops(module: IRModule, function: str = "main") -> IRModule:
    """Return `module` where `function` calls one private primitive function per operator call."""
    main = module.relax_function(function)
    functions: dict[str, Function | PrimFunc] = dict(module.functions)
    blocks: list[BindingBlock] = []
    for block in main.body.blocks:
        bindings: list[Binding] = []
        for b in block.bindings:
            if (
                isinstance(b, VarBinding)
                and isinstance(b.value, Call)
                and isinstance(b.value.op, OpDef)
                and b.value.op.name not in TIR_CALLS
            ):
                kernel, args = _kernel_of(b.value, b.value.op, functions)
                functions[kernel.name] = kernel
                call = Call(GlobalVar(kernel.name), args, {}, b.value.type, span=b.value.span)
                b = VarBinding(b.var, call)
            bindings.append(b)
        blocks.append(replace(block, bindings=tuple(bindings)))
    functions[function] = replace(main, body=SeqExpr(tuple(blocks), main.body.result))
    return replace(module, functions=functions)


def _kernel_of(
    call: Call, op: OpDef, taken: dict[str, Function | PrimFunc]
) -> tuple[Function, tuple[Expr, ...]]:
    if call.ty_args or not op.is_pure or len(call.args) > len(op.operands):
        raise LoweringError(
            f"{op.name} calls code that is no operator, which has no native form yet; run the "
            "program with eqsat.interpret, or declare what it calls with eqsat.ir.register_op"
        )
    params: dict[Expr, Var] = {}

    def inner(e: Expr) -> Expr:
        if isinstance(e, Tuple):
            return Tuple(tuple(inner(f) for f in e.fields))
        if isinstance(e, Constant) and e.value.ndim == 0:
            return e
        if not isinstance(e.type, TensorType):
            return e
        if e not in params:
            params[e] = Var(f"p{len(params)}", e.type)
        return params[e]

    args = tuple(inner(a) for a in call.args)
    result = Var("result", call.type)
    value = Call(op, args, call.attrs, call.type, call.ty_args)
    body = SeqExpr((BindingBlock((VarBinding(result, value),), is_dataflow=True),), result)
    base = op.name.rsplit(".", 1)[-1]
    name, k = base, 0
    while name in taken:
        k += 1
        name = f"{base}_{k}"
    attrs = {"primitive": True, "template": TEMPLATES[op.kind]}
    function = Function(name, tuple(params.values()), body, call.type, is_private=True, attrs=attrs)
    return function, tuple(params)
