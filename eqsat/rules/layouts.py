"""Layouts of images: a convolution of a permuted image is one of another layout, and pooling too.

Layouts are chosen by cost: all forms stand in one e-class.
"""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    BoolAttr,
    DtypeAttr,
    IntAttr,
    IntsAttr,
    Pattern,
    Sides,
    StrAttr,
    compute,
    ops,
    tensor,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import Phase, RuleSet, profit
from eqsat.rules.movement import full_permutation

layouts = RuleSet("layouts", Phase.EXPLORE)

Image = Annotated[Pattern, tensor("a b c d", dtype="float")]
Kernel = Annotated[Pattern, tensor("e f g h", dtype="float")]

RENAMED = "a layout only names axes"
_IMAGES = ("NCHW", "NHWC")


def _text(layout: AttrValue, default: str = "") -> str:
    return layout if isinstance(layout, str) and layout else default


def _layout_before(x: Known, permutation: AttrValue, layout: AttrValue) -> str | None:
    """Return the layout of x where its permuted form has `layout`."""
    order = full_permutation(x, permutation)
    named = dict(zip(order, _text(layout), strict=True))
    found = "".join(named[a] for a in range(x.ndim))
    return found if found in _IMAGES else None


def _result_layout(data: AttrValue, out: AttrValue) -> str:
    return _text(out, _text(data))


def _layout_after(x: Known, permutation: AttrValue, data: AttrValue, out: AttrValue) -> str | None:
    """Return the layout of a permuted result."""
    named = _result_layout(data, out)
    found = "".join(named[a] for a in full_permutation(x, permutation))
    return found if found in _IMAGES else None


@layouts.rule(source=RENAMED)
def convolution_of_permuted_image(
    x: Image,
    w: Kernel,
    r: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    data: StrAttr,
    kernel: StrAttr,
    out: StrAttr,
    t: DtypeAttr,
) -> Sides:
    def conv(image: Pattern, data_layout: object, out_layout: object) -> Pattern:
        return ops.nn.conv2d(
            image,
            w,
            strides=s,
            padding=p,
            dilation=d,
            groups=g,
            data_layout=data_layout,
            kernel_layout=kernel,
            out_layout=out_layout,
            out_dtype=t,
        )

    before = conv(x, compute(_layout_before, x, r, data), compute(_result_layout, data, out))
    return conv(ops.permute_dims(x, axes=r), data, out), before


@layouts.rule(source=RENAMED)
def permuted_convolution(
    x: Image,
    w: Kernel,
    r: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    data: StrAttr,
    kernel: StrAttr,
    out: StrAttr,
    t: DtypeAttr,
) -> Sides:
    def conv(out_layout: object) -> Pattern:
        return ops.nn.conv2d(
            x,
            w,
            strides=s,
            padding=p,
            dilation=d,
            groups=g,
            data_layout=data,
            kernel_layout=kernel,
            out_layout=out_layout,
            out_dtype=t,
        )

    after = conv(compute(_layout_after, x, r, data, out))
    return ops.permute_dims(conv(out), axes=r), after


@profit
def is_other_layout(data: AttrValue, kernel: AttrValue) -> bool:
    """The layouts are not NCHW and OIHW both."""
    return (data, kernel) != ("NCHW", "OIHW")


def _to(layout: str, wanted: str) -> tuple[int, ...] | None:
    return tuple(layout.index(name) for name in wanted) if layout else None


def _to_nchw(data: AttrValue) -> tuple[int, ...] | None:
    return _to(_text(data), "NCHW")


def _to_oihw(kernel: AttrValue) -> tuple[int, ...] | None:
    return _to(_text(kernel), "OIHW")


def _from_nchw(data: AttrValue, out: AttrValue) -> tuple[int, ...] | None:
    return _to("NCHW", _result_layout(data, out))


@layouts.rule(source=RENAMED, when=[is_other_layout("data", "kernel")])
def convolution_in_nchw(
    x: Image,
    w: Kernel,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    data: StrAttr,
    kernel: StrAttr,
    out: StrAttr,
    t: DtypeAttr,
) -> Sides:
    given = ops.nn.conv2d(
        x,
        w,
        strides=s,
        padding=p,
        dilation=d,
        groups=g,
        data_layout=data,
        kernel_layout=kernel,
        out_layout=out,
        out_dtype=t,
    )
    image = ops.permute_dims(x, axes=compute(_to_nchw, data))
    weight = ops.permute_dims(w, axes=compute(_to_oihw, kernel))
    plain = ops.nn.conv2d(image, weight, strides=s, padding=p, dilation=d, groups=g, out_dtype=t)
    return given, ops.permute_dims(plain, axes=compute(_from_nchw, data, out))


# --- pooling --------------------------------------------------------------------------------


@profit
def is_other_image_layout(data: AttrValue) -> bool:
    """The layout is not NCHW."""
    return data != "NCHW"


@layouts.rule(source=RENAMED, when=[is_other_image_layout("data")])
def max_pool_in_nchw(
    x: Image,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    data: StrAttr,
    out: StrAttr,
) -> Sides:
    def pooled(image: Pattern, layout: object, out_layout: object) -> Pattern:
        return ops.nn.max_pool2d(
            image,
            pool_size=k,
            strides=s,
            padding=p,
            dilation=d,
            ceil_mode=c,
            layout=layout,
            out_layout=out_layout,
        )

    plain = pooled(ops.permute_dims(x, axes=compute(_to_nchw, data)), "NCHW", None)
    return pooled(x, data, out), ops.permute_dims(plain, axes=compute(_from_nchw, data, out))


@layouts.rule(source=RENAMED, when=[is_other_image_layout("data")])
def average_pool_in_nchw(
    x: Image,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    i: BoolAttr,
    data: StrAttr,
    out: StrAttr,
) -> Sides:
    def pooled(image: Pattern, layout: object, out_layout: object) -> Pattern:
        return ops.nn.avg_pool2d(
            image,
            pool_size=k,
            strides=s,
            padding=p,
            dilation=d,
            ceil_mode=c,
            count_include_pad=i,
            layout=layout,
            out_layout=out_layout,
        )

    plain = pooled(ops.permute_dims(x, axes=compute(_to_nchw, data)), "NCHW", None)
    return pooled(x, data, out), ops.permute_dims(plain, axes=compute(_from_nchw, data, out))
