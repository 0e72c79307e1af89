"""TVMScript: what is printed is read back, errors show the place, nothing else ever escapes."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_dtypes import bfloat16

from eqsat.ir import (
    BindingBlock,
    BlockBuilder,
    Call,
    Constant,
    Function,
    GlobalVar,
    IRModule,
    PrimFunc,
    SeqExpr,
    TensorType,
    Tuple,
    TypeCheckError,
    UnknownShape,
    Var,
    VarBinding,
    op,
)
from eqsat.ir._structural import structural_equal, structural_hash
from eqsat.ir._wellformed import check_well_formed
from eqsat.ir.script import (
    ParseError,
    from_tvmscript,
    parse_module,
    print_function,
    print_module,
    print_primfunc,
)
from eqsat.shapes import EqsatError, sym

Golden = Callable[[str, str], None]

EVERYTHING = """
from tvm.script import ir as I
@I.ir_module
class Module:
    I.module_attrs({"a": 1, "b": "s", "c": [1, 2], "d": 1.5, "e": True})
    I.module_global_infos({"vdevice": [I.vdevice("llvm"), I.vdevice("cuda", 0)]})

    @T.prim_func(private=True, s_tir=True)
    def mm(A: T.Buffer((T.int64(4), T.int64(8)), "float32"), p: T.handle,
           C: T.Buffer((T.int64(4), T.int64(16)), "float32")):
        T.func_attr({"tir.noalias": True, "op_pattern": 4})
        n = T.int64()
        B = T.match_buffer(p, (n, T.int64(16)), "float32")
        # with T.sblock("root"):
        tmp = T.sblock_alloc_buffer((T.int64(4), T.int64(16)), "float32", scope="local")
        for i, j, k in T.grid(T.int64(4), T.int64(16), T.int64(8)):
            with T.sblock("matmul"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                T.where(i * T.int64(4) + j < T.int64(30))
                T.reads(A[vi, vk], B[vk, vj])
                T.writes(tmp[vi, vj])
                T.sblock_attr({"x": 1, "layout": "abc"})
                with T.init():
                    tmp[vi, vj] = T.float32(0)
                tmp[vi, vj] = tmp[vi, vj] + A[vi, vk] * B[vk, vj]
        for i in T.parallel(T.int64(4)):
            for j in T.vectorized(T.int64(15)):
                with T.block("copy"):
                    vi = T.axis.spatial(T.int64(4), i)
                    vj = T.axis.S((T.int64(1), T.int64(16)), j + 1)
                    T.reads(tmp[vi, vj:vj + 2])
                    T.writes(C[vi, 0:16])
                    x: T.let[T.float32] = T.exp(tmp[vi, vj])
                    C[vi, vj] = T.if_then_else(vi < 3 and vj >= 2 or not vi % 2 == 1, x,
                        T.Cast("float32", vi)) + T.float32("inf") + T.Select(vi == 1, 1.0, -2.5)
                    C[vi, vj] += T.max(T.float32(1.5), T.min(x, T.pow(x, 2.0))) - (x - 1) / 2.0
        for i in T.thread_binding(T.int64(4), thread="threadIdx.x"):
            for j in T.unroll(T.int64(2), T.int64(4), annotations={"z": 1}):
                with T.sblock("u"):
                    vi = T.axis.reduce(T.int64(4), i)
                    if vi < 3:
                        T.evaluate(T.call_extern("int32", "tick", vi))
                    else:
                        C[vi, 0] = T.float32(1)

    @R.function(private=True)
    def fused(x: R.Tensor((4, "n"), "float32")) -> R.Tensor((4, "n"), "float32"):
        n = T.int64()
        R.func_attr({"Primitive": True, "k": [1, 2], "z": "q"})
        with R.dataflow():
            lv = R.nn.relu(x)
            lv1 = R.add(lv, R.const("inf", "float32"))
            lv2 = R.reshape(lv1, (4, n))
            gv = R.multiply(lv2, R.const([1.0], "float32"))
            R.output(gv)
        return gv

    @R.function(pure=False)
    def main(x: R.Tensor((4, "n"), "float32"), c: R.Tensor((), "bool"), s: R.Shape(["a", 4]),
             t: R.Tuple(R.Tensor((2,), "int32"), R.Object), u: R.Tensor(ndim=2), v: R.Tensor,
             pr: R.Prim("int64"), w: R.Tensor("int32"),
             fn: R.Callable((R.Tensor((2,), "int32"),), R.Tensor((2,), "int32"), True)):
        n = T.int64()
        m = T.int64()
        cls = Module
        with R.dataflow():
            lv = cls.fused(x)
            lv1 = R.match_cast(u, R.Tensor((m, 4), "float32"))
            lv2 = R.call_tir(cls.mm, (lv1, lv1), out_sinfo=R.Tensor((4, 16), "float32"))
            lv3 = R.call_dps_packed("foo", (lv2,),
                out_ty=[R.Tensor((4, 16), "float32"), R.Tensor((n * 2 + 1, 16), "float32")])
            lv4 = lv3[0]
            lv5 = (lv4, lv4)
            lv6 = R.split(x, 2, axis=0)
            lv7 = R.permute_dims(x + -x * R.const(2.0), axes=[1, 0])
            lv8 = R.full([2, n], R.const(1.0, "float32"), dtype="float32")
            lv9 = R.arange(0, n, 1, "int64")
            lv10 = R.call_pure_packed("bar", x, sinfo_args=(R.Tensor((4, 16), "float32"),))
            lv11 = R.concat((x, x), axis=1).astype("float16")
            lv12 = fn(t[0])
            gv: R.Tensor((4, n), "float32") = R.nn.softmax(lv, axis=-1)
            R.output(gv, lv4)
        if c:
            y = R.add(gv, gv)
            z = R.multiply(y, y)
        else:
            z = R.subtract(gv, gv)
        q = R.call_packed("pk", z, R.prim_value(n), R.str("s"), R.dtype("int8"), ty_args=(R.Any,))
        q1 = (R.const([[1, 2], [3, 4]], "int8"), R.const(True), R.const(-0.1, "float16"), R.tuple())

        @R.function
        def inner(a: R.Tensor((2,), "int32")) -> R.Tensor((2,), "int32"):
            return R.add(a, a)

        q2 = inner(t[0])
        return (z, (q2,), ())
"""


def test_everything_survives(golden: Golden) -> None:
    module = parse_module(EVERYTHING)
    text = print_module(module)
    again = parse_module(text)
    assert structural_equal(module, again)
    assert print_module(again) == text
    check_well_formed(module)
    golden("everything", text)


def test_metadata_may_be_omitted(golden: Golden) -> None:
    text = print_module(parse_module(EVERYTHING), show_meta=False)
    assert "Metadata omitted" in text
    with pytest.raises(ParseError, match="constant 0 is missing: the metadata holds 0"):
        parse_module(text)


def test_functions_alone() -> None:
    module = parse_module(EVERYTHING)
    fused, mm = module.relax_function("fused"), module["mm"]
    assert isinstance(mm, PrimFunc)
    again = parse_module(print_function(fused)).relax_function("fused")
    assert structural_equal(fused, again)
    alone = from_tvmscript(print_primfunc(mm))["mm"]
    assert isinstance(alone, PrimFunc)
    assert structural_equal(mm, alone)


@pytest.mark.parametrize(
    "value",
    [
        np.array(float("nan"), "float32"),
        np.array(-0.0, "float64"),
        np.array(0.1, "float32"),
        np.array(65504, "float16"),
        np.array(1.1, bfloat16),
        np.array(2**63, "uint64"),
        np.array(-(2**63), "int64"),
        np.array([1.5, float("-inf")], bfloat16),
        np.array([[True], [False]]),
        np.zeros((0, 3), "int8"),
        np.arange(6, dtype="float64").reshape(2, 3).T,
        np.frombuffer(b"\x01\x00\xc0\x7f", "<f4").reshape(()),
    ],
    ids=lambda v: f"{v.dtype}-{v.shape}",
)
def test_constants_survive_bit_by_bit(value: np.ndarray) -> None:
    function = Function("main", (), SeqExpr((), Constant(value)), Constant(value).type)
    again = parse_module(print_module(IRModule({"main": function}))).relax_function()
    assert isinstance(again.body.result, Constant)
    read = again.body.result.value
    assert (read.dtype, read.shape, read.tobytes()) == (value.dtype, value.shape, value.tobytes())


def test_symbolic_buffers_use_match_buffer(golden: Golden) -> None:
    text = """
@T.prim_func(s_tir=True)
def f(p: T.handle, q: T.handle, k: T.int64):
    n = T.int64()
    A = T.match_buffer(p, (n, n * T.int64(2)), "float32")
    B = T.match_buffer(q, (n, n * T.int64(2), k), "float32", scope="shared")
    for i, j in T.grid(n, n * T.int64(2)):
        for l in range(k):
            with T.sblock("copy"):
                vi, vj, vl = T.axis.remap("SSS", [i, j, l])
                B[vi, vj, vl] = A[vi, vj] + T.Cast("float32", vl // 2 << 1 & 3 | 4)
"""
    module = parse_module(text)
    printed = print_module(module)
    assert structural_equal(module, parse_module(printed))
    check_well_formed(module)
    golden("symbolic_buffers", printed)


def test_names_are_made_legal_and_unique() -> None:
    x = Var("class", TensorType((sym("T"), 2), "float32"))
    y = Var("1/a.b", TensorType((2,), "float32"))
    z = Var("1/a.b", TensorType((2,), "float32"))
    body = SeqExpr((), Tuple((x, y, z)))
    module = IRModule({"main": Function("main", (x, y, z), body, Tuple((x, y, z)).type)})
    text = print_module(module)
    assert 'class_: R.Tensor(("T_1", 2), dtype="float32")' in text
    assert "return (class_, v_1_a_b, v_1_a_b_1)" in text
    assert structural_equal(module, parse_module(text))


MAIN = """
@R.function
def main(x: R.Tensor((4, "n"), "float32"), y: R.Tensor((3,), "float32")) -> R.Tensor:
    n = T.int64()
    with R.dataflow():
        {}
        R.output(lv)
    return lv
"""

ERRORS = {
    "unknown_operator": "lv = R.nn.rele(x)",
    "unknown_name": "lv = R.nn.relu(xx)",
    "unknown_attribute": "lv = R.nn.softmax(x, axes=1)",
    "attribute_kind": 'lv = R.nn.softmax(x, axis="a")',
    "too_many_arguments": "lv = R.nn.relu(x, x)",
    "missing_operand": "lv = R.add(x)",
    "shape_mismatch": "lv = R.add(y, R.const([1.0, 2.0]))",
    "annotation_mismatch": 'lv: R.Tensor((5, n), "float32") = R.nn.relu(x)',
    "unknown_symbol": 'lv = R.match_cast(x, R.Tensor((4, k), "float32"))',
    "wrong_type": "lv: R.Tensr = R.nn.relu(x)",
    "loop": "for i in range(3):\n            pass",
    "tuple_index": "lv = (x, y)[2]",
    "no_syntax": "lv = R.add(x,",
    "not_utf8_column": 'lv = R.add(x, R.str("äöü"), zz)',
    "constant": 'lv = R.const(300, "int8")',
    "foreign_code": "lv = __import__('os').system('true')",
    "quoted_dim": 'lv = R.match_cast(x, R.Tensor((4, "n +"), "float32"))',
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_show_the_place(name: str, golden: Golden) -> None:
    with pytest.raises(EqsatError) as caught:
        parse_module(MAIN.format(ERRORS[name]), "model.py")
    error = caught.value
    notes = "\n".join(getattr(error, "__notes__", ()))
    text = f"{type(error).__name__}: {error}\n{notes}\n"
    assert re.search(r"model\.py:\d+:\d+: ", text)
    assert "^" in text
    golden(f"error_{name}", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no module and no function"),
        ("x = 1", "no statement of kind Assign"),
        ("def f(x): return x", "neither @R.function nor @T.prim_func"),
        ("@R.function\ndef f(x):\n    return x", "parameter x needs a type"),
        ("@R.function\ndef f(x: R.Tensor):\n    y = x", "has no return"),
        ("@R.function\ndef f() -> R.Tuple:\n    return f()", "write cls.f"),
        ("@R.function\ndef f():\n    return Module.f()", "needs a result type"),
        ("(" * 500, "not Python syntax"),
        ("@R.function\ndef f(x: R.Tensor):\n    return " + "-" * 3000 + "x", "nest"),
        ("\0", "not Python syntax"),
        ("@T.prim_func\ndef f(A: T.Buffer((4,), 'float32')):\n    A[0, 1] = 2.0", "indexed by 2"),
        (
            "@T.prim_func\ndef f(A: T.Buffer((4,), 'float32')):\n    A[0] = B[0]",
            "B is not a buffer",
        ),
        ("@T.prim_func\ndef f(p: T.handle):\n    T.evaluate(0)", "has no T.match_buffer"),
    ],
)
def test_malformed_modules(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse_module(text)


def test_a_private_value_stays_in_its_block() -> None:
    text = MAIN.format("lv1 = R.nn.relu(x)\n        lv = R.nn.relu(lv1)").replace(
        "return lv", "return lv1"
    )
    with pytest.raises(ParseError, match="only visible in its dataflow block"):
        parse_module(text)


def test_nothing_is_executed(tmp_path: object) -> None:
    for code in ("__import__('os')", "open('x', 'w')", "[].append(1)", "(lambda: 1)()", "f'{1}'"):
        with pytest.raises(ParseError):
            parse_module(MAIN.format(f"lv = {code}"))


def test_mutated_texts_only_raise_our_errors() -> None:
    rng = random.Random(7)
    tokens = re.findall(r"\s+|\w+|[^\w\s]", print_module(parse_module(EVERYTHING)))
    small = re.findall(
        r"\s+|\w+|[^\w\s]", MAIN.format("lv = R.sum(x + x, axis=[0], keepdims=True)")
    )
    started = time.perf_counter()
    for k in range(2000):
        source = tokens if k % 8 == 0 else small
        mutated = list(source)
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(mutated))
            match rng.randrange(4):
                case 0:
                    del mutated[at]
                case 1:
                    mutated[at] = rng.choice(source)
                case 2:
                    mutated.insert(at, rng.choice(source))
                case _:
                    extra = [
                        "None",
                        "-1",
                        '""',
                        "[",
                        "1e999",
                        "'n'",
                        "9" * 30,
                        "lambda",
                        "*",
                        "R",
                        "T.int64()",
                    ]
                    mutated[at] = rng.choice(extra)
        text = "".join(mutated)
        try:
            parse_module(text)
        except EqsatError:
            pass
        except BaseException as error:
            raise AssertionError(text) from error
    assert time.perf_counter() - started < 60


# --- generated programs ---------------------------------------------------------------------

_UNARY = ("nn.relu", "exp", "negative", "tanh", "nn.silu")
_BINARY = ("add", "multiply", "subtract", "maximum")


@st.composite
def programs(draw: st.DrawFn) -> IRModule:
    """Return a module of one or two functions over tensors with symbolic dims."""
    n, m = sym(draw(st.sampled_from(["n", "batch", "T"]))), sym("m")
    bb = BlockBuilder()
    dims = draw(st.sampled_from([(n, 4), (n, m), (3, 4), (n, n)]))
    values: list[Var] = [bb.input(draw(st.sampled_from(["x", "lv", "class"])), dims, "float32")]
    for _ in range(draw(st.integers(1, 12))):
        a, b = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        match draw(st.integers(0, 6)):
            case 0 | 1:
                values.append(bb.call(op(draw(st.sampled_from(_UNARY))), a))
            case 2 | 3 if a.type == b.type:
                values.append(bb.call(op(draw(st.sampled_from(_BINARY))), a, b))
            case 4:
                value = draw(st.floats(width=32))
                values.append(bb.call(op("add"), a, np.array(value, "float32")))
            case 5:
                weights = np.arange(4, dtype="float32")
                values.append(bb.call(op("add"), bb.emit(Constant(weights)), weights[:1]))
            case _:
                both = bb.call(op("concat"), [a, a], axis=0)
                values.append(bb.call(op("permute_dims"), both))
    results = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return bb.module(results if len(results) > 1 else results[0])


@settings(max_examples=100, deadline=None)
@given(programs())
def test_generated_programs_survive(module: IRModule) -> None:
    text = print_module(module)
    again = parse_module(text)
    assert structural_equal(module, again)
    assert structural_hash(module) == structural_hash(again)
    assert print_module(again) == text


def _kernels(count: int) -> IRModule:
    n = sym("n")
    ty = TensorType((n, 64), "float32")
    functions: dict[str, Function | PrimFunc] = {}
    x = Var("x", ty)
    bindings: list[VarBinding] = []
    value = x
    for k in range(count):
        bb = BlockBuilder()
        a = bb.input("a", (n, 64), "float32")
        b = bb.call(op("add"), a, np.array(float(k), "float32"))
        f = bb.function(bb.call(op("nn.relu"), bb.call(op("exp"), b)), f"kernel{k}")
        f.is_private, f.attrs = True, {"primitive": True, "template": "pointwise"}
        functions[f.name] = f
        out = Var(f"lv{k}", ty, is_dataflow=k + 1 < count)
        bindings.append(VarBinding(out, Call(GlobalVar(f.name), (value,), {}, ty)))
        value = out
    body = SeqExpr((BindingBlock(tuple(bindings), is_dataflow=True),), value)
    functions["main"] = Function("main", (x,), body, ty)
    return IRModule(functions)


def test_a_module_of_kernels_survives_and_hashes_fast() -> None:
    module = _kernels(100)
    again = parse_module(print_module(module))
    assert structural_equal(module, again)
    check_well_formed(module)
    best = min(_timed(lambda: structural_hash(module)) for _ in range(5))
    assert best < 0.05


def _timed(f: Callable[[], object]) -> float:
    started = time.perf_counter()
    f()
    return time.perf_counter() - started


def test_hash_with_and_without_constants() -> None:
    one, two = (_relu_of(np.array([c, 2.0], "float32")) for c in (1.0, 3.0))
    assert structural_hash(one, True) != structural_hash(two, True)
    assert structural_hash(one, False) == structural_hash(two, False)
    assert not structural_equal(one, two)
    assert re.fullmatch(r"[0-9a-f]{64}", structural_hash(one))


def _relu_of(value: np.ndarray) -> IRModule:
    bb = BlockBuilder()
    return bb.module(bb.call(op("nn.relu"), value))


def test_equality_is_up_to_names() -> None:
    first = MAIN.format("lv = R.nn.relu(x)")
    renamed = first.replace("lv", "out").replace('"n"', '"k"').replace("n = T", "k = T")
    assert structural_equal(parse_module(first), parse_module(renamed))
    assert not structural_equal(parse_module(first), parse_module(first.replace("relu", "silu")))
    assert not structural_equal(parse_module(first), parse_module(first.replace("(3,)", "(2,)")))


def test_annotations_may_be_more_general_or_say_more() -> None:
    module = parse_module(MAIN.format('lv: R.Tensor("float32") = R.nn.relu(x)'))
    assert module.relax_function().body.result.type == TensorType(UnknownShape(), "float32")
    with pytest.raises(TypeCheckError, match=r"<script>:6:13: declared"):
        parse_module(MAIN.format('lv: R.Tensor((4, n, 2), "float32") = R.nn.relu(x)'))
