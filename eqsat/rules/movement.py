"""Data movement: reshape, permute, broadcast, concat, split, slice, pad."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Dims,
    Float,
    IntAttr,
    IntsAttr,
    Number,
    Sides,
    Tensor,
    attr,
    compute,
    ops,
)
from eqsat.rules._predicates import is_constant, same_rank
from eqsat.rules._resolve import Known, NotApplicableError
from eqsat.rules._rule import (
    Phase,
    RuleSet,
    predicate,
    types_agree,
)
from eqsat.rules._terms import AttrVar
from eqsat.shapes import (
    Equal,
    Proof,
    Shape,
    equal_shapes,
    expand_dims,
    product,
    squeeze,
)

movement = RuleSet("movement", Phase.SIMPLIFY)

DimAttr = Annotated[AttrVar, attr("dim")]

VIEWS = "a view only renames elements"
BROADCAST = "pointwise operators broadcast by themselves"


def int_tuple(value: AttrValue) -> tuple[int, ...]:
    """Return an attribute of kind "int" or "ints" as integers.

    Raises:
        NotApplicableError: the attribute is None, and the rule needs its value.
    """
    if isinstance(value, int):
        return (value,)
    if not isinstance(value, tuple):
        raise NotApplicableError
    return tuple(v for v in value if isinstance(v, int))


def full_permutation(x: Known, axes: AttrValue) -> tuple[int, ...]:
    """Return the axes of `permute_dims` from 0; None reverses them."""
    if axes is None:
        return tuple(reversed(range(x.ndim)))
    return tuple(a % x.ndim for a in int_tuple(axes))


# --- permute --------------------------------------------------------------------------------


def _composed(x: Known, first: AttrValue, second: AttrValue) -> tuple[int, ...]:
    inner = full_permutation(x, first)
    return tuple(inner[a] for a in full_permutation(x, second))


@movement.rule(source="permutations compose")
def permute_of_permute(x: Tensor, p: IntsAttr, q: IntsAttr) -> Sides:
    return (
        ops.permute_dims(ops.permute_dims(x, axes=p), axes=q),
        ops.permute_dims(x, axes=compute(_composed, x, p, q)),
    )


@predicate
def is_identity_permutation(x: Known, axes: AttrValue) -> bool:
    """No axis moves."""
    return full_permutation(x, axes) == tuple(range(x.ndim))


@movement.rule(source="permutations compose", when=[is_identity_permutation("x", "p")])
def permute_that_moves_nothing(x: Tensor, p: IntsAttr) -> Sides:
    return ops.permute_dims(x, axes=p), x


@predicate
def moves_only_unit_axes(x: Known, axes: AttrValue) -> bool:
    """The axes of size other than 1 keep their order."""
    moved = [a for a in full_permutation(x, axes) if not x.proves(Equal(x.dims[a], 1))]
    return moved == sorted(moved)


def _permuted_dims(x: Known, axes: AttrValue) -> Shape:
    return tuple(x.dims[a] for a in full_permutation(x, axes))


@movement.rule(source=VIEWS, when=[moves_only_unit_axes("x", "p")])
def permute_of_unit_axes_is_reshape(x: Tensor, p: IntsAttr) -> Sides:
    return ops.permute_dims(x, axes=p), ops.reshape(x, compute(_permuted_dims, x, p))


@movement.rule(source=VIEWS, when=[same_rank("x", "y")])
def add_of_permuted(x: Tensor, y: Tensor, p: IntsAttr) -> Sides:
    return (
        ops.permute_dims(x, axes=p) + ops.permute_dims(y, axes=p),
        ops.permute_dims(x + y, axes=p),
    )


@movement.rule(source=VIEWS, when=[same_rank("x", "y")])
def multiply_of_permuted(x: Tensor, y: Tensor, p: IntsAttr) -> Sides:
    return (
        ops.permute_dims(x, axes=p) * ops.permute_dims(y, axes=p),
        ops.permute_dims(x * y, axes=p),
    )


@movement.rule(source=VIEWS, when=[same_rank("x", "y")])
def difference_of_permuted(x: Tensor, y: Tensor, p: IntsAttr) -> Sides:
    return (
        ops.permute_dims(x, axes=p) - ops.permute_dims(y, axes=p),
        ops.permute_dims(x - y, axes=p),
    )


def _inverse(x: Known, axes: AttrValue) -> tuple[int, ...]:
    permutation = full_permutation(x, axes)
    return tuple(permutation.index(a) for a in range(x.ndim))


@movement.rule(source=VIEWS, when=[is_constant("c"), same_rank("x", "c")])
def add_constant_to_permuted(x: Tensor, c: Tensor, p: IntsAttr) -> Sides:
    return (
        ops.permute_dims(x, axes=p) + c,
        ops.permute_dims(x + ops.permute_dims(c, axes=compute(_inverse, x, p)), axes=p),
    )


@movement.rule(source=VIEWS, when=[types_agree])
def scale_of_permuted(x: Tensor, p: IntsAttr, c: Number) -> Sides:
    return ops.permute_dims(x, axes=p) * c, ops.permute_dims(x * c, axes=p)


@movement.rule(source=VIEWS)
def relu_of_permuted(x: Float, p: IntsAttr) -> Sides:
    return ops.nn.relu(ops.permute_dims(x, axes=p)), ops.permute_dims(ops.nn.relu(x), axes=p)


# --- reshape --------------------------------------------------------------------------------


@movement.rule(source=VIEWS)
def reshape_of_reshape(x: Tensor, s: Dims, t: Dims) -> Sides:
    return ops.reshape(ops.reshape(x, s), t), ops.reshape(x, t)


@predicate
def has_shape(x: Known, s: Shape) -> bool:
    """Whether x provably has the shape s."""
    return equal_shapes(x.dims, s, x.facts) is Proof.YES


@movement.rule(source=VIEWS, when=[has_shape("x", "s")])
def reshape_to_own_shape(x: Tensor, s: Dims) -> Sides:
    return ops.reshape(x, s), x


def _expanded(x: Known, axes: AttrValue) -> Shape:
    return expand_dims(x.dims, int_tuple(axes))


@movement.rule(source=VIEWS)
def expand_dims_is_reshape(x: Tensor, a: IntsAttr) -> Sides:
    return ops.expand_dims(x, axis=a), ops.reshape(x, compute(_expanded, x, a))


def _squeezed(x: Known, axes: AttrValue) -> Shape | None:
    return None if axes is None else squeeze(x.dims, int_tuple(axes))


@movement.rule(source=VIEWS)
def squeeze_is_reshape(x: Tensor, a: IntsAttr) -> Sides:
    return ops.squeeze(x, axis=a), ops.reshape(x, compute(_squeezed, x, a))


def _flattened(x: Known) -> Shape:
    return (product(x.dims),)


@movement.rule(source=VIEWS)
def flatten_is_reshape(x: Tensor) -> Sides:
    return ops.flatten(x), ops.reshape(x, compute(_flattened, x))


def _batch_flattened(x: Known) -> Shape | None:
    return (x.dims[0], product(x.dims[1:])) if x.ndim else None


@movement.rule(source=VIEWS)
def batch_flatten_is_reshape(x: Tensor) -> Sides:
    return ops.nn.batch_flatten(x), ops.reshape(x, compute(_batch_flattened, x))


@movement.rule(source=VIEWS)
def relu_of_reshaped(x: Float, s: Dims) -> Sides:
    return ops.nn.relu(ops.reshape(x, s)), ops.reshape(ops.nn.relu(x), s)


@movement.rule(source=VIEWS)
def tanh_of_reshaped(x: Float, s: Dims) -> Sides:
    return ops.tanh(ops.reshape(x, s)), ops.reshape(ops.tanh(x), s)


# --- broadcast ------------------------------------------------------------------------------


@movement.rule(source=VIEWS, when=[has_shape("x", "s")])
def broadcast_to_own_shape(x: Tensor, s: Dims) -> Sides:
    return ops.broadcast_to(x, s), x


@movement.rule(source=VIEWS)
def broadcast_of_broadcast(x: Tensor, s: Dims, t: Dims) -> Sides:
    return ops.broadcast_to(ops.broadcast_to(x, s), t), ops.broadcast_to(x, t)


@movement.rule(source=BROADCAST, when=[types_agree])
def add_of_broadcast(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return x + ops.broadcast_to(y, s), x + y


@movement.rule(source=BROADCAST, when=[types_agree])
def multiply_by_broadcast(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return x * ops.broadcast_to(y, s), x * y


@movement.rule(source=BROADCAST, when=[types_agree])
def subtract_broadcast(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return x - ops.broadcast_to(y, s), x - y


@movement.rule(source=BROADCAST, when=[types_agree])
def broadcast_minus(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return ops.broadcast_to(x, s) - y, x - y


@movement.rule(source=BROADCAST, when=[types_agree])
def divide_by_broadcast(x: Float, y: Float, s: Dims) -> Sides:
    return x / ops.broadcast_to(y, s), x / y


@movement.rule(source=BROADCAST, when=[types_agree])
def where_condition_broadcast(c: Tensor, x: Tensor, y: Tensor, s: Dims) -> Sides:
    return ops.where(ops.broadcast_to(c, s), x, y), ops.where(c, x, y)


@movement.rule(source=BROADCAST, when=[types_agree])
def where_choice_broadcast(c: Tensor, x: Tensor, y: Tensor, s: Dims) -> Sides:
    return ops.where(c, ops.broadcast_to(x, s), y), ops.where(c, x, y)


@movement.rule(source=BROADCAST, when=[types_agree])
def where_alternative_broadcast(c: Tensor, x: Tensor, y: Tensor, s: Dims) -> Sides:
    return ops.where(c, x, ops.broadcast_to(y, s)), ops.where(c, x, y)


@predicate
def broadcasts_to_operand(y: Known, x: Known) -> bool:
    """The result has the shape of x, whatever x is broadcast to later."""
    return y.ndim <= x.ndim and all(
        y.proves(Equal(a, 1)) or y.proves(Equal(a, b))
        for a, b in zip(reversed(y.dims), reversed(x.dims), strict=False)
    )


@movement.rule(source=BROADCAST, when=[broadcasts_to_operand("y", "x")])
def sum_of_smaller_is_broadcast(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return ops.broadcast_to(x, s) + y, ops.broadcast_to(x + y, s)


@movement.rule(source=BROADCAST, when=[broadcasts_to_operand("y", "x")])
def product_of_smaller_is_broadcast(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return ops.broadcast_to(x, s) * y, ops.broadcast_to(x * y, s)


# --- pad ------------------------------------------------------------------------------------


@predicate
def all_zero(widths: AttrValue) -> bool:
    """No padding on any side."""
    return not any(int_tuple(widths))


@movement.rule(source=VIEWS, when=[all_zero("p")])
def pad_by_nothing(x: Tensor, p: IntsAttr) -> Sides:
    return ops.nn.pad(x, pad_width=p), x


# --- repeats and writes ---------------------------------------------------------------------


@predicate
def repeats_once(x: Known, repeats: AttrValue) -> bool:
    """No axis is repeated, and none is added."""
    times = int_tuple(repeats)
    return len(times) <= x.ndim and set(times) <= {1}


@movement.rule(source=VIEWS, when=[repeats_once("x", "r")])
def tile_by_ones(x: Tensor, r: IntsAttr) -> Sides:
    return ops.tile(x, repeats=r), x


@movement.rule(source=VIEWS, when=[types_agree])
def repeat_by_one(x: Tensor, k: IntAttr) -> Sides:
    return ops.repeat(x, repeats=1, axis=k), x


@movement.rule(source=VIEWS, when=[types_agree])
def slice_scatter_of_everything(
    x: Tensor, y: Tensor, b: DimAttr, e: DimAttr, s: DimAttr, k: IntAttr
) -> Sides:
    return ops.slice_scatter(x, y, start=b, end=e, step=s, axis=k), y
