"""The interpreter: symbols, control flow, calls, checks, and TensorIR."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from eqsat.ir import (
    BindingBlock,
    BlockBuilder,
    Call,
    Constant,
    Function,
    GlobalVar,
    If,
    IRModule,
    MatchCast,
    OpDef,
    OpKind,
    RuntimeCheckError,
    SeqExpr,
    ShapeExpr,
    ShapeType,
    TensorType,
    Tuple,
    TupleType,
    UnknownShape,
    Var,
    VarBinding,
    evaluate_te,
    interpret,
    make_call,
    op,
    te,
    tir,
)
from eqsat.ir._interpret_tir import run_primfunc
from eqsat.ir.script import parse_module
from eqsat.shapes import sym

N, M = sym("n"), sym("m")
F32 = "float32"


def _x(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def _body(result: Any, *bindings: Any) -> SeqExpr:
    return SeqExpr((BindingBlock(tuple(bindings)),), result)


def test_symbols_are_solved_from_linear_sizes() -> None:
    bb = BlockBuilder()
    x, y = bb.input("x", (N + 1, 2 * M), F32), bb.input("y", (N,), F32)
    out = bb.call(op("shape_to_tensor"), bb.emit(ShapeExpr((N, M, N * M))))
    module = bb.module([out, x, y])
    result = interpret(module, _x(4, 6), _x(3))
    assert result[0].tolist() == [3, 3, 9]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            (_x(2, 4), _x(3)),
            r"argument y of main must be float32\[n\], .* with n = 2, got float32\[3\]",
        ),
        ((_x(2, 5), _x(2)), r"argument x of main must be float32\[n, 4\], got float32\[2, 5\]"),
        (
            (_x(2, 4).astype(np.float64), _x(2)),
            r"argument x of main must be .* got float64\[2, 4\]",
        ),
        ((_x(2), _x(2)), r"argument x of main must be .* got float32\[2\]"),
        ((3, _x(2)), r"argument x of main must be .* got int 3"),
        ((_x(2, 4),), r"main takes 2 arguments, got 1"),
    ],
)
def test_arguments_are_checked(arrays: tuple[Any, ...], message: str) -> None:
    bb = BlockBuilder()
    x, y = bb.input("x", (N, 4), F32), bb.input("y", (N,), F32)
    module = bb.module([x, y])
    with pytest.raises(RuntimeCheckError, match=message):
        interpret(module, *arrays)


def test_match_cast_defines_symbols_and_checks() -> None:
    x = Var("x", TensorType(UnknownShape(2), F32))
    y = Var("y", TensorType((N, 4), F32))
    flat = make_call(op("reshape"), y, (N * 4,))
    f = Function("main", (x,), _body(flat, MatchCast(y, x, y.type)), flat.type)
    assert interpret(f, _x(3, 4)).shape == (12,)
    with pytest.raises(RuntimeCheckError, match=r"y must be float32\[n, 4\], got float32\[3, 5\]"):
        interpret(f, _x(3, 5))


def test_if_recursion_and_scalars() -> None:
    """main(x) = x if x >= 100 else main(x * 2)."""
    scalar = TensorType((), F32)
    x, c = Var("x", scalar), Var("c", TensorType((), "bool"))
    double = Var("d", scalar)
    again = Call(GlobalVar("main"), (double,), {}, scalar)
    other = _body(again, VarBinding(double, make_call(op("multiply"), x, np.float32(2))))
    test = make_call(op("greater_equal"), x, np.asarray(100, np.float32))
    choice = If(c, _body(x), other, scalar)
    r = Var("r", scalar)
    body = _body(r, VarBinding(c, test), VarBinding(r, choice))
    module = IRModule({"main": Function("main", (x,), body, scalar)})
    assert interpret(module, 3.0) == 192.0


def test_private_function_and_tuple_parameter() -> None:
    t = TensorType((2,), F32)
    pair = Var("p", TupleType((t, t)))
    bb = BlockBuilder()
    p = bb.param("p", pair.type)
    inner = bb.function(bb.call(op("add"), bb.get_item(p, 0), bb.get_item(p, 1)), "inner")
    x = Var("x", t)
    call = Call(GlobalVar("inner"), (Tuple((x, x)),), {}, t)
    module = IRModule({"inner": inner, "main": Function("main", (x,), _body(call), t)})
    np.testing.assert_array_equal(interpret(module, _x(2)), [0, 2])
    np.testing.assert_array_equal(interpret(module, (_x(2), _x(2)), function="inner"), [0, 2])


def test_shape_values_and_symbolic_attributes() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (N, 3), F32)
    s = bb.param("s", ShapeType((M,)))
    part = bb.call(op("strided_slice"), x, axes=(0,), begin=(0,), end=(N - M,), assume_inbound=True)
    ids = bb.call(op("arange"), start=0, end=N)
    module = bb.module([part, ids, bb.call(op("shape_of"), x)])
    part_value, ids_value, shape = interpret(module, _x(5, 3), (2,))
    assert part_value.shape == (3, 3)
    assert ids_value.tolist() == [0, 1, 2, 3, 4]
    assert shape == (5, 3)
    assert s.type == ShapeType((M,))


def test_values_are_freed_after_their_last_use() -> None:
    seen: list[int] = []
    probe = OpDef(
        "test.probe",
        op("exp").operands,
        op("exp").infer,
        lambda x: (seen.append(sys.getrefcount(held[0])), x)[1],
        OpKind.POINTWISE,
    )
    held: list[Any] = []
    keep = OpDef(
        "test.keep",
        op("exp").operands,
        op("exp").infer,
        lambda x: (held.append(x + 1), held[0])[1],
        OpKind.POINTWISE,
    )
    bb = BlockBuilder()
    a = bb.call(keep, bb.input("x", (2,), F32))
    b = bb.call(op("exp"), a)
    c = bb.call(probe, b)
    interpret(bb.module(c), _x(2))
    assert seen == [2]  # the list, and the argument of getrefcount


def test_unknown_function_and_extern_are_explained() -> None:
    bb = BlockBuilder()
    module = bb.module(bb.input("x", (2,), F32))
    with pytest.raises(RuntimeCheckError, match="no function 'other'; there are main"):
        interpret(module, _x(2), function="other")


def _matmul_primfunc() -> tir.PrimFunc:
    n = tir.shape_var("n")
    a = tir.Buffer("A", (n, tir.IntImm(3)), F32)
    b = tir.Buffer("B", (tir.IntImm(3), tir.IntImm(4)), F32)
    c = tir.Buffer("C", (n, tir.IntImm(4)), F32)
    loops = [tir.Var(v) for v in "ijk"]
    axes = [tir.Var(f"v{v}") for v in "ijk"]
    extents = (n, tir.IntImm(4), tir.IntImm(3))
    iters = tuple(
        tir.IterVar(axis, tir.Range(tir.IntImm(0), extent), kind, loop)
        for axis, extent, kind, loop in zip(axes, extents, "SSR", loops, strict=True)
    )
    at = (axes[0], axes[1])
    product = tir.BufferLoad(a, (axes[0], axes[2])) * tir.BufferLoad(b, (axes[2], axes[1]))
    block = tir.Block(
        "matmul",
        iters,
        (),
        (),
        tir.BufferStore(c, at, tir.BufferLoad(c, at) + product),
        tir.BufferStore(c, at, tir.FloatImm(0.0)),
    )
    body: tir.Stmt = block
    for var, extent in reversed(list(zip(loops, extents, strict=True))):
        body = tir.For(var, tir.IntImm(0), extent, body)
    return tir.PrimFunc("matmul", (a, b, c), body)


def test_primfunc_with_reduction_block() -> None:
    a, b = _x(2, 3), _x(3, 4)
    c = np.full((2, 4), 9, np.float32)
    run_primfunc(_matmul_primfunc(), [a, b, c])
    np.testing.assert_array_equal(c, a @ b)
    with pytest.raises(TypeError, match=r"axis 0 of C must be 2, got shape \(3, 4\)"):
        run_primfunc(_matmul_primfunc(), [a, b, np.zeros((3, 4), np.float32)])


def test_call_tir_runs_a_primfunc() -> None:
    call_tir = OpDef("call_tir", (), lambda t, a: t[0], lambda: None, OpKind.OPAQUE)
    x = Var("x", TensorType((N, 3), F32))
    out = TensorType((N, 4), F32)
    weight = Constant(_x(3, 4))
    call = Call(call_tir, (GlobalVar("matmul"), x, weight), {}, out)
    main = Function("main", (x,), _body(call), out)
    module = IRModule({"main": main, "matmul": _matmul_primfunc()})
    np.testing.assert_array_equal(interpret(module, _x(5, 3)), _x(5, 3) @ _x(3, 4))


def test_primfunc_statements() -> None:
    """Predicate, allocation, let, branch and a lazy select that guards a load."""
    a = tir.Buffer("A", (tir.IntImm(4),), F32)
    out = tir.Buffer("B", (tir.IntImm(4),), F32)
    tmp = tir.Buffer("T", (tir.IntImm(1),), F32, "local")
    i, v, x = tir.Var("i"), tir.Var("v"), tir.Var("x", F32)
    before = tir.select(v >= 1, tir.BufferLoad(a, (v - 1,)), tir.FloatImm(-1.0), lazy=True)
    zero = (tir.IntImm(0),)
    body = tir.seq(
        tir.BufferStore(tmp, zero, before),
        tir.Let(
            x,
            tir.BufferLoad(tmp, zero) * 2,
            tir.IfThenElse(
                v < 3,
                tir.BufferStore(out, (v,), x),
                tir.BufferStore(out, (v,), tir.FloatImm(7.0)),
            ),
        ),
    )
    block = tir.Block(
        "b",
        (tir.IterVar(v, tir.Range(tir.IntImm(0), tir.IntImm(4)), "S", i),),
        (),
        (),
        body,
        predicate=i < 4,
        alloc_buffers=(tmp,),
    )
    func = tir.PrimFunc("f", (a, out), tir.For(i, tir.IntImm(0), tir.IntImm(6), block))
    result = np.zeros(4, np.float32)
    run_primfunc(func, [_x(4), result])
    assert result.tolist() == [-2.0, 0.0, 2.0, 7.0]
    unguarded = tir.For(
        i, tir.IntImm(0), tir.IntImm(5), tir.BufferStore(out, (i,), tir.FloatImm(0.0))
    )
    with pytest.raises(IndexError, match=r"B\[4\] is outside of its shape \(4,\)"):
        run_primfunc(tir.PrimFunc("g", (a, out), unguarded), [_x(4), result])


def test_evaluate_te_rejects_reads_out_of_bounds() -> None:
    x = te.placeholder("x", (4,), F32)
    shifted = te.compute("shifted", (4,), lambda i: x[i + 1])
    with pytest.raises(IndexError, match="stage shifted reads x"):
        evaluate_te([shifted], {x: _x(4)}, {})
    guarded = te.compute(
        "guarded", (4,), lambda i: tir.select(i < 3, x[i + 1], tir.FloatImm(0.0), lazy=True)
    )
    assert evaluate_te([guarded], {x: _x(4)}, {})[0].tolist() == [1, 2, 3, 0]


def test_conditions_over_sizes_choose_branches() -> None:
    module = parse_module("""
@R.function
def main(a: R.Tensor(("n", "m"), "float32")):
    n = T.int64()
    m = T.int64()
    t = R.prim_value(n > m)
    if n % 3 == 0:
        b = R.add(a, a)
    else:
        b = R.multiply(a, a)
    return (b, t)
""")
    for n, m in ((3, 2), (2, 2), (6, 7)):
        a = np.full((n, m), 5, np.float32)
        b, t = interpret(module, a)
        assert np.all(b == (10 if n % 3 == 0 else 25))
        assert t is (n > m)


def test_sizes_that_an_operator_needs_to_be_equal() -> None:
    module = parse_module("""
@R.function
def main(x: R.Tensor(("n", 3), "float32"), w: R.Tensor((1, 2, 2), "float32")):
    n = T.int64()
    with R.dataflow():
        y = R.image.grid_sample(R.reshape(x, (n, 1, 3, 1)), R.reshape(w, (1, 2, 1, 2)))
        R.output(y)
    return y
""")
    x, w = np.zeros((2, 3), np.float32), np.zeros((1, 2, 2), np.float32)
    assert interpret(module, x[:1], w).shape == (1, 1, 1, 2)
    with pytest.raises(RuntimeCheckError, match="n = 2 and 1 = 1, but the program needs n == 1"):
        interpret(module, x, w)
