"""Tensors of one number: neutral ones, and prefix sums."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Dims,
    DtypeAttr,
    Float,
    IntAttr,
    Number,
    Sides,
    Tensor,
    compute,
    ops,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet, predicate, types_agree
from eqsat.shapes import Dim, Shape

uniform = RuleSet("uniform", Phase.SIMPLIFY)


NEUTRAL = "neutral elements; a number is written in every dtype"


@uniform.rule(source=NEUTRAL, when=[types_agree])
def add_full_of_zeros(x: Tensor, s: Dims, d: DtypeAttr) -> Sides:
    return x + ops.full(s, 0, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def subtract_full_of_zeros(x: Tensor, s: Dims, d: DtypeAttr) -> Sides:
    return x - ops.full(s, 0, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def multiply_by_full_of_ones(x: Tensor, s: Dims, d: DtypeAttr) -> Sides:
    return x * ops.full(s, 1, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def divide_by_full_of_ones(x: Float, s: Dims, d: DtypeAttr) -> Sides:
    return x / ops.full(s, 1, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def add_zeros(x: Tensor, s: Dims, d: DtypeAttr) -> Sides:
    return x + ops.zeros(s, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def subtract_zeros(x: Tensor, s: Dims, d: DtypeAttr) -> Sides:
    return x - ops.zeros(s, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def multiply_by_ones(x: Tensor, s: Dims, d: DtypeAttr) -> Sides:
    return x * ops.ones(s, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def divide_by_ones(x: Float, s: Dims, d: DtypeAttr) -> Sides:
    return x / ops.ones(s, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def add_zeros_like(x: Tensor, y: Tensor, d: DtypeAttr) -> Sides:
    return x + ops.zeros_like(y, dtype=d), x


@uniform.rule(source=NEUTRAL, when=[types_agree])
def subtract_zeros_like(x: Tensor, y: Tensor, d: DtypeAttr) -> Sides:
    return x - ops.zeros_like(y, dtype=d), x


# --- prefix sums ----------------------------------------------------------------------------


def _axis_of(s: Shape, axis: AttrValue) -> int | None:
    return axis % len(s) if isinstance(axis, int) and s else None


def _behind(s: Shape, axis: AttrValue) -> Dim | None:
    a = _axis_of(s, axis)
    return None if a is None else s[a] + 1


@predicate
def keeps_dtype(c: Known, dtype: AttrValue) -> bool:
    """The tensor has the dtype of the number."""
    return dtype in (None, c.dtype)


def _dtype(c: Known) -> str:
    return c.dtype


def _along(s: Shape, axis: AttrValue) -> Shape | None:
    """Return the shape of numbers that stand along one axis."""
    a = _axis_of(s, axis)
    return None if a is None else tuple(d if i == a else 1 for i, d in enumerate(s))


@uniform.rule(
    source="a sum of equal terms is a product",
    numerics=REASSOCIATES,
    when=[keeps_dtype("c", "d"), keeps_dtype("c", "e")],
)
def cumsum_of_full(c: Number, s: Dims, k: IntAttr, d: DtypeAttr, e: DtypeAttr) -> Sides:
    counted = ops.arange(start=1, end=compute(_behind, s, k), step=1, dtype=compute(_dtype, c))
    sums = ops.reshape(counted * c, compute(_along, s, k))
    return (
        ops.cumsum(ops.full(s, c, dtype=d), axis=k, dtype=e, exclusive=False),
        ops.broadcast_to(sums, s),
    )
