"""Broadcasts move outwards, so that what is computed is computed once."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from eqsat.ir import AttrValue
from eqsat.rules._language import Dims, Float, IntsAttr, Number, Sides, Tensor, compute, ops
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet, predicate, types_agree
from eqsat.rules.movement import int_tuple
from eqsat.shapes import Equal, Proof, Shape, equal_shapes, normalize_axes, product

broadcasts = RuleSet("broadcasts", Phase.SIMPLIFY)

REPEATS = "a broadcast only repeats elements"


def _aligned(x: Known, s: Shape) -> Shape:
    """Return the shape of x with ones in front, to the rank of its broadcast."""
    return (*(1,) * (len(s) - x.ndim), *x.dims)


@predicate
def repeats_nothing(x: Known, s: Shape) -> bool:
    """Only axes of size 1 are put in front."""
    return len(s) >= x.ndim and equal_shapes(_aligned(x, s), s, x.facts) is Proof.YES


@broadcasts.rule(source=REPEATS, when=[repeats_nothing("x", "s")])
def broadcast_of_everything_is_reshape(x: Tensor, s: Dims) -> Sides:
    return ops.broadcast_to(x, s), ops.reshape(x, s)


@broadcasts.rule(source=REPEATS, when=[repeats_nothing("x", "t")])
def broadcast_of_leading_ones(x: Tensor, t: Dims, s: Dims) -> Sides:
    return ops.broadcast_to(ops.reshape(x, t), s), ops.broadcast_to(x, s)


# --- views of broadcasts --------------------------------------------------------------------


def _permutation(s: Shape, axes: AttrValue) -> tuple[int, ...]:
    if axes is None:
        return tuple(reversed(range(len(s))))
    return tuple(a % len(s) for a in int_tuple(axes))


def _permuted(s: Shape, axes: AttrValue) -> Shape:
    return tuple(s[a] for a in _permutation(s, axes))


@broadcasts.rule(source=REPEATS)
def permute_of_broadcast(x: Tensor, s: Dims, p: IntsAttr) -> Sides:
    inner = ops.permute_dims(ops.reshape(x, compute(_aligned, x, s)), axes=p)
    return (
        ops.permute_dims(ops.broadcast_to(x, s), axes=p),
        ops.broadcast_to(inner, compute(_permuted, s, p)),
    )


@predicate
def keeps_trailing(x: Known, s: Shape, t: Shape) -> bool:
    """The axes of x, which are the trailing ones, have the same sizes in both shapes."""
    count = x.ndim
    if count > min(len(s), len(t)):
        return False
    return equal_shapes(s[len(s) - count :], t[len(t) - count :], x.facts) is Proof.YES


@broadcasts.rule(source=REPEATS, when=[keeps_trailing("x", "s", "t")])
def reshape_of_broadcast(x: Tensor, s: Dims, t: Dims) -> Sides:
    return ops.reshape(ops.broadcast_to(x, s), t), ops.broadcast_to(x, t)


# --- pointwise operators --------------------------------------------------------------------

POINTWISE = "pointwise operators commute with broadcasts"


@broadcasts.rule(source=POINTWISE)
def exp_of_broadcast(x: Float, s: Dims) -> Sides:
    return ops.exp(ops.broadcast_to(x, s)), ops.broadcast_to(ops.exp(x), s)


@broadcasts.rule(source=POINTWISE)
def tanh_of_broadcast(x: Float, s: Dims) -> Sides:
    return ops.tanh(ops.broadcast_to(x, s)), ops.broadcast_to(ops.tanh(x), s)


@broadcasts.rule(source=POINTWISE)
def sigmoid_of_broadcast(x: Float, s: Dims) -> Sides:
    return ops.sigmoid(ops.broadcast_to(x, s)), ops.broadcast_to(ops.sigmoid(x), s)


@broadcasts.rule(source=POINTWISE)
def sqrt_of_broadcast(x: Float, s: Dims) -> Sides:
    return ops.sqrt(ops.broadcast_to(x, s)), ops.broadcast_to(ops.sqrt(x), s)


@broadcasts.rule(source=POINTWISE)
def rsqrt_of_broadcast(x: Float, s: Dims) -> Sides:
    return ops.rsqrt(ops.broadcast_to(x, s)), ops.broadcast_to(ops.rsqrt(x), s)


@broadcasts.rule(source=POINTWISE)
def sum_of_broadcasts(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return (
        ops.broadcast_to(x, s) + ops.broadcast_to(y, s),
        ops.broadcast_to(x + y, s),
    )


@broadcasts.rule(source=POINTWISE)
def product_of_broadcasts(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return (
        ops.broadcast_to(x, s) * ops.broadcast_to(y, s),
        ops.broadcast_to(x * y, s),
    )


@broadcasts.rule(source=POINTWISE, when=[types_agree])
def broadcast_of_scaled(x: Tensor, s: Dims, c: Number) -> Sides:
    return ops.broadcast_to(x, s) * c, ops.broadcast_to(x * c, s)


# --- reductions of broadcasts ---------------------------------------------------------------

EQUAL_TERMS = "a sum of equal terms is a product"


def _reduced(s: Shape, axes: AttrValue) -> tuple[int, ...]:
    return tuple(range(len(s))) if axes is None else normalize_axes(int_tuple(axes), len(s))


def _left(s: Shape, axes: AttrValue) -> Shape:
    gone = _reduced(s, axes)
    return tuple(d for a, d in enumerate(s) if a not in gone)


@predicate
def reduces_added_axes(x: Known, s: Shape, axes: AttrValue) -> bool:
    """Only axes in front of those of x are reduced, and their sizes are known."""
    gone = _reduced(s, axes)
    known = all(isinstance(s[a], int) and s[a] != 0 for a in gone)
    return known and all(a < len(s) - x.ndim for a in gone)


def _count(s: Shape, axes: AttrValue) -> float | None:
    count = product(s[a] for a in _reduced(s, axes))
    return float(count) if isinstance(count, int) else None


@broadcasts.rule(
    source=EQUAL_TERMS, numerics=REASSOCIATES, when=[reduces_added_axes("x", "s", "a")]
)
def sum_of_repeated(x: Float, s: Dims, a: IntsAttr) -> Sides:
    return (
        ops.sum(ops.broadcast_to(x, s), axis=a, keepdims=False),
        ops.broadcast_to(x * compute(_count, s, a), compute(_left, s, a)),
    )


@broadcasts.rule(source="the largest of equal values", when=[reduces_added_axes("x", "s", "a")])
def max_of_repeated(x: Tensor, s: Dims, a: IntsAttr) -> Sides:
    return (
        ops.max(ops.broadcast_to(x, s), axis=a, keepdims=False),
        ops.broadcast_to(x, compute(_left, s, a)),
    )


@broadcasts.rule(source="the smallest of equal values", when=[reduces_added_axes("x", "s", "a")])
def min_of_repeated(x: Tensor, s: Dims, a: IntsAttr) -> Sides:
    return (
        ops.min(ops.broadcast_to(x, s), axis=a, keepdims=False),
        ops.broadcast_to(x, compute(_left, s, a)),
    )


@predicate
def reduces_own_axes(x: Known, s: Shape, axes: AttrValue) -> bool:
    """Only axes of x are reduced, which the broadcast does not repeat."""
    offset = len(s) - x.ndim
    return all(a >= offset and x.proves(Equal(s[a], x.dims[a - offset])) for a in _reduced(s, axes))


def _own_axes(x: Known, s: Shape, axes: AttrValue) -> tuple[int, ...]:
    return tuple(a - (len(s) - x.ndim) for a in _reduced(s, axes))


@broadcasts.rule(
    source="every copy has the same sum",
    numerics=REASSOCIATES,
    when=[reduces_own_axes("x", "s", "a")],
)
def sum_of_own_axes(x: Tensor, s: Dims, a: IntsAttr) -> Sides:
    inner = ops.sum(x, axis=compute(_own_axes, x, s, a), keepdims=False)
    return (
        ops.sum(ops.broadcast_to(x, s), axis=a, keepdims=False),
        ops.broadcast_to(inner, compute(_left, s, a)),
    )


@broadcasts.rule(source="every copy has the same maximum", when=[reduces_own_axes("x", "s", "a")])
def max_of_own_axes(x: Tensor, s: Dims, a: IntsAttr) -> Sides:
    inner = ops.max(x, axis=compute(_own_axes, x, s, a), keepdims=False)
    return (
        ops.max(ops.broadcast_to(x, s), axis=a, keepdims=False),
        ops.broadcast_to(inner, compute(_left, s, a)),
    )
