"""Pointwise operators of one operand."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eqsat.ir._distribute import same_axes
from eqsat.ir._expr import Attrs
from eqsat.ir._op import Attr, ComputeArg, ComputeResult, Numerics, OpDef, Operand, OpKind, Sample
from eqsat.ir._tir import IntImm, Not, PrimExpr, Select, binary, const
from eqsat.ir._types import TensorType, Type, TypeCheckError
from eqsat.ir.ops._common import (
    Array,
    call,
    down,
    elementwise,
    maximum,
    minimum,
    number_attr,
    out_dtype,
    pointwise,
    tensor_type,
    unary_samples,
    up,
)
from eqsat.shapes import is_bool, is_float, is_signed, max_value, min_value

_FLOATS = ("float32", "float16", "float64", "bfloat16")
_NUMBERS = ("float32", "float16", "int32", "int64")


def _infer_any(types: Sequence[Type], attrs: Attrs) -> Type:
    return tensor_type(types[0])


def _infer_float(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0])
    if x.dtype != "void" and not is_float(x.dtype):
        raise TypeCheckError(f"x must have a float dtype, got {x}; convert it with astype")
    return x


def _infer_number(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0])
    if x.dtype == "bool":
        raise TypeCheckError(f"x must hold numbers, got {x}; use logical_not")
    return x


def _infer_bool(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0])
    if x.dtype not in ("bool", "void"):
        raise TypeCheckError(f"x must be bool, got {x}; compare with not_equal first")
    return x


def _infer_bits(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0])
    if x.dtype != "void" and is_float(x.dtype):
        raise TypeCheckError(f"x must have an integer dtype or bool, got {x}")
    return x


def _infer_test(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0])
    return TensorType(x.shape, "bool", x.vdevice)


def erf(x: Array) -> Array:
    """Return the error function of each element."""
    values = np.frompyfunc(math.erf, 1, 1)(x.astype(np.float64))
    return np.asarray(values, np.float64).astype(x.dtype)


def _transcendental(
    name: str,
    function: Callable[..., Any],
    intrinsic: str = "",
    low: float = -2.0,
    high: float = 2.0,
    onnx: str = "",
) -> OpDef:
    """Return an operator on floats that is one scalar function."""
    scalar = intrinsic or name
    return OpDef(
        name,
        (Operand("x"),),
        _infer_float,
        elementwise(function),
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise(name, lambda attrs, x: call(scalar, x)),
        numerics=Numerics.ROUNDING,
        onnx=(onnx or name.capitalize(),),
        samples=unary_samples(low, high, _FLOATS),
    )


def _rounding(name: str, function: Callable[..., Any], onnx: str = "") -> OpDef:
    """Return an operator that rounds floats and leaves integers as they are."""
    return OpDef(
        name,
        (Operand("x"),),
        _infer_any,
        lambda x: x if not is_float(x.dtype.name) else elementwise(function)(x),
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise(name, lambda attrs, x: call(name, x) if is_float(x.dtype) else x),
        onnx=(onnx,) if onnx else (),
        samples=unary_samples(-5.0, 5.0, _NUMBERS),
    )


def _test(name: str, function: Callable[..., Any], onnx: str = "") -> OpDef:
    """Return a test of each element; never true of integers but for isfinite."""

    def body(attrs: Attrs, x: PrimExpr) -> PrimExpr:
        if not is_float(x.dtype):
            return IntImm(int(name == "isfinite"), "bool")
        return call_bool(name, x)

    return OpDef(
        name,
        (Operand("x"),),
        _infer_test,
        elementwise(function),
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise(name, body),
        onnx=(onnx,) if onnx else (),
        samples=unary_samples(-5.0, 5.0, _NUMBERS),
    )


def call_bool(name: str, x: PrimExpr) -> PrimExpr:
    """Return the test `name` of a float, written with comparisons only."""
    infinity = const(math.inf, x.dtype)
    is_inf = binary("or", binary("==", x, infinity), binary("==", x, const(-math.inf, x.dtype)))
    is_nan = binary("!=", x, x)
    match name:
        case "isnan":
            return is_nan
        case "isinf":
            return is_inf
        case _:
            return Not(binary("or", is_nan, is_inf))


def _absolute(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    if is_float(x.dtype):
        return call("fabs", x)
    return Select(x < 0, -x, x) if is_signed(x.dtype) else x


def _sign(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    one = const(1, x.dtype)
    below = Select(x < 0, const(-1, x.dtype), x) if is_signed(x.dtype) else x
    return Select(x > 0, one, below)


def _bitwise_not(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    if is_bool(x.dtype):
        return Not(x)
    ones = -1 if is_signed(x.dtype) else int(max_value(x.dtype))
    return binary("^", x, IntImm(ones, x.dtype))


def _bound(value: float, dtype: str) -> float:
    """Return a bound of clip that `dtype` can hold."""
    if is_float(dtype):
        return value
    if value != value:
        raise TypeCheckError("a bound of clip on integers must not be nan")
    return int(max(min(value, max_value(dtype)), min_value(dtype)))


def _clip_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    low, high = (_bound(number_attr(attrs, name), out_dtype(out)) for name in ("min", "max"))

    def body(attrs: Attrs, x: PrimExpr) -> PrimExpr:
        return maximum(minimum(x, const(high, x.dtype)), const(low, x.dtype))

    return pointwise("clip", body)(args, attrs, out)


def _clip_reference(x: Array, *, min: float, max: float) -> Array:  # the attributes' names
    low, high = (_bound(v, x.dtype.name) for v in (min, max))
    wide = up(x)
    return down(np.maximum(np.minimum(wide, wide.dtype.type(high)), wide.dtype.type(low)), x)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


UNARY: tuple[OpDef, ...] = (
    OpDef(
        "abs",
        (Operand("x"),),
        _infer_any,
        elementwise(np.abs),
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise("abs", _absolute),
        onnx=("Abs",),
        samples=unary_samples(-5.0, 5.0, _NUMBERS),
    ),
    _transcendental("acos", np.arccos, low=-1.0, high=1.0),
    _transcendental("acosh", np.arccosh, low=1.0, high=4.0),
    _transcendental("asin", np.arcsin, low=-1.0, high=1.0),
    _transcendental("asinh", np.arcsinh),
    _transcendental("atan", np.arctan),
    _transcendental("atanh", np.arctanh, low=-0.9, high=0.9),
    OpDef(
        "bitwise_not",
        (Operand("x"),),
        _infer_bits,
        elementwise(np.invert),
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise("bitwise_not", _bitwise_not),
        onnx=("BitwiseNot",),
        samples=unary_samples(0, 7, ("int32", "uint8", "bool", "int64")),
    ),
    _rounding("ceil", np.ceil, "Ceil"),
    _transcendental("cos", np.cos, low=-6.0, high=6.0),
    _transcendental("cosh", np.cosh),
    _transcendental("exp", np.exp, low=-5.0, high=5.0),
    _rounding("floor", np.floor, "Floor"),
    _transcendental("log", np.log, low=0.1, high=9.0),
    OpDef(
        "logical_not",
        (Operand("x"),),
        _infer_bool,
        np.logical_not,
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise("logical_not", lambda attrs, x: Not(x)),
        onnx=("Not",),
        samples=unary_samples(0, 2, ("bool",)),
    ),
    OpDef(
        "negative",
        (Operand("x"),),
        _infer_number,
        elementwise(np.negative),
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise("negative", lambda attrs, x: -x),
        onnx=("Neg",),
        samples=unary_samples(-5.0, 5.0, _NUMBERS),
    ),
    _rounding("round", np.rint, "Round"),
    _transcendental("rsqrt", lambda x: 1 / np.sqrt(x), low=0.1, high=9.0),
    _transcendental("sigmoid", _sigmoid, low=-6.0, high=6.0),
    OpDef(
        "sign",
        (Operand("x"),),
        _infer_number,
        elementwise(np.sign),
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise("sign", _sign),
        onnx=("Sign",),
        samples=unary_samples(-5.0, 5.0, _NUMBERS),
    ),
    _transcendental("sin", np.sin, low=-6.0, high=6.0),
    _transcendental("sinh", np.sinh),
    OpDef(
        "square",
        (Operand("x"),),
        _infer_any,
        elementwise(np.square),
        OpKind.POINTWISE,
        result_axes=same_axes,
        compute=pointwise("square", lambda attrs, x: x * x),
        samples=unary_samples(-5.0, 5.0, _NUMBERS),
    ),
    _transcendental("sqrt", np.sqrt, low=0.0, high=9.0),
    _transcendental("tan", np.tan, low=-1.4, high=1.4),
    _transcendental("tanh", np.tanh),
    replace(_rounding("trunc", np.trunc), result_axes=None),  # as in TVM, as clip
    OpDef(
        "clip",
        (Operand("x"),),
        _infer_any,
        _clip_reference,
        OpKind.POINTWISE,
        attrs=(Attr("min", "scalar"), Attr("max", "scalar")),
        compute=_clip_compute,
        onnx=("Clip",),
        samples=lambda: [
            *unary_samples(-5.0, 5.0, _NUMBERS, min=-1.0, max=2)(),
            Sample(((4,),), {"min": 0.0, "max": math.inf}, ("int32",)),
        ],
    ),
    _transcendental("erf", erf),
    _test("isfinite", np.isfinite),
    _test("isinf", np.isinf, "IsInf"),
    _test("isnan", np.isnan, "IsNaN"),
)
