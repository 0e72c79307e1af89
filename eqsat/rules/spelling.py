"""One spelling of attributes that can be written in several ways, so that rules need but one."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    BoolAttr,
    DtypeAttr,
    Float,
    IntAttr,
    IntsAttr,
    Pattern,
    Sides,
    StrAttr,
    Tensor,
    compute,
    ops,
    tensor,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import Phase, RuleSet, predicate, profit
from eqsat.rules.convolution import four_sides
from eqsat.rules.movement import int_tuple

spelling = RuleSet("spelling", Phase.SIMPLIFY)

DEFAULTS = "definition of the attributes"
Axes4 = Annotated[Pattern, tensor("a b c d", dtype="float")]
Kernel4 = Annotated[Pattern, tensor("e f g h", dtype="float")]


def _pair(values: AttrValue) -> tuple[int, int]:
    numbers = int_tuple(values)
    return (numbers[0], numbers[-1])


@profit
def is_short(strides: AttrValue, padding: AttrValue, dilation: AttrValue) -> bool:
    """Some attribute of a window is not written out for each axis or side."""
    full = (_pair(strides), four_sides(padding), _pair(dilation))
    return (strides, padding, dilation) != full


@predicate
def is_layout_of_input(layout: AttrValue) -> bool:
    """The layout of the result is stated, and is that of the input, NCHW."""
    return layout in ("", "NCHW")


@spelling.rule(source=DEFAULTS, when=[is_short("s", "p", "d")])
def convolution_written_out(
    x: Axes4,
    w: Kernel4,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
    dtype: DtypeAttr,
) -> Sides:
    short = ops.nn.conv2d(
        x, w, strides=s, padding=p, dilation=d, groups=g, out_layout=out, out_dtype=dtype
    )
    full = ops.nn.conv2d(
        x,
        w,
        strides=compute(_pair, s),
        padding=compute(four_sides, p),
        dilation=compute(_pair, d),
        groups=g,
        out_layout=out,
        out_dtype=dtype,
    )
    return short, full


@spelling.rule(source=DEFAULTS, when=[is_layout_of_input("out")])
def convolution_in_own_layout(
    x: Axes4, w: Kernel4, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    stated = ops.nn.conv2d(x, w, strides=s, padding=p, dilation=d, groups=g, out_layout=out)
    return stated, ops.nn.conv2d(x, w, strides=s, padding=p, dilation=d, groups=g)


@spelling.rule(source=DEFAULTS, when=[is_short("s", "p", "d")])
def max_pool_written_out(
    x: Axes4, k: IntsAttr, s: IntsAttr, p: IntsAttr, d: IntsAttr, c: BoolAttr, out: StrAttr
) -> Sides:
    short = ops.nn.max_pool2d(
        x, pool_size=k, strides=s, padding=p, dilation=d, ceil_mode=c, out_layout=out
    )
    full = ops.nn.max_pool2d(
        x,
        pool_size=compute(_pair, k),
        strides=compute(_pair, s),
        padding=compute(four_sides, p),
        dilation=compute(_pair, d),
        ceil_mode=c,
        out_layout=out,
    )
    return short, full


@spelling.rule(source=DEFAULTS, when=[is_short("s", "p", "d")])
def average_pool_written_out(
    x: Axes4,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    i: BoolAttr,
    out: StrAttr,
) -> Sides:
    short = ops.nn.avg_pool2d(
        x,
        pool_size=k,
        strides=s,
        padding=p,
        dilation=d,
        ceil_mode=c,
        count_include_pad=i,
        out_layout=out,
    )
    full = ops.nn.avg_pool2d(
        x,
        pool_size=compute(_pair, k),
        strides=compute(_pair, s),
        padding=compute(four_sides, p),
        dilation=compute(_pair, d),
        ceil_mode=c,
        count_include_pad=i,
        out_layout=out,
    )
    return short, full


@predicate
def has_no_padding(padding: AttrValue) -> bool:
    """No side is padded."""
    return not any(int_tuple(padding))


@spelling.rule(source=DEFAULTS, when=[has_no_padding("p")])
def average_without_padding_counts_alike(
    x: Axes4, k: IntsAttr, s: IntsAttr, p: IntsAttr, d: IntsAttr, out: StrAttr
) -> Sides:
    def pooled(include: bool) -> Pattern:
        return ops.nn.avg_pool2d(
            x,
            pool_size=k,
            strides=s,
            padding=p,
            dilation=d,
            count_include_pad=include,
            out_layout=out,
        )

    return pooled(True), pooled(False)


# --- the dtype of a result ------------------------------------------------------------------


@predicate
def is_own_dtype(dtype: AttrValue, x: Known, y: Known) -> bool:
    """The dtype is that of both operands."""
    return dtype == x.dtype == y.dtype


@spelling.rule(source=DEFAULTS, when=[is_own_dtype("dtype", "x", "y")])
def product_in_own_dtype(x: Tensor, y: Tensor, dtype: DtypeAttr) -> Sides:
    return ops.matmul(x, y, out_dtype=dtype), x @ y


@spelling.rule(source=DEFAULTS, when=[is_own_dtype("dtype", "x", "w")])
def convolution_in_own_dtype(
    x: Axes4,
    w: Kernel4,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
    dtype: DtypeAttr,
) -> Sides:
    stated = ops.nn.conv2d(
        x, w, strides=s, padding=p, dilation=d, groups=g, out_layout=out, out_dtype=dtype
    )
    return stated, ops.nn.conv2d(x, w, strides=s, padding=p, dilation=d, groups=g, out_layout=out)


# --- axes -----------------------------------------------------------------------------------

AXES = "axes count from either end"


@profit
def is_negative(axis: AttrValue) -> bool:
    """The axis is counted from the end."""
    return int_tuple(axis)[0] < 0


def _from_start(x: Known, axis: AttrValue) -> int:
    return int_tuple(axis)[0] % x.ndim


@spelling.rule(source=AXES, when=[is_negative("k")])
def concat_axis_from_start(x: Tensor, y: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x, y], axis=k), ops.concat([x, y], axis=compute(_from_start, x, k))


@spelling.rule(source=AXES, when=[is_negative("k")])
def concat_axis_of_three_from_start(x: Tensor, y: Tensor, z: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x, y, z], axis=k), ops.concat([x, y, z], axis=compute(_from_start, x, k))


@predicate
def is_last_from_start(axis: AttrValue, x: Known) -> bool:
    """The axis is the last one, counted from the start."""
    return int_tuple(axis) == (x.ndim - 1,)


@spelling.rule(source=AXES, when=[is_last_from_start("k", "x")])
def softmax_of_last_axis(x: Float, k: IntAttr) -> Sides:
    return ops.nn.softmax(x, axis=k), ops.nn.softmax(x, axis=-1)
