"""Proofs are right on every small assignment, and find what programs need."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqsat.shapes import (
    NO_FACTS,
    Divides,
    Equal,
    Facts,
    Less,
    LessEqual,
    NonNegative,
    Positive,
    Predicate,
    Proof,
    ShapeError,
    dim_max,
    dim_min,
    equal_shapes,
    evaluate,
    prove,
    sym,
)
from tests.shapes.strategies import FIXED, SYMBOLS, Tree, assignments, trees

n, m, k = sym("n"), sym("m"), sym("k")


@st.composite
def _facts(draw: st.DrawFn) -> tuple[Facts, list[Tree]]:
    """Return random facts, with the trees that are 0 wherever the facts hold."""
    facts, zero = Facts(positive=draw(st.booleans())), list[Tree]()
    for name in draw(st.lists(st.sampled_from(SYMBOLS), unique=True, max_size=2)):
        lo = draw(st.integers(0, 2))
        facts = facts.with_range(name, lo, draw(st.none() | st.integers(lo, lo + 4)))
    small = trees.filter(lambda tree: not isinstance(tree.dim(), int))
    for a in draw(st.lists(small, max_size=2)):
        kind = draw(st.sampled_from(("equal", "divisible")))
        b = draw(st.sampled_from(SYMBOLS).map(lambda name: Tree("sym", name=name)))
        if kind == "divisible":
            b = Tree("int", value=draw(st.integers(2, 4)))
        try:
            if kind == "equal":
                facts = facts.with_equal(a.dim(), b.dim())
                zero.append(Tree("-", args=(a, b)))
            else:
                facts = facts.with_divisible(a.dim(), b.value)
                zero.append(Tree("%", args=(a, b)))
        except ShapeError:
            continue
    return facts, zero


def _holds(predicate: str, a: int, b: int) -> bool | None:
    match predicate:
        case "equal":
            return a == b
        case "less_equal":
            return a <= b
        case "less":
            return a < b
        case "divides":
            return b % a == 0 if a >= 1 else None
        case "positive":
            return a > 0
        case _:
            return a >= 0


def _predicate(name: str, a: Tree, b: Tree) -> Predicate:
    x, y = a.dim(), b.dim()
    match name:
        case "equal":
            return Equal(x, y)
        case "less_equal":
            return LessEqual(x, y)
        case "less":
            return Less(x, y)
        case "divides":
            return Divides(x, y)
        case "positive":
            return Positive(x)
        case _:
            return NonNegative(x)


@FIXED
@given(
    st.sampled_from(("equal", "less_equal", "less", "divides", "positive", "nonnegative")),
    trees,
    trees,
    _facts(),
)
def test_yes_holds_everywhere_and_no_nowhere(
    name: str, a: Tree, b: Tree, known: tuple[Facts, list[Tree]]
) -> None:
    facts, zero = known
    if name == "divides" and a.dim() == 0:
        return
    proof = prove(_predicate(name, a, b), facts)
    if proof is Proof.UNKNOWN:
        return
    for env in assignments(most=6):
        if any(not lo <= env[s] <= hi for s in SYMBOLS for lo, hi in [facts.range_of(s)]):
            continue
        if any(tree.number(env) != 0 for tree in zero):
            continue
        x, y = a.number(env), b.number(env)
        holds = None if x is None or y is None else _holds(name, x, y)
        if holds is not None:
            assert holds is (proof is Proof.YES), (env, proof)


@FIXED
@given(trees, st.sampled_from(SYMBOLS), trees)
def test_canonical_keeps_the_value_where_the_equality_holds(a: Tree, name: str, b: Tree) -> None:
    equality = Tree("-", args=(Tree("sym", name=name), b))
    try:
        facts = NO_FACTS.with_equal(sym(name), b.dim())
    except ShapeError:
        assert all(equality.number(env) != 0 for env in assignments(least=1))
        return
    canonical = facts.canonical(a.dim())
    for env in assignments(least=1):
        expected = a.number(env)
        if equality.number(env) == 0 and expected is not None:
            assert evaluate(canonical, env) == expected


PROVABLE: list[tuple[Predicate, Facts]] = [
    (Positive(n), NO_FACTS),
    (Positive(n * m + 1), NO_FACTS),
    (NonNegative(n * m - n), NO_FACTS),
    (LessEqual(n, n * m), NO_FACTS),
    (LessEqual(n // 2, n), NO_FACTS),
    (LessEqual(n // m, n), NO_FACTS),
    (Less(n % 4, 4), NO_FACTS),
    (LessEqual(n % 4, n), NO_FACTS),
    (LessEqual((n + 3) // 4 * 4, n + 3), NO_FACTS),
    (LessEqual(n, (n + 3) // 4 * 4), NO_FACTS),
    (LessEqual(n // 4 * 4, n), NO_FACTS),
    (LessEqual(dim_min(n, m), m), NO_FACTS),
    (LessEqual(n, dim_max(n, m)), NO_FACTS),
    (Equal(n - n % m, n // m * m), NO_FACTS),
    (Divides(4, 8 * n + 4), NO_FACTS),
    (Divides(n, n * m), NO_FACTS),
    (Divides(8, n), NO_FACTS.with_divisible(n, 16)),
    (Divides(4, n * 2), NO_FACTS.with_divisible(n, 2)),
    (Equal(n // 8 * 8, n), NO_FACTS.with_divisible(n, 8)),
    (Positive(n // 8), NO_FACTS.with_divisible(n, 8)),
    (Equal((n + 1) // 4 * 4, n + 1), NO_FACTS.with_divisible(n + 1, 4)),
    (Equal(n * k, m * k), NO_FACTS.with_equal(n, m)),
    (Equal(n, 4), NO_FACTS.with_equal(n + 1, 5)),
    (Equal(4 * n, 6 * m), NO_FACTS.with_equal(2 * n, 3 * m)),
    (LessEqual(n, 2048), NO_FACTS.with_range("n", 1, 2048)),
    (Equal(n, 7), NO_FACTS.with_range("n", 7, 7)),
    (Less(m, n), NO_FACTS.with_equal(n, m + 1)),
    (LessEqual(3, n), NO_FACTS.with_equal(m, n - 2)),
    (LessEqual(m, n), NO_FACTS.with_nonnegative(n - m)),
]


@pytest.mark.parametrize(("predicate", "facts"), PROVABLE, ids=lambda each: str(each)[:40])
def test_provable(predicate: Predicate, facts: Facts) -> None:
    assert prove(predicate, facts) is Proof.YES


@pytest.mark.parametrize(
    ("predicate", "facts"),
    [
        (Equal(n, n + 1), NO_FACTS),
        (Equal(2 * n, 2 * m + 1), NO_FACTS),
        (Equal(n * m + n, 0), NO_FACTS),
        (Equal(n, 9), NO_FACTS.with_range("n", 1, 8)),
        (Less(n, 1), NO_FACTS),
        (Divides(4, 8 * n + 2), NO_FACTS),
        (Equal(n, m), NO_FACTS.with_equal(n, m + 3)),
    ],
    ids=str,
)
def test_refutable(predicate: Predicate, facts: Facts) -> None:
    assert prove(predicate, facts) is Proof.NO


@pytest.mark.parametrize(
    "predicate", [Equal(n, m), Less(n, m), Divides(4, n), Divides(n, m), Equal(n, 1)], ids=str
)
def test_unknown(predicate: Predicate) -> None:
    assert prove(predicate) is Proof.UNKNOWN


def test_equal_shapes() -> None:
    assert equal_shapes((n, 4), (n, 4)) is Proof.YES
    assert equal_shapes((n, 4), (n, 4, 1)) is Proof.NO
    assert equal_shapes((n, 4), (m, 5)) is Proof.NO
    assert equal_shapes((n, 4), (m, 4)) is Proof.UNKNOWN
    assert equal_shapes((n, 4), (m, 4), NO_FACTS.with_equal(n, m)) is Proof.YES


def test_contradictions_say_which() -> None:
    with pytest.raises(ShapeError, match="ranges stated for n leave nothing: 9 <= n <= 8"):
        NO_FACTS.with_range("n", 1, 8).with_range("n", 9)
    with pytest.raises(ShapeError, match=r"n == 5 contradicts the other facts \(off by -1\)"):
        NO_FACTS.with_equal(n, 4).with_equal(n, 5)
    with pytest.raises(ShapeError, match=r"n == m \+ 1 contradicts(.|\n)*stated: n == m"):
        NO_FACTS.with_equal(n, m).with_equal(n, m + 1)
    with pytest.raises(ShapeError, match="they need"):
        NO_FACTS.with_range("n", 1, 8).with_equal(n, 9)
    with pytest.raises(ShapeError, match=r"8 \* n|n \* 8 \+ 2 was stated divisible by 4"):
        NO_FACTS.with_divisible(8 * n + 2, 4)
    with pytest.raises(ShapeError, match="never negative"):
        NO_FACTS.with_range("n", -1)


def test_canonical_replaces_solved_symbols() -> None:
    facts = NO_FACTS.with_equal(m, n + 1).with_equal(k, 3)
    assert facts.canonical(m * k) is 3 * n + 3


def test_hard_questions_end_quickly() -> None:
    d = (n * m + k) // (m + 1) - dim_min(n // 3, m % 5) * k + dim_max(n - m, k // n) % (k + 2)
    e = (n * k) // (n + 2) * (m // (k + 1)) - dim_max(n * n - m, k) // 7
    prove(NonNegative(n // m))  # loads sympy
    started_s = time.perf_counter()
    assert prove(NonNegative(d - e)) is Proof.UNKNOWN
    assert prove(Equal(d, e)) is Proof.UNKNOWN
    # A hundred times the budget of one proof: only a search out of bounds fails.
    assert time.perf_counter() - started_s < 1
