"""Distinct values, and the middle one."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eqsat.ir._expr import Attrs, AttrValue
from eqsat.ir._op import Attr, OpDef, Operand, OpKind, Sample
from eqsat.ir._types import TensorType, TupleType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import Array, down, ints, tensor_type, up
from eqsat.ir.ops._statistical import reduced_type, require_reduced
from eqsat.shapes import normalize_axes, normalize_axis

# unique -----------------------------------------------------------------------------------------


def _infer_unique(types: Sequence[Type], attrs: Attrs) -> Type:
    x, axis = tensor_type(types[0], "x"), attrs["axis"]
    if isinstance(axis, int) and x.ndim >= 0:
        normalize_axis(axis, x.ndim)
    ndim = 1 if axis is None else x.ndim
    if x.ndim == 0 and axis is not None:
        raise TypeCheckError("unique along an axis needs a tensor that has one")
    one = (1,) if x.ndim == 0 else None  # what a scalar has
    values = TensorType(one or UnknownShape(ndim), x.dtype, x.vdevice)
    more = [n for n in ("return_index", "return_inverse", "return_counts") if attrs[n]]
    if not more:
        return values
    positions = TensorType(one or UnknownShape(1), "int64", x.vdevice)
    return TupleType((values, *[positions] * len(more)))


def _unique(
    x: Array,
    *,
    sorted: bool,  # TVM's name
    return_index: bool,
    return_inverse: bool,
    return_counts: bool,
    axis: int | None,
) -> Any:
    values, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = np.reshape(inverse, -1)
    if not sorted:  # in the order in which they come
        order = np.argsort(first)
        values = np.take(values, order, axis=0 if axis is None else axis)
        first, counts = first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    wanted = ((return_index, first), (return_inverse, inverse), (return_counts, counts))
    more = [np.asarray(v, np.int64) for is_wanted, v in wanted if is_wanted]
    return (values, *more) if more else values


# median -----------------------------------------------------------------------------------------


def _is_one_axis(axis: AttrValue) -> bool:
    return axis is not None and len(ints(axis, name="axis")) == 1


def _infer_median(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    require_reduced(x, attrs, "the median")
    values = reduced_type(x, attrs, x.dtype)
    if not _is_one_axis(attrs["axis"]):
        return values
    return TupleType((values, reduced_type(x, attrs, "int64")))


def _median(x: Array, *, axis: int | tuple[int, ...] | None, keepdims: bool) -> Any:
    """Return the lower of the two middle values, and where it stands if the axis is one."""
    axes = tuple(range(x.ndim)) if axis is None else normalize_axes(ints(axis), x.ndim)
    kept = [a for a in range(x.ndim) if a not in axes]
    count = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    rows = up(x).transpose(*kept, *axes).reshape(*(x.shape[a] for a in kept), count)
    if not count:  # then there are no rows either
        rows = np.zeros((*rows.shape[:-1], 1), rows.dtype)
    order = np.argsort(rows, axis=-1, kind="stable")
    middle = order[..., (count - 1) // 2]
    values = np.take_along_axis(rows, middle[..., None], axis=-1)[..., 0]
    if keepdims:
        shape = tuple(1 if a in axes else x.shape[a] for a in range(x.ndim))
        values, middle = values.reshape(shape), middle.reshape(shape)
    if not _is_one_axis(axis):
        return down(values, x)
    return down(values, x), middle.astype(np.int64)


SETS: tuple[OpDef, ...] = (
    OpDef(
        "unique",
        (Operand("x"),),
        _infer_unique,
        _unique,
        OpKind.OPAQUE,
        attrs=(
            Attr("sorted", "bool", default=True),
            Attr("return_index", "bool", default=False),
            Attr("return_inverse", "bool", default=False),
            Attr("return_counts", "bool", default=False),
            Attr("axis", "int", None, optional=True),
        ),
        onnx=("Unique",),
        samples=lambda: [
            Sample(((3, 4),), {}, ("int64",), 0, 5),
            Sample(((0,),), {}, ("int64",), 0, 5),
            Sample(((4, 2),), {"axis": 0, "return_counts": True}, ("int64",), 0, 2),
            Sample(
                ((7,),),
                {"sorted": False, "return_index": True, "return_inverse": True},
                ("int32",),
                0,
                4,
            ),
            Sample((("n", 3),), {"return_inverse": True}, ("float32",)),
        ],
    ),
    OpDef(
        "median",
        (Operand("x"),),
        _infer_median,
        _median,
        OpKind.OPAQUE,
        attrs=(
            Attr("axis", "ints", None, optional=True),
            Attr("keepdims", "bool", default=False),
        ),
        samples=lambda: [
            Sample(((3, 4),)),
            Sample(((3, 4),), {"axis": (1,)}),
            Sample(((3, 5),), {"axis": (-1,), "keepdims": True}, ("int32",), -5, 5),
            Sample(((2, 3, 4),), {"axis": (0, 2)}),
            Sample((("n", 5),), {"axis": (0,), "keepdims": True}),
        ],
    ),
)
