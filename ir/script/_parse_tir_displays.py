"""What Python decides while it reads a PrimFunc: tuples, lists, comprehensions, `*` before them.

They are written out: `[s + 1 for s in A.shape]` becomes `[A.shape[0] + 1, A.shape[1] + 1]`. A name
of a tuple stands for the nodes of its items; one that is computed is read under `name[k]`.
"""

from __future__ import annotations

import ast
import copy
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

from eqsat.ir._tir import Buffer, PrimExpr
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import literal, sequence

Display = tuple[ast.expr, ...]
"""The nodes that the name of a tuple stands for."""
Named: TypeAlias = PrimExpr | Buffer | Display
_Node = TypeVar("_Node", bound=ast.AST)
_Env = Mapping[str, ast.expr]

_MOST = 4096  # items, those of items included
_LARGEST = 2**63
_Number = int | float
_FOLDS: dict[type[ast.operator], Callable[[_Number, _Number], _Number]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b, ast.FloorDiv: lambda a, b: a // b, ast.Mod: lambda a, b: a % b,
}  # fmt: skip
_TESTS: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


class DisplayReader:
    """Writes displays out; `names` says what names stand for."""

    def __init__(self, source: Source, names: dict[str, Named]) -> None:
        self._source = source
        self._names = names

    def statement(self, node: ast.stmt) -> ast.stmt:
        """Return a statement with its own expressions written out, not those of statements inside.

        Raises:
            ParseError: what stands behind a `*` or `in` is no tuple that is known here.
        """
        if isinstance(node, ast.FunctionDef):
            return node
        changes: dict[str, object] = {}
        for name, value in ast.iter_fields(node):
            if name in ("body", "orelse", "annotation"):
                continue
            new = self._field(value, {})
            if new is not value:
                changes[name] = new
        return _changed(node, changes)

    def items(self, node: ast.expr, env: _Env | None = None) -> list[ast.expr] | None:
        """Return the nodes of the items of a sequence, None where it is none that is known."""
        return self._items(self._expr(node, env or {}))

    def _items(self, node: ast.expr) -> list[ast.expr] | None:
        """Return the items of a sequence that is written out already."""
        match node:
            case ast.Tuple() | ast.List():
                return list(node.elts)
            case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]) if args:
                return self._range(node, args)
            case ast.Call(func=ast.Name(id="zip"), args=args, keywords=[]):
                each = [self._items(a) for a in args]
                known = [i for i in each if i is not None]
                pairs = zip(*known, strict=False) if len(known) == len(each) else None
                return None if pairs is None else [_tuple(node, p) for p in pairs]
            case ast.Call(func=ast.Name(id="enumerate"), args=[of], keywords=[]):
                found = self._items(of)
                if found is None:
                    return None
                return [_tuple(node, (_number(node, k), e)) for k, e in enumerate(found)]
            case ast.Call(func=ast.Name(id="reversed"), args=[of], keywords=[]):
                found = self._items(of)
                return None if found is None else found[::-1]
            case ast.Attribute(value=ast.Name(id=name), attr="shape"):
                buffer = self._names.get(name)
                if not isinstance(buffer, Buffer):
                    return None
                places = (_number(node, k) for k in range(len(buffer.shape)))
                return [_at(node, ast.Subscript(node, k, ast.Load())) for k in places]
            case _:
                return None

    def spread(self, node: ast.AST, targets: Sequence[ast.expr], count: int) -> list[str]:
        """Return `count` names for what `node` binds; one target for all, or with a *, is a tuple.

        Raises:
            ParseError: there are more targets, or fewer, or one is no name.
        """
        names: list[str] = []
        left = count - len(targets) + 1
        for target in targets:
            match target:
                case ast.Name(id=name) if left == 1 or len(targets) > 1:
                    names.append(name)
                case ast.Name(id=name) | ast.Starred(value=ast.Name(id=name)) if left >= 0:
                    items = item_names(name, left)
                    names += items
                    self._names[name] = tuple(_at(target, ast.Name(i, ast.Load())) for i in items)
                case _:
                    raise self._source.error(target, f"{ast.unparse(target)} is no plain name")
        if len(names) != count:
            raise self._source.error(node, f"{count} values have {len(targets)} names here")
        return names

    def _range(self, node: ast.expr, args: Sequence[ast.expr]) -> list[ast.expr]:
        bounds = [_integer(a) for a in args]
        known = [b for b in bounds if b is not None]
        if len(known) != len(bounds) or len(known) > 3 or known[2:] == [0]:
            raise self._source.error(
                node, "the numbers of a range that is written out here are constants"
            )
        return self._limited(node, (_number(node, k) for k in range(*known)))

    def _limited(self, node: ast.AST, items: Iterable[ast.expr]) -> list[ast.expr]:
        found: list[ast.expr] = []
        left = _MOST
        for item in items:
            left -= self._num_items(item)
            if left < 0:
                raise self._source.error(node, f"this has more than {_MOST} items; write a loop")
            found.append(item)
        return found

    def _num_items(self, node: ast.expr) -> int:
        named = self._names.get(node.id) if isinstance(node, ast.Name) else None
        inner = node.elts if isinstance(node, (ast.Tuple, ast.List)) else named
        return 1 + sum(map(self._num_items, inner)) if isinstance(inner, (list, tuple)) else 1

    # --- expressions ------------------------------------------------------------------------

    def _field(self, value: object, env: _Env) -> object:
        if isinstance(value, ast.expr):
            return self._expr(value, env)
        if isinstance(value, (ast.keyword, ast.withitem)):
            return self._rebuilt(value, env)
        return self._list(cast("list[object]", value), env) if isinstance(value, list) else value

    def _list(self, value: list[object], env: _Env) -> list[object]:
        new: list[object] = []
        for each in value:
            if not isinstance(each, ast.Starred) or isinstance(each.ctx, ast.Store):
                new.append(self._field(each, env))
                continue
            found = self.items(each.value, env)
            if found is None:
                raise self._source.error(
                    each, f"{ast.unparse(each.value)} is no tuple whose items are known here"
                )
            new += found
        return new if len(new) != len(value) or any(map(operator.is_not, new, value)) else value

    def _rebuilt(self, node: _Node, env: _Env) -> _Node:
        changes: dict[str, object] = {}
        for name, value in ast.iter_fields(node):
            new = self._field(value, env)
            if new is not value:
                changes[name] = new
        return _changed(node, changes)

    def _expr(self, node: ast.expr, env: _Env) -> ast.expr:
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                return self._name(node, name, env)
            case ast.ListComp(elt=elt, generators=generators):
                items = self._limited(node, self._comprehended(elt, generators, env))
                return _at(node, ast.List(items, ast.Load()))
            case ast.Lambda() | ast.GeneratorExp():
                return node
            case ast.Subscript(ctx=ast.Load()):
                return self._subscript(node, env)
            case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()):
                new = self._rebuilt(node, env)
                self._limited(node, new.elts)
                return new
            case _:
                return self._folded(self._rebuilt(node, env))

    def _name(self, node: ast.Name, name: str, env: _Env) -> ast.expr:
        if name in env:
            return env[name]
        bound = self._names.get(name)
        if not isinstance(bound, tuple):
            return node
        return _tuple(node, tuple(_at(node, copy.copy(item)) for item in bound))

    def _subscript(self, node: ast.Subscript, env: _Env) -> ast.expr:
        """Return the items that a subscript of a sequence takes, any other one rebuilt."""
        new = self._rebuilt(node, env)
        is_place = not isinstance(new.slice, ast.Slice)
        if isinstance(new.value, ast.Attribute) and is_place:
            return new  # A.shape[0] is read as it is
        items = self._items(new.value)
        if items is None:
            return new
        if isinstance(new.slice, ast.Slice):
            ends = (new.slice.lower, new.slice.upper, new.slice.step)
            values = [None if e is None else _integer(e) for e in ends]
            unknown = any(v is None and e is not None for v, e in zip(values, ends, strict=True))
            if unknown or values[2] == 0:
                raise self._source.error(node, "the ends of a slice of a tuple are constants")
            return _tuple(node, tuple(items[slice(*values)]))
        place = literal(self._source, new.slice, "the place in a tuple")
        if not isinstance(place, int) or not -len(items) <= place < len(items):
            raise self._source.error(node, f"{ast.unparse(node.value)} has {len(items)} items")
        return items[place]

    def _comprehended(
        self, elt: ast.expr, generators: Sequence[ast.comprehension], env: _Env
    ) -> Iterator[ast.expr]:
        if not generators:
            yield self._expr(elt, env)
            return
        first, *rest = generators
        items = self.items(first.iter, env)
        if items is None:
            raise self._source.error(
                first.iter, f"{ast.unparse(first.iter)} is no tuple whose items are known here"
            )
        for item in items:
            inner = {**env, **self._matched(first.target, item)}
            if all(self._holds(test, inner) for test in first.ifs):
                yield from self._comprehended(elt, rest, inner)

    def _matched(self, target: ast.expr, item: ast.expr) -> dict[str, ast.expr]:
        """Return what the names of a target stand for."""
        if isinstance(target, ast.Name):
            return {target.id: item}
        targets, items = sequence(target), self._items(item)
        if targets is None or items is None or len(targets) != len(items):
            raise self._source.error(target, f"{ast.unparse(item)} does not come apart like this")
        found: dict[str, ast.expr] = {}
        for t, i in zip(targets, items, strict=True):
            found |= self._matched(t, i)
        return found

    def _holds(self, test: ast.expr, env: _Env) -> bool:
        match self._expr(test, env):
            case ast.Constant(value=int(value)):
                return bool(value)
            case _:
                raise self._source.error(test, "this is not decided while the program is read")

    def _folded(self, node: ast.expr) -> ast.expr:
        """Return an expression of constants, or a sequence made of others, as one."""
        match node:
            case ast.BinOp(left=ast.Tuple() | ast.List() as a, op=ast.Add(), right=right):
                b = self._items(right)
                return node if b is None else self._made(node, (*a.elts, *b))
            case ast.BinOp(op=ast.Add(), right=ast.Tuple() | ast.List() as b):
                a = self._items(node.left)
                return node if a is None else self._made(node, (*a, *b.elts))
            case ast.BinOp(left=ast.Tuple() | ast.List() as a, op=ast.Mult(), right=times):
                count = _integer(times)
                if count is None:
                    return node
                return self._made(node, (e for _ in range(count) for e in a.elts))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _FOLDS:
                return self._computed(node, type(op), _constant(left), _constant(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _TESTS:
                x, y = _integer(left), _integer(right)
                if x is None or y is None:
                    return node
                return _at(node, ast.Constant(_TESTS[type(op)](x, y)))
            case ast.Call(func=ast.Name(id="len" | "sum" | "tuple" | "list" as name), args=[of]):
                items = self._items(of)
                return node if items is None else self._applied(node, name, items)
            case _:
                return node

    def _computed(
        self, node: ast.expr, op: type[ast.operator], x: _Number | None, y: _Number | None
    ) -> ast.expr:
        if x is None or y is None:
            return node
        try:
            value = _FOLDS[op](x, y)
        except ArithmeticError:
            return node
        return _at(node, ast.Constant(value)) if abs(value) < _LARGEST else node

    def _applied(self, node: ast.expr, name: str, items: list[ast.expr]) -> ast.expr:
        if name == "len":
            return _number(node, len(items))
        if name != "sum":
            return _tuple(node, items)
        total = items[0] if items else _number(node, 0)
        for item in items[1:]:
            total = self._folded(_at(node, ast.BinOp(total, ast.Add(), item)))
        return total

    def _made(self, node: ast.expr, items: Iterable[ast.expr]) -> ast.expr:
        return _tuple(node, self._limited(node, items))


def item_names(name: str, count: int) -> list[str]:
    """Return the names under which the items of the tuple `name` are read."""
    return [f"{name}[{k}]" for k in range(count)]


def plain(name: str) -> str:
    """Return a variable's name for an item: `ij_0` for `ij[0]`."""
    return name.replace("[", "_").replace("]", "")


def _changed(node: _Node, changes: Mapping[str, object]) -> _Node:
    if not changes:
        return node
    new = copy.copy(node)
    for name, value in changes.items():
        setattr(new, name, value)
    return new


def _at(node: ast.AST, new: _Node) -> _Node:
    return ast.copy_location(new, node)


def _tuple(node: ast.AST, items: Iterable[ast.expr]) -> ast.expr:
    return _at(node, ast.Tuple(list(items), ast.Load()))


def _number(node: ast.AST, value: int) -> ast.expr:
    return _at(node, ast.Constant(value))


def _constant(node: ast.expr) -> _Number | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case _:
            return None


def _integer(node: ast.expr) -> int | None:
    value = _constant(node)
    return value if isinstance(value, int) else None
