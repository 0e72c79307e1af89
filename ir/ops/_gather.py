"""Reading at positions that are data."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqsat.ir._expr import Attrs, AttrValue
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
from eqsat.ir._tir import Cast, IntImm, PrimExpr, Select, binary, const
from eqsat.ir._types import UNKNOWN_DTYPE, TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    broadcast_types,
    clamp_index,
    gather_from,
    has_none,
    int_attr,
    known_dims,
    out_dtype,
    require_at_most,
    require_elements_for,
    require_equal,
    require_int,
    tensor,
    tensor_type,
    tensor_types,
    tensors,
)
from eqsat.ir.ops._index import resolve_indices
from eqsat.shapes import SymDim, normalize_axis, numpy_dtype

_INT64 = ("float32", "int64")


def _infer_gather_elements(types: Sequence[Type], attrs: Attrs) -> Type:
    x, indices = tensor_type(types[0], "data"), tensor_type(types[1], "indices")
    require_int(indices)
    if x.ndim >= 0 and indices.ndim not in (-1, x.ndim):
        raise TypeCheckError(f"data and indices must have one rank, got {x} and {indices}")
    if x.ndim >= 0:
        axis = axis_attr(attrs, x.ndim)
        _require_in_data(x, indices, axis)
    return TensorType(indices.shape, x.dtype, x.vdevice)


def _require_in_data(x: TensorType, indices: TensorType, axis: int) -> None:
    dims, places = known_dims(x), known_dims(indices)
    if dims is None or places is None or has_none(places):
        return
    require_elements_for(places, dims[axis], f"gather_elements: axis {axis} of data")
    for a, (d, p) in enumerate(zip(dims, places, strict=True)):
        if a != axis:
            require_at_most(p, d, f"gather_elements: axis {a} of indices and of data")


def _gather_elements(x: Array, indices: Array, *, axis: int) -> Array:
    places = resolve_indices(indices, x.shape[axis])
    where: list[Array] = list(np.indices(indices.shape, sparse=True))
    where[axis] = places
    return x[tuple(where)]


def _gather_elements_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, indices = tensor(args[0]), tensor(args[1])
    axis = axis_attr(attrs, x.ndim)

    def body(*i: PrimExpr) -> PrimExpr:
        place = clamp_index(indices[i], x.shape[axis])
        return x[[*i[:axis], place, *i[axis + 1 :]]]

    return gather_from("gather_elements", out, body)


def _index_depth(indices: TensorType, what: str) -> int:
    """Return the length of the last axis of `indices`, which must be a number."""
    dims = known_dims(indices)
    if dims is None or not dims or not isinstance(dims[-1], int):
        raise TypeCheckError(
            f"{what} needs indices whose last axis has a known size, got {indices}"
        )
    return dims[-1]


def _infer_gather_nd(types: Sequence[Type], attrs: Attrs) -> Type:
    x, indices = tensor_type(types[0], "data"), tensor_type(types[1], "indices")
    batch = int_attr(attrs, "batch_dims")
    if indices.dtype not in (UNKNOWN_DTYPE, "int64"):
        raise TypeCheckError(f"indices must be int64, got {indices}; convert them with astype")
    if batch < 0:
        raise TypeCheckError(f"gather_nd: batch_dims must not be negative, got {batch}")
    places = known_dims(indices)
    if places is None or (places and isinstance(places[-1], SymDim)):
        return TensorType(UnknownShape(), x.dtype, x.vdevice)
    depth, dims = _index_depth(indices, "gather_nd"), known_dims(x)
    if dims is None:
        ndim = -1 if x.ndim < 0 else indices.ndim - 1 + x.ndim - batch - depth
        return TensorType(UnknownShape(ndim), x.dtype, x.vdevice)
    if depth + batch > len(dims):
        raise TypeCheckError(f"gather_nd: {batch} + {depth} indexed axes, but data is {x}")
    if batch > len(places) - 1:
        raise TypeCheckError(f"gather_nd: {batch} batch axes, but indices are {indices}")
    for a in range(batch):
        require_equal(places[a], dims[a], f"gather_nd: batch axis {a} of indices and data")
    shape = (*indices.dims[:-1], *dims[batch + depth :])
    for a in range(batch, batch + depth):
        require_elements_for(places[:-1], dims[a], f"gather_nd: axis {a} of data")
    return TensorType(shape, x.dtype, x.vdevice)


def _gather_nd(x: Array, indices: Array, *, batch_dims: int) -> Array:
    depth = indices.shape[-1]
    lead = indices.shape[:-1]
    where = [
        np.arange(x.shape[b]).reshape((-1,) + (1,) * (len(lead) - b - 1)) for b in range(batch_dims)
    ]
    where += [resolve_indices(indices[..., d], x.shape[batch_dims + d]) for d in range(depth)]
    return (
        x[tuple(np.broadcast_to(w, lead) for w in where)]
        if where
        else np.broadcast_to(x, (*lead, *x.shape))
    )


def _gather_nd_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, indices = tensor(args[0]), tensor(args[1])
    batch, depth = int_attr(attrs, "batch_dims"), indices.shape[-1]
    lead = indices.ndim - 1
    assert isinstance(depth, int)

    def body(*i: PrimExpr) -> PrimExpr:
        places = [
            clamp_index(indices[[*i[:lead], IntImm(d)]], x.shape[batch + d]) for d in range(depth)
        ]
        return x[[*i[:batch], *places, *i[lead:]]]

    return gather_from("gather_nd", out, body)


def _infer_index_tensor(types: Sequence[Type], attrs: Attrs) -> Type:
    x, indices = tensor_type(types[0], "data"), tensor_types(types[1], "indices")
    if not indices:
        raise TypeCheckError("index_tensor needs at least one tensor of indices")
    for k, t in enumerate(indices):
        require_int(t, f"field {k} of indices")
        if t.dtype.startswith("uint"):
            raise TypeCheckError(f"field {k} of indices must have a signed dtype, got {t}")
    dims, places = known_dims(x), broadcast_types(*indices)
    if dims is None or isinstance(places, UnknownShape):
        ndim = (
            -1
            if -1 in (x.ndim, *(t.ndim for t in indices))
            else (max(t.ndim for t in indices) + x.ndim - len(indices))
        )
        return TensorType(UnknownShape(ndim), x.dtype, x.vdevice)
    if len(indices) > len(dims):
        raise TypeCheckError(f"index_tensor: {len(indices)} indices for {x}")
    shape = (*places, *dims[len(indices) :])
    for a in range(len(indices)):
        require_elements_for(places, dims[a], f"index_tensor: axis {a} of data")
    return TensorType(shape, x.dtype, x.vdevice)


def _index_tensor(x: Array, indices: list[Array]) -> Array:
    return x[tuple(resolve_indices(i, n) for i, n in zip(indices, x.shape, strict=False))]


def _index_tensor_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, indices = tensor(args[0]), tensors(args[1])
    shape = tensor_type(out).dims
    lead = shape[: len(shape) - (x.ndim - len(indices))]

    def body(*i: PrimExpr) -> PrimExpr:
        places = [
            clamp_index(t.at_broadcast(i[: len(lead)], lead), d)
            for t, d in zip(indices, x.shape, strict=False)
        ]
        return x[[*places, *i[len(lead) :]]]

    return gather_from("index_tensor", out, body)


def _value_dtype(value: AttrValue) -> str:
    if isinstance(value, bool):
        return "bool"
    return "int64" if isinstance(value, int) else "float32"


def _infer_one_hot(types: Sequence[Type], attrs: Attrs) -> Type:
    indices = tensor_type(types[0], "indices")
    require_int(indices)
    on, off = _value_dtype(attrs["on_value"]), _value_dtype(attrs["off_value"])
    if on != off:
        raise TypeCheckError(f"on_value and off_value must have one dtype, got {on} and {off}")
    dims, depth = known_dims(indices), attrs["depth"]
    assert isinstance(depth, (int, SymDim))
    if isinstance(depth, int) and depth < 1:
        raise TypeCheckError(f"one_hot: depth must be positive, got {depth}")
    if dims is None:
        return TensorType(UnknownShape(indices.ndim + 1 if indices.ndim >= 0 else -1), on)
    axis = normalize_axis(int_attr(attrs, "axis"), len(dims) + 1)
    return TensorType((*dims[:axis], depth, *dims[axis:]), on, indices.vdevice)


def _one_hot(indices: Array, *, on_value: float, off_value: float, depth: int, axis: int) -> Array:
    places = np.expand_dims(indices, axis)
    axis = axis % places.ndim
    classes = np.arange(depth).reshape((depth,) + (1,) * (places.ndim - axis - 1))
    dtype = numpy_dtype(_value_dtype(on_value))
    return np.where(places == classes, dtype.type(on_value), dtype.type(off_value))


def _one_hot_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    indices, dtype = tensor(args[0]), out_dtype(out)
    axis = normalize_axis(int_attr(attrs, "axis"), indices.ndim + 1)
    on, off = (attrs[n] for n in ("on_value", "off_value"))
    assert isinstance(on, (int, float))
    assert isinstance(off, (int, float))

    def body(*i: PrimExpr) -> PrimExpr:
        place = indices[[*i[:axis], *i[axis + 1 :]]]
        hit = binary("==", Cast("int64", place), i[axis])
        return Select(hit, const(on, dtype), const(off, dtype))

    return gather_from("one_hot", out, body)


GATHER: tuple[OpDef, ...] = (
    OpDef(
        "gather_elements",
        (Operand("data"), Operand("indices")),
        _infer_gather_elements,
        _gather_elements,
        OpKind.GATHER,
        attrs=(Attr("axis", "int", 0),),
        compute=_gather_elements_compute,
        onnx=("GatherElements",),
        samples=lambda: [
            Sample(((3, 4), (2, 4)), {}, _INT64, ranges={1: (-3, 3)}),
            Sample(((3, 4), (3, 2)), {"axis": -1}, ("int64", "int32"), ranges={1: (0, 4)}),
            Sample(((5,), (3,)), {}, _INT64, ranges={1: (0, 5)}),
            Sample(((3, "n"), (2, "n")), {}, _INT64, ranges={1: (-3, 3)}),
        ],
    ),
    OpDef(
        "gather_nd",
        (Operand("data"), Operand("indices")),
        _infer_gather_nd,
        _gather_nd,
        OpKind.GATHER,
        attrs=(Attr("batch_dims", "int", 0),),
        compute=_gather_nd_compute,
        onnx=("GatherND",),
        samples=lambda: [
            Sample(((3, 4, 2), (5, 2)), {}, _INT64, ranges={1: (-3, 3)}),
            Sample(((3, 4), (2, 3, 1)), {}, _INT64, ranges={1: (-3, 3)}),
            Sample(((2, 4, 3), (2, 5, 1)), {"batch_dims": 1}, _INT64, ranges={1: (0, 4)}),
            Sample((("n", 4), ("n", 3, 1)), {"batch_dims": 1}, _INT64, ranges={1: (0, 4)}),
        ],
    ),
    OpDef(
        "index_tensor",
        (Operand("data"), Operand("indices", OperandKind.TENSORS)),
        _infer_index_tensor,
        _index_tensor,
        OpKind.GATHER,
        compute=_index_tensor_compute,
        samples=lambda: [
            Sample(((3, 4, 2), [(5,), (5,)]), {}, _INT64, ranges={1: (-3, 3)}),
            Sample(((3, 4), [(2, 1), (3,)]), {}, _INT64, ranges={1: (-3, 3)}),
            Sample(((3, "n"), [(5,)]), {}, _INT64, ranges={1: (-3, 3)}),
        ],
    ),
    OpDef(
        "one_hot",
        (Operand("indices"),),
        _infer_one_hot,
        _one_hot,
        OpKind.POINTWISE,
        attrs=(
            Attr("on_value", "scalar"),
            Attr("off_value", "scalar"),
            Attr("depth", "dim"),
            Attr("axis", "int", -1),
        ),
        compute=_one_hot_compute,
        onnx=("OneHot",),
        samples=lambda: [
            Sample(
                (s,), {"on_value": on, "off_value": off, "depth": 4, "axis": axis}, (dtype,), 0, 5
            )
            for s, on, off, axis, dtype in (
                ((3,), 1.0, 0.0, -1, "int64"),
                ((2, 3), 5, -1, 1, "int32"),
                ((), True, False, 0, "int64"),
                (("n", 2), 1.0, 0.0, 0, "int64"),
            )
        ],
    ),
)
