"""Read a dim from text: our own, TVMScript's, torch's and ONNX's spellings."""

import ast
import re
from collections.abc import Callable
from functools import lru_cache

from eqsat.shapes._dims import Dim, ceildiv, dim_max, dim_min, is_symbol_name, sym
from eqsat.shapes._errors import ShapeError

_BINARY: dict[str, Callable[[Dim, Dim], Dim]] = {
    **dict.fromkeys(("min", "Min", "minimum"), dim_min),
    **dict.fromkeys(("max", "Max", "maximum"), dim_max),
    **dict.fromkeys(("floordiv", "FloorDiv", "CleanDiv"), lambda a, b: a // b),
    **dict.fromkeys(("floormod", "Mod", "PythonMod"), lambda a, b: a % b),
    **dict.fromkeys(("ceildiv", "CeilDiv"), ceildiv),
}
_FLOOR = ("floor", "FloorToInt")
_CEIL = ("ceil", "ceiling", "CeilToInt")
_CAST = ("int64", "int32", "Identity")


def symbol_name(text: str) -> str:
    """Return an identifier made from any text, the same for the same text.

    Example:
        `symbol_name("batch-size")` is `batch_size`, `symbol_name("1.N")` is `d_1_N`.
    """
    name = re.sub(r"\W", "_", text.strip())
    if not name or not (name[0].isalpha() or name[0] == "_"):
        name = f"d_{name}"
    return name if is_symbol_name(name) else f"{name}_"


@lru_cache(1 << 14)
def parse_dim(text: str) -> Dim:
    """Return the dim that `text` spells.

    Operators + - * // % and parentheses; min, max, floordiv, floormod, ceildiv with or without a
    module prefix such as `T.`; torch's Min, Max, Mod, FloorDiv; quotients under floor or ceil.

    Raises:
        ShapeError: with the text and a caret under the place that cannot be read.
    """
    source = text.strip()
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError) as error:
        column = (getattr(error, "offset", None) or 1) - 1
        raise _error(source, column, "it is not an expression") from None
    except (RecursionError, MemoryError):
        raise _error(source[:40], 0, "it is nested too deeply") from None
    return _whole(_Reader(source).read(tree.body), source, 0)


def _error(text: str, column: int, why: str) -> ShapeError:
    caret = " " * column + "^"
    return ShapeError(
        f"cannot read the size {text!r} at column {column + 1}: {why}\n  {text}\n  {caret}"
    )


# A fraction of dims; only floor and ceil may see a denominator other than 1.
_Ratio = tuple[Dim, Dim]


def _whole(ratio: _Ratio, text: str, column: int) -> Dim:
    top, bottom = ratio
    if bottom == 1:
        return top
    quotient = top // bottom
    if quotient * bottom != top:
        raise _error(text, column, f"{top} / {bottom} may be no integer; write floor(...) or //")
    return quotient


class _Reader:
    """Reads one expression; keeps its text for the errors."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, node: ast.expr) -> _Ratio:
        match node:
            case ast.Constant(value=int() as value) if not isinstance(value, bool):
                return value, 1
            case ast.Name(id=name) if is_symbol_name(name):
                return sym(name), 1
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                top, bottom = self.read(operand)
                return -top, bottom
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.read(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(node, op, left, right)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(node, name, args)
            case ast.Call(func=ast.Attribute(value=ast.Name(), attr=name), args=args, keywords=[]):
                return self._call(node, name, args)
            case _:
                raise self._error(
                    node, "only names, integers, + - * // % min max floor ceil are sizes"
                )

    def _binary(self, node: ast.expr, op: ast.operator, left: ast.expr, right: ast.expr) -> _Ratio:
        (a, b), (c, d) = self.read(left), self.read(right)
        match op:
            case ast.Add():
                return a * d + c * b, b * d
            case ast.Sub():
                return a * d - c * b, b * d
            case ast.Mult():
                return a * c, b * d
            case ast.Div():
                self._check_divisor(right, c)
                return a * d, b * c
            case ast.FloorDiv():
                self._check_divisor(right, c)
                return (a * d) // (b * c), 1
            case ast.Mod():
                self._check_divisor(right, c)
                return self._integer(left) % self._integer(right), 1
            case ast.Pow() if b == d == 1 and isinstance(c, int) and 0 <= c <= 8:
                return _power(a, c), 1
            case _:
                raise self._error(node, f"operator {type(op).__name__} has no meaning for sizes")

    def _call(self, node: ast.expr, name: str, args: list[ast.expr]) -> _Ratio:
        if name in _BINARY and len(args) >= 2:
            values = [self._integer(arg) for arg in args]
            result = values[0]
            for arg, value in zip(args[1:], values[1:], strict=True):
                if name not in ("min", "Min", "minimum", "max", "Max", "maximum"):
                    self._check_divisor(arg, value)
                result = _BINARY[name](result, value)
            return result, 1
        if name == "IntTrueDiv" and len(args) == 2:
            return self._binary(node, ast.Div(), *args)
        if len(args) == 1 and name in (*_FLOOR, *_CEIL, *_CAST):
            top, bottom = self.read(args[0])
            if name in _CAST:
                return top, bottom
            return (top // bottom if name in _FLOOR else ceildiv(top, bottom)), 1
        raise self._error(node, f"{name} with {len(args)} operands is no function of sizes")

    def _integer(self, node: ast.expr) -> Dim:
        return _whole(self.read(node), self.text, node.col_offset)

    def _check_divisor(self, node: ast.expr, divisor: Dim) -> None:
        if divisor == 0:
            raise self._error(node, "division by zero")

    def _error(self, node: ast.expr, why: str) -> ShapeError:
        return _error(self.text, node.col_offset, why)


def _power(base: Dim, exponent: int) -> Dim:
    result: Dim = 1
    for _ in range(exponent):
        result = result * base
    return result
