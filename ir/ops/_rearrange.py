"""Elements repeated or at other places: repeat, tile, flip, meshgrid, pixel_shuffle."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

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
from eqsat.ir._te import Tensor
from eqsat.ir._tir import IntImm, PrimExpr, Select, binary, conjunction, from_dim
from eqsat.ir._types import TupleType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    gather_from,
    int_attr,
    ints,
    known_dims,
    reindex,
    require_equal,
    require_rank,
    retyped,
    same_dtype,
    tensor,
    tensor_type,
    tensor_types,
    tensors,
)
from eqsat.ir.ops._index import slice_start
from eqsat.shapes import (
    Dim,
    Shape,
    product,
    slice_length,
)

_OPTIONAL_AXIS = Attr("axis", "int", None, optional=True)


def _infer_repeat(types: Sequence[Type], attrs: Attrs) -> Type:
    x, repeats = tensor_type(types[0], "data"), int_attr(attrs, "repeats")
    dims = known_dims(x)
    if dims is None:
        return retyped(x, UnknownShape(1 if attrs["axis"] is None else x.ndim))
    if attrs["axis"] is None:
        return retyped(x, (product(dims) * repeats,))
    axis = axis_attr(attrs, len(dims))
    return retyped(x, (*dims[:axis], dims[axis] * repeats, *dims[axis + 1 :]))


def _repeat_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, repeats = tensor(args[0]), int_attr(attrs, "repeats")
    if attrs["axis"] is None:
        total = product(x.shape)
        return gather_from("repeat", out, lambda i: x[reindex([i // repeats], (total,), x.shape)])
    axis = axis_attr(attrs, x.ndim)
    return gather_from("repeat", out, lambda *i: x[[*i[:axis], i[axis] // repeats, *i[axis + 1 :]]])


def _tiled(attrs: Attrs, dims: Shape) -> tuple[tuple[int, ...], Shape]:
    """Return the repeats and the dims of the operand, both of the result's rank."""
    repeats = ints(attrs["repeats"], name="repeats")
    rank = max(len(repeats), len(dims))
    return (1,) * (rank - len(repeats)) + repeats, (1,) * (rank - len(dims)) + dims


def _infer_tile(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    dims = known_dims(x)
    if dims is None:
        count = len(ints(attrs["repeats"], name="repeats"))
        return retyped(x, UnknownShape(max(count, x.ndim) if x.ndim >= 0 else -1))
    return retyped(x, tuple(d * r for r, d in zip(*_tiled(attrs, dims), strict=True)))


def _tile_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    repeats, dims = _tiled(attrs, x.shape)

    def body(*i: PrimExpr) -> PrimExpr:
        at = [v if r == 1 else v % from_dim(d) for v, r, d in zip(i, repeats, dims, strict=True)]
        return x[at[len(at) - x.ndim :]]

    return gather_from("tile", out, body)


def _infer_flip(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    if x.ndim >= 0:
        axis_attr(attrs, x.ndim)
    return x


def _flip_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    axis = axis_attr(attrs, x.ndim)
    last = from_dim(x.shape[axis] - 1)
    return gather_from("flip", out, lambda *i: x[[*i[:axis], last - i[axis], *i[axis + 1 :]]])


def _infer_slice_scatter(types: Sequence[Type], attrs: Attrs) -> Type:
    x, src = tensor_type(types[0], "input_tensor"), tensor_type(types[1], "src")
    same_dtype(x, src)
    dims, given = known_dims(x), known_dims(src)
    if dims is not None:
        axis, _, count, _ = _scattered_slice(attrs, dims)
        require_rank(src, len(dims), "slice_scatter: src")
        wanted = (*dims[:axis], count, *dims[axis + 1 :])
        for d, n in zip(given or (), wanted, strict=False):
            require_equal(d, n, "slice_scatter: src must have the shape of the slice")
    return x


def _scattered_slice(attrs: Attrs, dims: Shape) -> tuple[int, Dim, Dim, int]:
    """Return (axis, first position, count, step) of what a slice_scatter replaces."""
    axis, step = axis_attr(attrs, len(dims)), int_attr(attrs, "step")
    if step < 1:
        raise TypeCheckError(f"slice_scatter: step must be positive, got {step}")
    begin, end = attrs["start"], attrs["end"]
    assert isinstance(begin, Dim)
    assert isinstance(end, Dim)
    count = slice_length(dims[axis], begin, end, step)
    return axis, slice_start(dims[axis], begin, step), count, step


def _slice_scatter(x: Array, src: Array, *, start: int, end: int, step: int, axis: int) -> Array:
    result = x.copy()
    where = [slice(None)] * x.ndim
    where[axis] = slice(start, end, step)
    result[tuple(where)] = src
    return result


def _slice_scatter_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, src = tensor(args[0]), tensor(args[1])
    axis, first, count, step = _scattered_slice(attrs, x.shape)

    def body(*i: PrimExpr) -> PrimExpr:
        offset = i[axis] - from_dim(first)
        inside = conjunction(
            offset >= 0, offset < from_dim(count * step), binary("==", offset % step, IntImm(0))
        )
        return Select(inside, src[[*i[:axis], offset // step, *i[axis + 1 :]]], x[i], lazy=True)

    return gather_from("slice_scatter", out, body)


def _infer_pixel_shuffle(types: Sequence[Type], attrs: Attrs) -> Type:
    x, r = tensor_type(types[0], "data"), int_attr(attrs, "upscale_factor")
    if r < 1:
        raise TypeCheckError(f"pixel_shuffle: upscale_factor must be positive, got {r}")
    if x.ndim < 3:
        raise TypeCheckError(f"pixel_shuffle needs at least 3 axes, got {x}")
    dims = known_dims(x)
    if dims is None:
        return retyped(x, UnknownShape(x.ndim))
    c, h, w = dims[-3:]
    require_equal(c % (r * r), 0, f"pixel_shuffle: the channels {c} modulo {r * r}")
    return retyped(x, (*dims[:-3], c // (r * r), h * r, w * r))


def _pixel_shuffle(x: Array, *, upscale_factor: int) -> Array:
    *batch, c, h, w = x.shape
    r = upscale_factor
    parts = x.reshape(*batch, c // (r * r), r, r, h, w)
    n = len(batch)
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return parts.transpose(order).reshape(*batch, c // (r * r), h * r, w * r)


def _pixel_shuffle_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, r = tensor(args[0]), int_attr(attrs, "upscale_factor")

    def body(*i: PrimExpr) -> PrimExpr:
        *batch, c, h, w = i
        return x[[*batch, c * (r * r) + (h % r) * r + w % r, h // r, w // r]]

    return gather_from("pixel_shuffle", out, body)


def _infer_meshgrid(types: Sequence[Type], attrs: Attrs) -> Type:
    parts = tensor_types(types[0], "tensors")
    if not parts or any(t.ndim not in (-1, 1) for t in parts):
        raise TypeCheckError("meshgrid needs tensors of one axis, at least one")
    same_dtype(*parts)
    shapes = [known_dims(t) for t in parts]
    if any(s is None for s in shapes):
        return TupleType(tuple(retyped(t, UnknownShape(len(parts))) for t in parts))
    dims = [product(s) for s in cast("list[Shape]", shapes)]
    if attrs["indexing"] == "xy" and len(dims) > 1:
        dims[0], dims[1] = dims[1], dims[0]
    return TupleType(tuple(retyped(t, tuple(dims)) for t in parts))


def _meshgrid_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    parts = tensors(args[0])
    assert isinstance(out, TupleType)
    order = list(range(len(parts)))
    if attrs["indexing"] == "xy" and len(parts) > 1:
        order[0], order[1] = 1, 0

    def grid(k: int) -> Tensor:
        field, axis = out.fields[k], order[k]
        return gather_from(
            "meshgrid", field, lambda *i: parts[k][(i[axis],) if parts[k].ndim else ()]
        )

    return tuple(grid(k) for k in range(len(parts)))


REARRANGE: tuple[OpDef, ...] = (
    OpDef(
        "repeat",
        (Operand("data"),),
        _infer_repeat,
        lambda x, *, repeats, axis: np.repeat(x, repeats, axis),
        OpKind.VIEW,
        attrs=(Attr("repeats", "int"), _OPTIONAL_AXIS),
        compute=_repeat_compute,
        samples=lambda: [
            Sample(((2, 3),), {"repeats": 2}),
            Sample(((2, 3),), {"repeats": 3, "axis": -1}, ("int64",)),
            Sample((("n", 3),), {"repeats": 2, "axis": 0}),
        ],
    ),
    OpDef(
        "tile",
        (Operand("data"),),
        _infer_tile,
        lambda x, *, repeats: np.tile(x, repeats),
        OpKind.VIEW,
        attrs=(Attr("repeats", "ints"),),
        compute=_tile_compute,
        onnx=("Tile",),
        samples=lambda: [
            Sample(((2, 3),), {"repeats": (2, 1)}),
            Sample(((3,),), {"repeats": (2, 1, 2)}, ("int64",)),
            Sample(((2, 3),), {"repeats": 2}),
            Sample((("n", 3),), {"repeats": (2, 2)}),
        ],
    ),
    OpDef(
        "flip",
        (Operand("data"),),
        _infer_flip,
        lambda x, *, axis: np.flip(x, axis),
        OpKind.VIEW,
        attrs=(Attr("axis", "int"),),
        compute=_flip_compute,
        samples=lambda: [
            Sample(((2, 3),), {"axis": 1}),
            Sample(((4,),), {"axis": -1}, ("int64",)),
            Sample((("n", 3),), {"axis": 0}),
        ],
    ),
    OpDef(
        "slice_scatter",
        (Operand("input_tensor"), Operand("src")),
        _infer_slice_scatter,
        _slice_scatter,
        OpKind.VIEW,
        attrs=(
            Attr("start", "dim"),
            Attr("end", "dim"),
            Attr("step", "dim", 1),
            Attr("axis", "int", 0),
        ),
        compute=_slice_scatter_compute,
        samples=lambda: [
            Sample(((6, 2), (2, 2)), {"start": 1, "end": 5, "step": 2}),
            Sample(((2, 7), (2, 3)), {"start": -5, "end": 7, "step": 2, "axis": -1}, ("int64",)),
            Sample(((4, 3), (0, 3)), {"start": 3, "end": 2}),
            Sample((("n + 3", 3), ("n", 3)), {"start": 2, "end": "n + 2"}),
        ],
    ),
    OpDef(
        "meshgrid",
        (Operand("tensors", OperandKind.TENSORS),),
        _infer_meshgrid,
        lambda tensors, *, indexing: tuple(np.meshgrid(*tensors, indexing=indexing)),
        OpKind.VIEW,
        attrs=(Attr("indexing", "str", "ij"),),
        compute=_meshgrid_compute,
        samples=lambda: [
            Sample(([(2,), (3,)],)),
            Sample(([(2,), (3,), (4,)],), {"indexing": "xy"}, ("int64",)),
            Sample(([("n",), (3,)],)),
        ],
    ),
    OpDef(
        "nn.pixel_shuffle",
        (Operand("data"),),
        _infer_pixel_shuffle,
        _pixel_shuffle,
        OpKind.VIEW,
        attrs=(Attr("upscale_factor", "int"),),
        compute=_pixel_shuffle_compute,
        onnx=("DepthToSpace",),
        samples=lambda: [
            Sample(((1, 8, 2, 3),), {"upscale_factor": 2}),
            Sample((("n", 4, 2, "m"),), {"upscale_factor": 2}, ("int64",)),
        ],
    ),
)
