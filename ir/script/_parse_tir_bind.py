"""Reading statements that bind a name for those after: variables, scalars, allocations, views."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import reduce

from eqsat.ir._tir import (
    Address,
    Block,
    Buffer,
    BufferStore,
    Let,
    PrimExpr,
    Stmt,
    StringImm,
    Var,
    seq,
)
from eqsat.ir.script._parse_tir_block import DeclarationReader
from eqsat.ir.script._parse_tir_displays import (
    DisplayReader,
    Named,
    item_names,
    plain,
)
from eqsat.ir.script._parse_tir_expr import TirExprReader
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import bind, callee, dotted, required, text_literal
from eqsat.shapes import is_dtype

Around = Callable[[Stmt], Stmt]
"""What a binding makes of the statements after it."""
_LETS = ("T.bind", "T.Bind", "T.let")
_META = ("T.meta_var", "I.meta_var")
_SCALARS = {"T.local_scalar": "local", "T.alloc_scalar": "local", "T.shared_scalar": "shared"}


class BindingReader:
    """Reads bindings; names what they bind in `names`."""

    def __init__(
        self,
        source: Source,
        names: dict[str, Named],
        exprs: TirExprReader,
        declarations: DeclarationReader,
        displays: DisplayReader,
    ) -> None:
        self._source = source
        self._names = names
        self._exprs = exprs
        self._declarations = declarations
        self._displays = displays

    def read(self, node: ast.stmt, rest: Sequence[ast.stmt]) -> Around | None:
        """Read the binding `node` before the statements `rest`; None where it is none.

        Raises:
            ParseError: what it binds is wrong.
        """
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=None):
                return self._scalar(name, self._dtype(annotation))
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                assert value is not None
                dtype = self._dtype(annotation)
                read = self._exprs.expr(self._let_value(value))
                if "handle" in (dtype, read.dtype):
                    return self._pointer(node, name, read)
                if dtype:
                    read = self._exprs.converted(node, read, dtype)
                is_let = dotted(annotation).startswith("T.let") or not dtype
                is_let = is_let or isinstance(annotation, ast.Subscript)
                return self._variable(name, read, () if is_let else rest)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                items = self._displays.items(self._let_value(value))
                if items is None:
                    return self._assignment(name, value, rest)
                return self._display(name, items, is_fixed=callee(value) in _META)
            case ast.Assign(targets=[ast.Tuple() | ast.List() as targets], value=value):
                items = self._displays.items(self._let_value(value))
                return None if items is None else self._unpacked(targets, items, rest)
            case _:
                return None

    def _assignment(  # noqa: C901 - one case per form
        self, name: str, value: ast.expr, rest: Sequence[ast.stmt]
    ) -> Around | None:
        called = callee(value)
        known = self._names.get(name)
        match value:
            case ast.Call() if called == "T.launch_thread":
                return None
            case ast.Call() if self._declarations.is_allocation(value):
                return _around(self._declarations.allocation(name, value))
            case ast.Call() if self._declarations.view(name, value):
                return _nothing
            case ast.Call() if called == "T.env_thread":
                node = required(self._source, value, bind(self._source, value, "tag"), "tag")
                tag = text_literal(self._source, node, "the thread's name")
                return self._named(name, StringImm(tag))
            case ast.Call() if called in _SCALARS:
                bound = bind(self._source, value, "dtype scope")
                node = required(self._source, value, bound, "dtype")
                dtype = self._exprs.dtype_of(node)
                if not is_dtype(dtype):
                    raise self._source.error(node, f"unknown dtype {dtype!r}")
                return self._scalar(name, dtype)
            case ast.Call(args=[], keywords=[]) if called[:2] == "T." and is_dtype(called[2:]):
                self._names[name] = Var(name, called[2:])
                return _nothing
            case ast.Name(id=other) if isinstance(self._names.get(other), Buffer):
                if self._names[other] not in self._exprs.scalars:
                    self._names[name] = self._names[other]
                    return _nothing
            case _:
                pass
        if isinstance(known, Buffer) and known in self._exprs.scalars and called not in _LETS:
            return None  # a store
        read = self._exprs.expr(self._let_value(value))
        if read.dtype == "handle":
            return self._pointer(value, name, read)
        is_fixed = isinstance(value, ast.Constant) or called in _META
        if is_fixed and not _assigns(rest, name):
            return self._named(name, read)
        return self._variable(name, read, () if called in _LETS else rest)

    # --- tuples -----------------------------------------------------------------------------

    def _display(self, name: str, items: Sequence[ast.expr], *, is_fixed: bool) -> Around:
        """Bind a name to a tuple; items that are computed are variables, fixed ones expressions."""
        arounds: list[Around] = []
        nodes: list[ast.expr] = []
        for own, item in zip(item_names(name, len(items)), items, strict=True):
            inner = self._displays.items(item)
            if isinstance(item, ast.Constant):
                nodes.append(item)
                continue
            nodes.append(ast.copy_location(ast.Name(own, ast.Load()), item))
            if inner is not None:
                arounds.append(self._display(own, inner, is_fixed=is_fixed))
            else:
                arounds.append(self._item(own, item, is_fixed=is_fixed))
        self._names[name] = tuple(nodes)
        return _nested(arounds)

    def _item(self, name: str, item: ast.expr, *, is_fixed: bool) -> Around:
        named = self._names.get(item.id) if isinstance(item, ast.Name) else None
        if isinstance(named, Buffer) and named not in self._exprs.scalars:
            self._names[name] = named
            return _nothing
        read = self._exprs.expr(item)
        return self._named(name, read) if is_fixed else self._bound(name, read)

    def _unpacked(
        self, targets: ast.Tuple | ast.List, items: list[ast.expr], rest: Sequence[ast.stmt]
    ) -> Around:
        """Read `a, *b = 1, 2, 3`: every item is read before any name is bound."""
        arounds: list[Around] = []
        pairs = self._paired(targets, items)
        # A scalar in memory may be written before an item that reads it is.
        is_stored = any(self._is_scalar(name) or _assigns(rest, name) for name, _ in pairs)
        for name, part in pairs:
            if isinstance(part, list):
                arounds.append(self._display(f"{name}*", part, is_fixed=False))
            else:
                arounds.append(self._item(f"{name}*", part, is_fixed=not is_stored))
        for name, part in pairs:
            held = self._names.pop(f"{name}*")
            if not isinstance(held, PrimExpr):
                self._names[name] = held
            elif self._is_scalar(name):
                arounds.append(self._stored(targets, name, held))
            elif isinstance(part, ast.Constant) and not _assigns(rest, name):
                self._names[name] = held
            else:
                arounds.append(self._variable(name, held, rest))
        return _nested(arounds)

    def _paired(
        self, targets: ast.Tuple | ast.List, items: list[ast.expr]
    ) -> list[tuple[str, ast.expr | list[ast.expr]]]:
        """Return what each name is bound to: an item, or those left for the name with a *."""
        pairs: list[tuple[str, ast.expr | list[ast.expr]]] = []
        left, at = len(items) - len(targets.elts) + 1, 0
        for target in targets.elts:
            match target:
                case ast.Name(id=name) if at < len(items):
                    pairs.append((name, items[at]))
                    at += 1
                case ast.Starred(value=ast.Name(id=name)) if left >= 0:
                    pairs.append((name, items[at : at + left]))
                    at += left
                case _:
                    raise self._source.error(target, "a tuple comes apart into as many names")
        if at != len(items):
            raise self._source.error(targets, f"a tuple of {len(items)} items has {at} names here")
        return pairs

    def _is_scalar(self, name: str) -> bool:
        known = self._names.get(name)
        return isinstance(known, Buffer) and known in self._exprs.scalars

    def _stored(self, node: ast.AST, name: str, value: PrimExpr) -> Around:
        scalar = self._names[name]
        assert isinstance(scalar, Buffer)
        store = BufferStore(scalar, (), self._exprs.converted(node, value, scalar.dtype))
        return lambda body: seq(store, body)

    # --- variables --------------------------------------------------------------------------

    def _let_value(self, value: ast.expr) -> ast.expr:
        if not isinstance(value, ast.Call) or callee(value) not in (*_LETS, *_META):
            return value
        return required(self._source, value, bind(self._source, value, "value"), "value")

    def _variable(self, name: str, value: PrimExpr, rest: Sequence[ast.stmt]) -> Around:
        """Bind a name to a value: a scalar in memory if a statement of `rest` assigns to it."""
        if _assigns(rest, name):
            around = self._scalar(name, value.dtype)
            scalar = self._names[name]
            assert isinstance(scalar, Buffer)
            return lambda body: around(seq(BufferStore(scalar, (), value), body))
        return self._bound(name, value)

    def _bound(self, name: str, value: PrimExpr) -> Around:
        var = Var(plain(name), value.dtype)
        self._names[name] = var
        return lambda body: Let(var, value, body)

    def _named(self, name: str, value: PrimExpr) -> Around:
        self._names[name] = value
        return _nothing

    def _pointer(self, node: ast.AST, name: str, value: PrimExpr) -> Around:
        """Bind a name to a pointer; the address of a buffer stands in the name's place."""
        if value.dtype != "handle":
            raise self._source.error(node, f"a pointer is bound to a value of dtype {value.dtype}")
        return self._named(name, value) if isinstance(value, Address) else self._bound(name, value)

    def _scalar(self, name: str, dtype: str) -> Around:
        buffer = Buffer(name, (), dtype, "local")
        self._names[name] = buffer
        self._exprs.scalars.add(buffer)
        return _around(buffer)

    def _dtype(self, node: ast.expr) -> str:
        """Return the dtype of an annotation, "" for a plain `T.let`."""
        is_let = isinstance(node, ast.Subscript) and dotted(node.value) == "T.let"
        inner = node.slice if is_let and isinstance(node, ast.Subscript) else node
        name = callee(inner) or dotted(inner)
        if name == "T.let":
            return ""
        if name == "T.handle":
            return "handle"
        if not name.startswith("T.") or not is_dtype(name[2:]):
            raise self._source.error(
                node, f"a binding's type is T.let[T.<dtype>], got {ast.unparse(node)}"
            )
        return name[2:]


def allocating(buffer: Buffer, body: Stmt) -> Block:
    """Return the block that allocates a buffer for `body`."""
    return Block("", (), (), (), body, alloc_buffers=(buffer,), regions_inferred=False)


def _around(buffer: Buffer) -> Around:
    return lambda body: allocating(buffer, body)


def _nested(arounds: Sequence[Around]) -> Around:
    """Return all bindings as one, the first outermost."""
    return lambda body: reduce(lambda inner, around: around(inner), reversed(arounds), body)


def _nothing(body: Stmt) -> Stmt:
    return body


def _assigns(statements: Sequence[ast.stmt], name: str) -> bool:
    """Say whether a statement assigns to `name`, which is bound before."""
    for node in (n for s in statements for n in ast.walk(s)):
        match node:
            case ast.AugAssign(target=ast.Name(id=target)):
                pass
            case ast.Assign(targets=[ast.Name(id=target)], value=v) if callee(v) not in _LETS:
                pass
            case ast.Assign(targets=[ast.Tuple(elts) | ast.List(elts)]):
                target = name if any(isinstance(e, ast.Name) and e.id == name for e in elts) else ""
            case _:
                continue
        if target == name:
            return True
    return False
