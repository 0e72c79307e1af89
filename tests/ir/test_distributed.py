"""Distributed programs are read, printed and typed; running one is refused with its place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import eqsat
from eqsat.ir import (
    BaseCheck,
    Binding,
    Constant,
    DeviceMesh,
    DTensorType,
    Function,
    IRModule,
    ObjectType,
    ParseError,
    Placement,
    PrimFunc,
    SeqExpr,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    UnknownShape,
    Var,
    check_well_formed,
    erase_to_well_defined,
    fits,
    interpret,
    make_call,
    op,
    parse_module,
    print_function,
    print_module,
    structural_equal,
    substitute_type,
    type_base_check,
    type_lca,
)
from eqsat.shapes import EqsatError, Proof, sym
from tests.ir.distributed_programs import HEAD, OPEN, REFUSED, TYPES, dtensor, program

ZEROS = [[0.0] * 4] * 8
GRID = DeviceMesh((2, 2), range(4))
ROWS = Placement.from_text("S[0], R")


def _bindings(text: str) -> tuple[Binding, ...]:
    return tuple(
        b for block in parse_module(text).relax_function().body.blocks for b in block.bindings
    )


def bound_type(call: str, annotation: str = "") -> Type:
    """Return the type of `x = call`, or of `x: annotation = call`."""
    symbols = ("n = T.int64()", "m = T.int64()") if "sized" in call else ()
    text = program(
        *symbols, f"x: {annotation} = {call}" if annotation else f"x = {call}", "return x"
    )
    module = parse_module(text)
    check_well_formed(module)
    (block,) = module.relax_function().body.blocks
    return block.bindings[-1].var.type


# --- types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", TYPES)
def test_the_type_of_a_call(call: str) -> None:
    assert bound_type(call) == bound_type(call, TYPES[call])


@pytest.mark.parametrize("call", REFUSED)
def test_a_call_without_a_type_is_refused_in_its_place(call: str) -> None:
    with pytest.raises(EqsatError) as caught:
        parse_module(program(f"x = {call}", "return x"))
    assert REFUSED[call] in str(caught.value)
    shown = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert f"        x = {call}\n" in shown
    assert "^" in shown


@pytest.mark.parametrize("call", OPEN)
def test_a_placement_that_is_not_certain_is_declared(call: str) -> None:
    with pytest.raises(
        TypeCheckError, match=r"is not certain: axis 0 .* declare it, y: R\.DTensor"
    ):
        bound_type(call)
    text = program(f"x: {OPEN[call]} = {call}", "return x")
    module = parse_module(text)
    check_well_formed(module)
    assert structural_equal(parse_module(print_module(module)), module)
    (b,) = _bindings(text)
    assert b.var.type == b.value.type
    for wrong in (dtensor("S[0]", mesh=1), "R.Any", "R.Tensor"):
        with pytest.raises(TypeCheckError, match="is not certain"):
            bound_type(call, wrong)


def test_a_placement_is_declared_for_an_operator_between_operands_and_in_branches() -> None:
    ty = OPEN["R.add(rows, across)"]
    lines = ("if R.const(True):", f"    y: {ty} = rows + across", "else:",
             f"    y: {ty} = R.add(across, rows)", "return y")  # fmt: skip
    module = parse_module(program(*lines))
    check_well_formed(module)
    assert structural_equal(parse_module(print_module(module)), module)


@pytest.mark.parametrize(
    ("ty", "reason"),
    [
        (dtensor("S[2], R"), "cuts axis 2 of float32[8, 4], which is not known to have it"),
        (dtensor("R"), "has 1 entries, one per axis of a mesh, but mesh(2, 2) has 2 axes"),
        ('R.DTensor((8, 4), "float32", "mesh[0]")', 'the placement "" has 0 entries'),
        ('R.DTensor("float32", device_mesh="mesh[1]", placement="S[0]")', "cuts axis 0 of"),
        (dtensor("S[-1], R"), "is no placement"),
        (dtensor("R, R", mesh=7), "the module has no mesh 'mesh[7]'"),
        ('R.DTensor((8, -4), "float32", "mesh[0]", "R, R")', "a size is not negative"),
        ('R.DTensor((8, 4), "float32", 0, "R, R")', "a device mesh must be a string, got 0"),
        ('R.DTensor((8, 4), "float32", "mesh[0]", 1)', "a placement must be a string, got 1"),
    ],
)
def test_a_type_that_is_none_is_refused_in_its_place(ty: str, reason: str) -> None:
    with pytest.raises(EqsatError) as caught:
        parse_module(f"{HEAD}\n    @R.function\n    def main(x: {ty}):\n        return x\n")
    assert reason in str(caught.value)
    assert "<script>:15:" in str(caught.value)


@pytest.mark.parametrize(
    ("mesh", "reason"),
    [
        ("R.device_mesh((2, 2), I.Range(0, 5))", "mesh(2, 2) has 5 device ids, one a place"),
        ("R.device_mesh((2,), [1])", "mesh(2) has 1 device ids"),
        ("R.device_mesh((-1,), I.Range(0, 0))", "mesh(-1): a size is not negative"),
        ("R.device_mesh((2,))", "needs the argument device_ids"),
        ("R.device_mesh(2, [0, 1])", "the shape of a mesh must be a list of integers, got 2"),
        ('R.device_mesh((2,), ["a", "b"])', "device ids must be an integer, got 'a'"),
        ("I.device_mesh((2,), [0, 1])", "a global info must be a literal"),
    ],
)
def test_a_mesh_that_is_none_is_refused_in_its_place(mesh: str, reason: str) -> None:
    infos = f'I.module_global_infos({{"mesh": [{mesh}]}})'
    with pytest.raises(EqsatError) as caught:
        parse_module(f"@I.ir_module\nclass Module:\n    {infos}\n")
    assert reason in str(caught.value)
    assert "<script>:3:" in str(caught.value)


def d(shape: tuple[int | str, ...], placement: str = "S[0], R", mesh: DeviceMesh = GRID) -> Type:
    dims = tuple(sym(s) if isinstance(s, str) else s for s in shape)
    return DTensorType(TensorType(dims, "float32"), mesh, Placement.from_text(placement))


def d8(shape: tuple[int, ...], placement: str) -> Type:
    mesh = DeviceMesh((2,), (5, 3))
    return DTensorType(TensorType(shape, "int8"), mesh, Placement.from_text(placement))


RANKED = DTensorType(TensorType(UnknownShape(2), "float32"), GRID, ROWS)
LISTED = DeviceMesh((2, 2), (0, 1, 2, 3))


def test_the_lattice_of_types() -> None:
    a, n = d((8, 4)), d(("n", 4))
    assert type_base_check(a, a) is BaseCheck.PASS
    assert type_base_check(RANKED, a) is BaseCheck.PASS
    assert type_base_check(a, RANKED) is BaseCheck.DEPENDS_ON_SYMBOLS
    assert type_base_check(a, n) is BaseCheck.DEPENDS_ON_SYMBOLS
    for elsewhere in (d((8, 4), "R, R"), d((8, 4), mesh=LISTED)):
        assert type_base_check(a, elsewhere) is BaseCheck.UNKNOWN_STATICALLY
        assert type_base_check(RANKED, elsewhere) is BaseCheck.UNKNOWN_STATICALLY
        assert fits(a, elsewhere) is Proof.UNKNOWN
        assert type_lca(a, elsewhere) == ObjectType()
    for other in (d((8, 5)), d((8, 4, 1)), TensorType((8, 4), "float32")):
        assert type_base_check(a, other) is BaseCheck.DISJOINT
        assert type_base_check(other, a) is BaseCheck.DISJOINT
    assert fits(a, d((8, 5))) is Proof.NO
    assert fits(TensorType((8, 4), "float32"), a) is Proof.NO
    assert fits(ObjectType(), a) is Proof.YES
    assert type_lca(a, n) == type_lca(n, a) == RANKED
    assert type_lca(a, d((8, 4, 1))) == ObjectType()
    assert type_lca(d((8, 4), "R, R"), d((8,), "R, R")) == DTensorType(
        TensorType(UnknownShape(), "float32"), GRID, Placement.from_text("R, R")
    )


def test_symbols_in_a_distributed_type() -> None:
    n = d(("n", 4))
    assert erase_to_well_defined(n, {}) == RANKED
    assert erase_to_well_defined(TupleType((n,)), {"n": 8}) == TupleType((d((8, 4)),))
    assert substitute_type(n, {"n": 8}) == d((8, 4))


def test_a_placement_has_one_text() -> None:
    assert str(Placement.from_text("  S[10] ,R,,S[0]R ")) == "S[10], R, S[0], R"
    assert str(Placement.from_text("")) == ""
    for text in ("S", "S[]", "S[ 0 ]", "R; R", "S[-1]", "r"):
        with pytest.raises(TypeCheckError, match="is no placement"):
            Placement.from_text(text)


def test_calls_made_by_hand_have_the_same_types() -> None:
    x = Var("x", d((8, 4)))
    assert make_call(op("add"), x, x).type == x.type
    moved = make_call(op("dist.redistribute"), x, device_mesh=GRID, placement=Placement((1, None)))
    assert moved.type == d((8, 4), "S[1], R")
    with pytest.raises(TypeCheckError, match="device_mesh must be a DeviceMesh"):
        make_call(op("dist.redistribute"), x, device_mesh="mesh[0]", placement="R, R")


# --- text -------------------------------------------------------------------------------------

PROGRAM = f"""{HEAD}
    @R.function(private=True)
    def part(x: {dtensor("S[0], R", '("n", "m")')}) -> {dtensor("S[0], R", '("n", "m")')}:
        y = R.nn.relu(x)
        return y

    @R.function
    def main(x: {dtensor("S[0], R")}, z: R.Tensor((8, 4), "float32"), u: R.DTensor(ndim=2, device_mesh="mesh[1]", placement="S[1]"), v: R.DTensor((8, 4), device_mesh="mesh[0]", placement="R, R"), t: R.Tuple({dtensor("R", mesh=1)}, R.Prim("int64")), w: R.DTensor(dtype="float32", device_mesh="mesh[0]", placement="R, R"), f: R.Callable(({dtensor("S[0], R")},), {dtensor("R, R")}), l: {dtensor("S[0], R", "(8,)")}) -> R.Tuple({dtensor("S[1], R")}, R.DTensor((8, 4), device_mesh="mesh[0]", placement="R, R")):
        cls = Module
        with R.dataflow():
            a = R.dist.call_tir(cls.copy, (x,), out_ty={dtensor("S[0], R")})
            b = R.dist.call_tir_local_view(cls.copy, (x,), out_ty=[{dtensor("S[1]", mesh=1)}])
            e = R.dist.annotate_sharding(z, device_mesh="mesh[1]", placement="S[0]")
            p = R.add(a, R.dist.const([1.0, 2.0, 3.0, float("-inf")], {dtensor("R, S[0]", "(4,)")}))
            q = R.multiply(p, R.dist.const(2.5, {dtensor("R, R", "()")}))
            r = R.dist.const(True, {dtensor("R", "()", 1, "bool")})
            g = R.dist.redistribute(a, device_mesh="mesh[0]", placement="S[1], R")
            h = R.dist.redistribute_replica_to_shard(t[0], num_workers=2, axis=1)
            i = cls.part(x)
            R.output(g)
        k = R.match_cast(x, {dtensor("R, R")})
        o: {dtensor("S[0], S[1]")} = R.add(x, x)
        return (g, v)
"""  # noqa: E501


def test_what_is_printed_is_read_back() -> None:
    module = parse_module(PROGRAM)
    check_well_formed(module)
    text = print_module(module)
    assert structural_equal(parse_module(text), module)
    assert print_module(parse_module(text)) == text
    assert f"def main(x: {dtensor('S[0], R')}, z" in text
    assert f"R.dist.call_tir(cls.copy, (x,), out_ty={dtensor('S[0], R')})" in text
    assert "R.device_mesh((2, 2), I.Range(0, 4)), R.device_mesh((2,), [5, 3])" in text


def test_several_results() -> None:
    results = f"{dtensor('R, R')}, {dtensor('S[0], R')}"
    for name in ("call_tir", "call_tir_local_view"):
        module = parse_module(program(f"x = R.dist.{name}(cls.copy, (), [{results}])", "return x"))
        text = print_module(module)
        assert f"R.dist.{name}(cls.copy, R.tuple(), out_ty=[{results}])" in text
        assert structural_equal(parse_module(text), module)


@pytest.mark.parametrize("dialect", ["0.16", "0.22", "0.24", "0.25", "0.26"])
def test_older_spellings_are_read(dialect: str) -> None:
    module = parse_module(PROGRAM)
    text = print_module(module, dialect=dialect)
    assert ("out_sinfo=R.DTensor" in text) == (dialect < "0.26")
    assert structural_equal(parse_module(text), module)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("R.dist.DTensor((8, 4), 'float32', 'mesh[0]', 'S[0], R')", dtensor("S[0], R")),
        ("R.DTensor(shape=[8, 4], dtype='float32', device_mesh='mesh[0]', placement='S[0]R')",
         dtensor("S[0], R")),
        ("R.DTensor((8, 4), 'float32', R.device_mesh((2, 2), I.Range(4)), 'R, R')",
         dtensor("R, R")),
        ("R.DTensor((8, 4), 'float32', R.dist.device_mesh([2], device_ids=(5, 3)), 'R')",
         dtensor("R", mesh=1)),
        ("R.DTensor", "R.DTensor(device_mesh=R.device_mesh((), I.Range(0, 1)), placement='')"),
        ("R.DTensor('float32', ndim=2)",
         "R.DTensor(None, 'float32', R.device_mesh((), I.Range(0, 1)), '', ndim=2)"),
    ],
)  # fmt: skip
def test_spellings_of_one_type(text: str, same: str) -> None:
    def read(ty: str) -> IRModule:
        head = f"{HEAD}\n    @R.function\n    def main(x: "
        return parse_module(f"{head}{ty}):\n        return x\n")

    assert structural_equal(read(text), read(same))
    assert structural_equal(parse_module(print_module(read(text))), read(text))


def test_a_function_alone_spells_its_meshes() -> None:
    function = parse_module(program("x = R.nn.relu(rows)", "return x")).relax_function()
    text = print_function(function)
    assert 'R.DTensor((8, 4), "float32", R.device_mesh((2, 2), I.Range(0, 4)), "S[0], R")' in text
    assert structural_equal(parse_module(text).relax_function(), function)


def test_mesh_and_placement_tell_programs_apart() -> None:
    def moved(mesh: int, placement: str) -> IRModule:
        target = f"device_mesh='mesh[{mesh}]', placement='{placement}'"
        return parse_module(program(f"x = R.dist.redistribute(rows, {target})", "return x"))

    assert structural_equal(moved(0, "S[1], R"), moved(0, "S[1],R"))
    assert not structural_equal(moved(0, "S[1], R"), moved(0, "S[0], R"))
    assert not structural_equal(moved(1, "R"), moved(0, "R, R"))
    text = PROGRAM.replace("I.Range(0, 4)", "[0, 1, 2, 3]")
    assert not structural_equal(parse_module(text), parse_module(PROGRAM))


def test_constants() -> None:
    def constants(text: str) -> list[Constant]:
        return [b.value for b in _bindings(text) if isinstance(b.value, Constant)]

    value = f"R.dist.const([[1, 2]], {dtensor('S[1]', '(1, 2)', 1, 'int8')})"
    text = program(f"x = {value}", f"y = {value.replace('S[1]', 'R')}", "return x")
    module = parse_module(text)
    check_well_formed(module)
    for source in (text, print_module(module)):
        x, y = constants(source)
        assert x.type == d8((1, 2), "S[1]")
        assert y.type == d8((1, 2), "R")
        np.testing.assert_array_equal(x.value, np.array([[1, 2]], np.int8))


def test_constants_that_are_none() -> None:
    for value, reason in (
        (f"R.dist.const([1.0, 2.0], {dtensor('R, R', '(3,)')})", r"has the shape \(2,\), its type"),
        (f"R.dist.const(1.0, {dtensor('R, R')})", r"has the shape \(\), its type"),
        ("R.dist.const(1.0, R.Tensor((), 'float32'))", "takes a value and an R.DTensor"),
        ("R.dist.const(1.0, R.DTensor(()))", "an R.DTensor with a dtype"),
        ("R.dist.const(1.0)", "takes a value and an R.DTensor"),
        (f"R.dist.const(300, {dtensor('R, R', '()', dtype='int8')})", "does not fit int8"),
    ):
        with pytest.raises(ParseError, match=reason):
            parse_module(program(f"x = {value}", "return x"))
    wrong = Constant(np.zeros(3, np.float32), distributed=DTensorType(TensorType((4,)), GRID, ROWS))
    module = IRModule({"main": Function("main", (), SeqExpr((), wrong), wrong.type)})
    with pytest.raises(TypeCheckError, match=r"a constant is float32\[3\], but its type says"):
        check_well_formed(module)


# --- well-formed modules ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (f"x = R.dist.call_tir(cls.copy, (rows, rows), out_ty={dtensor('R, R')})",
         "copy has 2 parameters; the call gives 2 arguments and 1 outputs"),
        (f"x = R.dist.call_tir_local_view(cls.copy, (rows, rows), out_ty={dtensor('R, R')})",
         "copy has 2 parameters; the call gives 2 arguments and 1 outputs"),
        (f"x = R.dist.call_tir(cls.copy, (vector,), out_ty={dtensor('R, R')})",
         "argument x of copy is float32 with 2 dims, got float32[4]"),
        (f"x = R.dist.call_tir(cls.copy, (bits,), out_ty={dtensor('R, R')})",
         "argument x of copy is float32 with 2 dims, got int32[8, 4]"),
    ],
)  # fmt: skip
def test_a_module_that_is_not_well_formed(lines: str, reason: str) -> None:
    module = parse_module(program(lines, "return x"))
    with pytest.raises(TypeCheckError, match="function main, binding x: ") as caught:
        check_well_formed(module)
    assert reason in str(caught.value)


def test_calls_that_take_no_distributed_tensors() -> None:
    copied = f"R.dist.call_tir(cls.copy, (plain,), out_ty={dtensor('R, R')})"
    for line, reason in (
        ("x = R.call_pure_packed('f', rows, ty_args=(R.Any,))", "takes no distributed tensors"),
        ("R.print(rows)", "print takes no distributed tensors"),
        (f"x = {copied}", "needs a distributed tensor among its arguments"),
    ):
        text = program(line, "return plain").replace("@R.function", "@R.function(pure=False)")
        module = parse_module(text)
        with pytest.raises(TypeCheckError, match=reason):
            check_well_formed(module)
    for line in (
        "x = R.call_packed('f', rows, ty_args=(R.Any,))",
        "x = R.call_tir(cls.copy, (rows,), out_ty=R.Tensor((8, 4), 'float32'))",
        f"x = R.call_pure_packed('f', plain, ty_args=({dtensor('R, R')},))",
        f"x = {copied.replace('call_tir', 'call_tir_local_view')}",
    ):
        text = program(line, "return x").replace("@R.function", "@R.function(pure=False)")
        check_well_formed(parse_module(text))


def test_an_argument_lies_where_its_parameter_does() -> None:
    with pytest.raises(TypeCheckError, match=r"argument 0 of cls\.part must be .* got"):
        parse_module(PROGRAM.replace("cls.part(x)", "cls.part(v)"))


# --- running ----------------------------------------------------------------------------------


def _optimized(module: IRModule) -> object:
    return eqsat.optimize(module)


def _compiled(module: IRModule) -> object:
    return eqsat.compile(module)


def _interpreted(module: IRModule) -> object:
    return interpret(module, np.zeros((8, 4), np.float32))


@pytest.mark.parametrize("run", [_optimized, _compiled, _interpreted])
@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("x = R.nn.relu(rows)", 'parameter rows: it is float32[8, 4] on mesh(2, 2) "S[0], R"'),
        ("x = R.dist.annotate_sharding(plain, 'mesh[0]', 'R, R')",
         "binding x: dist.annotate_sharding is for several devices"),
        ("x = R.dist.redistribute_replica_to_shard(plain, 2, 0)",
         "binding x: dist.redistribute_replica_to_shard is for several devices"),
        (f"x = R.dist.call_tir_local_view(cls.copy, (plain,), out_ty={dtensor('R, R')})",
         "binding x: dist.call_tir_local_view is for several devices"),
        (f"x = R.dist.const([1.0, 2.0], {dtensor('R, R', '(2,)')})",
         'binding x: it is float32[2] on mesh(2, 2) "R, R"'),
        (f"x = R.call_tir(cls.copy, (R.dist.const({ZEROS}, {dtensor('R, R')}),), "
         "out_ty=R.Tensor((8, 4), 'float32'))", "binding x: an operand is a distributed tensor"),
    ],
)  # fmt: skip
def test_running_is_refused_with_the_place_and_the_way_out(
    run: Callable[[IRModule], object], line: str, place: str
) -> None:
    module = parse_module(program(line, "return x"))
    with pytest.raises(TypeCheckError) as caught:
        run(module)
    assert str(caught.value) == (
        f"function main, {place}, but a program here runs on one device; run it in TVM, or write "
        "it for one: R.Tensor for R.DTensor, R.call_tir for R.dist.call_tir, without "
        "R.dist.annotate_sharding and R.dist.redistribute"
    )


def test_a_branch_and_an_inner_function_are_looked_into() -> None:
    call = "R.dist.annotate_sharding(plain, 'mesh[0]', 'R, R')"
    branches = ("if R.const(True):", f"    y = {call}", "else:", "    y = plain", "return y")
    inner = ("@R.function", "def f(a: R.Tensor) -> R.Tensor:", "    y = R.nn.relu(plain)",
             f"    z = {call}", "    return z", "w = f(plain)", "return w")  # fmt: skip
    for lines, name in ((branches, "y"), (inner, "z")):
        with pytest.raises(TypeCheckError, match=f"function main, binding {name}: dist.annotate"):
            interpret(parse_module(program(*lines)), np.zeros((8, 4), np.float32))


def test_a_primfunc_of_a_distributed_program_runs_alone() -> None:
    module = parse_module(program("return rows"))
    copy = module["copy"]
    assert isinstance(copy, PrimFunc)
    x, y = np.ones((8, 4), np.float32), np.zeros((8, 4), np.float32)
    interpret(IRModule({"copy": copy}), x, y, function="copy")
    np.testing.assert_array_equal(x, y)


def test_errors_of_types_are_parse_errors_where_the_text_is_wrong() -> None:
    with pytest.raises(ParseError, match=r"declare it: I\.module_global_infos"):
        parse_module(PROGRAM.replace('"mesh":', '"grid":'))
