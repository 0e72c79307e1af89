"""Products whose operands are views, and slices of products."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    AttrVar,
    BoolAttr,
    Dims,
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
from eqsat.rules._predicates import dtype_of, is_constant
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet, predicate
from eqsat.rules.convolution import all_ones, conv, is_nchw, no_padding
from eqsat.rules.movement import full_permutation, int_tuple
from eqsat.shapes import Equal, Shape, product

operands = RuleSet("operands", Phase.EXPLORE)

DimsAttr = Annotated[AttrVar, attr("dims")]
Rows = Annotated[Pattern, tensor("... m k")]
Matrix = Annotated[Pattern, tensor("k n")]
Column = Annotated[Pattern, tensor("... m 1", dtype="float")]
Row = Annotated[Pattern, tensor("1 n", dtype="float")]
Vector = Annotated[Pattern, tensor("k", dtype="float")]
FloatMatrix = Annotated[Pattern, tensor("k n", dtype="float")]
NoColumns = Annotated[Pattern, tensor("... m 0")]
NoRows = Annotated[Pattern, tensor("0 n")]

BILINEAR = "linear algebra: the product is bilinear"
TERMS = "a product sums over pairs of terms, in any order"


# --- slices ---------------------------------------------------------------------------------


@predicate
def cuts_only(x: Known, axes: AttrValue, place: int) -> bool:
    """The only axis that is cut is the one at `place`, counted from the end."""
    return [a % x.ndim for a in int_tuple(axes)] == [x.ndim + place]


@operands.rule(
    source="columns of a product are products with columns",
    numerics=REASSOCIATES,
    when=[cuts_only("x", "a", -1)],
)
def sliced_columns_of_product(
    x: Rows, w: Matrix, a: IntsAttr, b: DimsAttr, e: DimsAttr, s: DimsAttr, i: BoolAttr
) -> Sides:
    return (
        ops.strided_slice(x @ w, axes=a, begin=b, end=e, strides=s, assume_inbound=i),
        x @ ops.strided_slice(w, axes=(1,), begin=b, end=e, strides=s, assume_inbound=i),
    )


@operands.rule(
    source="rows of a product are products of rows",
    numerics=REASSOCIATES,
    when=[cuts_only("x", "a", -2)],
)
def sliced_rows_of_product(
    x: Rows, w: Matrix, a: IntsAttr, b: DimsAttr, e: DimsAttr, s: DimsAttr, i: BoolAttr
) -> Sides:
    return (
        ops.strided_slice(x @ w, axes=a, begin=b, end=e, strides=s, assume_inbound=i),
        ops.strided_slice(x, axes=a, begin=b, end=e, strides=s, assume_inbound=i) @ w,
    )


# --- contractions of views ------------------------------------------------------------------


@predicate
def repeats_columns(x: Known, s: Shape) -> bool:
    """Only the last axis, of size 1, is repeated."""
    same = len(s) == x.ndim and all(
        x.proves(Equal(d, e)) for d, e in zip(x.dims[:-1], s[:-1], strict=True)
    )
    return same and x.ndim >= 2


@operands.rule(source=BILINEAR, numerics=REASSOCIATES, when=[repeats_columns("x", "s")])
def product_of_repeated_column(x: Column, w: FloatMatrix, s: Dims) -> Sides:
    return ops.broadcast_to(x, s) @ w, x * ops.sum(w, axis=(0,), keepdims=True)


@predicate
def pads_only_columns(x: Known, widths: AttrValue) -> bool:
    """Only the last axis is padded, and nothing is cut off."""
    values = int_tuple(widths)
    return x.ndim >= 2 and not any(values[:-2]) and min(values) >= 0


def _before(widths: AttrValue) -> Shape:
    return (int_tuple(widths)[-2],)


def _up_to(x: Known, widths: AttrValue) -> Shape:
    return (x.dims[-1] + int_tuple(widths)[-2],)


@operands.rule(
    source="zeros add nothing", numerics=REASSOCIATES, when=[pads_only_columns("x", "p")]
)
def product_of_padded_rows(x: Tensor, w: Matrix, p: IntsAttr) -> Sides:
    padded = ops.nn.pad(x, pad_width=p, pad_mode="constant", pad_value=0.0)
    part = ops.strided_slice(w, axes=(0,), begin=compute(_before, p), end=compute(_up_to, x, p))
    return padded @ w, x @ part


@predicate
def is_last_axis(x: Known, axis: AttrValue) -> bool:
    """The axis is the last of two or more."""
    return isinstance(axis, int) and x.ndim >= 2 and axis % x.ndim == x.ndim - 1


@operands.rule(source=TERMS, numerics=REASSOCIATES, when=[is_last_axis("x", "k"), is_constant("w")])
def product_of_reversed_rows(x: Rows, w: Matrix, k: IntAttr) -> Sides:
    return ops.flip(x, axis=k) @ w, x @ ops.flip(w, axis=0)


def _moved(x: Known, axes: AttrValue) -> int:
    """Return how many leading axes a permutation leaves where they are."""
    order = full_permutation(x, axes)
    return next((i for i, a in enumerate(order) if i != a), x.ndim)


@predicate
def merges_what_moves(x: Known, axes: AttrValue, s: Shape) -> bool:
    """The reshape makes one axis of those that were permuted, and keeps the others."""
    kept = _moved(x, axes)
    if not 1 <= kept < x.ndim or len(s) != kept + 1:
        return False
    same = all(x.proves(Equal(d, e)) for d, e in zip(x.dims[:kept], s[:kept], strict=True))
    return same and x.proves(Equal(product(x.dims[kept:]), s[-1]))


def _permuted_rows(x: Known, axes: AttrValue, w: Known) -> Shape:
    order = full_permutation(x, axes)
    return (*(x.dims[a] for a in order[_moved(x, axes) :]), w.dims[1])


def _order_back(x: Known, axes: AttrValue) -> tuple[int, ...]:
    kept = _moved(x, axes)
    order = [a - kept for a in full_permutation(x, axes)[kept:]]
    return (*(order.index(a) for a in range(len(order))), len(order))


@operands.rule(
    source=TERMS,
    numerics=REASSOCIATES,
    when=[merges_what_moves("x", "p", "s"), is_constant("w")],
)
def product_of_permuted_terms(x: Tensor, w: Matrix, p: IntsAttr, s: Dims) -> Sides:
    blocks = ops.reshape(w, compute(_permuted_rows, x, p, w))
    back = ops.permute_dims(blocks, axes=compute(_order_back, x, p))
    return (
        ops.reshape(ops.permute_dims(x, axes=p), s) @ w,
        ops.reshape(x, s) @ ops.reshape(back, compute(_dims, w)),
    )


def _dims(w: Known) -> Shape:
    return w.dims


# --- products of one term, of none, and of vectors ------------------------------------------


@operands.rule(source="a sum of one term", numerics=REASSOCIATES)
def product_of_column_and_row(x: Column, y: Row) -> Sides:
    return x @ y, x * y


@operands.rule(source="definition of the dot product", numerics=REASSOCIATES)
def dot_is_sum_of_products(x: Vector, y: Vector) -> Sides:
    return x @ y, ops.sum(x * y, axis=(0,), keepdims=False)


def _of_product(x: Known, w: Known) -> Shape:
    return (*x.dims[:-1], w.dims[-1])


@operands.rule(source="an empty sum is 0", numerics=REASSOCIATES)
def product_over_nothing(x: NoColumns, w: NoRows) -> Sides:
    return x @ w, ops.zeros(compute(_of_product, x, w), dtype=compute(dtype_of, x))


# --- convolutions of each channel -----------------------------------------------------------

Image = Annotated[Pattern, tensor("n c h w", dtype="float")]
PointKernels = Annotated[Pattern, tensor("c 1 1 1", dtype="float")]
ImageKernels = Annotated[Pattern, tensor("c 1 h w", dtype="float")]


def _per_channel(w: Known) -> Shape:
    return (w.dims[0], *w.dims[2:])


@operands.rule(
    source="a 1x1 kernel per channel is a factor",
    numerics=REASSOCIATES,
    when=[all_ones("s"), no_padding("p"), is_nchw("out")],
)
def channelwise_point_convolution_is_scale(
    x: Image, w: PointKernels, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    return conv(x, w, s, p, d, g, out), x * ops.reshape(w, compute(_per_channel, w))


@operands.rule(
    source="definition of a convolution",
    numerics=REASSOCIATES,
    when=[no_padding("p"), is_nchw("out")],
)
def channelwise_convolution_of_all_is_sum(
    x: Image, w: ImageKernels, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    scaled = x * ops.reshape(w, compute(_per_channel, w))
    return conv(x, w, s, p, d, g, out), ops.sum(scaled, axis=(2, 3), keepdims=True)
