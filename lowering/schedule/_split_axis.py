"""`split_axis`: one axis of the output as two, where operands see only its high part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from eqsat.ir._simplify import simplify
from eqsat.ir.tir import (
    Binary,
    Buffer,
    BufferLoad,
    IntImm,
    PrimExpr,
    PrimFunc,
    Var,
    binary,
    children,
    walk,
)
from eqsat.lowering.schedule._collapse import map_loads
from eqsat.lowering.schedule._stages import Stage, naive_func, read_stages, replace_exprs


def split_axis(func: PrimFunc, position: int, factor: int) -> PrimFunc:
    """Return `func` with spatial axis `position` of every stage split; `factor` divides its extent.

    The stages all have the same axes and read each other at their own element.
    """
    stages = read_stages(func)
    new = {s.buffer: _split_buffer(s.buffer, position, factor) for s in stages}

    def redirect(load: BufferLoad) -> BufferLoad:
        if load.buffer not in new:
            return load
        before, index, after = (
            load.indices[:position],
            load.indices[position],
            load.indices[position + 1 :],
        )
        k = IntImm(factor)
        return BufferLoad(
            new[load.buffer], (*before, binary("//", index, k), binary("%", index, k), *after)
        )

    result = [_split_stage(s, position, factor, new, redirect) for s in stages]
    params = [new.get(p, p) for p in func.params if isinstance(p, Buffer)]
    return naive_func(func.name, params, result, func.attrs)


def _split_buffer(b: Buffer, position: int, factor: int) -> Buffer:
    high = binary("//", b.shape[position], IntImm(factor))
    shape = (*b.shape[:position], high, IntImm(factor), *b.shape[position + 1 :])
    return replace(b, shape=shape)


def _split_stage(
    s: Stage,
    position: int,
    factor: int,
    new: dict[Buffer, Buffer],
    redirect: Callable[[BufferLoad], PrimExpr],
) -> Stage:
    v = s.axes[position]
    high, low = Var(f"{v.name}o"), Var(f"{v.name}i")
    extents = new[s.buffer].shape
    split = replace(
        s,
        buffer=new[s.buffer],
        axes=(*s.axes[:position], high, low, *s.axes[position + 1 :]),
        extents=extents,
    )
    index = binary("+", binary("*", high, IntImm(factor)), low)
    value = simplify(replace_exprs(map_loads(s.value, redirect), {v: index}), split.ranges())
    return replace(split, value=value)


def shared_factor(terms: list[PrimExpr], v: Var) -> int | None:
    """Return c where one term has `v` only in `v // c` and another has it otherwise, else None."""
    highs = [_only_high(t, v) for t in terms if any(n is v for n in walk(t))]
    found = {c for c in highs if c is not None}
    return found.pop() if len(found) == 1 and None in highs else None


def _only_high(term: PrimExpr, v: Var) -> int | None:
    """Return the c of which every use of `v` in `term` is `v // c`, None where there is none."""
    factors: set[int] = set()
    stack = [term]
    while stack:
        n = stack.pop()
        match n:
            case Binary("//", a, IntImm(c)) if a is v:
                factors.add(c)
            case Var() if n is v:
                return None
            case _:
                stack.extend(children(n))
    return factors.pop() if len(factors) == 1 else None
