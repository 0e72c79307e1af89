"""A program that goes through the e-graph and back still means the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqsat._decode import DecodeError, decode
from eqsat._encode import EncodeError
from eqsat._saturate import saturate
from eqsat._snapshot import Cover, Snapshot
from eqsat.ir import (
    BindingBlock,
    BlockBuilder,
    Call,
    Constant,
    ExternFunc,
    Function,
    IRModule,
    PrimFunc,
    SeqExpr,
    ShapeType,
    TensorType,
    Tuple,
    TupleType,
    Var,
    VarBinding,
    interpret,
    op,
)
from eqsat.rules import Float, RuleSet, Sides, Tensor, types_agree
from eqsat.shapes import NO_FACTS, sym
from tests.eqsat.programs import plain_cover

laws = RuleSet("laws")


@laws.rule(source="ring", when=[types_agree])
def one_is_neutral(x: Tensor) -> Sides:
    return x * 1.0, x


@laws.rule(source="ring")
def twice(x: Float) -> Sides:
    return x + x, x * 2.0


@laws.rule(source="ring", both_ways=True)
def subtraction_is_negated_addition(x: Float, y: Float) -> Sides:
    return x - y, x + -y


@laws.rule(source="ring", both_ways=True, when=[types_agree])
def multiplication_distributes(x: Float, y: Float, z: Float) -> Sides:
    return x * (y + z), x * y + x * z


def kernels(module: IRModule) -> list[Function]:
    """The kernel functions of a decoded module."""
    made = [f for f in module.functions.values() if isinstance(f, Function) and f.is_private]
    assert not any(isinstance(f, PrimFunc) for f in module.functions.values())
    return made


def check(function: Function, args: list[np.ndarray], choose: dict[int, int] | None = None) -> None:
    """The decoded program gives what `function` gives."""
    snapshot, _ = saturate(function, [laws])
    module = decode(snapshot, plain_cover(snapshot, choose), function)
    wanted, got = interpret(function, *args), interpret(module, *args)
    pairs = zip(wanted, got, strict=True) if isinstance(wanted, tuple) else [(wanted, got)]
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        assert np.asarray(a).dtype == np.asarray(b).dtype
    main = module.relax_function()
    assert [p.name for p in main.params] == [p.name for p in function.params]
    assert main.ret_type == function.ret_type


BINARY = ("add", "multiply", "subtract", "maximum")
UNARY = ("abs", "negative", "tanh")


@st.composite
def functions(draw: st.DrawFn) -> Function:
    bb = BlockBuilder()
    shape = (sym("n"), 3)
    values = [bb.input("x", shape, "float32"), bb.input("y", (3,), "float32")]
    for _ in range(draw(st.integers(0, 8))):
        pick = st.sampled_from(values)
        match draw(st.integers(0, 3)):
            case 0:
                values.append(bb.call(op(draw(st.sampled_from(UNARY))), draw(pick)))
            case 1:
                number = np.float32(draw(st.sampled_from([0.0, 1.0, 2.0, -1.5])))
                constant = np.full(draw(st.sampled_from([(), (3,), (1, 3)])), number, np.float32)
                name = draw(st.sampled_from(BINARY))
                values.append(bb.call(op(name), draw(pick), constant))
            case _:
                name = draw(st.sampled_from(BINARY))
                values.append(bb.call(op(name), draw(pick), draw(pick)))
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return bb.function(outputs if draw(st.booleans()) else outputs[0])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(functions(), st.dictionaries(st.integers(0, 12), st.integers(0, 3)))
def test_any_choice_of_e_nodes_means_the_same(function: Function, choose: dict[int, int]) -> None:
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(s).astype("float32") for s in ((2, 3), (3,))]
    check(function, args, choose)


def test_outputs_may_be_inputs_and_constants() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (2,), "float32")
    c = bb.emit(Constant(np.arange(2, dtype="float32")))
    folded = bb.call(op("add"), c, np.asarray(1, "float32"))
    check(bb.function([x, c, folded, x]), [np.ones(2, "float32")])


def test_constants_are_folded_and_numbers_stay_in_the_kernel() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (2,), "float32")
    table = bb.call(op("add"), np.arange(2, dtype="float32"), np.asarray(1, "float32"))
    number = bb.call(op("negative"), np.asarray(3, "float32"))
    y = bb.call(op("multiply"), bb.call(op("add"), x, table), number)
    function = bb.function(y)
    snapshot, _ = saturate(function, [])
    module = decode(snapshot, plain_cover(snapshot), function)
    assert [f.name for f in kernels(module)] == ["add", "multiply"]
    assert [len(f.params) for f in kernels(module)] == [2, 1]
    np.testing.assert_array_equal(interpret(module, np.ones(2, "float32")), [-6, -9])


def test_nested_tuples_keep_their_structure() -> None:
    bb = BlockBuilder()
    ty = TensorType((2,), "float32")
    p = bb.param("p", TupleType((ty, TupleType((ty, ty)))))
    inner = bb.get_item(p, 1)
    a, b = bb.get_item(p, 0), bb.get_item(inner, 1)
    pair = bb.emit(Tuple((bb.call(op("add"), a, b), b)))
    function = bb.function([pair, a])
    snapshot, _ = saturate(function, [])
    module = decode(snapshot, plain_cover(snapshot), function)
    one, two, three = (np.full(2, i, "float32") for i in (1, 2, 3))
    got = interpret(module, (one, (two, three)))
    np.testing.assert_array_equal(got[0][0], [4, 4])
    np.testing.assert_array_equal(got[0][1], three)
    np.testing.assert_array_equal(got[1], one)


def test_results_that_are_tuples() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, sym("n")), "float32")
    parts = bb.call(op("split"), x, indices_or_sections=2, axis=0)
    y = bb.call(op("subtract"), bb.get_item(parts, 1), bb.get_item(parts, 0))
    joined = bb.call(op("concat"), [y, x], axis=0)
    check(
        bb.function([joined, bb.get_item(parts, 0)]), [np.arange(12, dtype="float32").reshape(4, 3)]
    )


def test_a_symbol_that_no_parameter_shows_is_passed_as_a_shape() -> None:
    bb = BlockBuilder()
    n = sym("n")
    x = bb.input("x", (n,), "float32")
    y = bb.input("y", (1,), "float32")
    z = bb.call(op("broadcast_to"), y, (n, 2 * n))
    function = bb.function([z, x])
    snapshot, _ = saturate(function, [])
    module = decode(snapshot, plain_cover(snapshot), function)
    (kernel,) = kernels(module)
    assert kernel.params[-1].type == ShapeType((n,))
    got = interpret(module, np.zeros(3, "float32"), np.ones(1, "float32"))
    assert got[0].shape == (3, 6)


def test_equal_kernels_share_a_function() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (2,), "float32")
    y = bb.call(op("tanh"), bb.call(op("tanh"), x))
    other = bb.call(op("tanh"), bb.input("z", (3,), "float32"))
    function = bb.function([y, other])
    snapshot, _ = saturate(function, [])
    module = decode(snapshot, plain_cover(snapshot), function)
    assert [f.name for f in kernels(module)] == ["tanh", "tanh_1"]
    assert all(f.attrs == {"primitive": True, "template": "opaque"} for f in kernels(module))


def test_opaque_calls_and_match_casts_stay() -> None:
    bb = BlockBuilder()
    n, m = sym("n"), sym("m")
    x = bb.input("x", (n,), "float32")
    cast = bb.match_cast(x, TensorType((2 * m,), "float32"))
    ty = TensorType((2 * m,), "float32")
    called = bb.emit(Call(ExternFunc("f"), (bb.call(op("add"), cast, cast),), {}, ty))
    function = bb.function(bb.call(op("tanh"), called))
    snapshot, _ = saturate(function, [laws])
    module = decode(snapshot, plain_cover(snapshot), function)
    bindings = module.relax_function().body.blocks[0].bindings
    assert [type(b).__name__ for b in bindings] == [
        "MatchCast",
        "VarBinding",
        "VarBinding",
        "VarBinding",
    ]
    assert isinstance(bindings[2].value, Call)
    assert isinstance(bindings[2].value.op, ExternFunc)
    assert bindings[2].value.args == (bindings[1].var,)


def test_a_cover_that_computes_too_little_is_rejected() -> None:
    bb = BlockBuilder()
    function = bb.function(bb.call(op("tanh"), bb.input("x", (2,), "float32")))
    snapshot, _ = saturate(function, [])
    with pytest.raises(DecodeError, match="no kernel before computes it"):
        decode(snapshot, Cover((), 0.0, 0.0), function)


def test_a_variable_from_elsewhere_is_rejected() -> None:
    bb = BlockBuilder()
    stray = Var("stray", TensorType((2,), "float32"))
    function = bb.function(bb.call(op("tanh"), stray))
    with pytest.raises(EncodeError, match="stray is used before it is bound"):
        saturate(function, [])


def test_effects_and_in_place_calls_are_rejected() -> None:
    ty = TensorType((2,), "float32")
    x = Var("x", ty)
    y = Var("y", ty)
    call = Call(ExternFunc("f"), (x,), {}, ty)
    body = SeqExpr((BindingBlock((VarBinding(y, call),)),), y)
    with pytest.raises(EncodeError, match="a call with effects") as caught:
        saturate(Function("main", (x,), body, ty), [])
    assert caught.value.__notes__ == ["at y"]


def test_deep_chains() -> None:
    bb = BlockBuilder()
    y = x = bb.input("x", (2,), "float32")
    for i in range(20_000):
        y = bb.call(op("add"), y, x) if i % 2 else bb.call(op("tanh"), y)
    function = bb.function(y)
    snapshot, _ = saturate(function, [])
    assert isinstance(snapshot, Snapshot)
    assert len(snapshot.classes) == 20_001
    assert snapshot.facts == NO_FACTS
    table = bb.call(op("tanh"), np.arange(2, dtype="float32"))
    for _ in range(2_000):
        table = bb.call(op("negative"), table)
    function = bb.function(bb.call(op("add"), table, x))
    snapshot, _ = saturate(function, [])
    decode(snapshot, plain_cover(snapshot), function)
