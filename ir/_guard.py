"""A PrimFunc that tells of accesses outside of its buffers instead of making them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eqsat.ir._bounds import INTEGERS, Prover
from eqsat.ir._jumps import ALWAYS
from eqsat.ir._tir import (
    Assert,
    Attr,
    Binary,
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
    Not,
    PrimExpr,
    PrimFunc,
    Select,
    Seq,
    Stmt,
    While,
    binary,
    conjunction,
    const,
    seq,
)
from eqsat.ir._visit import children, rebuild, walk_statements


def guarded(func: PrimFunc) -> tuple[PrimFunc, tuple[str, ...]]:
    """Return `func` with more outputs, bool scalars that should hold, and what each says.

    The first: every access was inside of its buffer. One that is not provably inside is made only
    where it is: a load outside gives 0, a store outside is left out. The others: the assertions.
    Where one does not hold, `while` loops end: none runs for ever on values that are not there.
    """
    asserted = dict.fromkeys(s.message for s in walk_statements(func.body) if isinstance(s, Assert))
    flags = {m: Buffer(f"holds{k}", (), "bool") for k, m in enumerate(asserted)}
    guard = _Guard(Buffer("inside", (), "bool"), flags)
    body = guard.rewritten(func.body)
    starts = (BufferStore(b, (), IntImm(1, "bool")) for b in guard.outputs)
    own = replace(func, params=(*func.params, *guard.outputs), body=seq(*starts, body))
    left = f"PrimFunc {func.name} left a buffer: {guard.doubt}"
    return own, (left, *(f"PrimFunc {func.name}: {m}" for m in asserted))


class _Guard(Prover):
    def __init__(self, inside: Buffer, flags: dict[str, Buffer]) -> None:
        super().__init__()
        self.flag, self.flags = inside, flags
        self.outputs = (inside, *flags.values())
        self.doubt = ""  # the first access that is not provably inside
        self.conditions: list[PrimExpr] = []  # under which the operand at hand is evaluated
        self.violations: list[PrimExpr] = []

    # --- statements -------------------------------------------------------------------------

    def rewritten(self, s: Stmt) -> Stmt:  # noqa: C901 - one case per node
        """Return the guarded statement."""
        match s:
            case Seq(stmts):
                return self.rewritten_sequence(stmts)
            case For(var, low, extent, body):
                (low, extent), checks = self.checked(low, extent)
                self.bind(var, low, extent)
                self.forget_written(body)
                return seq(*checks, replace(s, min=low, extent=extent, body=self.rewritten(body)))
            case While():
                return self.loop(s)
            case Block():
                return self.block_rewritten(s)
            case BufferStore():
                return self.store(s)
            case IfThenElse():
                return self.branch(s)
            case Let(var, value, body):
                (value,), checks = self.checked(value)
                if var.dtype in INTEGERS:
                    self.define(var, value)
                return seq(*checks, Let(var, value, self.rewritten(body)))
            case Assert(condition, message):
                (condition,), checks = self.checked(condition)
                return seq(*checks, _lowered(self.flags[message], Not(condition)))
            case Attr(body=body):
                return self.rewritten(body)
            case Evaluate(value):
                (value,), checks = self.checked(value)
                return seq(*checks, Evaluate(value))
            case Jump(value=value):
                (value,), checks = self.checked(value)
                return seq(*checks, replace(s, value=value))

    def rewritten_sequence(self, stmts: Sequence[Stmt]) -> Stmt:
        done: list[Stmt] = []
        for k, s in enumerate(stmts):
            done.append(self.rewritten(s))
            condition = self.passing(done[-1])
            if condition != ALWAYS:
                with self.holding(condition):
                    return seq(*done, self.rewritten_sequence(stmts[k + 1 :]))
        return seq(*done)

    def loop(self, s: While) -> Stmt:
        self.forget_written(s.body)
        (condition,), checks = self.checked(s.condition)
        going = conjunction(*(BufferLoad(b, ()) for b in self.outputs), condition)
        with self.holding(condition):
            body = self.rewritten(s.body)
        if not checks:
            return While(going, body)
        # What the condition reads is checked each time before it is decided.
        leave = IfThenElse(Not(going), Jump("break"))
        return While(ALWAYS, seq(*checks, leave, body))

    def block_rewritten(self, s: Block) -> Stmt:
        (predicate, *bindings), checks = self.checked(s.predicate, *(i.binding for i in s.iters))
        iters = tuple(replace(i, binding=b) for i, b in zip(s.iters, bindings, strict=True))
        for i in iters:
            self.define(i.var, i.binding)
        init = None
        if s.init is not None:
            with self.holding(predicate):
                init = self.rewritten(s.init)
        with self.holding(predicate):
            body = self.rewritten(s.body)
        # What the block stated says nothing of the flags.
        own = replace(
            s,
            iters=iters,
            predicate=predicate,
            init=init,
            body=body,
            reads=(),
            writes=(),
            regions_inferred=False,
        )
        return seq(*checks, own)

    def branch(self, s: IfThenElse) -> Stmt:
        (condition,), checks = self.checked(s.condition)
        with self.holding(condition):
            then_body = self.rewritten(s.then_body)
        else_body = None
        if s.else_body is not None:
            with self.holding(Not(condition)):
                else_body = self.rewritten(s.else_body)
        return seq(*checks, IfThenElse(condition, then_body, else_body))

    def store(self, s: BufferStore) -> Stmt:
        self.violations = []
        indices = tuple(self.guarded_expr(i) for i in s.indices)
        stored: Stmt = BufferStore(s.buffer, indices, self.guarded_expr(s.value))
        inside = self.inside(s.buffer, indices)
        if inside is not None:
            self.violate(inside)
            stored = IfThenElse(inside, stored)
        checks = [_lowered(self.flag, v) for v in self.violations]
        self.forget(s.buffer)
        return seq(*checks, stored)

    def checked(self, *exprs: PrimExpr) -> tuple[tuple[PrimExpr, ...], list[Stmt]]:
        """Return expressions guarded, and the statements that check them before."""
        self.violations = []
        found = tuple(map(self.guarded_expr, exprs))
        return found, [_lowered(self.flag, v) for v in self.violations]

    # --- expressions ------------------------------------------------------------------------

    def guarded_expr(self, e: PrimExpr) -> PrimExpr:
        """Return `e` with its loads guarded; what is violated is noted."""
        match e:
            case Select(condition, a, b, True):
                c = self.guarded_expr(condition)
                with self.holding(c):
                    then = self.operand(a, c)
                with self.holding(Not(c)):
                    other = self.operand(b, Not(c))
                return Select(c, then, other, lazy=True)
            case Binary("and" | "or" as op, a, b):
                left = self.guarded_expr(a)
                return binary(op, left, self.operand(b, left if op == "and" else Not(left)))
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

    def operand(self, e: PrimExpr, condition: PrimExpr) -> PrimExpr:
        """Return an operand guarded that is evaluated under `condition`."""
        self.conditions.append(condition)
        found = self.guarded_expr(e)
        self.conditions.pop()
        return found

    def inside(self, b: Buffer, indices: Sequence[PrimExpr]) -> PrimExpr | None:
        """Return the condition that an access is inside, None where that is proved."""
        tests: list[PrimExpr] = []
        for k, (i, extent) in enumerate(zip(indices, b.shape, strict=True)):
            low, high = self.doubts(i, extent)
            if low:
                tests.append(binary(">=", i, const(0, i.dtype)))
            if high:
                tests.append(binary("<", i, self.as_dtype(extent, i.dtype)))
            if low or high:
                self.doubt = self.doubt or self.told(b, k, low=low)
        return conjunction(*tests) if tests else None

    def violate(self, inside: PrimExpr) -> None:
        self.violations.append(conjunction(*self.conditions, Not(inside)))


def _lowered(flag: Buffer, violation: PrimExpr) -> Stmt:
    """Return the statement that notes a violation."""
    return IfThenElse(violation, BufferStore(flag, (), IntImm(0, "bool")))
