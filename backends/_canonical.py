"""A text for each PrimFunc that is the same for functions that differ only in names."""

from __future__ import annotations

from eqsat.ir.tir import (
    Binary,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    Evaluate,
    FloatImm,
    For,
    IfThenElse,
    IntImm,
    Intrinsic,
    Let,
    Not,
    PrimExpr,
    PrimFunc,
    Select,
    Seq,
    Stmt,
    StringImm,
    Var,
    shape_var,
)


def canonical_text(func: PrimFunc, symbols: tuple[str, ...]) -> str:
    """Return the structure of `func`; `symbols` are its shape symbols, in their order.

    Equal texts mean equal code. Names, attributes, annotations and stated regions leave no trace.
    """
    writer = _Writer()
    for name in symbols:
        writer.expr(shape_var(name))
    for p in func.params:
        if isinstance(p, Buffer):
            writer.buffer(p)
        else:
            writer.expr(p)
    for b in func.alloc_buffers:
        writer.buffer(b)
    writer.statement(func.body)
    return " ".join(writer.parts)


class _Writer:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.vars: dict[Var, str] = {}
        self.buffers: dict[Buffer, str] = {}

    def var(self, v: Var) -> None:
        known = self.vars.get(v)
        if known is None:
            known = self.vars[v] = f"v{len(self.vars)}:{v.dtype}"
        self.parts.append(known)

    def buffer(self, b: Buffer) -> None:
        known = self.buffers.get(b)
        if known is not None:
            self.parts.append(known)
            return
        name = self.buffers[b] = f"b{len(self.buffers)}"
        self.parts.append(f"{name}={b.dtype}@{b.scope}[")
        for d in b.shape:
            self.expr(d)
        self.parts.append("]")

    def expr(self, e: PrimExpr) -> None:
        parts = self.parts
        match e:
            case Var():
                self.var(e)
            case IntImm(value, dtype):
                parts.append(f"{value}:{dtype}")
            case FloatImm(value, dtype):
                parts.append(f"{value.hex()}:{dtype}")
            case Binary(op, a, b):
                parts.append(f"({op}")
                self.expr(a)
                self.expr(b)
                parts.append(")")
            case BufferLoad(buffer, indices):
                parts.append("(load")
                self.buffer(buffer)
                self._all(indices)
            case Select(c, a, b, lazy):
                parts.append("(lazy" if lazy else "(select")
                self._all((c, a, b))
            case Cast(dtype, value):
                parts.append(f"(cast {dtype}")
                self._all((value,))
            case Not(a):
                parts.append("(not")
                self._all((a,))
            case Intrinsic(name, args, dtype):
                parts.append(f"(call {name} {dtype}")
                self._all(args)
            case StringImm(value):
                parts.append(repr(value))
            case _:
                parts.append(repr(e))

    def _all(self, items: tuple[PrimExpr, ...]) -> None:
        for each in items:
            self.expr(each)
        self.parts.append(")")

    def statement(self, s: Stmt) -> None:
        parts = self.parts
        match s:
            case For():
                parts.append(f"for {s.kind} {s.thread}")
                self.var(s.var)
                self.expr(s.min)
                self.expr(s.extent)
                parts.append("{")
                self.statement(s.body)
                parts.append("}")
            case Block():
                self._block(s)
            case Seq(stmts):
                for each in stmts:
                    self.statement(each)
            case BufferStore(buffer, indices, value):
                parts.append("store")
                self.buffer(buffer)
                self._all(indices)
                self.expr(value)
            case IfThenElse(condition, a, b):
                parts.append("if")
                self.expr(condition)
                parts.append("{")
                self.statement(a)
                if b is not None:
                    parts.append("} else {")
                    self.statement(b)
                parts.append("}")
            case Let(var, value, body):
                parts.append("let")
                self.expr(value)
                self.var(var)
                parts.append("{")
                self.statement(body)
                parts.append("}")
            case Evaluate(value):
                parts.append("eval")
                self.expr(value)

    def _block(self, s: Block) -> None:
        parts = self.parts
        parts.append("block")
        for i in s.iters:
            parts.append(i.kind)
            self.expr(i.binding)
            self.var(i.var)
            self.expr(i.domain.min)
        self.expr(s.predicate)
        for b in s.alloc_buffers:
            self.buffer(b)
        parts.append("{")
        if s.init is not None:
            parts.append("init {")
            self.statement(s.init)
            parts.append("}")
        self.statement(s.body)
        parts.append("}")
