"""Conversions between dtypes, and shapes as values."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    Attr,
    ComputeArg,
    ComputeResult,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._tir import IntImm, PrimExpr, equal, from_dim, select
from eqsat.ir._types import ShapeType, TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    cast_to,
    dtype_attr,
    gather_from,
    known_dims,
    out_dtype,
    require_int,
    shape_type,
    tensor,
    tensor_type,
)
from eqsat.shapes import Dim, convert


def _infer_astype(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    return TensorType(x.shape, dtype_attr(attrs, "dtype", x.dtype), x.vdevice)


def _astype(x: Array, *, dtype: str) -> Array:
    with np.errstate(all="ignore"):
        return convert(x, dtype)


def _astype_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    return gather_from("astype", out, lambda *i: cast_to(x[i], out_dtype(out)))


def _infer_shape_of(types: Sequence[Type], attrs: Attrs) -> Type:
    return ShapeType(tensor_type(types[0], "x").shape)


def _infer_shape_to_tensor(types: Sequence[Type], attrs: Attrs) -> Type:
    ndim = shape_type(types[0]).ndim
    return TensorType((ndim,) if ndim >= 0 else UnknownShape(1), "int64")


def _shape_to_tensor_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    dims = args[0]
    assert isinstance(dims, tuple)

    def body(i: PrimExpr) -> PrimExpr:
        result: PrimExpr = IntImm(0)
        for k, d in reversed(list(enumerate(dims))):
            result = from_dim(d) if k == len(dims) - 1 else select(equal(i, k), from_dim(d), result)
        return result

    return gather_from("shape_to_tensor", out, body)


def _infer_tensor_to_shape(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    if x.ndim != 1:
        raise TypeCheckError(f"x must have one axis, got {x}")
    require_int(x, "x")
    length: Dim | None = None if isinstance(x.shape, UnknownShape) else x.shape[0]
    return ShapeType(UnknownShape(length if isinstance(length, int) else -1))


DATATYPE: tuple[OpDef, ...] = (
    OpDef(
        "astype",
        (Operand("x"),),
        _infer_astype,
        _astype,
        OpKind.POINTWISE,
        attrs=(Attr("dtype", "dtype"),),
        compute=_astype_compute,
        onnx=("Cast",),
        samples=lambda: [
            Sample((shape,), {"dtype": to}, (source,), -5.0, 5.0)
            for shape, source, to in (
                ((2, 3), "float32", "int64"),
                ((), "int64", "float32"),
                ((4,), "float32", "bool"),
                ((4,), "bool", "float32"),
                ((4,), "float32", "float16"),
                ((4,), "float16", "bfloat16"),
                ((0, 2), "int32", "bool"),
                (("n", 3), "int64", "int32"),
            )
        ],
    ),
    OpDef(
        "wrap_param",
        (Operand("data"),),
        _infer_astype,
        _astype,
        OpKind.POINTWISE,
        attrs=(Attr("dtype", "dtype", "float32"),),
        compute=_astype_compute,
        samples=lambda: [Sample(((2, 3),), {}, ("float16",))],
    ),
)

SHAPES: tuple[OpDef, ...] = (
    OpDef(
        "shape_of",
        (Operand("x"),),
        _infer_shape_of,
        lambda x: tuple(x.shape),
        OpKind.OPAQUE,
        onnx=("Shape",),
        samples=lambda: [Sample(((2, 3),)), Sample(((),)), Sample((("n", 4),))],
        known=lambda types, attrs: known_dims(tensor_type(types[0], "x")),
    ),
    OpDef(
        "shape_to_tensor",
        (Operand("shape", OperandKind.SHAPE),),
        _infer_shape_to_tensor,
        lambda shape: np.array(shape, np.int64),
        OpKind.CREATE,
        compute=_shape_to_tensor_compute,
        samples=lambda: [
            Sample((("shape", (2, 3)),)),
            Sample((("shape", ()),)),
            Sample((("shape", ("n", 4, "n + 1")),)),
        ],
    ),
    OpDef(
        "tensor_to_shape",
        (Operand("x"),),
        _infer_tensor_to_shape,
        lambda x: tuple(int(v) for v in x),
        OpKind.OPAQUE,
        samples=lambda: [Sample(((3,),), {}, ("int64",), 0, 5)],
    ),
)
