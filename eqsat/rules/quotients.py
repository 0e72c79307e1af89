"""Quotients, powers and logarithms; what cancels; absolute values of what is not negative."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    DtypeAttr,
    Float,
    Pattern,
    Sides,
    Tensor,
    compute,
    ops,
    tensor,
)
from eqsat.rules._predicates import (
    dims_of,
    dtype_of,
    has_wide_range,
    is_constant,
    is_not_constant,
    product_is_ordinary,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, ROUNDING, Phase, RuleSet, predicate, types_agree
from eqsat.shapes import is_int, max_value

quotients = RuleSet("quotients", Phase.SIMPLIFY)

Int = Annotated[Pattern, tensor(dtype="int")]

FRACTIONS = "arithmetic of fractions"
POWERS = "laws of exponents"
ABSOLUTE = "|x| = x where x is not negative"
WRAPPING = "integers modulo a power of two are a ring"


# --- quotients ------------------------------------------------------------------------------


@quotients.rule(source=FRACTIONS, numerics=REASSOCIATES, when=[has_wide_range("x")])
def divide_by_quotient(x: Float, y: Float, z: Float) -> Sides:
    return x / (y / z), (x * z) / y


@quotients.rule(source=FRACTIONS, numerics=REASSOCIATES, when=[product_is_ordinary("y", "z")])
def divide_quotient(x: Float, y: Float, z: Float) -> Sides:
    return (x / y) / z, x / (y * z)


@quotients.rule(source=POWERS, numerics=ROUNDING)
def divide_by_rsqrt(x: Float, y: Float) -> Sides:
    return x / ops.rsqrt(y), x * ops.sqrt(y)


@quotients.rule(source=POWERS, numerics=ROUNDING)
def divide_by_power(x: Float, y: Float, z: Float) -> Sides:
    return x / ops.power(y, z), x * ops.power(y, -z)


# --- powers and logarithms ------------------------------------------------------------------


@quotients.rule(source=POWERS, when=[types_agree])
def power_zero(x: Float) -> Sides:
    return ops.power(x, 0), ops.ones(compute(dims_of, x), dtype=compute(dtype_of, x))


@quotients.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def power_three_is_cube(x: Float) -> Sides:
    return ops.power(x, 3), ops.square(x) * x


@quotients.rule(source=POWERS, numerics=ROUNDING)
def log_of_sqrt(x: Float) -> Sides:
    return ops.log(ops.sqrt(x)), ops.log(x) * 0.5


@quotients.rule(source=POWERS, numerics=ROUNDING)
def log_of_rsqrt(x: Float) -> Sides:
    return ops.log(ops.rsqrt(x)), ops.log(x) * -0.5


@quotients.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def rsqrt_of_reciprocal(x: Float) -> Sides:
    return ops.rsqrt(1 / x), ops.sqrt(x)


@quotients.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def rsqrt_of_power_minus_two(x: Float) -> Sides:
    return ops.rsqrt(ops.power(x, -2)), ops.abs(x)


# --- absolute values ------------------------------------------------------------------------


@quotients.rule(source=ABSOLUTE)
def abs_of_abs(x: Tensor) -> Sides:
    return ops.abs(ops.abs(x)), ops.abs(x)


@quotients.rule(source=ABSOLUTE)
def abs_of_square(x: Float) -> Sides:
    return ops.abs(ops.square(x)), ops.square(x)


@quotients.rule(source=ABSOLUTE)
def abs_of_exp(x: Float) -> Sides:
    return ops.abs(ops.exp(x)), ops.exp(x)


@quotients.rule(source=ABSOLUTE)
def abs_of_sqrt(x: Float) -> Sides:
    return ops.abs(ops.sqrt(x)), ops.sqrt(x)


@quotients.rule(source=ABSOLUTE)
def abs_of_relu(x: Float) -> Sides:
    return ops.abs(ops.nn.relu(x)), ops.nn.relu(x)


@quotients.rule(source="the sign cancels in a square")
def square_of_abs(x: Tensor) -> Sides:
    return ops.square(ops.abs(x)), ops.square(x)


# --- what cancels ---------------------------------------------------------------------------


@quotients.rule(source="the signs cancel")
def product_of_negatives(x: Tensor, y: Tensor) -> Sides:
    return (-x) * (-y), x * y


@quotients.rule(
    source="distributive law",
    numerics=REASSOCIATES,
    when=[is_not_constant("x"), is_not_constant("y"), has_wide_range("x")],
)
def common_factor_leaves_sum(x: Tensor, y: Tensor, z: Tensor) -> Sides:
    return x * z + y * z, (x + y) * z


@quotients.rule(
    source="associativity and commutativity, towards constants only",
    numerics=REASSOCIATES,
    when=[is_constant("b"), is_constant("c"), is_not_constant("x")],
)
def constant_joins_difference(x: Tensor, b: Tensor, c: Tensor) -> Sides:
    return (b - x) + c, (b + c) - x


@quotients.rule(source=WRAPPING)
def integers_minus_themselves(x: Int) -> Sides:
    return x - x, ops.zeros(compute(dims_of, x), dtype=compute(dtype_of, x))


@quotients.rule(source=WRAPPING, when=[types_agree])
def integer_difference_plus_subtrahend(x: Int, y: Int) -> Sides:
    return (y - x) + x, y


@quotients.rule(source=WRAPPING, when=[types_agree])
def integer_minus_difference(x: Int, y: Int) -> Sides:
    return x - (x - y), y


@quotients.rule(source=WRAPPING, when=[types_agree])
def integer_minus_sum(x: Int, y: Int) -> Sides:
    return x - (x + y), -y


@quotients.rule(source=WRAPPING, when=[types_agree])
def integer_sum_minus_summand(x: Int, y: Int) -> Sides:
    return (x + y) - x, y


@quotients.rule(source="a remainder is its own remainder")
def remainder_of_remainder(x: Int, y: Int) -> Sides:
    return ops.floor_mod(ops.floor_mod(x, y), y), ops.floor_mod(x, y)


# --- integers computed in a wider dtype -----------------------------------------------------


@predicate
def widens(x: Known, y: Known, dtype: AttrValue, narrow: AttrValue) -> bool:
    """Both operands have the dtype of the result, and the one between holds its integers."""
    if not isinstance(dtype, str) or not is_int(dtype):
        return False
    return x.dtype == y.dtype == narrow and max_value(x.dtype) <= max_value(dtype)


@quotients.rule(source=WRAPPING, when=[widens("x", "y", "d", "e")])
def sum_of_widened(x: Int, y: Int, d: DtypeAttr, e: DtypeAttr) -> Sides:
    return ops.astype(ops.astype(x, dtype=d) + ops.astype(y, dtype=d), dtype=e), x + y


@quotients.rule(source=WRAPPING, when=[widens("x", "y", "d", "e")])
def difference_of_widened(x: Int, y: Int, d: DtypeAttr, e: DtypeAttr) -> Sides:
    return ops.astype(ops.astype(x, dtype=d) - ops.astype(y, dtype=d), dtype=e), x - y


@quotients.rule(source=WRAPPING, when=[widens("x", "y", "d", "e")])
def product_of_widened(x: Int, y: Int, d: DtypeAttr, e: DtypeAttr) -> Sides:
    return ops.astype(ops.astype(x, dtype=d) * ops.astype(y, dtype=d), dtype=e), x * y
