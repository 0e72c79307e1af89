"""What convolutions and pooling share: layouts, padding, windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eqsat.ir._expr import Attrs, AttrValue
from eqsat.ir._tir import PrimExpr, conjunction, from_dim
from eqsat.ir._types import TypeCheckError
from eqsat.ir.ops._common import Array, ints, require_at_most, str_attr
from eqsat.shapes import Dim


@dataclass(frozen=True, slots=True)
class Window:
    """How a window moves over the spatial axes: one entry per axis."""

    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]


def window(attrs: Attrs, rank: int) -> Window:
    """Return the window of the attributes `strides`, `padding` and `dilation`."""
    before, after = split_padding(attrs["padding"], rank)
    strides = ints(attrs["strides"], rank, "strides")
    return Window(strides, before, after, ints(attrs["dilation"], rank, "dilation"))


def split_padding(value: AttrValue, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the padding before and after each axis from 1, `rank` or twice `rank` numbers."""
    given = ints(value, name="padding")
    if len(given) == 1:
        given = given * rank
    if len(given) == rank:
        return given, given
    if len(given) != 2 * rank:
        raise TypeCheckError(
            f"padding must be 1, {rank} or {2 * rank} numbers (all before, then all after), "
            f"got {value}"
        )
    return given[:rank], given[rank:]


def layout_axes(attrs: Attrs, name: str, letters: str) -> tuple[int, ...]:
    """Return the positions of `letters` in the layout attribute `name`.

    Raises:
        TypeCheckError: the layout is no permutation of `letters`.
    """
    layout = str_attr(attrs, name)
    if sorted(layout) != sorted(letters):
        raise TypeCheckError(
            f"{name} must be a permutation of {letters!r} (packed layouts are separate operators), "
            f"got {layout!r}"
        )
    return tuple(layout.index(c) for c in letters)


def place(values: Sequence[PrimExpr], axes: Sequence[int]) -> list[PrimExpr]:
    """Return `values`, given in canonical order, at their positions `axes` of the layout."""
    result = list(values)
    for value, axis in zip(values, axes, strict=True):
        result[axis] = value
    return result


def in_bounds(
    positions: Sequence[PrimExpr],
    sizes: Sequence[Dim],
    below: Sequence[bool],
    above: Sequence[bool],
) -> PrimExpr:
    """Return the condition that every position is on its axis, where it can leave it at all."""
    conditions: list[PrimExpr] = []
    for p, size, low, high in zip(positions, sizes, below, above, strict=True):
        if low:
            conditions.append(p >= 0)
        if high:
            conditions.append(p < from_dim(size))
    return conjunction(*conditions)


def require_window(size: Dim, tap: Dim, w: Window, axis: int) -> None:
    """Raise where no window fits on a padded axis; an open question is an assumption."""
    span = w.dilation[axis] * (tap - 1) + 1
    require_at_most(span, size + w.before[axis] + w.after[axis], "a window on the padded axis")


def windows(x: Array, kernel: Sequence[int], w: Window, fill: float, extra: Sequence[int]) -> Array:
    """Return all windows of `x` (batch, channel, spatial...) padded with `fill`.

    Shapes:
        result: (batch, channel, out spatial..., kernel...). `extra` more padding after each axis.
    """
    rank = len(kernel)
    pads = [(b, a + e) for b, a, e in zip(w.before, w.after, extra, strict=True)]
    padded = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    spans = [d * (k - 1) + 1 for d, k in zip(w.dilation, kernel, strict=True)]
    axes = tuple(range(2, 2 + rank))
    views: Array = np.lib.stride_tricks.sliding_window_view(padded, tuple(spans), axes)
    steps = (
        *(slice(None, None, s) for s in w.strides),
        *(slice(None, None, d) for d in w.dilation),
    )
    return views[(slice(None), slice(None), *steps)]
