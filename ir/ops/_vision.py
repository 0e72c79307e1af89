"""Sampling images at positions that are data: grids of them, and pooled regions."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    REQUIRED,
    Attr,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OpKind,
    Sample,
)
from eqsat.ir._te import compute
from eqsat.ir._tir import IntImm, PrimExpr, Select, const
from eqsat.ir._types import TensorType, TupleType, Type, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    call,
    cast_to,
    down,
    float_attr,
    ints,
    known_dims,
    maximum,
    minimum,
    require_elements_for,
    require_equal,
    require_float,
    require_rank,
    same_dtype,
    str_attr,
    tensor,
    tensor_type,
    up,
    widen,
)
from eqsat.ir.ops._nn_activation import softmax_stages
from eqsat.shapes import wide_dtype

# regions ----------------------------------------------------------------------------------------


def _infer_region(types: Sequence[Type], attrs: Attrs) -> Type:
    x, rois = tensor_type(types[0], "data"), tensor_type(types[1], "rois")
    layout = str_attr(attrs, "layout", "NCHW", "NHWC")
    if "mode" in attrs:
        str_attr(attrs, "mode", "avg", "max")
    require_rank(x, 4, "data")
    require_rank(rois, 2, "rois")
    require_float(x, "data")
    dtype = same_dtype(x, rois)
    height, width = ints(attrs["pooled_size"], 2, "pooled_size")
    dims, regions = known_dims(x), known_dims(rois)
    if regions is not None:
        require_equal(regions[1], 5, "rois have the image and two corners")
    if dims is None or regions is None:
        return TensorType(UnknownShape(4), dtype, x.vdevice)
    for a, what in zip((0, 1, 2, 3), layout, strict=True):
        if what != "C":
            require_elements_for(regions[:1], dims[a], f"axis {what} of data")
    if layout == "NHWC":
        return TensorType((regions[0], height, width, dims[3]), dtype, x.vdevice)
    return TensorType((regions[0], dims[1], height, width), dtype, x.vdevice)


def _roi_align(
    x: Array,
    rois: Array,
    *,
    pooled_size: tuple[int, ...],
    spatial_scale: float,
    sample_ratio: int,
    aligned: bool,
    layout: str,
    mode: str,
) -> Array:
    images = up(x if layout == "NCHW" else x.transpose(0, 3, 1, 2))
    height, width = ints(pooled_size, 2)
    result = np.zeros((len(rois), images.shape[1], height, width), images.dtype)
    f = images.dtype.type
    for k, roi in enumerate(up(rois)):
        image = images[int(roi[0])]
        x1, y1, x2, y2 = (roi[1:] * f(spatial_scale) - f(0.5 if aligned else 0)).astype(f)
        w, h = x2 - x1, y2 - y1
        if not aligned:
            w, h = max(w, f(1)), max(h, f(1))
        bin_h, bin_w = h / f(height), w / f(width)
        rows = sample_ratio if sample_ratio > 0 else int(np.ceil(bin_h))
        columns = sample_ratio if sample_ratio > 0 else int(np.ceil(bin_w))
        for i in range(height):
            for j in range(width):
                ys = (
                    y1
                    + f(i) * bin_h
                    + (np.arange(rows, dtype=f) + f(0.5)) * bin_h / f(max(rows, 1))
                )
                xs = (
                    x1
                    + f(j) * bin_w
                    + (np.arange(columns, dtype=f) + f(0.5)) * bin_w / f(max(columns, 1))
                )
                values = _bilinear(image, ys[:, None], xs[None, :])
                if values.size == 0:
                    continue
                flat = values.reshape(values.shape[0], -1)
                result[k, :, i, j] = flat.mean(axis=1) if mode == "avg" else flat.max(axis=1)
    return down(result if layout == "NCHW" else result.transpose(0, 2, 3, 1), x)


def _bilinear(image: Array, y: Array, x: Array) -> Array:
    """Return every channel of an image at (y, x), 0 beyond one pixel outside."""
    _, height, width = image.shape
    y, x = np.broadcast_arrays(y, x)
    outside = (y < -1) | (y > height) | (x < -1) | (x > width)
    y, x = np.clip(y, 0, None), np.clip(x, 0, None)
    top, left = np.minimum(y.astype(int), height - 1), np.minimum(x.astype(int), width - 1)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    y, x = np.minimum(y, height - 1), np.minimum(x, width - 1)
    dy, dx = y - top, x - left
    value = (
        image[:, top, left] * (1 - dy) * (1 - dx)
        + image[:, top, right] * (1 - dy) * dx
        + image[:, bottom, left] * dy * (1 - dx)
        + image[:, bottom, right] * dy * dx
    )
    return np.where(outside, 0, value)


def _corners(roi: Array, scale: float) -> tuple[int, int, int, int]:
    """Return a region in whole pixels: halves away from zero, as C's `round`."""
    scaled = roi[1:].astype(np.float32) * np.float32(scale)
    if not np.isfinite(scaled).all():
        raise ValueError(f"a region with the corners {scaled.tolist()} has no pixels")
    x1, y1, x2, y2 = (int(np.trunc(v + np.copysign(np.float32(0.5), v))) for v in scaled)
    return x1, y1, x2, y2


def _roi_pool(
    x: Array, rois: Array, *, pooled_size: tuple[int, ...], spatial_scale: float, layout: str
) -> Array:
    images = up(x if layout == "NCHW" else x.transpose(0, 3, 1, 2))
    rows, columns = ints(pooled_size, 2)
    height, width = images.shape[2:]
    result = np.zeros((len(rois), images.shape[1], rows, columns), images.dtype)
    for k, roi in enumerate(up(rois)):
        x1, y1, x2, y2 = _corners(roi, spatial_scale)
        bin_h = np.float32(max(y2 - y1 + 1, 1)) / np.float32(rows)
        bin_w = np.float32(max(x2 - x1 + 1, 1)) / np.float32(columns)
        for i in range(rows):
            for j in range(columns):
                top = min(max(int(np.floor(np.float32(i) * bin_h)) + y1, 0), height)
                bottom = min(max(int(np.ceil(np.float32(i + 1) * bin_h)) + y1, 0), height)
                left = min(max(int(np.floor(np.float32(j) * bin_w)) + x1, 0), width)
                right = min(max(int(np.ceil(np.float32(j + 1) * bin_w)) + x1, 0), width)
                if bottom > top and right > left:
                    part = images[int(roi[0]), :, top:bottom, left:right]
                    result[k, :, i, j] = part.max(axis=(1, 2))
    return down(result if layout == "NCHW" else result.transpose(0, 2, 3, 1), x)


def _region_samples(**attrs: Any) -> Callable[[], Sequence[Sample]]:
    def sample(shapes: tuple[Any, ...], **more: Any) -> Sample:
        # A region is (image, x1, y1, x2, y2), all drawn from one range: one image.
        return Sample(shapes, {**attrs, **more}, ranges={1: (0.0, 0.99)})

    return lambda: [
        sample(((1, 2, 6, 8), (3, 5)), spatial_scale=5.0),
        sample((("n", 2, 6, 8), (2, 5)), spatial_scale=7.5, pooled_size=(3, 1)),
        sample(((1, 1, 4, 4), (0, 5)), spatial_scale=1.0),
    ]


# multibox_transform_loc -------------------------------------------------------------------------


def _infer_multibox(types: Sequence[Type], attrs: Attrs) -> Type:
    scores, boxes, anchors = (
        tensor_type(t, n) for t, n in zip(types, ("cls_pred", "loc_pred", "anchor"), strict=True)
    )
    require_rank(scores, 3, "cls_pred")
    require_rank(boxes, 2, "loc_pred")
    require_rank(anchors, 3, "anchor")
    require_float(scores, "cls_pred")
    dtype = same_dtype(scores, boxes, anchors)
    s, b, a = (known_dims(t) for t in (scores, boxes, anchors))
    if s is None:
        both = TensorType(UnknownShape(3), dtype, scores.vdevice)
        return TupleType((both, both))
    if b is not None:
        require_equal(b[0], s[0], "multibox_transform_loc: the batch")
        require_equal(b[1], s[2] * 4, "multibox_transform_loc: four numbers for each anchor")
    if a is not None:
        require_equal(a[0], 1, "multibox_transform_loc: one set of anchors")
        require_equal(a[1], s[2], "multibox_transform_loc: the anchors")
        require_equal(a[2], 4, "multibox_transform_loc: the corners of an anchor")
    device = scores.vdevice
    return TupleType((TensorType((s[0], s[2], 4), dtype, device), TensorType(s, dtype, device)))


def _multibox(
    scores: Array,
    boxes: Array,
    anchors: Array,
    *,
    clip: bool,
    threshold: float,
    variances: tuple[float, ...],
    keep_background: bool,
    apply_softmax: bool,
) -> tuple[Array, Array]:
    left, top, right, bottom = np.moveaxis(up(anchors), 2, 0)
    x, y, w, h = np.moveaxis(up(boxes).reshape(boxes.shape[0], boxes.shape[1] // 4, 4), 2, 0)
    vx, vy, vw, vh = (left.dtype.type(v) for v in variances)
    two = left.dtype.type(2)
    width, height = right - left, bottom - top
    cx = x * vx * width + (left + right) / two
    cy = y * vy * height + (top + bottom) / two
    half_w, half_h = np.exp(w * vw) * width / two, np.exp(h * vh) * height / two
    found = np.stack([cy - half_h, cx - half_w, cy + half_h, cx + half_w], axis=-1)
    if clip:
        found = np.clip(found, 0, 1)
    p = up(scores)
    if apply_softmax:
        e = np.exp(p - p.max(axis=1, keepdims=True)) if p.size else p
        p = e / e.sum(axis=1, keepdims=True)
    p = np.where(p >= p.dtype.type(threshold), p, 0)
    if not keep_background and p.shape[1]:
        p = p.copy()
        p[:, 0] = 0
    return down(found, boxes), down(p, scores)


def _multibox_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    scores, boxes, anchors = (tensor(a) for a in args)
    variances = attrs["variances"]
    assert isinstance(variances, tuple)
    vx, vy, vw, vh = (float(v) for v in variances if isinstance(v, (int, float)))
    wide = wide_dtype(scores.dtype)
    batch, _, count = scores.shape

    def box(n: PrimExpr, i: PrimExpr, k: PrimExpr) -> PrimExpr:
        corner = [widen(anchors[[IntImm(0), i, IntImm(c)]]) for c in range(4)]
        code = [widen(boxes[[n, i * 4 + c]]) for c in range(4)]

        def side(axis: int, v: float, stretch: float) -> tuple[PrimExpr, PrimExpr]:
            span = corner[axis + 2] - corner[axis]
            centre = code[axis] * v * span + (corner[axis] + corner[axis + 2]) / 2
            return centre, call("exp", code[axis + 2] * stretch) * span / 2

        (cx, half_w), (cy, half_h) = side(0, vx, vw), side(1, vy, vh)
        value = Select(
            k < 2,
            Select(k < 1, cy - half_h, cx - half_w),
            Select(k < 3, cy + half_h, cx + half_w),
        )
        if attrs["clip"]:
            value = maximum(minimum(value, const(1, wide)), const(0, wide))
        return cast_to(value, boxes.dtype)

    found = compute("multibox_boxes", (batch, count, 4), box)
    p = softmax_stages(scores, 1, wide) if attrs["apply_softmax"] else scores
    limit = const(float_attr(attrs, "threshold"), wide)

    def score(n: PrimExpr, c: PrimExpr, i: PrimExpr) -> PrimExpr:
        value = widen(p[[n, c, i]])
        kept = Select(value >= limit, value, const(0, wide))
        if not attrs["keep_background"]:
            kept = Select(c > 0, kept, const(0, wide))
        return cast_to(kept, scores.dtype)

    return found, compute("multibox_scores", scores.shape, score)


VISION: tuple[OpDef, ...] = (
    OpDef(
        "vision.roi_align",
        (Operand("data"), Operand("rois")),
        _infer_region,
        _roi_align,
        OpKind.OPAQUE,
        attrs=(
            Attr("pooled_size", "ints", REQUIRED),
            Attr("spatial_scale", "float", REQUIRED),
            Attr("sample_ratio", "int", -1),
            Attr("aligned", "bool", default=False),
            Attr("layout", "str", "NCHW"),
            Attr("mode", "str", "avg"),
        ),
        numerics=Numerics.REASSOCIATING,
        onnx=("RoiAlign",),
        samples=_region_samples(pooled_size=(2, 2)),
    ),
    OpDef(
        "vision.roi_pool",
        (Operand("data"), Operand("rois")),
        _infer_region,
        _roi_pool,
        OpKind.OPAQUE,
        attrs=(
            Attr("pooled_size", "ints", REQUIRED),
            Attr("spatial_scale", "float", REQUIRED),
            Attr("layout", "str", "NCHW"),
        ),
        onnx=("MaxRoiPool",),
        samples=_region_samples(pooled_size=(2, 2)),
    ),
    OpDef(
        "vision.multibox_transform_loc",
        (Operand("cls_pred"), Operand("loc_pred"), Operand("anchor")),
        _infer_multibox,
        _multibox,
        OpKind.OPAQUE,
        attrs=(
            Attr("clip", "bool", default=False),
            Attr("threshold", "float", 0.0),
            Attr("variances", "floats", (1.0, 1.0, 1.0, 1.0)),
            Attr("keep_background", "bool", default=True),
            Attr("apply_softmax", "bool", default=True),
        ),
        compute=_multibox_compute,
        numerics=Numerics.REASSOCIATING,
        samples=lambda: [
            Sample(((2, 3, 6), (2, 24), (1, 6, 4))),
            Sample(
                ((1, 3, 5), (1, 20), (1, 5, 4)),
                {"clip": True, "apply_softmax": False, "keep_background": False, "threshold": 0.25},
            ),
            Sample((("n", 2, 4), ("n", 16), (1, 4, 4)), {"variances": (0.1, 0.1, 0.2, 0.2)}),
        ],
    ),
)
