"""Bounds: clips of clips, rectifiers among them."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from eqsat.ir import AttrValue
from eqsat.rules._language import Float, Number, ScalarAttr, Sides, Tensor, compute, ops
from eqsat.rules._resolve import Known
from eqsat.rules._rule import ROUNDING, Phase, RuleSet, predicate, types_agree

clamps = RuleSet("clamps", Phase.SIMPLIFY)

LATTICE = "lattice: min and max over a chain"


def _larger(first: AttrValue, second: AttrValue) -> AttrValue:
    return max(_number(first), _number(second))


def _smaller(first: AttrValue, second: AttrValue) -> AttrValue:
    return min(_number(first), _number(second))


def _number(bound: AttrValue) -> float:
    assert isinstance(bound, (int, float))
    return bound


@predicate
def bounds_overlap(low: AttrValue, high: AttrValue, lower: AttrValue, upper: AttrValue) -> bool:
    """Both clips are in order, and some value passes both unchanged."""
    numbers = [v for v in (low, high, lower, upper) if isinstance(v, (int, float))]
    if len(numbers) < 4:
        return False
    a, b, c, d = numbers
    return max(a, c) <= min(b, d)


@clamps.rule(source=LATTICE, when=[bounds_overlap("a", "b", "c", "d")])
def clip_of_clip(x: Tensor, a: ScalarAttr, b: ScalarAttr, c: ScalarAttr, d: ScalarAttr) -> Sides:
    return (
        ops.clip(ops.clip(x, min=a, max=b), min=c, max=d),
        ops.clip(x, min=compute(_larger, a, c), max=compute(_smaller, b, d)),
    )


def _raised_to_zero(low: AttrValue) -> AttrValue:
    return max(_number(low), 0)


@predicate
def reaches_zero(low: AttrValue, high: AttrValue) -> bool:
    """The bounds are in order, and the upper one is not negative."""
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return False
    return low <= high and high >= 0


@clamps.rule(source=LATTICE, when=[reaches_zero("a", "b")])
def clip_of_relu(x: Float, a: ScalarAttr, b: ScalarAttr) -> Sides:
    return (
        ops.clip(ops.nn.relu(x), min=a, max=b),
        ops.clip(x, min=compute(_raised_to_zero, a), max=b),
    )


@clamps.rule(source=LATTICE)
def relu_of_clip(x: Float, a: ScalarAttr, b: ScalarAttr) -> Sides:
    return (
        ops.nn.relu(ops.clip(x, min=a, max=b)),
        ops.clip(x, min=compute(_raised_to_zero, a), max=b),
    )


# --- bounds written as extrema --------------------------------------------------------------


@predicate
def in_order(low: Known, high: Known) -> bool:
    """Both are numbers, the lower one first."""
    return low.number is not None and high.number is not None and low.number <= high.number


def _bound(c: Known) -> float | None:
    if c.number is None:
        return None
    return int(c.number) if c.number % 1 == 0 else c.number  # neither for infinity nor NaN


@clamps.rule(source=LATTICE, when=[in_order("a", "b"), types_agree])
def minimum_of_maximum_is_clip(x: Tensor, a: Number, b: Number) -> Sides:
    return (
        ops.minimum(ops.maximum(x, a), b),
        ops.clip(x, min=compute(_bound, a), max=compute(_bound, b)),
    )


@clamps.rule(source=LATTICE, when=[types_agree])
def maximum_of_minimum_is_clip(x: Tensor, a: Number, b: Number) -> Sides:
    return (
        ops.maximum(ops.minimum(x, b), a),
        ops.clip(x, min=compute(_bound, a), max=compute(_bound, b)),
    )


@predicate
def is_not_negative(c: Known) -> bool:
    """The number is 0 or more."""
    return c.number is not None and c.number >= 0


@clamps.rule(source=LATTICE, when=[is_not_negative("b"), types_agree])
def minimum_of_relu_is_clip(x: Float, b: Number) -> Sides:
    return ops.minimum(ops.nn.relu(x), b), ops.clip(x, min=0, max=compute(_bound, b))


@predicate
def clips_above(low: AttrValue, high: AttrValue, c: Known) -> bool:
    """The bounds are in order, and c is at most the lower one."""
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return False
    return c.number is not None and c.number <= low <= high


@clamps.rule(source=LATTICE, when=[clips_above("a", "b", "c"), types_agree])
def maximum_of_clip(x: Tensor, c: Number, a: ScalarAttr, b: ScalarAttr) -> Sides:
    clipped = ops.clip(x, min=a, max=b)
    return ops.maximum(clipped, c), clipped


# --- absorption -----------------------------------------------------------------------------


@clamps.rule(source=LATTICE)
def maximum_with_operand_again(x: Tensor, y: Tensor) -> Sides:
    return ops.maximum(ops.maximum(x, y), y), ops.maximum(x, y)


@clamps.rule(source=LATTICE)
def minimum_with_operand_again(x: Tensor, y: Tensor) -> Sides:
    return ops.minimum(ops.minimum(x, y), y), ops.minimum(x, y)


@clamps.rule(source=LATTICE, when=[types_agree])
def maximum_with_minus_infinity(x: Float) -> Sides:
    return ops.maximum(x, float("-inf")), x


@clamps.rule(source=LATTICE, when=[types_agree])
def minimum_with_infinity(x: Float) -> Sides:
    return ops.minimum(x, float("inf")), x


# --- extrema of monotone functions ----------------------------------------------------------

MONOTONE = "the larger value of a function that never falls is that of the larger argument"


@clamps.rule(source=MONOTONE, numerics=ROUNDING)
def maximum_of_tanhs(x: Float, y: Float) -> Sides:
    return ops.maximum(ops.tanh(x), ops.tanh(y)), ops.tanh(ops.maximum(x, y))


@clamps.rule(source=MONOTONE, numerics=ROUNDING)
def maximum_of_sigmoids(x: Float, y: Float) -> Sides:
    return ops.maximum(ops.sigmoid(x), ops.sigmoid(y)), ops.sigmoid(ops.maximum(x, y))


@clamps.rule(source=MONOTONE, numerics=ROUNDING)
def maximum_of_erfs(x: Float, y: Float) -> Sides:
    return ops.maximum(ops.erf(x), ops.erf(y)), ops.erf(ops.maximum(x, y))
