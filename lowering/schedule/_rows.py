"""`tile_rows`: rows in parallel, the stages of one row after another with the row in cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eqsat.ir.te import identity
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    BufferStore,
    IntImm,
    PrimExpr,
    PrimFunc,
    Stmt,
    Var,
    seq,
    walk,
)
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._collapse import map_loads
from eqsat.lowering.schedule._emit import (
    fill,
    fold_lanes,
    nest,
    parallel_outer,
    product_of,
    scope,
    static,
    vector_loop,
    widths_down_from,
)
from eqsat.lowering.schedule._stages import Stage, combine, read_stages, replace_exprs

# A row buffer larger than this would not stay in the first-level cache.
MAX_ROW_BYTES = 128 << 10
# Vectors of partial results that a reduction keeps, to hide the latency of one.
PARTIALS = 4


@dataclass(frozen=True, slots=True)
class RowPlan:
    """`num_row_axes` leading axes are rows; `in_output` names stages kept in the output's row."""

    num_row_axes: int
    in_output: frozenset[str] = frozenset()


def plan_rows(func: PrimFunc) -> RowPlan | None:
    """Return how the stages of `func` share rows, None where they don't."""
    stages = read_stages(func)
    inside = {s.buffer: s for s in stages}
    out = stages[-1]
    if any(s.buffer in func.params for s in stages[:-1]):
        return None
    num = min(len(s.axes) for s in stages)
    for k in range(num):
        if any(s.extents[k] != out.extents[k] for s in stages):
            num = k
            break
    for s in stages:
        for load in _loads(s):
            if load.buffer not in inside:
                continue
            pairs = zip(load.indices, s.axes, strict=False)
            same = next((k for k, (i, v) in enumerate(pairs) if i is not v), len(load.indices))
            num = min(num, same)
    if all(s.combiner is None for s in stages):
        # Vectors run along the last axis.
        num = min(num, len(out.axes) - 1)
    if num < 0:
        return None
    in_output: set[str] = set()
    for s in stages[:-1]:
        rest = s.extents[num:]
        size = static(product_of(rest))
        if size is not None and size * 8 <= MAX_ROW_BYTES:
            continue
        if in_output or not _fits_output(s, stages):
            return None
        in_output.add(s.name)
    return RowPlan(num, frozenset(in_output))


def _loads(s: Stage) -> list[BufferLoad]:
    return [n for n in walk(s.value) if isinstance(n, BufferLoad)]


def _fits_output(s: Stage, stages: Sequence[Stage]) -> bool:
    """Say whether the output's row can hold `s` until the output's own element replaces it."""
    out = stages[-1]
    if s.extents != out.extents or s.buffer.dtype != out.buffer.dtype:
        return False
    reads = [n for n in _loads(out) if n.buffer is s.buffer]
    return all(n.indices == out.axes for n in reads)


def tile_rows(func: PrimFunc, plan: RowPlan, target: Target) -> PrimFunc:
    """Return `func` with one parallel loop over rows and its stages inside."""
    stages = read_stages(func)
    out = stages[-1]
    num = plan.num_row_axes
    where: dict[Buffer, tuple[Buffer, int]] = {}
    allocs: list[Buffer] = []
    for s in stages[:-1]:
        if s.name in plan.in_output:
            where[s.buffer] = (out.buffer, 0)
            continue
        rest = s.extents[num:] or (IntImm(1),)
        local = Buffer(f"{s.buffer.name}_row", tuple(rest), s.buffer.dtype, "local")
        allocs.append(local)
        where[s.buffer] = (local, num)

    def redirect(load: BufferLoad) -> PrimExpr:
        if load.buffer not in where:
            return load
        buffer, skip = where[load.buffer]
        return BufferLoad(buffer, load.indices[skip:] or (IntImm(0),))

    def row(index: tuple[PrimExpr, ...]) -> Stmt:
        parts: list[Stmt] = []
        for s in stages:
            buffer, skip = where.get(s.buffer, (s.buffer, 0))
            env = dict(zip(s.axes[:num], index, strict=True))
            value = replace_exprs(map_loads(s.value, redirect), env)
            parts.append(_row_stage(replace(s, value=value), index, buffer, skip, target))
        return scope("row", allocs, seq(*parts))

    rest = [static(product_of((*s.extents[num:], *s.reduce_extents))) for s in stages]
    work = None if None in rest else sum(n for n in rest if n is not None)
    body = parallel_outer(out.extents[:num], 8 * target.num_threads, work, row)
    return PrimFunc(func.name, func.params, body, (), func.attrs)


def _row_stage(
    s: Stage, row: tuple[PrimExpr, ...], buffer: Buffer, skip: int, target: Target
) -> Stmt:
    num = len(row)
    axes, extents = s.axes[num:], s.extents[num:]
    lanes = target.lanes(s.value.dtype)

    def store(index: Sequence[PrimExpr], value: PrimExpr) -> Stmt:
        place = (*row, *index)[skip:]
        return BufferStore(buffer, place or ((IntImm(0),) if buffer.shape else ()), value)

    if s.combiner is not None and axes and _runs_along(s, axes[-1]):
        return _reduce_vectors(s, axes, extents, store, buffer, lanes)
    if s.combiner is not None:
        return nest(
            [f"j{k}" for k in range(len(axes))],
            extents,
            lambda index: _reduce_element(
                replace(s, value=replace_exprs(s.value, dict(zip(axes, index, strict=True)))),
                lambda v: store(index, v),
                lanes,
            ),
        )
    if not axes:
        return store((), s.value)
    *outer, inner = extents

    def point(before: tuple[PrimExpr, ...], i: PrimExpr) -> Stmt:
        value = replace_exprs(s.value, dict(zip(axes, (*before, i), strict=True)))
        return store((*before, i), value)

    return nest(
        [f"j{k}" for k in range(len(outer))],
        outer,
        lambda before: vector_loop(
            inner, widths_down_from(lanes, inner), lambda i, lane, w: point(before, i)
        ),
    )


def _runs_along(s: Stage, axis: Var) -> bool:
    """Say whether loads are contiguous along the spatial `axis` and not along the reduction."""
    last = [n.indices[-1] for n in _loads(s) if n.indices]
    inner = s.reduce_axes[-1]
    return any(i is axis for i in last) and not any(i is inner for i in last)


def _reduce_vectors(
    s: Stage,
    axes: Sequence[Var],
    extents: Sequence[PrimExpr],
    store: Callable[[Sequence[PrimExpr], PrimExpr], Stmt],
    buffer: Buffer,
    lanes: int,
) -> Stmt:
    """Return the reduction with the last spatial axis in vectors, the row buffer as accumulator."""
    assert s.combiner is not None
    combiner, start = s.combiner, identity(s.combiner, s.value.dtype)
    *outer, inner = extents
    widths = widths_down_from(lanes, inner)

    def line(before: tuple[PrimExpr, ...]) -> Stmt:
        def update(k: tuple[PrimExpr, ...]) -> Stmt:
            def one(i: PrimExpr, lane: PrimExpr, w: int) -> Stmt:
                env = dict(zip((*axes, *s.reduce_axes), (*before, i, *k), strict=True))
                place = store((*before, i), start)
                assert isinstance(place, BufferStore)
                old = BufferLoad(buffer, place.indices)
                return store((*before, i), combine(combiner, old, replace_exprs(s.value, env)))

            return vector_loop(inner, widths, one)

        clear = vector_loop(inner, widths, lambda i, lane, w: store((*before, i), start))
        loops = nest([f"k{k}" for k in range(len(s.reduce_axes))], s.reduce_extents, update)
        return seq(clear, loops)

    return nest([f"j{k}" for k in range(len(outer))], outer, line)


def _reduce_element(s: Stage, store: Callable[[PrimExpr], Stmt], lanes: int) -> Stmt:
    """Return the reduction of one element in vectors over the innermost reduction axis."""
    assert s.combiner is not None
    combiner = s.combiner
    *outer, inner = s.reduce_extents
    widths = widths_down_from(lanes, inner, PARTIALS)
    size = max((*widths, 1))
    acc = Buffer(f"{s.buffer.name}_acc", (IntImm(size),), s.value.dtype, "local")

    def step(before: tuple[PrimExpr, ...], i: PrimExpr, lane: PrimExpr) -> Stmt:
        env: dict[Var, PrimExpr] = dict(zip(s.reduce_axes, (*before, i), strict=True))
        value = replace_exprs(s.value, env)
        return BufferStore(acc, (lane,), combine(combiner, BufferLoad(acc, (lane,)), value))

    loops = nest(
        [f"k{k}" for k in range(len(outer))],
        outer,
        lambda before: vector_loop(
            inner, widths, lambda i, lane, w: step(before, i, lane), needs_lanes=True
        ),
    )
    start = fill(acc, size, identity(combiner, s.value.dtype))
    finish = store(BufferLoad(acc, (IntImm(0),)))
    return scope("reduce", [acc], seq(start, loops, fold_lanes(acc, size, combiner), finish))
