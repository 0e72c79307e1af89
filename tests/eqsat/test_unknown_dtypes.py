"""Rules on tensors of unknown dtype: they fire where they hold whatever the dtype is."""

from __future__ import annotations

from dataclasses import replace

import pytest

import eqsat
from eqsat.ir import UNKNOWN_DTYPE, BlockBuilder, IRModule, TensorType, op
from eqsat.rules import (
    Bindings,
    Float,
    Known,
    Rule,
    RuleSet,
    Sides,
    Tensor,
    ops,
    predicate,
    resolve,
    types_agree,
)
from eqsat.shapes import EqsatError
from tests.random_programs import Program, Source, make
from tests.test_fuzz import is_whole, meaning, same

mine = RuleSet("mine")


@predicate
def is_wide(x: Known) -> bool:
    """The dtype is not float16."""
    return x.dtype != "float16"


@mine.rule(source="definition")
def negative_is_an_involution(x: Tensor) -> Sides:
    return ops.negative(ops.negative(x)), x


@mine.rule(source="definition")
def only_of_floats(x: Float) -> Sides:
    return ops.negative(ops.negative(x)), x


@mine.rule(source="definition", when=[is_wide("x")])
def only_of_wide(x: Tensor) -> Sides:
    return ops.negative(ops.negative(x)), x


@mine.rule(source="definition")
def of_what_takes_floats_alone(x: Float, y: Float) -> Sides:
    return ops.exp(x) * ops.exp(y), ops.exp(x + y)


@mine.rule(source="definition", when=[types_agree])
def right_side_takes_floats_alone(x: Tensor) -> Sides:
    return x * x, ops.exp(x)


@mine.rule(source="definition")
def makes_a_number(x: Tensor) -> Sides:
    return x + x, x * 2.0


def fires(rule: Rule, dtype: str) -> bool:
    ty = TensorType((3,), dtype)
    bindings = Bindings(dict.fromkeys(rule.specs, ty))
    return any(resolve(w, bindings, (ty,)) is not None for w in rule.rewrites)


@pytest.mark.parametrize(
    ("rule", "dtypes"),
    [
        (negative_is_an_involution, ("void", "float32", "int8")),
        (only_of_floats, ("float32",)),
        (only_of_wide, ("float32", "int8")),
        (of_what_takes_floats_alone, ("void", "float32")),
        (right_side_takes_floats_alone, ("float32",)),
        (makes_a_number, ("float32", "int8")),
    ],
    ids=lambda p: p.name if isinstance(p, Rule) else "",
)
def test_a_rule_fires_on_unknown_dtypes_where_it_does_on_all(
    rule: Rule, dtypes: tuple[str, ...]
) -> None:
    assert tuple(d for d in ("void", "float32", "int8") if fires(rule, d)) == dtypes


def twice_negated(dtype: str) -> IRModule:
    bb = BlockBuilder()
    x = bb.input("x", (4,), dtype)
    return bb.module(bb.call(op("negative"), bb.call(op("negative"), x)))


def test_why_not_names_a_dtype_that_is_in_the_way() -> None:
    only = RuleSet("only", rules=[only_of_wide])
    told = eqsat.why_not("only_of_wide", twice_negated(UNKNOWN_DTYPE), rules=[only])
    assert "of unknown dtypes, one could be float16 for x: the condition is_wide(x)" in str(told)


def _without_dtypes(program: Program) -> Program:
    """Return the program with no dtype at its parameters of float32."""
    nodes = [
        replace(n, type=TensorType(n.type.dims, UNKNOWN_DTYPE))
        if isinstance(n, Source) and n.value is None and n.type.dtype == "float32"
        else n
        for n in program.nodes
    ]
    return replace(program, nodes=tuple(nodes))


def _of_dtype(program: Program, dtype: str) -> Program:
    nodes = [
        replace(n, type=TensorType(n.type.dims, dtype))
        if isinstance(n, Source) and n.type.dtype == UNKNOWN_DTYPE
        else n
        for n in program.nodes
    ]
    return replace(program, nodes=tuple(nodes))


def _accepted(first: int, count: int) -> dict[int, Program]:
    """Return random programs that are well typed without dtypes too, by their seeds."""
    found: dict[int, Program] = {}
    for seed in range(first, first + count):
        program = _without_dtypes(make(seed, 6))
        try:
            program.module()
        except EqsatError:
            continue
        found[seed] = program
    return found


PROGRAMS = _accepted(0, 24)


def test_most_programs_need_no_dtype() -> None:
    assert len(PROGRAMS) >= 12


@pytest.mark.parametrize("seed", PROGRAMS)
def test_random_programs_mean_the_same_in_every_dtype(seed: int) -> None:
    program = PROGRAMS[seed]
    module = program.module()
    best = eqsat.optimize(module, limits=eqsat.Limits(num_nodes=1500, iterations=6)).module
    env = {"n": 3, "m": 5}
    num_compared = 0
    for dtype in ("float32", "float64", "int32"):
        typed = _of_dtype(program, dtype)
        try:
            wanted = meaning(typed.module(), args := typed.arguments(env, seed))
        except (EqsatError, ValueError):
            continue
        if program.is_exact and not is_whole(wanted):
            continue
        where = f"{dtype} of\n{program}"
        same(meaning(module, args), wanted, where, is_exact=True)
        same(meaning(best, args), wanted, where, is_exact=program.is_exact)
        num_compared += 1
    assert num_compared >= 1
