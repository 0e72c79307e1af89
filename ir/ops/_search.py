"""Finding and ordering: argmax, argmin, sort, topk, nonzero."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import Attr, ComputeArg, ComputeResult, OpDef, Operand, OpKind, Sample
from eqsat.ir._te import Combiner, Reduce, compute, reduce, reduce_axis
from eqsat.ir._tir import IntImm, PrimExpr, Select, binary, from_dim
from eqsat.ir._types import TensorType, TupleType, Type, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    axes_attr,
    axis_attr,
    bool_attr,
    dtype_attr,
    int_attr,
    known_dims,
    out_dims,
    reduce_over,
    str_attr,
    tensor,
    tensor_type,
    up,
)
from eqsat.ir.ops._statistical import reduced_type, require_reduced
from eqsat.shapes import is_float, max_value, numpy_dtype, row_major_strides

_AXIS = Attr("axis", "int", -1)


def _infer_arg(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    if attrs["axis"] is not None and x.ndim >= 0:
        axis_attr(attrs, x.ndim)
    require_reduced(x, attrs, "the extreme")
    return reduced_type(x, attrs, "int64")


def _arg_reference(function: Callable[..., Array]) -> Callable[..., Array]:
    def run(x: Array, *, axis: int | None, keepdims: bool) -> Array:
        if not x.size:  # of rows without an element there are none
            return np.sum(x, axis=axis, keepdims=keepdims).astype(np.int64)
        return np.asarray(function(up(x), axis=axis, keepdims=keepdims), np.int64)

    return run


def _arg_compute(
    name: str, combiner: Combiner
) -> Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult]:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x, keepdims = tensor(args[0]), bool_attr(attrs, "keepdims")
        axes = axes_attr(attrs, x.ndim)
        if not axes:
            return compute(name, out_dims(out), lambda: IntImm(0))
        best = reduce_over(
            f"{name}_value", combiner, x, axes, keepdims=True, element=lambda *i: x[i]
        )
        k = {a: reduce_axis(x.shape[a], f"k{a}") for a in axes}
        kept = [a for a in range(x.ndim) if keepdims or a not in k]
        strides = dict(zip(axes, row_major_strides(tuple(x.shape[a] for a in axes)), strict=True))

        def body(*i: PrimExpr) -> Reduce:
            at = dict(zip(kept, i, strict=True))
            full = [k[a].var if a in k else at[a] for a in range(x.ndim)]
            value = x[full]
            hit = binary("==", value, best.at_broadcast(full, x.shape))
            if is_float(x.dtype):
                hit = binary("or", hit, binary("!=", value, value))  # nan is the extreme
            place: PrimExpr = IntImm(0)
            for a, stride in strides.items():
                place = place + k[a].var * from_dim(stride)
            return reduce(
                "min", Select(hit, place, IntImm(int(max_value("int64")))), list(k.values())
            )

        return compute(name, out_dims(out), body)

    return build


def _arg(name: str, function: Callable[..., Array], combiner: Combiner, onnx: str) -> OpDef:
    return OpDef(
        name,
        (Operand("x"),),
        _infer_arg,
        _arg_reference(function),
        OpKind.ROW,
        attrs=(
            Attr("axis", "int", None, optional=True),
            Attr("keepdims", "bool", default=False),
        ),
        compute=_arg_compute(name, combiner),
        onnx=(onnx,),
        samples=lambda: [
            Sample(((3, 4),), {"axis": -1}),
            Sample(((3, 4),)),
            Sample(((3, 4),), {"axis": 0, "keepdims": True}, ("int64",), 0, 3),
            Sample(((5,),), {"axis": 0}, ("float16",)),
            Sample(((0, 4),), {"axis": 1}),
            Sample(((),)),
            Sample((("n", 4),), {"axis": 1}),
        ],
    )


def _order(x: Array, axis: int, *, descending: bool) -> Array:
    """Return the stable order along `axis`; equal values keep theirs in both directions."""
    x = up(x)  # sorting puts NaN last only in the dtypes of NumPy
    if not descending:
        return np.argsort(x, axis, kind="stable")
    backward = np.argsort(np.flip(x, axis), axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - backward, axis)


def _sort(x: Array, *, axis: int, descending: bool) -> Array:
    return np.take_along_axis(x, _order(x, axis, descending=descending), axis)


def _infer_sort(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    if x.ndim >= 0:
        axis_attr(attrs, x.ndim)
    return x


def _infer_argsort(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    if x.ndim >= 0:
        axis_attr(attrs, x.ndim)
    return TensorType(x.shape, dtype_attr(attrs, "dtype", "int32"), x.vdevice)


def _argsort(x: Array, *, axis: int, descending: bool, dtype: str) -> Array:
    return _order(x, axis, descending=descending).astype(numpy_dtype(dtype))


def _infer_topk(types: Sequence[Type], attrs: Attrs) -> Type:
    x, k = tensor_type(types[0], "data"), int_attr(attrs, "k")
    which = str_attr(attrs, "ret_type", "both", "values", "indices")
    dims, shape = known_dims(x), UnknownShape(x.ndim)
    if dims is not None:
        axis = axis_attr(attrs, len(dims))
        size = dims[axis]
        count = size if k < 1 or (isinstance(size, int) and k > size) else k
        shape = (*dims[:axis], count, *dims[axis + 1 :])
    values = TensorType(shape, x.dtype, x.vdevice)
    places = TensorType(shape, dtype_attr(attrs, "dtype", "int32"), x.vdevice)
    return {"both": TupleType((values, places)), "values": values, "indices": places}[which]


def _topk(
    x: Array, *, k: int, axis: int, ret_type: str, largest: bool, dtype: str
) -> Array | tuple[Array, Array]:
    order = _order(x, axis, descending=largest)
    order = order if k < 1 else np.take(order, range(min(k, x.shape[axis])), axis)
    values, places = np.take_along_axis(x, order, axis), order.astype(numpy_dtype(dtype))
    match ret_type:
        case "values":
            return values
        case "indices":
            return places
        case _:
            return values, places


def _infer_nonzero(types: Sequence[Type], attrs: Attrs) -> Type:
    tensor_type(types[0], "x")
    return TensorType(UnknownShape(2), "int64")


_DESCENDING = Attr("descending", "bool", default=False)
_INT32 = Attr("dtype", "dtype", "int32")

SEARCH: tuple[OpDef, ...] = (
    _arg("argmax", np.argmax, "max", "ArgMax"),
    _arg("argmin", np.argmin, "min", "ArgMin"),
    OpDef(
        "sort",
        (Operand("x"),),
        _infer_sort,
        _sort,
        OpKind.OPAQUE,
        attrs=(_AXIS, _DESCENDING),
        samples=lambda: [Sample(((3, 4),)), Sample(((5,),), {"descending": True})],
    ),
    OpDef(
        "argsort",
        (Operand("data"),),
        _infer_argsort,
        _argsort,
        OpKind.OPAQUE,
        attrs=(_AXIS, _DESCENDING, _INT32),
        samples=lambda: [
            Sample(((3, 4),)),
            Sample(((5,),), {"descending": True, "dtype": "int64"}, ("int32",), 0, 3),
        ],
    ),
    OpDef(
        "topk",
        (Operand("data"),),
        _infer_topk,
        _topk,
        OpKind.OPAQUE,
        attrs=(
            Attr("k", "int", 1),
            _AXIS,
            Attr("ret_type", "str", "both"),
            Attr("largest", "bool", default=True),
            _INT32,
        ),
        onnx=("TopK",),
        samples=lambda: [
            Sample(((3, 5),), {"k": 2}),
            Sample(((5, 2),), {"k": 3, "axis": 0, "largest": False, "ret_type": "values"}),
            Sample((("n", 5),), {"k": 2, "ret_type": "indices", "dtype": "int64"}),
        ],
    ),
    OpDef(
        "nonzero",
        (Operand("x"),),
        _infer_nonzero,
        lambda x: np.argwhere(x).T.astype(np.int64),
        OpKind.OPAQUE,
        onnx=("NonZero",),
        samples=lambda: [Sample(((3, 4),), {}, ("int64",), 0, 2)],
    ),
)
