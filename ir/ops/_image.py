"""Resizing images.

Positions are exact: the source of output i is the rational numerator(i) / denominator, so that
rounding never depends on the precision of a float.
"""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eqsat.ir._expr import Attrs, AttrValue
from eqsat.ir._op import (
    Attr,
    ComputeArg,
    Numerics,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._te import Tensor
from eqsat.ir._tir import PrimExpr, Select, const, equal, from_dim
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    Compute,
    Infer,
    cast_to,
    clip_index,
    dtype_attr,
    float_attr,
    gather_from,
    int_attr,
    known_dims,
    out_dims,
    out_dtype,
    require_elements,
    require_float,
    require_rank,
    shape_type,
    str_attr,
    tensor,
    tensor_type,
)
from eqsat.ir.ops._window import layout_axes, place
from eqsat.shapes import (
    Dim,
    Shape,
    bits,
    convert,
    dim_max,
    dtype_name,
    is_float,
    wide_dtype,
)

_MODES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
_METHODS = ("nearest_neighbor", "nearest", "linear", "cubic")
_ROUNDING = ("round", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "")


def _infer_resize(letters: str) -> Infer:
    def infer(types: Sequence[Type], attrs: Attrs) -> Type:
        return _resized_type(types, attrs, letters)

    return infer


def _resized_type(types: Sequence[Type], attrs: Attrs, letters: str) -> Type:
    x, size = tensor_type(types[0], "data"), shape_type(types[1], "size")
    ndim = len(letters)
    require_rank(x, ndim, "data")
    str_attr(attrs, "coordinate_transformation_mode", *_MODES)
    str_attr(attrs, "rounding_method", *_ROUNDING)
    if not str_attr(attrs, "method", *_METHODS).startswith("nearest"):
        require_float(x, "data")
    axes = layout_axes(attrs, "layout", letters)
    dtype = dtype_attr(attrs, "out_dtype", x.dtype)
    if size.ndim not in (-1, ndim - 2):
        raise TypeCheckError(f"size must have {ndim - 2} sizes, got {size}")
    dims = known_dims(x)
    if dims is None or isinstance(size.dims, UnknownShape):
        return TensorType(UnknownShape(ndim), dtype, x.vdevice)
    result = list(dims)
    for axis, d in zip(axes[2:], size.dims, strict=True):
        require_elements(dims[axis], f"resize: axis {axis} of data")
        require_elements(d, f"resize: axis {axis} of the result")
        result[axis] = d
    return TensorType(tuple(result), dtype, x.vdevice)


def _rounding(attrs: Attrs) -> str:
    """Return how positions are rounded; "" leaves it to the coordinates."""
    given = str_attr(attrs, "rounding_method")
    mode = str_attr(attrs, "coordinate_transformation_mode")
    return given or ("round" if mode == "align_corners" else "floor")


def _each(size: Shape, count: int) -> Shape:
    """Return a size for each spatial axis; one stands for all."""
    return size if len(size) == count else size * count


# Reference --------------------------------------------------------------------------------------


def _source(out: int, size: int, mode: str) -> tuple[Array, int]:
    """Return numerators and the denominator of the positions in an axis of `size`."""
    i = np.arange(out, dtype=np.int64)
    match mode:
        case "align_corners":
            return i * (size - 1), max(out - 1, 1)
        case "asymmetric":
            return i * size, max(out, 1)
        case "pytorch_half_pixel" if out <= 1:
            return i * 0, 1
        case _:
            return (2 * i + 1) * size - out, max(2 * out, 1)


def _rounded(numerator: Array, denominator: int, rounding: str) -> Array:
    exact_half = (2 * numerator + denominator) % (2 * denominator) == 0
    up_half = (2 * numerator + denominator) // (2 * denominator)
    match rounding:
        case "floor":
            return numerator // denominator
        case "ceil":
            return -(-numerator // denominator)
        case "round_prefer_floor":
            return np.where(exact_half, up_half - 1, up_half)
        case "round_prefer_ceil":
            return up_half
        case _:
            return np.where(exact_half & (up_half % 2 == 1), up_half - 1, up_half)


def _taps(size: int, out: int, attrs: Attrs, dtype: np.dtype[Any]) -> list[tuple[Array, Array]]:
    """Return (positions, weights) whose weighted sum is the resized axis."""
    method = str_attr(attrs, "method")
    numerator, denominator = _source(out, size, str_attr(attrs, "coordinate_transformation_mode"))
    if method.startswith("nearest"):
        where = _rounded(numerator, denominator, _rounding(attrs))
        return [(where, np.ones(out, dtype))]
    base = numerator // denominator
    t = ((numerator - base * denominator) / denominator).astype(dtype)
    if method == "linear":
        return [(base, 1 - t), (base + 1, t)]
    a = float_attr(attrs, "cubic_alpha")
    weights = [_cubic(t + 1, a), _cubic(t, a), _cubic(1 - t, a), _cubic(2 - t, a)]
    if int_attr(attrs, "cubic_exclude"):
        inside = [(base + k - 1 >= 0) & (base + k - 1 < size) for k in range(4)]
        weights = [w * i for w, i in zip(weights, inside, strict=True)]
        total = sum(weights[1:], weights[0])
        weights = [w / total for w in weights]
    return [(base + k - 1, w) for k, w in enumerate(weights)]


def _cubic(t: Array, a: float) -> Array:
    """Return Keys' kernel at distance `t` in [0, 2]."""
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.where(t <= 1, near, far)


def _resize2d(x: Array, size: tuple[int, ...], **attrs: AttrValue) -> Array:
    return _resize(x, size, attrs, "NCHW")


def _resize3d(x: Array, size: tuple[int, ...], **attrs: AttrValue) -> Array:
    return _resize(x, size, attrs, "NCDHW")


def _resize(x: Array, size: tuple[int, ...], attrs: Attrs, letters: str) -> Array:
    axes = layout_axes(attrs, "layout", letters)
    own = dtype_name(x.dtype)
    out = str(attrs["out_dtype"] or own)
    result = convert(x, _working_dtype(own, out))
    integral = result.dtype.kind in "iub"
    for axis, n in zip(axes[2:], _each(size, x.ndim - 2), strict=True):
        assert isinstance(n, int)
        old = result.shape[axis]
        shape = tuple(-1 if a == axis else 1 for a in range(x.ndim))
        total: Array | None = None
        for where, weight in _taps(
            old, n, attrs, np.dtype(np.float32) if integral else result.dtype
        ):
            part = np.take(result, np.clip(where, 0, old - 1), axis)
            part = part if integral else part * weight.reshape(shape)
            total = part if total is None else total + part
        assert total is not None
        result = total
    return convert(result, out)


def _working_dtype(dtype: str, out: str) -> str:
    """Return the dtype of weights and sums: the wider of those of the data and of the result."""
    wide = wide_dtype(dtype)
    return out if is_float(wide) and is_float(out) and bits(out) > bits(wide) else wide


# Compute ----------------------------------------------------------------------------------------


def _source_te(i: PrimExpr, out: Dim, size: Dim, mode: str) -> tuple[PrimExpr, PrimExpr]:
    match mode:
        case "align_corners":
            return i * from_dim(size - 1), from_dim(dim_max(out - 1, 1))
        case "asymmetric":
            return i * from_dim(size), from_dim(out)
        case _:
            half = (i * 2 + 1) * from_dim(size) - from_dim(out)
            if mode == "pytorch_half_pixel":
                half = Select(from_dim(out) > 1, half, from_dim(0))
            return half, from_dim(2 * out)


def _rounded_te(numerator: PrimExpr, denominator: PrimExpr, rounding: str) -> PrimExpr:
    twice = numerator * 2 + denominator
    is_half = equal(twice % (denominator * 2), 0)
    up_half = twice // (denominator * 2)
    match rounding:
        case "floor":
            return numerator // denominator
        case "ceil":
            return (numerator + denominator - 1) // denominator
        case "round_prefer_floor":
            return Select(is_half, up_half - 1, up_half)
        case "round_prefer_ceil":
            return up_half
        case _:
            return Select(is_half, up_half - up_half % 2, up_half)


def _taps_te(
    i: PrimExpr, size: Dim, out: Dim, attrs: Attrs, dtype: str
) -> list[tuple[PrimExpr, PrimExpr | None]]:
    """Return (position, weight) of every tap; no weight where the one tap is taken as it is."""
    mode, method = str_attr(attrs, "coordinate_transformation_mode"), str_attr(attrs, "method")
    numerator, denominator = _source_te(i, out, size, mode)
    if method.startswith("nearest"):
        where = _rounded_te(numerator, denominator, _rounding(attrs))
        return [(clip_index(where, size), None)]
    base = numerator // denominator
    rest = cast_to(numerator - base * denominator, dtype)
    t = rest / cast_to(denominator, dtype)
    if method == "linear":
        one = const(1, dtype)
        return [(clip_index(base, size), one - t), (clip_index(base + 1, size), t)]
    a = float_attr(attrs, "cubic_alpha")
    one, two = const(1, dtype), const(2, dtype)
    weights = [_far_te(t + 1, a), _near_te(t, a), _near_te(one - t, a), _far_te(two - t, a)]
    where = [base + (k - 1) for k in range(4)]
    if int_attr(attrs, "cubic_exclude"):
        zero, n = const(0, dtype), from_dim(size)
        weights = [
            Select(p >= 0, Select(p < n, w, zero), zero)
            for p, w in zip(where, weights, strict=True)
        ]
        total = weights[0] + weights[1] + weights[2] + weights[3]
        weights = [w / total for w in weights]
    return [(clip_index(p, size), w) for p, w in zip(where, weights, strict=True)]


def _near_te(t: PrimExpr, a: float) -> PrimExpr:
    return (t * (a + 2) - (a + 3)) * t * t + 1


def _far_te(t: PrimExpr, a: float) -> PrimExpr:
    return ((t * a - 5 * a) * t + 8 * a) * t - 4 * a


def _resize_compute(letters: str) -> Compute:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> Tensor:
        x, shape, dtype = tensor(args[0]), out_dims(out), out_dtype(out)
        axes = layout_axes(attrs, "layout", letters)
        wide = _working_dtype(x.dtype, dtype)

        def body(*at: PrimExpr) -> PrimExpr:
            n, c = at[axes[0]], at[axes[1]]
            taps = [_taps_te(at[a], x.shape[a], shape[a], attrs, wide) for a in axes[2:]]
            total: PrimExpr | None = None
            for chosen in itertools.product(*taps):
                value: PrimExpr = x[place([n, c, *(where for where, _ in chosen)], axes)]
                weights = [w for _, w in chosen if w is not None]
                if weights:
                    value = cast_to(value, wide) * math.prod(weights[1:], start=weights[0])
                total = value if total is None else total + value
            assert total is not None
            return cast_to(total, dtype)

        return gather_from("resize", out, body)

    return build


def _samples() -> Sequence[Sample]:
    result = [
        Sample(
            ((1, 2, 4, 5), ("shape", (7, 3))),
            {"method": method, "coordinate_transformation_mode": m},
        )
        for method in ("nearest_neighbor", "linear", "cubic")
        for m in _MODES
    ]
    result += [
        Sample(
            ((1, 1, 4, 6), ("shape", (8, 3))),
            {
                "method": "nearest_neighbor",
                "rounding_method": r,
                "coordinate_transformation_mode": "asymmetric",
            },
            ("int64",),
        )
        for r in _ROUNDING
    ]
    result += [
        Sample(
            ((1, 1, 4, 6), ("shape", (7, 9))),
            {
                "method": "nearest_neighbor",
                "rounding_method": "",
                "coordinate_transformation_mode": m,
            },
        )
        for m in _MODES
    ]
    return [
        *result,
        Sample(((1, 4, 4, 2), ("shape", (8, 8))), {"layout": "NHWC"}, ("float16",)),
        Sample(((1, 1, 4, 4), ("shape", (6, 7))), {"method": "cubic", "cubic_exclude": 1}),
        Sample((("n", 2, "h", 4), ("shape", ("2 * h", 8))), {"method": "linear"}),
    ]


def _samples_3d() -> Sequence[Sample]:
    return [
        *(
            Sample(
                ((1, 2, 3, 4, 5), ("shape", (5, 3, 7))),
                {"method": method, "coordinate_transformation_mode": m},
            )
            for method in ("nearest_neighbor", "linear", "cubic")
            for m in ("half_pixel", "align_corners")
        ),
        Sample(((1, 3, 4, 4, 2), ("shape", (4, 4, 4))), {"layout": "NDHWC"}, ("float16",)),
        Sample((("n", 1, "h", 4, 2), ("shape", ("2 * h", 8, 3))), {"method": "linear"}),
    ]


def _resize_op(
    name: str,
    letters: str,
    reference: Callable[..., Array],
    rounding: str,
    samples: Callable[[], Sequence[Sample]],
    onnx: tuple[str, ...] = (),
) -> OpDef:
    return OpDef(
        name,
        (Operand("data"), Operand("size", OperandKind.SHAPE)),
        _infer_resize(letters),
        reference,
        OpKind.GATHER,
        attrs=(
            Attr("roi", "floats", None, optional=True),
            Attr("layout", "str", letters),
            Attr("method", "str", "linear"),
            Attr("coordinate_transformation_mode", "str", "half_pixel"),
            Attr("rounding_method", "str", rounding),
            Attr("cubic_alpha", "float", -0.75),
            Attr("cubic_exclude", "int", 0),
            Attr("extrapolation_value", "float", 0.0),
            Attr("out_dtype", "dtype", None, optional=True),
        ),
        compute=_resize_compute(letters),
        numerics=Numerics.REASSOCIATING,
        onnx=onnx,
        samples=samples,
    )


IMAGE: tuple[OpDef, ...] = (
    _resize_op("image.resize2d", "NCHW", _resize2d, "round", _samples, ("Resize", "Upsample")),
    _resize_op("image.resize3d", "NCDHW", _resize3d, "", _samples_3d),
)
