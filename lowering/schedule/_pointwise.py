"""`tile_pointwise`: outer axes in parallel, the innermost in vectors."""

from __future__ import annotations

from eqsat.ir.tir import BufferStore, IntImm, PrimExpr, PrimFunc, Stmt, binary, seq
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._emit import (
    parallel_outer,
    static,
    vector_loop,
    widths_down_from,
)
from eqsat.lowering.schedule._stages import Stage, read_stages, replace_exprs

CHUNK = 8192


def tile_pointwise(func: PrimFunc, target: Target) -> PrimFunc:
    """Return `func` (one stage without reduction) tiled."""
    (stage,) = read_stages(func)
    return PrimFunc(func.name, func.params, pointwise_nest(stage, target), (), func.attrs)


def pointwise_nest(stage: Stage, target: Target) -> Stmt:
    """Return the loops of one pointwise stage."""
    if not stage.axes:
        return BufferStore(stage.buffer, (), stage.value)
    lanes = target.lanes(stage.buffer.dtype)
    *outer, inner = stage.extents
    n = static(inner)

    def point(*index: PrimExpr) -> Stmt:
        value = replace_exprs(stage.value, dict(zip(stage.axes, index, strict=True)))
        return BufferStore(stage.buffer, index, value)

    def span(before: tuple[PrimExpr, ...], start: PrimExpr, extent: PrimExpr) -> Stmt:
        widths = widths_down_from(lanes, extent)
        return vector_loop(extent, widths, lambda i, lane, w: point(*before, binary("+", start, i)))

    if (n is None and not outer) or (n is not None and n >= 2 * CHUNK):
        whole = None if n is None else n // CHUNK
        chunks: PrimExpr = IntImm(whole) if whole else binary("//", inner, IntImm(CHUNK))

        def chunk(index: tuple[PrimExpr, ...]) -> Stmt:
            return span(index[:-1], binary("*", index[-1], IntImm(CHUNK)), IntImm(CHUNK))

        main = parallel_outer([*outer, chunks], 8 * target.num_threads, CHUNK, chunk)
        rest = IntImm(n % CHUNK) if n is not None else binary("%", inner, IntImm(CHUNK))
        if static(rest) == 0:
            return main
        start = binary("*", chunks, IntImm(CHUNK))
        if not outer:
            return seq(main, span((), start, rest))
        tail = parallel_outer(
            outer, 8 * target.num_threads, CHUNK, lambda index: span(index, start, rest)
        )
        return seq(main, tail)
    if not outer:
        return span((), IntImm(0), inner)
    return parallel_outer(
        outer, 8 * target.num_threads, n, lambda index: span(index, IntImm(0), inner)
    )
