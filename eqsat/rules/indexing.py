"""Slices of slices and of permuted tensors, and gathers that are slices."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    AttrVar,
    BoolAttr,
    DtypeAttr,
    IntAttr,
    IntsAttr,
    Number,
    Pattern,
    ScalarAttr,
    Sides,
    StrAttr,
    Tensor,
    attr,
    compute,
    ops,
    tensor,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import Phase, RuleSet, predicate
from eqsat.rules.concatenation import as_dims, steps_by_one
from eqsat.rules.movement import full_permutation, int_tuple
from eqsat.shapes import Dim, Equal, LessEqual, Positive, Shape, dim_min

indexing = RuleSet("indexing", Phase.SIMPLIFY)

SLICE = "definition of a slice"
DimsAttr = Annotated[AttrVar, attr("dims")]
Indices = Annotated[Pattern, tensor(dtype="int")]


# --- slices of slices -----------------------------------------------------------------------


def _cuts(
    x: Known, axes: AttrValue, begin: AttrValue, end: AttrValue
) -> dict[int, tuple[Dim, Dim]]:
    """Return axis → (begin, end)."""
    where = [a % x.ndim for a in int_tuple(axes)]
    return dict(zip(where, zip(as_dims(begin), as_dims(end), strict=True), strict=True))


@predicate
def is_inside(x: Known, axes: AttrValue, begin: AttrValue, end: AttrValue) -> bool:
    """Every cut is provably 0 ≤ begin ≤ end ≤ size."""
    return all(
        all(x.proves(LessEqual(a, b)) for a, b in ((0, first), (first, last), (last, x.dims[k])))
        for k, (first, last) in _cuts(x, axes, begin, end).items()
    )


@predicate
def counts_forwards(x: Known, begin: AttrValue, end: AttrValue) -> bool:
    """No begin or end may be negative."""
    return all(x.proves(LessEqual(0, d)) for d in (*as_dims(begin), *as_dims(end)))


def _composed_cuts(
    x: Known,
    a: AttrValue,
    b: AttrValue,
    e: AttrValue,
    c: AttrValue,
    d: AttrValue,
    f: AttrValue,
) -> dict[int, tuple[Dim, Dim]]:
    inner = _cuts(x, a, b, e)
    result = dict(inner)
    for axis, (begin, end) in _cuts(x, c, d, f).items():
        first, last = inner.get(axis, (0, x.dims[axis]))
        result[axis] = (dim_min(first + begin, last), dim_min(first + end, last))
    return dict(sorted(result.items()))


def _composed_axes(
    x: Known, a: AttrValue, b: AttrValue, e: AttrValue, c: AttrValue, d: AttrValue, f: AttrValue
) -> tuple[int, ...]:
    return tuple(_composed_cuts(x, a, b, e, c, d, f))


def _composed_begin(
    x: Known, a: AttrValue, b: AttrValue, e: AttrValue, c: AttrValue, d: AttrValue, f: AttrValue
) -> Shape:
    return tuple(first for first, _ in _composed_cuts(x, a, b, e, c, d, f).values())


def _composed_end(
    x: Known, a: AttrValue, b: AttrValue, e: AttrValue, c: AttrValue, d: AttrValue, f: AttrValue
) -> Shape:
    return tuple(last for _, last in _composed_cuts(x, a, b, e, c, d, f).values())


@indexing.rule(
    source=SLICE,
    when=[
        *(steps_by_one("s"), steps_by_one("t")),
        *(is_inside("x", "a", "b", "e"), counts_forwards("x", "d", "f")),
    ],
)
def slice_of_slice(
    x: Tensor,
    a: IntsAttr,
    b: DimsAttr,
    e: DimsAttr,
    s: DimsAttr,
    i: BoolAttr,
    c: IntsAttr,
    d: DimsAttr,
    f: DimsAttr,
    t: DimsAttr,
    j: BoolAttr,
) -> Sides:
    inner = ops.strided_slice(x, axes=a, begin=b, end=e, strides=s, assume_inbound=i)
    return (
        ops.strided_slice(inner, axes=c, begin=d, end=f, strides=t, assume_inbound=j),
        ops.strided_slice(
            x,
            axes=compute(_composed_axes, x, a, b, e, c, d, f),
            begin=compute(_composed_begin, x, a, b, e, c, d, f),
            end=compute(_composed_end, x, a, b, e, c, d, f),
        ),
    )


def _source_axes(x: Known, permutation: AttrValue, axes: AttrValue) -> tuple[int, ...]:
    order = full_permutation(x, permutation)
    return tuple(order[a % x.ndim] for a in int_tuple(axes))


@indexing.rule(source="a cut commutes with a permutation")
def slice_of_permuted(
    x: Tensor, p: IntsAttr, a: IntsAttr, b: DimsAttr, e: DimsAttr, s: DimsAttr, i: BoolAttr
) -> Sides:
    cut = ops.strided_slice(
        x,
        axes=compute(_source_axes, x, p, a),
        begin=b,
        end=e,
        strides=s,
        assume_inbound=i,
    )
    return (
        ops.strided_slice(
            ops.permute_dims(x, axes=p), axes=a, begin=b, end=e, strides=s, assume_inbound=i
        ),
        ops.permute_dims(cut, axes=p),
    )


# --- gathers of neighbours ------------------------------------------------------------------

GATHER = "a gather of neighbours is a slice"


def _axis(x: Known, axis: AttrValue) -> int | None:
    if axis is None:
        return 0 if x.ndim == 1 else None
    return axis % x.ndim if isinstance(axis, int) and x.ndim else None


@predicate
def is_position(x: Known, i: Known, axis: AttrValue) -> bool:
    """The index counts from the front and is provably inside."""
    a, number = _axis(x, axis), i.number
    if a is None or number is None or number != int(number) or number < 0:
        return False
    return x.proves(LessEqual(int(number) + 1, x.dims[a]))


def _only_axis(x: Known, axis: AttrValue) -> tuple[int, ...] | None:
    a = _axis(x, axis)
    return None if a is None else (a,)


def _position(i: Known) -> Shape | None:
    return None if i.number is None else (int(i.number),)


def _next_position(i: Known) -> Shape | None:
    return None if i.number is None else (int(i.number) + 1,)


def _gathered_dims(x: Known, i: Known, axis: AttrValue) -> Shape | None:
    a = _axis(x, axis)
    return None if a is None else (*x.dims[:a], *i.dims, *x.dims[a + 1 :])


@indexing.rule(source=GATHER, when=[is_position("x", "i", "k")])
def take_of_one_is_slice(x: Tensor, i: Number, k: IntAttr, m: StrAttr) -> Sides:
    cut = ops.strided_slice(
        x,
        axes=compute(_only_axis, x, k),
        begin=compute(_position, i),
        end=compute(_next_position, i),
    )
    return (
        ops.take(x, i, axis=k, mode=m),
        ops.reshape(cut, compute(_gathered_dims, x, i, k)),
    )


@predicate
def counts_up_inside(
    x: Known, axis: AttrValue, start: AttrValue, end: AttrValue, step: AttrValue
) -> bool:
    """The indices are provably 0 ≤ start, start + 1, … < end ≤ size."""
    a = _axis(x, axis)
    bounds = as_dims((start, end))
    if a is None or step != 1 or len(bounds) != 2:
        return False
    first, last = bounds
    steps = ((0, first), (first, last), (last, x.dims[a]))
    return all(x.proves(LessEqual(low, high)) for low, high in steps)


def _one_dim(value: AttrValue) -> Shape:
    return as_dims((value,))


@indexing.rule(source=GATHER, when=[counts_up_inside("x", "k", "b", "e", "s")])
def take_of_range_is_slice(
    x: Tensor,
    k: IntAttr,
    m: StrAttr,
    b: ScalarAttr,
    e: ScalarAttr,
    s: ScalarAttr,
    d: DtypeAttr,
) -> Sides:
    return (
        ops.take(x, ops.arange(start=b, end=e, step=s, dtype=d), axis=k, mode=m),
        ops.strided_slice(
            x, axes=compute(_only_axis, x, k), begin=compute(_one_dim, b), end=compute(_one_dim, e)
        ),
    )


# --- scatters that are choices --------------------------------------------------------------


@predicate
def is_once_per_row(x: Known, i: Known, axis: AttrValue) -> bool:
    """There is one index for each row along the axis, which is not empty."""
    a = _axis(x, axis)
    if a is None or i.ndim != x.ndim or not x.proves(Positive(x.dims[a])):
        return False
    wanted = tuple(1 if n == a else d for n, d in enumerate(x.dims))
    return all(x.proves(Equal(d, e)) for d, e in zip(i.dims, wanted, strict=True))


def _extent(x: Known, axis: AttrValue) -> Dim | None:
    a = _axis(x, axis)
    return None if a is None else x.dims[a]


def _along(x: Known, axis: AttrValue) -> Shape | None:
    a = _axis(x, axis)
    return None if a is None else tuple(d if n == a else 1 for n, d in enumerate(x.dims))


@indexing.rule(
    source="a write at one position of each row is a choice for each element",
    when=[is_once_per_row("x", "i", "k")],
)
def scatter_of_one_per_row_is_where(x: Tensor, i: Indices, u: Tensor, k: IntAttr) -> Sides:
    positions = ops.arange(start=0, end=compute(_extent, x, k), step=1, dtype="int64")
    is_hit = ops.equal(
        ops.take(positions, i, axis=0, mode="fast"), ops.reshape(positions, compute(_along, x, k))
    )
    return (
        ops.scatter_elements(x, i, u, axis=k, reduction="update"),
        ops.where(is_hit, u, x),
    )


@predicate
def has_no_elements(i: Known) -> bool:
    """Some axis is provably empty."""
    return any(i.proves(Equal(d, 0)) for d in i.dims)


@indexing.rule(source="nothing is written", when=[has_no_elements("i")])
def scatter_of_nothing(x: Tensor, i: Indices, u: Tensor, k: IntAttr) -> Sides:
    return ops.scatter_elements(x, i, u, axis=k), x
