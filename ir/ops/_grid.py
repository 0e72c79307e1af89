"""Sampling images at the positions of a grid."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    Attr,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._tir import IntImm, PrimExpr, Select, conjunction, const, from_dim
from eqsat.ir._types import ShapeType, TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    call,
    cast_to,
    clip_index,
    down,
    gather_from,
    known_dims,
    maximum,
    minimum,
    out_dims,
    require_equal,
    require_float,
    require_rank,
    str_attr,
    tensor,
    tensor_type,
    up,
    widen,
)
from eqsat.shapes import Dim, wide_dtype

# affine_grid ------------------------------------------------------------------------------------


def _infer_affine(types: Sequence[Type], attrs: Attrs) -> Type:
    theta = tensor_type(types[0], "data")
    if not isinstance(types[1], ShapeType):
        raise TypeCheckError(f"size must be a shape, got {types[1]}")
    require_rank(theta, 3, "data")
    require_float(theta, "data")
    size = types[1].dims
    dims = known_dims(theta)
    if isinstance(size, UnknownShape) or dims is None:
        ndim = -1 if isinstance(size, UnknownShape) else len(size) + 2
        return TensorType(UnknownShape(ndim), theta.dtype, theta.vdevice)
    rank = len(size)
    if rank not in (2, 3):
        raise TypeCheckError(f"size must be (H, W) or (D, H, W), got {size}")
    require_equal(dims[1], rank, "affine_grid: the rows of a matrix")
    require_equal(dims[2], rank + 1, "affine_grid: the columns of a matrix")
    return TensorType((dims[0], rank, *size), theta.dtype, theta.vdevice)


def _steps(n: int, dtype: np.dtype[Any], *, align_corners: bool) -> Array:
    i = np.arange(n, dtype=np.float64)
    if align_corners:
        return (2 * i / max(n - 1, 1) - (n > 1)).astype(dtype)
    return ((2 * i + 1) / max(n, 1) - 1).astype(dtype)


def _affine(theta: Array, size: tuple[int, ...], *, align_corners: bool) -> Array:
    wide = up(theta)
    axes = [_steps(n, wide.dtype, align_corners=align_corners) for n in size]
    # The last axis of the image is x, the first coordinate.
    grid = np.stack([*reversed(np.meshgrid(*axes, indexing="ij")), np.ones(size, wide.dtype)])
    flat = grid.reshape(len(size) + 1, -1)
    return down((wide @ flat).reshape(theta.shape[0], len(size), *size), theta)


def _step(i: PrimExpr, n: Dim, dtype: str, *, align_corners: bool) -> PrimExpr:
    size = from_dim(n)
    at = cast_to(i, "float64")
    if align_corners:
        apart = Select(size > 1, size - 1, IntImm(1))
        first = Select(size > 1, const(1, "float64"), const(0, "float64"))
        return cast_to(at * const(2, "float64") / cast_to(apart, "float64") - first, dtype)
    return cast_to(
        (at * const(2, "float64") + const(1, "float64")) / cast_to(size, "float64")
        - const(1, "float64"),
        dtype,
    )


def _affine_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    theta, shape = tensor(args[0]), out_dims(out)
    wide, corners = wide_dtype(theta.dtype), bool(attrs["align_corners"])

    def body(n: PrimExpr, row: PrimExpr, *at: PrimExpr) -> PrimExpr:
        total = widen(theta[[n, row, IntImm(len(at))]])
        for k, (i, d) in enumerate(zip(reversed(at), reversed(shape[2:]), strict=True)):
            total = total + widen(theta[[n, row, IntImm(k)]]) * _step(
                i, d, wide, align_corners=corners
            )
        return cast_to(total, theta.dtype)

    return gather_from("affine_grid", out, body)


# grid_sample ------------------------------------------------------------------------------------

_METHODS = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")
_CUBIC = -0.75  # Source: torch.nn.functional.grid_sample


def _infer_grid_sample(types: Sequence[Type], attrs: Attrs) -> Type:
    x, grid = tensor_type(types[0], "data"), tensor_type(types[1], "grid")
    str_attr(attrs, "method", *_METHODS)
    str_attr(attrs, "padding_mode", *_PADDINGS)
    str_attr(attrs, "layout", "NCHW")
    require_rank(x, 4, "data")
    require_rank(grid, 4, "grid")
    require_float(x, "data")
    dims, at = known_dims(x), known_dims(grid)
    if dims is None or at is None:
        return TensorType(UnknownShape(4), x.dtype, x.vdevice)
    require_equal(dims[0], at[0], "grid_sample: the batch of data and grid")
    require_equal(at[1], 2, "grid_sample: x and y in axis 1 of the grid")
    return TensorType((*dims[:2], *at[2:]), x.dtype, x.vdevice)


def _place(g: Array, n: int, *, align_corners: bool) -> Array:
    return (g + 1) * (n - 1) / 2 if align_corners else ((g + 1) * n - 1) / 2


def _reflect(v: Array, n: int, *, align_corners: bool) -> Array:
    low, span = (0.0, max(n - 1, 0)) if align_corners else (-0.5, n)
    if span == 0:
        return np.zeros_like(v)
    folded = np.mod(np.abs(v - low), 2 * span)
    return np.where(folded > span, 2 * span - folded, folded) + low


def _padded(v: Array, n: int, padding: str, *, align_corners: bool) -> Array:
    if padding == "reflection":
        v = _reflect(v, n, align_corners=align_corners)
    return v if padding == "zeros" else np.clip(v, 0, max(n - 1, 0))


def _weights(t: Array) -> list[Array]:
    def near(d: Array) -> Array:
        return ((_CUBIC + 2) * d - (_CUBIC + 3)) * d * d + 1

    def far(d: Array) -> Array:
        return ((_CUBIC * d - 5 * _CUBIC) * d + 8 * _CUBIC) * d - 4 * _CUBIC

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _taps(v: Array, n: int, method: str, padding: str, *, corners: bool) -> list[tuple[Array, Any]]:
    """Return (position, weight) along one axis; a position outside counts 0."""
    if method != "bicubic":
        v = _padded(v, n, padding, align_corners=corners)
    if method == "nearest":
        return [(np.rint(v), np.ones_like(v))]
    base = np.floor(v)
    t = v - base
    if method == "bilinear":
        return [(base, 1 - t), (base + 1, t)]
    where = [_padded(base + k, n, padding, align_corners=corners) for k in (-1, 0, 1, 2)]
    return list(zip(where, _weights(t), strict=True))


def _grid_sample(
    x: Array, grid: Array, *, method: str, layout: str, padding_mode: str, align_corners: bool
) -> Array:
    wide, at = up(x), up(grid)
    n, _, height, width = x.shape
    sides = ((at[:, 1], height), (at[:, 0], width))
    rows, columns = (
        _taps(_place(v, d, align_corners=align_corners), d, method, padding_mode,
              corners=align_corners)
        for v, d in sides
    )  # fmt: skip
    batch = np.arange(n)[:, None, None]
    total: Array = np.zeros((n, x.shape[1], *grid.shape[2:]), wide.dtype)
    if height == 0 or width == 0:
        return down(total, x)
    for r, rw in rows:
        for c, cw in columns:
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            i, j = (
                np.clip(np.nan_to_num(v), 0, d - 1).astype(np.int64)
                for v, d in ((r, height), (c, width))
            )
            value = wide[batch, :, i, j].transpose(0, 3, 1, 2)
            total = total + np.where(inside[:, None], value * (rw * cw)[:, None], 0)
    return down(total.astype(wide.dtype), x)


_Tap = tuple[PrimExpr, PrimExpr]


def _padded_te(v: PrimExpr, n: Dim, padding: str, *, align_corners: bool) -> PrimExpr:
    dtype = v.dtype
    zero, last = const(0, dtype), cast_to(from_dim(n) - 1, dtype)
    if padding == "reflection":
        low = zero if align_corners else const(-0.5, dtype)
        span = last if align_corners else last + const(1, dtype)
        some = Select(span > zero, span, const(1, dtype))
        away = call("fabs", v - low)
        folded = away - call("floor", away / (some * const(2, dtype))) * some * const(2, dtype)
        back = Select(folded > some, some * const(2, dtype) - folded, folded) + low
        v = Select(span > zero, back, zero)
    return v if padding == "zeros" else maximum(minimum(v, last), zero)


def _taps_te(v: PrimExpr, n: Dim, method: str, padding: str, *, corners: bool) -> list[_Tap]:
    dtype = v.dtype
    one, two = const(1, dtype), const(2, dtype)
    if method != "bicubic":
        v = _padded_te(v, n, padding, align_corners=corners)
    if method == "nearest":
        return [(call("round", v), one)]
    base = call("floor", v)
    t = v - base
    if method == "bilinear":
        return [(base, one - t), (base + one, t)]
    where = [
        _padded_te(base + const(k, dtype), n, padding, align_corners=corners) for k in (-1, 0, 1, 2)
    ]

    def near(d: PrimExpr) -> PrimExpr:
        return (d * (_CUBIC + 2) - (_CUBIC + 3)) * d * d + 1

    def far(d: PrimExpr) -> PrimExpr:
        return ((d * _CUBIC - 5 * _CUBIC) * d + 8 * _CUBIC) * d - 4 * _CUBIC

    return list(zip(where, (far(t + 1), near(t), near(one - t), far(two - t)), strict=True))


def _grid_sample_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, grid = tensor(args[0]), tensor(args[1])
    method, padding = str_attr(attrs, "method"), str_attr(attrs, "padding_mode")
    corners, wide = bool(attrs["align_corners"]), wide_dtype(x.dtype)
    height, width = x.shape[2:]

    def place(g: PrimExpr, n: Dim) -> PrimExpr:
        g = cast_to(g, wide) + 1
        size = cast_to(from_dim(n), wide)
        return g * (size - 1) / 2 if corners else (g * size - 1) / 2

    def body(n: PrimExpr, channel: PrimExpr, i: PrimExpr, j: PrimExpr) -> PrimExpr:
        y, at = (grid[[n, IntImm(k), i, j]] for k in (1, 0))
        rows = _taps_te(place(y, height), height, method, padding, corners=corners)
        columns = _taps_te(place(at, width), width, method, padding, corners=corners)
        total: PrimExpr = const(0, wide)
        for r, rw in rows:
            for c, cw in columns:
                r64, c64 = cast_to(r, "int64"), cast_to(c, "int64")
                inside = conjunction(
                    r >= 0, r < cast_to(from_dim(height), wide),
                    c >= 0, c < cast_to(from_dim(width), wide),
                )  # fmt: skip
                value = widen(x[[n, channel, clip_index(r64, height), clip_index(c64, width)]])
                total = total + Select(inside, value * (rw * cw), const(0, wide))
        return cast_to(total, x.dtype)

    return gather_from("grid_sample", out, body)


GRID: tuple[OpDef, ...] = (
    OpDef(
        "image.affine_grid",
        (Operand("data"), Operand("size", OperandKind.SHAPE)),
        _infer_affine,
        _affine,
        OpKind.OPAQUE,
        attrs=(Attr("align_corners", "bool", default=True),),
        compute=_affine_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("AffineGrid",),
        samples=lambda: [
            Sample(((2, 2, 3), ("shape", (4, 5)))),
            Sample(((1, 2, 3), ("shape", (1, 3))), {"align_corners": False}),
            Sample(((2, 3, 4), ("shape", (2, 3, 1)))),
            Sample((("n", 2, 3), ("shape", ("h", 3))), {"align_corners": False}),
        ],
    ),
    OpDef(
        "image.grid_sample",
        (Operand("data"), Operand("grid")),
        _infer_grid_sample,
        _grid_sample,
        OpKind.GATHER,
        attrs=(
            Attr("method", "str", "bilinear"),
            Attr("layout", "str", "NCHW"),
            Attr("padding_mode", "str", "zeros"),
            Attr("align_corners", "bool", default=False),
        ),
        compute=_grid_sample_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("GridSample",),
        samples=lambda: [
            *(
                Sample(
                    ((1, 2, 4, 5), (1, 2, 3, 2)),
                    {"method": method, "padding_mode": padding, "align_corners": corners},
                    ranges={1: (-1.4, 1.4)},
                )
                for method in _METHODS
                for padding in _PADDINGS
                for corners in (False, True)
            ),
            Sample((("n", 1, "h", 3), ("n", 2, 2, "m")), {}, ranges={1: (-1.2, 1.2)}),
        ],
    ),
)
