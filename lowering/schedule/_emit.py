"""Loops that templates are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eqsat.ir.te import Combiner
from eqsat.ir.tir import (
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    For,
    IntImm,
    LoopKind,
    PrimExpr,
    Stmt,
    Var,
    binary,
    seq,
)
from eqsat.lowering.schedule._stages import combine

Body = Callable[[PrimExpr], Stmt]
LaneBody = Callable[[PrimExpr, PrimExpr, int], Stmt]  # (index, lane, width)


def static(e: PrimExpr) -> int | None:
    """Return the value of a constant."""
    return e.value if isinstance(e, IntImm) else None


def as_int(e: PrimExpr) -> int:
    """Return the value of an expression that is known to be constant."""
    assert isinstance(e, IntImm)
    return e.value


def minimum(a: PrimExpr, b: PrimExpr) -> PrimExpr:
    """Return the smaller of both."""
    return binary("min", a, b)


def flatten_index(index: Sequence[PrimExpr], extents: Sequence[PrimExpr]) -> PrimExpr:
    """Return the row-major position of `index`; inverse of `unfuse`."""
    result: PrimExpr = IntImm(0)
    for i, e in zip(index, extents, strict=True):
        result = binary("+", binary("*", result, e), i)
    return result


def loop(name: str, extent: PrimExpr | int, body: Body, kind: LoopKind = "serial") -> Stmt:
    """Return a loop; none for a single iteration."""
    n = IntImm(extent) if isinstance(extent, int) else extent
    if static(n) == 1 and kind != "parallel":
        return body(IntImm(0))
    var = Var(name)
    return For(var, IntImm(0), n, body(var), kind)


def nest(
    names: Sequence[str],
    extents: Sequence[PrimExpr],
    body: Callable[[tuple[PrimExpr, ...]], Stmt],
    kind: LoopKind = "serial",
) -> Stmt:
    """Return nested loops, the last innermost."""

    def inner(done: tuple[PrimExpr, ...]) -> Stmt:
        k = len(done)
        if k == len(extents):
            return body(done)
        return loop(names[k], extents[k], lambda i: inner((*done, i)), kind)

    return inner(())


def vector_loop(
    extent: PrimExpr, widths: Sequence[int], body: LaneBody, *, needs_lanes: bool = False
) -> Stmt:
    """Return loops over `extent` in vectors of the first width, the rest in the narrower ones.

    `widths` falls and each divides the one before. `body(index, lane, width)` is the statement of
    one element; lane < width.
    """
    n = static(extent)
    if n is None and not needs_lanes:
        # Code generation cuts a loop of run-time extent into vectors and one masked rest.
        every = Var("l")
        return For(every, IntImm(0), extent, body(every, every, 0), "vectorized")
    stmts: list[Stmt] = []
    base: PrimExpr = IntImm(0)
    rest = extent
    for w in (*(w for w in widths if w > 1), 1):
        if n is not None and static(rest) is not None:
            count: PrimExpr = IntImm(as_int(rest) // w)
        else:
            count = binary("//", rest, IntImm(w))
        if static(count) == 0:
            continue
        start = base

        def group(vo: PrimExpr, w: int = w, start: PrimExpr = start) -> Stmt:
            first = binary("+", start, binary("*", vo, IntImm(w)))
            if w == 1:
                return body(first, IntImm(0), 1)
            lane = Var("l")
            return For(
                lane, IntImm(0), IntImm(w), body(binary("+", first, lane), lane, w), "vectorized"
            )

        stmts.append(loop("c", count, group))
        base = binary("+", start, binary("*", count, IntImm(w)))
        rest = (
            binary("-", rest, binary("*", count, IntImm(w)))
            if n is not None
            else binary("%", extent, IntImm(w))
        )
        if n is not None and static(rest) == 0:
            break
    return seq(*stmts) if stmts else seq()


def widths_down_from(lanes: int, extent: PrimExpr, most: int = 1) -> tuple[int, ...]:
    """Return vector widths for an axis: `most` vectors at once, then halves while they fit."""
    n = static(extent)
    if n is None:
        return tuple(dict.fromkeys(w for w in (lanes * most, lanes, lanes // 4) if w > 1))
    result: list[int] = []
    w = lanes * most
    while w > 1:
        if w <= n:
            result.append(w)
        w //= 2
    return tuple(result)


def fold_lanes(acc: Buffer, width: int, combiner: Combiner) -> Stmt:
    """Return statements that combine `acc[:width]` into `acc[0]` by halving."""
    stmts: list[Stmt] = []
    w = width // 2
    while w >= 1:

        def half(i: PrimExpr, w: int = w) -> Stmt:
            upper = BufferLoad(acc, (binary("+", i, IntImm(w)),))
            return BufferStore(acc, (i,), combine(combiner, BufferLoad(acc, (i,)), upper))

        stmts.append(loop("l", w, half, "vectorized"))
        w //= 2
    return seq(*stmts) if stmts else seq()


def fill(acc: Buffer, width: int, value: PrimExpr) -> Stmt:
    """Return the statement that sets `acc[:width]`."""
    return loop("l", width, lambda i: BufferStore(acc, (i,), value), "vectorized")


def scope(name: str, allocs: Sequence[Buffer], body: Stmt) -> Stmt:
    """Return `body` in a block that allocates `allocs`."""
    if not allocs:
        return body
    return Block(name, (), (), (), body, alloc_buffers=tuple(allocs), regions_inferred=False)


def unfuse(flat: PrimExpr, extents: Sequence[PrimExpr]) -> tuple[PrimExpr, ...]:
    """Return the index tuple of the row-major position `flat`."""
    result: list[PrimExpr] = []
    for k in range(len(extents) - 1, -1, -1):
        if static(extents[k]) == 1:
            result.append(IntImm(0))
            continue
        result.append(binary("%", flat, extents[k]) if k else flat)
        flat = binary("//", flat, extents[k])
    return tuple(reversed(result))


def product_of(extents: Sequence[PrimExpr]) -> PrimExpr:
    """Return the product of extents."""
    result: PrimExpr = IntImm(1)
    for e in extents:
        result = binary("*", result, e)
    return result


def parallel_outer(
    extents: Sequence[PrimExpr],
    num_tasks: int,
    work_per_point: int | None,
    body: Callable[[tuple[PrimExpr, ...]], Stmt],
) -> Stmt:
    """Return loops over `extents`: a fused parallel prefix of enough tasks, the others inside.

    `work_per_point` is the number of elements of one body where static; little work stays serial.
    """
    total = static(product_of(extents))
    names = [f"i{k}" for k in range(len(extents))]
    if total is not None and work_per_point is not None and total * work_per_point <= SERIAL_BELOW:
        return nest(names, extents, body)
    count, tasks = 0, 1
    while count < len(extents) and tasks < num_tasks:
        n = static(extents[count])
        tasks = tasks * n if n is not None else num_tasks
        count += 1
        if n is None and count < len(extents):
            # A symbolic extent may be 1: all outer axes share the tasks.
            count = len(extents)
    prefix = extents[:count]
    if not prefix:
        return nest(names, extents, body)

    def task(t: PrimExpr) -> Stmt:
        outer = unfuse(t, prefix)
        return nest(names[count:], extents[count:], lambda rest: body((*outer, *rest)))

    return loop("t", product_of(prefix), task, "parallel")


# Elements below which waking the other threads costs more than the work (3 µs a region).
SERIAL_BELOW = 2048
