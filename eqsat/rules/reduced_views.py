"""Reductions of views and products, and pools of whole images or of single elements."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    AttrVar,
    BoolAttr,
    Dims,
    Float,
    IntAttr,
    IntsAttr,
    Pattern,
    Sides,
    StrAttr,
    Tensor,
    attr,
    compute,
    ops,
    tensor,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, ROUNDING, Phase, RuleSet, predicate, profit
from eqsat.rules.concatenation import as_dims
from eqsat.rules.convolution import all_ones, joined_padding, no_padding, pads_only_space
from eqsat.rules.movement import full_permutation, int_tuple
from eqsat.rules.reductions import covers_image, keeps_layout, reduced_axes
from eqsat.shapes import Equal, LessEqual, Shape, normalize_axes, product

reduced_views = RuleSet("reduced_views", Phase.SIMPLIFY)

DimsAttr = Annotated[AttrVar, attr("dims")]
Image = Annotated[Pattern, tensor("n c h w", dtype="float")]
Rows = Annotated[Pattern, tensor("... m k")]
Matrix = Annotated[Pattern, tensor("k n")]
BatchMK = Annotated[Pattern, tensor("b m k")]
BatchKN = Annotated[Pattern, tensor("b k n")]

ORDER = "a sum does not depend on the order of its terms"


# --- reshapes -------------------------------------------------------------------------------


def _common(x: Known, s: Shape) -> tuple[int, int]:
    """Return how many leading and how many trailing axes a reshape does not change."""
    limit = min(x.ndim, len(s))
    front = 0
    while front < limit and x.proves(Equal(x.dims[front], s[front])):
        front += 1
    back = 0
    while back < limit - front and x.proves(Equal(x.dims[-1 - back], s[-1 - back])):
        back += 1
    return front, back


def _reduced(s: Shape, axes: AttrValue) -> tuple[int, ...]:
    return tuple(range(len(s))) if axes is None else normalize_axes(int_tuple(axes), len(s))


@predicate
def reduces_what_is_reshaped(x: Known, s: Shape, axes: AttrValue) -> bool:
    """Every axis that the reshape changes is reduced."""
    front, back = _common(x, s)
    return set(range(front, len(s) - back)) <= set(_reduced(s, axes))


def _axes_before(x: Known, s: Shape, axes: AttrValue) -> tuple[int, ...]:
    front, back = _common(x, s)
    gone = _reduced(s, axes)
    leading = [a for a in gone if a < front]
    trailing = [a - len(s) + x.ndim for a in gone if a >= len(s) - back]
    return (*leading, *range(front, x.ndim - back), *trailing)


@reduced_views.rule(
    source=ORDER, numerics=REASSOCIATES, when=[reduces_what_is_reshaped("x", "s", "a")]
)
def sum_of_reshaped(x: Tensor, s: Dims, a: IntsAttr) -> Sides:
    return (
        ops.sum(ops.reshape(x, s), axis=a, keepdims=False),
        ops.sum(x, axis=compute(_axes_before, x, s, a), keepdims=False),
    )


@reduced_views.rule(source=ORDER, when=[reduces_what_is_reshaped("x", "s", "a")])
def max_of_reshaped(x: Tensor, s: Dims, a: IntsAttr) -> Sides:
    return (
        ops.max(ops.reshape(x, s), axis=a, keepdims=False),
        ops.max(x, axis=compute(_axes_before, x, s, a), keepdims=False),
    )


@predicate
def reduces_what_is_kept(x: Known, s: Shape, axes: AttrValue) -> bool:
    """No axis that the reshape changes is reduced, and those alone have as many elements."""
    front, back = _common(x, s)
    before, after = x.dims[front : x.ndim - back], s[front : len(s) - back]
    kept = set(range(front, len(s) - back)).isdisjoint(_reduced(s, axes))
    return kept and x.proves(Equal(product(before), product(after)))


def _axes_kept(x: Known, s: Shape, axes: AttrValue) -> tuple[int, ...]:
    front, _ = _common(x, s)
    return tuple(a if a < front else a - len(s) + x.ndim for a in _reduced(s, axes))


def _left(s: Shape, axes: AttrValue) -> Shape:
    gone = _reduced(s, axes)
    return tuple(d for a, d in enumerate(s) if a not in gone)


@reduced_views.rule(source=ORDER, numerics=REASSOCIATES, when=[reduces_what_is_kept("x", "s", "a")])
def reshape_behind_sum(x: Tensor, s: Dims, a: IntsAttr) -> Sides:
    inner = ops.sum(x, axis=compute(_axes_kept, x, s, a), keepdims=False)
    return (
        ops.sum(ops.reshape(x, s), axis=a, keepdims=False),
        ops.reshape(inner, compute(_left, s, a)),
    )


# --- transposes -----------------------------------------------------------------------------


def _source_axes(x: Known, permutation: AttrValue, axes: AttrValue) -> tuple[int, ...]:
    order = full_permutation(x, permutation)
    return tuple(sorted(order[a] for a in reduced_axes(x, axes)))


def _order_left(x: Known, permutation: AttrValue, axes: AttrValue) -> tuple[int, ...]:
    gone = reduced_axes(x, axes)
    kept = [a for i, a in enumerate(full_permutation(x, permutation)) if i not in gone]
    return tuple(sorted(kept).index(a) for a in kept)


@profit
def other_axes_change_order(x: Known, permutation: AttrValue, axes: AttrValue) -> bool:
    """The permutation moves axes that are not reduced: else no transpose is left."""
    order = _order_left(x, permutation, axes)
    return order != tuple(range(len(order)))


@reduced_views.rule(
    source=ORDER, numerics=REASSOCIATES, when=[other_axes_change_order("x", "p", "a")]
)
def permute_behind_sum(x: Tensor, p: IntsAttr, a: IntsAttr) -> Sides:
    inner = ops.sum(x, axis=compute(_source_axes, x, p, a), keepdims=False)
    return (
        ops.sum(ops.permute_dims(x, axes=p), axis=a, keepdims=False),
        ops.permute_dims(inner, axes=compute(_order_left, x, p, a)),
    )


@reduced_views.rule(source="the sign is a common factor", numerics=REASSOCIATES)
def sum_of_negative(x: Tensor, a: IntsAttr, k: BoolAttr) -> Sides:
    return ops.sum(-x, axis=a, keepdims=k), -ops.sum(x, axis=a, keepdims=k)


# --- products -------------------------------------------------------------------------------

BILINEAR = "linear algebra: the product is bilinear"


@predicate
def reduces_only(x: Known, axes: AttrValue, place: int) -> bool:
    """The only reduced axis is the one at `place`, counted from the end."""
    return axes is not None and normalize_axes(int_tuple(axes), x.ndim) == (x.ndim + place,)


@reduced_views.rule(source=BILINEAR, numerics=REASSOCIATES, when=[reduces_only("x", "a", -2)])
def sum_of_rows_of_product(x: Rows, w: Matrix, a: IntsAttr) -> Sides:
    return (
        ops.sum(x @ w, axis=a, keepdims=False),
        ops.sum(x, axis=(-2,), keepdims=False) @ w,
    )


@reduced_views.rule(source=BILINEAR, numerics=REASSOCIATES, when=[reduces_only("x", "a", -1)])
def sum_of_columns_of_product(x: Rows, w: Matrix, a: IntsAttr) -> Sides:
    return (
        ops.sum(x @ w, axis=a, keepdims=False),
        x @ ops.sum(w, axis=(1,), keepdims=False),
    )


def _joined_rows(x: Known) -> Shape:
    b, m, k = x.dims
    return (m, b * k)


def _joined_columns(w: Known) -> Shape:
    b, k, n = w.dims
    return (b * k, n)


@predicate
def reduces_batch(axes: AttrValue) -> bool:
    """The reduced axis is the first of three."""
    return axes is not None and normalize_axes(int_tuple(axes), 3) == (0,)


@reduced_views.rule(
    source="a sum of products is a product of blocks",
    numerics=REASSOCIATES,
    when=[reduces_batch("a")],
)
def sum_of_batch_of_products(x: BatchMK, w: BatchKN, a: IntsAttr) -> Sides:
    rows = ops.reshape(ops.permute_dims(x, axes=(1, 0, 2)), compute(_joined_rows, x))
    return (
        ops.sum(x @ w, axis=a, keepdims=False),
        rows @ ops.reshape(w, compute(_joined_columns, w)),
    )


# --- prefix sums ----------------------------------------------------------------------------


@predicate
def takes_last(
    x: Known, axis: AttrValue, axes: AttrValue, begin: AttrValue, end: AttrValue
) -> bool:
    """The slice is the last position of the axis that is summed up."""
    if not isinstance(axis, int) or not x.ndim:
        return False
    if [a % x.ndim for a in int_tuple(axes)] != [axis % x.ndim]:
        return False
    ((first,), (last,)), size = (as_dims(begin), as_dims(end)), x.dims[axis % x.ndim]
    is_one = x.proves(Equal(first + 1, size)) and x.proves(LessEqual(0, first))
    return is_one and x.proves(Equal(last, size))


def _single(axis: AttrValue) -> tuple[int, ...]:
    return int_tuple(axis)


@reduced_views.rule(
    source="the last prefix sum is the sum",
    numerics=REASSOCIATES,
    when=[takes_last("x", "k", "a", "b", "e")],
)
def last_prefix_sum_is_sum(
    x: Float, k: IntAttr, a: IntsAttr, b: DimsAttr, e: DimsAttr, s: DimsAttr, i: BoolAttr
) -> Sides:
    return (
        ops.strided_slice(
            ops.cumsum(x, axis=k), axes=a, begin=b, end=e, strides=s, assume_inbound=i
        ),
        ops.sum(x, axis=compute(_single, k), keepdims=True),
    )


# --- pools ----------------------------------------------------------------------------------

POOL = "definition of pooling"


@reduced_views.rule(
    source=POOL,
    when=[all_ones("k"), all_ones("s"), no_padding("p"), keeps_layout("out")],
)
def max_pool_of_one(
    x: Image, k: IntsAttr, s: IntsAttr, p: IntsAttr, d: IntsAttr, c: BoolAttr, out: StrAttr
) -> Sides:
    pooled = ops.nn.max_pool2d(
        x, pool_size=k, strides=s, padding=p, dilation=d, ceil_mode=c, out_layout=out
    )
    return pooled, x


@reduced_views.rule(
    source=POOL, when=[covers_image("x", "k"), no_padding("p"), keeps_layout("out")]
)
def max_pool_of_all_is_max(
    x: Image, k: IntsAttr, s: IntsAttr, p: IntsAttr, d: IntsAttr, c: BoolAttr, out: StrAttr
) -> Sides:
    pooled = ops.nn.max_pool2d(
        x, pool_size=k, strides=s, padding=p, dilation=d, ceil_mode=c, out_layout=out
    )
    return pooled, ops.max(x, axis=(2, 3), keepdims=True)


@reduced_views.rule(source="padding of a maximum is minus infinity", when=[pads_only_space("e")])
def pad_into_max_pool(
    x: Image,
    e: IntsAttr,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    out: StrAttr,
) -> Sides:
    def pooled(image: Pattern, padding: object) -> Pattern:
        return ops.nn.max_pool2d(
            image, pool_size=k, strides=s, padding=padding, dilation=d, out_layout=out
        )

    padded = ops.nn.pad(x, pad_width=e, pad_mode="constant", pad_value=float("-inf"))
    return pooled(padded, p), pooled(x, compute(joined_padding, p, e))


@reduced_views.rule(
    source="an average that counts its padding pads with zeros",
    numerics=ROUNDING,
    when=[pads_only_space("e")],
)
def pad_into_average_pool(
    x: Image, e: IntsAttr, k: IntsAttr, s: IntsAttr, p: IntsAttr, d: IntsAttr, out: StrAttr
) -> Sides:
    def pooled(image: Pattern, padding: object) -> Pattern:
        return ops.nn.avg_pool2d(
            image,
            pool_size=k,
            strides=s,
            padding=padding,
            dilation=d,
            count_include_pad=True,
            out_layout=out,
        )

    padded = ops.nn.pad(x, pad_width=e, pad_mode="constant", pad_value=0.0)
    return pooled(padded, p), pooled(x, compute(joined_padding, p, e))
