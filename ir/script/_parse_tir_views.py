"""Buffers that are other names for parts of buffers: every access is one of the buffer behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eqsat.ir._tir import Binary, Buffer, BufferRegion, Cast, IntImm, PrimExpr, Range, binary

Indices = tuple[PrimExpr, ...]


@dataclass(frozen=True, slots=True)
class BoxView:
    """A box of `source` that begins at `start`; leading axes that it lacks have extent 1."""

    source: Buffer
    start: Indices

    def indices(self, at: Indices) -> Indices:
        """Return the indices of `source` for those of the view."""
        lead = len(self.start) - len(at)
        moved = (binary("+", s, _as(i, s)) for s, i in zip(self.start[lead:], at, strict=True))
        return (*self.start[:lead], *moved)

    def region(self, ranges: Sequence[Range]) -> BufferRegion:
        """Return the region of `source` for one of the view."""
        low = self.indices(tuple(r.min for r in ranges))
        one = IntImm(1, low[0].dtype if low else "int64")
        extents = (*[one] * (len(low) - len(ranges)), *(r.extent for r in ranges))
        return BufferRegion(self.source, tuple(map(Range, low, extents)))


@dataclass(frozen=True, slots=True)
class FlatView:
    """The elements of `source` from number `offset` on, row by row in another shape."""

    source: Buffer
    shape: Indices
    offset: PrimExpr

    def indices(self, at: Indices) -> Indices:
        """Return the indices of `source` for those of the view."""
        if self.shape == self.source.shape and self.offset == IntImm(0, self.offset.dtype):
            return at
        flat: PrimExpr = IntImm(0, at[0].dtype if at else "int64")
        for i, size in zip(at, self.shape, strict=True):
            flat = binary("+", binary("*", flat, _as(size, flat)), _as(i, flat))
        flat = binary("+", flat, _as(self.offset, flat))
        found: list[PrimExpr] = []
        for size in reversed(self.source.shape[1:]):
            found.append(binary("%", flat, _as(size, flat)))
            flat = binary("//", flat, _as(size, flat))
        return (flat, *reversed(found)) if self.source.shape else ()

    def region(self, ranges: Sequence[Range]) -> BufferRegion:
        """Return the region of `source` that holds one of the view: the whole buffer."""
        whole = tuple(Range(IntImm(0, d.dtype), d) for d in self.source.shape)
        return BufferRegion(self.source, whole)


View = BoxView | FlatView


def row_strides(shape: Sequence[PrimExpr]) -> list[PrimExpr]:
    """Return how many elements apart two neighbours along each axis are."""
    strides: list[PrimExpr] = []
    step: PrimExpr = IntImm(1)
    for size in reversed(shape):
        strides.append(step)
        step = binary("*", size, _as(step, size))
    return strides[::-1]


def difference(high: PrimExpr, low: PrimExpr) -> PrimExpr:
    """Return `high - low`; `low + extent` gives back the extent."""
    if isinstance(low, IntImm) and low.value == 0:
        return high
    if isinstance(high, Binary) and high.op == "+" and high.a == low:
        return high.b
    if high == low:
        return IntImm(0, low.dtype)
    return binary("-", high, low)


def _as(e: PrimExpr, like: PrimExpr) -> PrimExpr:
    if e.dtype == like.dtype:
        return e
    return IntImm(e.value, like.dtype) if isinstance(e, IntImm) else Cast(like.dtype, e)
