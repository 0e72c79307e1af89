"""Block matrices and their like: concat of operands against concat and sum of results."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    BoolAttr,
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
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet, predicate
from eqsat.rules.concatenation import SectionsAttr
from eqsat.rules.convolution import Image, Kernel, OtherKernel, conv, is_nchw, kernel_margin
from eqsat.rules.linearity import average
from eqsat.rules.movement import int_tuple
from eqsat.shapes import Dim, Equal, Proof, equal_shapes

blocks = RuleSet("blocks", Phase.EXPLORE)

Rows = Annotated[Pattern, tensor("... m k")]
OtherRows = Annotated[Pattern, tensor("... l k")]
OtherInner = Annotated[Pattern, tensor("... m j")]
Columns = Annotated[Pattern, tensor("... k n")]
OtherColumns = Annotated[Pattern, tensor("... k p")]
OtherInnerColumns = Annotated[Pattern, tensor("... j n")]
MoreChannels = Annotated[Pattern, tensor("n e h w", dtype="float")]
DeeperKernel = Annotated[Pattern, tensor("o e p q", dtype="float")]
PointKernel = Annotated[Pattern, tensor("u i 1 1", dtype="float")]
OtherBatch = Annotated[Pattern, tensor("b c h w", dtype="float")]

BLOCKS = "block matrices; TASO (SOSP 2019), table of rules"
CHANNELS = "TASO (SOSP 2019): channels and images of a batch are computed by themselves"


@predicate
def same_leading(x: Known, y: Known) -> bool:
    """Both have the same axes before the last two."""
    if x.ndim != y.ndim or x.ndim < 2:
        return False
    return all(x.proves(Equal(a, b)) for a, b in zip(x.dims[:-2], y.dims[:-2], strict=True))


@predicate
def is_axis(axis: AttrValue, x: Known, place: int) -> bool:
    """The axis is the one at `place`, counted from the end of x."""
    (a,) = int_tuple(axis)
    return x.ndim >= -place and a % x.ndim == x.ndim + place


@predicate
def is_axis_of_product(axis: AttrValue, x: Known, y: Known, place: int) -> bool:
    """The axis is the one at `place`, counted from the end of x @ y."""
    (a,) = int_tuple(axis)
    rank = max(x.ndim, y.ndim)
    return a % rank == rank + place


@predicate
def is_channel_axis(axis: AttrValue) -> bool:
    """The axis is that of channels in NCHW."""
    return int_tuple(axis) in ((1,), (-3,))


@predicate
def is_batch_axis(axis: AttrValue) -> bool:
    """The axis is that of the images of a batch in NCHW."""
    return int_tuple(axis) in ((0,), (-4,))


def cuts_at(x: Known, end: Dim, rest: Dim, sections: AttrValue) -> bool:
    """Return whether the only cut of a split of an axis of end + rest lies at `end`."""
    if isinstance(sections, int):
        return sections == 2 and x.proves(Equal(end, rest))
    cuts = int_tuple(sections)
    return len(cuts) == 1 and x.proves(Equal(end, cuts[0]))


def _last(x: Known) -> int:
    return x.ndim - 1


def _last_but_one(x: Known) -> int:
    return x.ndim - 2


# --- products -------------------------------------------------------------------------------


@blocks.rule(
    source=BLOCKS,
    numerics=REASSOCIATES,
    when=[same_leading("a", "c"), same_leading("b", "d")],
)
def sum_of_products_is_product_of_blocks(
    a: Rows, b: Columns, c: OtherInner, d: OtherInnerColumns
) -> Sides:
    return a @ b + c @ d, ops.concat([a, c], axis=compute(_last, a)) @ ops.concat(
        [b, d], axis=compute(_last_but_one, b)
    )


@blocks.rule(
    source=BLOCKS,
    numerics=REASSOCIATES,
    when=[is_axis_of_product("k", "x", "v", -1), same_leading("v", "w")],
)
def columns_of_products_join(x: Rows, v: Columns, w: OtherColumns, k: IntAttr) -> Sides:
    return ops.concat([x @ v, x @ w], axis=k), x @ ops.concat([v, w], axis=compute(_last, v))


@blocks.rule(
    source=BLOCKS,
    numerics=REASSOCIATES,
    when=[is_axis_of_product("k", "x", "v", -1), same_leading("v", "w")],
)
def columns_of_scaled_products_join(
    x: Rows, v: Columns, w: OtherColumns, k: IntAttr, c: Number
) -> Sides:
    apart = ops.concat([x @ v, (x @ w) * c], axis=k)
    return apart, x @ ops.concat([v, w * c], axis=compute(_last, v))


@blocks.rule(
    source=BLOCKS,
    numerics=REASSOCIATES,
    when=[is_axis_of_product("k", "x", "w", -2), same_leading("x", "y")],
)
def rows_of_products_join(x: Rows, y: OtherRows, w: Columns, k: IntAttr) -> Sides:
    return ops.concat([x @ w, y @ w], axis=k), ops.concat(
        [x, y], axis=compute(_last_but_one, x)
    ) @ w


@predicate
def cuts_columns(v: Known, w: Known, sections: AttrValue) -> bool:
    """The columns are cut where those of v end."""
    return cuts_at(v, v.dims[-1], w.dims[-1], sections)


@predicate
def cuts_rows(x: Known, y: Known, sections: AttrValue) -> bool:
    """The rows are cut where those of x end."""
    return cuts_at(x, x.dims[-2], y.dims[-2], sections)


COLUMN_PARTS = (
    is_axis("a", "x", -1),
    is_axis("k", "v", -1),
    same_leading("v", "x"),
    cuts_columns("v", "w", "i"),
)


@blocks.rule(source=BLOCKS, numerics=REASSOCIATES, when=COLUMN_PARTS)
def first_columns_of_product(
    x: Rows, v: Columns, w: OtherColumns, i: SectionsAttr, k: IntAttr, a: IntAttr
) -> Sides:
    both = x @ ops.concat([v, w], axis=k)
    return ops.split(both, indices_or_sections=i, axis=a)[0], x @ v


@blocks.rule(source=BLOCKS, numerics=REASSOCIATES, when=COLUMN_PARTS)
def last_columns_of_product(
    x: Rows, v: Columns, w: OtherColumns, i: SectionsAttr, k: IntAttr, a: IntAttr
) -> Sides:
    both = x @ ops.concat([v, w], axis=k)
    return ops.split(both, indices_or_sections=i, axis=a)[1], x @ w


ROW_PARTS = (
    is_axis("a", "w", -2),
    is_axis("k", "x", -2),
    same_leading("x", "w"),
    cuts_rows("x", "y", "i"),
)


@blocks.rule(source=BLOCKS, numerics=REASSOCIATES, when=ROW_PARTS)
def first_rows_of_product(
    x: Rows, y: OtherRows, w: Columns, i: SectionsAttr, k: IntAttr, a: IntAttr
) -> Sides:
    both = ops.concat([x, y], axis=k) @ w
    return ops.split(both, indices_or_sections=i, axis=a)[0], x @ w


@blocks.rule(source=BLOCKS, numerics=REASSOCIATES, when=ROW_PARTS)
def last_rows_of_product(
    x: Rows, y: OtherRows, w: Columns, i: SectionsAttr, k: IntAttr, a: IntAttr
) -> Sides:
    both = ops.concat([x, y], axis=k) @ w
    return ops.split(both, indices_or_sections=i, axis=a)[1], y @ w


# --- convolutions ---------------------------------------------------------------------------


@blocks.rule(source=CHANNELS, numerics=REASSOCIATES)
def sum_of_convolutions_is_convolution_of_channels(
    x: Image,
    v: Kernel,
    y: MoreChannels,
    w: DeeperKernel,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    out: StrAttr,
) -> Sides:
    both = conv(x, v, s, p, d, 1, out) + conv(y, w, s, p, d, 1, out)
    channels, kernels = ops.concat([x, y], axis=1), ops.concat([v, w], axis=1)
    return both, conv(channels, kernels, s, p, d, 1, out)


@blocks.rule(source=CHANNELS, numerics=REASSOCIATES, when=[is_channel_axis("k"), is_nchw("out")])
def outputs_of_convolutions_join(
    x: Image,
    v: Kernel,
    w: OtherKernel,
    k: IntAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    out: StrAttr,
) -> Sides:
    apart = ops.concat([conv(x, v, s, p, d, 1, out), conv(x, w, s, p, d, 1, out)], axis=k)
    return apart, conv(x, ops.concat([v, w], axis=0), s, p, d, 1, out)


@blocks.rule(source="TASO (SOSP 2019): enlarged kernels", numerics=REASSOCIATES)
def outputs_of_window_and_point_kernel_join(
    x: Image, v: Kernel, w: PointKernel, s: IntsAttr, p: IntsAttr, q: IntsAttr
) -> Sides:
    enlarged = ops.nn.pad(w, pad_width=compute(kernel_margin, v, w, p, q))
    apart = [conv(x, v, s, p, (1, 1), 1, None), conv(x, w, s, q, (1, 1), 1, None)]
    joined = conv(x, ops.concat([v, enlarged], axis=0), s, p, (1, 1), 1, None)
    return ops.concat(apart, axis=1), joined


@blocks.rule(source=CHANNELS, numerics=REASSOCIATES, when=[is_batch_axis("k")])
def batches_of_convolutions_join(
    x: Image,
    y: OtherBatch,
    w: Kernel,
    k: IntAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    apart = ops.concat([conv(x, w, s, p, d, g, out), conv(y, w, s, p, d, g, out)], axis=k)
    return apart, conv(ops.concat([x, y], axis=0), w, s, p, d, g, out)


def _twice(groups: AttrValue) -> int:
    return 2 * int_tuple(groups)[0]


@blocks.rule(
    source="TASO (SOSP 2019): grouped convolution, with equal groups",
    numerics=REASSOCIATES,
    when=[is_channel_axis("k"), is_nchw("out")],
)
def convolutions_are_groups(
    x: Image,
    v: Kernel,
    y: Image,
    w: Kernel,
    k: IntAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    apart = ops.concat([conv(x, v, s, p, d, g, out), conv(y, w, s, p, d, g, out)], axis=k)
    channels, kernels = ops.concat([x, y], axis=1), ops.concat([v, w], axis=0)
    return apart, conv(channels, kernels, s, p, d, compute(_twice, g), out)


@predicate
def cuts_first_axis(v: Known, w: Known, sections: AttrValue) -> bool:
    """The cut is where the first axis of v ends."""
    return cuts_at(v, v.dims[0], w.dims[0], sections)


OUTPUT_PARTS = (is_channel_axis("a"), is_nchw("out"), cuts_first_axis("v", "w", "i"))
BATCH_PARTS = (is_batch_axis("a"), cuts_first_axis("x", "y", "i"))


@blocks.rule(source=CHANNELS, numerics=REASSOCIATES, when=OUTPUT_PARTS)
def first_outputs_of_convolution(
    x: Image,
    v: Kernel,
    w: OtherKernel,
    i: SectionsAttr,
    a: IntAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    out: StrAttr,
) -> Sides:
    both = conv(x, ops.concat([v, w], axis=0), s, p, d, 1, out)
    part = ops.split(both, indices_or_sections=i, axis=a)[0]
    return part, conv(x, v, s, p, d, 1, out)


@blocks.rule(source=CHANNELS, numerics=REASSOCIATES, when=OUTPUT_PARTS)
def last_outputs_of_convolution(
    x: Image,
    v: Kernel,
    w: OtherKernel,
    i: SectionsAttr,
    a: IntAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    out: StrAttr,
) -> Sides:
    both = conv(x, ops.concat([v, w], axis=0), s, p, d, 1, out)
    part = ops.split(both, indices_or_sections=i, axis=a)[1]
    return part, conv(x, w, s, p, d, 1, out)


@blocks.rule(source=CHANNELS, numerics=REASSOCIATES, when=BATCH_PARTS)
def first_images_of_convolution(
    x: Image,
    y: OtherBatch,
    w: Kernel,
    i: SectionsAttr,
    a: IntAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    both = conv(ops.concat([x, y], axis=0), w, s, p, d, g, out)
    part = ops.split(both, indices_or_sections=i, axis=a)[0]
    return part, conv(x, w, s, p, d, g, out)


@blocks.rule(source=CHANNELS, numerics=REASSOCIATES, when=BATCH_PARTS)
def last_images_of_convolution(
    x: Image,
    y: OtherBatch,
    w: Kernel,
    i: SectionsAttr,
    a: IntAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    both = conv(ops.concat([x, y], axis=0), w, s, p, d, g, out)
    part = ops.split(both, indices_or_sections=i, axis=a)[1]
    return part, conv(y, w, s, p, d, g, out)


# --- pools ----------------------------------------------------------------------------------


@predicate
def is_outer_axis(axis: AttrValue) -> bool:
    """The axis is that of images or channels in NCHW: no window reaches over it."""
    return int_tuple(axis)[0] in (0, 1, -4, -3)


@predicate
def same_pixels(x: Known, y: Known) -> bool:
    """Height and width are the same."""
    return x.ndim == y.ndim == 4 and all(
        x.proves(Equal(a, b)) for a, b in zip(x.dims[2:], y.dims[2:], strict=True)
    )


POOLED = (is_outer_axis("a"), is_nchw("out"), same_pixels("x", "y"))


@blocks.rule(source=CHANNELS, numerics=REASSOCIATES, when=POOLED)
def concat_of_averages(
    x: Tensor,
    y: Tensor,
    a: IntAttr,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    i: BoolAttr,
    out: StrAttr,
) -> Sides:
    apart = [average(x, k, s, p, d, c, i, out), average(y, k, s, p, d, c, i, out)]
    return ops.concat(apart, axis=a), average(ops.concat([x, y], axis=a), k, s, p, d, c, i, out)


def _maximum(
    x: Pattern, k: IntsAttr, s: IntsAttr, p: IntsAttr, d: IntsAttr, c: BoolAttr, out: StrAttr
) -> Pattern:
    return ops.nn.max_pool2d(
        x, pool_size=k, strides=s, padding=p, dilation=d, ceil_mode=c, out_layout=out
    )


@blocks.rule(source=CHANNELS, when=POOLED)
def concat_of_max_pools(
    x: Tensor,
    y: Tensor,
    a: IntAttr,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    out: StrAttr,
) -> Sides:
    apart = [_maximum(x, k, s, p, d, c, out), _maximum(y, k, s, p, d, c, out)]
    return ops.concat(apart, axis=a), _maximum(ops.concat([x, y], axis=a), k, s, p, d, c, out)


# --- concat of pointwise operators, and of concat -------------------------------------------

POINTWISE = "pointwise operators commute with concat, where nothing is broadcast"


@predicate
def alike(x: Known, y: Known, u: Known, v: Known) -> bool:
    """The shapes of x and y are the same, and so are those of u and v."""
    pairs = ((x, y), (u, v))
    return all(equal_shapes(a.dims, b.dims, a.facts) is Proof.YES for a, b in pairs)


ALIKE = (alike("x", "y", "u", "v"),)


@blocks.rule(source=POINTWISE, when=ALIKE)
def sum_of_concats(x: Tensor, y: Tensor, u: Tensor, v: Tensor, k: IntAttr) -> Sides:
    apart = ops.concat([x, u], axis=k) + ops.concat([y, v], axis=k)
    return apart, ops.concat([x + y, u + v], axis=k)


@blocks.rule(source=POINTWISE, when=ALIKE)
def difference_of_concats(x: Tensor, y: Tensor, u: Tensor, v: Tensor, k: IntAttr) -> Sides:
    apart = ops.concat([x, u], axis=k) - ops.concat([y, v], axis=k)
    return apart, ops.concat([x - y, u - v], axis=k)


@blocks.rule(source=POINTWISE, when=ALIKE)
def product_of_concats(x: Tensor, y: Tensor, u: Tensor, v: Tensor, k: IntAttr) -> Sides:
    apart = ops.concat([x, u], axis=k) * ops.concat([y, v], axis=k)
    return apart, ops.concat([x * y, u * v], axis=k)


@predicate
def different_axes(x: Known, first: AttrValue, second: AttrValue) -> bool:
    """The axes differ, however they are counted."""
    (a,), (b,) = int_tuple(first), int_tuple(second)
    return (a - b) % x.ndim != 0


@predicate
def same_extent(x: Known, y: Known, axis: AttrValue) -> bool:
    """Both have the same size along the axis."""
    (a,) = int_tuple(axis)
    return x.proves(Equal(x.dims[a], y.dims[a]))


@blocks.rule(
    source="TASO (SOSP 2019): geometry of concatenation",
    when=[different_axes("x", "k", "j"), same_extent("x", "u", "j")],
)
def concats_along_two_axes_commute(
    x: Tensor, y: Tensor, u: Tensor, v: Tensor, k: IntAttr, j: IntAttr
) -> Sides:
    return (
        ops.concat([ops.concat([x, y], axis=j), ops.concat([u, v], axis=j)], axis=k),
        ops.concat([ops.concat([x, u], axis=k), ops.concat([y, v], axis=k)], axis=j),
    )
