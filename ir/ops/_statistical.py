"""Reductions and prefix sums."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np

from eqsat.ir._distribute import known_shape
from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    UNCERTAIN,
    Attr,
    AxisMap,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OpKind,
    Sample,
)
from eqsat.ir._te import Combiner, Reduce, Tensor, compute, identity, reduce, reduce_axis
from eqsat.ir._tir import FloatImm, IntImm, PrimExpr, Select, from_dim
from eqsat.ir._types import UNKNOWN_DTYPE, TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._binary import truncating_divide
from eqsat.ir.ops._common import (
    Array,
    axes_attr,
    axis_attr,
    bool_attr,
    call,
    cast_to,
    down,
    dtype_attr,
    has_none,
    known_dims,
    narrow,
    out_dims,
    out_dtype,
    reduce_over,
    reindex,
    require_elements,
    require_float,
    tensor,
    tensor_type,
    up,
    widen,
)
from eqsat.shapes import dtype_name, is_bool, numpy_dtype, product, wide_dtype

_ATTRS = (
    Attr("axis", "ints", None, optional=True),
    Attr("keepdims", "bool", default=False),
)


def reduced_type(x: TensorType, attrs: Attrs, dtype: str) -> TensorType:
    """Return the type of a reduction of `x` by the attributes `axis` and `keepdims`."""
    keepdims, dims = bool_attr(attrs, "keepdims"), known_dims(x)
    if attrs["axis"] is None and not keepdims:
        return TensorType((), dtype, x.vdevice)
    if x.ndim < 0:
        return TensorType(UnknownShape(), dtype, x.vdevice)
    axes = axes_attr(attrs, x.ndim)
    if len(axes) == x.ndim:
        return TensorType((1,) * x.ndim if keepdims else (), dtype, x.vdevice)
    if dims is None:
        return TensorType(UnknownShape(x.ndim - (0 if keepdims else len(axes))), dtype, x.vdevice)
    kept = [(1 if a in axes else d) for a, d in enumerate(dims) if keepdims or a not in axes]
    return TensorType(tuple(kept), dtype, x.vdevice)


def _result_axes(
    types: Sequence[TensorType], attrs: Attrs, result: TensorType
) -> Sequence[AxisMap]:
    x, kept = types[0], count()
    known_shape(x)
    gone, keepdims = axes_attr(attrs, x.ndim), bool_attr(attrs, "keepdims")
    if keepdims and attrs["axis"] is None:
        return [(UNCERTAIN,) * x.ndim]  # TVM keeps the cuts though one element is left
    if keepdims:
        return [tuple(None if a in gone else a for a in range(x.ndim))]
    return [tuple(None if a in gone else next(kept) for a in range(x.ndim))]


def require_reduced(x: TensorType, attrs: Attrs, what: str) -> None:
    """Raise where a reduction that needs an element has none."""
    dims = known_dims(x)
    if dims is not None and not has_none(
        tuple(d for a, d in enumerate(dims) if a not in axes_attr(attrs, x.ndim))
    ):
        for a in axes_attr(attrs, x.ndim):
            require_elements(dims[a], f"{what} over axis {a} of {x}: the axis")


def _infer(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    if x.dtype == "bool":
        raise TypeCheckError(f"x must be numbers, got {x}; convert it with astype")
    return reduced_type(x, attrs, x.dtype)


def _infer_float(types: Sequence[Type], attrs: Attrs) -> Type:
    require_float(tensor_type(types[0], "x"), "x")
    return _infer(types, attrs)


def _reference(function: Callable[..., Any]) -> Callable[..., Array]:
    def run(x: Array, *, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
        return down(function(up(x), axis=axis, keepdims=keepdims), x)

    return run


def _extremum(function: Callable[..., Any], combiner: Combiner) -> Callable[..., Any]:
    """Return the NumPy reduction `function`, whose value for no elements is the neutral one."""

    def run(x: Array, axis: int | tuple[int, ...] | None, keepdims: bool) -> Any:
        if x.size:
            return function(x, axis=axis, keepdims=keepdims)
        neutral = identity(combiner, x.dtype.name)
        assert isinstance(neutral, (IntImm, FloatImm))
        return function(x, axis=axis, keepdims=keepdims, initial=neutral.value)

    return run


def _axes_and_keep(x: Tensor, attrs: Attrs) -> tuple[tuple[int, ...], bool]:
    return axes_attr(attrs, x.ndim), bool_attr(attrs, "keepdims")


def _reduction_compute(
    name: str, combiner: Combiner
) -> Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult]:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x = tensor(args[0])
        axes, keepdims = _axes_and_keep(x, attrs)
        if not axes:
            return compute(name, x.shape, lambda *i: x[i])
        return narrow(reduce_over(name, combiner, x, axes, keepdims=keepdims), x.dtype)

    return build


def count_of(x: Tensor, axes: Sequence[int], dtype: str) -> PrimExpr:
    """Return the number of elements over `axes` as a scalar of `dtype`."""
    return cast_to(from_dim(product(x.shape[a] for a in axes)), dtype)


def _mean_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    axes, keepdims = _axes_and_keep(x, attrs)
    total = reduce_over("mean_sum", "sum", x, axes, keepdims=keepdims)
    count = count_of(x, axes, total.dtype)
    return compute("mean", total.shape, lambda *i: cast_to(total[i] / count, x.dtype))


def mean_over(name: str, x: Tensor, axes: Sequence[int]) -> Tensor:
    """Return the mean over `axes`, kept as axes of size 1, wide for narrow floats."""
    total = reduce_over(f"{name}_sum", "sum", x, axes, keepdims=True)
    count = count_of(x, axes, total.dtype)
    return compute(name, total.shape, lambda *i: total[i] / count)


def variance_over(
    name: str, x: Tensor, mean: Tensor, axes: Sequence[int], *, keepdims: bool = True
) -> Tensor:
    """Return the mean squared distance to `mean` over `axes`, wide for narrow floats."""

    def element(*i: PrimExpr) -> PrimExpr:
        distance = widen(x[i]) - mean.at_broadcast(i, x.shape)
        return distance * distance

    total = reduce_over(f"{name}_sum", "sum", x, axes, keepdims=keepdims, element=element)
    count = count_of(x, axes, total.dtype)
    return compute(name, total.shape, lambda *i: total[i] / count)


def _spread_compute(
    name: str, *, root: bool
) -> Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult]:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x = tensor(args[0])
        axes, keepdims = _axes_and_keep(x, attrs)
        mean = mean_over(f"{name}_mean", x, axes)
        variance = variance_over(name, x, mean, axes, keepdims=keepdims)
        if not root:
            return narrow(variance, x.dtype)
        return compute(name, variance.shape, lambda *i: cast_to(call("sqrt", variance[i]), x.dtype))

    return build


def _mean(x: Array, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    total = np.asarray(np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype))
    count = x.size // max(total.size, 1)
    with np.errstate(all="ignore"):
        return truncating_divide(total, np.asarray(count, x.dtype))


def _variance(x: Array, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    distance = x - _mean(x, axis, keepdims=True)
    return _mean(distance * distance, axis, keepdims)


def _samples(
    *dtypes: str, empty: bool, low: float = -3.0, high: float = 3.0
) -> Callable[[], Sequence[Sample]]:
    """Return samples of a reduction; `empty` where a reduction of nothing has a value."""

    def samples() -> Sequence[Sample]:
        result = [
            Sample(((3, 4),), {}, (dtypes[0],), low, high),
            Sample(((3, 4),), {"axis": -1}, (dtypes[0],), low, high),
            Sample(((2, 3, 4),), {"axis": (0, -1), "keepdims": True}, (dtypes[0],), low, high),
            Sample(((5,),), {"axis": 0}, (dtypes[0],), low, high),
            Sample(((),), {}, (dtypes[0],), low, high),
            Sample(((0, 3),), {"axis": 1}, (dtypes[0],), low, high),
            Sample(((2, "n"),), {"axis": 1, "keepdims": True}, (dtypes[0],), low, high),
            Sample((("n", 4),), {"axis": (1,)}, (dtypes[0],), low, high),
            *(Sample(((3, 4),), {"axis": 0}, (d,), low, high) for d in dtypes[1:]),
        ]
        if empty:
            result.append(Sample(((0, 3),), {"axis": 0}, (dtypes[0],)))
        return result

    return samples


def _reduction(
    name: str,
    reference: Callable[..., Any],
    build: Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult],
    samples: Callable[[], Sequence[Sample]],
    onnx: tuple[str, ...],
    kind: OpKind = OpKind.REDUCTION,
    numerics: Numerics = Numerics.REASSOCIATING,
    infer: Callable[[Sequence[Type], Attrs], Type] = _infer,
) -> OpDef:
    return OpDef(
        name,
        (Operand("x"),),
        infer,
        _reference(reference),
        kind,
        result_axes=_result_axes,
        attrs=_ATTRS,
        compute=build,
        numerics=numerics,
        onnx=onnx,
        samples=samples,
    )


_SCAN_ATTRS = (
    Attr("axis", "int", None, optional=True),
    Attr("dtype", "dtype", None, optional=True),
    Attr("exclusive", "bool", default=False),
)


def _infer_scan(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    dtype, dims = dtype_attr(attrs, "dtype", x.dtype), known_dims(x)
    if dtype != UNKNOWN_DTYPE and is_bool(dtype):
        raise TypeCheckError(f"data must be numbers, got {x}; give a dtype")
    if attrs["axis"] is None:
        shape = UnknownShape(1) if dims is None else (product(dims),)
        return TensorType(shape, dtype, x.vdevice)
    if x.ndim >= 0:
        axis_attr(attrs, x.ndim)
    return TensorType(x.shape, dtype, x.vdevice)


def _scan(function: Callable[..., Any], neutral: int) -> Callable[..., Array]:
    def run(x: Array, *, axis: int | None, dtype: str | None, exclusive: bool) -> Array:
        result = dtype or dtype_name(x.dtype)
        wide = x.astype(numpy_dtype(wide_dtype(result)))
        if axis is None:
            wide, axis = wide.reshape(-1), 0
        if exclusive and wide.shape[axis]:
            first = np.full_like(np.take(wide, [0], axis), neutral)
            rest = np.take(wide, range(wide.shape[axis] - 1), axis)
            wide = np.concatenate([first, rest], axis)
        return function(wide, axis=axis, dtype=wide.dtype).astype(numpy_dtype(result))

    return run


def _scan_compute(
    name: str, combiner: Combiner
) -> Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult]:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x, shape, dtype = tensor(args[0]), out_dims(out), out_dtype(out)
        flat = attrs["axis"] is None
        axis = 0 if flat else axis_attr(attrs, x.ndim)
        k, wide = reduce_axis(shape[axis]), wide_dtype(dtype)

        def body(*i: PrimExpr) -> Reduce:
            before = k.var < i[axis] if bool_attr(attrs, "exclusive") else k.var <= i[axis]
            at = [*i[:axis], k.var, *i[axis + 1 :]]
            value = cast_to(x[reindex(at, shape, x.shape) if flat else at], wide)
            return reduce(combiner, Select(before, value, identity(combiner, wide)), [k])

        return narrow(compute(name, shape, body), dtype)

    return build


def _scan_op(name: str, function: Callable[..., Any], combiner: Combiner, onnx: str) -> OpDef:
    return OpDef(
        name,
        (Operand("data"),),
        _infer_scan,
        _scan(function, int(combiner == "prod")),
        OpKind.SCAN,
        attrs=_SCAN_ATTRS,
        compute=_scan_compute(name, combiner),
        numerics=Numerics.REASSOCIATING,
        onnx=(onnx,) if onnx else (),
        samples=lambda: [
            Sample(((3, 4),), {"axis": 1}),
            Sample(((3, 4),), {"axis": -2, "exclusive": True}, ("int64",)),
            Sample(((2, 3),), {}, ("float16",)),
            Sample(((5,),), {"axis": 0, "dtype": "int64"}, ("int32",)),
            Sample(((5,),), {"axis": 0, "dtype": "int32"}, ("bool",), 0, 2),
            Sample(((0, 3),), {"axis": 0}),
            Sample((("n", 3),), {"axis": 0}),
        ],
    )


STATISTICAL: tuple[OpDef, ...] = (
    _reduction(
        "max",
        _extremum(np.max, "max"),
        _reduction_compute("max", "max"),
        _samples("float32", "float16", "int64", empty=False),
        ("ReduceMax",),
        numerics=Numerics.EXACT,
    ),
    _reduction(
        "mean",
        _mean,
        _mean_compute,
        _samples("float32", "float16", "bfloat16", "int32", empty=False, low=-9, high=9),
        ("ReduceMean",),
    ),
    _reduction(
        "min",
        _extremum(np.min, "min"),
        _reduction_compute("min", "min"),
        _samples("float32", "float16", "int32", empty=False),
        ("ReduceMin",),
        numerics=Numerics.EXACT,
    ),
    _reduction(
        "prod",
        lambda x, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims, dtype=x.dtype),
        _reduction_compute("prod", "prod"),
        _samples("float32", "int32", empty=True),
        ("ReduceProd",),
    ),
    _reduction(
        "std",
        lambda x, axis, keepdims: np.sqrt(_variance(x, axis, keepdims)),
        _spread_compute("std", root=True),
        _samples("float32", "float16", empty=False),
        (),
        OpKind.ROW,
        infer=_infer_float,
    ),
    _reduction(
        "sum",
        lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype),
        _reduction_compute("sum", "sum"),
        _samples("float32", "float16", "bfloat16", "int32", "int64", empty=True),
        ("ReduceSum",),
    ),
    _reduction(
        "variance",
        _variance,
        _spread_compute("variance", root=False),
        _samples("float32", "float16", empty=False),
        (),
        OpKind.ROW,
    ),
    _scan_op("cumsum", np.cumsum, "sum", "CumSum"),
    _scan_op("cumprod", np.cumprod, "prod", ""),
)
