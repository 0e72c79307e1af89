"""Bounds: clips of clips, rectifiers among them."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from eqsat.ir import AttrValue
from eqsat.rules._language import Float, ScalarAttr, Sides, Tensor, compute, ops
from eqsat.rules._rule import Phase, RuleSet, predicate

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
