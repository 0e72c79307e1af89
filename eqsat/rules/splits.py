"""Parts of a split as slices, and slices that are joined again; stacks as concatenations."""

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
    Operand,
    Pattern,
    Sides,
    Tensor,
    attr,
    compute,
    ops,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import Phase, RuleSet, predicate
from eqsat.rules.concatenation import SectionsAttr, as_dims, boundaries, steps_by_one
from eqsat.rules.movement import VIEWS, int_tuple
from eqsat.shapes import Dim, Equal, LessEqual, Shape, expand_dims

splits = RuleSet("splits", Phase.SIMPLIFY)

DimsAttr = Annotated[AttrVar, attr("dims")]

PARTS = "definition of a split"
JOINED = "slices that meet are one"


# --- parts ----------------------------------------------------------------------------------


def _edges(x: Known, sections: AttrValue, axis: AttrValue) -> tuple[Dim, ...] | None:
    cuts = boundaries(x, sections, axis)
    size = x.dims[int_tuple(axis)[0] % x.ndim]
    return None if cuts is None else (0, *cuts, size)


def _begin(place: int, x: Known, sections: AttrValue, axis: AttrValue) -> Shape | None:
    edges = _edges(x, sections, axis)
    return None if edges is None else edges[place : place + 1]


def _begins_first(x: Known, sections: AttrValue, axis: AttrValue) -> Shape | None:
    return _begin(0, x, sections, axis)


def _begins_second(x: Known, sections: AttrValue, axis: AttrValue) -> Shape | None:
    return _begin(1, x, sections, axis)


def _begins_third(x: Known, sections: AttrValue, axis: AttrValue) -> Shape | None:
    return _begin(2, x, sections, axis)


def _ends_third(x: Known, sections: AttrValue, axis: AttrValue) -> Shape | None:
    return _begin(3, x, sections, axis)


# Counted from the front, so that slices of parts and slices of slices are spelled alike.
def _only_axis(x: Known, axis: AttrValue) -> tuple[int, ...]:
    return (int_tuple(axis)[0] % x.ndim,)


@splits.rule(source=PARTS)
def first_part_is_slice(x: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    begin, end = compute(_begins_first, x, i, k), compute(_begins_second, x, i, k)
    return (
        ops.split(x, indices_or_sections=i, axis=k)[0],
        ops.strided_slice(x, axes=compute(_only_axis, x, k), begin=begin, end=end),
    )


@splits.rule(source=PARTS)
def second_part_is_slice(x: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    begin, end = compute(_begins_second, x, i, k), compute(_begins_third, x, i, k)
    return (
        ops.split(x, indices_or_sections=i, axis=k)[1],
        ops.strided_slice(x, axes=compute(_only_axis, x, k), begin=begin, end=end),
    )


@splits.rule(source=PARTS)
def third_part_is_slice(x: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    begin, end = compute(_begins_third, x, i, k), compute(_ends_third, x, i, k)
    return (
        ops.split(x, indices_or_sections=i, axis=k)[2],
        ops.strided_slice(x, axes=compute(_only_axis, x, k), begin=begin, end=end),
    )


# --- slices that meet -----------------------------------------------------------------------


@predicate
def meet(
    x: Known,
    axes: AttrValue,
    begin: AttrValue,
    middle: AttrValue,
    other: AttrValue,
    end: AttrValue,
    axis: AttrValue,
) -> bool:
    """The second slice begins where the first ends, along the axis that they are joined on."""
    cut, (k,) = int_tuple(axes), int_tuple(axis)
    if len(cut) != 1 or (cut[0] - k) % x.ndim != 0:
        return False
    (b,), (m,), (n,), (e,) = map(as_dims, (begin, middle, other, end))
    order = ((0, b), (b, m), (m, e), (e, x.dims[k % x.ndim]))
    return x.proves(Equal(m, n)) and all(x.proves(LessEqual(*pair)) for pair in order)


MEET = (steps_by_one("s"), steps_by_one("t"), meet("x", "a", "b", "m", "n", "e", "k"))


def _slice(x: Pattern, a: IntsAttr, b: DimsAttr, e: DimsAttr, s: DimsAttr, i: BoolAttr) -> Pattern:
    return ops.strided_slice(x, axes=a, begin=b, end=e, strides=s, assume_inbound=i)


@splits.rule(source=JOINED, when=MEET)
def slices_that_meet(
    x: Tensor,
    a: IntsAttr,
    b: DimsAttr,
    m: DimsAttr,
    n: DimsAttr,
    e: DimsAttr,
    s: DimsAttr,
    t: DimsAttr,
    i: BoolAttr,
    j: BoolAttr,
    k: IntAttr,
) -> Sides:
    parts: list[Operand] = [_slice(x, a, b, m, s, i), _slice(x, a, n, e, t, j)]
    return ops.concat(parts, axis=k), ops.strided_slice(x, axes=a, begin=b, end=e)


@splits.rule(source=JOINED, when=MEET)
def slices_that_meet_in_front(
    x: Tensor,
    y: Tensor,
    a: IntsAttr,
    b: DimsAttr,
    m: DimsAttr,
    n: DimsAttr,
    e: DimsAttr,
    s: DimsAttr,
    t: DimsAttr,
    i: BoolAttr,
    j: BoolAttr,
    k: IntAttr,
) -> Sides:
    parts: list[Operand] = [_slice(x, a, b, m, s, i), _slice(x, a, n, e, t, j), y]
    joined = ops.strided_slice(x, axes=a, begin=b, end=e)
    return ops.concat(parts, axis=k), ops.concat([joined, y], axis=k)


@splits.rule(source=JOINED, when=MEET)
def slices_that_meet_behind(
    x: Tensor,
    y: Tensor,
    a: IntsAttr,
    b: DimsAttr,
    m: DimsAttr,
    n: DimsAttr,
    e: DimsAttr,
    s: DimsAttr,
    t: DimsAttr,
    i: BoolAttr,
    j: BoolAttr,
    k: IntAttr,
) -> Sides:
    parts: list[Operand] = [y, _slice(x, a, b, m, s, i), _slice(x, a, n, e, t, j)]
    joined = ops.strided_slice(x, axes=a, begin=b, end=e)
    return ops.concat(parts, axis=k), ops.concat([y, joined], axis=k)


# --- stacks ---------------------------------------------------------------------------------

STACK = "definition of a stack"


def _expanded(x: Known, axis: AttrValue) -> Shape:
    return expand_dims(x.dims, int_tuple(axis))


def _from_start(x: Known, axis: AttrValue) -> int:
    return int_tuple(axis)[0] % (x.ndim + 1)


@splits.rule(source=STACK)
def stack_of_two_is_concat(x: Tensor, y: Tensor, k: IntAttr) -> Sides:
    shape = compute(_expanded, x, k)
    parts = [ops.reshape(each, shape) for each in (x, y)]
    return ops.stack([x, y], axis=k), ops.concat(parts, axis=compute(_from_start, x, k))


@splits.rule(source=STACK)
def stack_of_three_is_concat(x: Tensor, y: Tensor, z: Tensor, k: IntAttr) -> Sides:
    shape = compute(_expanded, x, k)
    parts = [ops.reshape(each, shape) for each in (x, y, z)]
    return ops.stack([x, y, z], axis=k), ops.concat(parts, axis=compute(_from_start, x, k))


@predicate
def are_blocks(x: Known, y: Known, s: Shape, axis: AttrValue) -> bool:
    """Both lie one behind the other in memory, before they are reshaped and after."""
    if axis != 0 or not s or x.ndim == 0 or x.ndim != y.ndim:
        return False
    return all(x.proves(Equal(d, e)) for d, e in zip(x.dims[1:], y.dims[1:], strict=True))


def _both(s: Shape, t: Shape) -> Shape | None:
    return (s[0] + t[0], *s[1:]) if s and t else None


@splits.rule(source=VIEWS, when=[are_blocks("x", "y", "s", "k")])
def concat_of_reshaped_blocks(x: Tensor, y: Tensor, s: Dims, t: Dims, k: IntAttr) -> Sides:
    return (
        ops.concat([ops.reshape(x, s), ops.reshape(y, t)], axis=k),
        ops.reshape(ops.concat([x, y], axis=0), compute(_both, s, t)),
    )
