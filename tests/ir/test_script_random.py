"""Random modules with every kind of expression and type survive printing in every dialect."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eqsat.ir import (
    CALL_OPS,
    AttrMap,
    AttrValue,
    BindingBlock,
    Call,
    CallableType,
    Constant,
    DataTypeImm,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    IRModule,
    MatchCast,
    NullValue,
    ObjectType,
    PrimType,
    PrimValue,
    SeqExpr,
    ShapeExpr,
    ShapeType,
    StringImm,
    TensorType,
    Tuple,
    TupleGetItem,
    TupleType,
    Type,
    UnknownShape,
    Var,
    VarBinding,
)
from eqsat.ir._structural import structural_equal
from eqsat.ir.script import DIALECTS, parse_module, print_module
from eqsat.shapes import DTYPES, Dim, numpy_dtype, sym

N, M = sym("n"), sym("m")
dims: st.SearchStrategy[Dim] = st.one_of(
    st.integers(0, 2**40), st.sampled_from([N, M, N + 1, N * 2 + M, N // 2, N % 3])
)
shapes = st.lists(dims, max_size=3).map(tuple)
maybe_shapes = st.one_of(shapes, st.integers(-1, 4).map(UnknownShape))
dtypes = st.sampled_from([*DTYPES, "void"])
devices = st.sampled_from(["", "", "", "llvm:0:global", "cuda:1:shared"])
leaf_types: st.SearchStrategy[Type] = st.one_of(
    st.builds(TensorType, maybe_shapes, dtypes, devices),
    st.builds(ShapeType, maybe_shapes),
    st.builds(PrimType, st.sampled_from(["int64", "bool", "float32", "uint8"])),
    st.just(ObjectType()),
)


def _compound(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    several = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(
        st.builds(TupleType, several),
        st.builds(CallableType, several, inner, st.booleans()),
        st.builds(CallableType, st.just(()), inner, st.booleans(), st.just(True)),
    )


types = st.recursive(leaf_types, _compound, max_leaves=5)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
attr_values: st.SearchStrategy[AttrValue] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), texts
    ),
    lambda v: st.one_of(
        st.lists(v, max_size=3).map(tuple),
        st.dictionaries(texts, v, max_size=2).map(lambda d: AttrMap(tuple(sorted(d.items())))),
    ),
    max_leaves=4,
)
attributes = st.dictionaries(st.sampled_from(["a", "b c", "relax.x", "z"]), attr_values, max_size=2)


@st.composite
def constants(draw: st.DrawFn) -> Expr:
    dtype = numpy_dtype(draw(st.sampled_from(DTYPES)))
    values = np.array(draw(st.sampled_from([0, 1, [0, 1], [[1], [0]], []])))
    return Constant(values.astype(dtype))


atoms: st.SearchStrategy[Expr] = st.one_of(
    constants(),
    st.builds(ShapeExpr, shapes),
    st.builds(PrimValue, dims),
    st.builds(PrimValue, st.floats(allow_nan=False, width=32), st.just("float32")),
    st.builds(PrimValue, st.integers(0, 1), st.just("bool")),
    st.builds(StringImm, texts),
    st.builds(DataTypeImm, st.sampled_from(DTYPES)),
    st.builds(NullValue),
    st.builds(ExternFunc, texts),
)


@st.composite
def values(draw: st.DrawFn, known: list[Var]) -> Expr:
    """Return the value of a binding that may use the variables `known`."""
    operand = st.one_of(st.sampled_from(known), atoms)
    operands = tuple(draw(st.lists(operand, max_size=3)))
    ty = draw(leaf_types)
    tuples = [v for v in known if isinstance(v.type, TupleType) and v.type.fields]
    match draw(st.integers(0, 6)):
        case 0:
            return draw(atoms)
        case 1:
            return Tuple(operands)
        case 2 if tuples:
            return TupleGetItem(draw(st.sampled_from(tuples)), 0)
        case 3:
            return Call(ExternFunc(draw(texts)), operands, {}, ty, (ty,))
        case 4:
            op = CALL_OPS[draw(st.sampled_from(["call_dps_packed", "call_py_func"]))]
            return Call(op, (ExternFunc(draw(texts)), *operands), {}, ty)
        case 5:
            return Call(CALL_OPS["print"], operands, {"format": draw(texts)}, TupleType(()))
        case _:
            op = CALL_OPS[draw(st.sampled_from(["call_pure_packed", "call_builtin_with_ctx"]))]
            return Call(op, (ExternFunc(draw(texts)), *operands), {}, ty, (ty,))


@st.composite
def modules(draw: st.DrawFn) -> IRModule:
    symbols = Var("s", ShapeType((N, M)))
    params = [symbols, *(Var("p", t) for t in draw(st.lists(types, max_size=4)))]
    known, bindings = list(params), list[VarBinding | MatchCast]()
    for _ in range(draw(st.integers(0, 5))):
        value = draw(values(known))
        if draw(st.integers(0, 5)) == 0:
            ty = draw(leaf_types)
            var = Var("c", ty)
            bindings.append(MatchCast(var, _cast_source(params), ty))
        else:
            var = Var("v", value.type)
            bindings.append(VarBinding(var, value))
        known.append(var)
    blocks = (BindingBlock(tuple(bindings)),) if bindings else ()
    result = draw(st.sampled_from(known))
    body = SeqExpr(blocks, result)
    main = Function("main", tuple(params), body, ObjectType(), False, attrs=draw(attributes))
    helper = Function("helper", (symbols_copy(),), SeqExpr((), Tuple(())), TupleType(()))
    uses = Call(GlobalVar("helper", helper.type), (symbols,), {}, TupleType(()))
    caller = SeqExpr((BindingBlock((VarBinding(Var("g", TupleType(())), uses),)),), Tuple(()))
    other = Function("other", (symbols,), caller, TupleType(()))
    return IRModule({"main": main, "helper": helper, "other": other}, draw(attributes))


def symbols_copy() -> Var:
    return Var("s", ShapeType((N, M)))


def _cast_source(params: list[Var]) -> Expr:
    """Return what may be cast to anything: an object, where there is one."""
    objects = [p for p in params if isinstance(p.type, ObjectType)]
    return objects[0] if objects else NullValue()


@settings(max_examples=150, deadline=None)
@given(modules())
def test_random_modules_survive_in_every_dialect(module: IRModule) -> None:
    for dialect in DIALECTS:
        text = print_module(module, dialect=dialect)
        assert structural_equal(module, parse_module(text)), text
