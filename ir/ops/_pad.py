"""Padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import Attr, ComputeArg, ComputeResult, OpDef, Operand, OpKind, Sample
from eqsat.ir._tir import PrimExpr, Select, const, from_dim, select
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    clip_index,
    float_attr,
    gather_from,
    ints,
    known_dims,
    require_at_most,
    require_elements,
    require_value,
    str_attr,
    tensor,
    tensor_type,
)
from eqsat.ir.ops._window import in_bounds
from eqsat.shapes import Dim

_MODES: dict[str, Literal["constant", "reflect", "edge", "wrap"]] = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def _widths(attrs: Attrs, ndim: int) -> list[tuple[int, int]]:
    """Return (before, after) of every axis."""
    flat = ints(attrs["pad_width"], name="pad_width")
    if len(flat) != 2 * ndim:
        raise TypeCheckError(
            f"pad_width must be (before, after) of each of {ndim} axes, got {len(flat)} numbers"
        )
    return list(zip(flat[::2], flat[1::2], strict=True))


def _infer(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    mode = str_attr(attrs, "pad_mode", *_MODES)
    dims = known_dims(x)
    require_value(x.dtype, float_attr(attrs, "pad_value"), "the attribute pad_value")
    if x.ndim < 0:
        raise TypeCheckError(f"the rank of data must be known, got {x}")
    _widths(attrs, x.ndim)
    if dims is None:
        return TensorType(UnknownShape(x.ndim), x.dtype, x.vdevice)
    widths = _widths(attrs, len(dims))
    for d, (before, after) in zip(dims, widths, strict=True):
        limit = d if mode == "circular" else d - 1
        if mode in ("reflect", "circular") and max(before, after) > 0:
            what = f"{mode} padding of {before}, {after} on an axis of {d}"
            require_at_most(max(before, after), limit, what)
        if mode == "replicate" and max(before, after) > 0:
            require_elements(d, "replicate padding: the axis")
        if min(before, after) < 0 and mode != "constant":
            raise TypeCheckError(f"{mode} padding must not be negative, got {before}, {after}")
    shape = tuple(d + b + a for d, (b, a) in zip(dims, widths, strict=True))
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise TypeCheckError(f"padding by {widths} takes more than {x} has")
    return TensorType(shape, x.dtype, x.vdevice)


def _pad(x: Array, *, pad_width: tuple[int, ...], pad_mode: str, pad_value: float) -> Array:
    widths = list(zip(pad_width[::2], pad_width[1::2], strict=True))
    if pad_mode != "constant":
        return np.pad(x, widths, mode=_MODES[pad_mode])
    grown = [(max(0, b), max(0, a)) for b, a in widths]
    padded = np.pad(x, grown, constant_values=x.dtype.type(pad_value))
    cut = zip(padded.shape, widths, strict=True)
    return padded[tuple(slice(max(0, -b), n - max(0, -a)) for n, (b, a) in cut)]


def _inner(position: PrimExpr, size: Dim, mode: str) -> PrimExpr:
    """Return where in an axis of `size` the padding at `position` comes from."""
    n = from_dim(size)
    match mode:
        case "replicate":
            return clip_index(position, size)
        case "reflect":
            positive = Select(position < 0, -position, position)
            return Select(positive < n, positive, (n - 1) * 2 - positive)
        case _:
            return position % n


def _compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    widths, mode = _widths(attrs, x.ndim), str_attr(attrs, "pad_mode")

    def body(*i: PrimExpr) -> PrimExpr:
        where = [p - b for p, (b, _) in zip(i, widths, strict=True)]
        if mode != "constant":
            padded = zip(where, x.shape, widths, strict=True)
            return x[[_inner(p, d, mode) if w != (0, 0) else p for p, d, w in padded]]
        inside = in_bounds(where, x.shape, [b > 0 for b, _ in widths], [a > 0 for _, a in widths])
        fill = const(float_attr(attrs, "pad_value"), x.dtype)
        return select(inside, x[where], fill, lazy=True)

    return gather_from("pad", out, body)


PAD: tuple[OpDef, ...] = (
    OpDef(
        "nn.pad",
        (Operand("data"),),
        _infer,
        _pad,
        OpKind.VIEW,
        attrs=(
            Attr("pad_width", "ints"),
            Attr("pad_mode", "str", "constant"),
            Attr("pad_value", "float", 0.0),
        ),
        compute=_compute,
        onnx=("Pad",),
        samples=lambda: [
            Sample(((2, 3),), {"pad_width": (1, 0, 0, 2)}),
            Sample(((2, 3),), {"pad_width": (1, 1, 1, 1), "pad_value": 2.0}, ("int64",)),
            Sample(((4, 3),), {"pad_width": (1, -1, -2, 2)}, ("float16",)),
            Sample(((1, 4, 4),), {"pad_width": (0, 0, 2, 1, 3, 0), "pad_mode": "reflect"}),
            Sample(((4, 3),), {"pad_width": (5, 1, 0, 2), "pad_mode": "replicate"}),
            Sample(((4, 3),), {"pad_width": (2, 1, 0, 3), "pad_mode": "circular"}),
            Sample((("n", 3),), {"pad_width": (0, 0, 1, 1), "pad_mode": "reflect"}),
            Sample((("n", 0),), {"pad_width": (2, 1, 0, 1)}),
        ],
    ),
)
