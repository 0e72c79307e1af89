"""Booleans, bits and comparisons: neutral elements, absorption, what is always or never so."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.rules._language import DtypeAttr, Float, Pattern, Sides, Tensor, compute, ops, tensor
from eqsat.rules._predicates import dims_of, dtype_of, is_constant
from eqsat.rules._resolve import Known
from eqsat.rules._rule import Phase, RuleSet, predicate, types_agree
from eqsat.shapes import is_bool, is_int, is_signed

logic = RuleSet("logic", Phase.SIMPLIFY)

Bool = Annotated[Pattern, tensor(dtype="bool")]
Int = Annotated[Pattern, tensor(dtype="int")]

BOOLEAN = "axioms of a Boolean algebra"
ORDER = "a total order; NaN is in no order"


def _never(x: Pattern) -> Pattern:
    return ops.zeros(compute(dims_of, x), dtype="bool")


def _always(x: Pattern) -> Pattern:
    return ops.ones(compute(dims_of, x), dtype="bool")


def _zeros(x: Pattern) -> Pattern:
    return ops.zeros(compute(dims_of, x), dtype=compute(dtype_of, x))


# --- connectives ----------------------------------------------------------------------------


@logic.rule(source=BOOLEAN)
def not_twice(x: Bool) -> Sides:
    return ops.logical_not(ops.logical_not(x)), x


@logic.rule(source=BOOLEAN, when=[types_agree])
def and_true(x: Bool) -> Sides:
    return ops.logical_and(x, 1), x


@logic.rule(source=BOOLEAN, when=[types_agree])
def and_false(x: Bool) -> Sides:
    return ops.logical_and(x, 0), _never(x)


@logic.rule(source=BOOLEAN, when=[types_agree])
def or_false(x: Bool) -> Sides:
    return ops.logical_or(x, 0), x


@logic.rule(source=BOOLEAN, when=[types_agree])
def or_true(x: Bool) -> Sides:
    return ops.logical_or(x, 1), _always(x)


@logic.rule(source=BOOLEAN, when=[types_agree])
def xor_false(x: Bool) -> Sides:
    return ops.logical_xor(x, 0), x


@logic.rule(source=BOOLEAN)
def xor_with_itself(x: Bool) -> Sides:
    return ops.logical_xor(x, x), _never(x)


@logic.rule(source=BOOLEAN, when=[types_agree])
def bits_or_zero(x: Int) -> Sides:
    return ops.bitwise_or(x, 0), x


@logic.rule(source=BOOLEAN, when=[types_agree])
def bits_xor_zero(x: Int) -> Sides:
    return ops.bitwise_xor(x, 0), x


@logic.rule(source=BOOLEAN, when=[types_agree])
def bits_and_zero(x: Int) -> Sides:
    return ops.bitwise_and(x, 0), _zeros(x)


@logic.rule(source=BOOLEAN)
def bits_xor_themselves(x: Int) -> Sides:
    return ops.bitwise_xor(x, x), _zeros(x)


# --- comparisons ----------------------------------------------------------------------------


@logic.rule(source=ORDER)
def less_than_itself(x: Tensor) -> Sides:
    return ops.less(x, x), _never(x)


@logic.rule(source=ORDER)
def greater_than_itself(x: Tensor) -> Sides:
    return ops.greater(x, x), _never(x)


@logic.rule(source=ORDER)
def integers_not_equal_themselves(x: Int) -> Sides:
    return ops.not_equal(x, x), _never(x)


@logic.rule(source=ORDER)
def integers_equal_themselves(x: Int) -> Sides:
    return ops.equal(x, x), _always(x)


@logic.rule(source=ORDER)
def integers_at_most_themselves(x: Int) -> Sides:
    return ops.less_equal(x, x), _always(x)


@logic.rule(source=ORDER)
def integers_at_least_themselves(x: Int) -> Sides:
    return ops.greater_equal(x, x), _always(x)


@predicate
def is_unsigned(x: Known) -> bool:
    """The dtype is one of integers from 0."""
    return is_int(x.dtype) and not is_bool(x.dtype) and not is_signed(x.dtype)


UNSIGNED = "unsigned integers start at 0"


@logic.rule(source=UNSIGNED, when=[is_unsigned("x"), types_agree])
def unsigned_less_than_zero(x: Int) -> Sides:
    return ops.less(x, 0), _never(x)


@logic.rule(source=UNSIGNED, when=[is_unsigned("x"), types_agree])
def unsigned_at_least_zero(x: Int) -> Sides:
    return ops.greater_equal(x, 0), _always(x)


NOT_NEGATIVE = "absolute values, squares and powers of e are not negative"


@logic.rule(source=NOT_NEGATIVE, when=[types_agree])
def absolute_less_than_zero(x: Float) -> Sides:
    return ops.less(ops.abs(x), 0), _never(x)


@logic.rule(source=NOT_NEGATIVE, when=[types_agree])
def square_less_than_zero(x: Float) -> Sides:
    return ops.less(ops.square(x), 0), _never(x)


@logic.rule(source=NOT_NEGATIVE, when=[types_agree])
def exp_less_than_zero(x: Float) -> Sides:
    return ops.less(ops.exp(x), 0), _never(x)


@logic.rule(source="a boolean is itself", when=[types_agree])
def boolean_is_true(x: Bool) -> Sides:
    return ops.equal(x, 1), x


@logic.rule(source="a boolean is itself", when=[types_agree])
def boolean_is_not_false(x: Bool) -> Sides:
    return ops.not_equal(x, 0), x


@logic.rule(source="a boolean is itself", when=[types_agree])
def mask_of_numbers_is_not_zero(c: Bool) -> Sides:
    return ops.not_equal(ops.where(c, 1, 0), 0), c


@logic.rule(source="a boolean is itself", when=[types_agree])
def cast_of_boolean_is_not_zero(c: Bool, d: DtypeAttr) -> Sides:
    return ops.not_equal(ops.astype(c, dtype=d), 0), c


EXTREMA = "the larger of two exceeds one of them where the other does"


@logic.rule(source=EXTREMA)
def maximum_exceeds_operand(x: Tensor, y: Tensor) -> Sides:
    return ops.greater(ops.maximum(x, y), x), ops.greater(y, x)


@logic.rule(source=EXTREMA)
def minimum_is_below_operand(x: Tensor, y: Tensor) -> Sides:
    return ops.greater(x, ops.minimum(x, y)), ops.greater(x, y)


@logic.rule(source=ORDER, when=[is_constant("b"), is_constant("c")])
def upper_bounds_join(x: Tensor, b: Tensor, c: Tensor) -> Sides:
    return (
        ops.logical_and(ops.less(x, b), ops.less(x, c)),
        ops.less(x, ops.minimum(b, c)),
    )


# --- choices --------------------------------------------------------------------------------

CHOICE = "case distinction"


@logic.rule(source=CHOICE, when=[types_agree])
def where_true_or_false(c: Bool) -> Sides:
    return ops.where(c, 1, 0), c


@logic.rule(source=CHOICE, when=[types_agree])
def where_false_or_true(c: Bool) -> Sides:
    return ops.where(c, 0, 1), ops.logical_not(c)


@logic.rule(source=CHOICE)
def larger_boolean(x: Bool, y: Bool) -> Sides:
    return ops.where(ops.greater(x, y), x, y), ops.logical_or(x, y)


@logic.rule(source=CHOICE)
def smaller_boolean(x: Bool, y: Bool) -> Sides:
    return ops.where(ops.less(x, y), x, y), ops.logical_and(x, y)


@logic.rule(source=CHOICE, when=[types_agree])
def where_equal(x: Tensor, y: Tensor) -> Sides:
    return ops.where(ops.equal(x, y), x, y), y


@logic.rule(source=CHOICE, when=[types_agree])
def where_not_equal(x: Tensor, y: Tensor) -> Sides:
    return ops.where(ops.not_equal(x, y), x, y), x
