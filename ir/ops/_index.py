"""Reading parts of a tensor: take and slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import Attr, ComputeArg, ComputeResult, OpDef, Operand, OpKind, Sample
from eqsat.ir._tir import PrimExpr, from_dim
from eqsat.ir._types import UNKNOWN_DTYPE, TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    bool_attr,
    cast_to,
    clamp_index,
    clip_index,
    dims_attr,
    gather_from,
    ints,
    known_dims,
    require_elements_for,
    require_int,
    require_rank,
    str_attr,
    tensor,
    tensor_type,
)
from eqsat.shapes import (
    Dim,
    Equal,
    Facts,
    LessEqual,
    NonNegative,
    Proof,
    Shape,
    UnprovenShapeError,
    assume,
    ceildiv,
    dim_max,
    dim_min,
    normalize_axes,
    prove,
    slice_length,
)

_MODES = ("fast", "clip", "wrap")


def _take_axis(attrs: Attrs, x: TensorType) -> int:
    if attrs["axis"] is None:
        require_rank(x, 1, "x, where no axis is given,")
        return 0
    return axis_attr(attrs, x.ndim) if x.ndim >= 0 else 0


def _infer_take(types: Sequence[Type], attrs: Attrs) -> Type:
    x, indices = tensor_type(types[0], "x"), tensor_type(types[1], "indices")
    require_int(indices)
    str_attr(attrs, "mode", *_MODES)
    axis = _take_axis(attrs, x)
    dims, places = known_dims(x), known_dims(indices)
    if dims is None or places is None:
        ndim = -1 if -1 in (x.ndim, indices.ndim) else x.ndim - 1 + indices.ndim
        return TensorType(UnknownShape(ndim), x.dtype, x.vdevice)
    shape = (*dims[:axis], *places, *dims[axis + 1 :])
    require_elements_for(places, dims[axis], f"take: axis {axis} of x")
    return TensorType(shape, x.dtype, x.vdevice)


def resolve_indices(indices: Array, size: int, mode: str = "fast") -> Array:
    """Return positions within an axis of `size`.

    "fast" counts negative ones from the end and clamps what is left (TVM leaves both undefined),
    "clip" clamps, "wrap" takes the remainder.
    """
    places = indices.astype(np.int64)
    match mode:
        case "wrap":
            return places % max(size, 1)
        case "clip":
            return np.clip(places, 0, size - 1)
        case _:
            return np.clip(np.where(places < 0, places + size, places), 0, size - 1)


def _take(x: Array, indices: Array, *, axis: int | None, mode: str) -> Array:
    axis = axis or 0
    places = resolve_indices(indices, x.shape[axis], mode)
    return np.take(x, places, axis)


def _take_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, indices = tensor(args[0]), tensor(args[1])
    axis = _take_axis(attrs, TensorType(x.shape, x.dtype))
    size, mode = x.shape[axis], attrs["mode"]

    def body(*i: PrimExpr) -> PrimExpr:
        raw = cast_to(indices[i[axis : axis + indices.ndim]], "int64")
        match mode:
            case "wrap":
                place = raw % from_dim(size)
            case "clip":
                place = clip_index(raw, size)
            case _:
                place = clamp_index(raw, size)
        return x[[*i[:axis], place, *i[axis + indices.ndim :]]]

    return gather_from("take", out, body)


def slice_start(size: Dim, begin: Dim, stride: int) -> Dim:
    """Return the first position of a slice, from the front, as `slice_length` understands it."""
    if isinstance(size, int) and isinstance(begin, int):
        return slice(begin, None, stride).indices(size)[0]
    first, last = (0, size) if stride > 0 else (-1, size - 1)
    if isinstance(begin, int) and abs(begin) >= 2**31 - 1:
        return last if begin > 0 else first
    if prove(NonNegative(begin)) is Proof.YES:
        return begin if prove(LessEqual(begin, last)) is Proof.YES else dim_min(begin, last)
    start = begin + size
    return start if prove(LessEqual(first, start)) is Proof.YES else dim_max(start, first)


def _slice_parts(attrs: Attrs, dims: Shape) -> list[tuple[int, Dim, Dim, int]]:
    """Return (axis, first position, count, stride) of every sliced axis."""
    axes = normalize_axes(ints(attrs["axes"], name="axes"), len(dims))
    begin, end = dims_attr(attrs, "begin"), dims_attr(attrs, "end")
    strides = (1,) * len(axes) if attrs["strides"] is None else dims_attr(attrs, "strides")
    if not len(axes) == len(begin) == len(end) == len(strides):
        raise TypeCheckError(
            f"axes, begin, end and strides must have one length, got {len(axes)}, {len(begin)}, "
            f"{len(end)} and {len(strides)}"
        )
    parts: list[tuple[int, Dim, Dim, int]] = []
    for axis, first, last, stride in zip(axes, begin, end, strides, strict=True):
        if not isinstance(stride, int):
            raise TypeCheckError(f"the stride of axis {axis} must be a number, got {stride}")
        parts.append(_slice_part(axis, dims[axis], first, last, stride, attrs))
    return parts


def _slice_part(
    axis: int, size: Dim, begin: Dim, end: Dim, stride: int, attrs: Attrs
) -> tuple[int, Dim, Dim, int]:
    literal = isinstance(size, int) and isinstance(begin, int) and isinstance(end, int)
    signed = [d for d in (begin, end) if isinstance(d, int) and (d < 0 or d >= 2**31 - 1)]
    if bool_attr(attrs, "assume_inbound") and not literal and not signed and stride > 0:
        for place in (begin, end):
            if prove(LessEqual(place, size)) is Proof.NO:
                raise TypeCheckError(
                    f"{place} is not inside axis {axis}, which has {size} elements"
                )
        return axis, begin, ceildiv(end - begin, stride), stride
    count = slice_length(size, begin, end, stride)
    _require_length_at_0(count, size, begin, end, stride)
    return axis, slice_start(size, begin, stride), count, stride


def _require_length_at_0(count: Dim, size: Dim, begin: Dim, end: Dim, stride: int) -> None:
    """Assume what `count` takes for granted: it is simplified for symbols of at least 1."""
    try:
        exact = slice_length(size, begin, end, stride, Facts(positive=False))
    except UnprovenShapeError as error:
        for d in (fact.d for fact in error.needed if isinstance(fact, NonNegative)):
            assume(Equal(dim_max(d, 0), d))
    else:
        if exact != count:
            assume(Equal(exact, count))


def _infer_slice(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    dims = known_dims(x)
    if dims is None:
        return TensorType(UnknownShape(x.ndim), x.dtype, x.vdevice)
    result = list(dims)
    for axis, _, count, _ in _slice_parts(attrs, dims):
        result[axis] = count
    return TensorType(tuple(result), x.dtype, x.vdevice)


def _slice(
    x: Array,
    *,
    axes: tuple[int, ...],
    begin: tuple[int, ...],
    end: tuple[int, ...],
    strides: tuple[int, ...] | None,
    assume_inbound: bool,
) -> Array:
    where, axes = [slice(None)] * x.ndim, ints(axes)
    for axis, b, e, s in zip(axes, begin, end, strides or (1,) * len(axes), strict=True):
        # A far negative end of a backward slice means "to the first element, inclusive".
        where[axis] = slice(b, None if s < 0 and e < -x.shape[axis] else e, s)
    return x[tuple(where)]


def _slice_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    parts = _slice_parts(attrs, x.shape)

    def body(*i: PrimExpr) -> PrimExpr:
        at = list(i)
        for axis, first, _, stride in parts:
            at[axis] = from_dim(first) + i[axis] * stride
        return x[at]

    return gather_from("strided_slice", out, body)


def _infer_dynamic_slice(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    for ty, name in zip(types[1:], ("begin", "end", "strides"), strict=True):
        bound = tensor_type(ty, name)
        if bound.dtype not in (UNKNOWN_DTYPE, "int64"):
            raise TypeCheckError(f"{name} must be int64, got {bound}; convert it with astype")
        length = known_dims(bound)
        if length is None or len(length) != 1 or not isinstance(length[0], int):
            raise TypeCheckError(f"{name} must be one axis of a known size, got {bound}")
        if x.ndim >= 0 and length[0] != x.ndim:
            raise TypeCheckError(f"{name} must have one entry per axis of {x}, got {bound}")
    return TensorType(UnknownShape(x.ndim), x.dtype, x.vdevice)


def _dynamic_slice(x: Array, begin: Array, end: Array, strides: Array) -> Array:
    where = [
        slice(int(b), None if s < 0 and e < -n else int(e), int(s))
        for b, e, s, n in zip(begin, end, strides, x.shape, strict=True)
    ]
    return x[tuple(where)]


INDEX: tuple[OpDef, ...] = (
    OpDef(
        "take",
        (Operand("x"), Operand("indices")),
        _infer_take,
        _take,
        OpKind.GATHER,
        attrs=(Attr("axis", "int", None, optional=True), Attr("mode", "str", "fast")),
        compute=_take_compute,
        onnx=("Gather",),
        samples=lambda: [
            Sample(
                (x, indices),
                attrs,
                ("float32", dtype),
                ranges={1: (-3, 3)},
            )
            for x, indices, attrs, dtype in (
                ((5, 3), (2, 4), {"axis": 0}, "int64"),
                ((5, 3), (4,), {"axis": -1}, "int32"),
                ((5, 3), (), {"axis": 1}, "int64"),
                ((5,), (2, 2), {}, "int64"),
                ((3, 4), (0,), {"axis": 0}, "int64"),
                ((2, 3), (4,), {"axis": 1, "mode": "clip"}, "int64"),
                ((2, 3), (4,), {"axis": 1, "mode": "wrap"}, "int64"),
                ((4, "n"), ("m", 2), {"axis": 0}, "int64"),
            )
        ],
    ),
    OpDef(
        "strided_slice",
        (Operand("x"),),
        _infer_slice,
        _slice,
        OpKind.VIEW,
        attrs=(
            Attr("axes", "ints"),
            Attr("begin", "dims"),
            Attr("end", "dims"),
            Attr("strides", "dims", None, optional=True),
            Attr("assume_inbound", "bool", default=False),
        ),
        compute=_slice_compute,
        onnx=("Slice",),
        samples=lambda: [
            Sample(((6, 5),), {"axes": (0,), "begin": (1,), "end": (4,)}),
            Sample(
                ((6, 5),),
                {"axes": (0, -1), "begin": (0, -3), "end": (2**31, -1), "strides": (2, 1)},
            ),
            Sample(((6,),), {"axes": (0,), "begin": (-1,), "end": (-(2**31),), "strides": (-2,)}),
            Sample(((6,),), {"axes": (0,), "begin": (4,), "end": (4,)}, ("int64",)),
            Sample(((0, 2),), {"axes": (0,), "begin": (0,), "end": (5,)}),
            Sample((("n", 3),), {"axes": (0,), "begin": (1,), "end": (2**63 - 1,)}),
            Sample((("n + 2", 3),), {"axes": (0,), "begin": (0,), "end": (-1,)}),
            Sample((("n", 3),), {"axes": (0,), "begin": (0,), "end": ("n",), "strides": (2,)}),
            Sample((("n",),), {"axes": (0,), "begin": (-1,), "end": (-(2**62),), "strides": (-1,)}),
            Sample(
                (("n + 3",),),
                {"axes": (0,), "begin": (3,), "end": ("n + 3",), "assume_inbound": True},
            ),
        ],
    ),
    OpDef(
        "dynamic_strided_slice",
        tuple(Operand(n) for n in ("x", "begin", "end", "strides")),
        _infer_dynamic_slice,
        _dynamic_slice,
        OpKind.OPAQUE,
        onnx=("Slice",),
        samples=lambda: [
            Sample(
                ((5, 4), (2,), (2,), (2,)),
                {},
                ("float32", "int64"),
                ranges={1: (0, 2), 2: (2, 4), 3: (1, 2)},
            )
        ],
    ),
)
