"""Reductions: nested ones, those over permuted or merged axes, means in their spellings."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    BoolAttr,
    Dims,
    Float,
    IntAttr,
    IntsAttr,
    Number,
    Pattern,
    Sides,
    StrAttr,
    Tensor,
    compute,
    ops,
    tensor,
)
from eqsat.rules._predicates import has_wide_range
from eqsat.rules._resolve import Known
from eqsat.rules._rule import (
    REASSOCIATES,
    ROUNDING,
    Phase,
    RuleSet,
    predicate,
    profit,
    types_agree,
)
from eqsat.rules.movement import VIEWS, full_permutation, int_tuple
from eqsat.shapes import Equal, Shape, normalize_axes, product

reductions = RuleSet("reductions", Phase.SIMPLIFY)
merged_reductions = RuleSet("merged_reductions", Phase.MERGE)

NESTED = "a sum over two sets of axes is the sum of sums"


def reduced_axes(x: Known, axes: AttrValue) -> tuple[int, ...]:
    """Return the axes a reduction runs over, from 0; None is all."""
    if axes is None:
        return tuple(range(x.ndim))
    return normalize_axes(int_tuple(axes), x.ndim)


def _joined_axes(x: Known, inner: AttrValue, outer: AttrValue) -> tuple[int, ...]:
    gone = reduced_axes(x, inner)
    kept = [a for a in range(x.ndim) if a not in gone]
    second = range(len(kept)) if outer is None else normalize_axes(int_tuple(outer), len(kept))
    return tuple(sorted({*gone, *(kept[a] for a in second)}))


def _union_of_axes(x: Known, inner: AttrValue, outer: AttrValue) -> tuple[int, ...]:
    return tuple(sorted({*reduced_axes(x, inner), *reduced_axes(x, outer)}))


@reductions.rule(source=NESTED, numerics=REASSOCIATES)
def sum_of_sum(x: Tensor, a: IntsAttr, b: IntsAttr) -> Sides:
    return (
        ops.sum(ops.sum(x, axis=a, keepdims=False), axis=b, keepdims=False),
        ops.sum(x, axis=compute(_joined_axes, x, a, b), keepdims=False),
    )


@reductions.rule(source=NESTED, numerics=REASSOCIATES)
def sum_of_sum_keeping_axes(x: Tensor, a: IntsAttr, b: IntsAttr) -> Sides:
    return (
        ops.sum(ops.sum(x, axis=a, keepdims=True), axis=b, keepdims=True),
        ops.sum(x, axis=compute(_union_of_axes, x, a, b), keepdims=True),
    )


@reductions.rule(source=NESTED)
def max_of_max(x: Tensor, a: IntsAttr, b: IntsAttr) -> Sides:
    return (
        ops.max(ops.max(x, axis=a, keepdims=False), axis=b, keepdims=False),
        ops.max(x, axis=compute(_joined_axes, x, a, b), keepdims=False),
    )


@reductions.rule(source=NESTED)
def max_of_max_keeping_axes(x: Tensor, a: IntsAttr, b: IntsAttr) -> Sides:
    return (
        ops.max(ops.max(x, axis=a, keepdims=True), axis=b, keepdims=True),
        ops.max(x, axis=compute(_union_of_axes, x, a, b), keepdims=True),
    )


@reductions.rule(source="every group has the same size", numerics=ROUNDING)
def mean_of_mean(x: Float, a: IntsAttr, b: IntsAttr) -> Sides:
    return (
        ops.mean(ops.mean(x, axis=a, keepdims=False), axis=b, keepdims=False),
        ops.mean(x, axis=compute(_joined_axes, x, a, b), keepdims=False),
    )


@reductions.rule(source="every group has the same size", numerics=ROUNDING)
def mean_of_mean_keeping_axes(x: Float, a: IntsAttr, b: IntsAttr) -> Sides:
    return (
        ops.mean(ops.mean(x, axis=a, keepdims=True), axis=b, keepdims=True),
        ops.mean(x, axis=compute(_union_of_axes, x, a, b), keepdims=True),
    )


# --- means ----------------------------------------------------------------------------------


@predicate
def counts_elements(x: Known, axes: AttrValue, c: Known) -> bool:
    """Whether c is the number of elements that are summed."""
    count = product(tuple(x.dims[a] for a in reduced_axes(x, axes)))
    number = c.number
    return number is not None and number % 1 == 0 and x.proves(Equal(count, int(number)))


@reductions.rule(
    source="definition of the mean",
    numerics=ROUNDING,
    when=[counts_elements("x", "a", "c"), types_agree],
)
def sum_divided_by_count_is_mean(x: Float, a: IntsAttr, k: BoolAttr, c: Number) -> Sides:
    return ops.sum(x, axis=a, keepdims=k) / c, ops.mean(x, axis=a, keepdims=k)


@predicate
def is_reciprocal_of_count(x: Known, axes: AttrValue, c: Known) -> bool:
    """Whether c is 1 over the number of elements that are summed, to float32 accuracy."""
    count = product(tuple(x.dims[a] for a in reduced_axes(x, axes)))
    if c.number is None or not isinstance(count, int):
        return False
    return abs(c.number * count - 1) < 1e-7


@reductions.rule(
    source="definition of the mean",
    numerics=ROUNDING,
    when=[is_reciprocal_of_count("x", "a", "c"), types_agree],
)
def sum_times_reciprocal_is_mean(x: Float, a: IntsAttr, k: BoolAttr, c: Number) -> Sides:
    return ops.sum(x, axis=a, keepdims=k) * c, ops.mean(x, axis=a, keepdims=k)


# --- reductions of views --------------------------------------------------------------------


@predicate
def reduces_unit_axes(x: Known, axes: AttrValue) -> bool:
    """Every reduced axis has size 1."""
    return all(x.proves(Equal(x.dims[a], 1)) for a in reduced_axes(x, axes))


def _reduced_dims(x: Known, axes: AttrValue, keepdims: AttrValue) -> Shape:
    gone = reduced_axes(x, axes)
    if keepdims:
        return tuple(1 if a in gone else d for a, d in enumerate(x.dims))
    return tuple(d for a, d in enumerate(x.dims) if a not in gone)


@reductions.rule(source="a sum of one term", when=[reduces_unit_axes("x", "a")])
def sum_over_unit_axes_is_reshape(x: Tensor, a: IntsAttr, k: BoolAttr) -> Sides:
    return ops.sum(x, axis=a, keepdims=k), ops.reshape(x, compute(_reduced_dims, x, a, k))


@reductions.rule(source="a mean of one term", when=[reduces_unit_axes("x", "a")])
def mean_over_unit_axes_is_reshape(x: Float, a: IntsAttr, k: BoolAttr) -> Sides:
    return ops.mean(x, axis=a, keepdims=k), ops.reshape(x, compute(_reduced_dims, x, a, k))


def _kept_in_order(x: Known, permutation: AttrValue, axes: AttrValue) -> bool:
    order = full_permutation(x, permutation)
    gone = reduced_axes(x, axes)
    kept = [a for i, a in enumerate(order) if i not in gone]
    return kept == sorted(kept)


@predicate
def other_axes_keep_order(x: Known, permutation: AttrValue, axes: AttrValue) -> bool:
    """The permutation leaves the axes that are not reduced in order."""
    return _kept_in_order(x, permutation, axes)


def _axes_before_permute(x: Known, permutation: AttrValue, axes: AttrValue) -> tuple[int, ...]:
    order = full_permutation(x, permutation)
    return tuple(sorted(order[a] for a in reduced_axes(x, axes)))


@reductions.rule(
    source="a sum does not depend on the order of its axes",
    numerics=REASSOCIATES,
    when=[other_axes_keep_order("x", "p", "a")],
)
def sum_of_permuted(x: Tensor, p: IntsAttr, a: IntsAttr) -> Sides:
    return (
        ops.sum(ops.permute_dims(x, axes=p), axis=a, keepdims=False),
        ops.sum(x, axis=compute(_axes_before_permute, x, p, a), keepdims=False),
    )


@reductions.rule(
    source="a sum does not depend on the order of its axes",
    numerics=REASSOCIATES,
    when=[other_axes_keep_order("x", "p", "a")],
)
def mean_of_permuted(x: Float, p: IntsAttr, a: IntsAttr) -> Sides:
    return (
        ops.mean(ops.permute_dims(x, axes=p), axis=a, keepdims=False),
        ops.mean(x, axis=compute(_axes_before_permute, x, p, a), keepdims=False),
    )


Image = Annotated[Pattern, tensor("n c h w")]


@predicate
def merges_trailing_two(x: Known, s: Shape) -> bool:
    """The reshape makes the last two axes one and keeps the others."""
    if x.ndim != 4 or len(s) != 3:
        return False
    wanted = (*x.dims[:2], x.dims[2] * x.dims[3])
    return all(x.proves(Equal(a, b)) for a, b in zip(wanted, s, strict=True))


@predicate
def reduces_only_last(s: Shape, axes: AttrValue) -> bool:
    """Only the last axis of the shape is reduced."""
    return axes is not None and normalize_axes(int_tuple(axes), len(s)) == (len(s) - 1,)


@reductions.rule(
    source="a sum does not depend on the order of its axes",
    numerics=REASSOCIATES,
    when=[merges_trailing_two("x", "s"), reduces_only_last("s", "a")],
)
def mean_of_merged_axes(x: Image, s: Dims, a: IntsAttr) -> Sides:
    return (
        ops.mean(ops.reshape(x, s), axis=a, keepdims=False),
        ops.mean(x, axis=(2, 3), keepdims=False),
    )


@predicate
def keeps_layout(layout: AttrValue) -> bool:
    """The output has the layout of the input, NCHW."""
    return layout in (None, "", "NCHW")


@predicate
def all_are(values: AttrValue, number: int) -> bool:
    """Every number of the attribute is `number`."""
    return values is not None and set(int_tuple(values)) == {number}


POOL = "definition of average pooling"


@reductions.rule(source=POOL, numerics=REASSOCIATES, when=[all_are("size", 1), keeps_layout("out")])
def global_average_pool_is_mean(x: Image, size: IntsAttr, out: StrAttr) -> Sides:
    return (
        ops.nn.adaptive_avg_pool2d(x, output_size=size, out_layout=out),
        ops.mean(x, axis=(2, 3), keepdims=True),
    )


@predicate
def covers_image(x: Known, window: AttrValue) -> bool:
    """The window has the size of the image."""
    sizes = int_tuple(window)
    height, width = sizes if len(sizes) == 2 else (sizes[0], sizes[0])
    return x.proves(Equal(x.dims[2], height)) and x.proves(Equal(x.dims[3], width))


@reductions.rule(
    source=POOL,
    numerics=REASSOCIATES,
    when=[covers_image("x", "k"), all_are("p", 0), keeps_layout("out")],
)
def average_pool_of_all_is_mean(
    x: Image,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    i: BoolAttr,
    out: StrAttr,
) -> Sides:
    pooled = ops.nn.avg_pool2d(
        x,
        pool_size=k,
        strides=s,
        padding=p,
        dilation=d,
        ceil_mode=c,
        count_include_pad=i,
        out_layout=out,
    )
    return pooled, ops.mean(x, axis=(2, 3), keepdims=True)


@reductions.rule(
    source="distributive law", numerics=REASSOCIATES, when=[types_agree, has_wide_range("x")]
)
def sum_of_scaled(x: Tensor, a: IntsAttr, k: BoolAttr, c: Number) -> Sides:
    return ops.sum(x * c, axis=a, keepdims=k), ops.sum(x, axis=a, keepdims=k) * c


# --- a reduction that another one begins ----------------------------------------------------


@profit
def reduces_some(x: Known, axes: AttrValue) -> bool:
    """Some axis is reduced and another is left."""
    return axes is not None and 0 < len(reduced_axes(x, axes)) < x.ndim


@merged_reductions.rule(source=NESTED, when=[reduces_some("x", "a")])
def max_begun_by_another(x: Tensor, a: IntsAttr, k: BoolAttr) -> Sides:
    rows = ops.max(x, axis=a, keepdims=k)
    whole = ops.max(x, axis=None, keepdims=False)
    return (rows, whole), (rows, ops.max(rows, axis=None, keepdims=False))


@merged_reductions.rule(source=NESTED, when=[reduces_some("x", "a")])
def min_begun_by_another(x: Tensor, a: IntsAttr, k: BoolAttr) -> Sides:
    rows = ops.min(x, axis=a, keepdims=k)
    whole = ops.min(x, axis=None, keepdims=False)
    return (rows, whole), (rows, ops.min(rows, axis=None, keepdims=False))


# --- reductions and views that add or restore axes of size 1 --------------------------------


def _axes_before_expansion(x: Known, s: Shape, axes: AttrValue) -> tuple[int, ...] | None:
    """Return which axes of x are reduced, where s only puts axes of size 1 between them."""
    sources: list[int | None] = []
    place = 0
    for size in s:
        if place < x.ndim and x.proves(Equal(size, x.dims[place])):
            sources.append(place)
            place += 1
        elif x.proves(Equal(size, 1)):
            sources.append(None)
        else:
            return None
    if place < x.ndim or axes is None:
        return None
    reduced = [sources[a] for a in normalize_axes(int_tuple(axes), len(s))]
    return tuple(a for a in reduced if a is not None) or None


def _dims_after(s: Shape, axes: AttrValue, keepdims: AttrValue) -> Shape | None:
    if axes is None:
        return None
    gone = normalize_axes(int_tuple(axes), len(s))
    if keepdims:
        return tuple(1 if a in gone else d for a, d in enumerate(s))
    return tuple(d for a, d in enumerate(s) if a not in gone)


@reductions.rule(source=VIEWS, numerics=REASSOCIATES)
def sum_of_expanded(x: Tensor, s: Dims, a: IntsAttr, k: BoolAttr) -> Sides:
    inner = ops.sum(x, axis=compute(_axes_before_expansion, x, s, a), keepdims=False)
    return (
        ops.sum(ops.reshape(x, s), axis=a, keepdims=k),
        ops.reshape(inner, compute(_dims_after, s, a, k)),
    )


@reductions.rule(source=VIEWS, numerics=REASSOCIATES)
def mean_of_expanded(x: Float, s: Dims, a: IntsAttr, k: BoolAttr) -> Sides:
    inner = ops.mean(x, axis=compute(_axes_before_expansion, x, s, a), keepdims=False)
    return (
        ops.mean(ops.reshape(x, s), axis=a, keepdims=k),
        ops.reshape(inner, compute(_dims_after, s, a, k)),
    )


@predicate
def restores_reduced_axes(x: Known, axes: AttrValue, s: Shape) -> bool:
    """The shape is that of x with 1 where an axis is reduced."""
    kept = _reduced_dims(x, axes, True)
    return len(kept) == len(s) and all(x.proves(Equal(a, b)) for a, b in zip(kept, s, strict=True))


@reductions.rule(source=VIEWS, when=[restores_reduced_axes("x", "a", "s")])
def reshaped_sum_keeps_axes(x: Tensor, a: IntsAttr, s: Dims) -> Sides:
    reduced = ops.sum(x, axis=a, keepdims=False)
    return ops.reshape(reduced, s), ops.sum(x, axis=a, keepdims=True)


@reductions.rule(source=VIEWS, when=[restores_reduced_axes("x", "a", "s")])
def reshaped_mean_keeps_axes(x: Float, a: IntsAttr, s: Dims) -> Sides:
    reduced = ops.mean(x, axis=a, keepdims=False)
    return ops.reshape(reduced, s), ops.mean(x, axis=a, keepdims=True)


# --- two numbers joined to be compared ------------------------------------------------------


@predicate
def is_only_axis_of_one(x: Known, axis: AttrValue, axes: AttrValue) -> bool:
    """The concatenated axis is the reduced one, and x has one element along it."""
    (a,) = int_tuple(axis)
    return reduced_axes(x, axes) == (a % x.ndim,) and x.proves(Equal(x.dims[a % x.ndim], 1))


JOINED = [is_only_axis_of_one("x", "c", "a"), is_only_axis_of_one("y", "c", "a")]


def _both(x: Pattern, y: Pattern, a: IntsAttr, k: BoolAttr) -> tuple[Pattern, Pattern]:
    shape = compute(_reduced_dims, x, a, k)
    return ops.reshape(x, shape), ops.reshape(y, shape)


@reductions.rule(source=NESTED, when=JOINED)
def max_of_two_joined(x: Tensor, y: Tensor, c: IntAttr, a: IntsAttr, k: BoolAttr) -> Sides:
    return (
        ops.max(ops.concat([x, y], axis=c), axis=a, keepdims=k),
        ops.maximum(*_both(x, y, a, k)),
    )


@reductions.rule(source=NESTED, when=JOINED)
def min_of_two_joined(x: Tensor, y: Tensor, c: IntAttr, a: IntsAttr, k: BoolAttr) -> Sides:
    return (
        ops.min(ops.concat([x, y], axis=c), axis=a, keepdims=k),
        ops.minimum(*_both(x, y, a, k)),
    )
