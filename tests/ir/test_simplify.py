"""Index simplification against evaluation, and the patterns that lowering relies on."""

from __future__ import annotations

import itertools
import random

import pytest

from eqsat.ir._simplify import simplify
from eqsat.ir.tir import (
    Binary,
    Buffer,
    BufferLoad,
    IntImm,
    Not,
    PrimExpr,
    Select,
    Var,
    binary,
    equal,
    shape_var,
    walk,
)

H, W, N = shape_var("H"), shape_var("W"), shape_var("N")
i, j = Var("i"), Var("j")


def value(e: PrimExpr, env: dict[Var, int]) -> int:
    match e:
        case IntImm(number):
            return number
        case Var():
            return env[e]
        case Not(a):
            return int(not value(a, env))
        case Select(c, a, b):
            return value(a if value(c, env) else b, env)
        case Binary(op, a, b):
            folded = binary(op, IntImm(value(a, env)), IntImm(value(b, env)))
            assert isinstance(folded, IntImm)
            return folded.value
        case _:
            raise AssertionError(e)


def random_expr(
    rng: random.Random, leaves: list[PrimExpr], divisors: list[PrimExpr], depth: int
) -> PrimExpr:
    if depth == 0 or rng.random() < 0.1:
        return rng.choice(leaves)

    def operand() -> PrimExpr:
        return random_expr(rng, leaves, divisors, depth - 1)

    op = rng.choice(["+", "+", "-", "*", "//", "%", "//", "%", "min", "max", "select"])
    if op in ("//", "%"):
        return Binary(op, operand(), rng.choice(divisors))  # type: ignore[arg-type]
    if op == "select":
        return Select(
            Binary(rng.choice(["<", "<=", ">", ">=", "=="]), operand(), operand()),
            operand(),
            operand(),
        )  # type: ignore[arg-type]
    return Binary(op, operand(), operand())  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(60))
def test_equal_everywhere_with_constant_ranges(seed: int) -> None:
    rng = random.Random(seed)
    ranges = {i: (rng.choice([-3, 0, 2]), rng.randint(1, 9)), j: (0, rng.randint(1, 9))}
    leaves: list[PrimExpr] = [i, j, *(IntImm(c) for c in (1, 2, 3, 4, -1, 8))]
    divisors: list[PrimExpr] = [IntImm(c) for c in (2, 3, 4, 8)]
    for _ in range(8):
        e = random_expr(rng, leaves, divisors, 4)
        simple = simplify(e, ranges)
        spans = [range(low, low + count) for low, count in ranges.values()]
        for a, b in itertools.product(*spans):
            env = {i: a, j: b}
            assert value(simple, env) == value(e, env), (e, simple, env)


@pytest.mark.parametrize("seed", range(60))
def test_equal_everywhere_with_symbolic_ranges(seed: int) -> None:
    rng = random.Random(seed)
    extents: list[PrimExpr] = [H, W, H * W, W + 1, N * H * W]
    first, second = rng.choice(extents), rng.choice(extents)
    ranges = {i: (0, first), j: (0, second)}
    leaves: list[PrimExpr] = [i, j, i * W + j, H, W, IntImm(1), IntImm(2), IntImm(-1)]
    divisors: list[PrimExpr] = [H, W, H * W, IntImm(2), W + 1]
    for _ in range(6):
        e = random_expr(rng, leaves, divisors, 3)
        simple = simplify(e, ranges)
        for h, w, n in itertools.product((1, 2, 3), (1, 2, 4), (1, 2)):
            sizes = {H: h, W: w, N: n}
            for a in range(value(first, sizes)):
                for b in range(value(second, sizes)):
                    env = {**sizes, i: a, j: b}
                    assert value(simple, env) == value(e, env), (e, simple, env)


def test_a_fused_index_comes_apart() -> None:
    ranges = {i: (0, H), j: (0, W)}
    fused = i * W + j
    assert simplify(fused // W, ranges) is i
    assert simplify(fused % W, ranges) is j


def test_a_split_index_comes_together() -> None:
    ranges = {i: (0, N * H * W)}
    batch, row, column = i // (H * W), (i // W) % H, i % W
    assert simplify((batch * H + row) * W + column, ranges) is i
    assert simplify((i // 4) * 4 + i % 4, ranges) is i
    rest = i % (H * W)
    assert simplify((rest // W) * W + rest % W, ranges) == simplify(rest, ranges)


def test_divisions_in_range_vanish() -> None:
    ranges = {i: (0, 4), j: (0, 8)}
    assert simplify((i * 8 + j) // 8, ranges) is i
    assert simplify(((i * 16 + j * 2 + 1) // 2) % 8, ranges) is j
    assert simplify(j // 8, ranges) == IntImm(0)


def test_conditions_are_decided() -> None:
    ranges = {i: (0, H * W), j: (0, 16)}
    for e in (i // W < H, j < 16, (j - 16) < 0, i >= 0):
        assert simplify(e, ranges) == IntImm(1, "bool")
    for e in (j > 15, equal(i // W, H), equal(j, 20)):
        assert simplify(e, ranges) == IntImm(0, "bool")
    assert not isinstance(simplify(j < 15, ranges), IntImm)


def test_negative_divisors_are_made_positive() -> None:
    for e in ((N % -4) * 2, (i - N) // -3, (i * 5 - N) % -3):
        simple = simplify(e, {})
        divisors = [n.b for n in walk(simple) if isinstance(n, Binary) and n.op in ("//", "%")]
        assert all(isinstance(d, IntImm) and d.value > 0 for d in divisors)
        for number in range(-9, 9):
            env = {N: number, i: 3 - number}
            assert value(simple, env) == value(e, env)


def test_a_clamped_value_is_in_range() -> None:
    load = BufferLoad(Buffer("b", (N,), "int64"), (i,))
    low, high = binary("max", load, IntImm(0)), binary("min", load, IntImm(5))
    for e in (binary("min", low, IntImm(5)), binary("max", high, IntImm(0))):
        assert simplify(e >= 0, {}) == IntImm(1, "bool")
        assert simplify(e < 6, {}) == IntImm(1, "bool")
        assert not isinstance(simplify(e < 5, {}), IntImm)
    assert not isinstance(simplify(binary("max", high, N) < 6, {}), IntImm)


def test_loaded_values_are_never_divided_by_rules() -> None:
    load = BufferLoad(Buffer("b", (N,), "int64"), (i,))
    e = simplify((load * 2) // 2, {i: (0, N)})
    assert any(isinstance(x, Binary) and x.op == "//" for x in walk(e))
