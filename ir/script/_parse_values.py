"""Reading constants and attribute values."""

from __future__ import annotations

import ast
import math

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._attrs import AttrMap, AttrValue
from eqsat.ir._expr import Constant, Span
from eqsat.ir._op import Attr
from eqsat.ir._types import UNKNOWN_DTYPE, DTensorType
from eqsat.ir.script._dim_functions import BINARY, CHOICES, UNARY
from eqsat.ir.script._parse_types import TypeReader
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import bind, callee, is_absent, literal, required, sequence
from eqsat.shapes import is_float, is_int, max_value, min_value, numpy_dtype

_DEVICES = (
    "R.device", "R.cpu", "R.cuda", "R.rocm", "R.opencl", "R.metal", "R.vulkan", "R.hexagon",
    "R.vpi", "R.ext_dev", "R.webgpu",
)  # fmt: skip
_NUMPY_CALLS = ("np.array", "numpy.array", "np.asarray", "numpy.asarray")


def constant(source: Source, types: TypeReader, node: ast.Call) -> NDArray[np.generic]:
    """Return the array of `R.const(value, dtype)`.

    Raises:
        ParseError: the value is no number, no nested list of numbers, or does not fit the dtype.
    """
    bound = bind(source, node, "value dtype")
    value_node = required(source, node, bound, "value")
    return _constant(source, types, value_node, types.dtype(bound.get("dtype")))


def distributed_constant(source: Source, types: TypeReader, node: ast.Call, span: Span) -> Constant:
    """Return the constant of `R.dist.const(value, R.DTensor(...))`.

    Raises:
        ParseError: the value is no number, no nested list of numbers, or has another shape.
    """
    bound = bind(source, node, "value ty struct_info")
    value_node = required(source, node, bound, "value")
    ty_node = bound["struct_info"] if "struct_info" in bound else bound.get("ty", node)
    ty = types.type(ty_node) if ty_node is not node else None
    if not isinstance(ty, DTensorType) or ty.tensor.dtype == UNKNOWN_DTYPE:
        raise source.error(ty_node, "R.dist.const takes a value and an R.DTensor with a dtype")
    value = _constant(source, types, value_node, ty.tensor.dtype)
    if value.shape != ty.tensor.shape:
        raise source.error(ty_node, f"the value has the shape {value.shape}, its type {ty.tensor}")
    return Constant(value, span, ty)


def _constant(
    source: Source, types: TypeReader, value_node: ast.expr, dtype: str
) -> NDArray[np.generic]:
    if callee(value_node) in _NUMPY_CALLS and isinstance(value_node, ast.Call):
        inner = bind(source, value_node, "object dtype")
        value_node = required(source, value_node, inner, "object")
        dtype = dtype if dtype != UNKNOWN_DTYPE else types.dtype(inner.get("dtype"))
    value = literal(source, value_node, "a constant")
    if isinstance(value, str):
        value = _spelled_float(source, value_node, value)
    return _array(source, value_node, value, dtype)


def _spelled_float(source: Source, node: ast.expr, text: str) -> float:
    if text in ("inf", "-inf", "nan", "infinity", "-infinity"):
        return float(text)
    raise source.error(node, f'a constant is a number, "inf", "-inf" or "nan", got {text!r}')


def _array(source: Source, node: ast.expr, value: AttrValue, dtype: str) -> NDArray[np.generic]:
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:
        raise source.error(node, f"the constant is no array: {error}") from None
    if array.dtype.kind not in "biuf":
        raise source.error(node, "a constant holds numbers of at most 64 bits")
    if dtype == UNKNOWN_DTYPE:
        dtype = {"b": "bool", "f": "float32"}.get(array.dtype.kind, "int32")
    if (is_int(dtype) or dtype == "bool") and array.size:
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise source.error(node, f"a {dtype} constant must be finite")
        low, high = min_value(dtype), max_value(dtype)
        if dtype != "bool" and (int(array.min()) < low or int(array.max()) > high):
            raise source.error(node, f"the constant does not fit {dtype} ({low} to {high})")
    with np.errstate(all="ignore"):
        return array.astype(numpy_dtype(dtype))


def attribute(  # noqa: C901 - one case per kind
    types: TypeReader, node: ast.expr, attr: Attr, op_name: str
) -> AttrValue:
    """Return the value of an attribute, checked against its kind.

    Raises:
        ParseError: it is of another kind.
    """
    source = types.source
    what = f"attribute {attr.name} of {op_name}"
    if is_absent(node, attr.optional):
        return None
    match attr.kind:
        case "dtype":
            name = types.dtype(_unwrapped(node))
            return None if name == UNKNOWN_DTYPE and attr.optional else name
        case "dim":
            return types.dim(_unwrapped(node))
        case "dims":
            items = _items(node)
            return types.dim(_unwrapped(node)) if items is None else tuple(map(types.dim, items))
        case "ints" | "floats":
            items = _items(node)
            if items is not None:
                return tuple(_number(source, i, what, attr.kind == "floats") for i in items)
            return _number(source, node, what, attr.kind == "floats")
        case "int":
            return _number(source, node, what, False)
        case "float":
            return _number(source, node, what, True)
        case "bool":
            value = literal(source, node, what)
            if not isinstance(value, int):
                raise source.error(node, f"{what} must be True or False, got {value!r}")
            return bool(value)
        case "str":
            if callee(node) == "T.index_map" and isinstance(node, ast.Call) and node.args:
                node = node.args[0]
            if isinstance(node, ast.Lambda):
                return ast.unparse(node)
            value = literal(source, node, what)
            if not isinstance(value, str):
                raise source.error(node, f"{what} must be a string, got {value!r}")
            return value
        case "code":
            return _code(source, node, what)
        case "mesh":
            return types.mesh(node)
        case "placement":
            return types.placement(node)
        case "scalar":
            return _scalar(types, node, what)
        case "dict":
            value = literal(source, node, what)
            if not isinstance(value, AttrMap):
                raise source.error(node, f"{what} must be a dict, got {value!r}")
            return value


def _code(source: Source, node: ast.expr, what: str) -> str:
    """Return the text of an index map or a device."""
    if callee(node) == "T.index_map" and isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    if not isinstance(node, ast.Lambda) and callee(node) not in _DEVICES:
        raise source.error(
            node, f"{what} must be a lambda over indices or a device, got {ast.unparse(node)}"
        )
    return ast.unparse(node)


def _items(node: ast.expr) -> list[ast.expr] | None:
    if callee(node) == "R.shape" and isinstance(node, ast.Call) and node.args:
        return sequence(node.args[0])
    return sequence(node)


def _unwrapped(node: ast.expr) -> ast.expr:
    """Return the argument of `R.prim_value(e)` or `R.dtype(e)`."""
    if callee(node) in ("R.prim_value", "R.dtype") and isinstance(node, ast.Call) and node.args:
        return node.args[0]
    return node


def _number(source: Source, node: ast.expr, what: str, wants_float: bool) -> int | float:
    value = literal(source, _of_const(node), what)
    if isinstance(value, str) and wants_float:
        return _spelled_float(source, node, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise source.error(node, f"{what} must be a number, got {value!r}")
    if wants_float:
        return _as_float(source, node, value)
    if isinstance(value, float):
        raise source.error(node, f"{what} must be an integer, got {value!r}")
    return value


def _as_float(source: Source, node: ast.expr, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise source.error(node, "this number is too large for a float") from None


def _of_const(node: ast.expr) -> ast.expr:
    """Return the number in `R.const(number, dtype)`, which some attributes are written as."""
    if callee(node) == "R.const" and isinstance(node, ast.Call) and node.args:
        return node.args[0]
    return node


def _scalar(types: TypeReader, node: ast.expr, what: str) -> AttrValue:
    node = _of_const(_unwrapped(node))
    is_dim_call = callee(node) in (*BINARY, *UNARY, *CHOICES)
    if isinstance(node, (ast.Name, ast.BinOp)) or is_dim_call:
        return types.dim(node)
    value = literal(types.source, node, what)
    if isinstance(value, str):
        return _spelled_float(types.source, node, value)
    if not isinstance(value, (int, float)) or (isinstance(value, float) and math.isnan(value)):
        raise types.source.error(node, f"{what} must be a number, got {value!r}")
    return value


def scalar_of(source: Source, node: ast.Call, dtype: str) -> int | float:
    """Return the number in `T.<dtype>(number)`.

    Raises:
        ParseError: it is none of that dtype.
    """
    bound = bind(source, node, "expr")
    value_node = required(source, node, bound, "expr")
    value = literal(source, value_node, f"T.{dtype}")
    if isinstance(value, str) and is_float(dtype):
        return _spelled_float(source, value_node, value)
    if not isinstance(value, (int, float)):
        raise source.error(value_node, f"T.{dtype} takes a number, got {value!r}")
    if is_float(dtype):
        return _as_float(source, value_node, value)
    if isinstance(value, float) and not value.is_integer():
        raise source.error(value_node, f"T.{dtype} takes an integer, got {value!r}")
    if dtype == "bool" and value not in (0, 1):
        raise source.error(value_node, f"T.bool takes True or False, got {value!r}")
    return int(value)
