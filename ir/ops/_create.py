"""Operators that make tensors from attributes and shapes."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
from eqsat.ir._te import compute
from eqsat.ir._tir import Cast, PrimExpr, Select, as_expr, binary, const, from_dim
from eqsat.ir._types import TensorType, Type, TypeCheckError
from eqsat.ir.ops._common import (
    Array,
    cast_to,
    dtype_attr,
    elementwise,
    gather_from,
    out_dims,
    out_dtype,
    require_rank,
    sizes_of_result,
    tensor,
    tensor_type,
)
from eqsat.shapes import (
    Dim,
    Shape,
    SymDim,
    ceildiv,
    convert,
    dim_max,
    numpy_dtype,
)

_SHAPE = Operand("shape", OperandKind.SHAPE)
_DTYPE = Attr("dtype", "dtype", None, optional=True)
_Scalar = int | float | SymDim


def _infer_full(types: Sequence[Type], attrs: Attrs) -> Type:
    value = tensor_type(types[1], "fill_value")
    require_rank(value, 0, "fill_value")
    return TensorType(sizes_of_result(types[0]), dtype_attr(attrs, "dtype", value.dtype))


def _infer_full_like(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    require_rank(tensor_type(types[1], "fill_value"), 0, "fill_value")
    return TensorType(x.shape, dtype_attr(attrs, "dtype", x.dtype), x.vdevice)


def _infer_constant(types: Sequence[Type], attrs: Attrs) -> Type:
    return TensorType(sizes_of_result(types[0]), dtype_attr(attrs, "dtype", "float32"))


def _infer_like(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    return TensorType(x.shape, dtype_attr(attrs, "dtype", x.dtype), x.vdevice)


def _full_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    value = tensor(args[1])
    return gather_from("full", out, lambda *i: cast_to(value[()], out_dtype(out)))


def _constant_compute(number: int) -> Callable[..., ComputeResult]:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        return gather_from("full", out, lambda *i: const(number, out_dtype(out)))

    return build


def _full(shape: tuple[int, ...], value: Array, *, dtype: str | None) -> Array:
    return convert(np.full(shape, value, value.dtype), dtype or value.dtype.name)


def _full_like(x: Array, value: Array, *, dtype: str | None) -> Array:
    return convert(np.full(x.shape, value, value.dtype), dtype or x.dtype.name)


def _constant(name: str, number: int) -> OpDef:
    """Return `ones` or `zeros`."""
    return OpDef(
        name,
        (_SHAPE,),
        _infer_constant,
        lambda shape, *, dtype: np.full(shape, number, numpy_dtype(dtype)),
        OpKind.CREATE,
        attrs=(Attr("dtype", "dtype", "float32"),),
        compute=_constant_compute(number),
        samples=lambda: [
            Sample((("shape", s),), {"dtype": d})
            for s, d in (((2, 3), "float32"), ((), "int64"), ((0,), "bool"), (("n", 2), "float16"))
        ],
    )


def _constant_like(name: str, number: int) -> OpDef:
    """Return `ones_like` or `zeros_like`."""

    def reference(x: Array, *, dtype: str | None) -> Array:
        return np.full(x.shape, number, numpy_dtype(dtype) if dtype else x.dtype)

    return OpDef(
        name,
        (Operand("x"),),
        _infer_like,
        reference,
        OpKind.CREATE,
        attrs=(_DTYPE,),
        compute=_constant_compute(number),
        samples=lambda: [
            Sample(((2, 3),)),
            Sample(((),), {"dtype": "int32"}),
            Sample((("n", 0),), {"dtype": "bool"}),
        ],
    )


def _scalar(attrs: Attrs, name: str) -> _Scalar | None:
    value = attrs[name]
    if value is None or isinstance(value, (int, float, SymDim)):
        return value
    raise TypeCheckError(f"attribute {name} of arange must be a number or a size, got {value!r}")


def _arange_bounds(attrs: Attrs) -> tuple[_Scalar, _Scalar, _Scalar]:
    start, end, step = (_scalar(attrs, n) for n in ("start", "end", "step"))
    assert start is not None
    assert step is not None
    if isinstance(step, (int, float)) and step == 0:
        raise TypeCheckError("arange needs a step that is not 0")
    return (0, start, step) if end is None else (start, end, step)


def _infer_arange(types: Sequence[Type], attrs: Attrs) -> Type:
    start, end, step = _arange_bounds(attrs)
    floating = any(isinstance(v, float) for v in (start, end, step))
    dtype = dtype_attr(attrs, "dtype", "float32" if floating else "int64")
    return TensorType((_arange_length(start, end, step),), dtype)


def _arange_length(start: _Scalar, end: _Scalar, step: _Scalar) -> Dim:
    if isinstance(start, SymDim) or isinstance(end, SymDim) or isinstance(step, SymDim):
        if isinstance(start, float) or isinstance(end, float) or not isinstance(step, int):
            raise TypeCheckError(
                f"arange({start}, {end}, {step}) mixes sizes and floats, or steps by a size; use "
                "an integer arange and scale it"
            )
        count = ceildiv(end - start, step) if step > 0 else ceildiv(start - end, -step)
        return dim_max(count, 0)
    return max(0, int(np.ceil((end - start) / step)))


def _arange_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    start, _, step = _arange_bounds(attrs)
    dtype = out_dtype(out)

    def body(i: PrimExpr) -> PrimExpr:
        if not isinstance(start, float) and not isinstance(step, float):
            return cast_to(as_expr(start) + i * as_expr(step), dtype)
        assert not isinstance(start, SymDim)
        assert not isinstance(step, SymDim)
        value = Cast("float64", i) * const(float(step), "float64")
        return cast_to(value + const(float(start), "float64"), dtype)

    return gather_from("arange", out, body)


def _arange(*, start: float, end: float | None, step: float, dtype: str | None) -> Array:
    first, last = (0, start) if end is None else (start, end)
    integral = all(isinstance(v, int) for v in (first, last, step))
    count = max(0, int(np.ceil((last - first) / step)))
    values = first + step * np.arange(count)
    return values.astype(numpy_dtype(dtype or ("int64" if integral else "float32")))


def _infer_triangle(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    if 0 <= x.ndim < 2:
        raise TypeCheckError(f"x must have at least 2 axes, got {x}")
    return x


def _triangle(name: str, reference: Callable[..., Any], *, lower: bool) -> OpDef:
    """Return `tril` or `triu`."""

    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x, k = tensor(args[0]), attrs["k"]
        assert isinstance(k, (int, SymDim))

        def body(*i: PrimExpr) -> PrimExpr:
            diagonal = i[-2] + from_dim(k)
            kept = i[-1] <= diagonal if lower else i[-1] >= diagonal
            return Select(kept, x[i], const(0, x.dtype))

        return compute(name, out_dims(out), body)

    return OpDef(
        name,
        (Operand("x"),),
        _infer_triangle,
        elementwise(lambda x, *, k: reference(x, k)),
        OpKind.POINTWISE,
        attrs=(Attr("k", "dim", 0),),
        compute=build,
        onnx=("Trilu",),
        samples=lambda: [
            Sample(((4, 4),)),
            Sample(((2, 3, 5),), {"k": 1}, ("int64",)),
            Sample(((3, 4),), {"k": -1}, ("float16",)),
            Sample((("n", "n"),), {"k": 1}),
            Sample(((0, 3),)),
        ],
    )


def _eye_dims(attrs: Attrs) -> Shape:
    n, m = attrs["n"], attrs["m"]
    assert isinstance(n, (int, SymDim))
    return (n, m if isinstance(m, (int, SymDim)) else n)


def _eye_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    k, dtype = attrs["k"], out_dtype(out)
    assert isinstance(k, (int, SymDim))

    def body(i: PrimExpr, j: PrimExpr) -> PrimExpr:
        return Select(binary("==", j, i + from_dim(k)), const(1, dtype), const(0, dtype))

    return gather_from("eye", out, body)


def _infer_eye_like(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    require_rank(x, 2, "x")
    return TensorType(x.shape, dtype_attr(attrs, "dtype", x.dtype), x.vdevice)


def _eye_like(x: Array, *, k: int, dtype: str | None) -> Array:
    rows, columns = x.shape
    return np.eye(rows, columns, k).astype(numpy_dtype(dtype) if dtype else x.dtype)


CREATE: tuple[OpDef, ...] = (
    OpDef(
        "full",
        (_SHAPE, Operand("fill_value")),
        _infer_full,
        _full,
        OpKind.CREATE,
        attrs=(_DTYPE,),
        compute=_full_compute,
        onnx=("ConstantOfShape",),
        samples=lambda: [
            Sample((("shape", (2, 3)), ())),
            Sample((("shape", ()), ()), {"dtype": "int32"}),
            Sample((("shape", ("n", 2)), ()), {"dtype": "float16"}),
        ],
    ),
    OpDef(
        "full_like",
        (Operand("x"), Operand("fill_value")),
        _infer_full_like,
        _full_like,
        OpKind.CREATE,
        attrs=(_DTYPE,),
        compute=_full_compute,
        samples=lambda: [
            Sample(((2, 3), ())),
            Sample((("n", 2), ()), {"dtype": "int32"}),
            Sample(((0,), ()), {}, ("int64", "float32")),
        ],
    ),
    _constant("ones", 1),
    _constant_like("ones_like", 1),
    _constant("zeros", 0),
    _constant_like("zeros_like", 0),
    OpDef(
        "eye",
        (),
        lambda types, attrs: TensorType(_eye_dims(attrs), dtype_attr(attrs, "dtype", "float32")),
        lambda *, n, m, k, dtype: np.eye(n, m, k).astype(numpy_dtype(dtype)),
        OpKind.CREATE,
        attrs=(
            Attr("n", "dim"),
            Attr("m", "dim", None, optional=True),
            Attr("k", "dim", 0),
            Attr("dtype", "dtype", "float32"),
        ),
        compute=_eye_compute,
        samples=lambda: [
            Sample((), {"n": 3}),
            Sample((), {"n": 2, "m": "n", "k": 1, "dtype": "int32"}),
        ],
    ),
    OpDef(
        "eye_like",
        (Operand("x"),),
        _infer_eye_like,
        _eye_like,
        OpKind.CREATE,
        attrs=(Attr("k", "dim", 0), _DTYPE),
        compute=_eye_compute,
        onnx=("EyeLike",),
        samples=lambda: [Sample(((3, 4),)), Sample((("n", 3),), {"k": -1, "dtype": "int64"})],
    ),
    OpDef(
        "arange",
        (),
        _infer_arange,
        _arange,
        OpKind.CREATE,
        attrs=(
            Attr("start", "scalar"),
            Attr("end", "scalar", None, optional=True),
            Attr("step", "scalar", 1),
            _DTYPE,
        ),
        compute=_arange_compute,
        onnx=("Range",),
        samples=lambda: [
            Sample((), {"start": 5}),
            Sample((), {"start": 2, "end": 9, "step": 3, "dtype": "float32"}),
            Sample((), {"start": 7, "end": 1, "step": -2}),
            Sample((), {"start": 0.5, "end": 3.0, "step": 0.25}),
            Sample((), {"start": 3, "end": 3}),
            Sample((), {"start": 0, "end": "n + 1"}),
        ],
    ),
    _triangle("tril", np.tril, lower=True),
    _triangle("triu", np.triu, lower=False),
)
