"""Opt-in: fast mathematics. Each rule says how far off it may be and for which values.

The bound is `absolute + relative · L` per element, where L is the left side computed from absolute
values; it is claimed for operands between `low` and `high`, never for NaN or infinity.
"""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.rules._language import DtypeAttr, Float, Number, Pattern, Sides, ops, tensor
from eqsat.rules._predicates import is_not_constant
from eqsat.rules._rule import APPROXIMATE, Accuracy, Phase, RuleSet, types_agree

approximate = RuleSet("approximate", Phase.EXPLORE)

# --- activations ----------------------------------------------------------------------------

GELU = "Hendrycks, Gimpel (2016): GELU, section 2; the largest difference was found numerically"


@approximate.rule(source=GELU, numerics=APPROXIMATE, accuracy=Accuracy(absolute=5e-4))
def gelu_by_tanh(x: Float) -> Sides:
    return ops.nn.gelu(x), ops.nn.gelu_tanh(x)


@approximate.rule(source=GELU, numerics=APPROXIMATE, accuracy=Accuracy(absolute=0.0204))
def gelu_by_sigmoid(x: Float) -> Sides:
    return ops.nn.gelu(x), x * ops.sigmoid(x * 1.702)


# Not in float16: the coefficients are beyond its range.
Float32 = Annotated[Pattern, tensor(dtype="float32")]
LAMBERT = "Lambert (1770): continued fraction of tanh, 7th convergent, cut at 4.97"


def _tanh_fraction(x: Pattern) -> Pattern:
    y = ops.clip(x, min=-4.97, max=4.97)
    z = y * y
    above = ((z + 378.0) * z + 17325.0) * z + 135135.0
    below = ((z * 28.0 + 3150.0) * z + 62370.0) * z + 135135.0
    return (y * above) / below


@approximate.rule(source=LAMBERT, numerics=APPROXIMATE, accuracy=Accuracy(absolute=2e-4))
def tanh_by_fraction(x: Float32) -> Sides:
    return ops.tanh(x), _tanh_fraction(x)


@approximate.rule(source=LAMBERT, numerics=APPROXIMATE, accuracy=Accuracy(absolute=1e-4))
def sigmoid_by_fraction(x: Float32) -> Sides:
    return ops.sigmoid(x), _tanh_fraction(x * 0.5) * 0.5 + 0.5


# --- one division for many ------------------------------------------------------------------

INVERSE = "x / y = x (1 / y), one more rounding"


@approximate.rule(
    source=INVERSE,
    numerics=APPROXIMATE,
    accuracy=Accuracy(relative=2.0**-9, low=0.25, high=64.0),
    when=[is_not_constant("y")],
)
def quotient_by_reciprocal(x: Float, y: Float) -> Sides:
    return x / y, x * (1 / y)


# --- finite values --------------------------------------------------------------------------

FINITE = "real arithmetic; not so for NaN, infinity, overflow"
POSITIVE = Accuracy(relative=2.0**-7, low=0.25, high=8.0)


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=POSITIVE, when=[types_agree])
def quotient_of_product(x: Float, y: Float) -> Sides:
    return (x * y) / y, x


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=POSITIVE, when=[types_agree])
def product_of_quotient(x: Float, y: Float) -> Sides:
    return (x / y) * y, x


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=POSITIVE)
def square_of_root(x: Float) -> Sides:
    return ops.square(ops.sqrt(x)), x


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=POSITIVE)
def root_times_itself(x: Float) -> Sides:
    return ops.sqrt(x) * ops.sqrt(x), x


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=POSITIVE)
def root_of_square(x: Float) -> Sides:
    return ops.sqrt(ops.square(x)), ops.abs(x)


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=POSITIVE)
def exp_of_log(x: Float) -> Sides:
    return ops.exp(ops.log(x)), x


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=POSITIVE)
def log_of_exp(x: Float) -> Sides:
    return ops.log(ops.exp(x)), x


@approximate.rule(
    source=FINITE, numerics=APPROXIMATE, accuracy=Accuracy(relative=2.0**-6, low=-4.0, high=4.0)
)
def product_of_exps(x: Float, y: Float) -> Sides:
    return ops.exp(x) * ops.exp(y), ops.exp(x + y)


@approximate.rule(
    source=FINITE, numerics=APPROXIMATE, accuracy=Accuracy(relative=2.0**-6, low=-4.0, high=4.0)
)
def quotient_of_exps(x: Float, y: Float) -> Sides:
    return ops.exp(x) / ops.exp(y), ops.exp(x - y)


@approximate.rule(
    source=FINITE, numerics=APPROXIMATE, accuracy=Accuracy(relative=2.0**-6, low=-4.0, high=4.0)
)
def quotient_by_exp(x: Float, y: Float) -> Sides:
    return x / ops.exp(y), x * ops.exp(-y)


@approximate.rule(
    source=FINITE, numerics=APPROXIMATE, accuracy=Accuracy(relative=2.0**-6, low=0.25, high=2.0)
)
def power_of_exp(x: Float, y: Float) -> Sides:
    return ops.power(ops.exp(x), y), ops.exp(x * y)


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=POSITIVE)
def square_of_rsqrt(x: Float) -> Sides:
    return ops.square(ops.rsqrt(x)), 1 / x


@approximate.rule(
    source=FINITE,
    numerics=APPROXIMATE,
    accuracy=Accuracy(absolute=2.0**-6, relative=2.0**-6, low=0.25, high=8.0),
)
def log_of_power(x: Float, c: Number) -> Sides:
    return ops.log(ops.power(x, c)), ops.log(x) * c


Bool = Annotated[Pattern, tensor(dtype="bool")]


@approximate.rule(source=FINITE, numerics=APPROXIMATE, accuracy=Accuracy())
def product_with_mask(x: Float, m: Bool, d: DtypeAttr) -> Sides:
    return x * ops.astype(m, dtype=d), ops.where(m, x, 0)
