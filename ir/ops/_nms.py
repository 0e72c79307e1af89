"""Non-maximum suppression: boxes that overlap a better one are dropped."""

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
from eqsat.ir._op import Attr, OpDef, Operand, OpKind, Sample
from eqsat.ir._types import (
    UNKNOWN_DTYPE,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    UnknownShape,
)
from eqsat.ir.ops._common import (
    Array,
    float_attr,
    int_attr,
    known_dims,
    require_equal,
    require_float,
    require_rank,
    same_dtype,
    str_attr,
    tensor_type,
)
from eqsat.shapes import Dim

# get_valid_counts -------------------------------------------------------------------------------


def _require_columns(attrs: Attrs, count: Dim, what: str, **widths: int) -> None:
    """Raise where an index is outside a box of `count` numbers; an id_index below 0 is none."""
    for name, width in widths.items():
        first = int_attr(attrs, name)
        if first < 0 or (isinstance(count, int) and first + width > count):
            raise TypeCheckError(f"{what}: {name} {first} is outside a box of {count} numbers")
    place = int_attr(attrs, "id_index")
    if place < -1 or (isinstance(count, int) and place >= count):
        raise TypeCheckError(f"{what}: id_index {place} is outside a box of {count} numbers")


def _infer_valid_counts(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    require_rank(x, 3, "data")
    require_float(x, "data")
    dims = known_dims(x)
    if dims is not None:
        _require_columns(attrs, dims[2], "get_valid_counts", score_index=1)

    def rest(*axes: int, dtype: str) -> TensorType:
        shape = UnknownShape(len(axes)) if dims is None else tuple(dims[a] for a in axes)
        return TensorType(shape, dtype, x.vdevice)

    return TupleType((rest(0, dtype="int32"), rest(0, 1, 2, dtype=x.dtype),
                      rest(0, 1, dtype="int32")))  # fmt: skip


def _valid_counts(
    x: Array, *, score_threshold: float, id_index: int, score_index: int
) -> tuple[Array, Array, Array]:
    batch, count, _ = x.shape
    kept = x[:, :, score_index] > np.asarray(score_threshold, x.dtype)
    if id_index >= 0:
        kept &= x[:, :, id_index] >= 0
    boxes = np.full(x.shape, -1, x.dtype)
    places = np.full((batch, count), -1, np.int32)
    for b in range(batch):
        (rows,) = np.nonzero(kept[b])
        boxes[b, : len(rows)] = x[b, rows]
        places[b, : len(rows)] = rows
    return kept.sum(axis=1).astype(np.int32), boxes, places


# non_max_suppression ----------------------------------------------------------------------------


def _infer_nms(types: Sequence[Type], attrs: Attrs) -> Type:
    x, counts, places = (
        tensor_type(t, n) for t, n in zip(types, ("data", "valid_count", "indices"), strict=True)
    )
    for t, rank, name in ((x, 3, "data"), (counts, 1, "valid_count"), (places, 2, "indices")):
        require_rank(t, rank, name)
    require_float(x, "data")
    for t, name in ((counts, "valid_count"), (places, "indices")):
        if t.dtype not in (UNKNOWN_DTYPE, "int32"):
            raise TypeCheckError(f"{name} must be int32, got {t}; convert it with astype")
    dims, c, p = known_dims(x), known_dims(counts), known_dims(places)
    if dims is not None:
        _require_columns(attrs, dims[2], "non_max_suppression", coord_start=4, score_index=1)
    if dims is not None:
        if c is not None:
            require_equal(c[0], dims[0], "non_max_suppression: a count for each image")
        if p is not None:
            require_equal(p[0], dims[0], "non_max_suppression: indices for each image")
            require_equal(p[1], dims[1], "non_max_suppression: an index for each box")
    if not attrs["return_indices"]:
        return x
    found = TensorType(UnknownShape(2) if dims is None else dims[:2], "int32", x.vdevice)
    number = TensorType(UnknownShape(2) if dims is None else (dims[0], 1), "int32", x.vdevice)
    if float_attr(attrs, "soft_nms_sigma") > 0:
        return TupleType((x, found, number))
    return TupleType((found, number))


def overlap(box: Array, others: Array) -> Array:
    """Return the area of the intersection over that of the union; corners in any order."""
    low, high = np.minimum(others[:, :2], others[:, 2:]), np.maximum(others[:, :2], others[:, 2:])
    own_low, own_high = np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:])
    sides = np.clip(np.minimum(high, own_high) - np.maximum(low, own_low), 0, None)
    shared = sides[:, 0] * sides[:, 1]
    area = np.prod(high - low, axis=1) + np.prod(own_high - own_low) - shared
    return np.where(area > 0, shared / np.where(area > 0, area, 1), 0)


def _nms(
    x: Array, valid_count: Array, indices: Array, *, return_indices: bool, **attrs: Any
) -> Any:
    keeps_place = not return_indices and not attrs["invalid_to_bottom"]
    result = np.full(x.shape, -1, x.dtype)
    found = np.full(x.shape[:2], -1, np.int32)
    numbers = np.zeros((x.shape[0], 1), np.int32)
    for b in range(x.shape[0]):
        scores = x[b, : int(valid_count[b]), attrs["score_index"]]
        order = np.argsort(-scores, kind="stable")
        order = order[: attrs["top_k"]] if attrs["top_k"] > 0 else order
        boxes = x[b, order].copy()
        rows = np.array(_suppressed(boxes, attrs), int)
        numbers[b] = len(rows)
        found[b, : len(rows)] = indices[b, order[rows]]
        result[b, rows if keeps_place else slice(len(rows))] = boxes[rows]
    if not return_indices:
        return result
    return (result, found, numbers) if attrs["soft_nms_sigma"] > 0 else (found, numbers)


def _suppressed(boxes: Array, attrs: Attrs) -> list[int]:
    """Return the rows that stay, in the order chosen; soft suppression lowers scores in place."""
    id_index, score, first = (attrs[n] for n in ("id_index", "score_index", "coord_start"))
    most, sigma = attrs["max_output_size"], float_attr(attrs, "soft_nms_sigma")
    assert isinstance(id_index, int)
    assert isinstance(score, int)
    assert isinstance(first, int)
    assert isinstance(most, int)
    alive = boxes[:, score] > 0
    if id_index >= 0:
        alive &= boxes[:, id_index] >= 0
    taken: list[int] = []
    while alive.any() and not 0 <= most <= len(taken):
        rest = np.flatnonzero(alive)
        k = int(rest[np.argmax(boxes[rest, score])] if sigma > 0 else rest[0])
        if sigma > 0 and boxes[k, score] < float_attr(attrs, "score_threshold"):
            break
        taken.append(k)
        alive[k] = False
        others = np.flatnonzero(alive)
        if id_index >= 0 and not attrs["force_suppress"]:
            others = others[boxes[others, id_index] == boxes[k, id_index]]
        corners = slice(first, first + 4)
        share = overlap(boxes[k, corners], boxes[others, corners])
        if sigma > 0:
            boxes[others, score] *= np.exp(-(share**2) / sigma)
        else:
            alive[others[share >= float_attr(attrs, "iou_threshold")]] = False
    return taken


# all_class_non_max_suppression ------------------------------------------------------------------


def _infer_all_class(types: Sequence[Type], attrs: Attrs) -> Type:
    boxes, scores = tensor_type(types[0], "boxes"), tensor_type(types[1], "scores")
    require_rank(boxes, 3, "boxes")
    require_rank(scores, 3, "scores")
    same_dtype(boxes, scores)
    require_float(scores, "scores")
    for t, name in zip(types[2:], ("max_output_boxes_per_class", "iou_threshold",
                                   "score_threshold"), strict=True):  # fmt: skip
        if tensor_type(t, name).ndim > 1:
            raise TypeCheckError(f"{name} must be a scalar, got {t}")
    form = str_attr(attrs, "output_format", "onnx", "tensorflow")
    b, s = known_dims(boxes), known_dims(scores)
    if b is not None and s is not None:
        require_equal(b[0], s[0], "all_class_non_max_suppression: the batch")
        require_equal(b[1], s[2], "all_class_non_max_suppression: the boxes")
    if b is not None:
        require_equal(b[2], 4, "all_class_non_max_suppression: the corners of a box")
    device = boxes.vdevice
    if form == "onnx":
        rows = UnknownShape(2) if s is None else (s[0] * s[1] * s[2], 3)
        return TupleType((TensorType(rows, "int64", device), TensorType((1,), "int64", device)))
    if s is None:
        return TupleType((TensorType(UnknownShape(3), "int64", device),
                          TensorType(UnknownShape(2), "float32", device),
                          TensorType(UnknownShape(1), "int64", device)))  # fmt: skip
    count = s[1] * s[2]
    return TupleType((TensorType((s[0], count, 2), "int64", device),
                      TensorType((s[0], count), "float32", device),
                      TensorType((s[0],), "int64", device)))  # fmt: skip


def _kept(boxes: Array, scores: Array, most: int, iou: float, least: float) -> list[int]:
    """Return the boxes of one class that stay, the best first."""
    order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] > least]
    taken: list[int] = []
    for i in order:
        if len(taken) >= most:
            break
        if not taken or not np.any(overlap(boxes[i], boxes[taken]) > iou):
            taken.append(i)
    return taken


def _all_class(
    boxes: Array, scores: Array, most: Array, iou: Array, least: Array, *, output_format: str
) -> Any:
    batch, classes, count = scores.shape
    number, share, low = (np.asarray(v).reshape(-1)[0] for v in (most, iou, least))
    found = {
        (b, c): _kept(boxes[b], scores[b, c], int(number), float(share), float(low))
        for b in range(batch)
        for c in range(classes)
    }
    if output_format == "onnx":
        rows = [(b, c, i) for (b, c), kept in found.items() for i in kept]
        result = np.zeros((batch * classes * count, 3), np.int64)
        if rows:
            result[: len(rows)] = rows
        return result, np.array([len(rows)], np.int64)
    places = np.zeros((batch, classes * count, 2), np.int64)
    values = np.zeros((batch, classes * count), np.float32)
    numbers = np.zeros(batch, np.int64)
    for (b, c), kept in found.items():
        for i in kept:
            places[b, numbers[b]] = (c, i)
            values[b, numbers[b]] = scores[b, c, i]
            numbers[b] += 1
    return places, values, numbers


NMS: tuple[OpDef, ...] = (
    OpDef(
        "vision.get_valid_counts",
        (Operand("data"),),
        _infer_valid_counts,
        _valid_counts,
        OpKind.OPAQUE,
        attrs=(
            Attr("score_threshold", "float", 0.0),
            Attr("id_index", "int", 0),
            Attr("score_index", "int", 1),
        ),
        samples=lambda: [
            Sample(((2, 5, 6),)),
            Sample((("n", 4, 6),), {"score_threshold": 0.5, "id_index": -1}),
        ],
    ),
    OpDef(
        "vision.non_max_suppression",
        (Operand("data"), Operand("valid_count"), Operand("indices")),
        _infer_nms,
        _nms,
        OpKind.OPAQUE,
        attrs=(
            Attr("max_output_size", "int", -1),
            Attr("iou_threshold", "float", 0.5),
            Attr("force_suppress", "bool", default=False),
            Attr("top_k", "int", -1),
            Attr("coord_start", "int", 2),
            Attr("score_index", "int", 1),
            Attr("id_index", "int", 0),
            Attr("return_indices", "bool", default=True),
            Attr("invalid_to_bottom", "bool", default=False),
            Attr("soft_nms_sigma", "float", 0.0),
            Attr("score_threshold", "float", 0.0),
        ),
        samples=lambda: [
            Sample(
                ((2, 5, 6), (2,), (2, 5)),
                attrs,
                ("float32", "int32", "int32"),
                0.0,
                1.0,
                ranges={1: (0, 6), 2: (0, 5)},
            )
            for attrs in (
                {},
                {"return_indices": False, "iou_threshold": 0.2, "id_index": -1},
                {"invalid_to_bottom": True, "return_indices": False},
                {"soft_nms_sigma": 0.5, "score_threshold": 0.1},
                {"max_output_size": 2, "top_k": 4, "force_suppress": True},
            )
        ],
    ),
    OpDef(
        "vision.all_class_non_max_suppression",
        (
            Operand("boxes"),
            Operand("scores"),
            Operand("max_output_boxes_per_class"),
            Operand("iou_threshold"),
            Operand("score_threshold"),
        ),
        _infer_all_class,
        _all_class,
        OpKind.OPAQUE,
        attrs=(Attr("output_format", "str", "onnx"),),
        onnx=("NonMaxSuppression",),
        samples=lambda: [
            Sample(
                ((2, 5, 4), (2, 3, 5), (), (), ()),
                {"output_format": form},
                ("float32", "float32", "int64", "float32", "float32"),
                0.0,
                1.0,
                ranges={2: (2, 3), 3: (0.3, 0.5), 4: (0.1, 0.3)},
            )
            for form in ("onnx", "tensorflow")
        ],
    ),
)
