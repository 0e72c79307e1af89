"""Whether every access of a PrimFunc stays inside its buffer, proved from loops and conditions."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from eqsat.ir._jumps import ALWAYS, falls_through
from eqsat.ir._simplify import Poly, Simplifier, add, constant
from eqsat.ir._tir import (
    Assert,
    Attr,
    Binary,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    Evaluate,
    For,
    IfThenElse,
    IntImm,
    Intrinsic,
    Jump,
    Let,
    Not,
    PrimExpr,
    PrimFunc,
    Select,
    Seq,
    Stmt,
    Var,
    While,
    binary,
)
from eqsat.ir._visit import children, walk, walk_statements

INTEGERS = ("int32", "int64")
_ANYTHING = (-(1 << 62), None)  # the range of a variable of which nothing is known


def unproved(func: PrimFunc) -> str:
    """Return an access or assertion of `func` that must be checked where it runs, "" for none.

    An access is proved to be inside its buffer from this: sizes are at least 0, loops run over
    their extents; a branch, a predicate, a lazy select and a jump add what they ask, until a buffer
    that it is about is written.
    """
    return next(iter(Prover().statement(func.body)), "")


class Prover:
    """Walks a PrimFunc with what is known at each place."""

    def __init__(self) -> None:
        self.ranges: dict[Var, tuple[int | PrimExpr, int | PrimExpr | None]] = {}
        self.values: dict[Var, Poly] = {}
        self.simplifier = Simplifier(self.ranges, self.values)
        self.known: list[Poly] = []  # each is at least 0 here
        self.wide: dict[Var, Var] = {}  # int32 variables as the simplifier takes them

    # --- statements -------------------------------------------------------------------------

    def statement(self, s: Stmt) -> Iterator[str]:  # noqa: C901 - one case per node
        match s:
            case Seq(stmts):
                yield from self.sequence(stmts)
            case For(var, low, extent, body):
                yield from self.expr(low)
                yield from self.expr(extent)
                self.bind(var, low, extent)
                self.forget_written(body)
                yield from self.statement(body)
            case While(condition, body):
                self.forget_written(body)
                yield from self.expr(condition)
                yield from self.under(condition, self.statement(body))
            case Assert(condition, message):
                yield from self.expr(condition)
                yield message
            case Block():
                yield from self.block(s)
            case BufferStore(b, indices, value):
                yield from self.access(b, indices)
                yield from self.expr(value)
                self.forget(b)
            case IfThenElse(condition, then_body, else_body):
                yield from self.expr(condition)
                yield from self.under(condition, self.statement(then_body))
                if else_body is not None:
                    yield from self.under(Not(condition), self.statement(else_body))
            case Let(var, value, body):
                yield from self.expr(value)
                if var.dtype in INTEGERS:
                    self.define(var, value)
                yield from self.statement(body)
            case Attr(body=body):
                yield from self.statement(body)
            case Evaluate(value) | Jump(value=value):
                yield from self.expr(value)

    def sequence(self, stmts: Sequence[Stmt]) -> Iterator[str]:
        """Check statements in order, each where those before it do not jump."""
        for k, s in enumerate(stmts):
            yield from self.statement(s)
            condition = self.passing(s)
            if condition != ALWAYS:
                yield from self.under(condition, self.sequence(stmts[k + 1 :]))
                return

    def passing(self, s: Stmt) -> PrimExpr:
        """Return what holds after `s` because it did not jump."""
        condition, written = falls_through(s), set(_written(s))
        return ALWAYS if any(_reads(condition, b) for b in written) else condition

    def block(self, s: Block) -> Iterator[str]:
        for i in s.iters:
            yield from self.expr(i.binding)
            self.define(i.var, i.binding)
        for part in (s.init, s.body):
            if part is not None:
                yield from self.under(s.predicate, self.statement(part))

    def bind(self, var: Var, low: PrimExpr, extent: PrimExpr) -> None:
        self.ranges[self.widened(var)] = (self.index(low), self.index(extent))
        self.simplifier.forget()

    def define(self, var: Var, value: PrimExpr) -> None:
        self.values[self.widened(var)] = self.poly(value)
        self.simplifier.forget()

    def forget_written(self, body: Stmt) -> None:
        """Forget what was known before a loop of what its body writes."""
        for b in set(_written(body)):
            self.forget(b)

    def forget(self, written: Buffer) -> None:
        """Forget what is known of values loaded from a buffer: it is written."""
        self.known = [p for p in self.known if not _mentions(p, written)]
        for var in [v for v, p in self.values.items() if _mentions(p, written)]:
            del self.values[var]
            self.ranges[var] = _ANYTHING
        for var, bounds in list(self.ranges.items()):
            if any(isinstance(e, PrimExpr) and _reads(e, written) for e in bounds):
                self.ranges[var] = _ANYTHING
        self.simplifier.forget()

    # --- conditions -------------------------------------------------------------------------

    def under(self, condition: PrimExpr, inner: Iterator[str]) -> Iterator[str]:
        """Yield what `inner` yields while `condition` is taken to hold."""
        with self.holding(condition):
            yield from inner

    @contextmanager
    def holding(self, condition: PrimExpr) -> Generator[None]:
        """Take `condition` to hold inside."""
        outer = self.known
        self.known = [*outer, *self.facts(condition, holds=True)]
        yield
        self.known = [p for p in outer if any(p is k for k in self.known)]

    def facts(self, e: PrimExpr, *, holds: bool) -> Iterator[Poly]:
        match e:
            case Not(a):
                yield from self.facts(a, holds=not holds)
            case Binary("and", a, b) if holds:
                yield from self.facts(a, holds=True)
                yield from self.facts(b, holds=True)
            case Binary("or", a, b) if not holds:
                yield from self.facts(a, holds=False)
                yield from self.facts(b, holds=False)
            case Intrinsic(("likely" | "tirx.likely"), (a,)):
                yield from self.facts(a, holds=holds)
            case Binary(op, a, b) if a.dtype in INTEGERS:
                yield from self.comparison(op, self.poly(a), self.poly(b), holds=holds)
            case _:
                pass

    def comparison(self, op: str, a: Poly, b: Poly, *, holds: bool) -> Iterator[Poly]:
        less, one = add(b, a, -1), constant(1)
        opposite = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
        match op if holds else opposite.get(op, ""):
            case "<":
                yield add(less, one, -1)
            case "<=":
                yield less
            case ">":
                yield add(add(a, b, -1), one, -1)
            case ">=":
                yield add(a, b, -1)
            case "==":
                yield less
                yield add(a, b, -1)
            case _:
                pass

    # --- expressions ------------------------------------------------------------------------

    def expr(self, e: PrimExpr) -> Iterator[str]:
        match e:
            case Select(condition, a, b, True):
                yield from self.expr(condition)
                yield from self.under(condition, self.expr(a))
                yield from self.under(Not(condition), self.expr(b))
            case BufferLoad(b, indices):
                yield from self.access(b, indices)
            case _:
                for c in children(e):
                    yield from self.expr(c)

    def access(self, b: Buffer, indices: Sequence[PrimExpr]) -> Iterator[str]:
        for k, (i, extent) in enumerate(zip(indices, b.shape, strict=True)):
            yield from self.expr(i)
            low, high = self.doubts(i, extent)
            if low or high:
                yield self.told(b, k, low=low)

    def told(self, b: Buffer, k: int, *, low: bool) -> str:
        """Return the doubt about index `k` of an access in words."""
        return f"{b.name}: index {k} may be {'below 0' if low else 'beyond the end'}"

    def doubts(self, index: PrimExpr, extent: PrimExpr) -> tuple[bool, bool]:
        """Return whether an index may be below 0, and whether it may reach `extent`."""
        at = self.poly(index)
        room = add(add(self.poly(extent), at, -1), constant(-1))
        return not self.proves(at), not self.proves(room)

    def as_dtype(self, e: PrimExpr, dtype: str) -> PrimExpr:
        """Return an index expression in another integer dtype."""
        if isinstance(e, IntImm):
            return IntImm(e.value, dtype)
        return e if e.dtype == dtype else Cast(dtype, e)

    def poly(self, e: PrimExpr) -> Poly:
        return self.simplifier.poly(self.index(e))

    def index(self, e: PrimExpr) -> PrimExpr:
        """Return an int32 expression as an int64 one; index arithmetic does not overflow."""
        match e:
            case Cast(dtype, value) if dtype in INTEGERS and value.dtype in INTEGERS:
                return self.index(value)
            case IntImm(value, dtype) if dtype in INTEGERS:
                return IntImm(value)
            case Var() if e.dtype in INTEGERS:
                return self.widened(e)
            case Binary(op, a, b) if e.dtype in INTEGERS:
                return binary(op, self.index(a), self.index(b))
            case _:
                return e

    def widened(self, var: Var) -> Var:
        return var if var.dtype == "int64" else self.wide.setdefault(var, Var(var.name, "int64"))

    def proves(self, p: Poly) -> bool:
        if self.simplifier.nonnegative(p):
            return True
        return any(self.simplifier.nonnegative(add(p, fact, -1)) for fact in self.known)


def _written(s: Stmt) -> Iterator[Buffer]:
    return (x.buffer for x in walk_statements(s) if isinstance(x, BufferStore))


def _reads(e: PrimExpr, b: Buffer) -> bool:
    return any(isinstance(n, BufferLoad) and n.buffer is b for n in walk(e))


def _mentions(p: Poly, b: Buffer) -> bool:
    return any(_reads(atom, b) for monomial in p for atom in monomial)
