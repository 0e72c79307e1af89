"""Matrix products: associativity, scales into weights, views around them, merging parallel ones."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Dims,
    DtypeAttr,
    Float,
    IntAttr,
    IntsAttr,
    Number,
    Pattern,
    Sides,
    StrAttr,
    Tensor,
    attr,
    compute,
    ops,
    tensor,
)
from eqsat.rules._predicates import has_wide_range, is_constant, is_not_constant, rank_at_least
from eqsat.rules._resolve import Known
from eqsat.rules._rule import (
    REASSOCIATES,
    Phase,
    RuleSet,
    predicate,
    profit,
    types_agree,
)
from eqsat.rules._terms import AttrVar
from eqsat.shapes import Equal, LessEqual, Proof, Shape, equal_shapes, product

linear_layers = RuleSet("linear_layers", Phase.SIMPLIFY)
products = RuleSet("products", Phase.EXPLORE)
merged_products = RuleSet("merged_products", Phase.MERGE)

Rows = Annotated[Pattern, tensor("... m k")]
MatrixMK = Annotated[Pattern, tensor("m k")]
MatrixKN = Annotated[Pattern, tensor("k n")]
Columns = Annotated[Pattern, tensor("... m n")]
DimAttr = Annotated[AttrVar, attr("dim")]
MatrixNK = Annotated[Pattern, tensor("n k")]
MatrixNP = Annotated[Pattern, tensor("n p")]
MatrixKP = Annotated[Pattern, tensor("k p")]
MatrixKQ = Annotated[Pattern, tensor("k q")]
VectorK = Annotated[Pattern, tensor("k")]
VectorN = Annotated[Pattern, tensor("n")]
VectorP = Annotated[Pattern, tensor("p")]
VectorQ = Annotated[Pattern, tensor("q")]
Indices = Annotated[Pattern, tensor("j", dtype="int")]
BatchMK = Annotated[Pattern, tensor("... m k")]
BatchKN = Annotated[Pattern, tensor("... k n")]
BatchNP = Annotated[Pattern, tensor("... n p")]

BILINEAR = "linear algebra: the product is bilinear"


# --- associativity --------------------------------------------------------------------------


@products.rule(source="linear algebra", numerics=REASSOCIATES, both_ways=True)
def matmul_associates(a: BatchMK, b: BatchKN, c: BatchNP) -> Sides:
    return (a @ b) @ c, a @ (b @ c)


# A vector multiplies as one row or one column, where the others are matrices.


@products.rule(source="linear algebra", numerics=REASSOCIATES, both_ways=True)
def product_with_vector_associates(a: BatchMK, b: MatrixKN, v: VectorN) -> Sides:
    return (a @ b) @ v, a @ (b @ v)


@products.rule(source="linear algebra", numerics=REASSOCIATES, both_ways=True)
def vector_times_product_associates(v: VectorK, b: MatrixKN, c: MatrixNP) -> Sides:
    return (v @ b) @ c, v @ (b @ c)


@profit
def smaller_joined(b: Known, c: Known) -> bool:
    """The product of two weights takes provably no more space than both."""
    (k, n), p = b.dims, c.dims[-1]
    return b.proves(LessEqual(k * p, k * n + n * p))


@products.rule(
    source="linear algebra",
    numerics=REASSOCIATES,
    when=[is_not_constant("a"), is_constant("b"), is_constant("c"), smaller_joined("b", "c")],
)
def constant_weights_join(a: BatchMK, b: MatrixKN, c: MatrixNP) -> Sides:
    return (a @ b) @ c, a @ (b @ c)


# --- scales and shifts ----------------------------------------------------------------------


@predicate
def scales_columns(c: Known, w: Known) -> bool:
    """Whether c has one factor per column of the matrix w, or one for all."""
    leading_ones = all(c.proves(Equal(d, 1)) for d in c.dims[:-1])
    column = c.ndim == 0 or any(c.proves(Equal(c.dims[-1], d)) for d in (1, w.dims[-1]))
    return c.ndim <= 2 and leading_ones and column


@products.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c"), scales_columns("c", "w")],
)
def scale_of_product_into_weight(x: Rows, w: MatrixKN, c: Tensor) -> Sides:
    return (x @ w) * c, x @ (w * c)


@products.rule(source=BILINEAR, numerics=REASSOCIATES, when=[is_constant("w"), is_constant("c")])
def scale_of_rows_into_weight(x: Rows, w: MatrixKN, c: VectorK) -> Sides:
    return (x * c) @ w, x @ (w * ops.expand_dims(c, axis=(1,)))


@products.rule(source=BILINEAR, numerics=REASSOCIATES, when=[is_constant("w"), is_constant("b")])
def shift_of_rows_into_bias(x: Rows, w: MatrixKN, b: VectorK) -> Sides:
    return (x + b) @ w, x @ w + b @ w


@products.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    both_ways=True,
    when=[rank_at_least("x", 2), rank_at_least("y", 2), has_wide_range("x")],
)
def scale_commutes_with_product(x: Tensor, y: Tensor, c: Number) -> Sides:
    return (x * c) @ y, (x @ y) * c


@products.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[rank_at_least("x", 2), rank_at_least("y", 2), has_wide_range("x")],
)
def scale_of_right_operand_leaves_product(x: Tensor, y: Tensor, c: Number) -> Sides:
    return x @ (y * c), (x @ y) * c


# --- views ----------------------------------------------------------------------------------


@predicate
def swaps_last_two(x: Known, axes: AttrValue) -> bool:
    """The permutation swaps the last two axes and nothing else."""
    rank = x.ndim
    full = tuple(reversed(range(rank))) if axes is None else axes
    assert isinstance(full, tuple)
    seen = tuple(int(a) % rank for a in full)  # type: ignore[arg-type]
    return rank >= 2 and seen == (*range(rank - 2), rank - 1, rank - 2)


@products.rule(
    source="(A B)^T = B^T A^T",
    numerics=REASSOCIATES,
    when=[swaps_last_two("a", "p"), swaps_last_two("b", "p")],
)
def transpose_of_product(a: BatchMK, b: BatchKN, p: IntsAttr) -> Sides:
    return (
        ops.permute_dims(a @ b, axes=p),
        ops.permute_dims(b, axes=p) @ ops.permute_dims(a, axes=p),
    )


@predicate
def flattens_leading_axes(x: Known, s: Shape) -> bool:
    """The reshape keeps the last axis and makes all others one."""
    return x.ndim >= 2 and len(s) == 2 and x.proves(Equal(s[1], x.dims[-1]))


def _rows_of_product(x: Known, w: Known) -> Shape:
    return (product(x.dims[:-1]), w.dims[-1])


@products.rule(
    source="rows of a product are products of rows",
    numerics=REASSOCIATES,
    when=[flattens_leading_axes("x", "s"), types_agree],
)
def product_of_flattened_rows(x: Tensor, w: MatrixKN, s: Dims) -> Sides:
    return (
        ops.reshape(x, s) @ w,
        ops.reshape(x @ w, compute(_rows_of_product, x, w)),
    )


# --- rows and columns that are picked -------------------------------------------------------


@predicate
def picks_from_end(x: Known, axis: AttrValue, place: int) -> bool:
    """The axis is the one at `place`, counted from the end."""
    return isinstance(axis, int) and axis % x.ndim == x.ndim + place


def _columns(x: Known, w: Known) -> int:
    return max(x.ndim, w.ndim) - 1


def _rows(x: Known, w: Known) -> int:
    return max(x.ndim, w.ndim) - 2


PICKS = "columns of a product are products with columns, rows are products of rows"


@products.rule(source=PICKS, numerics=REASSOCIATES, when=[picks_from_end("w", "k", -1)])
def product_with_picked_columns(x: Rows, w: BatchKN, i: Indices, k: IntAttr, m: StrAttr) -> Sides:
    return (
        x @ ops.take(w, i, axis=k, mode=m),
        ops.take(x @ w, i, axis=compute(_columns, x, w), mode=m),
    )


@products.rule(source=PICKS, numerics=REASSOCIATES, when=[picks_from_end("x", "k", -2)])
def product_of_picked_rows(x: Rows, w: BatchKN, i: Indices, k: IntAttr, m: StrAttr) -> Sides:
    return (
        ops.take(x, i, axis=k, mode=m) @ w,
        ops.take(x @ w, i, axis=compute(_rows, x, w), mode=m),
    )


@predicate
def picks_of_product(x: Known, w: Known, axis: AttrValue, place: int) -> bool:
    """The axis is the one of x @ w at `place`, counted from the end."""
    rank = max(x.ndim, w.ndim)
    return isinstance(axis, int) and axis % rank == rank + place


def _row_axis(x: Known) -> int:
    return x.ndim - 2


@products.rule(
    source=PICKS,
    numerics=REASSOCIATES,
    when=[picks_of_product("x", "w", "k", -2)],
)
def picked_rows_of_product(x: Rows, w: MatrixKN, i: Indices, k: IntAttr, m: StrAttr) -> Sides:
    return (
        ops.take(x @ w, i, axis=k, mode=m),
        ops.take(x, i, axis=compute(_row_axis, x), mode=m) @ w,
    )


@predicate
def keeps_last_two(w: Known, s: Shape) -> bool:
    """Only leading axes are broadcast."""
    return w.ndim >= 2 and equal_shapes(w.dims[-2:], s[-2:], w.facts) is Proof.YES


@products.rule(
    source="matmul broadcasts its leading axes",
    numerics=REASSOCIATES,
    when=[keeps_last_two("w", "s"), types_agree],
)
def product_with_broadcast_weight(x: Tensor, w: Tensor, s: Dims) -> Sides:
    return x @ ops.broadcast_to(w, s), x @ w


@products.rule(
    source="matmul broadcasts its leading axes",
    numerics=REASSOCIATES,
    when=[keeps_last_two("x", "s"), types_agree],
)
def product_of_broadcast_rows(x: Tensor, w: Tensor, s: Dims) -> Sides:
    return ops.broadcast_to(x, s) @ w, x @ w


@predicate
def adds_leading_ones(w: Known, s: Shape) -> bool:
    """The reshape only puts axes of size 1 in front."""
    added = len(s) - w.ndim
    ones: Shape = (1,) * max(added, 0)
    return added >= 0 and equal_shapes((*ones, *w.dims), s, w.facts) is Proof.YES


@products.rule(
    source="matmul broadcasts its leading axes",
    numerics=REASSOCIATES,
    when=[adds_leading_ones("w", "s"), types_agree],
)
def product_with_reshaped_weight(x: Tensor, w: Tensor, s: Dims) -> Sides:
    return x @ ops.reshape(w, s), x @ w


# --- merging --------------------------------------------------------------------------------

MERGE = "[x w1, x w2] = x [w1, w2]; TASO (SOSP 2019), table of rules"


def _two_parts(v: Known) -> tuple[int, ...] | None:
    first = v.dims[-1]
    return (first,) if isinstance(first, int) else None


def _three_parts(v: Known, w: Known) -> tuple[int, ...] | None:
    first, second = v.dims[-1], w.dims[-1]
    if not isinstance(first, int) or not isinstance(second, int):
        return None
    return first, first + second


SHARED = (is_not_constant("x"),)


@merged_products.rule(source=MERGE, numerics=REASSOCIATES, when=SHARED, ordered=("v", "w"))
def parallel_products_merge(x: Rows, v: MatrixKN, w: MatrixKP) -> Sides:
    both = x @ ops.concat([v, w], axis=1)
    parts = ops.split(both, indices_or_sections=compute(_two_parts, v), axis=-1)
    return (x @ v, x @ w), (parts[0], parts[1])


@merged_products.rule(source=MERGE, numerics=REASSOCIATES, when=SHARED, ordered=("v", "w"))
def parallel_linear_layers_merge(
    x: Rows, v: MatrixKN, w: MatrixKP, a: VectorN, b: VectorP
) -> Sides:
    rows = x @ ops.concat([v, w], axis=1) + ops.concat([a, b], axis=0)
    parts = ops.split(rows, indices_or_sections=compute(_two_parts, v), axis=-1)
    return (x @ v + a, x @ w + b), (parts[0], parts[1])


@merged_products.rule(source=MERGE, numerics=REASSOCIATES, when=SHARED, ordered=("v", "w", "u"))
def three_parallel_products_merge(x: Rows, v: MatrixKN, w: MatrixKP, u: MatrixKQ) -> Sides:
    all_three = x @ ops.concat([v, w, u], axis=1)
    parts = ops.split(all_three, indices_or_sections=compute(_three_parts, v, w), axis=-1)
    return (x @ v, x @ w, x @ u), (parts[0], parts[1], parts[2])


@merged_products.rule(source=MERGE, numerics=REASSOCIATES, when=SHARED, ordered=("v", "w", "u"))
def query_key_value_merge(
    x: Rows, v: MatrixKN, w: MatrixKP, u: MatrixKQ, a: VectorN, b: VectorP, c: VectorQ
) -> Sides:
    rows = x @ ops.concat([v, w, u], axis=1) + ops.concat([a, b, c], axis=0)
    parts = ops.split(rows, indices_or_sections=compute(_three_parts, v, w), axis=-1)
    return (x @ v + a, x @ w + b, x @ u + c), (parts[0], parts[1], parts[2])


LINEAR = "definition of a linear layer"


@linear_layers.rule(source=LINEAR)
def linear_is_product_and_bias(x: Float, w: Float, b: Float) -> Sides:
    return ops.linear(x, w, b), x @ ops.permute_dims(w) + b


@linear_layers.rule(source=LINEAR)
def linear_without_bias_is_product(x: Float, w: Float) -> Sides:
    return ops.linear(x, w), x @ ops.permute_dims(w)


@products.rule(source=LINEAR, when=[swaps_last_two("w", "p")])
def product_with_transposed_is_linear(x: Rows, w: MatrixNK, p: IntsAttr) -> Sides:
    return x @ ops.permute_dims(w, axes=p), ops.linear(x, w)


IDENTITY = "the identity matrix is neutral"


@products.rule(source=IDENTITY, numerics=REASSOCIATES)
def product_with_identity(x: Columns, n: DimAttr, d: DtypeAttr) -> Sides:
    return x @ ops.eye(n=n, dtype=d), x


@products.rule(source=IDENTITY, numerics=REASSOCIATES)
def identity_times_matrix(x: Rows, n: DimAttr, d: DtypeAttr) -> Sides:
    return ops.eye(n=n, dtype=d) @ x, x
