"""Quantisation: integers that stand for evenly spaced floats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    Attr,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OpKind,
    Sample,
)
from eqsat.ir._te import Tensor
from eqsat.ir._tir import PrimExpr, const
from eqsat.ir._types import TensorType, Type, TypeCheckError
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    call,
    cast_to,
    dtype_attr,
    gather_from,
    known_dims,
    maximum,
    minimum,
    out_dtype,
    require_equal,
    require_float,
    require_int,
    tensor,
    tensor_type,
    widen,
)
from eqsat.shapes import bits, is_float, max_value, min_value, normalize_axis, numpy_dtype

_OPERANDS = (Operand("data"), Operand("scale"), Operand("zero_point"))


def _check(types: Sequence[Type], attrs: Attrs) -> TensorType:
    data, scale, zero = (tensor_type(t, o.name) for t, o in zip(types, _OPERANDS, strict=True))
    require_float(scale, "scale")
    require_int(zero, "zero_point")
    if data.ndim < 0:
        raise TypeCheckError(f"the rank of data must be known, got {data}")
    axis = axis_attr(attrs, data.ndim) if data.ndim else 0
    dims = known_dims(data)
    for ty, name in ((scale, "scale"), (zero, "zero_point")):
        if ty.ndim > 1:
            raise TypeCheckError(f"{name} must be a scalar or have one axis, got {ty}")
        sizes = known_dims(ty)
        if sizes and sizes[0] != 1 and not data.ndim:
            raise TypeCheckError(f"{name} of a scalar must be a scalar, got {ty}")
        if sizes and dims and sizes[0] != 1:
            require_equal(sizes[0], dims[axis], f"{name}: one per element of axis {axis}")
    return data


def _infer_quantize(types: Sequence[Type], attrs: Attrs) -> Type:
    data = _check(types, attrs)
    require_float(data, "data")
    dtype = dtype_attr(attrs, "out_dtype", "int8")
    if is_float(dtype) or bits(dtype) > 16:
        raise TypeCheckError(f"quantize gives integers of at most 16 bits, not {dtype}")
    return TensorType(data.shape, dtype, data.vdevice)


def _infer_dequantize(types: Sequence[Type], attrs: Attrs) -> Type:
    data = _check(types, attrs)
    require_int(data, "data")
    dtype = dtype_attr(attrs, "out_dtype", "float32")
    if not is_float(dtype) or dtype == "float64":
        raise TypeCheckError(f"dequantize gives floats of at most 32 bits, not {dtype}")
    return TensorType(data.shape, dtype, data.vdevice)


def _along(x: Array, ndim: int, axis: int) -> Array:
    """Return a scalar or one value per element of `axis`, ready to broadcast."""
    if x.ndim == 0 or ndim == 0:
        return x.reshape(())
    return x.reshape((-1,) + (1,) * (ndim - normalize_axis(axis, ndim) - 1))


def _quantize(x: Array, scale: Array, zero: Array, *, axis: int, out_dtype: str) -> Array:
    steps = np.rint(x.astype(np.float32) / _along(scale, x.ndim, axis).astype(np.float32))
    shifted = steps + _along(zero, x.ndim, axis).astype(np.float32)
    bounded = np.clip(shifted, min_value(out_dtype), max_value(out_dtype))
    return bounded.astype(numpy_dtype(out_dtype))


def _dequantize(x: Array, scale: Array, zero: Array, *, axis: int, out_dtype: str) -> Array:
    steps = x.astype(np.int32) - _along(zero, x.ndim, axis).astype(np.int32)
    wide = steps.astype(np.float32) * _along(scale, x.ndim, axis).astype(np.float32)
    return wide.astype(numpy_dtype(out_dtype))


def _parameter(t: Tensor, i: Sequence[PrimExpr], data: Tensor, attrs: Attrs) -> PrimExpr:
    if t.ndim == 0:
        return t[()]
    axis = axis_attr(attrs, data.ndim)
    return t.at_broadcast((i[axis],), (data.shape[axis],))


def _quantize_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, scale, zero = (tensor(a) for a in args)
    dtype = out_dtype(out)
    low, high = (const(f(dtype), "float32") for f in (min_value, max_value))

    def body(*i: PrimExpr) -> PrimExpr:
        step = cast_to(widen(_parameter(scale, i, x, attrs)), "float32")
        steps = call("round", cast_to(widen(x[i]), "float32") / step)
        shifted = steps + cast_to(_parameter(zero, i, x, attrs), "float32")
        return cast_to(maximum(minimum(shifted, high), low), dtype)

    return gather_from("quantize", out, body)


def _dequantize_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, scale, zero = (tensor(a) for a in args)

    def body(*i: PrimExpr) -> PrimExpr:
        steps = cast_to(x[i], "int32") - cast_to(_parameter(zero, i, x, attrs), "int32")
        step = cast_to(widen(_parameter(scale, i, x, attrs)), "float32")
        return cast_to(cast_to(steps, "float32") * step, out_dtype(out))

    return gather_from("dequantize", out, body)


_RANGES = {1: (0.05, 0.2), 2: (-3, 4)}

QUANTIZE: tuple[OpDef, ...] = (
    OpDef(
        "quantize",
        _OPERANDS,
        _infer_quantize,
        _quantize,
        OpKind.POINTWISE,
        attrs=(Attr("axis", "int", -1), Attr("out_dtype", "dtype", "int8")),
        compute=_quantize_compute,
        onnx=("QuantizeLinear",),
        samples=lambda: [
            Sample(((2, 3), (3,), (3,)), {}, ("float32", "float32", "int8"), ranges=_RANGES),
            Sample(
                (("n", 3), (), ()),
                {"out_dtype": "uint8"},
                ("float32", "float32", "uint8"),
                low=-20,
                high=20,
                ranges={1: (0.05, 0.2), 2: (90, 128)},
            ),
        ],
    ),
    OpDef(
        "dequantize",
        _OPERANDS,
        _infer_dequantize,
        _dequantize,
        OpKind.POINTWISE,
        attrs=(Attr("axis", "int", -1), Attr("out_dtype", "dtype", "float32")),
        compute=_dequantize_compute,
        numerics=Numerics.EXACT,
        onnx=("DequantizeLinear",),
        samples=lambda: [
            Sample(
                ((2, 3), (2,), (2,)),
                {"axis": 0},
                ("int8", "float32", "int8"),
                low=-90,
                high=90,
                ranges=_RANGES,
            ),
            Sample((("n",), (), ()), {}, ("int8", "float32", "int8"), -9, 9, ranges=_RANGES),
        ],
    ),
)
