"""Printing TensorIR functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
    IterVar,
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
    binary,
    shape_var,
)
from eqsat.ir._visit import bound_variables, own_expressions, walk, walk_statements
from eqsat.ir.script._dialect import LATEST, Dialect
from eqsat.ir.script._intrinsics import OPAQUE_CALLS, is_spelled
from eqsat.ir.script._names import Names
from eqsat.ir.script._print_types import TypePrinter, string
from eqsat.shapes import is_int

INDENT = "    "
_PRECEDENCE = {
    "or": 1, "and": 2,
    "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4,
    "|": 5, "^": 6, "&": 7, "<<": 8, ">>": 8,
    "+": 9, "-": 9, "*": 10, "/": 10, "//": 10, "%": 10,
}  # fmt: skip
_NOT = 3
_ATOM = 12


class TirPrinter:
    """Prints one PrimFunc."""

    def __init__(self, dialect: Dialect = LATEST) -> None:
        self._dialect = dialect
        self._lines: list[str] = []
        self._names = Names()
        self._vars: dict[Var, str] = {}
        self._buffers: dict[Buffer, str] = {}
        self._loops: dict[Var, Range] = {}

    def function(self, function: PrimFunc, name: str, depth: int = 0) -> list[str]:
        """Return the lines of a function."""
        options = ["private=True"] if function.is_private else []
        options += ["s_tir=True"] if self._dialect.has_s_tir else []
        self._emit(depth, f"@T.prim_func({', '.join(options)})" if options else "@T.prim_func")
        symbols = shape_symbols(function)
        # Symbols keep their names, everything else makes way.
        for var in symbols:
            self._name_var(var)
        matched: list[tuple[Buffer, str]] = []
        shown = [self._parameter(p, matched) for p in function.params]
        self._emit(depth, f"def {name}({', '.join(shown)}):")
        inner = depth + 1
        if function.attrs:
            named = {
                self._dialect.noalias if k == "tirx.noalias" else k: v
                for k, v in function.attrs.items()
            }
            attrs = TypePrinter().attributes(named)
            self._emit(inner, f"T.func_attr({attrs})")
        for var in symbols:
            if var not in function.params:
                self._emit(inner, f"{self._vars[var]} = T.{var.dtype}()")
        for buffer, handle in matched:
            target = self._name_buffer(buffer)
            self._emit(inner, f"{target} = T.match_buffer({handle}, {self._buffer_type(buffer)})")
        self._emit(inner, f'# with {self._dialect.block}("root"):')
        self._allocations(function.alloc_buffers, inner)
        self._statement(function.body, inner)
        return self._lines

    def _emit(self, depth: int, text: str) -> None:
        self._lines.append(INDENT * depth + text)

    def _name_var(self, var: Var) -> str:
        if var not in self._vars:
            self._vars[var] = self._names.take(var.name)
        return self._vars[var]

    def _name_buffer(self, buffer: Buffer) -> str:
        if buffer not in self._buffers:
            self._buffers[buffer] = self._names.take(buffer.name)
        return self._buffers[buffer]

    def _parameter(self, p: Buffer | Var, matched: list[tuple[Buffer, str]]) -> str:
        if isinstance(p, Var):
            return f"{self._name_var(p)}: T.{p.dtype}"
        if all(isinstance(d, IntImm) for d in p.shape):
            return f"{self._name_buffer(p)}: T.Buffer({self._buffer_type(p)})"
        self._name_buffer(p)
        handle = self._names.take(f"var_{p.name}")
        matched.append((p, handle))
        return f"{handle}: T.handle"

    def _buffer_type(self, buffer: Buffer) -> str:
        scope = "" if buffer.scope == "global" else f", scope={string(buffer.scope)}"
        return f'{self._tuple(buffer.shape)}, "{buffer.dtype}"{scope}'

    def _tuple(self, items: Sequence[PrimExpr]) -> str:
        comma = "," if len(items) == 1 else ""
        return f"({', '.join(map(self.expr, items))}{comma})"

    def _allocations(self, buffers: Sequence[Buffer], depth: int) -> None:
        for b in buffers:
            target = self._name_buffer(b)
            self._emit(depth, f"{target} = {self._dialect.alloc}({self._buffer_type(b)})")

    # --- statements -------------------------------------------------------------------------

    def _statement(self, s: Stmt, depth: int) -> None:  # noqa: C901 - one case per node
        match s:
            case Seq(stmts):
                if not stmts:
                    self._emit(depth, "pass")
                for inner in stmts:
                    self._statement(inner, depth)
            case For() | Block():
                outer = self._names
                self._names = outer.copy()
                self._loop(s, depth) if isinstance(s, For) else self._block(s, depth)
                self._names = outer
            case IfThenElse(condition, then_body, else_body):
                self._emit(depth, f"if {self.expr(condition)}:")
                self._statement(then_body, depth + 1)
                if else_body is not None:
                    self._emit(depth, "else:")
                    self._statement(else_body, depth + 1)
            case Let(var, value, body):
                shown = self.expr(value)
                if self._dialect.let == "scoped":
                    name = self._name_var(var)
                    self._emit(depth, f"with T.LetStmt({shown}) as {name}:")
                    self._statement(body, depth + 1)
                    return
                name = self._name_var(var)
                bound = f"{name}: T.let[T.{var.dtype}] = {shown}"
                self._emit(depth, f"{name} = T.bind({shown})" if var.dtype == "handle" else bound)
                self._statement(body, depth)
            case While(condition, body):
                self._emit(depth, f"while {self.expr(condition)}:")
                self._statement(body, depth + 1)
            case Jump(kind, value):
                self._emit(depth, f"return {self.expr(value)}" if kind == "return" else kind)
            case Assert(condition, message, kind):
                told = f"({string(kind)}, [{string(message)}])"
                self._emit(depth, f"assert {self.expr(condition)}, {told}")
            case Attr(node, key, value, body):
                attr = f"T.attr({self._about(node)}, {string(key)}, {self.expr(value)})"
                self._emit(depth, f"with {attr}:")
                self._statement(body, depth + 1)
            case Evaluate(value):
                self._emit(depth, f"T.evaluate({self.expr(value)})")
            case BufferStore(buffer, indices, value):
                target = f"{self._buffers[buffer]}{self._indices(indices)}"
                self._emit(depth, f"{target} = {self.expr(value)}")
            case _:
                assert_never(s)

    def _about(self, node: PrimExpr | Buffer) -> str:
        match node:
            case Buffer():
                return self._buffers[node]
            case IntImm(value, "int32"):
                return str(value)  # TVM keeps a Python integer here as one
            case _:
                return self.expr(node)

    def _loop(self, s: For, depth: int) -> None:
        nest = [s]
        while _is_plain(nest[-1]) and isinstance(body := nest[-1].body, For) and _is_plain(body):
            nest.append(body)
        self._loops.update((f.var, Range(f.min, f.extent)) for f in nest)
        # A grid's extents are read before its variables exist.
        bound = {f.var for f in nest}
        if len(nest) > 1 and not any(v in bound for f in nest for v in walk(f.extent)):
            extents = ", ".join(self.expr(f.extent) for f in nest)
            names = ", ".join(self._name_var(f.var) for f in nest)
            self._emit(depth, f"for {names} in T.grid({extents}):")
            self._statement(nest[-1].body, depth + 1)
            return
        self._emit(depth, f"for {self._name_var(s.var)} in {self._loop_range(s)}:")
        self._statement(s.body, depth + 1)

    def _loop_range(self, s: For) -> str:
        starts_at_zero = isinstance(s.min, IntImm) and s.min.value == 0
        if _is_plain(s):
            return f"range({self.expr(s.extent)})"
        arguments = [self.expr(s.extent)]
        if not starts_at_zero:
            arguments = [self.expr(s.min), self.expr(binary("+", s.min, s.extent))]
        if s.kind == "thread_binding":
            arguments.append(f"thread={string(s.thread)}")
        if s.annotations:
            arguments.append(f"annotations={self._annotations(s.annotations)}")
        return f"T.{s.kind}({', '.join(arguments)})"

    def _annotations(self, annotations: Mapping[str, Annotation]) -> str:
        items = (f"{string(k)}: {self._annotation(v)}" for k, v in sorted(annotations.items()))
        return f"{{{', '.join(items)}}}"

    def _annotation(self, value: Annotation) -> str:
        match value:
            case tuple():
                return f"[{', '.join(map(self._annotation, value))}]"
            case str():
                return string(value)
            case Mapping():
                return self._annotations(value)
            case None:
                return "None"
            case IntImm(plain, "int64"):
                return str(plain)
            case IntImm(plain, "bool"):
                return str(bool(plain))
            case FloatImm(plain, "float32") if math.isfinite(plain):
                return repr(plain)
            case _:
                return self.expr(value)

    def _block(self, s: Block, depth: int) -> None:
        self._emit(depth, f"with {self._dialect.block}({string(s.name)}):")
        inner = depth + 1
        self._iterators(s.iters, inner)
        if s.predicate != IntImm(1, "bool"):
            self._emit(inner, f"T.where({self.expr(s.predicate)})")
        if s.regions_inferred or s.reads or s.writes:
            self._emit(inner, f"T.reads({', '.join(map(self._region, s.reads))})")
            self._emit(inner, f"T.writes({', '.join(map(self._region, s.writes))})")
        if s.annotations:
            self._emit(inner, f"{self._dialect.block}_attr({self._annotations(s.annotations)})")
        self._allocations(s.alloc_buffers, inner)
        if s.init is not None:
            self._emit(inner, "with T.init():")
            self._statement(s.init, inner + 1)
        self._statement(s.body, inner)

    def _iterators(self, iters: Sequence[IterVar], depth: int) -> None:
        at = 0
        while at < len(iters):
            end = at
            while end < len(iters) and self._is_remapped(iters[end]):
                end += 1
            if end == at:
                self._iterator(iters[at], depth)
                at += 1
                continue
            group = iters[at:end]
            kinds = "".join(i.kind for i in group)
            bindings = ", ".join(self.expr(i.binding) for i in group)
            names = ", ".join(self._name_var(i.var) for i in group)
            self._emit(depth, f'{names} = T.axis.remap("{kinds}", [{bindings}])')
            at = end

    def _is_remapped(self, i: IterVar) -> bool:
        if i.kind not in ("S", "R"):
            return False
        return isinstance(i.binding, Var) and self._loops.get(i.binding) == i.domain

    def _iterator(self, i: IterVar, depth: int) -> None:
        kind = {"S": "spatial", "R": "reduce"}.get(i.kind, i.kind)
        domain = self.expr(i.domain.extent)
        if i.domain.min != IntImm(0, i.domain.min.dtype):
            end = self.expr(binary("+", i.domain.min, i.domain.extent))
            domain = f"({self.expr(i.domain.min)}, {end})"
        binding = self.expr(i.binding)
        self._emit(depth, f"{self._name_var(i.var)} = T.axis.{kind}({domain}, {binding})")

    def _region(self, region: BufferRegion) -> str:
        if not region.ranges:
            return f"{self._buffers[region.buffer]}[()]"
        return f"{self._buffers[region.buffer]}[{', '.join(map(self._range, region.ranges))}]"

    def _range(self, r: Range) -> str:
        if isinstance(r.extent, IntImm) and r.extent.value == 1:
            return self.expr(r.min)
        return f"{self.expr(r.min)}:{self.expr(binary('+', r.min, r.extent))}"

    def _indices(self, indices: Sequence[PrimExpr]) -> str:
        return f"[{', '.join(map(self.expr, indices))}]" if indices else "[()]"

    # --- expressions ------------------------------------------------------------------------

    def expr(self, e: PrimExpr, minimum: int = 0) -> str:
        """Return an expression, in parentheses where it binds less tightly than `minimum`."""
        text, precedence = self._expr(e)
        return f"({text})" if precedence < minimum else text

    def _expr(self, e: PrimExpr) -> tuple[str, int]:  # noqa: C901 - one case per node
        match e:
            case Var():
                return self._name_var(e), _ATOM
            case IntImm(value, dtype):
                return f"T.{dtype}({bool(value) if dtype == 'bool' else value})", _ATOM
            case FloatImm(value, dtype):
                spelled = repr(value) if math.isfinite(value) else f'"{value}"'
                return f"T.{dtype}({spelled})", _ATOM
            case StringImm(value):
                return string(value), _ATOM
            case Binary():
                return self._binary(e)
            case Not(a):
                return f"not {self.expr(a, _NOT)}", _NOT
            case Cast(dtype, value):
                return f'T.Cast("{dtype}", {self.expr(value)})', _ATOM
            case Select(condition, a, b, lazy):
                name = "if_then_else" if lazy else "Select"
                parts = ", ".join(map(self.expr, (condition, a, b)))
                return f"T.{name}({parts})", _ATOM
            case Intrinsic():
                return self._intrinsic(e), _ATOM
            case BufferLoad(buffer, indices):
                return f"{self._name_buffer(buffer)}{self._indices(indices)}", _ATOM
            case Address(buffer, indices) if indices:
                return f"T.address_of({self._name_buffer(buffer)}{self._indices(indices)})", _ATOM
            case Address(buffer):
                return f"{self._name_buffer(buffer)}.data", _ATOM
            case ProducerLoad(tensor, indices):
                return f"{tensor.name}{self._indices(indices)}", _ATOM
            case _:
                raise ValueError(f"not a TensorIR expression: {e!r}")

    def _binary(self, e: Binary) -> tuple[str, int]:
        if e.op in ("min", "max", "pow"):
            return f"T.{e.op}({self.expr(e.a)}, {self.expr(e.b)})", _ATOM
        if e.op == "/" and (is_int(e.a.dtype)):
            return f"T.Div({self.expr(e.a)}, {self.expr(e.b)})", _ATOM
        p = _PRECEDENCE[e.op]
        # Comparisons chain in Python: both sides of one stand in parentheses.
        left = p + 1 if p == _PRECEDENCE["=="] else p
        return f"{self.expr(e.a, left)} {e.op} {self.expr(e.b, p + 1)}", p

    def _intrinsic(self, e: Intrinsic) -> str:
        arguments = [self.expr(a) for a in e.args]
        if is_spelled(e.name, e.args, e.dtype):
            return f"T.{e.name}({', '.join(arguments)})"
        if e.name == "reinterpret":
            return f"T.reinterpret({string(e.dtype)}, {arguments[0]})"
        if e.name in OPAQUE_CALLS:
            return f"T.{e.name}({', '.join(arguments)})"
        head = [string(e.dtype), string(e.name)]
        return f"T.call_extern({', '.join([*head, *arguments])})"


def _is_plain(s: For) -> bool:
    is_serial = s.kind == "serial" and not s.annotations
    return is_serial and isinstance(s.min, IntImm) and s.min.value == 0


def shape_symbols(function: PrimFunc) -> list[Var]:
    """Return the shape variables of a function in order of appearance.

    They are the interned `shape_var`s in the shapes of the parameters, and those met in the body
    that nothing binds.
    """
    found: dict[Var, None] = {}
    for p in function.params:
        if isinstance(p, Buffer):
            found.update((n, None) for d in p.shape for n in walk(d) if isinstance(n, Var))
    bound: set[Var] = {p for p in function.params if isinstance(p, Var)}
    used: dict[Var, None] = {}
    for e in _expressions(function, bound):
        used.update((n, None) for n in walk(e) if isinstance(n, Var))
    for var in used:
        if var not in bound and var is shape_var(var.name):
            found[var] = None
    return list(found)


def _expressions(function: PrimFunc, bound: set[Var]) -> Iterator[PrimExpr]:
    """Yield the expressions of a function; variables that it binds are added to `bound`."""
    for b in function.alloc_buffers:
        yield from b.shape
    for s in walk_statements(function.body):
        bound.update(bound_variables(s))
        yield from own_expressions(s)
