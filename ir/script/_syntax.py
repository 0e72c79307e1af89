"""Reading pieces of Python syntax: names, literals, arguments."""

from __future__ import annotations

import ast

from eqsat.ir._attrs import AttrMap, AttrValue
from eqsat.ir.script._source import Source

_MODULES = {
    "R": "R", "relax": "R",
    "T": "T", "tir": "T", "tirx": "T", "Tx": "T", "Ts": "T", "s_tir": "T",
    "I": "I", "ir": "I",
}  # fmt: skip


def dotted(node: ast.expr) -> str:
    """Return `R.nn.relu` for an attribute chain, modules by their letter; "" if it is none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    parts.append(node.id)
    parts.reverse()
    if parts[:2] == ["tvm", "script"] and len(parts) > 2:
        parts = parts[2:] if parts[2] in _MODULES else ["I", *parts[2:]]
    if len(parts) > 1:
        parts[0] = _MODULES.get(parts[0], parts[0])
    return ".".join(parts)


def callee(node: ast.AST | None) -> str:
    """Return the dotted name of what a call calls; "" if `node` is no call."""
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def keywords(source: Source, node: ast.Call) -> dict[str, ast.expr]:
    """Return the keyword arguments of a call.

    Raises:
        ParseError: `*args`, `**kwargs` or a repeated keyword.
    """
    found: dict[str, ast.expr] = {}
    for argument in node.args:
        if isinstance(argument, ast.Starred):
            raise source.error(argument, "starred arguments are not part of TVMScript")
    for keyword in node.keywords:
        if keyword.arg is None:
            raise source.error(node, "** arguments are not part of TVMScript")
        if keyword.arg in found:
            raise source.error(keyword.value, f"keyword {keyword.arg} is given twice")
        found[keyword.arg] = keyword.value
    return found


def bind(source: Source, node: ast.Call, signature: str) -> dict[str, ast.expr]:
    """Return the arguments of a call by name; `signature` lists the parameters, spaces between.

    Raises:
        ParseError: too many arguments, an unknown or repeated one.
    """
    names = signature.split()
    what = callee(node) or "this call"
    given = keywords(source, node)
    if len(node.args) > len(names):
        raise source.error(node.args[len(names)], f"{what} takes at most {len(names)} arguments")
    bound = dict(zip(names, node.args, strict=False))
    for name, value in given.items():
        if name not in names:
            known = ", ".join(names) or "none"
            raise source.error(value, f"{what} has no argument {name}; it has {known}")
        if name in bound:
            raise source.error(value, f"argument {name} of {what} is given twice")
        bound[name] = value
    return bound


def required(source: Source, node: ast.Call, bound: dict[str, ast.expr], name: str) -> ast.expr:
    """Return the argument `name`.

    Raises:
        ParseError: it is missing.
    """
    if name not in bound:
        raise source.error(node, f"{callee(node)} needs the argument {name}")
    return bound[name]


def sequence(node: ast.expr) -> list[ast.expr] | None:
    """Return the items of a tuple or list display, else None."""
    return node.elts if isinstance(node, (ast.Tuple, ast.List)) else None


def is_none(node: ast.expr | None) -> bool:
    """Say whether `node` is absent or the literal None."""
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def is_absent(node: ast.expr, is_optional: bool) -> bool:
    """Say whether an argument is None; TVM prints `R.tuple()` for some that are."""
    is_unit = isinstance(node, ast.Call) and callee(node) == "R.tuple" and not node.args
    return is_none(node) or (is_optional and is_unit)


def literal(source: Source, node: ast.expr, what: str) -> AttrValue:
    """Return a literal of numbers, strings, booleans, None and sequences of them.

    Raises:
        ParseError: it is anything else.
    """
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
            not isinstance(value, bool)
        ):
            return -value
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return literal(source, operand, what)
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str() as spelled)]) if (
            spelled.lstrip("+-") in ("inf", "nan")
        ):
            return float(spelled)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(literal(source, item, what) for item in items)
        case ast.Dict():
            return AttrMap(tuple(sorted(attributes(source, node, what).items())))
        case ast.Call(args=[operand], keywords=[]) if dotted(node.func) == "T.target":
            return _target(source, operand)
        case ast.Call(args=[operand], keywords=[]) if _is_wrapper(dotted(node.func)):
            return literal(source, operand, what)
        case _:
            raise source.error(node, f"{what} must be a literal, got {ast.unparse(node)}")


def _target(source: Source, node: ast.expr) -> AttrMap:
    """Return a target, which a dict or its kind alone spells."""
    value = literal(source, node, "T.target")
    if isinstance(value, str):
        return AttrMap((("kind", value),), "target")
    if isinstance(value, AttrMap):
        return AttrMap(value.items, "target")
    raise source.error(node, "T.target takes a string or a dict")


def _is_wrapper(name: str) -> bool:
    if name in ("R.prim_value", "R.str", "R.dtype", "T.bool", "T.IntImm", "T.StringImm"):
        return True
    return name.startswith(("T.int", "T.uint", "T.float", "T.bfloat"))


def text_literal(source: Source, node: ast.expr, what: str) -> str:
    """Return a string literal.

    Raises:
        ParseError: it is anything else.
    """
    value = literal(source, node, what)
    if not isinstance(value, str):
        raise source.error(node, f"{what} must be a string, got {value!r}")
    return value


def int_literal(source: Source, node: ast.expr, what: str) -> int:
    """Return an integer literal.

    Raises:
        ParseError: it is anything else.
    """
    value = literal(source, node, what)
    if not isinstance(value, int) or isinstance(value, bool):
        raise source.error(node, f"{what} must be an integer, got {value!r}")
    return value


def bool_literal(source: Source, node: ast.expr, what: str) -> bool:
    """Return a boolean literal (0 and 1 included).

    Raises:
        ParseError: it is anything else.
    """
    value = literal(source, node, what)
    if not isinstance(value, int):
        raise source.error(node, f"{what} must be True or False, got {value!r}")
    return bool(value)


def attributes(source: Source, node: ast.expr, what: str) -> dict[str, AttrValue]:
    """Return a dict display of literals by string keys.

    Raises:
        ParseError: it is anything else.
    """
    if not isinstance(node, ast.Dict):
        raise source.error(node, f"{what} must be a dict, got {ast.unparse(node)}")
    found: dict[str, AttrValue] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            raise source.error(value, f"{what} must list its entries")
        found[text_literal(source, key, f"a key of {what}")] = literal(source, value, what)
    return found
