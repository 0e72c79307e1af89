"""A text for each PrimFunc that is the same for functions that differ only in names."""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.ir.tir import (
    Address,
    Assert,
    Attr,
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
    Jump,
    Let,
    Not,
    PrimExpr,
    PrimFunc,
    Select,
    Seq,
    Stmt,
    StringImm,
    Var,
    While,
)


@dataclass(frozen=True, slots=True)
class Canonical:
    """The structure of a PrimFunc as text, and the names of its shape symbols.

    Equal texts mean equal code, with the symbols in the same order. Names, attributes, annotations
    and stated regions leave no trace in the text.
    """

    text: str
    symbols: tuple[str, ...]


def canonical(func: PrimFunc) -> Canonical:
    """Return the canonical form of `func`."""
    writer = _Writer()
    for p in func.params:
        writer.parts.append(writer.buffer(p) if isinstance(p, Buffer) else writer.bind(p))
    for b in func.alloc_buffers:
        writer.parts.append(writer.buffer(b))
    writer.statement(func.body)
    text = "\n".join([*writer.definitions, *writer.parts])
    return Canonical(text, tuple(writer.symbols))


class _Writer:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.definitions: list[str] = []
        self.vars: dict[Var, str] = {}
        self.symbols: dict[str, None] = {}
        self.buffers: dict[Buffer, str] = {}
        # By identity: an expression reads the same wherever it stands in one function.
        self.known: dict[int, str] = {}

    def bind(self, v: Var) -> str:
        if v not in self.vars:
            self.vars[v] = f"v{len(self.vars)}:{v.dtype}"
        return self.vars[v]

    def buffer(self, b: Buffer) -> str:
        known = self.buffers.get(b)
        if known is None:
            known = self.buffers[b] = f"b{len(self.buffers)}"
            shape = " ".join([self.expr(d) for d in b.shape])
            self.definitions.append(f"{known}={b.dtype}@{b.scope}[{shape}]")
        return known

    def expr(self, e: PrimExpr) -> str:
        if isinstance(e, Var):
            known = self.vars.get(e)
            if known is None:  # nothing binds it: a shape symbol
                known = self.vars[e] = f"s{len(self.symbols)}:{e.dtype}"
                self.symbols[e.name] = None
            return known
        if isinstance(e, IntImm):
            return f"{e.value}:{e.dtype}"
        known = self.known.get(id(e))
        if known is None:
            known = self.known[id(e)] = self._new(e)
        return known

    def _new(self, e: PrimExpr) -> str:
        match e:
            case Binary(op, a, b):
                return f"({op} {self.expr(a)} {self.expr(b)})"
            case BufferLoad(buffer, indices):
                return f"(load {self.buffer(buffer)} {self._all(indices)})"
            case FloatImm(value, dtype):
                return f"{value.hex()}:{dtype}"
            case Select(c, a, b, lazy):
                return f"({'lazy' if lazy else 'select'} {self._all((c, a, b))})"
            case Cast(dtype, value):
                return f"(cast {dtype} {self.expr(value)})"
            case Not(a):
                return f"(not {self.expr(a)})"
            case Intrinsic(name, args, dtype):
                return f"(call {name} {dtype} {self._all(args)})"
            case Address(buffer, indices):
                return f"(address {self.buffer(buffer)} {self._all(indices)})"
            case StringImm(value):
                return repr(value)
            case _:
                return repr(e)

    def _all(self, items: tuple[PrimExpr, ...]) -> str:
        return " ".join([self.expr(each) for each in items])

    def statement(self, s: Stmt) -> None:  # noqa: C901 - one case per node
        parts = self.parts
        match s:
            case For():
                low, extent = self.expr(s.min), self.expr(s.extent)
                parts.append(f"for {s.kind} {s.thread} {self.bind(s.var)} {low} {extent} {{")
                self.statement(s.body)
                parts.append("}")
            case Block():
                self._block(s)
            case Seq(stmts):
                for each in stmts:
                    self.statement(each)
            case BufferStore(buffer, indices, value):
                at = self._all(indices)
                parts.append(f"store {self.buffer(buffer)} {at} = {self.expr(value)}")
            case IfThenElse(condition, a, b):
                parts.append(f"if {self.expr(condition)} {{")
                self.statement(a)
                if b is not None:
                    parts.append("} else {")
                    self.statement(b)
                parts.append("}")
            case Let(var, value, body):
                text = self.expr(value)
                parts.append(f"let {self.bind(var)} {text} {{")
                self.statement(body)
                parts.append("}")
            case While(condition, body):
                parts.append(f"while {self.expr(condition)} {{")
                self.statement(body)
                parts.append("}")
            case Jump(kind):
                parts.append(kind)
            case Assert(condition, message):
                parts.append(f"assert {self.expr(condition)} {message!r}")
            case Attr(body=body):
                self.statement(body)
            case Evaluate(value):
                parts.append(f"eval {self.expr(value)}")

    def _block(self, s: Block) -> None:
        parts = self.parts
        parts.append("block")
        for i in s.iters:
            binding = self.expr(i.binding)
            parts.append(f"{i.kind} {self.bind(i.var)} {binding} {self.expr(i.domain.min)}")
        parts.append(self.expr(s.predicate))
        for b in s.alloc_buffers:
            parts.append(self.buffer(b))
        parts.append("{")
        if s.init is not None:
            parts.append("init {")
            self.statement(s.init)
            parts.append("}")
        self.statement(s.body)
        parts.append("}")
