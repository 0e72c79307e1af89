"""Each rule of well-formedness: a program that breaks it is rejected with its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eqsat.ir import (
    Binding,
    BindingBlock,
    Call,
    Expr,
    Function,
    GlobalVar,
    If,
    IRModule,
    MatchCast,
    PrimFunc,
    SeqExpr,
    ShapeExpr,
    TensorType,
    Tuple,
    TupleGetItem,
    Type,
    TypeCheckError,
    UnknownShape,
    Var,
    VarBinding,
    make_call,
    op,
    tir,
)
from eqsat.ir._wellformed import check_well_formed
from eqsat.ir.script import parse_module
from eqsat.shapes import sym

F4 = TensorType((4,), "float32")


def _check(
    *bindings: Binding, result: Expr, params: tuple[Var, ...], ret: Type | None = None
) -> None:
    body = SeqExpr((BindingBlock(bindings, is_dataflow=True),), result)
    ret = ret or result.type
    check_well_formed(IRModule({"main": Function("main", params, body, ret)}))


def _relu(x: Expr) -> Call:
    return make_call(op("nn.relu"), x)


def test_a_good_program_passes() -> None:
    x, y = Var("x", F4), Var("y", F4)
    _check(VarBinding(y, _relu(x)), result=y, params=(x,))


def test_use_before_binding() -> None:
    x, y, z = Var("x", F4), Var("y", F4), Var("z", F4)
    with pytest.raises(TypeCheckError, match="function main, binding y: variable z is used before"):
        _check(VarBinding(y, _relu(z)), result=y, params=(x,))


def test_bound_twice() -> None:
    x, y = Var("x", F4), Var("y", F4)
    with pytest.raises(TypeCheckError, match="variable y is bound twice"):
        _check(VarBinding(y, _relu(x)), VarBinding(y, _relu(x)), result=y, params=(x,))


def test_dataflow_variable_escapes() -> None:
    x, y = Var("x", F4), Var("y", F4, is_dataflow=True)
    with pytest.raises(TypeCheckError, match="binding return: dataflow variable y is used outside"):
        _check(VarBinding(y, _relu(x)), result=y, params=(x,))


def test_undefined_symbol() -> None:
    x = Var("x", F4)
    y = Var("y", TensorType((sym("k"),), "float32"))
    with pytest.raises(TypeCheckError, match="uses the symbol k, which no parameter"):
        _check(result=ShapeExpr((sym("k"),)), params=(x,))
    u = Var("u", TensorType(UnknownShape(1), "float32"))
    _check(MatchCast(y, u, y.type), result=y, params=(u,))
    z = Var("z", TensorType((sym("k") * 2,), "float32"))
    with pytest.raises(TypeCheckError, match="its match_cast uses the symbol k"):
        _check(MatchCast(z, u, z.type), result=z, params=(u,))


def test_wrong_types() -> None:
    x = Var("x", F4)
    wrong = Var("y", TensorType((5,), "float32"))
    with pytest.raises(
        TypeCheckError, match=r"has type float32\[5\], but its value is float32\[4\]"
    ):
        _check(VarBinding(wrong, _relu(x)), result=wrong, params=(x,))
    call = _relu(x)
    call.type = TensorType((4,), "float16")
    y = Var("y", call.type)
    with pytest.raises(TypeCheckError, match=r"nn.relu gives float32\[4\], but the call says"):
        _check(VarBinding(y, call), result=y, params=(x,))
    with pytest.raises(TypeCheckError, match=r"returns float32\[4\], but declares"):
        _check(result=x, params=(x,), ret=TensorType((5,), "float32"))


def test_normal_form_and_tuples() -> None:
    x, y = Var("x", F4), Var("y", F4)
    with pytest.raises(TypeCheckError, match="a Call stands as an argument"):
        _check(VarBinding(y, Call(op("exp"), (_relu(x),), {}, F4)), result=y, params=(x,))
    item = TupleGetItem(Tuple((x,)), 0)
    _check(VarBinding(y, item), result=y, params=(x,))
    item.index = 2
    bad = Var("b", F4)
    with pytest.raises((TypeCheckError, IndexError)):
        _check(VarBinding(bad, item), result=bad, params=(x,))


def test_condition_is_boolean() -> None:
    x, y = Var("x", F4), Var("y", F4)
    branch = SeqExpr((), x)
    block = BindingBlock((VarBinding(y, If(x, branch, SeqExpr((), x), F4)),))
    function = Function("main", (x,), SeqExpr((block,), y), F4)
    with pytest.raises(TypeCheckError, match="a condition is a boolean scalar"):
        check_well_formed(IRModule({"main": function}))


def test_calls_of_functions() -> None:
    x, y = Var("x", F4), Var("y", F4)
    with pytest.raises(TypeCheckError, match="the module has no function f"):
        _check(VarBinding(y, Call(GlobalVar("f"), (x,), {}, F4)), result=y, params=(x,))
    a = Var("a", F4)
    callee = Function("f", (a,), SeqExpr((), a), F4)
    call = Call(GlobalVar("f"), (x, x), {}, F4)
    body = SeqExpr((BindingBlock((VarBinding(y, call),)),), y)
    main = Function("main", (x,), body, F4)
    with pytest.raises(TypeCheckError, match="f takes 1 arguments, got 2"):
        check_well_formed(IRModule({"f": callee, "main": main}))


COPY = """
@I.ir_module
class Module:
    @T.prim_func(private=True, s_tir=True)
    def copy(A: T.Buffer((T.int64(4),), "float32"), B: T.Buffer((T.int64(4),), "float32")):
        for i in range(T.int64(4)):
            with T.sblock("copy"):
                vi = T.axis.remap("S", [i])
                T.reads(A[vi])
                T.writes(B[vi])
                B[vi] = A[vi]

    @R.function
    def main(x: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
        cls = Module
        y = R.call_tir(cls.copy, (x,), out_ty=R.Tensor((4,), "float32"))
        return y
"""


def test_call_tir_arity_and_dtype() -> None:
    check_well_formed(parse_module(COPY))
    with pytest.raises(TypeCheckError, match="copy has 2 parameters; the call gives 2 arguments"):
        check_well_formed(parse_module(COPY.replace("(x,)", "(x, x)")))
    with pytest.raises(TypeCheckError, match="argument A of copy is float32 with 1 dims"):
        check_well_formed(
            parse_module(
                COPY.replace('main(x: R.Tensor((4,), "float32")', 'main(x: R.Tensor((4,), "int8")')
            )
        )


def _copy() -> PrimFunc:
    function = parse_module(COPY)["copy"]
    assert isinstance(function, PrimFunc)
    return function


def _with(function: PrimFunc, **changes: object) -> IRModule:
    changed = PrimFunc(
        function.name,
        function.params,
        changes.get("body", function.body),  # type: ignore[arg-type]
        attrs=function.attrs,
    )
    return IRModule({"copy": changed})


def test_blocks_and_buffers() -> None:
    function = _copy()
    loop = function.body
    assert isinstance(loop, tir.For)
    block = loop.body
    assert isinstance(block, tir.Block)
    other = tir.Buffer("C", (tir.IntImm(4),), "float32")
    vi = block.iters[0].var
    cases = {
        "PrimFunc copy, block copy: buffer C is not declared": replace(
            block, body=tir.BufferStore(other, (vi,), tir.FloatImm(1.0))
        ),
        "has T.init but no reduction axis": replace(block, init=block.body),
        "stores int8 into B, which is float32": replace(
            block,
            body=tir.BufferStore(function.params[1], (vi,), tir.IntImm(1, "int8")),  # type: ignore[arg-type]
        ),
        "variable v is used where it is not defined": replace(
            block,
            body=tir.BufferStore(function.params[1], (tir.Var("v"),), tir.FloatImm(1.0)),  # type: ignore[arg-type]
        ),
        "indexed by 2": replace(
            block,
            body=tir.BufferStore(function.params[1], (vi, vi), tir.FloatImm(1.0)),  # type: ignore[arg-type]
        ),
        "a condition is bool, this is int64": replace(block, predicate=tir.IntImm(1)),
    }
    for message, changed in cases.items():
        with pytest.raises(TypeCheckError, match=message):
            check_well_formed(_with(function, body=replace(loop, body=changed)))
    with pytest.raises(TypeCheckError, match="variable i is bound twice"):
        check_well_formed(_with(function, body=replace(loop, body=loop)))


def test_constants_need_no_binding() -> None:
    y = Var("y", F4)
    _check(VarBinding(y, make_call(op("nn.relu"), np.ones(4, "float32"))), result=y, params=())
