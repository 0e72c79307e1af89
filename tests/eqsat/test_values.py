"""Values as integers, constants at compile time."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from eqsat._compile_rules import Literals, relevant
from eqsat._fold import Folder, FoldError
from eqsat._snapshot import CONSTANT, INPUT, EClass, ENode, Snapshot
from eqsat._values import Number, Values, uniform_number
from eqsat.ir import TensorType
from eqsat.rules import Float, RuleSet, Sides, ops
from eqsat.shapes import NO_FACTS, Facts, sym

SCALAR = TensorType((), "float32")


def test_attributes_that_python_holds_equal_are_told_apart() -> None:
    values = Values(NO_FACTS)
    ids = [values.attr(v) for v in (1, 1.0, True, "1", (1,), (1.0,), None)]
    assert len(set(ids)) == len(ids)
    assert [values[i] for i in ids] == [1, 1.0, True, "1", (1,), (1.0,), None]
    assert values.attr((1,)) == ids[4]


def test_numbers_are_one_across_dtypes() -> None:
    values = Values(NO_FACTS)
    assert values.number(1) == values.number(1.0) == values.number(True)
    assert values.number(0.0) != values.number(-0.0)
    assert values.number(math.nan) == values.number(math.nan)
    for number in (0.1, -3, 1e300, math.inf, -math.inf, 2**63):
        assert values.number_at(values.number(number)) == number
    assert math.isnan(Number.of(math.nan).python)
    assert math.copysign(1, Number.of(-0.0).python) == -1


def test_dims_are_equal_up_to_the_facts() -> None:
    values = Values(Facts().with_equal(sym("n"), sym("m") + 1))
    assert values.attr((sym("n"), 2)) == values.attr((sym("m") + 1, 2))
    a, b = (values.type(TensorType((d,), "int8")) for d in (sym("n"), sym("m") + 1))
    assert a == b
    assert a % 2 == 1
    assert values.type(TensorType((3,), "int8")) % 2 == 0


def test_equal_small_constants_are_one() -> None:
    values = Values(NO_FACTS)
    a = np.arange(3, dtype="float32")
    assert values.array(a) == values.array(a.copy())
    assert values.array(a) != values.array(a.view("int32"))
    assert values.array(a.astype("float16")) != values.array(a.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(
    ("array", "number"),
    [
        (np.full((2, 3), 2.5, "float16"), 2.5),
        (np.asarray(True), 1),
        (np.asarray([1, 2]), None),
        (np.asarray([1, 2, 1]), None),
        (np.zeros((0, 3)), None),
        (np.asarray([math.nan]), None),
        (np.full(2, 0.5, ml_dtypes.bfloat16), 0.5),
    ],
)
def test_uniform_numbers(array: np.ndarray, number: float | None) -> None:
    assert uniform_number(array) == number


def test_literals_match_within_their_bounds() -> None:
    values, literals = Values(NO_FACTS), Literals()
    half, root = literals.id((0.5, 0.5)), literals.id((0.70710, 0.70711))
    assert literals.id((0.5, 0.5)) == half
    numbers = [values.number(v) for v in (0.5, 0.5000001, float(np.float32(0.5**0.5)), math.nan)]
    assert literals.matching(values, numbers) == [(numbers[0], half), (numbers[2], root)]


def test_rules_that_can_never_match_are_left_out() -> None:
    rules = RuleSet("chain")

    @rules.rule(source="test")
    def first(x: Float) -> Sides:
        return ops.exp(x), ops.tanh(x)

    @rules.rule(source="test")
    def second(x: Float) -> Sides:
        return ops.tanh(x), ops.sin(x)

    @rules.rule(source="test")
    def never(x: Float) -> Sides:
        return ops.sin(ops.cos(x)), ops.exp(x)

    rewrites = [w for r in rules.rules for w in r.rewrites]
    assert [w.name for w in relevant(rewrites, {"exp"})] == ["first", "second"]
    assert relevant(rewrites, {"cos"}) == []


def constant(value: float) -> ENode:
    return ENode(CONSTANT, (), {}, "", np.asarray(value, "float32"))


def test_folding_takes_the_cheapest_way_and_no_cycle() -> None:
    around = ENode("negative", (1,), {})
    classes = {
        0: EClass(0, SCALAR, (around,), is_constant=True),
        1: EClass(1, SCALAR, (ENode("negative", (0,), {}), constant(2.0)), is_constant=True),
        2: EClass(2, SCALAR, (ENode(INPUT, (), {"index": 0}),)),
    }
    folder = Folder(Snapshot(classes, (0, 2)))
    assert folder.value(0) == -2.0
    with pytest.raises(FoldError, match="class 2 of type float32\\[\\] is no constant"):
        folder.value(2)


def test_folding_checks_what_the_operator_promised() -> None:
    classes = {
        0: EClass(0, TensorType((3,), "float32"), (ENode("negative", (1,), {}),), is_constant=True),
        1: EClass(1, SCALAR, (constant(1.0),), is_constant=True),
    }
    with pytest.raises(FoldError, match="`reference` and `infer` disagree"):
        Folder(Snapshot(classes, (0,))).value(0)
