"""Hashes of everything a certificate vouches for: the rule, what its guard calls, its operators."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

from eqsat.ir import op
from eqsat.rules._rule import Rule
from eqsat.rules._terms import OpTerm, computed, subterms

RULES = "eqsat.rules"
OPERATORS = "eqsat.ir.ops"


def rule_hash(rule: Rule) -> str:
    """Return a hash of the rule's meaning.

    It covers both sides, constraints, guard and claims, and the code of its predicates and computed
    values with whatever these call in `eqsat.rules` or in the file of the rule. Comments,
    docstrings and layout do not count.
    """
    lhs, rhs = rule.sides
    claims = [rule.numerics.name, str(rule.both_ways), str(rule.ordered)]
    specs = [f"{name}: {spec}" for name, spec in rule.specs.items()]
    guard = [f"{c} {'profit' if c.is_profit else ''}" for c in rule.when]
    functions = [c.fn for c in rule.when]
    functions += [c.fn for side in (lhs, rhs) for term in side for c in computed(term)]
    home = rule.fn.__module__
    code = _closure(functions, lambda module: module == home or module.startswith(RULES))
    return _digest([*map(str, lhs), "=", *map(str, rhs), *claims, *specs, *guard, *code])


def operators_hash(rule: Rule) -> str:
    """Return a hash of the reference and the type inference of each operator of the rule.

    It covers what these call in `eqsat.ir.ops`.
    """
    names = {
        t.op
        for side in rule.sides
        for term in side
        for t in subterms(term)
        if isinstance(t, OpTerm)
    }
    return _digest([_operator_hash(name) for name in sorted(names)])


@cache
def _operator_hash(name: str) -> str:
    definition = op(name)
    attrs = [f"{a.name}: {a.kind} = {a.default} {a.optional}" for a in definition.attrs]
    operands = [f"{o.name}: {o.kind.name} {o.optional}" for o in definition.operands]
    functions = [definition.reference, definition.infer]
    code = _closure(functions, lambda module: module.startswith(OPERATORS))
    return _digest([name, *operands, *attrs, *code])


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _closure(roots: Iterable[Callable[..., Any]], inside: Callable[[str], bool]) -> list[str]:
    """Return the code of the functions and of all they refer to in modules that are `inside`."""
    todo: list[object] = list(roots)
    seen: dict[int, object] = {}
    found: list[str] = []
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if isinstance(item, (FunctionType, type)):
            found.append(_code(item))
            todo += [each for _, each in _references(item, inside)]
        else:
            found.append(_plain(item))
    return sorted(found)


def _references(
    item: FunctionType | type, inside: Callable[[str], bool]
) -> Iterator[tuple[str, object]]:
    if isinstance(item, type):
        return
    names = set(_names(item.__code__))
    scope = {n: item.__globals__[n] for n in names if n in item.__globals__}
    for name, cell in zip(item.__code__.co_freevars, item.__closure__ or (), strict=True):
        scope[name] = cell.cell_contents
    for name, value in sorted(scope.items()):
        if isinstance(value, (FunctionType, type)):
            if inside(value.__module__ or "") and not _is_enum(value):
                yield name, value
        elif not isinstance(value, ModuleType):
            yield name, value


def _is_enum(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Enum)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _plain(value: object) -> str:
    """Return the text of a value that is data; that of others says nothing lasting."""
    match value:
        case None | bool() | int() | float() | str():
            return repr(value)
        case tuple() | list():
            return f"({', '.join(map(_plain, cast('list[object]', value)))})"
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(_plain, cast('set[object]', value))))}}}"
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return f"{{{', '.join(f'{_plain(k)}: {_plain(v)}' for k, v in pairs)}}}"
        case FunctionType():
            return _code(value)
        case _:
            return str(getattr(value, "__name__", type(value).__name__))


@cache
def _code(item: FunctionType | type) -> str:
    """Return the source without docstrings, comments and layout, or the bytecode without source."""
    try:
        source = textwrap.dedent(inspect.getsource(item))
    except (OSError, TypeError):  # typed at a prompt
        return item.__qualname__ if isinstance(item, type) else _bytecode(item.__code__)
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a lambda inside a call
        return " ".join(source.split())
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _bytecode(code: CodeType) -> str:
    inner = [_bytecode(c) if isinstance(c, CodeType) else _plain(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {inner}"
