"""Functions of sizes that dims do not have, as polynomials over `//`, `%`, `min` and `max`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from eqsat.ir.script._conditions import compare
from eqsat.shapes import Dim, ShapeError, ceildiv, dim_max, dim_min, interval

_MAX_SHIFT = 62


def chosen(condition: Dim, a: Dim, b: Dim) -> Dim:
    """Return `a` where the condition is 1 and `b` where it is 0."""
    return b + condition * (a - b)


def truncdiv(a: Dim, b: Dim) -> Dim:
    """Return `a / b` rounded towards 0.

    Raises:
        ShapeError: the divisor may be below 0.
    """
    if interval(b).lo < 0:
        raise ShapeError(f"a truncating division by {b}, which may be below 0, is no dim")
    if interval(a).lo >= 0:
        return a // b
    is_negative = compare(ast.Lt(), a, 0)
    assert is_negative is not None
    return (a + is_negative * (b - 1)) // b


def _truncmod(a: Dim, b: Dim) -> Dim:
    return a % b if interval(a).lo >= 0 <= interval(b).lo else a - b * truncdiv(a, b)


def shift_left(a: Dim, bits: Dim) -> Dim:
    """Return `a << bits`.

    Raises:
        ShapeError: the number of bits is not known.
    """
    return a * _power_of_two(bits)


def shift_right(a: Dim, bits: Dim) -> Dim:
    """Return `a >> bits`.

    Raises:
        ShapeError: the number of bits is not known.
    """
    return a // _power_of_two(bits)


def _power_of_two(bits: Dim) -> int:
    if not isinstance(bits, int) or not 0 <= bits <= _MAX_SHIFT:
        raise ShapeError(f"a dim is shifted by a known number of bits up to 62, not by {bits}")
    return 1 << bits


def bitwise_and(a: Dim, mask: Dim) -> Dim:
    """Return the low bits of `a`, which `mask` selects.

    Raises:
        ShapeError: the mask is no power of two less 1.
    """
    if isinstance(a, int):
        a, mask = mask, a
    if isinstance(a, int) and isinstance(mask, int):
        return a & mask
    if not isinstance(mask, int) or mask < 0 or mask & (mask + 1):
        raise ShapeError(f"& with {mask} is no dim; with a power of two less 1 it is, n & 7")
    return a % (mask + 1)


BINARY: Mapping[str, Callable[[Dim, Dim], Dim]] = {
    "min": dim_min, "max": dim_max, "T.min": dim_min, "T.max": dim_max,
    "T.Min": dim_min, "T.Max": dim_max,
    "T.Add": lambda a, b: a + b, "T.Sub": lambda a, b: a - b, "T.Mul": lambda a, b: a * b,
    "T.floordiv": lambda a, b: a // b, "T.FloorDiv": lambda a, b: a // b,
    "T.floormod": lambda a, b: a % b, "T.FloorMod": lambda a, b: a % b,
    "T.truncdiv": truncdiv, "T.Div": truncdiv, "T.truncmod": _truncmod, "T.Mod": _truncmod,
    "T.ceildiv": ceildiv, "T.shift_left": shift_left, "T.shift_right": shift_right,
    "T.bitwise_and": bitwise_and,
}  # fmt: skip
"""Functions of two sizes by name."""
UNARY: Mapping[str, Callable[[Dim], Dim]] = {
    "T.abs": lambda a: dim_max(a, -a),
    "T.bitwise_not": lambda a: -a - 1,
    **dict.fromkeys(("T.ceil", "T.floor", "T.round", "T.trunc"), lambda a: a),
}
"""Functions of one size by name."""
CHOICES = ("T.if_then_else", "T.Select")
OPERATORS: Mapping[type[ast.operator], Callable[[Dim, Dim], Dim]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b, ast.Mod: lambda a, b: a % b,
    ast.LShift: shift_left, ast.RShift: shift_right, ast.BitAnd: bitwise_and,
}  # fmt: skip
"""What Python's operators are for sizes."""
