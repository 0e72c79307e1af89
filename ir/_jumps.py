"""Where control goes on: which statements may jump, and what holds where they do not."""

from __future__ import annotations

from collections.abc import Iterator

from eqsat.ir._tir import (
    Attr,
    Block,
    For,
    IfThenElse,
    IntImm,
    Jump,
    JumpKind,
    Let,
    Not,
    PrimExpr,
    Seq,
    Stmt,
    Var,
    While,
)

ALWAYS = IntImm(1, "bool")
NEVER = IntImm(0, "bool")


def jumps(s: Stmt) -> Iterator[JumpKind]:
    """Yield the jumps out of `s`; a loop takes the breaks and continues inside."""
    match s:
        case Jump(kind):
            yield kind
        case Seq(stmts):
            for each in stmts:
                yield from jumps(each)
        case IfThenElse(_, a, b):
            yield from jumps(a)
            if b is not None:
                yield from jumps(b)
        case Let(body=body) | Attr(body=body):
            yield from jumps(body)
        case Block(init=init, body=body):
            yield from jumps(body)
            if init is not None:
                yield from jumps(init)
        case For(body=body) | While(body=body):
            if "return" in jumps(body):
                yield "return"
        case _:
            pass


def falls_through(s: Stmt) -> PrimExpr:
    """Return a condition under which the statement after `s` is reached.

    It is over the values before `s`; an unbound variable where nothing simple is known.
    """
    if next(jumps(s), None) is None:
        return ALWAYS
    match s:
        case Jump():
            return NEVER
        case Attr(body=body):
            return falls_through(body)
        case IfThenElse(condition, then_body, else_body):
            if falls_through(then_body) == NEVER:
                rest = ALWAYS if else_body is None else falls_through(else_body)
                return Not(condition) if rest == ALWAYS else _unknown()
        case _:
            pass
    return _unknown()


def stays_in(body: Stmt) -> PrimExpr:
    """Return a condition under which no iteration of a loop over `body` ends the loop."""
    leaves = any(k != "continue" for k in jumps(body))
    return _unknown() if leaves else ALWAYS


def _unknown() -> PrimExpr:
    return Var("unknown", "bool")
