"""Vectors in the text of a PrimFunc: their dtypes, and the loads and stores that calls spell."""

from __future__ import annotations

import ast

from eqsat.ir.script._syntax import callee, sequence
from eqsat.shapes import is_dtype

_BROADCASTS = ("T.broadcast", "T.Broadcast")
_RAMP = ast.parse("T.ramp", mode="eval").body


def num_lanes(dtype: str) -> int:
    """Return 4 for `float32x4`; 0 for a dtype of scalars, or what is none."""
    base, x, lanes = dtype.rpartition("x")
    return int(lanes) if x and is_dtype(base) and lanes.isdecimal() else 0


def lanes_removed(dtype: str) -> str:
    """Return `float32` for `float32x4`; any other name as it is."""
    return dtype.rpartition("x")[0] if num_lanes(dtype) else dtype


def as_access(buffer: ast.expr, indices: ast.expr) -> ast.Subscript:
    """Return `A[i, j]` for the parts of a call that loads or stores."""
    items = sequence(indices)
    at = indices if items is None else ast.Tuple(items, ast.Load())
    return ast.copy_location(ast.Subscript(buffer, ast.copy_location(at, indices)), indices)


def lanes_in(value: ast.expr) -> int:
    """Return the lanes of the vectors that a value loads or makes, 0 where there are none."""
    return max(map(_lanes, ast.walk(value)))


def _lanes(node: ast.AST) -> int:
    match node:
        case ast.Call(func=ast.Attribute(attr="vload"), args=[_, ast.Constant(value=str(dtype))]):
            return num_lanes(dtype)
        case ast.Call(args=[_, ast.Constant(value=int(lanes))]) if callee(node) in _BROADCASTS:
            return lanes
        case ast.Call():
            return num_lanes(callee(node).removeprefix("T."))
        case _:
            return 0


def over_lanes(target: ast.Subscript, lanes: int) -> ast.Subscript:
    """Return `B[i, T.ramp(j, 1, lanes)]` for `B[i, j]`, as it is for scalars."""
    if not lanes:
        return target
    items = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
    one, count = (ast.copy_location(ast.Constant(n), target) for n in (1, lanes))
    *outer, last = items
    run = ast.copy_location(ast.Call(_RAMP, [last, one, count], []), target)
    at = ast.copy_location(ast.Tuple([*outer, run], ast.Load()), target)
    return ast.copy_location(ast.Subscript(target.value, at), target)
