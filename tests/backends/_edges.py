"""Edge samples of an operator, derived from the samples that it declares.

Sizes of 0 and 1, fewer axes, axes counted from the end: whatever inference accepts is a case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from eqsat.ir import OpDef, Sample

AXIS_ATTRS = ("axis", "axes", "channel_axis", "seq_axis", "batch_axis")
SAMPLES_WITH_ALL_EDGES = 2  # of one shape, such as the modes of a resize; of more, a share each
Size = int | str


class Edge(Enum):
    """What is at its limit."""

    EMPTY = auto()
    ONE = auto()
    FEWER_AXES = auto()
    SCALARS = auto()
    OTHER_END = auto()


def edge_samples(o: OpDef) -> list[tuple[Edge, Sample]]:
    """Return the edge samples of all samples of `o`, each once, none that `o` declares itself."""
    declared = list(o.samples()) if o.samples else []
    of_shape = Counter(repr(s.shapes) for s in declared)
    number = Counter[str]()
    seen = {_key(s) for s in declared}
    found: list[tuple[Edge, Sample]] = []
    for sample in declared:
        shape = repr(sample.shapes)
        step = -(-of_shape[shape] // SAMPLES_WITH_ALL_EDGES)
        for edge, one in list(_edges(o, sample))[number[shape] % step :: step]:
            if _key(one) not in seen:
                seen.add(_key(one))
                found.append((edge, one))
        number[shape] += 1
    return found


def _key(sample: Sample) -> str:
    return repr((sample.shapes, sorted(sample.attrs.items(), key=repr), sample.dtypes))


def _edges(o: OpDef, sample: Sample) -> Iterator[tuple[Edge, Sample]]:
    sizes = dict.fromkeys(d for shape in _shapes(sample) for d in shape if d not in (0, 1))
    for size in sizes:
        yield Edge.EMPTY, _resized(sample, lambda d, _, size=size: 0 if d == size else d)
        yield Edge.ONE, _resized(sample, lambda d, _, size=size: 1 if d == size else d)
    for k, shape in enumerate(_shapes(sample)):
        for axis in range(len(shape)):
            yield Edge.ONE, _resized(sample, lambda d, at, here=(k, axis): 1 if at == here else d)
    for fewer in _of_fewer_axes(sample):
        edge = Edge.FEWER_AXES if any(_shapes(fewer)) else Edge.SCALARS
        yield edge, fewer
        yield from ((edge, replace(fewer, attrs=a)) for a in _axis_first(o, fewer))
    rank = max((len(s) for s in _shapes(sample)), default=0)
    for attr in AXIS_ATTRS:
        if attr in sample.attrs:
            turned = _turned(sample.attrs[attr], rank)
            yield Edge.OTHER_END, replace(sample, attrs={**sample.attrs, attr: turned})


def _shapes(sample: Sample) -> list[tuple[Size, ...]]:
    """Return the shapes of a sample in a row, those of tuples and of shape operands too."""
    found: list[tuple[Size, ...]] = []
    for given in sample.shapes:
        if isinstance(given, list):
            found.extend(given)
        elif given is not None:
            found.append(given[1] if _is_shape_operand(given) else given)
    return found


def _is_shape_operand(given: Any) -> bool:
    return len(given) == 2 and given[0] == "shape"


def _with_shapes(sample: Sample, shapes: list[tuple[Size, ...]]) -> Sample:
    """Return the sample with these shapes in place of its own, in the order of `_shapes`."""
    rest = iter(shapes)

    def new(given: Any) -> Any:
        if isinstance(given, list):
            return [next(rest) for _ in given]
        if given is None:
            return None
        return ("shape", next(rest)) if _is_shape_operand(given) else next(rest)

    found = replace(sample, shapes=tuple(new(g) for g in sample.shapes))
    return found if found.shapes == sample.shapes else _with_indices_inside(found)


def _with_indices_inside(sample: Sample) -> Sample:
    """Draw the values of operands of integers, such as indices, from those of an axis of 1."""
    given = (*sample.dtypes, *[sample.dtypes[-1]] * len(sample.shapes))
    inside = {
        k: (0, 1) if given[k] in ("int32", "int64") and low <= 0 else (low, high)
        for k, (low, high) in sample.ranges.items()
    }
    return replace(sample, ranges=inside)


def _resized(sample: Sample, size_at: Any) -> Sample:
    return _with_shapes(
        sample,
        [
            tuple(size_at(d, (k, axis)) for axis, d in enumerate(shape))
            for k, shape in enumerate(_shapes(sample))
        ],
    )


def _of_fewer_axes(sample: Sample) -> Iterator[Sample]:
    shapes = _shapes(sample)
    yield _with_shapes(sample, [s[1:] for s in shapes])
    yield _with_shapes(sample, [s[-1:] for s in shapes])
    yield _with_shapes(sample, [() for _ in shapes])
    for k, shape in enumerate(shapes):
        for fewer in dict.fromkeys((shape[1:], shape[-1:], ())):
            yield _with_shapes(sample, [fewer if j == k else s for j, s in enumerate(shapes)])


def _axis_first(o: OpDef, sample: Sample) -> Iterator[dict[str, Any]]:
    """Yield the attributes with each axis 0, then -1: a sample of fewer axes may lack its own."""
    axes = [a.name for a in o.attrs if a.name in AXIS_ATTRS and a.name in sample.attrs]
    if axes:
        for axis in (0, -1):
            yield {**sample.attrs, **{a: _like(sample.attrs[a], axis) for a in axes}}


def _like(given: Any, axis: int) -> Any:
    return (axis,) if isinstance(given, tuple) and len(given) == 1 else axis


def _turned(axis: Any, rank: int) -> Any:
    """Return an axis counted from the other end."""
    if isinstance(axis, tuple):
        return tuple(_turned(a, rank) for a in axis)
    if not isinstance(axis, int):
        return axis
    return axis - rank if axis >= 0 else axis + rank
