"""Attention: two products with a softmax between them.

`attention` takes it apart, and its parts fuse with what stands around them. `fused_attention`, used
only where named, puts it together from what exporters write, for kernels of a program's own.
"""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Float,
    FloatAttr,
    Number,
    Pattern,
    Sides,
    compute,
    ops,
    tensor,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import ROUNDING, Phase, RuleSet, types_agree
from eqsat.rules._terms import Compute

attention = RuleSet("attention", Phase.SIMPLIFY)
fused_attention = RuleSet("fused_attention", Phase.SIMPLIFY)

# (batch, sequence, heads, size), as the composite has it, and (batch, heads, sequence, size).
Query = Annotated[Pattern, tensor("b s h d", dtype="float32")]
Key = Annotated[Pattern, tensor("b t h d", dtype="float32")]
Value = Annotated[Pattern, tensor("b t h e", dtype="float32")]

# What stands before the products: heads before the sequence, keys transposed.
Rows = Annotated[Pattern, tensor("b h s d", dtype="float32")]
Columns = Annotated[Pattern, tensor("b h d t", dtype="float32")]
Mixed = Annotated[Pattern, tensor("b h t e", dtype="float32")]

SOURCE = "Vaswani et al. (2017): scaled dot-product attention"
_HEADS_FIRST = (0, 2, 1, 3)


def _default_scale(q: Known) -> float | None:
    size = q.dims[3]
    return float(size) ** -0.5 if isinstance(size, int) and size > 0 else None


def _number(scale: AttrValue) -> float | None:
    return float(scale) if isinstance(scale, (int, float)) else None


def _mixed(q: Pattern, k: Pattern, v: Pattern, scale: Compute, bias: Pattern | None) -> Pattern:
    rows = ops.permute_dims(q, axes=_HEADS_FIRST)
    columns = ops.permute_dims(k, axes=(0, 2, 3, 1))
    scores = (rows @ columns) * scale
    if bias is not None:
        scores = scores + bias
    weights = ops.nn.softmax(scores, axis=-1)
    context = weights @ ops.permute_dims(v, axes=_HEADS_FIRST)
    return ops.permute_dims(context, axes=_HEADS_FIRST)


@attention.rule(source=SOURCE, numerics=ROUNDING)
def attention_is_two_products(q: Query, k: Key, v: Value) -> Sides:
    return ops.nn.attention(q, k, v), _mixed(q, k, v, compute(_default_scale, q), None)


@attention.rule(source=SOURCE, numerics=ROUNDING)
def scaled_attention_is_two_products(q: Query, k: Key, v: Value, s: FloatAttr) -> Sides:
    return ops.nn.attention(q, k, v, scale=s), _mixed(q, k, v, compute(_number, s), None)


@attention.rule(source=SOURCE, numerics=ROUNDING)
def biased_attention_is_two_products(q: Query, k: Key, v: Value, m: Float) -> Sides:
    return ops.nn.attention(q, k, v, m), _mixed(q, k, v, compute(_default_scale, q), m)


@attention.rule(source=SOURCE, numerics=ROUNDING)
def scaled_biased_attention_is_two_products(
    q: Query, k: Key, v: Value, m: Float, s: FloatAttr
) -> Sides:
    return ops.nn.attention(q, k, v, m, scale=s), _mixed(q, k, v, compute(_number, s), m)


def _fused(q: Pattern, k: Pattern, v: Pattern, scale: float | Compute, *bias: Pattern) -> Pattern:
    heads_behind = [ops.permute_dims(x, axes=a) for x, a in ((q, _HEADS_FIRST), (k, (0, 3, 1, 2)))]
    values = ops.permute_dims(v, axes=_HEADS_FIRST)
    found = ops.nn.attention(*heads_behind, values, *bias, scale=scale)
    return ops.permute_dims(found, axes=_HEADS_FIRST)


def _value(scale: Known) -> float | None:
    return scale.number


def _inverse(divisor: Known) -> float | None:
    return 1 / divisor.number if divisor.number else None


@fused_attention.rule(source=SOURCE, numerics=ROUNDING)
def products_are_attention(q: Rows, k: Columns, v: Mixed) -> Sides:
    return ops.nn.softmax(q @ k, axis=-1) @ v, _fused(q, k, v, 1.0)


@fused_attention.rule(source=SOURCE, numerics=ROUNDING)
def scaled_products_are_attention(q: Rows, k: Columns, v: Mixed, c: Number) -> Sides:
    weights = ops.nn.softmax((q @ k) * c, axis=-1)
    return weights @ v, _fused(q, k, v, compute(_value, c))


@fused_attention.rule(source=SOURCE, numerics=ROUNDING)
def divided_products_are_attention(q: Rows, k: Columns, v: Mixed, c: Number) -> Sides:
    weights = ops.nn.softmax((q @ k) / c, axis=-1)
    return weights @ v, _fused(q, k, v, compute(_inverse, c))


@fused_attention.rule(source=SOURCE, numerics=ROUNDING, when=[types_agree])
def biased_products_are_attention(q: Rows, k: Columns, v: Mixed, m: Float) -> Sides:
    return ops.nn.softmax(q @ k + m, axis=-1) @ v, _fused(q, k, v, 1.0, m)


@fused_attention.rule(source=SOURCE, numerics=ROUNDING, when=[types_agree])
def scaled_biased_products_are_attention(
    q: Rows, k: Columns, v: Mixed, c: Number, m: Float
) -> Sides:
    weights = ops.nn.softmax((q @ k) * c + m, axis=-1)
    return weights @ v, _fused(q, k, v, compute(_value, c), m)


@fused_attention.rule(source=SOURCE, numerics=ROUNDING, when=[types_agree])
def divided_biased_products_are_attention(
    q: Rows, k: Columns, v: Mixed, c: Number, m: Float
) -> Sides:
    weights = ops.nn.softmax((q @ k) / c + m, axis=-1)
    return weights @ v, _fused(q, k, v, compute(_inverse, c), m)
