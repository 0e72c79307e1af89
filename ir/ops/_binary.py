"""Pointwise operators of two or more operands, broadcast against each other."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eqsat.ir._distribute import broadcast_axes
from eqsat.ir._expr import Attrs
from eqsat.ir._op import Attr, Numerics, OpDef, Operand, OpKind, ResultAxes, Sample
from eqsat.ir._tir import BinaryOp, PrimExpr, Select, binary, const, equal, select
from eqsat.ir._types import TensorType, Type, TypeCheckError
from eqsat.ir.ops._common import (
    Array,
    broadcast_types,
    call,
    cast_to,
    elementwise,
    maximum,
    number_attr,
    pointwise,
    require_bool,
    require_value,
    same_dtype,
    tensor_type,
)
from eqsat.shapes import is_bool, is_float

_Check = Callable[[str], str]


def _infer(check: _Check, result: str = "") -> Callable[[Sequence[Type], Attrs], Type]:
    """Return broadcasting inference; `check` gives the reason why a dtype does not do, or ""."""

    def infer(types: Sequence[Type], attrs: Attrs) -> Type:
        operands = [tensor_type(t, f"x{i + 1}") for i, t in enumerate(types)]
        dtype = same_dtype(*operands)
        if dtype != "void" and (reason := check(dtype)):
            raise TypeCheckError(f"x1 and x2 {reason}, got {dtype}")
        return TensorType(broadcast_types(*operands), result or dtype, operands[0].vdevice)

    return infer


def _any(dtype: str) -> str:
    return ""


def _number(dtype: str) -> str:
    return "must be numbers; use logical_and, logical_or or logical_xor" if is_bool(dtype) else ""


def _float(dtype: str) -> str:
    return "" if is_float(dtype) else "must have a float dtype"


def _boolean(dtype: str) -> str:
    return "" if is_bool(dtype) else "must be bool; compare with not_equal first"


def _bits(dtype: str) -> str:
    return "must have an integer dtype or bool" if is_float(dtype) else ""


def _integer(dtype: str) -> str:
    return "must have an integer dtype" if is_float(dtype) or is_bool(dtype) else ""


_SHAPE_PAIRS: tuple[tuple[tuple[int | str, ...], tuple[int | str, ...]], ...] = (
    ((2, 3), (2, 3)),
    ((2, 1, 3), (4, 1)),
    ((3,), ()),
    ((), ()),
    ((0, 3), (1, 3)),
    (("n", 4), (4,)),
    (("n", "m"), ("n", 1)),
)


def _samples(
    *dtypes: str, low: float = -4.0, high: float = 4.0, low2: float | None = None
) -> Callable[[], Sequence[Sample]]:
    ranges = {} if low2 is None else {1: (low2, high)}
    return lambda: [
        *(Sample(pair, {}, (dtypes[0],), low, high, ranges) for pair in _SHAPE_PAIRS),
        *(Sample(((2, 3), (1, 3)), {}, (d,), low, high, ranges) for d in dtypes[1:]),
    ]


def _binary(
    name: str,
    check: _Check,
    reference: Callable[..., Any],
    body: Callable[[PrimExpr, PrimExpr], PrimExpr],
    samples: Callable[[], Sequence[Sample]],
    numerics: Numerics = Numerics.EXACT,
    result: str = "",
    onnx: tuple[str, ...] = (),
    result_axes: ResultAxes | None = broadcast_axes,
) -> OpDef:
    return OpDef(
        name,
        (Operand("x1"), Operand("x2")),
        _infer(check, result),
        elementwise(reference),
        OpKind.POINTWISE,
        result_axes=result_axes,
        compute=pointwise(name, lambda attrs, a, b: body(a, b)),
        numerics=numerics,
        onnx=onnx,
        samples=samples,
    )


def _comparison(name: str, symbol: BinaryOp, reference: Callable[..., Any], onnx: str) -> OpDef:
    return _binary(
        name,
        _any,
        reference,
        lambda a, b: binary(symbol, a, b),
        _samples("float32", "int64", "float16", "bool", low=-2, high=2),
        result="bool",
        onnx=(onnx,) if onnx else (),
    )


def _logical(name: str, symbol: BinaryOp, reference: Callable[..., Any], onnx: str) -> OpDef:
    return _binary(
        name,
        _boolean,
        reference,
        lambda a, b: binary(symbol, a, b),
        _samples("bool", low=0, high=2),
        result="bool",
        onnx=(onnx,) if onnx else (),
    )


def _bitwise(name: str, symbol: BinaryOp, reference: Callable[..., Any], onnx: str) -> OpDef:
    logical: dict[str, BinaryOp] = {"&": "and", "|": "or", "^": "!="}
    on_bool = logical[symbol]

    def body(a: PrimExpr, b: PrimExpr) -> PrimExpr:
        return binary(on_bool if is_bool(a.dtype) else symbol, a, b)

    samples = _samples("int32", "uint8", "int64", "bool", low=0, high=9)
    return _binary(name, _bits, reference, body, samples, onnx=(onnx,))


def truncating_divide(a: Array, b: Array) -> Array:
    """Return `a / b`; integers round towards zero, and x / 0 is 0 as nothing better is defined."""
    if is_float(a.dtype.name):
        return a / b
    divisor = np.where(b == 0, 1, b)
    floor = np.floor_divide(a, divisor)  # not of magnitudes: the least integer has none
    is_below = (floor < 0) & (floor * divisor != a)
    return np.where(b == 0, 0, floor + is_below).astype(a.dtype)


def _floor_divide(a: Array, b: Array) -> Array:
    return np.floor(a / b) if is_float(a.dtype.name) else np.floor_divide(a, b)


def _floor_divide_body(a: PrimExpr, b: PrimExpr) -> PrimExpr:
    return call("floor", a / b) if is_float(a.dtype) else a // b


def _mod_body(a: PrimExpr, b: PrimExpr) -> PrimExpr:
    return call("fmod", a, b) if is_float(a.dtype) else a - (a / b) * b


def _power(a: Array, b: Array) -> Array:
    if is_float(a.dtype.name):
        return np.power(a, b)
    return np.trunc(np.power(a.astype(np.float64), b.astype(np.float64)))


def _power_body(a: PrimExpr, b: PrimExpr) -> PrimExpr:
    if is_float(a.dtype):
        return call("pow", a, b)
    return cast_to(call("pow", cast_to(a, "float64"), cast_to(b, "float64")), a.dtype)


def _log_add_exp(a: PrimExpr, b: PrimExpr) -> PrimExpr:
    rest = call("log", call("exp", -call("fabs", a - b)) + 1.0)
    # The difference of equal infinities is no number.
    return select(equal(a, b), a + math.log(2.0), maximum(a, b) + rest)


_ARITHMETIC = _samples("float32", "float16", "bfloat16", "int32", "int64")
_DIVISION = _samples("float32", "float16", "int32", low=1, high=6)
_DIVIDEND = _samples("float32", "int32", "int64", low=-9, high=6, low2=1)

BINARY: tuple[OpDef, ...] = (
    _binary("add", _number, np.add, lambda a, b: a + b, _ARITHMETIC, onnx=("Add",)),
    _binary("divide", _number, truncating_divide, lambda a, b: a / b, _DIVIDEND, onnx=("Div",)),
    _binary("floor_divide", _number, _floor_divide, _floor_divide_body, _DIVIDEND),
    _binary(
        "log_add_exp",
        _float,
        np.logaddexp,
        _log_add_exp,
        _samples("float32"),
        Numerics.ROUNDING,
        result_axes=None,  # as in TVM
    ),
    _binary("multiply", _number, np.multiply, lambda a, b: a * b, _ARITHMETIC, onnx=("Mul",)),
    _binary(
        "power",
        _number,
        _power,
        _power_body,
        _samples("float32", "float16", "int32", low=0, high=4),
        Numerics.ROUNDING,
        onnx=("Pow",),
    ),
    _binary(
        "atan2",
        _float,
        np.arctan2,
        lambda a, b: call("atan2", a, b),
        _samples("float32"),
        Numerics.ROUNDING,
        result_axes=None,  # as in TVM
    ),
    _binary("subtract", _number, np.subtract, lambda a, b: a - b, _ARITHMETIC, onnx=("Sub",)),
    _binary("mod", _number, np.fmod, _mod_body, _DIVIDEND, onnx=("Mod",)),
    _binary("floor_mod", _number, np.mod, lambda a, b: a % b, _DIVIDEND, onnx=("Mod",)),
    _comparison("equal", "==", np.equal, "Equal"),
    _comparison("greater", ">", np.greater, "Greater"),
    _comparison("greater_equal", ">=", np.greater_equal, "GreaterOrEqual"),
    _comparison("less", "<", np.less, "Less"),
    _comparison("less_equal", "<=", np.less_equal, "LessOrEqual"),
    _comparison("not_equal", "!=", np.not_equal, ""),
    _binary(
        "maximum",
        _any,
        np.maximum,
        lambda a, b: binary("max", a, b),
        _ARITHMETIC,
        onnx=("Max",),
    ),
    _binary(
        "minimum",
        _any,
        np.minimum,
        lambda a, b: binary("min", a, b),
        _ARITHMETIC,
        onnx=("Min",),
    ),
    _logical("logical_and", "and", np.logical_and, "And"),
    _logical("logical_or", "or", np.logical_or, "Or"),
    _logical("logical_xor", "!=", np.logical_xor, "Xor"),
    _bitwise("bitwise_and", "&", np.bitwise_and, "BitwiseAnd"),
    _bitwise("bitwise_or", "|", np.bitwise_or, "BitwiseOr"),
    _bitwise("bitwise_xor", "^", np.bitwise_xor, "BitwiseXor"),
    _binary(
        "left_shift",
        _integer,
        np.left_shift,
        lambda a, b: binary("<<", a, b),
        _samples("int32", "int64", low=0, high=5),
        onnx=("BitShift",),
    ),
    _binary(
        "right_shift",
        _integer,
        np.right_shift,
        lambda a, b: binary(">>", a, b),
        _samples("int32", "int64", low=0, high=5),
        onnx=("BitShift",),
    ),
)


def _infer_where(types: Sequence[Type], attrs: Attrs) -> Type:
    condition, x1, x2 = (
        tensor_type(t, n) for t, n in zip(types, ("condition", "x1", "x2"), strict=True)
    )
    require_bool(condition, "condition")
    return TensorType(broadcast_types(condition, x1, x2), same_dtype(x1, x2), x1.vdevice)


WHERE = OpDef(
    "where",
    (Operand("condition"), Operand("x1"), Operand("x2")),
    _infer_where,
    np.where,
    OpKind.POINTWISE,
    compute=pointwise("where", lambda attrs, c, a, b: Select(c, a, b)),
    onnx=("Where",),
    samples=lambda: [
        Sample(((2, 3), (2, 3), (2, 3)), {}, ("bool", "float32")),
        Sample(((2, 1), (1, 3), ()), {}, ("bool", "float32")),
        Sample(((), (), ()), {}, ("bool", "int64")),
        Sample(((0, 2), (2,), (1, 2)), {}, ("bool", "float16")),
        Sample((("n", 1), ("n", 4), (4,)), {}, ("bool", "float32")),
    ],
)


def _infer_fma(types: Sequence[Type], attrs: Attrs) -> Type:
    ranks = {tensor_type(t, f"x{i + 1}").ndim for i, t in enumerate(types)} - {-1}
    if len(ranks) > 1:
        raise TypeCheckError(f"x1, x2 and x3 must have one rank, got {', '.join(map(str, types))}")
    return _infer(_number)(types, attrs)


FMA = OpDef(
    "ewise_fma",
    (Operand("x1"), Operand("x2"), Operand("x3")),
    _infer_fma,
    elementwise(lambda a, b, c: a * b + c),
    OpKind.POINTWISE,
    compute=pointwise("ewise_fma", lambda attrs, a, b, c: a * b + c),
    numerics=Numerics.ROUNDING,
    samples=lambda: [Sample(((2, 3),) * 3), Sample((("n", 3),) * 3, {}, ("int32",))],
)


def _infer_masked_fill(types: Sequence[Type], attrs: Attrs) -> Type:
    x, mask = tensor_type(types[0], "x"), tensor_type(types[1], "mask")
    require_bool(mask, "mask")
    require_value(x.dtype, number_attr(attrs, "value"), "masked_fill: the value")
    return TensorType(broadcast_types(x, mask), x.dtype, x.vdevice)


def _masked_fill(x: Array, mask: Array, *, value: float) -> Array:
    return np.where(mask, x.dtype.type(value), x)


def _masked_fill_body(attrs: Attrs, x: PrimExpr, mask: PrimExpr) -> PrimExpr:
    return Select(mask, const(number_attr(attrs, "value"), x.dtype), x)


MASKED_FILL = OpDef(
    "masked_fill",
    (Operand("x"), Operand("mask")),
    _infer_masked_fill,
    _masked_fill,
    OpKind.POINTWISE,
    attrs=(Attr("value", "scalar"),),
    compute=pointwise("masked_fill", _masked_fill_body),
    samples=lambda: [
        Sample(((2, 3), (2, 3)), {"value": -1.0}, ("float32", "bool")),
        Sample((("n", 3), (1, 3)), {"value": 7}, ("int64", "bool")),
    ],
)

TERNARY: tuple[OpDef, ...] = (WHERE, FMA, MASKED_FILL)
