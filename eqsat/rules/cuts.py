"""Slices of what is put together, and what is put together from slices; reverses."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    AttrVar,
    BoolAttr,
    Dims,
    FloatAttr,
    IntAttr,
    IntsAttr,
    Number,
    Sides,
    Tensor,
    attr,
    compute,
    ops,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import Phase, RuleSet, predicate
from eqsat.rules.concatenation import CONCAT, as_dims, steps_by_one
from eqsat.rules.movement import int_tuple
from eqsat.shapes import Dim, Equal, LessEqual, Shape

cuts = RuleSet("cuts", Phase.SIMPLIFY)

SLICE = "definition of a slice"
DimsAttr = Annotated[AttrVar, attr("dims")]


def _ranges(
    ndim: int, axes: AttrValue, begin: AttrValue, end: AttrValue
) -> dict[int, tuple[Dim, Dim]]:
    """Return axis → (begin, end)."""
    where = [a % ndim for a in int_tuple(axes)]
    return dict(zip(where, zip(as_dims(begin), as_dims(end), strict=True), strict=True))


def _are_ordered(x: Known, *dims: Dim) -> bool:
    """Return whether each dim is provably at most the next."""
    return all(x.proves(LessEqual(a, b)) for a, b in pairwise(dims))


# --- pads -----------------------------------------------------------------------------------


def _margins(widths: AttrValue) -> list[tuple[int, int]]:
    flat = int_tuple(widths)
    return list(zip(flat[::2], flat[1::2], strict=True))


@predicate
def cuts_inside_pad(
    x: Known, widths: AttrValue, axes: AttrValue, begin: AttrValue, end: AttrValue
) -> bool:
    """Nothing that was padded is left, on any axis."""
    ranges = _ranges(x.ndim, axes, begin, end)
    for a, (before, behind) in enumerate(_margins(widths)):
        if a not in ranges and (before or behind):
            return False
        if a in ranges:
            size = x.dims[a]
            inner_end = before + size + min(behind, 0)
            if not _are_ordered(x, max(before, 0), *ranges[a], inner_end):
                return False
    return True


def _begin_inside(
    x: Known, widths: AttrValue, axes: AttrValue, begin: AttrValue, end: AttrValue
) -> Shape:
    ranges, margins = _ranges(x.ndim, axes, begin, end), _margins(widths)
    return tuple(first - margins[a][0] for a, (first, _) in ranges.items())


def _end_inside(
    x: Known, widths: AttrValue, axes: AttrValue, begin: AttrValue, end: AttrValue
) -> Shape:
    ranges, margins = _ranges(x.ndim, axes, begin, end), _margins(widths)
    return tuple(last - margins[a][0] for a, (_, last) in ranges.items())


@cuts.rule(source=SLICE, when=[steps_by_one("s"), cuts_inside_pad("x", "p", "a", "b", "e")])
def slice_inside_pad(
    x: Tensor,
    p: IntsAttr,
    v: FloatAttr,
    a: IntsAttr,
    b: DimsAttr,
    e: DimsAttr,
    s: DimsAttr,
    i: BoolAttr,
) -> Sides:
    padded = ops.nn.pad(x, pad_width=p, pad_mode="constant", pad_value=v)
    return (
        ops.strided_slice(padded, axes=a, begin=b, end=e, strides=s, assume_inbound=i),
        ops.strided_slice(
            x,
            axes=a,
            begin=compute(_begin_inside, x, p, a, b, e),
            end=compute(_end_inside, x, p, a, b, e),
        ),
    )


# --- concatenations -------------------------------------------------------------------------


@predicate
def stays_in_second(
    x: Known, y: Known, axes: AttrValue, begin: AttrValue, end: AttrValue, axis: AttrValue
) -> bool:
    """The slice of [x, y] along the concatenated axis lies in y."""
    (k,) = int_tuple(axis)
    ranges = _ranges(x.ndim, axes, begin, end)
    if list(ranges) != [k % x.ndim]:
        return False
    first, size = x.dims[k % x.ndim], y.dims[k % x.ndim]
    return _are_ordered(x, first, *ranges[k % x.ndim], first + size)


def _behind(x: Known, bound: AttrValue, axis: AttrValue) -> Shape:
    (k,) = int_tuple(axis)
    return tuple(d - x.dims[k % x.ndim] for d in as_dims(bound))


@cuts.rule(source=CONCAT, when=[stays_in_second("x", "y", "a", "b", "e", "k")])
def slice_of_concat_in_second(
    x: Tensor,
    y: Tensor,
    a: IntsAttr,
    b: DimsAttr,
    e: DimsAttr,
    s: DimsAttr,
    i: BoolAttr,
    k: IntAttr,
) -> Sides:
    both = ops.concat([x, y], axis=k)
    return (
        ops.strided_slice(both, axes=a, begin=b, end=e, strides=s, assume_inbound=i),
        ops.strided_slice(
            y,
            axes=a,
            begin=compute(_behind, x, b, k),
            end=compute(_behind, x, e, k),
            strides=s,
            assume_inbound=i,
        ),
    )


@predicate
def is_one_along(x: Known, axis: AttrValue) -> bool:
    """The axis has one element."""
    (k,) = int_tuple(axis)
    return x.proves(Equal(x.dims[k % x.ndim], 1))


def _width_behind(x: Known, s: Shape, axis: AttrValue) -> tuple[int, ...] | None:
    k = int_tuple(axis)[0] % x.ndim
    width = s[k]
    if not isinstance(width, int):
        return None
    return tuple(w for a in range(x.ndim) for w in (0, width if a == k else 0))


def _width_in_front(x: Known, s: Shape, axis: AttrValue) -> tuple[int, ...] | None:
    k = int_tuple(axis)[0] % x.ndim
    width = s[k]
    if not isinstance(width, int):
        return None
    return tuple(w for a in range(x.ndim) for w in (width if a == k else 0, 0))


def _fill(c: Known) -> float | None:
    """Return the number as `pad` takes it: a float, which not every int64 is."""
    return c.number if c.number is not None and float(c.number) == c.number else None


@cuts.rule(source=CONCAT)
def concat_with_number_behind_is_pad(x: Tensor, s: Dims, c: Number, k: IntAttr) -> Sides:
    return (
        ops.concat([x, ops.full(s, c)], axis=k),
        ops.nn.pad(x, pad_width=compute(_width_behind, x, s, k), pad_value=compute(_fill, c)),
    )


@cuts.rule(source=CONCAT)
def concat_with_number_in_front_is_pad(x: Tensor, s: Dims, c: Number, k: IntAttr) -> Sides:
    return (
        ops.concat([ops.full(s, c), x], axis=k),
        ops.nn.pad(x, pad_width=compute(_width_in_front, x, s, k), pad_value=compute(_fill, c)),
    )


# --- reshapes and broadcasts ----------------------------------------------------------------


@predicate
def cuts_first_axis(x: Known, s: Shape, axes: AttrValue, begin: AttrValue, end: AttrValue) -> bool:
    """Only the first axis is cut, and the reshape does not change it."""
    if not s or not x.ndim or not x.proves(Equal(x.dims[0], s[0])):
        return False
    ranges = _ranges(len(s), axes, begin, end)
    return list(ranges) == [0] and _are_ordered(x, 0, *ranges[0], s[0])


def _cut_shape(s: Shape, begin: AttrValue, end: AttrValue) -> Shape:
    (first,), (last,) = as_dims(begin), as_dims(end)
    return (last - first, *s[1:])


@cuts.rule(source=SLICE, when=[steps_by_one("t"), cuts_first_axis("x", "s", "a", "b", "e")])
def slice_of_reshaped(
    x: Tensor, s: Dims, a: IntsAttr, b: DimsAttr, e: DimsAttr, t: DimsAttr, i: BoolAttr
) -> Sides:
    cut = ops.strided_slice(x, axes=(0,), begin=b, end=e)
    return (
        ops.strided_slice(ops.reshape(x, s), axes=a, begin=b, end=e, strides=t, assume_inbound=i),
        ops.reshape(cut, compute(_cut_shape, s, b, e)),
    )


@predicate
def cuts_added_axes(x: Known, s: Shape, axes: AttrValue, begin: AttrValue, end: AttrValue) -> bool:
    """Only axes in front of those of x are cut."""
    return all(
        a < len(s) - x.ndim and _are_ordered(x, 0, *cut, s[a])
        for a, cut in _ranges(len(s), axes, begin, end).items()
    )


def _cut_target(s: Shape, axes: AttrValue, begin: AttrValue, end: AttrValue) -> Shape:
    ranges = _ranges(len(s), axes, begin, end)
    return tuple(ranges[a][1] - ranges[a][0] if a in ranges else d for a, d in enumerate(s))


@cuts.rule(source=SLICE, when=[steps_by_one("t"), cuts_added_axes("x", "s", "a", "b", "e")])
def slice_of_broadcast(
    x: Tensor, s: Dims, a: IntsAttr, b: DimsAttr, e: DimsAttr, t: DimsAttr, i: BoolAttr
) -> Sides:
    return (
        ops.strided_slice(
            ops.broadcast_to(x, s), axes=a, begin=b, end=e, strides=t, assume_inbound=i
        ),
        ops.broadcast_to(x, compute(_cut_target, s, a, b, e)),
    )


# --- reverses -------------------------------------------------------------------------------

REVERSE = "a reverse is its own inverse"


@cuts.rule(source=REVERSE)
def flip_twice(x: Tensor, k: IntAttr) -> Sides:
    return ops.flip(ops.flip(x, axis=k), axis=k), x


@cuts.rule(source=REVERSE, when=[is_one_along("x", "k")])
def flip_of_one(x: Tensor, k: IntAttr) -> Sides:
    return ops.flip(x, axis=k), x


@cuts.rule(source="one element is sorted", when=[is_one_along("x", "k")])
def sort_of_one(x: Tensor, k: IntAttr, d: BoolAttr) -> Sides:
    return ops.sort(x, axis=k, descending=d), x
