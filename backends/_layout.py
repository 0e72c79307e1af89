"""What a kernel needs around its code: stages, and places for allocated buffers."""

from __future__ import annotations

from collections.abc import Iterable

from eqsat.ir._simplify import Poly, Simplifier, add, as_constant, constant, mul, to_expr
from eqsat.ir.tir import (
    Block,
    Buffer,
    For,
    IntImm,
    PrimExpr,
    PrimFunc,
    Seq,
    Stmt,
    jumps,
    walk_statements,
)
from eqsat.shapes import itemsize

_STACK_BYTES = 16384
ALIGN = 64


def _private(body: Stmt) -> set[Buffer]:
    """Return the buffers allocated inside a parallel loop: each iteration has its own."""
    loops = (s for s in walk_statements(body) if isinstance(s, For) and s.kind == "parallel")
    inside = (s for loop in loops for s in walk_statements(loop.body) if isinstance(s, Block))
    return {b for s in inside for b in s.alloc_buffers}


def split_stages(body: Stmt) -> list[tuple[Stmt, bool]]:
    """Return the statements between barriers, and whether each is a parallel loop.

    One stage where something returns: the statements after it are not always reached.
    """
    if "return" in jumps(body):
        return [(body, False)]
    stages: list[tuple[Stmt, bool]] = []
    serial: list[Stmt] = []
    for s in _top_level(body):
        if isinstance(s, For) and s.kind == "parallel":
            if serial:
                stages.append((Seq(tuple(serial)), False))
                serial = []
            stages.append((s, True))
        else:
            serial.append(s)
    if serial:
        stages.append((Seq(tuple(serial)), False))
    return stages


def _top_level(s: Stmt) -> Iterable[Stmt]:
    """Yield the statements of a body, looking into blocks that only group them."""
    match s:
        case Seq(stmts):
            for each in stmts:
                yield from _top_level(each)
        case Block(iters=(), init=None, predicate=IntImm(1)):
            yield from _top_level(s.body)
        case _:
            yield s


class Layout:
    """Where allocated buffers live: on the stack, in a thread's scratch, or shared by all."""

    def __init__(self, func: PrimFunc) -> None:
        private = _private(func.body)
        nested = (s.alloc_buffers for s in walk_statements(func.body) if isinstance(s, Block))
        buffers = [*func.alloc_buffers, *(b for each in nested for b in each)]
        self.simplifier = Simplifier({})
        self.stack: dict[Buffer, int] = {}
        self.scratch_at: dict[Buffer, PrimExpr] = {}
        self.shared_at: dict[Buffer, PrimExpr] = {}
        scratch: Poly = {}
        shared: Poly = {}
        for b in buffers:
            size = constant(itemsize(b.dtype))
            for d in b.shape:
                size = mul(size, self.simplifier.poly(d))
            number = as_constant(size)
            is_private = b.scope == "local" or b in private
            if is_private and number is not None and number <= _STACK_BYTES:
                self.stack[b] = number
            elif is_private:
                self.scratch_at[b] = to_expr(scratch)
                scratch = add(scratch, self._padded(size))
            else:
                self.shared_at[b] = to_expr(shared)
                shared = add(shared, self._padded(size))
        self.scratch, self.shared = to_expr(scratch), to_expr(shared)
        self.stages_are_parallel = [is_parallel for _, is_parallel in split_stages(func.body)]

    def _padded(self, size: Poly) -> Poly:
        blocks = self.simplifier.floordiv(add(size, constant(ALIGN - 1)), constant(ALIGN))
        return mul(blocks, constant(ALIGN))
