"""Dims keep their value under normalisation, and are the same object when equal."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given

from eqsat.shapes import (
    Dim,
    ShapeError,
    SymDim,
    ceildiv,
    dim_max,
    dim_min,
    evaluate,
    linear_solve,
    parse_dim,
    product,
    substitute,
    sym,
    symbol_name,
    symbols,
    view,
)
from tests.shapes.strategies import FIXED, Tree, assignments, sizes, trees

n, m, k = sym("n"), sym("m"), sym("k")


@FIXED
@given(trees)
def test_normalised_dim_has_the_value_of_the_tree(tree: Tree) -> None:
    d = tree.dim()
    for env in assignments():
        expected = tree.number(env)
        if expected is not None:
            assert evaluate(d, env) == expected


@FIXED
@given(trees)
def test_text_reads_back_to_the_same_object(tree: Tree) -> None:
    d = tree.dim()
    assert parse_dim(str(d)) is d or d == parse_dim(str(d))


@FIXED
@given(trees)
def test_copies_are_the_same_object(tree: Tree) -> None:
    d = tree.dim()
    assert pickle.loads(pickle.dumps(d)) == d
    assert copy.deepcopy(d) == d


@FIXED
@given(trees, sizes)
def test_substitution_commutes_with_evaluation(tree: Tree, value: Tree) -> None:
    d, v = tree.dim(), value.dim()
    replaced = substitute(d, {"n": v})
    for env in assignments(least=1, most=4):
        inner = value.number(env)
        assert inner is not None
        expected = tree.number({**env, "n": inner})
        if expected is not None:
            assert evaluate(replaced, env) == expected


@FIXED
@given(trees, trees, trees)
def test_ring_laws_hold_by_identity(x: Tree, y: Tree, z: Tree) -> None:
    a, b, c = x.dim(), y.dim(), z.dim()
    assert a + b == b + a
    assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert (a + b) * c == a * c + b * c
    assert a - a == 0
    assert dim_min(a, b) == dim_min(b, a)
    assert dim_max(a, b) == dim_max(b, a)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("n*2+1", "n * 2 + 1"),
        ("16 - n", "16 - n"),
        ("(3*n)//2", "n + n // 2"),
        ("n*m//n", "m"),
        ("(n*m+k)//n", "k // n + m"),
        ("(n*m+k)%n", "k % n"),
        ("(n+1)*m//(n+1)", "m"),
        ("n%4 + 4*(n//4)", "n"),
        ("(n//m)*m + n%m", "n"),
        ("n//2//3", "n // 6"),
        ("(n%8)%4", "n % 4"),
        ("(n%4)//4", "0"),
        ("n//(n+1)", "0"),
        ("(2*n+4*m+1)//4", "m + n // 2"),
        ("(n*2)%(m*2)", "(n % m) * 2"),
        ("min(n+1,4)-1", "min(n, 3)"),
        ("min(n, n+1)", "n"),
        ("max(n, 0)", "n"),
        ("min(2*n, 2*m)", "min(m, n) * 2"),
        ("min(n, min(m, k))", "min(min(k, m), n)"),
        ("(n-3)//2+1", "(n + 1) // 2 - 1"),
        ("floor(s0/2)", "s0 // 2"),
        ("floor(s0/2 + 1/2)", "(s0 + 1) // 2"),
        ("CeilToInt(IntTrueDiv(s0, 2))", "(s0 + 1) // 2"),
        ("Max(1, s0)", "max(s0, 1)"),
        ("FloorDiv(n, 3)", "n // 3"),
        ("Mod(n, 3)", "n % 3"),
        ("s10 + 1", "s10 + 1"),
        ("s0**2", "s0 * s0"),
        ("T.floormod(T.floordiv(n + T.int64(3), 4), 2)", "((n + 3) // 4) % 2"),
        ("T.min(n, T.max(m, 2))", "min(max(m, 2), n)"),
        ("-n", "-n"),
        ("T + 1", "T + 1"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert str(parse_dim(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n +", r"'n \+' at column"),
        ("n & 2", "column 1: operator BitAnd"),
        ("m * (n / 2 + 1)", r"may be no integer; write floor"),
        ("1 + foo(n)", r"column 5: foo with 1 operands(.|\n)*\n      \^"),
        ("n // (m - m)", "column 7: division by zero"),
        ("True", "column 1: only names"),
        ("n.shape", "column 1: only names"),
        ("", "not an expression"),
        ("lambda", "not an expression"),
        ("n" + "+n)" * 3, "not an expression"),
        ("(" * 5000, "column"),
    ],
)
def test_malformed_text_is_named_with_its_column(text: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        parse_dim(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [("batch-size", "batch_size"), ("N.1", "N_1"), ("1N", "d_1N"), ("", "d_"), ("if", "if_")],
)
def test_symbol_name_makes_identifiers(text: str, name: str) -> None:
    assert symbol_name(text) == name
    assert isinstance(sym(symbol_name(text)), SymDim)


@pytest.mark.parametrize("name", ["", "1n", "a b", "min", "max", "for", "n-1"])
def test_symbols_must_be_identifiers(name: str) -> None:
    with pytest.raises(ShapeError, match="not a usable identifier"):
        sym(name)


def test_dims_are_no_numbers() -> None:
    assert n != 3
    assert n != sym("other")
    assert sym("n") is n
    assert type(n - n + 3) is int
    assert np.int64(2) * n is n * 2
    assert type((n + np.int64(2)) - n) is int
    assert hash(parse_dim("n")) == hash(n)
    with pytest.raises(TypeError):
        n.__mul__(1.5)  # pyright: ignore[reportArgumentType]  # the point of the test


def test_division_by_zero_is_an_error() -> None:
    with pytest.raises(ShapeError, match="cannot divide the size n by zero"):
        _ = n // 0
    with pytest.raises(ShapeError, match="modulo zero"):
        _ = n % 0
    with pytest.raises(ShapeError, match="a divisor is 0 at m = 0, n = 4"):
        evaluate(n // m, {"n": 4, "m": 0})


def test_evaluate_names_the_missing_symbol() -> None:
    with pytest.raises(ShapeError, match=r"'m' has no value \(given: n\)"):
        evaluate(n + m, {"n": 1})


def test_symbols_of_dims_and_shapes() -> None:
    assert symbols((n + 1, 3, m // k)) == {"n", "m", "k"}
    assert symbols(7) == frozenset()
    assert product([n, 2, m]) is 2 * m * n
    assert ceildiv(n, 4) is (n + 3) // 4


def test_substitution_is_simultaneous() -> None:
    assert substitute(n - m, {"n": m, "m": n}) is m - n


def test_view_is_a_tree_of_operations() -> None:
    node = view((n * 2 + 1) // m)
    assert node.kind == "floordiv"
    assert [arg.kind for arg in node.args] == ["add", "sym"]
    assert [arg.kind for arg in node.args[0].args] == ["mul", "int"]
    assert node.args[0].args[0].args[0].name == "n"
    assert view(5).value == 5


@pytest.mark.parametrize(
    ("expr", "value", "solution"),
    [
        (2 * n + 2, m * 4, m * 2 - 1),
        (n + 1, 7, 6),
        (n * m, m * k, k),
        (2 * n, 7, None),
        (2 * n, m, None),
        (n * n, 4, None),
        (n // 2, 4, None),
        (m, 4, None),
    ],
)
def test_linear_solve(expr: Dim, value: Dim, solution: Dim | None) -> None:
    assert linear_solve(expr, "n", value) == solution


def test_sympy_sees_the_same_expression() -> None:
    d = (n + 1) // 2 * m + dim_min(n, 4) - n % 3
    assert isinstance(d, SymDim)
    expr = d.expr
    values = {str(s): s for s in expr.free_symbols}
    assert expr.subs({values["n"]: 7, values["m"]: 5}) == 4 * 5 + 4 - 1


def test_import_and_common_arithmetic_do_not_load_sympy() -> None:
    code = (
        "import sys, eqsat.shapes as s; n = s.sym('n'); (n * 2 + 3) // 4 % 5;"
        "sys.exit('sympy' in sys.modules or 'ml_dtypes' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
