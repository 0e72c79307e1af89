"""Linear operators: sums and scalars pass through products, convolutions, averages, concat."""

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
from eqsat.rules._predicates import has_wide_range, is_not_constant, same_rank
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, ROUNDING, Phase, RuleSet, predicate, profit
from eqsat.rules.convolution import Image, Kernel, conv
from eqsat.rules.movement import VIEWS, full_permutation, int_tuple
from eqsat.shapes import Shape

linearity = RuleSet("linearity", Phase.EXPLORE)

Scalar = Annotated[Pattern, tensor("")]
Matrix = Annotated[Pattern, tensor("n k")]
Rows = Annotated[Pattern, tensor("... m k")]
Columns = Annotated[Pattern, tensor("... k n")]
Inner = Annotated[Pattern, tensor("... m j")]
InnerColumns = Annotated[Pattern, tensor("... j k")]
InnerRows = Annotated[Pattern, tensor("... k j")]
OtherColumns = Annotated[Pattern, tensor("... j n")]

BILINEAR = "linear algebra: the product is bilinear"
CONVOLUTION = "convolution is linear in its weight and in its input"
AVERAGE = "an average is linear"


# Numbers move over products by rules of `products`, one way: both ways and
# on either side, they made the covers of a transformer so many that none was proved the best.

# --- scalars --------------------------------------------------------------------------------


@linearity.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    both_ways=True,
    when=[is_not_constant("s"), has_wide_range("x")],
)
def scalar_of_left_factor(x: Tensor, y: Tensor, s: Scalar) -> Sides:
    return (x * s) @ y, (x @ y) * s


@linearity.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    both_ways=True,
    when=[is_not_constant("s"), has_wide_range("x")],
)
def scalar_of_right_factor(x: Tensor, y: Tensor, s: Scalar) -> Sides:
    return x @ (y * s), (x @ y) * s


@linearity.rule(source="pointwise operators commute with concat", both_ways=True)
def scalar_of_concat(x: Tensor, y: Tensor, s: Scalar, k: IntAttr) -> Sides:
    return ops.concat([x * s, y * s], axis=k), ops.concat([x, y], axis=k) * s


@linearity.rule(
    source=CONVOLUTION, numerics=REASSOCIATES, both_ways=True, when=[has_wide_range("x")]
)
def scalar_of_image(
    x: Image, w: Kernel, c: Scalar, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    return conv(x * c, w, s, p, d, g, out), conv(x, w, s, p, d, g, out) * c


@linearity.rule(
    source=CONVOLUTION, numerics=REASSOCIATES, both_ways=True, when=[has_wide_range("x")]
)
def scalar_of_kernel(
    x: Image, w: Kernel, c: Scalar, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    return conv(x, w * c, s, p, d, g, out), conv(x, w, s, p, d, g, out) * c


@linearity.rule(source=VIEWS, both_ways=True)
def scalar_of_permuted(x: Tensor, s: Scalar, p: IntsAttr) -> Sides:
    return ops.permute_dims(x, axes=p) * s, ops.permute_dims(x * s, axes=p)


@linearity.rule(source=VIEWS)
def permute_of_relu(x: Float, p: IntsAttr) -> Sides:
    return ops.permute_dims(ops.nn.relu(x), axes=p), ops.nn.relu(ops.permute_dims(x, axes=p))


# A view of a sum is only taken apart where it undoes a view of a summand.


@predicate
def undoes(x: Known, first: AttrValue, second: AttrValue) -> bool:
    """The second permutation brings the axes back to where they were before the first."""
    if any(p is not None and len(int_tuple(p)) != x.ndim for p in (first, second)):
        return False
    inner, outer = full_permutation(x, first), full_permutation(x, second)
    return [inner[a] for a in outer] == list(range(x.ndim))


UNDONE = (undoes("y", "q", "p"), same_rank("x", "y"))


@linearity.rule(source=VIEWS, when=UNDONE)
def permute_of_sum_with_permuted(x: Tensor, y: Tensor, p: IntsAttr, q: IntsAttr) -> Sides:
    total = x + ops.permute_dims(y, axes=q)
    return ops.permute_dims(total, axes=p), ops.permute_dims(x, axes=p) + y


@linearity.rule(source=VIEWS, when=UNDONE)
def permute_of_product_with_permuted(x: Tensor, y: Tensor, p: IntsAttr, q: IntsAttr) -> Sides:
    both = x * ops.permute_dims(y, axes=q)
    return ops.permute_dims(both, axes=p), ops.permute_dims(x, axes=p) * y


@predicate
def has_rank_of_product(x: Known, a: Known, b: Known) -> bool:
    """X has the rank of a @ b."""
    return x.ndim == max(a.ndim, b.ndim)


@linearity.rule(source=VIEWS, when=[is_not_constant("x"), has_rank_of_product("x", "a", "b")])
def permute_of_sum_with_product(x: Rows, a: Inner, b: InnerColumns, p: IntsAttr) -> Sides:
    apart = ops.permute_dims(x, axes=p) + ops.permute_dims(a @ b, axes=p)
    return ops.permute_dims(x + a @ b, axes=p), apart


def _axis_behind(x: Known, permutation: AttrValue, axis: AttrValue) -> int:
    return full_permutation(x, permutation).index(int_tuple(axis)[0] % x.ndim)


@linearity.rule(source=VIEWS, when=[undoes("y", "q", "p")])
def permute_of_concat_with_permuted_behind(
    x: Tensor, y: Tensor, p: IntsAttr, q: IntsAttr, k: IntAttr
) -> Sides:
    both = ops.concat([x, ops.permute_dims(y, axes=q)], axis=k)
    apart = [ops.permute_dims(x, axes=p), y]
    return ops.permute_dims(both, axes=p), ops.concat(apart, axis=compute(_axis_behind, x, p, k))


@linearity.rule(source=VIEWS, when=[undoes("x", "q", "p")])
def permute_of_concat_with_permuted_in_front(
    x: Tensor, y: Tensor, p: IntsAttr, q: IntsAttr, k: IntAttr
) -> Sides:
    both = ops.concat([ops.permute_dims(x, axes=q), y], axis=k)
    apart = [x, ops.permute_dims(y, axes=p)]
    return ops.permute_dims(both, axes=p), ops.concat(apart, axis=compute(_axis_behind, x, p, k))


# --- sums of products -----------------------------------------------------------------------


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES)
def products_with_same_right_factor_add(x: Rows, y: Rows, w: Columns) -> Sides:
    return x @ w + y @ w, (x + y) @ w


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES)
def products_with_same_left_factor_add(x: Rows, v: Columns, w: Columns) -> Sides:
    return x @ v + x @ w, x @ (v + w)


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES)
def product_and_scaled_product_add(x: Rows, v: Columns, w: Columns, c: Number) -> Sides:
    return x @ v + (x @ w) * c, x @ (v + w * c)


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES)
def products_with_same_right_factor_subtract(x: Rows, y: Rows, w: Columns) -> Sides:
    return x @ w - y @ w, (x - y) @ w


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES)
def products_with_same_left_factor_subtract(x: Rows, v: Columns, w: Columns) -> Sides:
    return x @ v - x @ w, x @ (v - w)


# With few rows it takes longer to write the sum of two matrices than to multiply by both.


@profit
def not_both_constant(v: Known, w: Known) -> bool:
    """The sum is not known at compile time."""
    return not (v.is_constant and w.is_constant)


APART = (is_not_constant("x"), not_both_constant("v", "w"))


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES, when=APART)
def matrix_times_sum(x: Tensor, v: Columns, w: Columns) -> Sides:
    return x @ (v + w), x @ v + x @ w


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES, when=APART)
def matrix_times_permuted_sum(x: Tensor, v: Matrix, w: Matrix, p: IntsAttr) -> Sides:
    apart = x @ ops.permute_dims(v, axes=p) + x @ ops.permute_dims(w, axes=p)
    return x @ ops.permute_dims(v + w, axes=p), apart


# Elsewhere a sum is only taken apart where one summand is a product: that one may associate.


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES, when=[is_not_constant("x")])
def sum_with_product_times_matrix(x: Rows, p: Inner, q: InnerColumns, w: Columns) -> Sides:
    return (x + p @ q) @ w, x @ w + (p @ q) @ w


@linearity.rule(source=BILINEAR, numerics=REASSOCIATES, when=[is_not_constant("x")])
def matrix_times_sum_with_product(x: Rows, w: Columns, p: InnerRows, q: OtherColumns) -> Sides:
    return x @ (w + p @ q), x @ w + x @ (p @ q)


# --- sums of convolutions -------------------------------------------------------------------


@linearity.rule(source=CONVOLUTION, numerics=REASSOCIATES)
def convolutions_of_same_image_add(
    x: Image, v: Kernel, w: Kernel, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    both = conv(x, v, s, p, d, g, out) + conv(x, w, s, p, d, g, out)
    return both, conv(x, v + w, s, p, d, g, out)


@linearity.rule(source=CONVOLUTION, numerics=REASSOCIATES)
def convolutions_with_same_kernel_add(
    x: Image, y: Image, w: Kernel, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    both = conv(x, w, s, p, d, g, out) + conv(y, w, s, p, d, g, out)
    return both, conv(x + y, w, s, p, d, g, out)


@linearity.rule(source=CONVOLUTION, numerics=REASSOCIATES)
def convolutions_of_same_image_subtract(
    x: Image, v: Kernel, w: Kernel, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    both = conv(x, v, s, p, d, g, out) - conv(x, w, s, p, d, g, out)
    return both, conv(x, v - w, s, p, d, g, out)


@linearity.rule(source=CONVOLUTION, numerics=REASSOCIATES)
def convolutions_with_same_kernel_subtract(
    x: Image, y: Image, w: Kernel, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    both = conv(x, w, s, p, d, g, out) - conv(y, w, s, p, d, g, out)
    return both, conv(x - y, w, s, p, d, g, out)


# --- averages -------------------------------------------------------------------------------


def average(
    x: Pattern,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    i: BoolAttr,
    out: StrAttr,
) -> Pattern:
    """Return an average pool of an image in the layout NCHW."""
    return ops.nn.avg_pool2d(
        x,
        pool_size=k,
        strides=s,
        padding=p,
        dilation=d,
        ceil_mode=c,
        count_include_pad=i,
        out_layout=out,
    )


@linearity.rule(source=AVERAGE, numerics=REASSOCIATES, both_ways=True)
def scalar_of_average(
    x: Image,
    t: Scalar,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    i: BoolAttr,
    out: StrAttr,
) -> Sides:
    return average(x * t, k, s, p, d, c, i, out), average(x, k, s, p, d, c, i, out) * t


@linearity.rule(source=AVERAGE, numerics=REASSOCIATES)
def averages_add(
    x: Image,
    y: Image,
    k: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    c: BoolAttr,
    i: BoolAttr,
    out: StrAttr,
) -> Sides:
    both = average(x, k, s, p, d, c, i, out) + average(y, k, s, p, d, c, i, out)
    return both, average(x + y, k, s, p, d, c, i, out)


@predicate
def averages_each_channel(x: Known, shape: Shape, c: Known, groups: AttrValue) -> bool:
    """Each channel has a window of its own, all of whose weights are one over their number."""
    if len(shape) != 4 or c.number is None or groups != x.dims[1]:
        return False
    channels, depth, height, width = shape
    if not isinstance(height, int) or not isinstance(width, int):
        return False
    return channels == groups and depth == 1 and abs(c.number * height * width - 1) < 1e-6


def _window(shape: Shape) -> Shape:
    return shape[2:]


@linearity.rule(
    source="TASO (SOSP 2019): average pooling is a convolution with a constant",
    numerics=ROUNDING,
    when=[averages_each_channel("x", "t", "c", "g")],
)
def convolution_with_constant_is_average(
    x: Image,
    t: Dims,
    c: Number,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    pooled = ops.nn.avg_pool2d(
        x,
        pool_size=compute(_window, t),
        strides=s,
        padding=p,
        dilation=d,
        count_include_pad=True,
        out_layout=out,
    )
    return conv(x, ops.full(t, c), s, p, d, g, out), pooled
