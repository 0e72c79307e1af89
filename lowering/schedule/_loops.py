"""Loop primitives: each takes a function with blocks to an equal one.

Loops are named by the block that they enclose and their variable's name, as the printer shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from eqsat.ir.tir import (
    Assert,
    Attr,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Evaluate,
    For,
    IfThenElse,
    IntImm,
    Jump,
    Let,
    LoopKind,
    PrimExpr,
    PrimFunc,
    Seq,
    Stmt,
    Var,
    While,
    binary,
    conjunction,
    seq,
    walk,
)
from eqsat.lowering._errors import LoweringError
from eqsat.lowering.schedule._collapse import map_loads
from eqsat.lowering.schedule._emit import static
from eqsat.lowering.schedule._stages import naive_func, read_stages, replace_exprs


def split(func: PrimFunc, block: str, loop: str, factor: int) -> PrimFunc:
    """Cut a loop into an outer and an inner one of `factor` iterations; a rest is predicated."""
    target = _loop(func, block, loop)
    outer, inner = Var(f"{loop}_o"), Var(f"{loop}_i")
    index = binary("+", binary("*", outer, IntImm(factor)), inner)
    count = binary("//", binary("+", target.extent, IntImm(factor - 1)), IntImm(factor))
    body = _substitute(target.body, {target.var: binary("+", target.min, index)})
    extent = static(target.extent)
    if extent is None or extent % factor:
        body = _predicate(body, binary("<", index, target.extent))
    new = For(outer, IntImm(0), count, For(inner, IntImm(0), IntImm(factor), body))
    return _replaced(func, target, new)


def fuse(func: PrimFunc, block: str, outer: str, inner: str) -> PrimFunc:
    """Make two directly nested loops one."""
    first, second = _loop(func, block, outer), _loop(func, block, inner)
    if first.body is not second:
        raise LoweringError(f"fuse: loop {inner} does not stand directly inside {outer} of {block}")
    var = Var(f"{outer}_{inner}_f")
    env = {
        first.var: binary("+", first.min, binary("//", var, second.extent)),
        second.var: binary("+", second.min, binary("%", var, second.extent)),
    }
    extent = binary("*", first.extent, second.extent)
    return _replaced(func, first, For(var, IntImm(0), extent, _substitute(second.body, env)))


def reorder(func: PrimFunc, block: str, loops: Sequence[str]) -> PrimFunc:
    """Put directly nested loops in the order of `loops`."""
    wanted = [_loop(func, block, name) for name in loops]
    chain = [f for f in _loops_around(func, block) if f in wanted]
    if any(a.body is not b for a, b in pairwise(chain)):
        raise LoweringError(f"reorder: loops {', '.join(loops)} of {block} are not directly nested")
    if any(chain[0].var in _variables_of(f) for f in chain[1:]):
        raise LoweringError(f"reorder: the bounds of a loop of {block} depend on another")
    body = chain[-1].body
    for f in reversed(wanted):
        body = replace(f, body=body)
    return _replaced(func, chain[0], body)


def annotate(func: PrimFunc, block: str, loop: str, kind: LoopKind) -> PrimFunc:
    """Give a loop its kind: parallel, vectorized, unroll or serial."""
    target = _loop(func, block, loop)
    if kind in ("parallel", "vectorized") and _reduces_over(func, block, target.var):
        raise LoweringError(
            f"{kind}: loop {loop} of {block} carries a reduction; make a spatial loop {kind}"
        )
    return _replaced(func, target, replace(target, kind=kind))


def compute_inline(func: PrimFunc, block: str) -> PrimFunc:
    """Put the value of a pointwise block where it is read; for functions in naive form."""
    stages = read_stages(func)
    gone = next((s for s in stages if s.name == block), None)
    if gone is None or gone.combiner is not None or gone.buffer in func.params:
        raise LoweringError(
            f"compute_inline: {block} is no pointwise block with a buffer of its own"
        )

    def inline(load: BufferLoad) -> PrimExpr:
        if load.buffer is not gone.buffer:
            return load
        return replace_exprs(gone.value, dict(zip(gone.axes, load.indices, strict=True)))

    kept = [replace(s, value=map_loads(s.value, inline)) for s in stages if s is not gone]
    params = [p for p in func.params if isinstance(p, Buffer)]
    return naive_func(func.name, params, kept, func.attrs)


def decompose_reduction(func: PrimFunc, block: str) -> PrimFunc:
    """Run the init of a reduction in a nest of its own before the loops of the reduction."""
    target = _block(func, block)
    if target.init is None:
        raise LoweringError(f"decompose_reduction: block {block} has no init")
    around = _loops_around(func, block)
    reduced = {i.binding for i in target.iters if i.kind == "R"}
    names = [k for k, f in enumerate(around) if any(f.var in _vars_of_expr(b) for b in reduced)]
    at = min(names) if names else len(around)
    spatial = tuple(i for i in target.iters if i.kind == "S")
    used = {v for i in spatial for v in _vars_of_expr(i.binding)}
    init: Stmt = replace(target, name=f"{block}_init", iters=spatial, body=target.init, init=None)
    fresh: dict[Var, PrimExpr] = {}
    for f in reversed(around[at:]):
        if f.var in used:
            copy = Var(f.var.name, f.var.dtype)
            fresh[f.var] = copy
            init = For(copy, f.min, f.extent, init, f.kind)
        else:
            # A predicate on the reduction holds at its first iteration, where init belongs.
            fresh[f.var] = f.min
    init = _substitute(init, fresh)
    update = map_statements(func.body, lambda s: replace(s, init=None) if s is target else s)
    rewritten = replace(func, body=update)
    place: Stmt = _loops_around(rewritten, block)[at] if names else _block(rewritten, block)
    return _replaced(rewritten, place, seq(init, place))


# --- finding -----------------------------------------------------------------------------------


def map_statements(s: Stmt, f: Callable[[Stmt], Stmt]) -> Stmt:
    """Return `s` with `f` applied to every statement, inner ones first."""
    match s:
        case For() | While() | Let() | Attr():
            body = map_statements(s.body, f)
            s = s if body is s.body else replace(s, body=body)
        case Block():
            body = map_statements(s.body, f)
            init = None if s.init is None else map_statements(s.init, f)
            # `f` recognises a statement by identity, so an unchanged one stays the same object.
            if body is not s.body or init is not s.init:
                s = replace(s, body=body, init=init)
        case Seq(stmts):
            new = [map_statements(each, f) for each in stmts]
            same = all(a is b for a, b in zip(new, stmts, strict=True))
            s = s if same else seq(*new)
        case IfThenElse(c, a, b):
            then_body = map_statements(a, f)
            else_body = None if b is None else map_statements(b, f)
            s = s if then_body is a and else_body is b else IfThenElse(c, then_body, else_body)
        case BufferStore() | Evaluate() | Jump() | Assert():
            pass
    return f(s)


def _replaced(func: PrimFunc, old: Stmt, new: Stmt) -> PrimFunc:
    return replace(func, body=map_statements(func.body, lambda s: new if s is old else s))


def _paths(
    s: Stmt, loops: tuple[For, ...], found: dict[str, tuple[Block, tuple[For, ...]]]
) -> None:
    match s:
        case For():
            _paths(s.body, (*loops, s), found)
        case Block():
            found[s.name] = (s, loops)
            _paths(s.body, loops, found)
        case Seq(stmts):
            for each in stmts:
                _paths(each, loops, found)
        case IfThenElse(_, a, b):
            _paths(a, loops, found)
            if b is not None:
                _paths(b, loops, found)
        case Let() | While():
            _paths(s.body, loops, found)
        case _:
            pass


def _place(func: PrimFunc, block: str) -> tuple[Block, tuple[For, ...]]:
    found: dict[str, tuple[Block, tuple[For, ...]]] = {}
    _paths(func.body, (), found)
    if block not in found:
        raise LoweringError(f"{func.name} has no block {block}; it has {', '.join(found)}")
    return found[block]


def _block(func: PrimFunc, block: str) -> Block:
    return _place(func, block)[0]


def _loops_around(func: PrimFunc, block: str) -> tuple[For, ...]:
    return _place(func, block)[1]


def _loop(func: PrimFunc, block: str, name: str) -> For:
    loops = _loops_around(func, block)
    for f in loops:
        if f.var.name == name:
            return f
    shown = ", ".join(f.var.name for f in loops)
    raise LoweringError(f"block {block} of {func.name} has no loop {name}; it has {shown}")


def _vars_of_expr(e: PrimExpr) -> set[Var]:
    return {n for n in walk(e) if isinstance(n, Var)}


def _variables_of(f: For) -> set[Var]:
    return _vars_of_expr(f.min) | _vars_of_expr(f.extent)


def _reduces_over(func: PrimFunc, block: str, var: Var) -> bool:
    return any(i.kind == "R" and var in _vars_of_expr(i.binding) for i in _block(func, block).iters)


def _substitute(s: Stmt, env: dict[Var, PrimExpr]) -> Stmt:
    """Return `s` with loop variables replaced in bindings, bounds, predicates and bare stores."""

    def one(s: Stmt) -> Stmt:
        match s:
            case Block():
                iters = tuple(replace(i, binding=replace_exprs(i.binding, env)) for i in s.iters)
                return replace(s, iters=iters, predicate=replace_exprs(s.predicate, env))
            case For():
                low, extent = replace_exprs(s.min, env), replace_exprs(s.extent, env)
                return replace(s, min=low, extent=extent)
            case BufferStore(buffer, indices, value):
                at = tuple(replace_exprs(i, env) for i in indices)
                return BufferStore(buffer, at, replace_exprs(value, env))
            case IfThenElse(c, a, b):
                return IfThenElse(replace_exprs(c, env), a, b)
            case Let():
                return replace(s, value=replace_exprs(s.value, env))
            case _:
                return s

    return map_statements(s, one)


def _predicate(s: Stmt, condition: PrimExpr) -> Stmt:
    def one(s: Stmt) -> Stmt:
        if isinstance(s, Block):
            return replace(s, predicate=conjunction(s.predicate, condition))
        return s

    return map_statements(s, one)
