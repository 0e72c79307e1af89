"""`tile_window`: a reduction with the innermost output axis in vectors, epilogue included."""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.ir._simplify import simplify
from eqsat.ir.te import Combiner, identity
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    BufferStore,
    IntImm,
    LoopKind,
    PrimExpr,
    PrimFunc,
    Select,
    Stmt,
    Var,
    binary,
    seq,
    walk,
)
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._collapse import map_loads
from eqsat.lowering.schedule._emit import (
    fill,
    loop,
    nest,
    parallel_outer,
    product_of,
    scope,
    static,
    widths_down_from,
)
from eqsat.lowering.schedule._stages import Stage, combine, naive_func, read_stages, replace_exprs

# Windows of at most this many elements are unrolled.
MAX_UNROLLED = 9


@dataclass(frozen=True, eq=False, slots=True)
class Fused:
    """One reduction and what is done with its result at each output element.

    `epilogue` is the output's value, in which `result` stands for the reduction.
    """

    out: Buffer
    axes: tuple[Var, ...]
    extents: tuple[PrimExpr, ...]
    combiner: Combiner
    reduce_axes: tuple[Var, ...]
    reduce_extents: tuple[PrimExpr, ...]
    value: PrimExpr
    result: Var
    epilogue: PrimExpr

    def ranges(self) -> dict[Var, tuple[PrimExpr, PrimExpr]]:
        """Return (min, extent) of every iterator."""
        axes = (*self.axes, *self.reduce_axes)
        extents = (*self.extents, *self.reduce_extents)
        return {v: (IntImm(0), e) for v, e in zip(axes, extents, strict=True)}


def fuse_epilogue(func: PrimFunc) -> Fused | None:
    """Return the reduction of `func` over the axes of its output.

    `func` is one reduction, alone or followed by one pointwise stage that reads each of its
    elements once; None for anything else.
    """
    stages = read_stages(func)
    first = stages[0]
    if first.combiner is None or len(stages) > 2:
        return None
    result = Var("acc", first.value.dtype)
    if len(stages) == 1:
        return _fused(first, first, dict(zip(first.axes, first.axes, strict=True)), result, result)
    out = stages[1]
    if out.combiner is not None or first.buffer in func.params:
        return None
    reads = {
        n.indices for n in walk(out.value) if isinstance(n, BufferLoad) and n.buffer is first.buffer
    }
    sizes = product_of(first.extents), product_of(out.extents)
    if len(reads) != 1 or simplify(binary("-", *sizes), {}) != IntImm(0):
        return None
    if _is_guarded(out.value, first.buffer):
        return None
    (index,) = reads
    epilogue = map_loads(out.value, lambda n: result if n.buffer is first.buffer else n)
    return _fused(first, out, dict(zip(first.axes, index, strict=True)), result, epilogue)


def _fused(
    reduction: Stage, out: Stage, env: dict[Var, PrimExpr], result: Var, epilogue: PrimExpr
) -> Fused:
    assert reduction.combiner is not None
    ranges = out.ranges() | {
        v: (IntImm(0), e)
        for v, e in zip(reduction.reduce_axes, reduction.reduce_extents, strict=True)
    }
    same = all(a is b for a, b in env.items())
    value = reduction.value if same else simplify(replace_exprs(reduction.value, env), ranges)
    return Fused(
        out.buffer,
        out.axes,
        out.extents,
        reduction.combiner,
        reduction.reduce_axes,
        reduction.reduce_extents,
        value,
        result,
        epilogue,
    )


def _is_guarded(e: PrimExpr, buffer: Buffer) -> bool:
    """Say whether a load of `buffer` stands under a lazy select: its index may be out of bounds."""
    return any(
        isinstance(n, Select)
        and n.lazy
        and any(isinstance(m, BufferLoad) and m.buffer is buffer for m in walk(n))
        for n in walk(e)
    )


def refuse(f: Fused, func: PrimFunc) -> PrimFunc:
    """Return the naive form of `f` in two stages over the same axes."""
    temp = Buffer(f"{f.out.name}_sum", f.out.shape, f.value.dtype)
    new_axes = tuple(Var(v.name, v.dtype) for v in f.axes)
    env: dict[Var, PrimExpr] = dict(zip(f.axes, new_axes, strict=True))
    if f.epilogue is f.result:
        stage = Stage(
            f.out.name,
            f.out,
            f.axes,
            f.extents,
            f.value,
            f.combiner,
            f.reduce_axes,
            f.reduce_extents,
        )
        return naive_func(func.name, func.params, [stage], func.attrs)
    first = Stage(
        temp.name,
        temp,
        new_axes,
        f.extents,
        replace_exprs(f.value, env),
        f.combiner,
        f.reduce_axes,
        f.reduce_extents,
    )
    epilogue = replace_exprs(f.epilogue, {f.result: BufferLoad(temp, f.axes)})
    second = Stage(f.out.name, f.out, f.axes, f.extents, epilogue)
    return naive_func(func.name, func.params, [first, second], func.attrs)


def tile_window(func: PrimFunc, target: Target) -> PrimFunc:
    """Return `func` tiled: outer axes parallel, vectors of the innermost, window loops inside."""
    f = fuse_epilogue(func)
    assert f is not None
    lanes = target.lanes(f.value.dtype)
    *outer, inner = f.extents
    window = static(product_of(f.reduce_extents))
    kind: LoopKind = "unroll" if window is not None and window <= MAX_UNROLLED else "serial"
    most = 1 if window is not None and window <= MAX_UNROLLED else 4

    def span(before: tuple[PrimExpr, ...]) -> Stmt:
        stmts: list[Stmt] = []
        base: PrimExpr = IntImm(0)
        rest = inner
        for w in (*widths_down_from(lanes, inner, most), 1):
            count = simplify(binary("//", rest, IntImm(w)), {})
            if static(count) != 0:

                def group(vo: PrimExpr, w: int = w, base: PrimExpr = base) -> Stmt:
                    first = binary("+", base, binary("*", vo, IntImm(w)))
                    return _element(f, before, first, w, kind)

                stmts.append(loop("c", count, group))
            base = binary("+", base, binary("*", count, IntImm(w)))
            rest = simplify(binary("%", rest, IntImm(w)), {})
        return seq(*stmts)

    n = static(inner)
    work = None if n is None or window is None else n * window
    body = parallel_outer(outer, 8 * target.num_threads, work, span)
    return PrimFunc(func.name, func.params, body, (), func.attrs)


def _element(
    f: Fused, before: tuple[PrimExpr, ...], first: PrimExpr, width: int, kind: LoopKind
) -> Stmt:
    acc = Buffer("acc", (IntImm(width),), f.value.dtype, "local")

    def env(lane: PrimExpr) -> dict[Var, PrimExpr]:
        return dict(zip(f.axes, (*before, binary("+", first, lane)), strict=True))

    def update(k: tuple[PrimExpr, ...]) -> Stmt:
        def one(lane: PrimExpr) -> Stmt:
            at = env(lane) | dict(zip(f.reduce_axes, k, strict=True))
            value = replace_exprs(f.value, at)
            return BufferStore(acc, (lane,), combine(f.combiner, BufferLoad(acc, (lane,)), value))

        return loop("l", width, one, "vectorized")

    loops = nest([f"k{k}" for k in range(len(f.reduce_axes))], f.reduce_extents, update, kind)

    def finish(lane: PrimExpr) -> Stmt:
        at = env(lane)
        value = replace_exprs(f.epilogue, {**at, f.result: BufferLoad(acc, (lane,))})
        return BufferStore(f.out, tuple(at[v] for v in f.axes), value)

    start = fill(acc, width, identity(f.combiner, f.value.dtype))
    return scope("window", [acc], seq(start, loops, loop("l", width, finish, "vectorized")))
