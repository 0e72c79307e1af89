"""The rules that every PrimFunc keeps, checked."""

from __future__ import annotations

from typing import assert_never

from eqsat.ir._tir import (
    Address,
    Assert,
    Attr,
    Block,
    Buffer,
    BufferLoad,
    BufferRegion,
    BufferStore,
    Evaluate,
    For,
    IfThenElse,
    Jump,
    Let,
    LoopKind,
    PrimExpr,
    PrimFunc,
    Seq,
    Stmt,
    Var,
    While,
)
from eqsat.ir._types import TypeCheckError
from eqsat.ir._visit import walk
from eqsat.ir._wellformed_accesses import check_accesses
from eqsat.shapes import is_dtype, is_int


def check_primfunc(function: PrimFunc, name: str) -> None:
    """Check that declarations precede use, blocks fit, accesses stay inside and iterations apart.

    Raises:
        TypeCheckError: a rule is broken; the message names the function and the block.
    """
    _PrimFuncCheck(name).function(function)
    check_primfunc_accesses(function, name)


def check_primfunc_accesses(function: PrimFunc, name: str) -> None:
    """Check what is read and written; variables that nothing binds are a caller's.

    Raises:
        TypeCheckError: an access is outside, in no stated region, or races with another.
    """
    check_accesses(function, lambda block, reason: _error(name, block, reason))


def _error(name: str, block: str, reason: str) -> TypeCheckError:
    where = f", block {block}" if block else ""
    return TypeCheckError(f"PrimFunc {name}{where}: {reason}")


class _PrimFuncCheck:
    def __init__(self, name: str) -> None:
        self._name = name
        self._vars: set[Var] = set()
        self._ever: set[Var] = set()
        self._buffers: set[Buffer] = set()
        self._block = ""
        self._loop: LoopKind | None = None  # the innermost around

    def _fail(self, reason: str) -> TypeCheckError:
        return _error(self._name, self._block, reason)

    def function(self, function: PrimFunc) -> None:
        for p in function.params:
            if isinstance(p, Var):
                self._bind(p)
        for p in function.params:
            if isinstance(p, Buffer):
                # The shapes of arguments define their symbols.
                self._vars.update(v for d in p.shape for v in walk(d) if isinstance(v, Var))
                self._declare(p)
        for b in function.alloc_buffers:
            self._declare(b)
        self._statement(function.body)

    def _bind(self, var: Var) -> None:
        if var in self._ever:
            raise self._fail(f"variable {var.name} is bound twice")
        self._ever.add(var)
        self._vars.add(var)

    def _declare(self, buffer: Buffer) -> None:
        if buffer in self._buffers:
            raise self._fail(f"buffer {buffer.name} is declared twice")
        for d in buffer.shape:
            self._expr(d)
        self._buffers.add(buffer)

    def _expr(self, e: PrimExpr) -> None:
        for n in walk(e):
            if isinstance(n, Var) and n not in self._vars:
                raise self._fail(f"variable {n.name} is used where it is not defined")
            if isinstance(n, BufferLoad) or (isinstance(n, Address) and n.indices):
                self._access(n.buffer, n.indices)
            if isinstance(n, Address):
                self._declared(n.buffer)

    def _declared(self, buffer: Buffer) -> None:
        if buffer not in self._buffers:
            raise self._fail(f"buffer {buffer.name} is not declared here")

    def _access(self, buffer: Buffer, indices: tuple[PrimExpr, ...]) -> None:
        self._declared(buffer)
        if len(indices) != len(buffer.shape):
            raise self._fail(
                f"buffer {buffer.name} has {len(buffer.shape)} dims, indexed by {len(indices)}"
            )
        for i in indices:
            if not is_dtype(i.dtype) or not is_int(i.dtype):
                raise self._fail(f"an index of {buffer.name} is {i.dtype}, not an integer")

    def _statement(self, s: Stmt) -> None:  # noqa: C901 - one case per node
        match s:
            case Seq(stmts):
                for inner in stmts:
                    self._statement(inner)
            case For():
                self._expr(s.min)
                self._expr(s.extent)
                if s.kind == "thread_binding" and not s.thread:
                    raise self._fail(f"loop {s.var.name} is bound to no thread axis")
                self._bind(s.var)
                self._loop_body(s.body, s.kind)
                self._vars.discard(s.var)
            case While(condition, body):
                self._condition(condition)
                self._loop_body(body, "serial")
            case Jump():
                self._jump(s)
            case Assert(condition):
                self._condition(condition)
            case Block():
                self._check_block(s)
            case IfThenElse(condition, then_body, else_body):
                self._condition(condition)
                self._statement(then_body)
                if else_body is not None:
                    self._statement(else_body)
            case Let(var, value, body):
                self._expr(value)
                self._bind(var)
                self._statement(body)
                self._vars.discard(var)
            case Evaluate(value):
                self._expr(value)
            case Attr(node, _, value, body):
                self._declared(node) if isinstance(node, Buffer) else self._expr(node)
                self._expr(value)
                self._statement(body)
            case BufferStore(buffer, indices, value):
                self._access(buffer, indices)
                for i in indices:
                    self._expr(i)
                self._expr(value)
                if value.dtype != buffer.dtype:
                    raise self._fail(
                        f"stores {value.dtype} into {buffer.name}, which is {buffer.dtype}"
                    )
            case _:
                assert_never(s)

    def _loop_body(self, body: Stmt, kind: LoopKind) -> None:
        outer, self._loop = self._loop, kind
        self._statement(body)
        self._loop = outer

    def _jump(self, s: Jump) -> None:
        self._expr(s.value)
        if s.kind != "return" and self._loop is None:
            raise self._fail(f"{s.kind} stands in no loop")
        if s.kind == "break" and self._loop not in ("serial", "unroll"):
            raise self._fail(
                f"break leaves a {self._loop} loop, whose iterations run in any order; make the "
                "loop serial"
            )

    def _condition(self, e: PrimExpr) -> None:
        self._expr(e)
        if e.dtype != "bool":
            raise self._fail(f"a condition is bool, this is {e.dtype}")

    def _check_block(self, s: Block) -> None:
        outer, self._block = self._block, s.name
        for i in s.iters:
            for e in (i.domain.min, i.domain.extent, i.binding):
                self._expr(e)
        # The predicate is over the loops around the block.
        self._condition(s.predicate)
        for i in s.iters:
            self._bind(i.var)
        if s.init is not None and all(i.kind == "S" for i in s.iters):
            raise self._fail("has T.init but no reduction axis")
        for b in s.alloc_buffers:
            self._declare(b)
        for region in (*s.reads, *s.writes):
            self._region(region)
        if s.init is not None:
            self._statement(s.init)
        self._statement(s.body)
        self._vars.difference_update(i.var for i in s.iters)
        self._buffers.difference_update(s.alloc_buffers)
        self._block = outer

    def _region(self, region: BufferRegion) -> None:
        self._access(region.buffer, tuple(r.min for r in region.ranges))
        for r in region.ranges:
            self._expr(r.min)
            self._expr(r.extent)
