"""A PrimFunc that tells of accesses outside of its buffers instead of making them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eqsat.ir._bounds import Prover
from eqsat.ir._tir import (
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Evaluate,
    For,
    IfThenElse,
    IntImm,
    Let,
    Not,
    PrimExpr,
    PrimFunc,
    Select,
    Seq,
    Stmt,
    binary,
    conjunction,
    const,
    seq,
)
from eqsat.ir._visit import children, rebuild


def guarded(func: PrimFunc) -> PrimFunc | None:
    """Return `func` with one more output, a bool scalar: whether every access was inside.

    An access that is not provably inside is made only where it is: a load outside gives 0, a store
    outside is left out. None where an access stands in the bounds of a loop or of a block, which
    cannot be guarded.
    """
    flag = Buffer("inside", (), "bool")
    guard = _Guard(flag)
    body = guard.rewritten(func.body)
    if body is None:
        return None
    start = BufferStore(flag, (), IntImm(1, "bool"))
    return replace(func, params=(*func.params, flag), body=seq(start, body))


class _Guard(Prover):
    def __init__(self, flag: Buffer) -> None:
        super().__init__()
        self.flag = flag
        self.conditions: list[PrimExpr] = []  # of the lazy selects around
        self.violations: list[PrimExpr] = []

    # --- statements -------------------------------------------------------------------------

    def rewritten(self, s: Stmt) -> Stmt | None:
        """Return the guarded statement."""
        match s:
            case Seq(stmts):
                new = [self.rewritten(x) for x in stmts]
                kept = [x for x in new if x is not None]
                return Seq(tuple(kept)) if len(kept) == len(new) else None
            case For(var, low, extent, body):
                if not self.is_safe(low, extent):
                    return None
                self.bind(var, low, extent)
                inner = self.rewritten(body)
                return None if inner is None else replace(s, body=inner)
            case Block():
                return self.block_rewritten(s)
            case BufferStore():
                return self.store(s)
            case IfThenElse():
                return self.branch(s)
            case Let(var, value, body):
                if not self.is_safe(value):
                    return None
                self.define(var, value)
                inner = self.rewritten(body)
                return None if inner is None else replace(s, body=inner)
            case Evaluate(value):
                return s if self.is_safe(value) else None

    def block_rewritten(self, s: Block) -> Stmt | None:
        if not self.is_safe(s.predicate, *(i.binding for i in s.iters)):
            return None
        for i in s.iters:
            self.define(i.var, i.binding)
        parts: list[Stmt | None] = []
        for part in (s.init, s.body):
            with self.holding(s.predicate):
                parts.append(None if part is None else self.rewritten(part))
        init, body = parts
        if body is None or (s.init is not None and init is None):
            return None
        # What the block stated says nothing of the flag.
        return replace(s, init=init, body=body, reads=(), writes=(), regions_inferred=False)

    def branch(self, s: IfThenElse) -> Stmt | None:
        if not self.is_safe(s.condition):
            return None
        with self.holding(s.condition):
            then_body = self.rewritten(s.then_body)
        else_body = None
        if s.else_body is not None:
            with self.holding(Not(s.condition)):
                else_body = self.rewritten(s.else_body)
            if else_body is None:
                return None
        return None if then_body is None else IfThenElse(s.condition, then_body, else_body)

    def store(self, s: BufferStore) -> Stmt:
        self.violations = []
        indices = tuple(self.guarded_expr(i) for i in s.indices)
        stored: Stmt = BufferStore(s.buffer, indices, self.guarded_expr(s.value))
        inside = self.inside(s.buffer, indices)
        if inside is not None:
            self.violate(inside)
            stored = IfThenElse(inside, stored)
        off = BufferStore(self.flag, (), IntImm(0, "bool"))
        return seq(*(IfThenElse(v, off) for v in self.violations), stored)

    def is_safe(self, *exprs: PrimExpr) -> bool:
        return not any(True for e in exprs for _ in self.expr(e))

    # --- expressions ------------------------------------------------------------------------

    def guarded_expr(self, e: PrimExpr) -> PrimExpr:
        """Return `e` with its loads guarded; what is violated is noted."""
        match e:
            case Select(condition, a, b, True):
                c = self.guarded_expr(condition)
                sides: list[PrimExpr] = []
                for side, holds in ((a, condition), (b, Not(condition))):
                    self.conditions.append(holds)
                    with self.holding(holds):
                        sides.append(self.guarded_expr(side))
                    self.conditions.pop()
                return Select(c, sides[0], sides[1], lazy=True)
            case BufferLoad(b, indices):
                new = tuple(self.guarded_expr(i) for i in indices)
                inside = self.inside(b, new)
                load = BufferLoad(b, new)
                if inside is None:
                    return load
                self.violate(inside)
                return Select(inside, load, const(0, b.dtype), lazy=True)
            case _:
                old = children(e)
                new = tuple(self.guarded_expr(c) for c in old)
                same = all(n is o for n, o in zip(new, old, strict=True))
                return e if same else rebuild(e, new)

    def inside(self, b: Buffer, indices: Sequence[PrimExpr]) -> PrimExpr | None:
        """Return the condition that an access is inside, None where that is proved."""
        tests: list[PrimExpr] = []
        for i, extent in zip(indices, b.shape, strict=True):
            low, high = self.doubts(i, extent)
            if low:
                tests.append(binary(">=", i, const(0, i.dtype)))
            if high:
                tests.append(binary("<", i, self.as_dtype(extent, i.dtype)))
        return conjunction(*tests) if tests else None

    def violate(self, inside: PrimExpr) -> None:
        self.violations.append(conjunction(*self.conditions, Not(inside)))
