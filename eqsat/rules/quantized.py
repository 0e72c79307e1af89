"""Opt-in: quantised programs. Views and choices move through scales, products stay in integers.

`dequantize(q, s, z)` is s (q - z); rules with one scale and zero point for the whole tensor bind
them as numbers, so that what is asked of them is known.
"""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Dims,
    DtypeAttr,
    IntAttr,
    IntsAttr,
    Number,
    Pattern,
    Sides,
    StrAttr,
    compute,
    ops,
    tensor,
)
from eqsat.rules._predicates import is_constant, same_dtype
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet, predicate, types_agree
from eqsat.rules.convolution import all_ones, is_not_empty, smaller_than_window
from eqsat.shapes import LessEqual, bits, max_value, min_value

quantized = RuleSet("quantized", Phase.EXPLORE)

Integer = Annotated[Pattern, tensor(dtype="int")]
Float32 = Annotated[Pattern, tensor(dtype="float32")]
Rows = Annotated[Pattern, tensor("... m k", dtype="float32")]
IntegerRows = Annotated[Pattern, tensor("... m k", dtype="int")]
Matrix = Annotated[Pattern, tensor("k n", dtype="int")]
ScaleN = Annotated[Pattern, tensor("n", dtype="float32")]
ZeroN = Annotated[Pattern, tensor("n", dtype="int")]
Image = Annotated[Pattern, tensor("n c h w", dtype="int")]

AFFINE = "Jacob et al. (2018): integer-arithmetic-only inference, affine quantisation"
POINTWISE = f"{AFFINE}; the same function of every element"


def _number(c: Known) -> float | None:
    return c.number


# --- there and back -------------------------------------------------------------------------


@predicate
def is_narrow(q: Known) -> bool:
    """At most 16 bits, so that float32 holds every step exactly."""
    return bits(q.dtype) <= 16


@predicate
def is_small(z: Known) -> bool:
    """The zero point is a step of at most 16 bits too."""
    return z.number is not None and abs(z.number) <= 1 << 15


@predicate
def is_normal_scale(s: Known) -> bool:
    """Positive, and neither so small nor so large that steps are lost."""
    return s.number is not None and 1e-30 <= s.number <= 1e30


@predicate
def has_dtype(q: Known, dtype: AttrValue) -> bool:
    """The dtype is the one that is asked for."""
    return q.dtype == (dtype or "int8")


@predicate
def is_float32(dtype: AttrValue) -> bool:
    """The result is float32."""
    return dtype in (None, "", "void", "float32")


@quantized.rule(
    source=AFFINE,
    when=[
        *(is_small("z"), is_normal_scale("s"), has_dtype("q", "d"), is_float32("t")),
    ],
)
def quantize_of_dequantize(
    q: Integer, s: Number, z: Number, a: IntAttr, b: IntAttr, d: DtypeAttr, t: DtypeAttr
) -> Sides:
    wide = ops.dequantize(q, s, z, axis=a, out_dtype=t)
    return ops.quantize(wide, s, z, axis=b, out_dtype=d), q


# --- views move through ---------------------------------------------------------------------


# The scale is one for all elements, so its axis says nothing; the last one is always there.


@quantized.rule(source=POINTWISE)
def dequantize_of_reshape(
    q: Integer, s: Number, z: Number, a: IntAttr, t: DtypeAttr, shape: Dims
) -> Sides:
    return (
        ops.reshape(ops.dequantize(q, s, z, axis=a, out_dtype=t), shape),
        ops.dequantize(ops.reshape(q, shape), s, z, axis=-1, out_dtype=t),
    )


@quantized.rule(source=POINTWISE)
def dequantize_of_permute(
    q: Integer, s: Number, z: Number, a: IntAttr, t: DtypeAttr, p: IntsAttr
) -> Sides:
    return (
        ops.permute_dims(ops.dequantize(q, s, z, axis=a, out_dtype=t), axes=p),
        ops.dequantize(ops.permute_dims(q, axes=p), s, z, axis=-1, out_dtype=t),
    )


@quantized.rule(source=POINTWISE, when=[same_dtype("q", "r")])
def dequantize_of_concat(
    q: Integer, r: Integer, s: Number, z: Number, a: IntAttr, b: IntAttr, t: DtypeAttr, k: IntAttr
) -> Sides:
    left = ops.dequantize(q, s, z, axis=a, out_dtype=t)
    right = ops.dequantize(r, s, z, axis=b, out_dtype=t)
    return (
        ops.concat([left, right], axis=k),
        ops.dequantize(ops.concat([q, r], axis=k), s, z, axis=-1, out_dtype=t),
    )


@quantized.rule(source=POINTWISE)
def dequantize_of_take(
    q: Integer,
    i: Integer,
    s: Number,
    z: Number,
    a: IntAttr,
    t: DtypeAttr,
    k: IntAttr,
    m: StrAttr,
) -> Sides:
    return (
        ops.take(ops.dequantize(q, s, z, axis=a, out_dtype=t), i, axis=k, mode=m),
        ops.dequantize(ops.take(q, i, axis=k, mode=m), s, z, axis=-1, out_dtype=t),
    )


@quantized.rule(source=POINTWISE)
def quantize_of_reshape(
    x: Float32, s: Number, z: Number, a: IntAttr, t: DtypeAttr, shape: Dims
) -> Sides:
    return (
        ops.quantize(ops.reshape(x, shape), s, z, axis=a, out_dtype=t),
        ops.reshape(ops.quantize(x, s, z, axis=-1, out_dtype=t), shape),
    )


@quantized.rule(source=POINTWISE)
def quantize_of_permute(
    x: Float32, s: Number, z: Number, a: IntAttr, t: DtypeAttr, p: IntsAttr
) -> Sides:
    return (
        ops.quantize(ops.permute_dims(x, axes=p), s, z, axis=a, out_dtype=t),
        ops.permute_dims(ops.quantize(x, s, z, axis=-1, out_dtype=t), axes=p),
    )


@predicate
def holds_least(z: Known, dtype: AttrValue) -> bool:
    """The zero point is the least step, so that no step is below zero."""
    assert dtype is None or isinstance(dtype, str)
    return z.number is not None and z.number == min_value(dtype or "int8")


@quantized.rule(source=AFFINE, when=[is_normal_scale("s"), holds_least("z", "t")])
def quantize_of_relu(x: Float32, s: Number, z: Number, a: IntAttr, t: DtypeAttr) -> Sides:
    return (
        ops.quantize(ops.nn.relu(x), s, z, axis=a, out_dtype=t),
        ops.quantize(x, s, z, axis=a, out_dtype=t),
    )


@quantized.rule(
    source=AFFINE,
    numerics=REASSOCIATES,
    when=[types_agree],
)
def number_into_scale(
    q: Integer, s: Number, z: Number, a: IntAttr, t: DtypeAttr, c: Number
) -> Sides:
    return (
        ops.dequantize(q, s, z, axis=a, out_dtype=t) * c,
        ops.dequantize(q, s * c, z, axis=a, out_dtype=t),
    )


# --- choices move through: steps keep the order of values -----------------------------------

MONOTONE = f"{AFFINE}; a positive scale keeps order"


@predicate
def holds_zero_point(q: Known, z: Known) -> bool:
    """The dtype of the steps holds the zero point."""
    return z.number is not None and min_value(q.dtype) <= z.number <= max_value(q.dtype)


@quantized.rule(
    source=MONOTONE,
    when=[is_normal_scale("s"), is_narrow("q")],
)
def relu_of_dequantize(q: Integer, s: Number, z: Number, a: IntAttr, t: DtypeAttr) -> Sides:
    return (
        ops.nn.relu(ops.dequantize(q, s, z, axis=a, out_dtype=t)),
        ops.dequantize(ops.maximum(q, compute(_number, z)), s, z, axis=a, out_dtype=t),
    )


@quantized.rule(source=MONOTONE, when=[is_normal_scale("s"), is_narrow("q"), same_dtype("q", "r")])
def maximum_of_dequantize(
    q: Integer, r: Integer, s: Number, z: Number, a: IntAttr, t: DtypeAttr
) -> Sides:
    left = ops.dequantize(q, s, z, axis=a, out_dtype=t)
    right = ops.dequantize(r, s, z, axis=a, out_dtype=t)
    return (
        ops.maximum(left, right),
        ops.dequantize(ops.maximum(q, r), s, z, axis=a, out_dtype=t),
    )


@quantized.rule(
    source=MONOTONE,
    when=[
        *(is_normal_scale("s"), is_narrow("q")),
        *(is_not_empty("q"), smaller_than_window("p", "k"), all_ones("d")),
    ],
)
def max_pool_of_dequantize(
    q: Image,
    s: Number,
    z: Number,
    a: IntAttr,
    t: DtypeAttr,
    k: IntsAttr,
    e: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    out: StrAttr,
) -> Sides:
    def pooled(x: Pattern) -> Pattern:
        return ops.nn.max_pool2d(x, pool_size=k, strides=e, padding=p, dilation=d, out_layout=out)

    return (
        pooled(ops.dequantize(q, s, z, axis=a, out_dtype=t)),
        ops.dequantize(pooled(q), s, z, axis=-1, out_dtype=t),
    )


# --- products -------------------------------------------------------------------------------

PRODUCT = f"{AFFINE}, section 2.2"
# Products of two 8-bit steps less their zero points are below 2^16: so many fit into 31 bits.
_LONGEST_SUM = 1 << 15


@predicate
def is_last_axis(q: Known, axis: AttrValue) -> bool:
    """Scales go with the columns."""
    return isinstance(axis, int) and axis % q.ndim == q.ndim - 1


@predicate
def is_byte(q: Known) -> bool:
    """Eight bits."""
    return bits(q.dtype) == 8


@predicate
def sums_fit(q: Known) -> bool:
    """A row of the product cannot overflow 32 bits."""
    return q.proves(LessEqual(q.dims[0], _LONGEST_SUM))


@quantized.rule(
    source=PRODUCT,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_narrow("w"), is_last_axis("w", "a")],
)
def scale_of_columns_leaves_product(
    x: Rows, w: Matrix, s: ScaleN, a: IntAttr, t: DtypeAttr
) -> Sides:
    return (
        x @ ops.dequantize(w, s, 0, axis=a, out_dtype=t),
        (x @ ops.astype(w, dtype="float32")) * s,
    )


@quantized.rule(source=PRODUCT, numerics=REASSOCIATES, when=[is_constant("w"), is_narrow("w")])
def symmetric_scale_leaves_product(
    x: Rows, w: Matrix, s: Number, a: IntAttr, t: DtypeAttr
) -> Sides:
    return (
        x @ ops.dequantize(w, s, 0, axis=a, out_dtype=t),
        (x @ ops.astype(w, dtype="float32")) * compute(_number, s),
    )


# The zero point is taken off the weight, not off the result: that would cancel.


@quantized.rule(
    source=PRODUCT,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_byte("w"), holds_zero_point("w", "z")],
)
def scale_of_weight_leaves_product(
    x: Rows, w: Matrix, s: Number, z: Number, a: IntAttr, t: DtypeAttr
) -> Sides:
    steps = ops.astype(w, dtype="int16") - compute(_number, z)
    return (
        x @ ops.dequantize(w, s, z, axis=a, out_dtype=t),
        (x @ ops.astype(steps, dtype="float32")) * compute(_number, s),
    )


@quantized.rule(
    source=PRODUCT,
    numerics=REASSOCIATES,
    when=[
        *(is_byte("q"), is_byte("w"), sums_fit("w")),
        *(holds_zero_point("q", "y"), holds_zero_point("w", "z"), is_float32("t")),
    ],
)
def product_in_integers(
    q: IntegerRows,
    w: Matrix,
    s: Number,
    y: Number,
    r: Number,
    z: Number,
    a: IntAttr,
    b: IntAttr,
    t: DtypeAttr,
    u: DtypeAttr,
) -> Sides:
    left = ops.astype(q, dtype="int32") - compute(_number, y)
    right = ops.astype(w, dtype="int32") - compute(_number, z)
    steps = ops.astype(left @ right, dtype="float32")
    return (
        ops.dequantize(q, s, y, axis=a, out_dtype=t) @ ops.dequantize(w, r, z, axis=b, out_dtype=u),
        (steps * compute(_number, s)) * compute(_number, r),
    )
