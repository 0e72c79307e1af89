"""Views sink below pointwise operators, so that they meet others and cancel.

    f(permute(x)) → permute(f(x))

Always outwards, towards the results: a program has finitely many operators below a view.
"""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Dims,
    DtypeAttr,
    Float,
    FloatAttr,
    IntAttr,
    IntsAttr,
    Pattern,
    ScalarAttr,
    Sides,
    Tensor,
    compute,
    ops,
    tensor,
)
from eqsat.rules._predicates import is_constant, same_rank
from eqsat.rules._resolve import Known
from eqsat.rules._rule import Phase, RuleSet, predicate
from eqsat.rules.movement import full_permutation
from eqsat.shapes import Equal, Shape

sinking = RuleSet("sinking", Phase.SIMPLIFY)

Vector = Annotated[Pattern, tensor("c")]

POINTWISE = "pointwise operators commute with views"


@sinking.rule(source=POINTWISE)
def sigmoid_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.sigmoid(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.sigmoid(x), axes=p)


@sinking.rule(source=POINTWISE)
def tanh_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.tanh(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.tanh(x), axes=p)


@sinking.rule(source=POINTWISE)
def exp_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.exp(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.exp(x), axes=p)


@sinking.rule(source=POINTWISE)
def log_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.log(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.log(x), axes=p)


@sinking.rule(source=POINTWISE)
def erf_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.erf(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.erf(x), axes=p)


@sinking.rule(source=POINTWISE)
def sqrt_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.sqrt(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.sqrt(x), axes=p)


@sinking.rule(source=POINTWISE)
def rsqrt_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.rsqrt(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.rsqrt(x), axes=p)


@sinking.rule(source=POINTWISE)
def negative_of_permuted(x: Tensor, p: IntsAttr) -> Sides:
    return ops.negative(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.negative(x), axes=p)


@sinking.rule(source=POINTWISE)
def abs_of_permuted(x: Tensor, p: IntsAttr) -> Sides:
    return ops.abs(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.abs(x), axes=p)


@sinking.rule(source=POINTWISE)
def square_of_permuted(x: Tensor, p: IntsAttr) -> Sides:
    return ops.square(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.square(x), axes=p)


@sinking.rule(source=POINTWISE)
def gelu_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.nn.gelu(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.nn.gelu(x), axes=p)


@sinking.rule(source=POINTWISE)
def gelu_tanh_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.nn.gelu_tanh(ops.permute_dims(x, axes=p)), ops.permute_dims(
        ops.nn.gelu_tanh(x), axes=p
    )


@sinking.rule(source=POINTWISE)
def silu_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.nn.silu(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.nn.silu(x), axes=p)


@sinking.rule(source=POINTWISE)
def relu6_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.nn.relu6(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.nn.relu6(x), axes=p)


@sinking.rule(source=POINTWISE)
def clip_of_permuted(x: Tensor, p: IntsAttr, a: ScalarAttr, b: ScalarAttr) -> Sides:
    return (
        ops.clip(ops.permute_dims(x, axes=p), min=a, max=b),
        ops.permute_dims(ops.clip(x, min=a, max=b), axes=p),
    )


@sinking.rule(source=POINTWISE)
def leakyrelu_of_permuted(x: Float, p: IntsAttr, a: FloatAttr) -> Sides:
    return (
        ops.nn.leakyrelu(ops.permute_dims(x, axes=p), alpha=a),
        ops.permute_dims(ops.nn.leakyrelu(x, alpha=a), axes=p),
    )


@sinking.rule(source=POINTWISE)
def cast_of_permuted(x: Tensor, p: IntsAttr, d: DtypeAttr) -> Sides:
    return (
        ops.astype(ops.permute_dims(x, axes=p), dtype=d),
        ops.permute_dims(ops.astype(x, dtype=d), axes=p),
    )


# --- two operands permuted alike ------------------------------------------------------------


@sinking.rule(source=POINTWISE, when=[same_rank("x", "y")])
def subtract_of_permuted(x: Tensor, y: Tensor, p: IntsAttr) -> Sides:
    return (
        ops.permute_dims(x, axes=p) - ops.permute_dims(y, axes=p),
        ops.permute_dims(x - y, axes=p),
    )


@sinking.rule(source=POINTWISE, when=[same_rank("x", "y")])
def divide_of_permuted(x: Float, y: Float, p: IntsAttr) -> Sides:
    return (
        ops.permute_dims(x, axes=p) / ops.permute_dims(y, axes=p),
        ops.permute_dims(x / y, axes=p),
    )


@sinking.rule(source=POINTWISE, when=[same_rank("x", "y")])
def maximum_of_permuted(x: Tensor, y: Tensor, p: IntsAttr) -> Sides:
    return (
        ops.maximum(ops.permute_dims(x, axes=p), ops.permute_dims(y, axes=p)),
        ops.permute_dims(ops.maximum(x, y), axes=p),
    )


@sinking.rule(source=POINTWISE, when=[same_rank("x", "y")])
def minimum_of_permuted(x: Tensor, y: Tensor, p: IntsAttr) -> Sides:
    return (
        ops.minimum(ops.permute_dims(x, axes=p), ops.permute_dims(y, axes=p)),
        ops.permute_dims(ops.minimum(x, y), axes=p),
    )


# --- constants of lower rank ----------------------------------------------------------------


@predicate
def has_lower_rank(c: Known, x: Known) -> bool:
    """The constant has fewer axes, at least one."""
    return 0 < c.ndim < x.ndim


def _same_rank(c: Known, x: Known) -> Shape:
    return (*(1,) * (x.ndim - c.ndim), *c.dims)


def inverse_permutation(x: Known, permutation: AttrValue) -> tuple[int, ...]:
    """Return the axes that put a permuted x back."""
    order = full_permutation(x, permutation)
    return tuple(order.index(a) for a in range(x.ndim))


@sinking.rule(source=POINTWISE, when=[is_constant("c"), has_lower_rank("c", "x")])
def add_smaller_constant_to_permuted(x: Tensor, c: Tensor, p: IntsAttr) -> Sides:
    full = ops.reshape(c, compute(_same_rank, c, x))
    moved = ops.permute_dims(full, axes=compute(inverse_permutation, x, p))
    return ops.permute_dims(x, axes=p) + c, ops.permute_dims(x + moved, axes=p)


@sinking.rule(source=POINTWISE, when=[is_constant("c"), has_lower_rank("c", "x")])
def multiply_permuted_by_smaller_constant(x: Tensor, c: Tensor, p: IntsAttr) -> Sides:
    full = ops.reshape(c, compute(_same_rank, c, x))
    moved = ops.permute_dims(full, axes=compute(inverse_permutation, x, p))
    return ops.permute_dims(x, axes=p) * c, ops.permute_dims(x * moved, axes=p)


@sinking.rule(source=POINTWISE, when=[is_constant("c"), same_rank("x", "c")])
def multiply_permuted_by_constant(x: Tensor, c: Tensor, p: IntsAttr) -> Sides:
    moved = ops.permute_dims(c, axes=compute(inverse_permutation, x, p))
    return ops.permute_dims(x, axes=p) * c, ops.permute_dims(x * moved, axes=p)


# --- along an axis --------------------------------------------------------------------------


def source_axis(x: Known, permutation: AttrValue, axis: AttrValue) -> int | None:
    """Return which axis of x is `axis` of its permuted form."""
    order = full_permutation(x, permutation)
    return order[axis % x.ndim] if isinstance(axis, int) and x.ndim else None


@sinking.rule(source="an axis keeps its elements wherever it stands")
def softmax_of_permuted(x: Float, p: IntsAttr, a: IntAttr) -> Sides:
    return (
        ops.nn.softmax(ops.permute_dims(x, axes=p), axis=a),
        ops.permute_dims(ops.nn.softmax(x, axis=compute(source_axis, x, p, a)), axes=p),
    )


@sinking.rule(source="an axis keeps its elements wherever it stands")
def concat_of_permuted(x: Tensor, y: Tensor, p: IntsAttr, a: IntAttr) -> Sides:
    joined = ops.concat([x, y], axis=compute(source_axis, x, p, a))
    return (
        ops.concat([ops.permute_dims(x, axes=p), ops.permute_dims(y, axes=p)], axis=a),
        ops.permute_dims(joined, axes=p),
    )


# --- behind reshapes that keep rows ---------------------------------------------------------


@predicate
def keeps_rows(x: Known, s: Shape, c: Known) -> bool:
    """The reshape keeps the last axis, which has the size of the vector."""
    if x.ndim == 0 or not s:
        return False
    return all(x.proves(Equal(d, c.dims[0])) for d in (x.dims[-1], s[-1]))


@sinking.rule(source=POINTWISE, when=[keeps_rows("x", "s", "c")])
def add_vector_to_reshaped_rows(x: Tensor, c: Vector, s: Dims) -> Sides:
    return ops.reshape(x, s) + c, ops.reshape(x + c, s)


@sinking.rule(source=POINTWISE, when=[keeps_rows("x", "s", "c")])
def multiply_reshaped_rows_by_vector(x: Tensor, c: Vector, s: Dims) -> Sides:
    return ops.reshape(x, s) * c, ops.reshape(x * c, s)
