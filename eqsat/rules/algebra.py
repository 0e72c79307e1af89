"""Pointwise algebra: identities, inverses, and constants gathered on the right."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Dims,
    DtypeAttr,
    Float,
    FloatAttr,
    Number,
    Pattern,
    ScalarAttr,
    Sides,
    Tensor,
    compute,
    ops,
    tensor,
)
from eqsat.rules._predicates import (
    has_wide_range,
    is_constant,
    is_not_constant,
    product_is_ordinary,
    reciprocal_is_ordinary,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import (
    REASSOCIATES,
    ROUNDING,
    Phase,
    RuleSet,
    predicate,
    types_agree,
)
from eqsat.shapes import is_float, is_int, is_signed, itemsize, max_value

Integer = Annotated[Pattern, tensor(dtype="int")]

algebra = RuleSet("algebra", Phase.SIMPLIFY)
constants = RuleSet("constants", Phase.SIMPLIFY)

FIELD = "ring axioms; identities of IEEE 754 up to the sign of zero"


# --- identities -----------------------------------------------------------------------------


@algebra.rule(source=FIELD, when=[types_agree])
def add_zero(x: Tensor) -> Sides:
    return x + 0, x


@algebra.rule(source=FIELD, when=[types_agree])
def subtract_zero(x: Tensor) -> Sides:
    return x - 0, x


@algebra.rule(source=FIELD, when=[types_agree])
def multiply_by_one(x: Tensor) -> Sides:
    return x * 1, x


@algebra.rule(source=FIELD, when=[types_agree])
def divide_by_one(x: Float) -> Sides:
    return x / 1, x


@algebra.rule(source=FIELD, when=[types_agree])
def multiply_by_minus_one(x: Float) -> Sides:
    return x * -1, -x


@algebra.rule(source=FIELD)
def negate_twice(x: Tensor) -> Sides:
    return ops.negative(-x), x


@algebra.rule(source=FIELD)
def add_of_negative(x: Tensor, y: Tensor) -> Sides:
    return x + (-y), x - y


@algebra.rule(source=FIELD)
def subtract_of_negative(x: Tensor, y: Tensor) -> Sides:
    return x - (-y), x + y


@algebra.rule(source="lattice: idempotent")
def maximum_of_same(x: Tensor) -> Sides:
    return ops.maximum(x, x), x


@algebra.rule(source="lattice: idempotent")
def minimum_of_same(x: Tensor) -> Sides:
    return ops.minimum(x, x), x


@algebra.rule(source="case distinction", when=[types_agree])
def where_of_same(c: Tensor, x: Tensor) -> Sides:
    return ops.where(c, x, x), x


@algebra.rule(source="case distinction", when=[types_agree])
def where_true(x: Tensor, y: Tensor) -> Sides:
    return ops.where(1, x, y), x


@algebra.rule(source="case distinction", when=[types_agree])
def where_false(x: Tensor, y: Tensor) -> Sides:
    return ops.where(0, x, y), y


@algebra.rule(source="case distinction")
def where_of_logical_not(c: Tensor, x: Tensor, y: Tensor) -> Sides:
    return ops.where(ops.logical_not(c), x, y), ops.where(c, y, x)


# --- integers -------------------------------------------------------------------------------

ROUNDED = "an integer is its own rounding"


@algebra.rule(source=ROUNDED)
def ceil_of_integers(x: Integer) -> Sides:
    return ops.ceil(x), x


@algebra.rule(source=ROUNDED)
def floor_of_integers(x: Integer) -> Sides:
    return ops.floor(x), x


@algebra.rule(source=ROUNDED)
def round_of_integers(x: Integer) -> Sides:
    return ops.round(x), x


@algebra.rule(source=ROUNDED)
def trunc_of_integers(x: Integer) -> Sides:
    return ops.trunc(x), x


@algebra.rule(source="ring axioms; not so for NaN and infinity", when=[types_agree])
def integers_times_zero(x: Integer) -> Sides:
    return x * 0, ops.zeros_like(x)


# --- rectifiers -----------------------------------------------------------------------------

RECTIFIER = "relu(x) = max(x, 0)"


@algebra.rule(source=RECTIFIER)
def relu_twice(x: Tensor) -> Sides:
    return ops.nn.relu(ops.nn.relu(x)), ops.nn.relu(x)


@algebra.rule(source=RECTIFIER)
def relu_of_relu6(x: Float) -> Sides:
    return ops.nn.relu(ops.nn.relu6(x)), ops.nn.relu6(x)


@algebra.rule(source=RECTIFIER)
def relu6_of_relu(x: Float) -> Sides:
    return ops.nn.relu6(ops.nn.relu(x)), ops.nn.relu6(x)


@algebra.rule(source="sigmoid is positive")
def relu_of_sigmoid(x: Float) -> Sides:
    return ops.nn.relu(ops.sigmoid(x)), ops.sigmoid(x)


@algebra.rule(source="exp is positive")
def relu_of_exp(x: Float) -> Sides:
    return ops.nn.relu(ops.exp(x)), ops.exp(x)


@algebra.rule(source=RECTIFIER, when=[types_agree])
def maximum_with_zero_is_relu(x: Float) -> Sides:
    return ops.maximum(x, 0), ops.nn.relu(x)


@predicate
def clips_to_six(low: AttrValue, high: AttrValue) -> bool:
    """The bounds are 0 and 6, as integers or floats."""
    return low == 0 and high == 6


@algebra.rule(source=RECTIFIER, when=[clips_to_six("a", "b")])
def clip_is_relu6(x: Float, a: ScalarAttr, b: ScalarAttr) -> Sides:
    return ops.clip(x, min=a, max=b), ops.nn.relu6(x)


@predicate
def clips_below_zero(low: AttrValue, high: AttrValue) -> bool:
    """The bounds are 0 and infinity."""
    return low == 0 and high == float("inf")


@algebra.rule(source=RECTIFIER, when=[clips_below_zero("a", "b")])
def clip_is_relu(x: Float, a: ScalarAttr, b: ScalarAttr) -> Sides:
    return ops.clip(x, min=a, max=b), ops.nn.relu(x)


@algebra.rule(source="dropout does nothing at inference")
def dropout_is_identity(x: Float, r: FloatAttr) -> Sides:
    return ops.nn.dropout(x, rate=r)[0], x


# --- powers ---------------------------------------------------------------------------------

POWERS = "laws of exponents; IEEE 754 pow"


@algebra.rule(source=POWERS, when=[types_agree])
def power_one(x: Float) -> Sides:
    return ops.power(x, 1), x


@algebra.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def power_two_is_square(x: Float) -> Sides:
    return ops.power(x, 2), ops.square(x)


@algebra.rule(source=POWERS)
def product_with_itself_is_square(x: Tensor) -> Sides:
    return x * x, ops.square(x)


@algebra.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def power_half_is_sqrt(x: Float) -> Sides:
    return ops.power(x, 0.5), ops.sqrt(x)


@algebra.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def power_minus_half_is_rsqrt(x: Float) -> Sides:
    return ops.power(x, -0.5), ops.rsqrt(x)


@algebra.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def power_minus_one_is_reciprocal(x: Float) -> Sides:
    return ops.power(x, -1), 1 / x


@algebra.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def reciprocal_of_sqrt(x: Float) -> Sides:
    return 1 / ops.sqrt(x), ops.rsqrt(x)


@algebra.rule(source=POWERS, numerics=ROUNDING)
def divide_by_sqrt(x: Float, y: Float) -> Sides:
    return x / ops.sqrt(y), x * ops.rsqrt(y)


@algebra.rule(source=POWERS, numerics=ROUNDING, when=[types_agree])
def multiply_by_reciprocal(x: Float, y: Float) -> Sides:
    return x * (1 / y), x / y


# --- casts ----------------------------------------------------------------------------------


@predicate
def has_dtype(x: Known, dtype: AttrValue) -> bool:
    """The cast changes nothing."""
    return x.dtype == dtype


@predicate
def cast_is_exact(x: Known, dtype: AttrValue) -> bool:
    """Every value of x has the same value in `dtype`."""
    assert isinstance(dtype, str)
    return x.dtype == dtype or _embeds(x.dtype, dtype)


_SIGNIFICAND_BITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
_LARGER = {"bfloat16": "float32 float64", "float16": "float32 float64", "float32": "float64"}


def _embeds(small: str, large: str) -> bool:
    if small == "bool":
        return is_int(large) or large in _SIGNIFICAND_BITS
    if is_int(small) and is_int(large):
        signs_fit = is_signed(large) or not is_signed(small)
        return signs_fit and max_value(small) <= max_value(large)
    if is_int(small):
        return 8 * itemsize(small) <= _SIGNIFICAND_BITS.get(large, 0)
    return is_float(small) and large in _LARGER.get(small, "").split()


@algebra.rule(source="definition of a cast", when=[has_dtype("x", "d")])
def cast_to_own_dtype(x: Tensor, d: DtypeAttr) -> Sides:
    return ops.astype(x, dtype=d), x


@algebra.rule(source="an exact embedding loses nothing", when=[cast_is_exact("x", "d")])
def cast_of_exact_cast(x: Tensor, d: DtypeAttr, e: DtypeAttr) -> Sides:
    return ops.astype(ops.astype(x, dtype=d), dtype=e), ops.astype(x, dtype=e)


# --- constants ------------------------------------------------------------------------------

GATHER = "associativity and commutativity, towards constants only"


@constants.rule(source=GATHER, when=[is_constant("c"), is_not_constant("x")])
def constant_summand_goes_right(c: Tensor, x: Tensor) -> Sides:
    return c + x, x + c


@constants.rule(source=GATHER, when=[is_constant("c"), is_not_constant("x")])
def constant_factor_goes_right(c: Tensor, x: Tensor) -> Sides:
    return c * x, x * c


@constants.rule(source=GATHER, when=[is_constant("c"), is_not_constant("x")])
def constant_bound_goes_right(c: Tensor, x: Tensor) -> Sides:
    return ops.maximum(c, x), ops.maximum(x, c)


@constants.rule(source=GATHER, numerics=REASSOCIATES, when=[is_constant("b"), is_constant("c")])
def constant_summands_join(x: Tensor, b: Tensor, c: Tensor) -> Sides:
    return (x + b) + c, x + (b + c)


@constants.rule(
    source=GATHER,
    numerics=REASSOCIATES,
    when=[is_constant("b"), is_constant("c"), product_is_ordinary("b", "c")],
)
def constant_factors_join(x: Tensor, b: Tensor, c: Tensor) -> Sides:
    return (x * b) * c, x * (b * c)


@constants.rule(
    source=GATHER,
    numerics=REASSOCIATES,
    when=[is_not_constant("x"), is_not_constant("y"), has_wide_range("x")],
)
def number_leaves_product(x: Tensor, y: Tensor, c: Number) -> Sides:
    return (x * c) * y, (x * y) * c


@constants.rule(source=GATHER, when=[is_constant("c"), is_not_constant("x")])
def subtract_constant(x: Tensor, c: Tensor) -> Sides:
    return x - c, x + (-c)


@constants.rule(source=GATHER, when=[is_constant("c"), is_not_constant("x")])
def negative_times_constant(x: Tensor, c: Tensor) -> Sides:
    return (-x) * c, x * (-c)


@constants.rule(
    source="distributive law",
    numerics=REASSOCIATES,
    when=[
        *(is_constant("b"), is_constant("c"), is_not_constant("x")),
        *(has_wide_range("x"), product_is_ordinary("b", "c")),
    ],
)
def constant_factor_over_shift(x: Tensor, b: Tensor, c: Tensor) -> Sides:
    return (x + b) * c, x * c + b * c


@constants.rule(
    source=GATHER, numerics=REASSOCIATES, when=[is_not_constant("x"), has_wide_range("x")]
)
def number_leaves_cube(x: Tensor, c: Number) -> Sides:
    return ((x * c) * x) * x, (ops.square(x) * x) * c


@constants.rule(
    source="x / c = x * (1 / c) to one ulp",
    numerics=ROUNDING,
    when=[is_constant("c"), is_not_constant("x"), reciprocal_is_ordinary("c")],
)
def divide_by_constant(x: Float, c: Float) -> Sides:
    return x / c, x * (1 / c)


@predicate
def is_power_of_two(c: Known) -> bool:
    """The reciprocal is exact, and so is the product with it."""
    return c.number is not None and abs(c.number) in {2.0**i for i in range(-8, 9)}


def _reciprocal(c: Known) -> float:
    assert c.number is not None
    return 1 / c.number


@constants.rule(source="IEEE 754", when=[is_power_of_two("c"), types_agree])
def divide_by_power_of_two(x: Tensor, c: Number) -> Sides:
    return x / c, x * compute(_reciprocal, c)


# Scales move inwards over views, to meet the product they scale.


@constants.rule(source="pointwise operators commute with views", when=[types_agree])
def scale_commutes_with_reshape(x: Tensor, s: Dims, c: Number) -> Sides:
    return ops.reshape(x, s) * c, ops.reshape(x * c, s)
