"""TensorIR functions as words in which names are numbers (see `_structural`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from eqsat.ir._te import ProducerLoad
from eqsat.ir._tir import (
    Address,
    Annotation,
    Assert,
    Attr,
    Binary,
    Block,
    Buffer,
    BufferLoad,
    BufferRegion,
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
    Range,
    Select,
    Seq,
    Stmt,
    StringImm,
    Var,
    While,
)


class TirWords:
    """Writes one PrimFunc as words."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._names: dict[Var | Buffer, str] = {}

    def function(self, function: PrimFunc) -> list[str]:
        """Return the words of a function."""
        attrs = repr(sorted(function.attrs.items()))
        self._words.append(f"primfunc {function.is_private} {attrs}")
        for p in function.params:
            self._words.append(
                self._buffer(p) if isinstance(p, Buffer) else f"{self._name(p)} {p.dtype}"
            )
        for b in function.alloc_buffers:
            self._words.append(f"alloc {self._buffer(b)}")
        self._statement(function.body)
        return self._words

    def _name(self, x: Var | Buffer) -> str:
        if x not in self._names:
            self._names[x] = f"%{len(self._names)}"
        return self._names[x]

    def _buffer(self, b: Buffer) -> str:
        shape = " ".join(map(self._expr, b.shape))
        return f"{self._name(b)}[{shape}] {b.dtype} {b.scope}"

    def _annotations(self, annotations: Mapping[str, Annotation]) -> str:
        items = sorted(annotations.items())
        return ",".join(f"{k}={self._annotation(v)}" for k, v in items)

    def _annotation(self, value: Annotation) -> str:
        match value:
            case str():
                return value
            case tuple():
                return f"[{','.join(map(self._annotation, value))}]"
            case Mapping():
                return f"{{{self._annotations(value)}}}"
            case None:
                return "None"
            case _:
                return self._expr(value)

    def _statement(self, s: Stmt) -> None:  # noqa: C901 - one case per node
        match s:
            case Seq(stmts):
                self._words.append(f"seq {len(stmts)}")
                for inner in stmts:
                    self._statement(inner)
            case For():
                bounds = f"{self._expr(s.min)} {self._expr(s.extent)}"
                notes = self._annotations(s.annotations)
                self._words.append(
                    f"for {self._name(s.var)} {s.var.dtype} {bounds} {s.kind} {s.thread} {notes}"
                )
                self._statement(s.body)
            case Block():
                self._block(s)
            case IfThenElse(condition, then_body, else_body):
                self._words.append(f"if {self._expr(condition)}")
                self._statement(then_body)
                if else_body is not None:
                    self._words.append("else")
                    self._statement(else_body)
                self._words.append("end")
            case Let(var, value, body):
                shown = self._expr(value)
                self._words.append(f"let {self._name(var)} {var.dtype} {shown}")
                self._statement(body)
            case While(condition, body):
                self._words.append(f"while {self._expr(condition)}")
                self._statement(body)
                self._words.append("end")
            case Jump(kind, value):
                self._words.append(f"{kind} {self._expr(value)}")
            case Assert(condition, message, kind):
                self._words.append(f"assert {self._expr(condition)} {kind!r} {message!r}")
            case Attr(node, key, value, body):
                about = self._name(node) if isinstance(node, Buffer) else self._expr(node)
                self._words.append(f"attr {about} {key!r} {self._expr(value)}")
                self._statement(body)
                self._words.append("end")
            case Evaluate(value):
                self._words.append(f"evaluate {self._expr(value)}")
            case BufferStore(buffer, indices, value):
                at = " ".join(map(self._expr, indices))
                self._words.append(f"{self._name(buffer)}[{at}] = {self._expr(value)}")
            case _:
                assert_never(s)

    def _block(self, s: Block) -> None:
        self._words.append(f"block {s.name!r} {s.regions_inferred}")
        for i in s.iters:
            binding = self._expr(i.binding)
            domain = self._range(i.domain)
            self._words.append(f"{i.kind} {self._name(i.var)} {i.var.dtype} {domain} {binding}")
        self._words.append(f"where {self._expr(s.predicate)} {self._annotations(s.annotations)}")
        for b in s.alloc_buffers:
            self._words.append(f"alloc {self._buffer(b)}")
        for name, regions in (("reads", s.reads), ("writes", s.writes)):
            self._words.append(f"{name} {', '.join(map(self._region, regions))}")
        if s.init is not None:
            self._words.append("init")
            self._statement(s.init)
            self._words.append("body")
        self._statement(s.body)

    def _range(self, r: Range) -> str:
        return f"{self._expr(r.min)}:+{self._expr(r.extent)}"

    def _region(self, region: BufferRegion) -> str:
        return f"{self._name(region.buffer)}[{' '.join(map(self._range, region.ranges))}]"

    def _expr(self, e: PrimExpr) -> str:  # noqa: C901 - one case per node
        match e:
            case Var():
                return self._name(e)
            case IntImm(value, dtype) | FloatImm(value, dtype):
                return f"{value!r}{dtype}"
            case StringImm(value):
                return repr(value)
            case Binary("pow", a, b):
                return f"pow({self._expr(a)}, {self._expr(b)}) {a.dtype}"
            case Binary(op, a, b):
                return f"({self._expr(a)} {op} {self._expr(b)})"
            case Not(a):
                return f"(not {self._expr(a)})"
            case Cast(dtype, value):
                return f"cast({dtype} {self._expr(value)})"
            case Select(condition, a, b, lazy):
                parts = ", ".join(map(self._expr, (condition, a, b)))
                return f"select({parts} {lazy})"
            case Intrinsic(name, args, dtype):
                return f"{name}({', '.join(map(self._expr, args))}) {dtype}"
            case BufferLoad(buffer, indices):
                return f"{self._name(buffer)}[{' '.join(map(self._expr, indices))}]"
            case Address(buffer, indices):
                return f"&{self._name(buffer)}[{' '.join(map(self._expr, indices))}]"
            case ProducerLoad(tensor, indices):
                return f"{tensor.name}[{' '.join(map(self._expr, indices))}]"
            case _:
                raise ValueError(f"not a TensorIR expression: {e!r}")
