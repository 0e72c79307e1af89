"""Concatenation, and the splits and slices that undo it."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    BoolAttr,
    Float,
    IntAttr,
    IntsAttr,
    Sides,
    Tensor,
    attr,
    compute,
    ops,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import Phase, RuleSet, predicate
from eqsat.rules._terms import AttrVar
from eqsat.rules.movement import VIEWS, full_permutation, int_tuple
from eqsat.shapes import Dim, Equal, LessEqual, Shape, SymDim

concatenation = RuleSet("concatenation", Phase.SIMPLIFY)

# --- concat and split -----------------------------------------------------------------------

CONCAT = "concatenation is associative and undone by split"


@concatenation.rule(source=CONCAT)
def concat_of_one(x: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x], axis=k), x


@concatenation.rule(source=CONCAT)
def concat_of_concat_left(x: Tensor, y: Tensor, z: Tensor, k: IntAttr) -> Sides:
    return ops.concat([ops.concat([x, y], axis=k), z], axis=k), ops.concat([x, y, z], axis=k)


@concatenation.rule(source=CONCAT)
def concat_of_concat_right(x: Tensor, y: Tensor, z: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x, ops.concat([y, z], axis=k)], axis=k), ops.concat([x, y, z], axis=k)


@predicate
def is_empty_along(x: Known, axis: AttrValue) -> bool:
    """The axis has no elements."""
    (a,) = int_tuple(axis)
    return x.proves(Equal(x.dims[a % x.ndim], 0))


@concatenation.rule(source=CONCAT, when=[is_empty_along("y", "k")])
def concat_with_nothing_behind(x: Tensor, y: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x, y], axis=k), x


@concatenation.rule(source=CONCAT, when=[is_empty_along("x", "k")])
def concat_with_nothing_in_front(x: Tensor, y: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x, y], axis=k), y


@predicate
def is_unit_along(x: Known, axis: AttrValue) -> bool:
    """The axis has one element."""
    (a,) = int_tuple(axis)
    return x.proves(Equal(x.dims[a % x.ndim], 1))


def _times(count: int, x: Known, axis: AttrValue) -> Shape:
    (a,) = int_tuple(axis)
    return tuple(count if i == a % x.ndim else d for i, d in enumerate(x.dims))


def _twice(x: Known, axis: AttrValue) -> Shape:
    return _times(2, x, axis)


def _three_times(x: Known, axis: AttrValue) -> Shape:
    return _times(3, x, axis)


@concatenation.rule(source="definition of broadcasting", when=[is_unit_along("x", "k")])
def concat_of_same_is_broadcast(x: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x, x], axis=k), ops.broadcast_to(x, compute(_twice, x, k))


@concatenation.rule(source="definition of broadcasting", when=[is_unit_along("x", "k")])
def concat_of_three_same_is_broadcast(x: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x, x, x], axis=k), ops.broadcast_to(x, compute(_three_times, x, k))


@concatenation.rule(source="pointwise operators commute with concat")
def concat_of_relus(x: Float, y: Float, k: IntAttr) -> Sides:
    return (
        ops.concat([ops.nn.relu(x), ops.nn.relu(y)], axis=k),
        ops.nn.relu(ops.concat([x, y], axis=k)),
    )


@concatenation.rule(source="pointwise operators commute with concat")
def concat_of_three_relus(x: Float, y: Float, z: Float, k: IntAttr) -> Sides:
    return (
        ops.concat([ops.nn.relu(x), ops.nn.relu(y), ops.nn.relu(z)], axis=k),
        ops.nn.relu(ops.concat([x, y, z], axis=k)),
    )


# --- concat of permuted ---------------------------------------------------------------------


def _axis_before(x: Known, permutation: AttrValue, axis: AttrValue) -> int:
    return full_permutation(x, permutation)[int_tuple(axis)[0] % x.ndim]


@concatenation.rule(source=VIEWS)
def concat_of_three_permuted(x: Tensor, y: Tensor, z: Tensor, p: IntsAttr, k: IntAttr) -> Sides:
    parts = [ops.permute_dims(each, axes=p) for each in (x, y, z)]
    joined = ops.concat([x, y, z], axis=compute(_axis_before, x, p, k))
    return ops.concat(parts, axis=k), ops.permute_dims(joined, axes=p)


SectionsAttr = IntsAttr


def boundaries(x: Known, sections: AttrValue, axis: AttrValue) -> tuple[int, ...] | None:
    """Return where `split` cuts x, from its attribute; None where that is not known."""
    (a,) = int_tuple(axis)
    if not isinstance(sections, int):
        return int_tuple(sections)
    size = x.dims[a % x.ndim]
    if not isinstance(size, int) or sections <= 0 or size % sections:
        return None
    return tuple(size // sections * i for i in range(1, sections))


@predicate
def splits_in_one(sections: AttrValue) -> bool:
    """The split has one part."""
    return sections in (1, ())


@concatenation.rule(source=CONCAT, when=[splits_in_one("i")])
def split_in_one_part(x: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    return ops.split(x, indices_or_sections=i, axis=k)[0], x


@predicate
def splits_in_two(x: Known, sections: AttrValue, axis: AttrValue) -> bool:
    """The split has two parts."""
    cuts = boundaries(x, sections, axis)
    return cuts is not None and len(cuts) == 1


@predicate
def splits_in_three(x: Known, sections: AttrValue, axis: AttrValue) -> bool:
    """The split has three parts that do not overlap."""
    cuts = boundaries(x, sections, axis)
    return cuts is not None and len(cuts) == 2 and cuts[0] <= cuts[1]


@concatenation.rule(source=CONCAT, when=[splits_in_two("x", "i", "k")])
def concat_of_split(x: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    parts = ops.split(x, indices_or_sections=i, axis=k)
    return ops.concat([parts[0], parts[1]], axis=k), x


@concatenation.rule(source=CONCAT, when=[splits_in_three("x", "i", "k")])
def concat_of_three_way_split(x: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    parts = ops.split(x, indices_or_sections=i, axis=k)
    return ops.concat([parts[0], parts[1], parts[2]], axis=k), x


@predicate
def cuts_behind(x: Known, y: Known, sections: AttrValue, axis: AttrValue) -> bool:
    """The first cut of a split of [x, y] is where x ends."""
    (a,) = int_tuple(axis)
    ends, other = x.dims[a % x.ndim], y.dims[a % x.ndim]
    if isinstance(sections, int):
        return sections == 2 and x.proves(Equal(ends, other))
    cuts = int_tuple(sections)
    return len(cuts) == 1 and x.proves(Equal(ends, cuts[0]))


@concatenation.rule(source=CONCAT, when=[cuts_behind("x", "y", "i", "k")])
def first_part_of_concat(x: Tensor, y: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    return ops.split(ops.concat([x, y], axis=k), indices_or_sections=i, axis=k)[0], x


@concatenation.rule(source=CONCAT, when=[cuts_behind("x", "y", "i", "k")])
def second_part_of_concat(x: Tensor, y: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    return ops.split(ops.concat([x, y], axis=k), indices_or_sections=i, axis=k)[1], y


@predicate
def cuts_between(x: Known, y: Known, z: Known, sections: AttrValue, axis: AttrValue) -> bool:
    """A split of [x, y, z] cuts where x and where y ends."""
    (a,) = int_tuple(axis)
    first, second, third = (t.dims[a % t.ndim] for t in (x, y, z))
    if isinstance(sections, int):
        return sections == 3 and all(x.proves(Equal(first, d)) for d in (second, third))
    cuts = int_tuple(sections)
    ends = (first, first + second)
    return len(cuts) == 2 and all(x.proves(Equal(*pair)) for pair in zip(cuts, ends, strict=True))


OF_THREE = (cuts_between("x", "y", "z", "i", "k"),)


@concatenation.rule(source=CONCAT, when=OF_THREE)
def first_part_of_three(x: Tensor, y: Tensor, z: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    return ops.split(ops.concat([x, y, z], axis=k), indices_or_sections=i, axis=k)[0], x


@concatenation.rule(source=CONCAT, when=OF_THREE)
def second_part_of_three(x: Tensor, y: Tensor, z: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    return ops.split(ops.concat([x, y, z], axis=k), indices_or_sections=i, axis=k)[1], y


@concatenation.rule(source=CONCAT, when=OF_THREE)
def third_part_of_three(x: Tensor, y: Tensor, z: Tensor, i: SectionsAttr, k: IntAttr) -> Sides:
    return ops.split(ops.concat([x, y, z], axis=k), indices_or_sections=i, axis=k)[2], z


# --- slices ---------------------------------------------------------------------------------

SLICE = "definition of a slice"
DimsAttr = Annotated[AttrVar, attr("dims")]


def as_dims(value: AttrValue) -> Shape:
    """Return an attribute of kind "dims"."""
    if not isinstance(value, tuple):
        return ()
    return tuple(v for v in value if isinstance(v, (int, SymDim)) and not isinstance(v, bool))


def _starts_ends(
    x: Known, axes: AttrValue, begin: AttrValue, end: AttrValue
) -> list[tuple[Dim, Dim, Dim]]:
    """Return (begin, end, size) for each sliced axis."""
    sizes = [x.dims[a % x.ndim] for a in int_tuple(axes)]
    return list(zip(as_dims(begin), as_dims(end), sizes, strict=True))


@predicate
def steps_by_one(strides: AttrValue) -> bool:
    """Every stride is 1."""
    return strides is None or all(s == 1 for s in as_dims(strides))


@predicate
def takes_all(x: Known, axes: AttrValue, begin: AttrValue, end: AttrValue) -> bool:
    """Each slice starts at 0 and provably ends at or behind the end."""
    cuts = _starts_ends(x, axes, begin, end)
    return all(b == 0 and x.proves(LessEqual(size, e)) for b, e, size in cuts)


@concatenation.rule(source=SLICE, when=[steps_by_one("s"), takes_all("x", "a", "b", "e")])
def slice_of_everything(
    x: Tensor, a: IntsAttr, b: DimsAttr, e: DimsAttr, s: DimsAttr, i: BoolAttr
) -> Sides:
    return ops.strided_slice(x, axes=a, begin=b, end=e, strides=s, assume_inbound=i), x


@predicate
def takes_first(
    x: Known, axes: AttrValue, begin: AttrValue, end: AttrValue, axis: AttrValue
) -> bool:
    """The slice of [x, y] along the concatenated axis is x."""
    (a,), (k,) = int_tuple(axis), int_tuple(axes) if len(int_tuple(axes)) == 1 else (None,)
    if k is None or k % x.ndim != a % x.ndim:
        return False
    ((b, e, size),) = _starts_ends(x, axes, begin, end)
    return b == 0 and x.proves(Equal(e, size))


@predicate
def takes_second(
    x: Known, y: Known, axes: AttrValue, begin: AttrValue, end: AttrValue, axis: AttrValue
) -> bool:
    """The slice of [x, y] along the concatenated axis is y."""
    (a,), (k,) = int_tuple(axis), int_tuple(axes) if len(int_tuple(axes)) == 1 else (None,)
    if k is None or k % x.ndim != a % x.ndim:
        return False
    ((b, e, size),) = _starts_ends(x, axes, begin, end)
    return x.proves(Equal(b, size)) and x.proves(LessEqual(size + y.dims[a % x.ndim], e))


@concatenation.rule(source=CONCAT, when=[steps_by_one("s"), takes_first("x", "a", "b", "e", "k")])
def slice_of_concat_is_first(
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
    return ops.strided_slice(both, axes=a, begin=b, end=e, strides=s, assume_inbound=i), x


@concatenation.rule(
    source=CONCAT, when=[steps_by_one("s"), takes_second("x", "y", "a", "b", "e", "k")]
)
def slice_of_concat_is_second(
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
    return ops.strided_slice(both, axes=a, begin=b, end=e, strides=s, assume_inbound=i), y


@predicate
def stays_in_first(
    x: Known, axes: AttrValue, begin: AttrValue, end: AttrValue, axis: AttrValue
) -> bool:
    """The slice of [x, y] along the concatenated axis reads x alone."""
    (a,), cut = int_tuple(axis), int_tuple(axes)
    if len(cut) != 1 or cut[0] % x.ndim != a % x.ndim:
        return False
    ((b, e, size),) = _starts_ends(x, axes, begin, end)
    return all(x.proves(LessEqual(*pair)) for pair in ((0, b), (b, e), (e, size)))


@concatenation.rule(source=CONCAT, when=[stays_in_first("x", "a", "b", "e", "k")])
def slice_of_concat_in_first(
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
        ops.strided_slice(x, axes=a, begin=b, end=e, strides=s, assume_inbound=i),
    )


# --- split of pointwise ---------------------------------------------------------------------


@concatenation.rule(source="pointwise operators commute with views")
def first_part_of_relu(x: Float, i: SectionsAttr, k: IntAttr) -> Sides:
    return (
        ops.split(ops.nn.relu(x), indices_or_sections=i, axis=k)[0],
        ops.nn.relu(ops.split(x, indices_or_sections=i, axis=k)[0]),
    )


@concatenation.rule(source="pointwise operators commute with views")
def second_part_of_relu(x: Float, i: SectionsAttr, k: IntAttr) -> Sides:
    return (
        ops.split(ops.nn.relu(x), indices_or_sections=i, axis=k)[1],
        ops.nn.relu(ops.split(x, indices_or_sections=i, axis=k)[1]),
    )
